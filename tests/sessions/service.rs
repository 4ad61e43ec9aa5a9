//! The example service, as its users see it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
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

/// The example as a newcomer runs it; killed when the test ends, however it ends.
struct Program(Child);

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let tests = std::env::current_exe().unwrap();
        let program = tests.ancestors().nth(2).unwrap().join("examples/accounts");
        let mut command = Command::new(&program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn();
        Self(child.unwrap_or_else(|error| panic!("{}: {error}", program.display())))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_program_serves_until_ctrl_c() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--ttl", "60"]);
    let mut lines = BufReader::new(program.0.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.strip_prefix("listening on http://").unwrap().parse().unwrap();
    let body = json!({ "user": "anna", "device": "phone" }).to_string();
    let answer = send(address, "POST /login", "", &body).await;
    assert_eq!((answer.status, &answer.json()["expires_in"]), (201, &json!(60)));

    let pid = program.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(program.0.wait().unwrap().success());
    assert_eq!(lines.last().unwrap().unwrap(), "stopped");
}

#[test]
fn the_program_says_what_is_wrong_with_its_options() {
    for (arguments, complaint) in [
        (["--ttl", "0"], "a timeout of zero would end every session at once"),
        (["--ttl", "-5"], "a timeout of -5 seconds is negative"),
        (["--ttl", "9223372036854775807"], "is too long; give at most 100 years"),
        (["--store", "cassette:"], "no store of this build answers to `cassette:`"),
    ] {
        let mut program = Program::start(&arguments);
        let complaints: Vec<_> = BufReader::new(program.0.stderr.take().unwrap()).lines().collect();
        assert!(!program.0.wait().unwrap().success());
        assert!(complaints[0].as_ref().unwrap().contains(complaint), "{complaints:?}");
    }
}
