//! [`Sentinels`]: who the master is.

use futures_util::future::select_ok;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, RedisResult};

use super::target::Dialer;

/// The Sentinels that watch a master.
pub(super) struct Sentinels {
    clients: Vec<Client>,
    master: String,
    /// How the master itself is reached.
    dialer: Dialer,
}

impl Sentinels {
    pub(super) fn new(clients: Vec<Client>, master: String, dialer: Dialer) -> Self {
        Self { clients, master, dialer }
    }

    /// The master as the first Sentinel that answers names it. All are asked at once, as one that
    /// has gone silent would hold up those after it.
    pub(super) async fn master(&self) -> RedisResult<Client> {
        let answers = self.clients.iter().map(|client| Box::pin(ask(client, &self.master)));
        let ((host, port), _) = select_ok(answers).await?;
        self.dialer.client_at(&format!("{host}:{port}"))
    }
}

async fn ask(sentinel: &Client, master: &str) -> RedisResult<(String, u16)> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let mut connection = sentinel.get_multiplexed_async_connection_with_config(&config).await?;
    redis::cmd("SENTINEL")
        .arg("get-master-addr-by-name")
        .arg(master)
        .query_async::<Option<(String, u16)>>(&mut connection)
        .await?
        .ok_or_else(|| {
            let what = "the Sentinels know no master of this name";
            RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, what))
        })
}

/// Whether the server takes itself for a master: a Sentinel that was away may name the old one, and
/// a replica would show sessions that have ended.
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
