mod cluster;
mod resp;
mod sentinel;
mod tls;

use std::io;
use std::ops::Deref;

use rustix::process::Signal;

pub use cluster::RedisCluster;
pub use sentinel::Sentinel;
pub use tls::{Certificates, RedisTls};

use crate::directory::Directory;
use crate::error::Result;
use crate::packages::REDIS;
use crate::port::Port;
use crate::server::{Launch, Server};

/// One Redis server.
pub struct Redis(Server);

impl Redis {
    /// Starts one that keeps its data in memory alone, so a restarted one is empty.
    pub fn start() -> Result<Self> {
        node(&["--save", "", "--appendonly", "no"]).map(Self)
    }

    /// Starts one that has every acknowledged write on disk.
    pub fn durable() -> Result<Self> {
        node(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]).map(Self)
    }

    /// Starts one that knows, next to the default user, a user with these ACL rules, such as
    /// `~session:* +getex +eval`.
    pub fn with_user(name: &str, password: &str, rules: &str) -> Result<Self> {
        let password = format!(">{password}");
        let mut options = vec!["--save", "", "--appendonly", "no"];
        options.extend(["--user", name, "on", &password]);
        options.extend(rules.split_whitespace());
        node(&options).map(Self)
    }

    /// What a client that logs in as this user connects to.
    pub fn url_as(&self, name: &str, password: &str) -> String {
        format!("redis://{name}:{password}@127.0.0.1:{}", self.port())
    }
}

impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// Starts a server in plain text with these options over the common ones.
fn node(options: &[&str]) -> Result<Server> {
    let port = Port::reserve()?;
    let number = port.number();
    let mut arguments = vec!["--port".to_owned(), number.to_string()];
    arguments.extend(options.iter().map(|&option| option.to_owned()));
    launch("redis", "redis", port, arguments, Directory::create("redis", None)?, move || {
        version(number)
    })
}

fn launch(
    name: &'static str,
    scheme: &str,
    port: Port,
    mut arguments: Vec<String>,
    directory: Directory,
    answers: impl Fn() -> io::Result<String> + Send + Sync + 'static,
) -> Result<Server> {
    let path = directory.path().display().to_string();
    // DEBUG SLEEP is how a test makes a server stall for a known time.
    let common = ["--bind", "127.0.0.1", "--dir", &path, "--enable-debug-command", "yes"];
    arguments.extend(common.map(str::to_owned));
    let url = format!("{scheme}://127.0.0.1:{}", port.number());
    let program = REDIS.server("redis-server")?;
    let launch = Launch { program, arguments, account: None, end: Signal::KILL };
    Server::start(name, url, port, launch, directory, Box::new(answers))
}

/// `INFO` alone would be answered by a server that still reads its data.
fn version(port: u16) -> io::Result<String> {
    resp::ask(port, &["PING"])?;
    Ok(version_in(&resp::ask(port, &["INFO", "server"])?.concat()))
}

/// The name and version in the answer to `INFO server`. Valkey has a name and version of its own next
/// to those of the Redis that it is compatible with.
fn version_in(info: &str) -> String {
    let field = |name| {
        let mut fields = info.lines().filter_map(|line| line.trim_end().split_once(':'));
        fields.find_map(|(key, value)| (key == name).then_some(value))
    };
    match (field("valkey_version"), field("redis_version")) {
        (Some(version), _) => format!("Valkey {version}"),
        (None, version) => format!("Redis {}", version.unwrap_or("of no known version")),
    }
}
