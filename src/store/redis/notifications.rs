//! What Redis tells by itself: sessions that expired, or that others ended.

use std::sync::Arc;

use futures_util::StreamExt;
use redis::{Client, RedisResult};
use tokio::time::timeout;

use super::error::timed_out;
use super::listener::{Ear, PATIENCE};
use super::names::Names;
use super::presence::Presence;
use crate::event::Event;

/// The kinds of keyspace events, and whether the session has reached the end of its time.
const KINDS: [(&str, bool); 3] = [("expired", true), ("del", false), ("evicted", false)];

/// Tells what Redis says, of this store's sessions alone.
#[derive(Clone)]
pub(super) struct Endings {
    pub(super) names: Arc<Names>,
    pub(super) presence: Arc<Presence>,
}

impl Ear for Endings {
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
