//! How long a writer waits after another one came first.

use std::time::{Duration, Instant};

/// The longest wait, however slow the store is.
const LONGEST: Duration = Duration::from_millis(256);

/// The runtime does not wake tasks at finer steps.
const TICK: Duration = Duration::from_millis(1);

/// Waits between attempts, each writer for another time, so that a thousand writers of one session all
/// succeed.
///
/// A wait is random, up to the time that the lost attempt took. Writers that met in that time are then
/// spread over it, and most of them read what the others have written before they write. On a store
/// that answers at once, the upper bound doubles with each loss. It never exceeds [`LONGEST`].
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
            // Without randomness the waits are equal: slow, not wrong.
            tokio::time::sleep(drawn(most, getrandom::u32().unwrap_or(u32::MAX))).await;
        }
        self.began = Instant::now();
    }

    /// As [`wait`](Self::wait). Returns false at once after the last of `attempts`.
    pub(crate) async fn wait_unless_last_of(&mut self, attempts: u32) -> bool {
        if self.conflicts + 1 >= attempts {
            return false;
        }
        self.wait().await;
        true
    }
}

/// The longest wait after this many conflicts, the last of which took `lost`.
fn longest_wait(conflicts: u32, took: Duration) -> Duration {
    let doubled = match conflicts.checked_sub(3) {
        None => Duration::ZERO,
        Some(more) => TICK * (1 << more.min(8)),
    };
    took.max(doubled).min(LONGEST)
}

/// A random part of a wait.
fn drawn(most: Duration, random: u32) -> Duration {
    most.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_as_long_as_the_attempt_took_at_most_or_doubles_to_a_quarter_of_a_second() {
        let millis = Duration::from_millis;
        assert_eq!(longest_wait(1, Duration::ZERO), Duration::ZERO);
        assert_eq!(longest_wait(1, millis(70)), millis(70));
        assert_eq!(longest_wait(1, millis(2_000)), millis(256));
        assert_eq!(longest_wait(3, Duration::ZERO), millis(1));
        assert_eq!(longest_wait(5, millis(3)), millis(4));
        assert_eq!(longest_wait(u32::MAX, Duration::ZERO), millis(256));
    }

    #[test]
    fn a_wait_is_anything_up_to_the_longest() {
        let most = Duration::from_millis(100);
        assert_eq!(drawn(most, 0), Duration::ZERO);
        assert_eq!(drawn(most, u32::MAX), most);
        assert!((49..=51).contains(&drawn(most, u32::MAX / 2).as_millis()));
    }

    #[tokio::test]
    async fn the_next_attempt_is_timed_from_the_end_of_the_wait() {
        let mut backoff =
            Backoff { conflicts: 0, began: Instant::now() - Duration::from_millis(20) };
        let start = Instant::now();
        backoff.wait().await;
        assert!(backoff.began >= start);
    }

    #[tokio::test]
    async fn who_loses_64_times_gives_up() {
        let mut backoff = Backoff { conflicts: 62, began: Instant::now() };
        assert!(backoff.wait_unless_last_of(64).await);
        assert!(!backoff.wait_unless_last_of(64).await);
    }
}
