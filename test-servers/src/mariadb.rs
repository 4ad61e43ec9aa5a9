use std::io::{self, Read as _};
use std::ops::Deref;

use rustix::process::Signal;

use crate::account::is_root;
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::port::Port;
use crate::program::find_or_install;
use crate::server::{Launch, Server, connect, run};

/// Without the services and accounts that `mariadb-server` brings.
const PACKAGE: &str = "mariadb-server-core";

/// One MariaDB server, with the database `test`, whose user `root` needs no password.
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
        let program = find_or_install("mariadbd", PACKAGE)?;
        let install_db = find_or_install("mariadb-install-db", PACKAGE)?;
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
        arguments.extend(["--skip-test-db", "--skip-name-resolve"]);
        arguments.extend(["--auth-root-authentication-method=normal"]);
        arguments.extend(user);
        run(&install_db, &arguments, None)?;

        // Also after a restart, hence the condition.
        std::fs::write(path("init.sql"), "CREATE DATABASE IF NOT EXISTS test;\n")
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
        arguments.extend(user);
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        let url = format!("mysql://root@127.0.0.1:{number}/test");
        let launch = Launch { program, arguments, account: None, end: Signal::KILL };
        let answers = Box::new(move || greets(number));
        Server::start("mariadb", url, port, launch, directory, answers).map(Self)
    }
}

impl Deref for MariaDb {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// The server speaks first, and not before it has recovered: a length, a sequence number, and the
/// version of the protocol, which is 10 for all since 1998; an error begins with 255.
fn greets(port: u16) -> io::Result<()> {
    let mut greeting = [0; 5];
    connect(port)?.read_exact(&mut greeting)?;
    if greeting[4] == 10 { Ok(()) } else { Err(io::Error::other("it sent no greeting")) }
}
