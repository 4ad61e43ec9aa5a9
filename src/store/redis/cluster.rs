//! [`Cluster`]: a connection to all masters of a Redis Cluster.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::{Instant, timeout_at};

use super::connectivity::Connectivity;
use super::endpoint::{ClientFactory, Endpoint};
use super::error::{answer, timed_out, was_not_run};
use super::reconnecting::Reconnecting;
use crate::backoff::Backoff;

/// The driver's cluster connection. Unlike the driver, it sends a command again only if the command
/// was certainly not run.
#[derive(Clone)]
pub(in crate::store) struct Cluster {
    connection: ClusterConnection,
    redirects: Option<Arc<AskRedirects>>,
}

/// Connections to nodes that are taking over a slot. The driver knows only nodes that have slots, and
/// it sends `ASKING` separately from the command that it is for.
pub(super) struct AskRedirects {
    factory: ClientFactory,
    connect_timeout: Duration,
    connectivity: Arc<Connectivity>,
    connections: Mutex<HashMap<String, Arc<Reconnecting>>>,
}

/// A master of a Cluster.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The first of its slots. A command for this slot reaches it.
    pub(super) first_slot: u16,
    pub(super) address: String,
}

impl Cluster {
    pub(super) fn new(connection: ClusterConnection, redirects: Option<AskRedirects>) -> Self {
        Self { connection, redirects: redirects.map(Arc::new) }
    }

    /// Sends a command to the master that has the slot. While the Cluster has none, it repeats that
    /// until the deadline.
    pub(super) async fn send(
        &self,
        command: &Cmd,
        slot: u16,
        deadline: Instant,
    ) -> RedisResult<Value> {
        let route = SingleNodeRoutingInfo::SpecificNode(Route::new(slot, SlotAddr::Master));
        let mut backoff = Backoff::new();
        loop {
            let mut result = self.route(command, route.clone(), deadline).await;
            if let (Err(error), Some(redirects)) = (&result, &self.redirects)
                && error.kind() == ErrorKind::Server(ServerErrorKind::Ask)
            {
                result = redirects.send(command, error, deadline).await;
            }
            match result {
                Err(error) if was_not_run(&error) => {
                    if timeout_at(deadline, backoff.wait()).await.is_err() {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    async fn route(
        &self,
        command: &Cmd,
        route: SingleNodeRoutingInfo,
        deadline: Instant,
    ) -> RedisResult<Value> {
        let mut connection = self.connection.clone();
        let sent = connection.route_command(command.clone(), RoutingInfo::SingleNode(route));
        let result = timeout_at(deadline, sent).await;
        answer(result.unwrap_or_else(|_| Err(timed_out())))
    }

    /// The masters, in the order of their first slots.
    pub(super) async fn masters(&self, deadline: Instant) -> RedisResult<Vec<Node>> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let ranges = self.route(&command, SingleNodeRoutingInfo::RandomPrimary, deadline).await?;
        let ranges: Vec<Vec<Value>> = redis::from_redis_value(ranges)?;
        let mut nodes: Vec<Node> = ranges.iter().filter_map(|range| node(range)).collect();
        nodes.sort_by_key(|node| node.first_slot);
        let mut known = HashSet::new();
        nodes.retain(|node| known.insert(node.address.clone()));
        Ok(nodes)
    }
}

/// The master in a line of `CLUSTER SLOTS`, which has the first and the last slot of a range, its master
/// and its replicas.
fn node(range: &[Value]) -> Option<Node> {
    let [Value::Int(first_slot), _, Value::Array(master), ..] = range else {
        return None;
    };
    let [host, Value::Int(port), ..] = master.as_slice() else {
        return None;
    };
    let host: Option<String> = redis::from_redis_value_ref(host).ok()?;
    Some(Node {
        first_slot: u16::try_from(*first_slot).ok()?,
        address: format!("{}:{port}", host.unwrap_or_default()),
    })
}

impl AskRedirects {
    pub(super) fn new(
        factory: ClientFactory,
        connect_timeout: Duration,
        connectivity: Arc<Connectivity>,
    ) -> Self {
        Self { factory, connect_timeout, connectivity, connections: Mutex::default() }
    }

    /// Sends a command where `ASK` points to.
    async fn send(&self, command: &Cmd, ask: &RedisError, deadline: Instant) -> RedisResult<Value> {
        let address = ask.redirect_node().map(|(address, _)| address);
        let connection = self.connection(address.unwrap_or_default())?;
        let mut pipeline = redis::pipe();
        pipeline.cmd("ASKING").ignore().add_command(command.clone());
        let send = |mut connection: MultiplexedConnection| async move {
            let mut answers = connection.send_packed_commands(&pipeline, 1, 1).await?;
            answer(Ok(answers.pop().unwrap_or_default()))
        };
        connection.perform(deadline, send).await
    }

    fn connection(&self, address: &str) -> RedisResult<Arc<Reconnecting>> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = connections.get(address) {
            return Ok(Arc::clone(connection));
        }
        let endpoint = Endpoint::Server(Box::new(self.factory.client_at(address)?));
        let connection = Arc::new(Reconnecting::new(
            endpoint,
            self.connect_timeout,
            Arc::clone(&self.connectivity),
        ));
        connections.insert(address.to_owned(), Arc::clone(&connection));
        Ok(connection)
    }
}
