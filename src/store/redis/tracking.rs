//! How Redis tells of changed sessions: client-side caching in broadcast mode.
//!
//! The server sends the name of each key with the store's prefix that any client changes. It does not
//! record which client has read which key (<https://redis.io/docs/latest/develop/reference/client-side-caching/>).

use std::sync::Arc;

use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisResult, Value};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::Redis;
use super::error::{refused, store_error, timed_out};
use super::names::Names;
use super::subscriber::{PATIENCE, Subscriber};
use crate::store::{Change, Result, Tell, Watch, Watching};

#[async_trait::async_trait]
impl Watch for Redis {
    /// Takes a connection of its own to each master, and the right to `CLIENT TRACKING`. Redis 6 or
    /// later, and a store that [`connect`](Redis::connect) has made.
    async fn watch(&self, tell: Tell) -> Result<Watching> {
        let Some(endpoints) = self.0.endpoints.clone() else {
            return Err(refused(
                "Redis tells changes only to a store that connects by itself; make the store with a URL",
            ));
        };
        let tracking = Tracking { names: Arc::clone(&self.0.names), tell };
        // A server that refuses to tell changes is an error now, not a missed change later.
        let clients = endpoints.clients(Instant::now() + PATIENCE).await.map_err(store_error)?;
        for client in clients {
            drop(tracking.track(&client, Arc::default()).await.map_err(store_error)?);
        }
        Ok(Watching::until_dropped(Subscriber::new(endpoints, tracking)))
    }
}

/// Tells the changes that a server sends.
#[derive(Clone)]
pub(super) struct Tracking {
    names: Arc<Names>,
    tell: Tell,
}

impl Tracking {
    /// Tells the changes on one server until the connection ends.
    pub(super) async fn hear(&self, client: &Client) -> RedisResult<()> {
        let end = Arc::<Notify>::default();
        let _connection = self.track(client, Arc::clone(&end)).await?;
        (self.tell)(Change::Any);
        end.notified().await;
        (self.tell)(Change::Any);
        Ok(())
    }

    /// A connection on which the server tells changes, and whose end is notified.
    async fn track(
        &self,
        client: &Client,
        end: Arc<Notify>,
    ) -> RedisResult<redis::aio::MultiplexedConnection> {
        let tracking = self.clone();
        let config = AsyncConnectionConfig::new().set_push_sender(move |push: PushInfo| {
            match push.kind {
                PushKind::Invalidate => tracking.hear_names(&push.data),
                PushKind::Disconnection => end.notify_one(),
                _ => {}
            }
            Ok::<(), redis::aio::SendError>(())
        });
        let mut command = redis::cmd("CLIENT");
        command.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(self.names.beginning());
        let connect = async {
            let mut connection =
                client.get_multiplexed_async_connection_with_config(&config).await?;
            command.query_async::<()>(&mut connection).await?;
            Ok(connection)
        };
        timeout(PATIENCE, connect).await.unwrap_or_else(|_| Err(timed_out()))
    }

    /// A list of names; no list if the server was emptied.
    fn hear_names(&self, data: &[Value]) {
        let [Value::Array(names)] = data else {
            return (self.tell)(Change::Any);
        };
        for name in names {
            let Value::BulkString(name) = name else {
                continue;
            };
            if let Some(key) = self.names.parse(name) {
                (self.tell)(Change::Record(key));
            } else if let Some(owner) = self.names.parse_index(name) {
                (self.tell)(Change::Owner(owner));
            }
        }
    }
}
