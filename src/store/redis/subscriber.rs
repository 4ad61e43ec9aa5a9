//! [`Subscriber`]: listens to Redis for changed sessions, on connections of its own.

use std::collections::HashMap;
use std::time::Duration;

use redis::{Client, RedisResult};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::endpoint::{ClientFactory, Endpoint};
use super::tracking::Tracking;

/// How long to wait before connecting again, and between two looks at the masters of a Cluster.
const PAUSE: Duration = Duration::from_secs(1);

/// How long connecting and subscribing may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Where to listen.
#[derive(Clone)]
pub(super) enum Endpoints {
    One(Endpoint),
    /// Every master: a node tells only what happens on itself.
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
    /// Listens to each server.
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
            // An error is not of interest: the next attempt shows whether it is over.
            let _ = tracking.hear(&client).await;
        }
        sleep(PAUSE).await;
    }
}

/// Listens to all current masters of a Cluster.
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
