//! The example services, as their users see them.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use token_session::Lifetime;
use token_session::store::Memory;

use crate::accounts;
use crate::client::{send, serve};
use crate::program::Program;
use crate::spy::Spy;
use crate::story::{self, ask, login};

pub async fn service() -> (SocketAddr, Arc<Spy<Memory>>) {
    service_on(Memory::new()).await
}

pub async fn service_on(memory: Memory) -> (SocketAddr, Arc<Spy<Memory>>) {
    let store = Arc::new(Spy::new(memory));
    let lifetime = Lifetime::idle_secs(1800).unwrap();
    let any = Arc::new(store.clone());
    let (router, _) = accounts::app(any, lifetime, "http://localhost/").unwrap();
    (serve(router).await, store)
}

#[tokio::test]
async fn a_session_from_login_to_logout() {
    story::a_session_from_login_to_logout(service().await.0).await;
}

#[tokio::test]
async fn a_person_sees_and_ends_their_sessions_by_ids_that_are_no_tokens() {
    story::a_person_sees_and_ends_their_sessions(service().await.0).await;
}

#[tokio::test]
async fn an_address_is_proven_and_a_link_signs_in() {
    story::an_address_is_proven_and_a_link_signs_in(service().await.0).await;
}

#[tokio::test]
async fn a_password_reset_ends_all_sessions_of_its_owner() {
    story::a_password_reset_ends_all_sessions_of_its_owner(service().await.0).await;
}

#[tokio::test]
async fn a_download_is_served_while_uses_remain() {
    story::a_download_is_served_while_uses_remain(service().await.0).await;
}

#[tokio::test]
async fn a_download_ends_with_its_time() {
    story::a_download_ends_with_its_time(service().await.0).await;
}

#[tokio::test]
async fn a_person_withdraws_their_downloads() {
    story::a_person_withdraws_their_downloads(service().await.0).await;
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
    assert!(answer.body.contains("22 characters"));
    let body = json!({ "user": "", "device": "phone" }).to_string();
    let answer = send(service, "POST /login", "", &body).await;
    assert_eq!((answer.status, answer.body.contains("the owner has 0 bytes")), (400, true));
    let body = json!({ "user": "token-session:someone", "device": "phone" }).to_string();
    let answer = send(service, "POST /login", "", &body).await;
    assert_eq!((answer.status, answer.body.contains("choose another")), (400, true));
    let offer = json!({ "file": "a".repeat(5_000), "uses": 1, "ttl": 60 }).to_string();
    let answer = send(service, "POST /downloads", &token, &offer).await;
    assert_eq!((answer.status, answer.body.contains("the maximum of 4096")), (400, true));
}

#[tokio::test]
async fn the_program_serves_until_ctrl_c() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--ttl", "60"]);
    let (address, lines) = program.listening();
    let body = json!({ "user": "anna", "device": "phone" }).to_string();
    let answer = send(address, "POST /login", "", &body).await;
    assert_eq!((answer.status, &answer.json()["expires_in"]), (201, &json!(60)));

    let pid = program.0.id().to_string();
    while !catches_interrupts(&pid) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The shell's own: not every machine has a program of that name.
    let kill = Command::new("sh").args(["-c", "kill -INT \"$0\"", &pid]).status();
    assert!(kill.unwrap().success());
    assert!(program.0.wait().unwrap().success());
    assert_eq!(lines.last().unwrap().unwrap(), "stopped");
}

/// Whether SIGINT, the second signal, is in the mask of those that a process catches.
fn catches_interrupts(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & 0b10 != 0
}

#[test]
fn the_program_says_what_is_wrong_with_its_options() {
    for (arguments, complaint) in [
        (["--ttl", "0"], "a timeout of zero would end every session at once"),
        (["--ttl", "-5"], "a timeout of -5 seconds is negative"),
        (["--ttl", "9223372036854775807"], "is too long; give at most 100 years"),
        (["--store", "cassette:"], "no store of this build answers to `cassette:`"),
        (["--base", "http://example.org"], "give another address with --base"),
        (["--listen", "0.0.0.0:0"], "give another address with --base"),
    ] {
        let mut program = Program::start(&arguments);
        let complaints: Vec<_> = BufReader::new(program.0.stderr.take().unwrap()).lines().collect();
        assert!(!program.0.wait().unwrap().success());
        assert!(complaints[0].as_ref().unwrap().contains(complaint), "{complaints:?}");
    }
}

#[cfg(feature = "actix")]
#[tokio::test]
async fn on_actix_too_a_session_goes_from_login_to_logout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let service = listener.local_addr().unwrap();
    tokio::spawn(
        crate::actix_example::server(token_session::TokenSession::in_memory(), listener).unwrap(),
    );
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
