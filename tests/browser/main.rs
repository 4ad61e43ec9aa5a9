//! A real browser meets the links of the accounts service: one that stands for a mail scanner, which
//! follows everything and clicks everything, and the one that asked for the link.

#[allow(dead_code, reason = "its main is not run here")]
#[path = "../../examples/accounts/main.rs"]
mod accounts;
#[allow(dead_code, reason = "not every test reads every part of an answer")]
#[path = "../sessions/client.rs"]
mod client;
mod driver;
mod scanner;
#[allow(dead_code, reason = "it tells more than is needed here")]
#[path = "../sessions/story.rs"]
mod story;

use std::net::SocketAddr;

use driver::Driver;
use scanner::Scanner;
use serde_json::json;
use token_session::Lifetime;
use token_session::store;
use tokio::net::TcpListener;

const ANNA: &str = "anna@example.org";

/// The service, with links that lead to it, and an account of Anna's.
async fn service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let store = store::connect("memory:").await.unwrap();
    let lifetime = Lifetime::idle_secs(1800).unwrap();
    let (router, _) = accounts::app(store, lifetime, &format!("http://{address}")).unwrap();
    client::serve_on(listener, router);
    story::register(address, ANNA).await;
    address
}

/// The address in the last mail to Anna.
async fn link(service: SocketAddr) -> String {
    let mail = story::mail(service, ANNA).await;
    mail[mail.find("http://").unwrap()..].to_owned()
}

/// Asks for a link on the page for that, and returns the link of the mail.
async fn ask_for_link(browser: &Driver, service: SocketAddr) -> String {
    browser.open(&format!("http://{service}/magic")).await;
    browser.type_into(&browser.find("input[type=email]").await[0], ANNA).await;
    browser.click(&browser.find("button").await[0]).await;
    assert_eq!(browser.answer().await, "look into your mail");
    link(service).await
}

/// Presses the one button of a link's page, and returns what the page says then.
async fn sign_in(browser: &Driver, link: &str) -> String {
    browser.open(link).await;
    let buttons = browser.find("button").await;
    assert_eq!(buttons.len(), 1);
    browser.click(&buttons[0]).await;
    browser.answer().await
}

#[tokio::test]
async fn a_scanner_that_follows_and_clicks_everything_in_the_mail_leaves_the_link_good() {
    let service = service().await;
    let asked = story::post(service, "/magic", json!({ "email": ANNA })).await.json();
    let mail = story::mail(service, ANNA).await;
    let path = link(service).await.strip_prefix(&format!("http://{service}")).unwrap().to_owned();
    let page = story::ask(service, &format!("GET {path}"), "").await.json();
    let code = story::text(&page, "code");

    let browser = Driver::start().await;
    let scanner = Scanner { browser: &browser, service, address: ANNA, code };
    for _ in 0..2 {
        let scanned = scanner.scan(&mail).await;
        // The link's page and the one where links are asked for: 2 elements there, and 6 here.
        assert_eq!(Vec::from_iter(&scanned.pages), ["/magic", &path]);
        assert_eq!(scanned.clicks, 8);
        let count = |text| scanned.answers.iter().filter(|answer| *answer == text).count();
        // Each form twice: the link's, and the code's with the handle of the scanner's own request.
        assert_eq!(count("refused: 401"), 4, "{:?}", scanned.answers);
        assert_eq!(count("look into your mail"), 2, "{:?}", scanned.answers);
    }
    let clicked = story::post(service, &path, json!({ "handle": asked["handle"] })).await;
    assert_eq!(clicked.status, 201, "{clicked:?}");
}

#[tokio::test]
async fn the_browser_that_asked_signs_in_with_one_click() {
    let service = service().await;
    let browser = Driver::start().await;
    let link = ask_for_link(&browser, service).await;
    assert_eq!(sign_in(&browser, &link).await, "signed in");
    browser.open(&link).await;
    assert!(browser.text().await.contains("wrong, expired, used or unknown"), "it is used");
}

#[tokio::test]
async fn a_link_that_is_opened_on_another_device_shows_the_code_to_type_where_it_was_asked_for() {
    let service = service().await;
    let (laptop, phone) = (Driver::start().await, Driver::start().await);
    let link = ask_for_link(&laptop, service).await;
    assert_eq!(sign_in(&phone, &link).await, "refused: 401");
    let text = phone.text().await;
    assert!(text.contains("Sign in as anna@example.org?"), "{text}");
    assert!(text.contains("asked for from 127.0.0.1 by Mozilla/5.0"), "{text}");
    let (_, code) = text.split_once("Type this code there: ").unwrap();
    let code = code.lines().next().unwrap();

    laptop.type_into(&laptop.find("input[name=code]").await[0], code).await;
    laptop.click(&laptop.find("button").await[1]).await;
    assert_eq!(laptop.answer_other_than("look into your mail").await, "signed in");
}
