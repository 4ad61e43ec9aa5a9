//! What Redis tells by itself: sessions that expired, or that others ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::{Client, RedisResult};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::cluster::Cluster;
use super::error::timed_out;
use super::link::Target;
use super::names::Names;
use super::presence::Presence;
use super::target::Dialer;
use crate::event::Event;

/// How long until a lost connection is made again, and a new master of a Cluster found.
const PAUSE: Duration = Duration::from_secs(1);

/// How long connecting and subscribing may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The kinds of keyspace events, and whether the session has reached the end of its time.
const KINDS: [(&str, bool); 3] = [("expired", true), ("del", false), ("evicted", false)];

/// Where to listen.
pub(super) enum Source {
    One(Target),
    /// Every master: keyspace events stay on the node where they arise.
    Cluster(Cluster, Box<Dialer>),
}

/// A task that listens until this is dropped.
pub(super) struct Listener(JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells what Redis says, of this store's sessions alone.
pub(super) fn listen(source: Source, names: Arc<Names>, presence: Arc<Presence>) -> Listener {
    let ear = Ear { names, presence };
    Listener(tokio::spawn(async move {
        match source {
            Source::One(target) => ear.stay(target).await,
            Source::Cluster(cluster, dialer) => ear.follow(cluster, *dialer).await,
        }
    }))
}

#[derive(Clone)]
struct Ear {
    names: Arc<Names>,
    presence: Arc<Presence>,
}

impl Ear {
    /// Listens to one server after another, for ever.
    async fn stay(&self, target: Target) {
        loop {
            if let Ok(client) = target.client().await {
                // Best effort: whatever ended it, the next attempt shows whether it is over.
                let _ = self.hear(&client).await;
            }
            sleep(PAUSE).await;
        }
    }

    /// Listens to all masters of a Cluster, whichever they are at the time.
    async fn follow(&self, cluster: Cluster, dialer: Dialer) {
        let mut listeners: HashMap<String, Listener> = HashMap::new();
        loop {
            if let Ok(masters) = cluster.masters(Instant::now() + PATIENCE).await {
                listeners.retain(|address, listener| {
                    let is_master = masters.iter().any(|master| master.address == *address);
                    is_master && !listener.0.is_finished()
                });
                for master in masters {
                    listeners.entry(master.address).or_insert_with_key(|address| {
                        let (ear, client) = (self.clone(), dialer.client_at(address));
                        Listener(tokio::spawn(async move {
                            if let Ok(client) = client {
                                let _ = ear.hear(&client).await;
                            }
                        }))
                    });
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Listens to one server until its connection ends.
    async fn hear(&self, client: &Client) -> RedisResult<()> {
        let database = client.get_connection_info().redis_settings().db();
        let subscribe = async {
            let mut subscriber = client.get_async_pubsub().await?;
            for (kind, _) in KINDS {
                subscriber.subscribe(channel(database, kind)).await?;
            }
            Ok(subscriber)
        };
        let mut subscriber =
            timeout(PATIENCE, subscribe).await.unwrap_or_else(|_| Err(timed_out()))?;
        let mut messages = subscriber.on_message();
        while let Some(message) = messages.next().await {
            let name = message.get_channel_name();
            let kind = KINDS.iter().find(|(kind, _)| name.ends_with(kind));
            if let Some((_, is_expired)) = kind
                && let Some(key) = self.names.parse(message.get_payload_bytes())
            {
                self.presence.tell(&if *is_expired {
                    Event::Expired { key }
                } else {
                    Event::Destroyed { key }
                });
            }
        }
        Ok(())
    }
}

fn channel(database: i64, kind: &str) -> String {
    format!("__keyevent@{database}__:{kind}")
}
