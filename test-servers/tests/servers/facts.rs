//! What holds for every server, asked without a client library.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use test_servers::{Result, Server};

pub fn it_lives_dies_and_returns(server: &Server, answers: impl Fn(&Server) -> bool) -> Result<()> {
    assert!(answers(server), "it does not answer after its start");
    let first = server.pid().expect("a running server has a process id");

    server.kill()?;
    assert_eq!(server.pid(), None);
    assert!(!answers(server), "it answers after it was killed");
    assert!(is_gone(first), "its process is still there");

    server.restart()?;
    assert!(answers(server), "it does not answer after its restart");
    assert_ne!(server.pid(), Some(first));

    server.pause()?;
    assert!(!answers(server), "it answers while it is paused");
    server.resume()?;
    assert!(answers(server), "it does not answer after the pause");

    server.pause()?;
    server.kill()?;
    server.restart()?;
    assert!(answers(server), "it does not answer after it was killed in a pause");
    Ok(())
}

pub fn redis_says(port: u16, commands: &str, expected: &str) -> bool {
    says(port, format!("{commands}\r\n").as_bytes(), |answer| {
        String::from_utf8_lossy(answer).starts_with(expected)
    })
}

/// Sends bytes and reads until the answer is the expected one, the peer closes or falls silent.
pub fn says(port: u16, request: &[u8], expected: impl Fn(&[u8]) -> bool) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout can be set");
    if stream.write_all(request).is_err() {
        return false;
    }
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while !expected(&answer) {
        match stream.read(&mut part) {
            Ok(length @ 1..) => answer.extend_from_slice(&part[..length]),
            _ => return false,
        }
    }
    true
}

pub fn within_30_seconds(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen within 30 seconds");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A zombie, which its parent has not reaped yet, counts as gone.
pub fn is_gone(pid: u32) -> bool {
    let stat = Path::new("/proc").join(pid.to_string()).join("stat");
    std::fs::read_to_string(stat).map_or(true, |stat| stat.contains(") Z "))
}
