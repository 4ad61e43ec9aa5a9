use std::io::{self, Read as _, Write as _};
use std::ops::Deref;

use rustix::process::Signal;

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::port::Port;
use crate::program::find;
use crate::python;
use crate::server::{Launch, Server, connect, run};

/// A server of its own over the storage engine of MongoDB 7. Debian has no `mongod`; this one is
/// a package of Python's. Only pre-releases of it exist, hence the exact version.
const STAND_IN: &str = "SecantusDB==0.7.0b3";

/// Its own program but for two things that make each write take 5 ms and more in a long run:
/// * Its threads have one lock, and spend more time on handing it from one processor to another than
///   with it: they get one processor, each server its own where there are several.
/// * At each write it looks through all writes that a driver may yet send again, 10,000 of them: it
///   remembers the last hundred, which is more than the connections of a test's client.
const LAUNCHER: &str = "
import os, sys
from secantus import cli, transactions
processors = sorted(os.sched_getaffinity(0))
try:
    os.sched_setaffinity(0, {processors[os.getpid() % len(processors)]})
except OSError:
    pass  # Slower, and no worse.
assert transactions._RETRYABLE_RECORD_MAX > 100
transactions._RETRYABLE_RECORD_MAX = 100
sys.exit(cli.main())
";

/// One server that speaks MongoDB's protocol: `mongod` when it is on the `PATH`, else SecantusDB.
pub struct MongoDb(Server);

impl MongoDb {
    /// Starts one. SecantusDB loses in a `kill` what it has acknowledged last.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one that has every acknowledged write on disk, as `mongod` does by itself.
    pub fn durable() -> Result<Self> {
        Self::start_with(&["--sync-on-commit"])
    }

    /// Restarts it, and lets nobody in from now on but the users that were made before.
    pub fn require_login(&mut self) -> Result<()> {
        self.0.add_argument("--auth");
        self.restart()
    }

    fn start_with(stand_in_options: &[&str]) -> Result<Self> {
        let directory = Directory::create("mongodb", None)?;
        let data = directory.path().join("data");
        std::fs::create_dir(&data)
            .map_err(|error| Error::doing(format!("creating {}", data.display()), error))?;
        let data = data.display().to_string();
        let port = Port::reserve()?;
        let number = port.number();
        let port_text = number.to_string();

        let mut arguments = vec!["--port", &port_text];
        let (program, version) = match find("mongod") {
            Ok(mongod) => {
                arguments.extend(["--bind_ip", "127.0.0.1", "--dbpath", &data]);
                let version = run(&mongod, &["--version"], None)?;
                let version = version.lines().next().unwrap_or_default();
                (mongod, format!("MongoDB, {version}"))
            }
            Err(_) => {
                arguments.splice(0..0, ["-c", LAUNCHER]);
                arguments.extend(["--host", "127.0.0.1", "--storage-path", &data]);
                arguments.extend(stand_in_options);
                let python = python::with_package(STAND_IN)?;
                (python, format!("{}, a stand-in for MongoDB 7", STAND_IN.replace("==", " ")))
            }
        };
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        let url = format!("mongodb://127.0.0.1:{number}/?directConnection=true");
        let launch = Launch { program, arguments, account: None, end: Signal::KILL };
        let answers = Box::new(move || says_hello(number).map(|()| version.clone()));
        Server::start("mongodb", url, port, launch, directory, answers).map(Self)
    }
}

impl Deref for MongoDb {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// Sends the command `{hello: 1, $db: "admin"}` and waits for any answer to it.
fn says_hello(port: u16) -> io::Result<()> {
    let document = b"\x1f\0\0\0\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";
    let mut message = Vec::new();
    for word in [21 + document.len() as u32, 1, 0, 2013, 0] {
        message.extend_from_slice(&word.to_le_bytes());
    }
    message.push(0);
    message.extend_from_slice(document);
    let mut stream = connect(port)?;
    stream.write_all(&message)?;
    stream.read_exact(&mut [0; 16])
}
