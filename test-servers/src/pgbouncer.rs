use std::fs;
use std::ops::Deref;

use rustix::process::Signal;

use crate::account::Account;
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::packages::PGBOUNCER;
use crate::port::Port;
use crate::postgres::log_in;
use crate::server::{Launch, Server};

/// One PgBouncer in front of a PostgreSQL server that runs already.
pub struct PgBouncer(Server);

/// For how long a client keeps the server connection that it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// Until it disconnects.
    Session,
    /// Until its transaction ends.
    Transaction,
    /// Until its statement ends.
    Statement,
}

impl PgBouncer {
    /// Starts one that shares so many server connections among all clients. `server` is the URL of
    /// the PostgreSQL server. Every client is its user there, whatever its own name and password.
    pub fn start(server: &str, mode: PoolMode, server_connections: u32) -> Result<Self> {
        let program = PGBOUNCER.program("pgbouncer")?;
        let account = Account::unless_ordinary()?;
        let directory = Directory::create("pgbouncer", account.as_ref())?;
        let behind = Behind::read(server)?;
        let port = Port::reserve()?;
        let number = port.number();
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
            PoolMode::Statement => "statement",
        };
        let Behind { connection, database } = behind;
        let settings = format!(
            "[databases]\n\
             * = {connection}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {number}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = {mode}\n\
             default_pool_size = {server_connections}\n\
             max_client_conn = 500\n"
        );
        let file = directory.path().join("pgbouncer.ini");
        fs::write(&file, settings)
            .map_err(|error| Error::doing(format!("writing {}", file.display()), error))?;
        let arguments = vec![file.display().to_string()];
        let launch = Launch { program, arguments, account, end: Signal::KILL };
        let url = format!("postgres://postgres@127.0.0.1:{number}/{database}");
        let answers = Box::new(move || log_in(number));
        Server::start("pgbouncer", url, port, launch, directory, answers).map(Self)
    }
}

impl Deref for PgBouncer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// The server behind it.
struct Behind {
    /// As the settings have it.
    connection: String,
    database: String,
}

impl Behind {
    /// Reads `postgres://user:password@host:port/database`, in which the password may be missing.
    fn read(url: &str) -> Result<Self> {
        let read = || {
            let (account, place) = url.split_once("://")?.1.rsplit_once('@')?;
            let (user, password) = account.split_once(':').unwrap_or((account, ""));
            let (host, database) = place.split_once('/')?;
            let (host, port) = host.split_once(':').unwrap_or((host, "5432"));
            let database = database.split('?').next()?;
            let mut connection = format!("host={host} port={port} user={user}");
            if !password.is_empty() {
                connection += &format!(" password={password}");
            }
            Some(Self { connection, database: database.to_owned() })
        };
        read().ok_or_else(|| Error::new("PgBouncer needs the URL of a PostgreSQL server"))
    }
}
