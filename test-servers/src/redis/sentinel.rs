use std::thread;
use std::time::{Duration, Instant};

use super::{launch, node, resp, version};
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::port::Port;
use crate::server::{START_LIMIT, Server};

/// A Redis master with a replica, and three Sentinels that watch them.
pub struct Sentinel {
    data: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Sentinel {
    /// The name under which the Sentinels know the master.
    pub const MASTER_NAME: &str = "mymaster";

    /// Starts all five, and returns when a failover could begin.
    pub fn start() -> Result<Self> {
        let plain = ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"];
        let master = node(&plain)?;
        let port = master.port().to_string();
        let mut of_master = plain.to_vec();
        of_master.extend(["--replicaof", "127.0.0.1", &port]);
        let data = vec![node(&of_master)?, master];
        // A Sentinel that starts before the replica is in sync does not see it for ten seconds.
        wait("the replica to be in sync", || {
            let info = resp::ask(data[0].port(), &["INFO", "replication"]).unwrap_or_default();
            info.concat().contains("master_link_status:up")
        })?;
        let sentinels = (0..3).map(|_| start_sentinel(&port)).collect::<Result<Vec<_>>>()?;
        let sentinel = Self { data, sentinels };
        wait("the Sentinels to know the replica and each other", || sentinel.is_whole())?;
        Ok(sentinel)
    }

    /// What a client connects to: every Sentinel, separated by commas.
    pub fn url(&self) -> String {
        self.urls().join(",")
    }

    /// What a client connects to, Sentinel by Sentinel.
    pub fn urls(&self) -> Vec<&str> {
        self.sentinels.iter().map(Server::url).collect()
    }

    /// A Sentinel, to be killed, restarted or paused by itself.
    pub fn sentinel(&self, index: usize) -> &Server {
        &self.sentinels[index]
    }

    /// The server that the Sentinels name as the master now.
    pub fn master(&self) -> Result<&Server> {
        let port = self.master_port()?;
        let master = self.data.iter().find(|server| server.port() == port);
        master.ok_or_else(|| Error::new(format!("the Sentinels name a stranger on port {port}")))
    }

    /// Kills the master and returns it.
    pub fn kill_master(&self) -> Result<&Server> {
        let master = self.master()?;
        master.kill()?;
        Ok(master)
    }

    /// Waits until the Sentinels name a running master that takes writes, as after a failover.
    pub fn wait_until_ok(&self) -> Result<()> {
        wait("the Sentinels to name a master that runs", || {
            self.master().is_ok_and(|master| {
                let role = resp::ask(master.port(), &["ROLE"]).unwrap_or_default();
                master.pid().is_some() && role.first().is_some_and(|role| role == "master")
            })
        })
    }

    fn master_port(&self) -> Result<u16> {
        let question = ["SENTINEL", "get-master-addr-by-name", Self::MASTER_NAME];
        let running = self.sentinels.iter().filter(|sentinel| sentinel.pid().is_some());
        running
            .filter_map(|sentinel| resp::ask(sentinel.port(), &question).ok())
            .find_map(|address| address.get(1)?.parse().ok())
            .ok_or_else(|| Error::new("no Sentinel answers who the master is"))
    }

    fn is_whole(&self) -> bool {
        self.sentinels.iter().all(|sentinel| {
            let question = ["SENTINEL", "master", Self::MASTER_NAME];
            let facts = resp::ask(sentinel.port(), &question).unwrap_or_default();
            let fact = |name: &str| {
                let (pairs, _) = facts.as_chunks::<2>();
                pairs.iter().find(|[key, _]| key == name).map(|[_, value]| value.as_str())
            };
            fact("num-slaves") == Some("1")
                && fact("num-other-sentinels") == Some("2")
                && fact("flags") == Some("master")
        })
    }
}

fn start_sentinel(master_port: &str) -> Result<Server> {
    let directory = Directory::create("sentinel", None)?;
    let port = Port::reserve()?;
    let number = port.number();
    // A Sentinel keeps what it has learnt in its configuration file.
    let config = directory.path().join("sentinel.conf");
    let name = Sentinel::MASTER_NAME;
    std::fs::write(
        &config,
        format!(
            "port {number}\n\
             sentinel monitor {name} 127.0.0.1 {master_port} 2\n\
             sentinel down-after-milliseconds {name} 2000\n\
             sentinel failover-timeout {name} 6000\n"
        ),
    )
    .map_err(|error| Error::doing(format!("writing {}", config.display()), error))?;
    let arguments = vec![config.display().to_string(), "--sentinel".to_owned()];
    launch("redis sentinel", "redis", port, arguments, directory, move || version(number))
}

fn wait(what: &str, condition: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    while !condition() {
        if Instant::now() > deadline {
            return Err(Error::new(format!("waiting for {what} took too long")));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
