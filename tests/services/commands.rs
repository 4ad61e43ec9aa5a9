//! What a request costs Redis: the commands that the service sends, as the server saw them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use test_servers::Redis;

use crate::service;
use crate::story::{ask, login};

/// Every command that a server gets, one by one, as `MONITOR` tells them. What a script does within
/// its command is told as `lua` and is not counted: it costs no round trip.
struct Monitor(Receiver<String>, TcpStream);

impl Monitor {
    fn of(server: &Redis) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        assert_eq!(lines.next().unwrap(), "+OK");
        let (sender, receiver) = channel();
        std::thread::spawn(move || lines.try_for_each(|line| sender.send(line)));
        let marker = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        Self(receiver, marker)
    }

    /// The commands since this was last asked.
    fn commands(&mut self) -> Vec<String> {
        self.1.write_all(b"ECHO marker\r\n").unwrap();
        let mut commands = Vec::new();
        loop {
            let line = self.0.recv_timeout(Duration::from_secs(60)).unwrap();
            if line.ends_with(r#""ECHO" "marker""#) {
                return commands;
            }
            let (from, command) = line.split_once("] ").unwrap();
            if !from.ends_with(" lua") {
                commands.push(command.split(' ').next().unwrap().to_uppercase());
            }
        }
    }
}

#[tokio::test]
async fn me_is_one_command_and_visits_are_two() {
    let server = Redis::start().unwrap();
    let service = service(server.url()).await;
    let token = login(service, "phone").await;
    // The first call of each script loads it.
    for line in ["GET /me", "POST /visits"] {
        ask(service, line, &token).await;
    }
    let mut monitor = Monitor::of(&server);
    for (line, expected) in [("GET /me", 1), ("POST /visits", 2), ("GET /", 0)] {
        assert_eq!(ask(service, line, &token).await.status, 200);
        let commands = monitor.commands();
        assert_eq!(commands.len(), expected, "{line}: {commands:?}");
    }
    login(service, "laptop").await;
    let commands = monitor.commands();
    assert_eq!(commands.len(), 1, "login: {commands:?}");
}
