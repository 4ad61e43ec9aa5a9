//! A client that costs little: the same request over a few kept connections, one at a time on each.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

const CONNECTIONS: usize = 8;

/// Sends the request so often in all, and checks that each answer is a 200.
pub fn run(server: SocketAddr, request: &str, requests: usize) {
    let mut connections: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| {
            let stream = TcpStream::connect(server).expect("the service listens");
            stream.set_nodelay(true).expect("a TCP socket has it");
            stream
        })
        .collect();
    let mut buffer = [0; 4096];
    for _ in 0..requests / CONNECTIONS {
        for stream in &mut connections {
            stream.write_all(request.as_bytes()).expect("the service reads");
        }
        for stream in &mut connections {
            let read = stream.read(&mut buffer).expect("the service answers");
            let answer = &buffer[..read];
            assert!(
                answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"}"),
                "{}",
                String::from_utf8_lossy(answer)
            );
        }
    }
}
