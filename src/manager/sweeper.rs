//! [`Sweeper`]: frees the space of expired sessions in the background.

use std::time::Duration;

use super::{Result, TokenSession};
use crate::observe::observe;

/// The most records that one call to the store frees, so that it never delays live traffic for long.
const BATCH: usize = 1_000;

/// The shortest pause between two rounds.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// A task that sweeps a store periodically, until this handle is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::time::Duration;
///
/// let sessions = token_session::TokenSession::<u32>::in_memory();
/// let _sweeper = sessions.spawn_sweeper(Duration::from_secs(60));
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the sweeper stops when it is dropped"]
pub struct Sweeper {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T: Send + 'static> TokenSession<T> {
    /// Frees the space of up to `limit` expired sessions, and returns of how many. Only space depends on it:
    /// an expired session is dead, swept or not.
    ///
    /// # Errors
    /// What the store says.
    pub async fn sweep(&self, limit: usize) -> Result<usize> {
        observe("sweep", None, async { Ok(self.listing()?.sweep(limit).await?) }).await
    }

    /// Sweeps in the background, in batches, every `every`. A pause of less than a second counts as a second.
    /// Several application servers may sweep one store. After an error it tries again in the next round;
    /// with the feature `tracing` the error is logged.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn_sweeper(&self, every: Duration) -> Sweeper {
        let (sessions, pause) = (self.clone(), every.max(SHORTEST_PAUSE));
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                while sessions.sweep(BATCH).await.is_ok_and(|swept| swept == BATCH) {
                    tokio::task::yield_now().await;
                }
            }
        });
        Sweeper { task }
    }
}
