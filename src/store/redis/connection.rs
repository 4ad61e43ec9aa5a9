//! [`Connection`]: whatever carries commands to Redis.

use std::future::ready;
use std::sync::Arc;

use redis::aio::{ConnectionManager, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::{Instant, timeout_at};

use super::cluster::{Cluster, Node};
use super::error::{is_unknown_script, timed_out};
use super::link::Link;
use super::script::Script;

/// A connection that an application has already: a `ConnectionManager` or a `ClusterConnection` of
/// the crate `redis`.
///
/// A cluster connection is best made with
/// [`retries(0)`](redis::cluster::ClusterClientBuilder::retries): by itself it sends a command again
/// when the connection broke before the answer came, and a write that has taken place looks like a
/// conflict then, or like a session that is gone. The store itself sends again what certainly was
/// not run.
///
/// ```no_run
/// use redis::cluster::ClusterClient;
/// use token_session::store::Redis;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let nodes = ["redis://10.0.0.7:7000", "redis://10.0.0.8:7000"];
/// let client = ClusterClient::builder(nodes).retries(0).build()?;
/// let store = Redis::new(client.get_async_connection().await?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisConnection(pub(in crate::store) Connection);

impl std::fmt::Debug for RedisConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisConnection")
    }
}

impl From<ConnectionManager> for RedisConnection {
    fn from(manager: ConnectionManager) -> Self {
        Self(Connection::Manager(manager))
    }
}

impl From<ClusterConnection> for RedisConnection {
    fn from(connection: ClusterConnection) -> Self {
        Self(Connection::Cluster(Cluster::new(connection, None)))
    }
}

#[derive(Clone)]
pub(in crate::store) enum Connection {
    Link(Arc<Link>),
    Manager(ConnectionManager),
    Cluster(Cluster),
}

impl Connection {
    /// Sends a command to the server that has the slot, and waits for the answer until the deadline.
    pub(in crate::store) async fn send(
        &self,
        command: &Cmd,
        slot: u16,
        deadline: Instant,
    ) -> RedisResult<Value> {
        match self {
            Self::Link(link) => {
                let send = |mut connection: MultiplexedConnection| async move {
                    answer(connection.send_packed_command(command).await)
                };
                link.perform(deadline, send).await.map_err(name_cluster)
            }
            Self::Manager(manager) => {
                let mut manager = manager.clone();
                let send = timeout_at(deadline, manager.send_packed_command(command));
                answer(send.await.unwrap_or_else(|_| Err(timed_out()))).map_err(name_cluster)
            }
            Self::Cluster(cluster) => cluster.send(command, slot, deadline).await,
        }
    }

    /// Runs a script on the server that has the slot.
    pub(in crate::store) async fn run(
        &self,
        script: &Script,
        slot: u16,
        keys: &[&[u8]],
        args: &[&[u8]],
        deadline: Instant,
    ) -> RedisResult<Value> {
        match self.send(&script.call(keys, args), slot, deadline).await {
            Err(error) if is_unknown_script(&error) => {
                self.send(&script.first_call(keys, args), slot, deadline).await
            }
            answer => answer,
        }
    }

    /// The masters, in the order of their first slots; the one server where there is no Cluster.
    pub(super) async fn nodes(&self, deadline: Instant) -> RedisResult<Vec<Node>> {
        match self {
            Self::Cluster(cluster) => cluster.masters(deadline).await,
            Self::Link(_) | Self::Manager(_) => Ok(vec![Node::default()]),
        }
    }

    /// Connects, where that has not happened yet.
    pub(super) async fn reach(&self, deadline: Instant) -> RedisResult<()> {
        match self {
            Self::Link(link) => link.perform(deadline, |_| ready(Ok(()))).await,
            Self::Manager(_) | Self::Cluster(_) => Ok(()),
        }
    }
}

/// A server that points to another one is a node of a Cluster, which no retry changes.
fn name_cluster(error: RedisError) -> RedisError {
    if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) {
        let what = "it is a node of a Cluster, which takes a URL with redis-cluster";
        return (ErrorKind::InvalidClientConfig, what).into();
    }
    error
}

/// The driver hands out an error of the server as a value.
pub(super) fn answer(result: RedisResult<Value>) -> RedisResult<Value> {
    match result {
        Ok(Value::ServerError(error)) => Err(error.into()),
        other => other,
    }
}
