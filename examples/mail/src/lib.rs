//! Sends codes and links by SMTP, from a queue.
//!
//! Whoever asks for a code is answered at once, and the mail goes out afterwards: the time of the
//! answer does not tell whether there was a mail to send, and a slow mail server holds up nobody.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use token_session::codes::Code;
use token_session::links::Link;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinHandle;

type Smtp = AsyncSmtpTransport<Tokio1Executor>;
type Error = Box<dyn std::error::Error + Send + Sync>;

/// How many mails may wait: more would go out after their codes have expired.
const QUEUE: usize = 1_000;

/// How often a mail is tried that the server cannot take now.
const TRIES: u32 = 4;

/// A queue of mails from one address.
pub struct Mailer {
    from: Mailbox,
    queue: Sender<Message>,
    worker: JoinHandle<()>,
}

impl Mailer {
    /// Sends through the server at `url`: `smtps://user:password@host`, `smtp://host?tls=required`
    /// for STARTTLS, or `smtp://127.0.0.1:2525` for a server on this machine.
    pub fn new(url: &str, from: &str) -> Result<Self, Error> {
        let smtp: Smtp = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)?.build();
        let from = from.parse()?;
        let (queue, mut waiting) = mpsc::channel(QUEUE);
        let worker = tokio::spawn(async move {
            while let Some(mail) = waiting.recv().await {
                if let Err(error) = deliver(&smtp, mail).await {
                    eprintln!("a mail was not sent: {error}");
                }
            }
        });
        Ok(Self { from, queue, worker })
    }

    /// A code, to be typed where it was asked for.
    pub fn send_code(&self, to: &str, code: &Code) -> Result<(), Error> {
        let code = code.grouped();
        self.send(to, &format!("{} is your code", *code), &format!(
            "Your code is {}.\n\nType it where you asked for it. Nobody will ask you for it by mail \
             or on the telephone; if you did not ask for it, leave it.\n",
            *code
        ))
    }

    /// A link, and the code that it stands for.
    pub fn send_link(&self, to: &str, link: &Link, code: &Code) -> Result<(), Error> {
        self.send(
            to,
            "Sign in",
            &format!(
                "Open this link where you asked for it:\n\n{}\n\nOr type this code there: {}\n",
                link.reveal(),
                *code.grouped()
            ),
        )
    }

    /// Waits until all mails are sent that were queued, and ends.
    pub async fn finish(self) {
        drop(self.queue);
        // It only fails if it panicked, and then its message has been shown.
        let _ = self.worker.await;
    }

    /// Queues a mail; an error tells that the queue is full, or that `to` is no address.
    fn send(&self, to: &str, subject: &str, text: &str) -> Result<(), Error> {
        let mail = Message::builder()
            .from(self.from.clone())
            .to(to.parse()?)
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text.to_owned())?;
        self.queue.try_send(mail).map_err(|_| "too many mails are waiting; try again later")?;
        Ok(())
    }
}

/// Tries again, after 1, 2 and 4 seconds, what may succeed then.
async fn deliver(smtp: &Smtp, mail: Message) -> Result<(), smtp::Error> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match smtp.send(mail.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_permanent() || attempt == TRIES => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_secs(1 << (attempt - 1))).await,
        }
    }
}
