use std::io::{self, Read as _, Write as _};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::directory::{self, Directory};
use crate::error::{Error, Result};
use crate::port::Port;
use crate::program::{find, find_or_install, install};
use crate::server::{Launch, Server, connect, run};

/// A server of its own over the storage engine of MongoDB 7. Debian has no `mongod`; this one is
/// a package of Python's. Only pre-releases of it exist, hence the exact version.
const STAND_IN: &str = "SecantusDB==0.7.0b3";

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
        let program = match find("mongod") {
            Ok(mongod) => {
                arguments.extend(["--bind_ip", "127.0.0.1", "--dbpath", &data]);
                mongod
            }
            Err(_) => {
                arguments.extend(["--host", "127.0.0.1", "--storage-path", &data]);
                arguments.extend(stand_in_options);
                stand_in()?
            }
        };
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        let url = format!("mongodb://127.0.0.1:{number}/?directConnection=true");
        let launch = Launch { program, arguments, account: None, end: Signal::KILL };
        let answers = Box::new(move || says_hello(number));
        Server::start("mongodb", url, port, launch, directory, answers).map(Self)
    }
}

impl Deref for MongoDb {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// The stand-in in a virtual environment of its own, made once for each target directory.
fn stand_in() -> Result<PathBuf> {
    let home = target_directory()?.join(STAND_IN.replace("==", "-"));
    let program = home.join("bin/secantusd-py");
    let _turn = directory::lock(&home.with_extension("lock"))?;
    if program.exists() {
        return Ok(program);
    }
    let python = find_or_install("python3", "python3-venv")?;
    let path = home.display().to_string();
    run(&python, &["-m", "venv", "--clear", &path], None).or_else(|_| {
        // Debian's Python comes without the part that puts pip into the environment.
        install(&["python3-venv"])?;
        run(Path::new("/usr/bin/python3"), &["-m", "venv", "--clear", &path], None)
    })?;
    let options = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", STAND_IN];
    run(&home.join("bin/python3"), &options, None)?;
    Ok(program)
}

/// The directory that cargo has put the running test into, by the tag that it leaves there.
fn target_directory() -> Result<PathBuf> {
    let test = std::env::current_exe()
        .map_err(|error| Error::doing("looking for the running test's file", error))?;
    let target = test.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.map(Path::to_owned).ok_or_else(|| {
        Error::new(format!("{} is not in a target directory of cargo", test.display()))
    })
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
