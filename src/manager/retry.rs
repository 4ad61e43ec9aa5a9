//! How long a writer waits when another one came first.

use std::time::Duration;

use crate::error::Error;

/// Attempts before a writer gives up.
const MAX_ATTEMPTS: u32 = 64;

/// Waits longer with each conflict, and never the same time as another writer, so that a thousand
/// writers of one session all come through.
#[derive(Default)]
pub(super) struct Backoff {
    conflicts: u32,
}

impl Backoff {
    /// Waits before the next attempt.
    ///
    /// # Errors
    /// [`Error::Conflict`] when there were enough.
    pub(super) async fn wait(&mut self) -> Result<(), Error> {
        self.conflicts += 1;
        if self.conflicts >= MAX_ATTEMPTS {
            return Err(Error::Conflict { attempts: self.conflicts });
        }
        pause(self.conflicts).await;
        Ok(())
    }
}

/// Waits after so many conflicts.
pub(crate) async fn pause(conflicts: u32) {
    if conflicts < 3 {
        tokio::task::yield_now().await;
        return;
    }
    // Without randomness the waits are equal, which is slow, not wrong.
    let random = u64::from(getrandom::u32().unwrap_or(u32::MAX));
    let most = 1_000_u64 << (conflicts - 3).min(8);
    tokio::time::sleep(Duration::from_micros((most * random) >> 32)).await;
}
