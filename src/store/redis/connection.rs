//! [`Connection`]: carries commands to Redis.

use std::future::ready;
use std::sync::Arc;

use redis::aio::{ConnectionManager, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::abandoned::Abandoned;
use super::cluster::{Cluster, Node};
use super::error::{answer, is_unknown_script, timed_out, wrong_setting};
use super::reconnecting::Reconnecting;
use super::script::Script;

/// An existing connection of an application: a `ConnectionManager` or a `ClusterConnection` of the
/// crate `redis`.
///
/// Make a cluster connection with [`retries(0)`](redis::cluster::ClusterClientBuilder::retries). By
/// default, it sends a command again if the connection broke before the answer came. A write that has
/// taken place then looks like a conflict, or like a session that is gone. The store itself repeats a
/// command that was certainly not run.
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
        Self(Way::Manager(manager).into())
    }
}

impl From<ClusterConnection> for RedisConnection {
    fn from(connection: ClusterConnection) -> Self {
        Self(Way::Cluster(Cluster::new(connection, None)).into())
    }
}

#[derive(Clone)]
pub(in crate::store) struct Connection {
    way: Way,
    /// One for each range of slots, so that a master of a Cluster that does not answer does not delay
    /// calls to the others. A master has slots of a few ranges.
    abandoned: Arc<[Arc<Abandoned>; RANGES]>,
}

/// How many ranges of slots there are.
const RANGES: usize = 16;

/// How many slots a range has, of 16,384.
const SLOTS: usize = 16_384 / RANGES;

/// The ways to Redis.
#[derive(Clone)]
pub(super) enum Way {
    Reconnecting(Arc<Reconnecting>),
    Manager(ConnectionManager),
    Cluster(Cluster),
}

impl From<Way> for Connection {
    fn from(way: Way) -> Self {
        Self { way, abandoned: Arc::default() }
    }
}

impl Connection {
    /// Sends a command to the server that has the slot, and waits for the answer until the deadline.
    pub(in crate::store) async fn send(
        &self,
        command: &Cmd,
        slot: u16,
        deadline: Instant,
    ) -> RedisResult<Value> {
        self.abandoned(slot).are_few(deadline).await?;
        let call = Call { connection: self, slot, deadline, is_over: false };
        call.end(self.way.send(command, slot, deadline).await)
    }

    fn abandoned(&self, slot: u16) -> &Arc<Abandoned> {
        &self.abandoned[usize::from(slot) / SLOTS % RANGES]
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.way, Way::Cluster(_))
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

    /// The masters, in the order of their first slots. Without a Cluster, the one server.
    pub(super) async fn nodes(&self, deadline: Instant) -> RedisResult<Vec<Node>> {
        match &self.way {
            Way::Cluster(cluster) => cluster.masters(deadline).await,
            Way::Reconnecting(_) | Way::Manager(_) => Ok(vec![Node::default()]),
        }
    }

    /// Connects, if that has not happened yet.
    pub(super) async fn reach(&self, deadline: Instant) -> RedisResult<()> {
        match &self.way {
            Way::Reconnecting(connection) => connection.perform(deadline, |_| ready(Ok(()))).await,
            Way::Manager(_) | Way::Cluster(_) => Ok(()),
        }
    }
}

impl Way {
    async fn send(&self, command: &Cmd, slot: u16, deadline: Instant) -> RedisResult<Value> {
        match self {
            Self::Reconnecting(connection) => {
                let send = |mut connection: MultiplexedConnection| async move {
                    answer(connection.send_packed_command(command).await)
                };
                connection.perform(deadline, send).await.map_err(name_cluster)
            }
            Self::Manager(manager) => {
                let mut manager = manager.clone();
                let send = timeout_at(deadline, manager.send_packed_command(command));
                answer(send.await.unwrap_or_else(|_| Err(timed_out()))).map_err(name_cluster)
            }
            Self::Cluster(cluster) => cluster.send(command, slot, deadline).await,
        }
    }
}

/// A call under way.
struct Call<'a> {
    connection: &'a Connection,
    slot: u16,
    deadline: Instant,
    is_over: bool,
}

impl Call<'_> {
    fn end<T>(mut self, answer: T) -> T {
        self.is_over = true;
        answer
    }
}

impl Drop for Call<'_> {
    /// Its caller was dropped. The call is over when the server answers the next command.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let (way, slot, deadline) = (self.connection.way.clone(), self.slot, self.deadline);
            let abandoned = self.connection.abandoned(slot).add();
            runtime.spawn(async move {
                // An error is an answer too. The store's user has the right to this command.
                let _ = way.send(&redis::cmd("TIME"), slot, deadline).await;
                drop(abandoned);
            });
        }
    }
}

/// A server that points to another one is a node of a Cluster; a retry does not help.
fn name_cluster(error: RedisError) -> RedisError {
    if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) {
        return wrong_setting(
            "this Redis is a node of a Cluster, which takes a URL with redis-cluster".to_owned(),
        );
    }
    error
}
