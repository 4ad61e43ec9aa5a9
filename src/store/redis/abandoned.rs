//! [`Abandoned`]: calls whose callers have gone.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis::RedisResult;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::error::timed_out;

/// How many abandoned calls may be unanswered. A client that hangs up and asks again then uses no more
/// of the server than one that waits.
const MOST: usize = 8;

/// Counts the calls whose callers were dropped, as when a client hangs up, until the server has
/// answered them. The server still works on them, so without a bound, clients that hang up after a
/// millisecond keep it from answering other clients.
#[derive(Default)]
pub(super) struct Abandoned {
    calls: AtomicUsize,
    fewer: Notify,
}

impl Abandoned {
    /// Waits until there are few enough. Costs one atomic load while there are.
    pub(super) async fn are_few(&self, deadline: Instant) -> RedisResult<()> {
        while self.is_many() {
            let mut fewer = pin!(self.fewer.notified());
            // A notification from here on is heard.
            fewer.as_mut().enable();
            if self.is_many() {
                timeout_at(deadline, fewer).await.map_err(|_| timed_out())?;
            }
        }
        Ok(())
    }

    fn is_many(&self) -> bool {
        self.calls.load(Ordering::Relaxed) >= MOST
    }

    /// Counts one more, until what is returned is dropped.
    pub(super) fn add(self: &Arc<Self>) -> Counted {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(self))
    }
}

/// An abandoned call.
pub(super) struct Counted(Arc<Abandoned>);

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.calls.fetch_sub(1, Ordering::Relaxed) == MOST {
            self.0.fewer.notify_waiters();
        }
    }
}
