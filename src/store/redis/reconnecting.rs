//! [`Reconnecting`]: a connection to one server that connects again when it is lost.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, PushInfo, PushKind, RedisError, RedisResult};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use super::connectivity::Connectivity;
use super::endpoint::Endpoint;
use super::error::{is_read_only, timed_out};
use super::sentinel::check_master;

/// How long calls fail at once after an attempt to connect has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// One connection, shared by all calls.
///
/// It differs from the driver's `ConnectionManager` during an outage: it finds the new master after a
/// failover, replaces a connection that has gone silent, and tries again after the server has refused an
/// attempt, as a server does while it loads its data.
pub(in crate::store) struct Reconnecting {
    endpoint: Endpoint,
    connect_timeout: Duration,
    connectivity: Arc<Connectivity>,
    current: ArcSwapOption<Live>,
    /// Held while connecting, so that of many calls one connects and the others share the outcome.
    attempt: Mutex<Option<Failure>>,
    next_id: AtomicU64,
}

#[derive(Clone)]
struct Live {
    id: u64,
    multiplexed: MultiplexedConnection,
}

struct Failure {
    at: Instant,
    error: RedisError,
}

impl Reconnecting {
    pub(super) fn new(
        endpoint: Endpoint,
        connect_timeout: Duration,
        connectivity: Arc<Connectivity>,
    ) -> Self {
        Self {
            endpoint,
            connect_timeout,
            connectivity,
            current: ArcSwapOption::empty(),
            attempt: Mutex::default(),
            next_id: AtomicU64::new(0),
        }
    }

    /// Does `work` on the connection, by the deadline.
    pub(super) async fn perform<T, F>(
        self: &Arc<Self>,
        deadline: Instant,
        work: impl FnOnce(MultiplexedConnection) -> F,
    ) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let mut used = None;
        let result = timeout_at(deadline, async {
            let connection = match self.current() {
                Some(connection) => connection,
                None => self.connected().await?,
            };
            used = Some(connection.id);
            work(connection.multiplexed).await
        })
        .await
        .unwrap_or_else(|_| Err(timed_out()));
        if let (Err(error), Some(id)) = (&result, used) {
            // A silent server may be gone for good.
            if error.is_unrecoverable_error() || error.is_timeout() || is_read_only(error) {
                self.forget(id);
            }
        }
        result
    }

    fn current(&self) -> Option<Live> {
        self.current.load().as_deref().cloned()
    }

    /// The connection. Connects if there is none.
    async fn connected(self: &Arc<Self>) -> RedisResult<Live> {
        let mut last_failure = self.attempt.lock().await;
        // Another call may have connected meanwhile.
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        if let Some(failure) = &*last_failure
            && failure.at.elapsed() < PAUSE
        {
            return Err(failure.error.clone());
        }
        let attempt = timeout(self.connect_timeout, self.connect()).await;
        match attempt.unwrap_or_else(|_| Err(timed_out())) {
            Ok(connection) => {
                self.current.store(Some(Arc::new(connection.clone())));
                Ok(connection)
            }
            Err(error) => {
                *last_failure = Some(Failure { at: Instant::now(), error: error.clone() });
                Err(error)
            }
        }
    }

    async fn connect(self: &Arc<Self>) -> RedisResult<Live> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let weak = Arc::downgrade(self);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| disconnected(&weak, id, &push));
        let client = self.endpoint.client().await?;
        let mut multiplexed = client.get_multiplexed_async_connection_with_config(&config).await?;
        if let Endpoint::Master(_) = self.endpoint {
            check_master(&mut multiplexed).await?;
        }
        Ok(Live { id, multiplexed })
    }

    /// Lets the next call connect again, and says whether it would have used this connection. Calls
    /// under way keep the one that they have.
    fn forget(&self, id: u64) -> bool {
        let current = self.current.load();
        let is_current = current.as_ref().is_some_and(|current| current.id == id);
        if is_current {
            self.current.compare_and_swap(&current, None);
        }
        is_current
    }
}

/// The driver calls this when a connection ends, so that the next call does not have to fail first.
fn disconnected(
    weak: &Weak<Reconnecting>,
    id: u64,
    push: &PushInfo,
) -> Result<(), redis::aio::SendError> {
    if push.kind == PushKind::Disconnection
        && let Some(reconnecting) = weak.upgrade()
        && reconnecting.forget(id)
    {
        reconnecting.connectivity.failed();
    }
    Ok(())
}
