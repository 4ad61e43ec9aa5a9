//! The accounts service as a program of its own.

use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The example as a newcomer runs it; killed when the test ends, however it ends.
pub struct Program(pub Child);

impl Program {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(test_servers::example("accounts").unwrap());
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Waits until it listens; where it does, and what it prints from then on.
    pub fn listening(&mut self) -> (SocketAddr, Lines<BufReader<ChildStdout>>) {
        let mut lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        let Some(first) = lines.next() else {
            let complaint = std::io::read_to_string(self.0.stderr.take().unwrap()).unwrap();
            panic!("it does not listen: {complaint}");
        };
        (first.unwrap().strip_prefix("listening on http://").unwrap().parse().unwrap(), lines)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
