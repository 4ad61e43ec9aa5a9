//! What a client does with the accounts service, on whatever store it runs.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Answer, send};

pub async fn login(service: SocketAddr, device: &str) -> String {
    let body = json!({ "user": "anna", "device": device }).to_string();
    let answer = send(service, "POST /login", "", &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.json()["expires_in"], 1800);
    answer.json()["token"].as_str().unwrap().to_owned()
}

pub async fn ask(service: SocketAddr, line: &str, token: &str) -> Answer {
    send(service, line, token, "").await
}

/// Log in, be known, count, change the token, log out.
pub async fn a_session_from_login_to_logout(service: SocketAddr) {
    assert_eq!(ask(service, "GET /me", "").await.status, 401);
    let token = login(service, "phone").await;
    let me = ask(service, "GET /me", &token).await.json();
    assert_eq!(me, json!({ "user": "anna", "visits": 0, "device": "phone" }));
    for visits in 1..=3 {
        assert_eq!(ask(service, "POST /visits", &token).await.json(), json!({ "visits": visits }));
    }
    let new = ask(service, "POST /regenerate", &token).await.json();
    let new = new["token"].as_str().unwrap();
    assert_eq!(ask(service, "GET /me", &token).await.status, 401);
    assert_eq!(ask(service, "GET /me", new).await.json()["visits"], 3);
    assert_eq!(ask(service, "POST /logout", new).await.status, 204);
    assert_eq!(ask(service, "GET /me", new).await.status, 401);
}

/// Three devices: list them, end one by its id, then all others.
pub async fn a_person_sees_and_ends_their_sessions(service: SocketAddr) {
    let phone = login(service, "phone").await;
    let laptop = login(service, "laptop").await;
    let tablet = login(service, "tablet").await;
    let answer = ask(service, "GET /sessions", &phone).await;
    for token in [&phone, &laptop, &tablet] {
        assert!(!answer.body.contains(token.as_str()));
    }
    let listed = answer.json();
    let listed = listed.as_array().unwrap();
    let id = |device: &str| {
        let session = listed.iter().find(|session| session["device"] == device).unwrap();
        assert_eq!(session["current"], device == "phone");
        session["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(ask(service, "GET /me", &id("laptop")).await.status, 401);

    let end = format!("DELETE /sessions/{}", id("laptop"));
    assert_eq!(ask(service, &end, &phone).await.status, 204);
    assert_eq!(ask(service, &end, &phone).await.status, 404);
    assert_eq!(ask(service, "GET /me", &laptop).await.status, 401);

    assert_eq!(ask(service, "POST /logout-others", &phone).await.status, 204);
    assert_eq!(ask(service, "GET /me", &tablet).await.status, 401);
    assert_eq!(ask(service, "GET /me", &phone).await.status, 200);
}

pub async fn post(service: SocketAddr, path: &str, body: Value) -> Answer {
    send(service, &format!("POST {path}"), "", &body.to_string()).await
}

/// The text of the last mail to an address.
pub async fn mail(service: SocketAddr, to: &str) -> String {
    let outbox = ask(service, "GET /dev/outbox", "").await.json();
    let mails = outbox.as_array().unwrap().iter().rev();
    let mut texts = mails.filter(|mail| mail["to"] == to).map(|mail| &mail["text"]);
    texts.next().expect("there is mail").as_str().unwrap().to_owned()
}

pub fn code_in(mail: &str) -> String {
    mail.chars().filter(char::is_ascii_digit).collect()
}

pub fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}"))
}

/// Registers an address by its code, and returns the token.
pub async fn register(service: SocketAddr, email: &str) -> String {
    let answer = post(service, "/register", json!({ "email": email })).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let handle = answer.json();
    let code = code_in(&mail(service, email).await);
    let typed = json!({ "handle": text(&handle, "handle"), "code": code });
    let answer = post(service, "/verify", typed.clone()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    // A code is good once.
    assert_eq!(post(service, "/verify", typed).await.status, 401);
    text(&answer.json(), "token").to_owned()
}

/// Register with a code, then sign in by a link: clicked in the browser that asked, opened
/// elsewhere and its code typed where it was asked for, and followed by a scanner.
pub async fn an_address_is_proven_and_a_link_signs_in(service: SocketAddr) {
    let email = "link@example.org";
    let wrong = post(service, "/register", json!({ "email": email })).await.json();
    let typed = json!({ "handle": text(&wrong, "handle"), "code": "0000 0000" });
    assert_eq!(post(service, "/verify", typed).await.status, 401);

    let token = register(service, email).await;
    assert_eq!(ask(service, "GET /me", &token).await.json()["user"], email);

    let asked = post(service, "/magic", json!({ "email": email })).await;
    assert_eq!(asked.status, 202, "{asked:?}");
    let asked = asked.json();
    let sent = mail(service, email).await;
    let path = &sent[sent.find("/magic/").unwrap()..];
    for _ in 0..3 {
        let page = ask(service, &format!("GET {path}"), "").await;
        assert_eq!((page.status, &page.json()["email"]), (200, &json!(email)));
        let scanner = post(service, path, json!({ "handle": "a-handle-that-it-does-not-have" }));
        assert_eq!(scanner.await.status, 401);
    }
    let clicked = post(service, path, json!({ "handle": text(&asked, "handle") })).await;
    assert_eq!(clicked.status, 201, "{clicked:?}");
    assert_eq!(ask(service, "GET /me", text(&clicked.json(), "token")).await.status, 200);
    let again = post(service, path, json!({ "handle": text(&asked, "handle") })).await;
    assert_eq!(again.status, 401);

    let asked = post(service, "/magic", json!({ "email": email })).await.json();
    let sent = mail(service, email).await;
    let path = &sent[sent.find("/magic/").unwrap()..];
    let page = ask(service, &format!("GET {path}"), "").await.json();
    let typed = json!({ "handle": text(&asked, "handle"), "code": text(&page, "code") });
    assert_eq!(post(service, "/magic-code", typed).await.status, 201);
}

/// A reset proves the address; whoever was signed in before is not any more, and nobody else is
/// signed out.
pub async fn a_password_reset_ends_all_sessions_of_its_owner(service: SocketAddr) {
    let email = "reset@example.org";
    let other = register(service, "other@example.org").await;
    let phone = register(service, email).await;
    let body = json!({ "user": email, "device": "laptop" });
    let laptop = post(service, "/login", body).await.json();
    let laptop = text(&laptop, "token");

    let asked = post(service, "/password-reset", json!({ "email": email })).await.json();
    let code = code_in(&mail(service, email).await);
    let body = json!({ "email": "other@example.org" });
    let of_another = post(service, "/password-reset", body).await.json();
    let typed =
        |handle: &Value, code: &str| json!({ "handle": text(handle, "handle"), "code": code });
    for wrong in [typed(&of_another, &code), typed(&asked, "0000 0000")] {
        assert_eq!(post(service, "/password-reset/redeem", wrong).await.status, 401);
    }
    for token in [&phone, laptop, &other] {
        assert_eq!(ask(service, "GET /me", token).await.status, 200);
    }

    let answer = post(service, "/password-reset/redeem", typed(&asked, &code)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let again = post(service, "/password-reset/redeem", typed(&asked, &code)).await;
    assert_eq!(again.status, 401);
    for token in [&phone, laptop] {
        assert_eq!(ask(service, "GET /me", token).await.status, 401);
    }
    let answer = answer.json();
    for token in [text(&answer, "token"), &other] {
        assert_eq!(ask(service, "GET /me", token).await.status, 200);
    }
}

/// Makes a link to a file, and returns its path.
pub async fn offer(service: SocketAddr, token: &str, uses: u32, ttl: u64) -> String {
    let offer = json!({ "file": "report.pdf", "uses": uses, "ttl": ttl }).to_string();
    let answer = send(service, "POST /downloads", token, &offer).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let answer = answer.json();
    let url = text(&answer, "url");
    url[url.find("/downloads/").unwrap()..].to_owned()
}

/// Two uses are two downloads, however often it is looked at; then it is gone.
pub async fn a_download_is_served_while_uses_remain(service: SocketAddr) {
    let token = login(service, "phone").await;
    let path = offer(service, &token, 2, 60).await;
    for expected in [200, 200, 410, 410] {
        for _ in 0..3 {
            let looked = ask(service, &format!("HEAD {path}"), "").await;
            assert_eq!((looked.status, looked.body.as_str()), (expected, ""));
        }
        let download = ask(service, &format!("GET {path}"), "").await;
        assert_eq!(download.status, expected);
        assert_eq!(download.body.contains("report.pdf"), expected == 200);
    }
    let offer = json!({ "file": "report.pdf", "uses": 1, "ttl": 60 }).to_string();
    assert_eq!(send(service, "POST /downloads", "", &offer).await.status, 401);
    let offer = json!({ "file": "report.pdf", "uses": 1, "ttl": 0 }).to_string();
    assert_eq!(send(service, "POST /downloads", &token, &offer).await.status, 400);
}

/// A second is its time, on the clock of whatever store it is.
pub async fn a_download_ends_with_its_time(service: SocketAddr) {
    let token = login(service, "phone").await;
    let path = offer(service, &token, 1_000, 1).await;
    for _ in 0..300 {
        if ask(service, &format!("HEAD {path}"), "").await.status == 410 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ask(service, &format!("GET {path}"), "").await.status, 410);
}

/// Whoever made links ends them, and leaves those of others.
pub async fn a_person_withdraws_their_downloads(service: SocketAddr) {
    let anna = login(service, "phone").await;
    let ben = post(service, "/login", json!({ "user": "ben", "device": "phone" })).await.json();
    let ben = text(&ben, "token");
    let annas = [offer(service, &anna, 2, 60).await, offer(service, &anna, 2, 60).await];
    let bens = offer(service, ben, 2, 60).await;
    assert_eq!(ask(service, "DELETE /downloads", "").await.status, 401);
    assert_eq!(ask(service, "DELETE /downloads", &anna).await.status, 204);
    for path in annas {
        assert_eq!(ask(service, &format!("GET {path}"), "").await.status, 410);
    }
    assert_eq!(ask(service, &format!("GET {bens}"), "").await.status, 200);
    assert_eq!(ask(service, "GET /me", &anna).await.status, 200);
}
