//! Sends codes and links by SMTP, from a queue.
//!
//! Whoever asks for a code is answered at once, and the mail goes out afterwards: the time of the
//! answer does not tell whether there was a mail to send. Several mails go out at once, so one that the
//! server is slow to take, or takes later, does not hold up the next; a server that takes none holds up
//! all, until the queue is full and mails are dropped.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use token_session::codes::Code;
use token_session::links::Link;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::{JoinHandle, JoinSet};

type Smtp = AsyncSmtpTransport<Tokio1Executor>;
type Error = Box<dyn std::error::Error + Send + Sync>;

/// How many mails may wait: more would go out after their codes have expired.
const QUEUE: usize = 1_000;

/// How many mails go out at once: as many connections as the transport's pool keeps.
const AT_ONCE: usize = 10;

/// How often a mail is tried that the server cannot take now.
const TRIES: u32 = 6;

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
            let mut sending = JoinSet::new();
            while let Some(mail) = waiting.recv().await {
                if sending.len() == AT_ONCE {
                    sending.join_next().await;
                }
                sending.spawn(deliver(smtp.clone(), mail));
            }
            sending.join_all().await;
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

    /// Queues a mail; an error tells that `to` is no address. A service refuses what is none before
    /// it looks it up, so that this error tells nobody which addresses it knows.
    ///
    /// Where the queue is full the mail is dropped, and the log says so, not the caller: mail goes to
    /// known addresses alone, so an error that a client sees would tell them from others.
    fn send(&self, to: &str, subject: &str, text: &str) -> Result<(), Error> {
        let mail = Message::builder()
            .from(self.from.clone())
            .to(to.parse()?)
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text.to_owned())?;
        if self.queue.try_send(mail).is_err() {
            eprintln!("a mail was not sent: {QUEUE} are waiting already");
        }
        Ok(())
    }
}

/// Sends a mail, and tries again after 1, 2, 4, 8 and 16 seconds what may succeed then.
async fn deliver(smtp: Smtp, mail: Message) {
    for attempt in 0.. {
        match smtp.send(mail.clone()).await {
            Ok(_) => return,
            Err(error) if error.is_permanent() || attempt + 1 == TRIES => {
                eprintln!("a mail was not sent: {error}");
                return;
            }
            Err(_) => tokio::time::sleep(Duration::from_secs(1 << attempt)).await,
        }
    }
}
