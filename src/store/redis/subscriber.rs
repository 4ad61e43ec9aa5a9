//! [`Subscriber`]: hears what Redis tells of changed sessions, on connections of its own.

use std::collections::HashMap;
use std::time::Duration;

use redis::{Client, RedisResult};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::endpoint::{ClientFactory, Endpoint};
use super::tracking::Tracking;

/// How long until a lost connection is made again, and a new master of a Cluster found.
const PAUSE: Duration = Duration::from_secs(1);

/// How long connecting and subscribing may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Where to listen.
#[derive(Clone)]
pub(super) enum Endpoints {
    One(Endpoint),
    /// Every master: what happens on a node is told by that node alone.
    Cluster(Cluster, Box<ClientFactory>),
}

impl Endpoints {
    /// A client for each server.
    pub(super) async fn clients(&self, deadline: Instant) -> RedisResult<Vec<Client>> {
        match self {
            Self::One(endpoint) => Ok(vec![endpoint.client().await?]),
            Self::Cluster(cluster, factory) => {
                let masters = cluster.masters(deadline).await?;
                masters.iter().map(|master| factory.client_at(&master.address)).collect()
            }
        }
    }
}

/// A task that listens until this is dropped.
pub(super) struct Subscriber(JoinHandle<()>);

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Subscriber {
    /// Listens to each server, for ever.
    pub(super) fn new(endpoints: Endpoints, tracking: Tracking) -> Self {
        Self(tokio::spawn(async move {
            match endpoints {
                Endpoints::One(endpoint) => stay(endpoint, tracking).await,
                Endpoints::Cluster(cluster, factory) => follow(cluster, *factory, tracking).await,
            }
        }))
    }
}

/// Listens to one server after another.
async fn stay(endpoint: Endpoint, tracking: Tracking) {
    loop {
        if let Ok(client) = endpoint.client().await {
            // Best effort: whatever ended it, the next attempt shows whether it is over.
            let _ = tracking.hear(&client).await;
        }
        sleep(PAUSE).await;
    }
}

/// Listens to all masters of a Cluster, whichever they are at the time.
async fn follow(cluster: Cluster, factory: ClientFactory, tracking: Tracking) {
    let mut subscribers: HashMap<String, Subscriber> = HashMap::new();
    loop {
        if let Ok(masters) = cluster.masters(Instant::now() + PATIENCE).await {
            subscribers.retain(|address, subscriber| {
                let is_master = masters.iter().any(|master| master.address == *address);
                is_master && !subscriber.0.is_finished()
            });
            for master in masters {
                subscribers.entry(master.address).or_insert_with_key(|address| {
                    let (tracking, client) = (tracking.clone(), factory.client_at(address));
                    Subscriber(tokio::spawn(async move {
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
