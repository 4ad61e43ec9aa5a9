use std::fs;
use std::io::{self, Read as _};
use std::ops::Deref;

use rustix::process::Signal;

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::port::Port;
use crate::python;
use crate::server::{Launch, Server, connect};

const PACKAGE: &str = "aiosmtpd==1.4.6";

/// One SMTP server that delivers every mail into its own mailbox.
pub struct Smtp(Server);

impl Smtp {
    /// Starts one, without TLS and without a login.
    pub fn start() -> Result<Self> {
        let directory = Directory::create("smtp", None)?;
        let port = Port::reserve()?;
        let number = port.number();
        let address = format!("127.0.0.1:{number}");
        let mailbox = directory.path().join("mailbox").display().to_string();
        let handler = "aiosmtpd.handlers.Mailbox";
        let mut arguments = vec!["-m", "aiosmtpd", "--nosetuid", "--listen", &address];
        arguments.extend(["--class", handler, &mailbox]);
        let launch = Launch {
            program: python::with_package(PACKAGE)?,
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            account: None,
            end: Signal::KILL,
        };
        let answers = Box::new(move || greets(number));
        Server::start("smtp", format!("smtp://{address}"), port, launch, directory, answers)
            .map(Self)
    }

    /// The mails that were delivered, as they were sent.
    pub fn mails(&self) -> Result<Vec<String>> {
        let folder = self.directory().join("mailbox/new");
        let reading = |error| Error::doing(format!("reading {}", folder.display()), error);
        let mails = fs::read_dir(&folder).map_err(reading)?;
        mails
            .map(|mail| fs::read_to_string(mail?.path()))
            .collect::<io::Result<_>>()
            .map_err(reading)
    }
}

impl Deref for Smtp {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// Waits for the first digit of the code 220.
fn greets(port: u16) -> io::Result<String> {
    connect(port)?.read_exact(&mut [0])?;
    Ok(PACKAGE.replace("==", " "))
}
