//! What a client does with the accounts service, on whatever store it runs.

use std::net::SocketAddr;

use serde_json::json;

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
