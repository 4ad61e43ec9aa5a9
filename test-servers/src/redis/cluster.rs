use std::thread;
use std::time::{Duration, Instant};

use super::{node, resp};
use crate::error::{Error, Result};
use crate::packages::REDIS;
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

    /// The nodes that run and serve slots now, by their index.
    pub fn masters(&self) -> Result<Vec<usize>> {
        Ok(serving(&self.nodes_seen()?)
            .filter_map(|(line, _)| self.index_of(line))
            .filter(|&index| self.runs(index))
            .collect())
    }

    /// The index of the master that serves a hash slot, as the nodes that run see it.
    pub fn master_of_slot(&self, slot: u16) -> Result<usize> {
        let holds = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let bounds = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
            bounds.is_some_and(|(first, last)| (first..=last).contains(&slot))
        };
        serving(&self.nodes_seen()?)
            .find(|(_, slots)| slots.split(' ').any(holds))
            .and_then(|(line, _)| self.index_of(line))
            .ok_or_else(|| Error::new(format!("no node of the cluster serves slot {slot}")))
    }

    /// Kills the i-th of the masters that there are now, and returns which node that was.
    pub fn kill_master(&self, i: usize) -> Result<usize> {
        let masters = self.masters()?;
        let index = *masters.get(i).ok_or_else(|| {
            Error::new(format!("the cluster has {} masters, not {}", masters.len(), i + 1))
        })?;
        self.nodes[index].kill()?;
        Ok(index)
    }

    /// Waits until every node that runs sees a running master for each slot, as after a failover.
    pub fn wait_until_ok(&self) -> Result<()> {
        self.wait("sees the whole cluster", |node| {
            let ask = |words: &[&str]| resp::ask(node.port(), words).unwrap_or_default().concat();
            let info = ask(&["CLUSTER", "INFO"]);
            // A node that has not noticed yet that a master is gone calls the cluster whole.
            let runs = |line: &str| {
                self.index_of(line).is_some_and(|index| self.nodes[index].pid().is_some())
            };
            info.contains("cluster_state:ok")
                && info.contains("cluster_slots_ok:16384")
                && serving(&ask(&["CLUSTER", "NODES"])).all(|(line, _)| runs(line))
        })
    }

    fn join(&self) -> Result<()> {
        let cli = REDIS.program("redis-cli")?;
        let addresses: Vec<String> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
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

    fn nodes_seen(&self) -> Result<String> {
        let running = self.nodes.iter().filter(|node| node.pid().is_some());
        running
            .filter_map(|node| resp::ask(node.port(), &["CLUSTER", "NODES"]).ok())
            .map(|answer| answer.concat())
            .next()
            .ok_or_else(|| Error::new("no node of the cluster answers"))
    }

    fn runs(&self, index: usize) -> bool {
        self.nodes[index].pid().is_some()
    }

    fn index_of(&self, line: &str) -> Option<usize> {
        let address = line.split(' ').nth(1)?.split('@').next()?;
        let port: u16 = address.rsplit_once(':')?.1.parse().ok()?;
        self.nodes.iter().position(|node| node.port() == port)
    }
}

/// The lines of `CLUSTER NODES` that end in slots, and those slots.
fn serving(nodes: &str) -> impl Iterator<Item = (&str, &str)> {
    nodes.lines().filter_map(|line| Some((line, line.splitn(9, ' ').nth(8)?)))
}
