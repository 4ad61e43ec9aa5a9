//! [`Clock`]: where the memory store takes its time from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::record::Timestamp;

/// Tells the memory store what time it is.
///
/// ```
/// use token_session::Timestamp;
/// use token_session::store::{Clock, Memory};
///
/// struct Stopped;
///
/// impl Clock for Stopped {
///     fn now(&self) -> Timestamp {
///         Timestamp::from_millis(0)
///     }
/// }
///
/// let store = Memory::builder().clock(Stopped).build();
/// ```
pub trait Clock: Send + Sync + 'static {
    /// The time, which must never go back.
    fn now(&self) -> Timestamp;
}

/// Starts at the wall clock's time and then follows the monotonic clock: setting the machine's clock
/// neither ends nor extends a session.
///
/// On Linux the monotonic clock stands still while the machine sleeps. Sessions do not age then.
///
/// ```
/// use token_session::store::{Clock, SystemClock};
///
/// let clock = SystemClock::new();
/// assert!(clock.now() <= clock.now());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
    started_at: Timestamp,
}

impl SystemClock {
    /// A clock that is set to the wall clock now.
    pub fn new() -> Self {
        let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self { started: Instant::now(), started_at: Timestamp::from_millis(0) + since_epoch }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.started_at + self.started.elapsed()
    }
}

/// A clock that stands still until it is moved: tests need no sleep. Its clones show the same time.
///
/// ```
/// use std::time::Duration;
/// use token_session::store::{Clock, ManualClock, Memory};
///
/// let clock = ManualClock::default();
/// let store = Memory::builder().clock(clock.clone()).build();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(1_800));
/// assert_eq!(clock.now().since(before), Duration::from_secs(1_800));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that shows this time.
    pub fn new(start: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(start.as_millis())))
    }

    /// Moves it forward.
    pub fn advance(&self, time: Duration) {
        let moved = |now| Some((Timestamp::from_millis(now) + time).as_millis());
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, moved);
    }
}

impl Default for ManualClock {
    /// A clock that shows 1,000,000,000 seconds after the Unix epoch, in September 2001.
    fn default() -> Self {
        Self::new(Timestamp::from_millis(1_000_000_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}
