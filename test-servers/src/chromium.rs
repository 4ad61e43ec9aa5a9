use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::ops::Deref;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::packages::CHROMIUM;
use crate::port::Port;
use crate::server::{Launch, Server, connect};

/// How long the browser may take until it shows its first page, on a machine that is busy.
const OPENING: Duration = Duration::from_secs(60);

/// A Chromium without a window, in a profile of its own, driven by the WebDriver protocol (W3C).
pub struct Chromium {
    driver: Server,
    session: String,
    version: String,
}

impl Chromium {
    /// Starts one, and opens its session.
    pub fn start() -> Result<Self> {
        let program = CHROMIUM.program("chromedriver")?;
        let browser = CHROMIUM.program("chromium")?;
        let directory = Directory::create("chromium", None)?;
        let profile = directory.path().join("profile").display().to_string();
        let port = Port::reserve()?;
        let number = port.number();
        let arguments = vec![format!("--port={number}")];
        let launch = Launch { program, arguments, account: None, end: Signal::KILL };
        let url = format!("http://127.0.0.1:{number}");
        let answers = Box::new(move || {
            let status = ask(number, "GET /status", "", Duration::from_secs(2))?;
            Ok(format!("ChromeDriver {}", status["build"]["version"]))
        });
        let driver = Server::start("chromedriver", url, port, launch, directory, answers)?;

        let arguments = [
            "--headless=new",
            // The tests may run as root, and open no page but those of the service under test.
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={profile}"),
        ];
        let options = json!({ "goog:chromeOptions": { "binary": browser, "args": arguments } });
        let wanted = json!({ "capabilities": { "alwaysMatch": options } }).to_string();
        let session = ask(number, "POST /session", &wanted, OPENING).map_err(|error| {
            let log = driver.log_tail();
            Error::new(format!("Chromium does not start: {error}. The end of its log:\n{log}"))
        })?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let version = format!("Chromium {}", text(&session["capabilities"]["browserVersion"]));
        Ok(Self { driver, session: text(&session["sessionId"]), version })
    }

    /// The id of its session, which the paths of the protocol have in them.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Its name and version.
    pub fn version(&self) -> &str {
        &self.version
    }
}

impl Deref for Chromium {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.driver
    }
}

/// Sends one request and returns the value of its answer.
fn ask(port: u16, line: &str, body: &str, limit: Duration) -> io::Result<Value> {
    let mut stream = connect(port)?;
    stream.set_read_timeout(Some(limit))?;
    write!(
        stream,
        "{line} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    // The driver keeps the connection open, also when it is asked to close it.
    let mut answer = BufReader::new(stream);
    let mut status = String::new();
    answer.read_line(&mut status)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        answer.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = String::new();
    answer.take(length).read_to_string(&mut body)?;
    if status.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(format!("{status}{body}")));
    }
    let mut answer: Value = serde_json::from_str(&body).map_err(io::Error::other)?;
    Ok(answer["value"].take())
}
