use std::io::{self, BufRead as _, BufReader, Read as _};
use std::ops::Deref;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::account::is_root;
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::packages::MARIADB;
use crate::port::Port;
use crate::server::{Launch, Server, connect, run};
use crate::system;

/// One MariaDB server, with the database `test`, whose user `root` needs no password; MySQL itself where
/// the servers are another system's that has it.
pub struct MariaDb(Server);

impl MariaDb {
    /// Starts one that does not wait for the disk: it survives `kill`, not a power cut.
    pub fn start() -> Result<Self> {
        Self::start_with("--innodb-flush-log-at-trx-commit=2")
    }

    /// Starts one that waits for the disk at every commit.
    pub fn durable() -> Result<Self> {
        Self::start_with("--innodb-flush-log-at-trx-commit=1")
    }

    fn start_with(setting: &str) -> Result<Self> {
        let kind = Kind::here()?;
        let directory = Directory::create("mariadb", None)?;
        let path = |name: &str| directory.path().join(name).display().to_string();
        // It runs as root only when told so by name.
        let user: &[&str] = if is_root() { &["--user=root"] } else { &[] };

        // A server that starts removes the temporary tables of all others from a shared folder.
        std::fs::create_dir(path("tmp"))
            .map_err(|error| Error::doing(format!("creating {}", path("tmp")), error))?;
        let (data, tmp) =
            (format!("--datadir={}", path("data")), format!("--tmpdir={}", path("tmp")));
        let mut arguments = vec!["--no-defaults", &data, &tmp];
        arguments.extend(kind.to_make);
        arguments.extend(user);
        run(&kind.maker, &arguments, None)?;

        // Also after a restart, hence the condition.
        std::fs::write(path("init.sql"), kind.init)
            .map_err(|error| Error::doing(format!("writing {}", path("init.sql")), error))?;
        let port = Port::reserve()?;
        let number = port.number();
        let (port_option, socket) = (format!("--port={number}"), path("mariadb.sock"));
        let (socket, pid_file) = (format!("--socket={socket}"), path("mariadb.pid"));
        let (pid_file, init) = (format!("--pid-file={pid_file}"), path("init.sql"));
        let init = format!("--init-file={init}");
        let mut arguments =
            vec!["--no-defaults", &data, &tmp, &port_option, &socket, &pid_file, &init];
        arguments.extend(["--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"]);
        arguments.extend(["--max-connections=300", "--innodb-buffer-pool-size=64M", setting]);
        arguments.extend(kind.to_run);
        arguments.extend(user);
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        let url = format!("mysql://root@127.0.0.1:{number}/test");
        let launch = Launch { program: kind.program, arguments, account: None, end: Signal::KILL };
        let answers = Box::new(move || greets(number));
        Server::start("mariadb", url, port, launch, directory, answers).map(Self)
    }
}

/// How MariaDB and MySQL differ.
struct Kind {
    program: PathBuf,
    /// Makes the data directory.
    maker: PathBuf,
    to_make: &'static [&'static str],
    to_run: &'static [&'static str],
    /// What it runs at each start.
    init: &'static str,
}

impl Kind {
    /// Debian has MySQL in its suite `sid` alone.
    fn here() -> Result<Self> {
        if system::root().is_some() {
            let program = MARIADB.server("mysqld")?;
            return Ok(Self {
                maker: program.clone(),
                program,
                // The folder that it would look into by default is not there.
                to_make: &["--initialize-insecure", "--secure-file-priv=NULL"],
                to_run: &["--secure-file-priv=NULL", "--mysqlx=OFF"],
                // The root that it makes by itself may only come from localhost.
                init: "CREATE DATABASE IF NOT EXISTS test;\n\
                       CREATE USER IF NOT EXISTS root@'127.0.0.1';\n\
                       GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;\n",
            });
        }
        Ok(Self {
            program: MARIADB.program("mariadbd")?,
            maker: MARIADB.program("mariadb-install-db")?,
            to_make: &[
                "--skip-test-db",
                "--skip-name-resolve",
                "--auth-root-authentication-method=normal",
            ],
            to_run: &[],
            init: "CREATE DATABASE IF NOT EXISTS test;\n",
        })
    }
}

impl Deref for MariaDb {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// The server speaks first, and not before it has recovered: a length of three bytes, a sequence
/// number, the version of the protocol, which is 10 for all since 1998, and the server's own version
/// up to a zero. An error begins with 255.
fn greets(port: u16) -> io::Result<String> {
    let mut greeting = BufReader::new(connect(port)?);
    let mut head = [0; 5];
    greeting.read_exact(&mut head)?;
    if head[4] != 10 {
        return Err(io::Error::other("it sent no greeting"));
    }
    let mut version = Vec::new();
    greeting.read_until(0, &mut version)?;
    version.pop();
    let version = String::from_utf8_lossy(&version);
    // What clients of old replication expect stands before MariaDB's own version.
    let version = version.strip_prefix("5.5.5-").unwrap_or(&version);
    let name = if version.contains("MariaDB") { "MariaDB" } else { "MySQL" };
    Ok(format!("{name} {version}"))
}
