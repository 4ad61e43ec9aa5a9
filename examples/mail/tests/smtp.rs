//! Real mail over a real SMTP server on loopback, and back.

use std::time::{Duration, Instant};

use mail_example::Mailer;
use test_servers::Smtp;
use token_session::codes::{CodeError, Codes};
use token_session::links::BaseUrl;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const FROM: &str = "The service <service@example.org>";
const ANNA: &str = "anna@example.org";

async fn mailer() -> (Smtp, Mailer) {
    let server = tokio::task::spawn_blocking(|| Smtp::start().unwrap()).await.unwrap();
    let mailer = Mailer::new(server.url(), FROM).unwrap();
    (server, mailer)
}

/// The one mail that is to arrive.
async fn the_mail(server: &Smtp) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut mails = server.mails().unwrap();
        match mails.len() {
            0 => assert!(Instant::now() < deadline, "no mail has arrived"),
            1 => return mails.remove(0).replace("=\r\n", "").replace("=\n", ""),
            more => panic!("{more} mails have arrived"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What stands in the mail's text between two others.
fn between<'a>(mail: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = mail.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {mail}"));
    rest.split_once(after).unwrap_or_else(|| panic!("no {after:?} in {mail}")).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_read_out_of_a_mail_is_redeemed() {
    let (server, mailer) = mailer().await;
    let codes = Codes::<String>::builder("confirm-address").build().unwrap();
    let issued = codes.issue(ANNA, &ANNA.to_owned()).await.unwrap();
    mailer.send_code(ANNA, &issued.code).unwrap();

    let mail = the_mail(&server).await;
    assert!(mail.contains("To: anna@example.org"), "{mail}");
    let handle = issued.challenge.handle.reveal();
    assert!(!mail.contains(handle), "the mail has the handle");
    let code = between(&mail, "Your code is ", ".");
    assert_eq!(codes.redeem(handle, code).await.unwrap().payload, ANNA);
    assert!(matches!(codes.redeem(handle, code).await, Err(CodeError::Refused)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_read_out_of_a_mail_signs_in() {
    let (server, mailer) = mailer().await;
    let base = BaseUrl::path("https://example.org/magic/").unwrap();
    let sign_in = Codes::<String>::builder("sign-in").build_with_links(base).unwrap();
    let issued = sign_in.issue(ANNA, &"user-17".to_owned()).await.unwrap();
    mailer.send_link(ANNA, &issued.link, &issued.code).unwrap();

    let mail = the_mail(&server).await;
    let token = between(&mail, "https://example.org/magic/", "\n").trim_end();
    let code = between(&mail, "Or type this code there: ", "\n").trim_end();
    let page = sign_in.inspect(token).await.unwrap();
    assert_eq!(*page.code.grouped(), code);
    let redeemed = sign_in.redeem(token, issued.challenge.handle.reveal()).await.unwrap();
    assert_eq!(redeemed.payload, "user-17");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_waits_for_a_server_that_comes_back() {
    let (server, mailer) = mailer().await;
    let codes = Codes::<String>::builder("confirm-address").build().unwrap();
    let issued = codes.issue(ANNA, &ANNA.to_owned()).await.unwrap();
    server.kill().unwrap();
    mailer.send_code(ANNA, &issued.code).unwrap();
    let server = tokio::task::spawn_blocking(move || {
        server.restart().unwrap();
        server
    });
    let server = server.await.unwrap();
    mailer.finish().await;
    let mail = the_mail(&server).await;
    let code = between(&mail, "Your code is ", ".");
    codes.redeem(issued.challenge.handle.reveal(), code).await.unwrap();
}

#[tokio::test]
async fn what_is_no_address_is_refused_before_anything_is_sent() {
    let mailer = Mailer::new("smtp://127.0.0.1:1", FROM).unwrap();
    let codes = Codes::<String>::builder("confirm-address").build().unwrap();
    let issued = codes.issue(ANNA, &ANNA.to_owned()).await.unwrap();
    for bad in ["", "anna", "anna@example.org\r\nBcc: eve@example.org"] {
        mailer.send_code(bad, &issued.code).unwrap_err();
    }
    mailer.finish().await;
}

/// Answers a client as an SMTP server does (RFC 5321), but never says whether it knows `slow@`. Tells
/// to whom it has delivered.
async fn serve(stream: TcpStream, delivered: mpsc::UnboundedSender<String>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut to, mut in_mail) = (String::new(), false);
    stream.write_all(b"220 ready\r\n").await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match line.trim_end() {
            "." => {
                in_mail = false;
                let _ = delivered.send(to.clone());
                "250 delivered\r\n"
            }
            _ if in_mail => continue,
            "DATA" => {
                in_mail = true;
                "354 go on\r\n"
            }
            recipient if recipient.starts_with("RCPT TO:<slow@") => continue,
            other => {
                if let Some(recipient) = other.strip_prefix("RCPT TO:") {
                    to = recipient.to_owned();
                }
                "250 fine\r\n"
            }
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}

#[tokio::test]
async fn a_mail_that_the_server_is_slow_to_take_holds_up_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let (delivered, mut deliveries) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, delivered.clone()));
        }
    });
    let mailer = Mailer::new(&url, FROM).unwrap();
    let codes = Codes::<String>::builder("confirm-address").build().unwrap();
    let issued = codes.issue(ANNA, &ANNA.to_owned()).await.unwrap();
    mailer.send_code("slow@example.org", &issued.code).unwrap();
    mailer.send_code(ANNA, &issued.code).unwrap();
    let first = tokio::time::timeout(Duration::from_secs(30), deliveries.recv()).await;
    assert_eq!(first.expect("the second mail arrives").unwrap(), format!("<{ANNA}>"));
}

/// The worker has no turn before the test awaits something, so all mails are in the queue.
#[tokio::test]
async fn a_full_queue_does_not_tell_who_gets_mail() {
    let codes = Codes::<String>::builder("confirm-address").build().unwrap();
    let issued = codes.issue(ANNA, &ANNA.to_owned()).await.unwrap();
    let mailer = Mailer::new("smtp://127.0.0.1:1", FROM).unwrap();
    for _ in 0..1_100 {
        mailer.send_code(ANNA, &issued.code).unwrap();
    }
}
