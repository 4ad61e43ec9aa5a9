use std::io::{self, BufReader, Write as _};
use std::ops::Deref;

use rustix::process::Signal;

use crate::account::Account;
use crate::directory::Directory;
use crate::error::Result;
use crate::packages::POSTGRESQL;
use crate::port::Port;
use crate::server::{Launch, Server, connect, run};

/// One PostgreSQL server, with the database `postgres`, whose user `postgres` needs no password.
pub struct Postgres(Server);

impl Postgres {
    /// Starts one that does not wait for the disk: it survives `kill`, not a power cut.
    pub fn start() -> Result<Self> {
        Self::start_with(&["fsync=off", "full_page_writes=off"])
    }

    /// Starts one that waits for the disk at every commit.
    pub fn durable() -> Result<Self> {
        Self::start_with(&["fsync=on"])
    }

    fn start_with(settings: &[&str]) -> Result<Self> {
        let program = POSTGRESQL.server("postgres")?;
        let initdb = POSTGRESQL.server("initdb")?;
        let account = Account::unless_ordinary()?;
        let directory = Directory::create("postgres", account.as_ref())?;
        let data = directory.path().join("data").display().to_string();
        let mut arguments = vec!["--pgdata", &data, "--username", "postgres", "--auth", "trust"];
        arguments.extend(["--encoding", "UTF8", "--locale", "C", "--no-sync"]);
        run(&initdb, &arguments, account.as_ref())?;

        let port = Port::reserve()?;
        let number = port.number();
        let socket = format!("unix_socket_directories={}", directory.path().display());
        let port_setting = format!("port={number}");
        let common = [
            &port_setting,
            &socket,
            "listen_addresses=127.0.0.1",
            "max_connections=300",
            // Inside of the data directory, so that nothing outlives it.
            "dynamic_shared_memory_type=mmap",
            // Tests count round trips with it.
            "shared_preload_libraries=pg_stat_statements",
        ];
        let mut arguments = vec!["-D".to_owned(), data];
        for setting in common.iter().chain(settings) {
            arguments.extend(["-c".to_owned(), (*setting).to_owned()]);
        }
        let url = format!("postgres://postgres@127.0.0.1:{number}/postgres");
        // An immediate shutdown, which releases the shared memory.
        let launch = Launch { program, arguments, account, end: Signal::QUIT };
        let answers = Box::new(move || log_in(number));
        Server::start("postgres", url, port, launch, directory, answers).map(Self)
    }
}

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// A server that still recovers takes connections and refuses the login.
pub(crate) fn log_in(port: u16) -> io::Result<String> {
    let parameters = b"user\0postgres\0database\0postgres\0\0";
    let mut startup = Vec::new();
    startup.extend_from_slice(&(8 + parameters.len() as u32).to_be_bytes());
    startup.extend_from_slice(&0x0003_0000_u32.to_be_bytes());
    startup.extend_from_slice(parameters);
    let mut stream = connect(port)?;
    stream.write_all(&startup)?;
    let version = server_version(&mut BufReader::new(&stream));
    // The session is closed as a client would, or the log fills with lost connections.
    stream.write_all(b"X\0\0\0\x04")?;
    version
}

/// Reads the parameters that follow a login, each as its name and its value with a zero after each.
fn server_version(answer: &mut impl io::Read) -> io::Result<String> {
    loop {
        let (mut kind, mut length) = ([0], [0; 4]);
        answer.read_exact(&mut kind)?;
        answer.read_exact(&mut length)?;
        let mut body = vec![0; (u32::from_be_bytes(length) as usize).saturating_sub(4)];
        answer.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body);
        match kind[0] {
            b'S' => {
                if let Some(version) = body.strip_prefix("server_version\0") {
                    return Ok(format!("PostgreSQL {}", version.trim_end_matches('\0')));
                }
            }
            b'R' | b'K' => {}
            _ => return Err(io::Error::other(format!("the login was refused: {body}"))),
        }
    }
}
