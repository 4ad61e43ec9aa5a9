use std::thread;
use std::time::{Duration, Instant};

use super::{node, resp};
use crate::error::{Error, Result};
use crate::program::find_or_install;
use crate::server::{START_LIMIT, Server, run};

/// A Redis Cluster: three masters, each with a replica.
pub struct RedisCluster {
    nodes: Vec<Server>,
}

impl RedisCluster {
    /// Starts six nodes, joins them, and returns when each of them sees the cluster as whole.
    pub fn start() -> Result<Self> {
        let nodes = (0..6)
            .map(|_| {
                let mut options = vec!["--save", "", "--appendonly", "no"];
                options.extend(["--cluster-enabled", "yes"]);
                // The time until a failover begins. Shorter ones see failures on a busy machine.
                options.extend(["--cluster-node-timeout", "2000"]);
                // A replica takes over however long it has been away from its master.
                options.extend(["--cluster-replica-validity-factor", "0"]);
                options.extend(["--repl-diskless-sync-delay", "0"]);
                node(&options)
            })
            .collect::<Result<Vec<_>>>()?;
        let cluster = Self { nodes };
        cluster.join()?;
        Ok(cluster)
    }

    /// What a client connects to: every node, separated by commas.
    pub fn url(&self) -> String {
        self.urls().join(",")
    }

    /// What a client connects to, node by node.
    pub fn urls(&self) -> Vec<&str> {
        self.nodes.iter().map(Server::url).collect()
    }

    /// A node, to be killed, restarted or paused by itself.
    pub fn node(&self, index: usize) -> &Server {
        &self.nodes[index]
    }

    /// The nodes that are masters now, by their index, as the nodes that run see it.
    pub fn masters(&self) -> Result<Vec<usize>> {
        let list = self.ask(&["CLUSTER", "NODES"])?.concat();
        let masters = list.lines().filter(|line| {
            let flags = line.split(' ').nth(2).unwrap_or_default();
            flags.contains("master") && !flags.contains("fail")
        });
        Ok(masters.filter_map(|line| self.index_of(line)).collect())
    }

    /// The index of the master that serves a hash slot now.
    pub fn master_of_slot(&self, slot: u16) -> Result<usize> {
        let list = self.ask(&["CLUSTER", "NODES"])?.concat();
        let serves = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let bounds = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
            bounds.is_some_and(|(first, last)| (first..=last).contains(&slot))
        };
        list.lines()
            .find(|line| line.split(' ').skip(8).any(serves))
            .and_then(|line| self.index_of(line))
            .ok_or_else(|| Error::new(format!("no node of the cluster serves slot {slot}")))
    }

    /// Kills the i-th of the masters that there are now, and returns which node that was.
    pub fn kill_master(&self, i: usize) -> Result<usize> {
        let masters = self.masters()?;
        let index = *masters.get(i).ok_or_else(|| {
            Error::new(format!(
                "the cluster has {} masters, not {}",
                masters.len(),
                i + 1
            ))
        })?;
        self.nodes[index].kill()?;
        Ok(index)
    }

    /// Waits until every node that runs sees a master for each slot again, as after a failover.
    pub fn wait_until_ok(&self) -> Result<()> {
        self.wait("sees the whole cluster", |node| {
            let info = resp::ask(node.port(), &["CLUSTER", "INFO"])
                .unwrap_or_default()
                .concat();
            info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
        })
    }

    fn join(&self) -> Result<()> {
        let cli = find_or_install("redis-cli", "redis-tools")?;
        let addresses: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        let mut arguments = vec!["--cluster", "create"];
        arguments.extend(addresses.iter().map(String::as_str));
        arguments.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        run(&cli, &arguments, None)?;
        self.wait_until_ok()?;
        // Before that a killed master has nobody to take over.
        self.wait("has its replica", |node| {
            let ask = |words: &[&str]| resp::ask(node.port(), words).unwrap_or_default().concat();
            let replication = ask(&["INFO", "replication"]);
            let replicas = ask(&["CLUSTER", "NODES"]).matches("slave").count();
            let in_sync = ["state=online", "master_link_status:up"];
            replicas == 3 && in_sync.iter().any(|sign| replication.contains(sign))
        })
    }

    fn wait(&self, what: &str, condition: impl Fn(&Server) -> bool) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        for node in self.nodes.iter().filter(|node| node.pid().is_some()) {
            while !condition(node) {
                if Instant::now() > deadline {
                    let (port, log) = (node.port(), node.log_tail());
                    return Err(Error::new(format!(
                        "waiting until cluster node {port} {what} took too long. \
                         The end of its log:\n{log}"
                    )));
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    fn ask(&self, words: &[&str]) -> Result<Vec<String>> {
        let running = self.nodes.iter().filter(|node| node.pid().is_some());
        running
            .map(|node| resp::ask(node.port(), words))
            .find_map(|answer| answer.ok())
            .ok_or_else(|| Error::new(format!("no node of the cluster answers {words:?}")))
    }

    fn index_of(&self, line: &str) -> Option<usize> {
        let address = line.split(' ').nth(1)?.split('@').next()?;
        let port = address.rsplit_once(':')?.1.parse().ok()?;
        self.nodes.iter().position(|node| node.port() == port)
    }
}
