//! Real mail over a real SMTP server on loopback, and back.

use std::time::{Duration, Instant};

use mail_example::Mailer;
use test_servers::Smtp;
use token_session::codes::{CodeError, Codes};
use token_session::links::BaseUrl;

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
