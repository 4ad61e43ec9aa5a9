//! The service, killed in mid-write: what was answered is kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::program::Program;
use crate::story::ask;

const KILLS: u64 = 50;

/// Logs in again and again, until the service is gone, and returns the tokens that it answered.
async fn log_in_until_killed(service: SocketAddr, killed: Arc<AtomicBool>) -> Vec<String> {
    let body = r#"{"user":"anna","device":"phone"}"#;
    let request = format!(
        "POST /login HTTP/1.1\r\nhost: {service}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut tokens = Vec::new();
    while !killed.load(Ordering::Relaxed) {
        let answer = async {
            let mut stream = TcpStream::connect(service).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        // An answer that was cut off is none.
        let Ok(answer) = answer.await else { break };
        let Some((_, body)) = answer.split_once("\r\n\r\n") else { break };
        let Ok(body) = serde_json::from_str::<Value>(body) else { break };
        tokens.push(body["token"].as_str().expect("a login is answered with a token").to_owned());
    }
    tokens
}

#[tokio::test(flavor = "multi_thread")]
async fn every_login_that_was_answered_outlives_fifty_kills() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("sessions.db").display());
    let mut answered = Vec::new();
    for round in 0..KILLS {
        let mut program = Program::start(&["--listen", "127.0.0.1:0", "--store", &url]);
        let (service, _lines) = program.listening();
        // One at least is answered, however slow the machine is.
        answered.push(crate::story::login(service, "phone").await);
        let killed = Arc::new(AtomicBool::new(false));
        let mut clients: JoinSet<_> =
            (0..4).map(|_| log_in_until_killed(service, killed.clone())).collect();
        // Long enough for a few logins, and another moment each time.
        tokio::time::sleep(Duration::from_millis(20 + round * 7 % 30)).await;
        program.0.kill().unwrap();
        killed.store(true, Ordering::Relaxed);
        while let Some(tokens) = clients.join_next().await {
            answered.extend(tokens.unwrap());
        }
    }
    assert!(answered.len() as u64 > KILLS, "no login was answered amid a kill");
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--store", &url]);
    let (service, _lines) = program.listening();
    for token in &answered {
        assert_eq!(ask(service, "GET /me", token).await.status, 200);
    }
}
