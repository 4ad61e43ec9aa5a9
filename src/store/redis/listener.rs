//! [`Listener`]: hears what Redis tells of changed sessions, on connections of its own.

use std::collections::HashMap;
use std::time::Duration;

use redis::{Client, RedisResult};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::link::Target;
use super::target::Dialer;
use super::tracking::Tracking;

/// How long until a lost connection is made again, and a new master of a Cluster found.
const PAUSE: Duration = Duration::from_secs(1);

/// How long connecting and subscribing may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Where to listen.
#[derive(Clone)]
pub(super) enum Source {
    One(Target),
    /// Every master: what happens on a node is told by that node alone.
    Cluster(Cluster, Box<Dialer>),
}

impl Source {
    /// A client for each server.
    pub(super) async fn clients(&self, deadline: Instant) -> RedisResult<Vec<Client>> {
        match self {
            Self::One(target) => Ok(vec![target.client().await?]),
            Self::Cluster(cluster, dialer) => {
                let masters = cluster.masters(deadline).await?;
                masters.iter().map(|master| dialer.client_at(&master.address)).collect()
            }
        }
    }
}

/// A task that listens until this is dropped.
pub(super) struct Listener(JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listener {
    /// Listens to each server, for ever.
    pub(super) fn new(source: Source, tracking: Tracking) -> Self {
        Self(tokio::spawn(async move {
            match source {
                Source::One(target) => stay(target, tracking).await,
                Source::Cluster(cluster, dialer) => follow(cluster, *dialer, tracking).await,
            }
        }))
    }
}

/// Listens to one server after another.
async fn stay(target: Target, tracking: Tracking) {
    loop {
        if let Ok(client) = target.client().await {
            // Best effort: whatever ended it, the next attempt shows whether it is over.
            let _ = tracking.hear(&client).await;
        }
        sleep(PAUSE).await;
    }
}

/// Listens to all masters of a Cluster, whichever they are at the time.
async fn follow(cluster: Cluster, dialer: Dialer, tracking: Tracking) {
    let mut listeners: HashMap<String, Listener> = HashMap::new();
    loop {
        if let Ok(masters) = cluster.masters(Instant::now() + PATIENCE).await {
            listeners.retain(|address, listener| {
                let is_master = masters.iter().any(|master| master.address == *address);
                is_master && !listener.0.is_finished()
            });
            for master in masters {
                listeners.entry(master.address).or_insert_with_key(|address| {
                    let (tracking, client) = (tracking.clone(), dialer.client_at(address));
                    Listener(tokio::spawn(async move {
                        if let Ok(client) = client {
                            let _ = tracking.hear(&client).await;
                        }
                    }))
                });
            }
        }
        sleep(PAUSE).await;
    }
}
