//! [`Lifetime`]: an idle timeout, an absolute one, or both.

use std::time::Duration;

use super::Timestamp;

/// How long a session lives: an idle timeout, an absolute timeout, or both (the words of OWASP's
/// Session Management Cheat Sheet). Whichever comes first ends it.
///
/// * **idle**: since the last touch. Each touch starts it anew.
/// * **absolute**: since the session began. Only re-authentication or a new lifetime extends it.
///
/// ```
/// use std::time::Duration;
/// use token_session::Lifetime;
///
/// let minutes = |n: u64| Duration::from_secs(60 * n);
/// let lifetime = Lifetime::idle(minutes(30))?.and_absolute(minutes(24 * 60))?;
/// assert_eq!(lifetime.first(), minutes(30));
/// assert!(Lifetime::idle(Duration::ZERO).is_err());
/// # Ok::<(), token_session::LifetimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    idle: Option<Duration>,
    absolute: Option<Duration>,
}

impl Lifetime {
    /// The longest timeout: 100 years of 365 days. Every store can add it to its clock.
    pub const MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

    /// Ends a session that was not touched for `timeout`. Kept in whole milliseconds.
    ///
    /// # Errors
    /// Less than a millisecond, or more than [`MAX`](Self::MAX).
    pub const fn idle(timeout: Duration) -> Result<Self, LifetimeError> {
        match checked(timeout) {
            Ok(timeout) => Ok(Self { idle: Some(timeout), absolute: None }),
            Err(error) => Err(error),
        }
    }

    /// Ends a session `timeout` after it began, used or not. Kept in whole milliseconds.
    ///
    /// # Errors
    /// Less than a millisecond, or more than [`MAX`](Self::MAX).
    pub const fn absolute(timeout: Duration) -> Result<Self, LifetimeError> {
        match checked(timeout) {
            Ok(timeout) => Ok(Self { idle: None, absolute: Some(timeout) }),
            Err(error) => Err(error),
        }
    }

    /// Adds an absolute timeout.
    ///
    /// # Errors
    /// As [`absolute`](Self::absolute).
    pub const fn and_absolute(self, timeout: Duration) -> Result<Self, LifetimeError> {
        match checked(timeout) {
            Ok(timeout) => Ok(Self { idle: self.idle, absolute: Some(timeout) }),
            Err(error) => Err(error),
        }
    }

    /// A lifetime of the timeouts that a store has kept, or a form has sent.
    ///
    /// # Errors
    /// [`Neither`](LifetimeError::Neither) where both are missing, else as [`idle`](Self::idle) and
    /// [`absolute`](Self::absolute).
    pub fn of(idle: Option<Duration>, absolute: Option<Duration>) -> Result<Self, LifetimeError> {
        let lifetime = Self {
            idle: idle.map(checked).transpose()?,
            absolute: absolute.map(checked).transpose()?,
        };
        if lifetime.idle.or(lifetime.absolute).is_none() {
            return Err(LifetimeError::Neither);
        }
        Ok(lifetime)
    }

    /// An idle timeout as configuration files and the Node module give it: a number of seconds.
    ///
    /// # Errors
    /// Zero, a negative number, or more than [`MAX`](Self::MAX).
    pub fn idle_secs(seconds: i64) -> Result<Self, LifetimeError> {
        u64::try_from(seconds)
            .map_err(|_| LifetimeError::Negative { seconds })
            .and_then(|seconds| Self::idle(Duration::from_secs(seconds)))
    }

    /// The idle timeout.
    pub const fn idle_timeout(&self) -> Option<Duration> {
        self.idle
    }

    /// The absolute timeout.
    pub const fn absolute_timeout(&self) -> Option<Duration> {
        self.absolute
    }

    /// How long a session that begins now lives if it is not used: the shorter of the two.
    pub fn first(&self) -> Duration {
        self.idle.unwrap_or(Duration::MAX).min(self.absolute.unwrap_or(Duration::MAX))
    }

    /// When a session that begins at `start` ends at the latest.
    pub fn deadline(&self, start: Timestamp) -> Option<Timestamp> {
        self.absolute.map(|timeout| start + timeout)
    }

    /// When a session last seen at `last_seen` ends, given its deadline.
    pub fn expiry(&self, last_seen: Timestamp, deadline: Option<Timestamp>) -> Timestamp {
        let idle = self.idle.map_or(Timestamp(u64::MAX), |timeout| last_seen + timeout);
        deadline.map_or(idle, |deadline| idle.min(deadline))
    }

    /// Whether a touch at `now` is written: `interval` has passed since the last one, or a tenth of the
    /// idle timeout where that is shorter. Without an idle timeout no touch is written.
    pub fn touch_due(&self, last_seen: Timestamp, now: Timestamp, interval: Duration) -> bool {
        self.idle.is_some_and(|idle| now.since(last_seen) >= interval.min(idle / 10))
    }
}

const fn checked(timeout: Duration) -> Result<Duration, LifetimeError> {
    if timeout.as_millis() == 0 {
        Err(LifetimeError::Zero)
    } else if timeout.as_secs() > Lifetime::MAX.as_secs() {
        Err(LifetimeError::TooLong { timeout })
    } else {
        Ok(Duration::from_millis(timeout.as_millis() as u64))
    }
}

/// The error for an invalid timeout.
///
/// ```
/// use token_session::Lifetime;
///
/// let error = Lifetime::idle_secs(-5).unwrap_err();
/// assert_eq!(error.to_string(), "a timeout of -5 seconds is negative; give a positive one");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifetimeError {
    /// Less than a millisecond.
    #[error("a timeout of zero would end every session at once; give at least a millisecond")]
    Zero,
    /// Neither an idle nor an absolute timeout.
    #[error("a lifetime needs an idle timeout, an absolute one or both; give one")]
    Neither,
    /// Less than nothing.
    #[error("a timeout of {seconds} seconds is negative; give a positive one")]
    Negative {
        /// What was given.
        seconds: i64,
    },
    /// More than [`Lifetime::MAX`].
    #[error("a timeout of {timeout:?} is too long; give at most 100 years")]
    TooLong {
        /// What was given.
        timeout: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_timeout_of_nothing_or_of_an_age_is_refused() {
        assert_eq!(Lifetime::idle(Duration::ZERO), Err(LifetimeError::Zero));
        assert_eq!(Lifetime::absolute(Duration::from_micros(999)), Err(LifetimeError::Zero));
        assert_eq!(Lifetime::idle_secs(0), Err(LifetimeError::Zero));
        assert_eq!(Lifetime::idle_secs(-1), Err(LifetimeError::Negative { seconds: -1 }));
        for timeout in [Duration::MAX, Lifetime::MAX + SECOND] {
            assert_eq!(Lifetime::idle(timeout), Err(LifetimeError::TooLong { timeout }));
        }
        assert!(matches!(Lifetime::idle_secs(i64::MAX), Err(LifetimeError::TooLong { .. })));
        assert!(Lifetime::idle(Lifetime::MAX).is_ok());
        assert_eq!(Lifetime::of(None, None), Err(LifetimeError::Neither));
        assert_eq!(Lifetime::of(Some(SECOND), Some(Duration::ZERO)), Err(LifetimeError::Zero));
        assert_eq!(Lifetime::of(None, Some(SECOND)), Lifetime::absolute(SECOND));
    }

    #[test]
    fn the_deadline_caps_the_idle_timeout() {
        let lifetime = Lifetime::idle(10 * SECOND).unwrap().and_absolute(15 * SECOND).unwrap();
        let start = Timestamp::from_millis(1_000_000);
        let deadline = lifetime.deadline(start);
        assert_eq!(lifetime.expiry(start, deadline), start + 10 * SECOND);
        assert_eq!(lifetime.expiry(start + 9 * SECOND, deadline), start + 15 * SECOND);
    }

    #[test]
    fn a_touch_is_due_after_the_interval_or_a_tenth_of_the_idle_timeout() {
        let start = Timestamp::from_millis(0);
        let due = |idle: u32, after_ms, interval| {
            let lifetime = Lifetime::idle(idle * SECOND).unwrap();
            lifetime.touch_due(start, start + Duration::from_millis(after_ms), interval)
        };
        assert!(!due(1_000, 59_999, 60 * SECOND));
        assert!(due(1_000, 60_000, 60 * SECOND));
        assert!(!due(10, 999, 60 * SECOND));
        assert!(due(10, 1_000, 60 * SECOND));
        assert!(due(10, 0, Duration::ZERO));
        let absolute = Lifetime::absolute(SECOND).unwrap();
        assert!(!absolute.touch_due(start, start + SECOND, Duration::ZERO));
    }
}
