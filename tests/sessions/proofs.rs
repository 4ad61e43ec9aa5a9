//! What the accounts service does with codes and links, where a clock can be moved and a store told
//! to fail.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use token_session::store::{ManualClock, Memory};

use crate::client::{Answer, send_bytes};
use crate::service::{service, service_on};
use crate::story::{ask, code_in, login, mail, offer, post, register, text};

const ANNA: &str = "anna@example.org";

/// The three ways to ask for mail.
const ASKED: [&str; 3] = ["/register", "/magic", "/password-reset"];

async fn ask_for(service: SocketAddr, path: &str, email: &str) -> Answer {
    post(service, path, json!({ "email": email })).await
}

/// What an answer looks like, whatever handle is in it.
fn shape(answer: &Answer) -> (u16, usize, Value) {
    let mut shape = answer.json();
    let handle = shape["handle"].take();
    (answer.status, handle.as_str().unwrap().len(), shape)
}

async fn mails_to(service: SocketAddr, email: &str) -> usize {
    let outbox = ask(service, "GET /dev/outbox", "").await.json();
    outbox.as_array().unwrap().iter().filter(|mail| mail["to"] == email).count()
}

async fn sign_in_path(service: SocketAddr, email: &str) -> String {
    let mail = mail(service, email).await;
    mail[mail.find("/magic/").unwrap()..].to_owned()
}

#[tokio::test]
async fn an_answer_does_not_tell_whether_an_address_is_known() {
    for path in ASKED {
        let (service, store) = service().await;
        register(service, ANNA).await;
        let (mut shapes, mut costs) = (vec![], vec![]);
        for email in [ANNA, "nobody@example.org"] {
            store.calls();
            shapes.push(shape(&ask_for(service, path, email).await));
            costs.push(store.calls());
        }
        assert_eq!(shapes[0].0, 202);
        assert_eq!(shapes[0], shapes[1], "{path}");
        assert_eq!(costs[0], costs[1], "{path}");
        // A code for who is to register, and nothing else for who has no account.
        assert_eq!(mails_to(service, "nobody@example.org").await, usize::from(path == "/register"));
    }
}

#[tokio::test]
async fn an_address_that_was_asked_for_too_often_gets_no_mail_and_the_same_answer() {
    let clock = ManualClock::default();
    for path in ASKED {
        let (service, _) = service_on(Memory::builder().clock(clock.clone()).build()).await;
        register(service, ANNA).await;
        let first = shape(&ask_for(service, path, ANNA).await);
        for email in [ANNA, "nobody@example.org"] {
            for _ in 0..10 {
                assert_eq!(shape(&ask_for(service, path, email).await), first, "{path}");
            }
        }
        // The one to register, and those of the 4 challenges that the day's guesses are kept for.
        assert_eq!(mails_to(service, ANNA).await, 5, "{path}");
        clock.advance(Duration::from_secs(11 * 60));
        assert_eq!(shape(&ask_for(service, path, ANNA).await), first, "{path}");
        assert_eq!(mails_to(service, ANNA).await, 6, "{path}");
    }
}

#[tokio::test]
async fn another_code_is_429_with_the_seconds_to_wait_and_then_sent() {
    let clock = ManualClock::default();
    let (service, _) = service_on(Memory::builder().clock(clock.clone()).build()).await;
    register(service, "known@example.org").await;
    for (email, mails) in [(ANNA, [1, 2]), ("known@example.org", [2, 2])] {
        let asked = ask_for(service, "/register", email).await.json();
        let waiting = json!({ "handle": text(&asked, "handle") });
        clock.advance(Duration::from_secs(20));
        let early = post(service, "/register/resend", waiting.clone()).await;
        assert_eq!((early.status, early.header("retry-after")), (429, Some("40")));
        assert_eq!(mails_to(service, email).await, mails[0]);
        clock.advance(Duration::from_secs(40));
        let again = post(service, "/register/resend", waiting).await;
        assert_eq!(again.status, 202);
        assert_eq!(again.json(), json!({ "expires_in": 600, "resend_in": 60 }));
        assert_eq!(mails_to(service, email).await, mails[1]);
        if email == ANNA {
            let code = code_in(&mail(service, email).await);
            let typed = json!({ "handle": text(&asked, "handle"), "code": code });
            assert_eq!(post(service, "/verify", typed).await.status, 201);
        }
    }
}

#[tokio::test]
async fn a_forged_host_changes_no_link() {
    let (service, _) = service().await;
    register(service, ANNA).await;
    let body = json!({ "email": ANNA }).to_string();
    let forged: [(&str, &[u8]); 2] =
        [("host", b"evil.example"), ("x-forwarded-host", b"evil.example")];
    assert_eq!(send_bytes(service, "POST /magic", &forged, &body).await.status, 202);
    let outbox = ask(service, "GET /dev/outbox", "").await.body;
    assert!(outbox.contains("http://localhost/magic/") && !outbox.contains("evil"), "{outbox}");
}

#[tokio::test]
async fn the_page_of_a_link_says_whose_sign_in_it_is_and_from_where_and_shows_the_code() {
    let (service, _) = service().await;
    let email = "o'anna&@example.org";
    register(service, email).await;
    let program: [(&str, &[u8]); 1] = [("user-agent", b"<script>alert(1)</script>")];
    let body = json!({ "email": email }).to_string();
    let asked = send_bytes(service, "POST /magic", &program, &body).await.json();
    let get = format!("GET {}", sign_in_path(service, email).await);

    let page = ask(service, &get, "").await.json();
    assert_eq!(text(&page, "email"), email);
    assert_eq!(text(&page, "asked_from"), "127.0.0.1 by <script>alert(1)</script>");
    let accept: [(&str, &[u8]); 1] = [("accept", b"text/html,*/*;q=0.8")];
    let html = send_bytes(service, &get, &accept, "").await;
    assert_eq!(html.header("content-type"), Some("text/html; charset=utf-8"));
    for shown in [
        "<b>o&#39;anna&amp;@example.org</b>",
        "<b>127.0.0.1 by &lt;script&gt;alert(1)&lt;/script&gt;</b>",
        &format!("<b id=code>{}</b>", text(&page, "code")),
    ] {
        assert!(html.body.contains(shown), "no {shown} in {}", html.body);
    }
    let typed = json!({ "handle": text(&asked, "handle"), "code": text(&page, "code") });
    assert_eq!(post(service, "/magic-code", typed).await.status, 201);
}

#[tokio::test]
async fn no_answer_is_cached_or_named_to_the_next_page_whether_it_is_a_success_or_not() {
    let (service, _) = service().await;
    let token = login(service, "phone").await;
    register(service, ANNA).await;
    let download = offer(service, &token, 1, 60).await;
    ask_for(service, "/magic", ANNA).await;
    let link = sign_in_path(service, ANNA).await;
    let address = json!({ "email": ANNA }).to_string();
    let typed = json!({ "handle": "no handle", "code": "0000 0000" }).to_string();
    for (line, body, status) in [
        (&*format!("GET {link}"), "", 200),
        (&*format!("POST {link}"), &*typed, 401),
        ("GET /magic/none", "", 401),
        ("GET /magic", "", 200),
        (&*format!("HEAD {download}"), "", 200),
        (&*format!("GET {download}"), "", 200),
        (&*format!("GET {download}"), "", 410),
        ("POST /downloads", "{}", 401),
        ("POST /register", &*address, 202),
        ("POST /register", "{}", 422),
        ("POST /register", r#"{"email":""}"#, 400),
        ("POST /register/resend", &*typed, 401),
        ("POST /verify", &*typed, 401),
        ("POST /magic", &*address, 202),
        ("POST /magic-code", &*typed, 401),
        ("POST /password-reset", &*address, 202),
        ("POST /password-reset/redeem", &*typed, 401),
        ("PUT /magic", "", 405),
    ] {
        let answer = send_bytes(service, line, &[], body).await;
        assert_eq!(answer.status, status, "{line} {answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{line}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{line}");
    }
}

/// Asks for a proof, and returns the request that completes it.
async fn prove(service: SocketAddr, completed_at: &str) -> (String, Value) {
    let asked = match completed_at {
        "/verify" => "/register",
        "/password-reset/redeem" => "/password-reset",
        _ => "/magic",
    };
    if asked != "/register" {
        register(service, ANNA).await;
    }
    let answer = ask_for(service, asked, ANNA).await.json();
    let mut body = json!({ "handle": text(&answer, "handle") });
    if asked != "/magic" {
        body["code"] = code_in(&mail(service, ANNA).await).into();
        return (completed_at.to_owned(), body);
    }
    let link = sign_in_path(service, ANNA).await;
    if completed_at == "/magic/" {
        return (link, body);
    }
    body["code"] = ask(service, &format!("GET {link}"), "").await.json()["code"].take();
    (completed_at.to_owned(), body)
}

const COMPLETED: [&str; 4] = ["/verify", "/magic/", "/magic-code", "/password-reset/redeem"];

#[tokio::test]
async fn a_device_without_a_proper_name_costs_no_code() {
    for completed_at in COMPLETED {
        let (service, _) = service().await;
        let (path, mut body) = prove(service, completed_at).await;
        body["device"] = "a\nb".into();
        for _ in 0..6 {
            assert_eq!(post(service, &path, body.clone()).await.status, 400, "{path}");
        }
        body["device"] = "laptop".into();
        assert_eq!(post(service, &path, body).await.status, 201, "{path}");
    }
}

#[tokio::test]
async fn whatever_call_to_the_store_fails_the_code_is_good_until_it_has_done_its_work() {
    let clock = ManualClock::default();
    for completed_at in COMPLETED {
        let mut failures = 0;
        for nth in 1.. {
            let memory = Memory::builder().clock(clock.clone()).build();
            let (service, store) = service_on(memory).await;
            let (path, body) = prove(service, completed_at).await;
            let before = post(service, "/login", json!({ "user": ANNA, "device": "phone" })).await;
            store.calls();
            store.fail_call(nth);
            let mut answer = post(service, &path, body.clone()).await;
            if store.calls() < nth {
                assert_eq!(answer.status, 201, "{path}");
                break;
            }
            if answer.status != 201 {
                failures += 1;
                assert_eq!(answer.status, 503, "{path}, call {nth}: {answer:?}");
                // Nothing holds the code any longer than this.
                clock.advance(Duration::from_secs(30));
                answer = post(service, &path, body.clone()).await;
                assert_eq!(answer.status, 201, "{path}, call {nth}: {answer:?}");
            }
            let token = answer.json();
            assert_eq!(ask(service, "GET /me", text(&token, "token")).await.status, 200);
            assert_eq!(post(service, &path, body).await.status, 401, "{path}, call {nth}");
            let before = ask(service, "GET /me", text(&before.json(), "token")).await.status;
            let signed_out = completed_at == "/password-reset/redeem";
            assert_eq!(before, if signed_out { 401 } else { 200 }, "{path}, call {nth}");
        }
        assert!(failures > 5, "{completed_at}: only {failures} calls failed");
    }
}

#[tokio::test]
async fn a_download_ends_to_the_millisecond() {
    let clock = ManualClock::default();
    let (service, _) = service_on(Memory::builder().clock(clock.clone()).build()).await;
    let token = login(service, "phone").await;
    let get = format!("GET {}", offer(service, &token, 9, 60).await);
    clock.advance(Duration::from_millis(59_999));
    assert_eq!(ask(service, &get, "").await.status, 200);
    clock.advance(Duration::from_millis(1));
    assert_eq!(ask(service, &get, "").await.status, 410);
}

#[tokio::test]
async fn spellings_of_one_address_reach_one_account() {
    let (service, _) = service().await;
    register(service, ANNA).await;
    let mails = mails_to(service, ANNA).await;
    let spelling = format!(" {}\u{200b}", ANNA.to_uppercase());
    assert_eq!(ask_for(service, "/magic", &spelling).await.status, 202);
    assert_eq!(mails_to(service, ANNA).await, mails + 1);
}

#[tokio::test]
async fn what_is_not_one_bare_address_gets_no_mail() {
    let (service, _) = service().await;
    for text in [&format!("x <{ANNA}>"), &format!("{ANNA}, eve@example.org"), "an\u{200b}na@a.org"]
    {
        for path in ASKED {
            assert_eq!(ask_for(service, path, text).await.status, 400, "{text}");
        }
        assert_eq!(mails_to(service, text).await, 0);
    }
}
