//! [`Sentinels`]: find the master.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, RedisResult};
use tokio::time::{Instant, timeout_at};

use super::endpoint::ClientFactory;
use super::error::{of_sentinel, wrong_setting};

/// How long to wait for the others once a Sentinel has answered.
const PATIENCE: Duration = Duration::from_millis(200);

/// The Sentinels that watch a master.
pub(super) struct Sentinels {
    clients: Vec<Client>,
    master: String,
    /// How the master itself is reached.
    factory: ClientFactory,
}

impl Sentinels {
    pub(super) fn new(clients: Vec<Client>, master: String, factory: ClientFactory) -> Self {
        Self { clients, master, factory }
    }

    /// The master, as named by the Sentinel that knows of the latest failover. Another one may still name
    /// the old master. When that one has just come back, it still acts as a master, and may hold no data.
    pub(super) async fn master(&self) -> RedisResult<Client> {
        let ask = async |client| ask(client, &self.master).await.map_err(of_sentinel);
        let mut answers: FuturesUnordered<_> = self.clients.iter().map(ask).collect();
        let mut latest: Option<Named> = None;
        let mut failure = None;
        // All are asked at once: one that has gone silent must not delay the others.
        let mut patience: Option<Instant> = None;
        loop {
            let next = answers.next();
            let answer = match patience {
                Some(patience) => timeout_at(patience, next).await.unwrap_or_default(),
                None => next.await,
            };
            match answer {
                Some(Ok(named)) => {
                    patience.get_or_insert_with(|| Instant::now() + PATIENCE);
                    if latest.as_ref().is_none_or(|latest| latest.epoch < named.epoch) {
                        latest = Some(named);
                    }
                }
                // An unreachable Sentinel matters less than the answer of another one.
                Some(Err(error)) => {
                    if failure.as_ref().is_none_or(RedisError::is_io_error) {
                        failure = Some(error);
                    }
                }
                None => break,
            }
        }
        match (latest, failure) {
            (Some(named), _) => self.factory.client_at(&named.address),
            (None, Some(error)) => Err(error),
            (None, None) => Err(wrong_setting("no Sentinel was named".to_owned())),
        }
    }
}

/// A master as a Sentinel names it.
struct Named {
    address: String,
    /// Counts the failovers that the Sentinel knows of.
    epoch: u64,
}

async fn ask(sentinel: &Client, master: &str) -> RedisResult<Named> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let mut connection = sentinel.get_multiplexed_async_connection_with_config(&config).await?;
    let question = |word: &str| {
        let mut question = redis::cmd("SENTINEL");
        question.arg(word).arg(master);
        question
    };
    let address: Option<(String, u16)> =
        question("get-master-addr-by-name").query_async(&mut connection).await?;
    let Some((host, port)) = address else {
        return Err(wrong_setting(format!(
            "the Sentinels know no master named {master}; SENTINEL MASTERS lists those that they \
             watch, and the name stands behind the hosts in the URL"
        )));
    };
    let facts: HashMap<String, String> = question("master").query_async(&mut connection).await?;
    let epoch = facts.get("config-epoch").and_then(|epoch| epoch.parse().ok());
    Ok(Named { address: format!("{host}:{port}"), epoch: epoch.unwrap_or_default() })
}

/// Fails if the server is not a master: a Sentinel that was away may name the old one, and a replica
/// would show sessions that have ended.
pub(super) async fn check_master(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let role: Vec<redis::Value> = redis::cmd("ROLE").query_async(connection).await?;
    match role.first() {
        Some(redis::Value::BulkString(role)) if role == b"master" => Ok(()),
        _ => {
            let what = "the server that the Sentinels name is no master yet";
            Err((ErrorKind::MasterNameNotFoundBySentinel, what).into())
        }
    }
}
