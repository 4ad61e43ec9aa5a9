//! A client that can send what no well-behaved client would, and a server to send it to.

use std::net::SocketAddr;

use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves on a free loopback port until the test's runtime ends.
pub async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serve_on(listener, app);
    address
}

/// Serves on this port until the test's runtime ends.
pub fn serve_on(listener: TcpListener, app: Router) {
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).into_iter().next()
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let of_name = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| value).collect()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }
}

/// Sends a request with these header values, byte for byte.
pub async fn send_bytes(
    server: SocketAddr,
    line: &str,
    headers: &[(&str, &[u8])],
    body: &str,
) -> Answer {
    let mut request =
        format!("{line} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n").into_bytes();
    for (name, value) in headers {
        request.extend_from_slice(format!("{name}: ").as_bytes());
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
    }
    if !body.is_empty() {
        let length = body.len();
        let head = format!("content-type: application/json\r\ncontent-length: {length}\r\n");
        request.extend_from_slice(head.as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body.as_bytes());
    let mut stream = TcpStream::connect(server).await.unwrap();
    // A server that refuses early may close before it has read everything.
    let _ = stream.write_all(&request).await;
    let mut answer = Vec::new();
    let mut read = Ok(1);
    // Not every server closes the connection that it was asked to close.
    while matches!(read, Ok(1..)) && !is_whole(&answer) {
        read = stream.read_buf(&mut answer).await;
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) =
        answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{read:?}: {answer}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// Sends a request such as `GET /me`, with a bearer token unless it is empty.
pub async fn send(server: SocketAddr, line: &str, token: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers: &[(&str, &[u8])] =
        if token.is_empty() { &[] } else { &[("authorization", bearer.as_bytes())] };
    send_bytes(server, line, headers, body).await
}

/// Whether an answer that says its length has all of it.
fn is_whole(answer: &[u8]) -> bool {
    let Ok(answer) = str::from_utf8(answer) else { return false };
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length
        .and_then(|(_, length)| length.trim().parse().ok())
        .is_some_and(|length: usize| body.len() == length)
}
