//! A real browser meets the links of the accounts service: one that stands for a mail scanner, which
//! follows everything and clicks everything, and the one that asked for the link.

#[allow(dead_code, reason = "its main is not run here")]
#[path = "../../examples/accounts/main.rs"]
mod accounts;
#[allow(dead_code, reason = "not every test reads every part of an answer")]
#[path = "../sessions/client.rs"]
mod client;
mod driver;
#[allow(dead_code, reason = "it tells more than is needed here")]
#[path = "../sessions/story.rs"]
mod story;

use std::net::SocketAddr;

use driver::Driver;
use serde_json::json;
use token_session::Lifetime;
use token_session::store::AnyStore;

async fn service() -> SocketAddr {
    let store = AnyStore::connect("memory:").await.unwrap();
    let lifetime = Lifetime::idle_secs(1800).unwrap();
    let (router, _) = accounts::app(store, lifetime, "http://localhost").unwrap();
    client::serve(router).await
}

/// Asks for a link as a browser would, and returns the handle that it gets and the link's path.
async fn ask_for_link(service: SocketAddr) -> (String, String) {
    story::register(service, "anna@example.org").await;
    let body = json!({ "email": "anna@example.org" });
    let answer = story::post(service, "/magic", body).await.json();
    let mail = story::mail(service, "anna@example.org").await;
    let path = mail[mail.find("/magic/").unwrap()..].to_owned();
    (answer["handle"].as_str().unwrap().to_owned(), path)
}

#[tokio::test]
async fn a_scanner_that_follows_and_clicks_everything_leaves_the_link_good() {
    let service = service().await;
    let (handle, path) = ask_for_link(service).await;
    let browser = Driver::start().await;
    for _ in 0..3 {
        browser.open(&format!("http://{service}{path}")).await;
        assert_eq!(browser.click_everything().await, 1, "there is a button to click");
        assert_eq!(browser.answer().await, "refused: 401");
    }
    let clicked = story::post(service, &path, json!({ "handle": handle })).await;
    assert_eq!(clicked.status, 201, "{clicked:?}");
}

#[tokio::test]
async fn the_browser_that_asked_signs_in_with_one_click() {
    let service = service().await;
    let (handle, path) = ask_for_link(service).await;
    let browser = Driver::start().await;
    browser.open(&format!("http://{service}/")).await;
    browser.remember("handle", &handle).await;
    browser.open(&format!("http://{service}{path}")).await;
    assert_eq!(browser.click_everything().await, 1, "there is a button to click");
    assert_eq!(browser.answer().await, "signed in");
    let again = story::post(service, &path, json!({ "handle": handle })).await;
    assert_eq!(again.status, 401);
}
