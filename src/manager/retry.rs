//! How long a writer waits when another one came first.

use std::time::{Duration, Instant};

use crate::error::Error;

/// Attempts before a writer gives up.
const MAX_ATTEMPTS: u32 = 64;

/// Tasks are not woken at a finer time than this.
const TICK: Duration = Duration::from_millis(1);

/// Waits between attempts, and never the same time as another writer, so that a thousand writers of
/// one session all come through.
///
/// A wait is drawn from as long as the lost attempt took, from the read to the write that came too
/// late: writers that met in that time are then spread over it, and most of them read what the others
/// have written before they write themselves. On a store that answers at once, from a time that
/// doubles with each loss.
pub(crate) struct Backoff {
    conflicts: u32,
    began: Instant,
}

impl Backoff {
    /// The first attempt begins.
    pub(crate) fn new() -> Self {
        Self { conflicts: 0, began: Instant::now() }
    }

    /// Waits before the next attempt.
    pub(crate) async fn wait(&mut self) {
        self.conflicts += 1;
        let most = longest_wait(self.conflicts, self.began.elapsed());
        if most < TICK {
            tokio::task::yield_now().await;
        } else {
            // Without randomness the waits are equal, which is slow, not wrong.
            let random = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
            tokio::time::sleep(most.mul_f64(random)).await;
        }
        self.began = Instant::now();
    }

    /// As [`wait`](Self::wait).
    ///
    /// # Errors
    /// [`Error::Conflict`] when there were enough attempts.
    pub(super) async fn wait_or_give_up(&mut self) -> Result<(), Error> {
        if self.conflicts + 1 >= MAX_ATTEMPTS {
            return Err(Error::Conflict { attempts: self.conflicts + 1 });
        }
        self.wait().await;
        Ok(())
    }
}

/// The most that is waited after so many conflicts, the last of which took so long.
fn longest_wait(conflicts: u32, took: Duration) -> Duration {
    let doubled = match conflicts.checked_sub(3) {
        None => Duration::ZERO,
        Some(more) => TICK * (1 << more.min(8)),
    };
    took.max(doubled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_as_long_as_the_attempt_took_at_most_or_doubles_to_a_quarter_of_a_second() {
        let millis = Duration::from_millis;
        assert_eq!(longest_wait(1, Duration::ZERO), Duration::ZERO);
        assert_eq!(longest_wait(1, millis(700)), millis(700));
        assert_eq!(longest_wait(3, Duration::ZERO), millis(1));
        assert_eq!(longest_wait(5, millis(3)), millis(4));
        assert_eq!(longest_wait(u32::MAX, Duration::ZERO), millis(256));
    }

    #[tokio::test]
    async fn who_loses_64_times_gives_up() {
        let mut backoff = Backoff { conflicts: 62, began: Instant::now() };
        assert!(backoff.wait_or_give_up().await.is_ok());
        let given_up = backoff.wait_or_give_up().await;
        assert!(matches!(given_up, Err(Error::Conflict { attempts: 64 })), "{given_up:?}");
    }
}
