//! The example services, as their users see them.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use token_session::TokenSession;
use token_session::store::{AnyStore, Memory};

use crate::accounts;
use crate::client::{Answer, send, serve};
use crate::spy::Spy;

async fn service() -> (SocketAddr, Arc<Spy<Memory>>) {
    let store = Arc::new(Spy::new(Memory::new()));
    let any = AnyStore::new(store.clone());
    let sessions = TokenSession::builder().store(any).build().unwrap();
    (serve(accounts::app(sessions)).await, store)
}

async fn login(service: SocketAddr, device: &str) -> String {
    let body = json!({ "user": "anna", "device": device }).to_string();
    let answer = send(service, "POST /login", "", &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.json()["expires_in"], 1800);
    answer.json()["token"].as_str().unwrap().to_owned()
}

async fn ask(service: SocketAddr, line: &str, token: &str) -> Answer {
    send(service, line, token, "").await
}

#[tokio::test]
async fn a_session_from_login_to_logout() {
    let (service, _) = service().await;
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

#[tokio::test]
async fn a_person_sees_and_ends_their_sessions_by_ids_that_are_no_tokens() {
    let (service, _) = service().await;
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

#[tokio::test]
async fn me_is_one_call_to_the_store_and_visits_are_two() {
    let (service, store) = service().await;
    let token = login(service, "phone").await;
    assert_eq!(store.calls(), 1);
    for (line, calls) in [("GET /me", 1), ("POST /visits", 2), ("GET /", 0)] {
        assert_eq!(ask(service, line, &token).await.status, 200);
        assert_eq!(store.calls(), calls, "{line}");
    }
}

#[tokio::test]
async fn bad_input_is_400_and_says_why() {
    let (service, _) = service().await;
    let token = login(service, "phone").await;
    let answer = ask(service, "DELETE /sessions/17", &token).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("43 characters"));
    let body = json!({ "user": "", "device": "phone" }).to_string();
    let answer = send(service, "POST /login", "", &body).await;
    assert_eq!((answer.status, answer.body.contains("the owner has 0 bytes")), (400, true));
}

#[cfg(feature = "actix")]
#[tokio::test]
async fn on_actix_too_a_session_goes_from_login_to_logout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let service = listener.local_addr().unwrap();
    tokio::spawn(crate::actix_example::server(TokenSession::in_memory(), listener).unwrap());
    assert!(ask(service, "GET /", "").await.body.contains("log in"));
    let token = ask(service, "POST /login", "").await.body;
    for visits in 1..=3 {
        let answer = ask(service, "POST /visits", &token).await;
        assert_eq!(answer.body, format!("visit {visits}\n"));
    }
    assert_eq!(ask(service, "GET /", &token).await.body, "you were here 3 times\n");
    assert_eq!(ask(service, "POST /logout", &token).await.status, 200);
    assert_eq!(ask(service, "POST /visits", &token).await.status, 401);
}
