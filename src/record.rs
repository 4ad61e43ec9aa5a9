//! [`Record`], what a store keeps under a key, with its [`Lifetime`] and its [`Version`].

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::token::Key;

/// A point in time on the store's clock: milliseconds since the Unix epoch.
///
/// ```
/// use std::time::Duration;
/// use token_session::Timestamp;
///
/// let at = Timestamp::from_millis(1_000);
/// assert_eq!(at + Duration::from_secs(2), Timestamp::from_millis(3_000));
/// assert_eq!((at + Duration::from_secs(2)).since(at), Duration::from_secs(2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// So many milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates, and drops what is below a millisecond.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        Self::UNIX_EPOCH + Duration::from_millis(at.0)
    }
}

/// How long a session lives: an idle timeout, an absolute timeout, or both (the words of OWASP's
/// Session Management Cheat Sheet). Whichever comes first ends it.
///
/// * **idle**: since the last touch. Each touch starts it anew.
/// * **absolute**: since the session began. Nothing prolongs it, but to re-authenticate or to give
///   the session a new lifetime.
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

    /// Ends when the session was not touched for so long. Kept in whole milliseconds.
    ///
    /// # Errors
    /// Less than a millisecond, or more than [`MAX`](Self::MAX).
    pub const fn idle(timeout: Duration) -> Result<Self, LifetimeError> {
        match checked(timeout) {
            Ok(timeout) => Ok(Self { idle: Some(timeout), absolute: None }),
            Err(error) => Err(error),
        }
    }

    /// Ends so long after it began, used or not. Kept in whole milliseconds.
    ///
    /// # Errors
    /// Less than a millisecond, or more than [`MAX`](Self::MAX).
    pub const fn absolute(timeout: Duration) -> Result<Self, LifetimeError> {
        match checked(timeout) {
            Ok(timeout) => Ok(Self { idle: None, absolute: Some(timeout) }),
            Err(error) => Err(error),
        }
    }

    /// Ends by the absolute timeout too.
    ///
    /// # Errors
    /// As [`absolute`](Self::absolute).
    pub const fn and_absolute(self, timeout: Duration) -> Result<Self, LifetimeError> {
        match checked(timeout) {
            Ok(timeout) => Ok(Self { idle: self.idle, absolute: Some(timeout) }),
            Err(error) => Err(error),
        }
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

    /// What a session that begins now has before it: the shorter of the two.
    pub fn first(&self) -> Duration {
        self.idle.unwrap_or(Duration::MAX).min(self.absolute.unwrap_or(Duration::MAX))
    }

    /// When a session that begins at `start` ends at the latest.
    pub fn deadline(&self, start: Timestamp) -> Option<Timestamp> {
        self.absolute.map(|timeout| start + timeout)
    }

    /// When a session ends that was last seen at `last_seen`, given its deadline.
    pub fn expiry(&self, last_seen: Timestamp, deadline: Option<Timestamp>) -> Timestamp {
        let idle = self.idle.map_or(Timestamp(u64::MAX), |timeout| last_seen + timeout);
        deadline.map_or(idle, |deadline| idle.min(deadline))
    }

    /// Whether a touch at `now` is to be written: `interval` has passed since the last one, or a
    /// tenth of the idle timeout where that is shorter. Nothing slides without an idle timeout, so
    /// nothing is written then.
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

/// Why a timeout is none.
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

/// Which writing of a record's data this is: a random number for a new record, and one more with each
/// write. A touch leaves it. So a write that is meant for a record which has ended meets another
/// version if its key was used again. Stores that keep somebody else's format, which has no place for it, take a digest of
/// what they hold: there, too, another version is another writing.
///
/// ```
/// use token_session::Version;
///
/// let first = Version::random();
/// assert_eq!(first.next().get(), first.get() + 1);
/// assert_ne!(Version::random(), first);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// The version of a new record: 48 random bits, so that a store may count on in a double. 1 where
    /// the operating system gives none; it gives no token either then.
    pub fn random() -> Self {
        Self(getrandom::u64().map_or(1, |bits| bits >> 16))
    }

    /// The version that a store kept as this number.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The number that a store keeps.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version after this one.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// The account that a session belongs to: an application's own user id.
///
/// An id that begins with `token-session:` is refused. Codes and links in the same store have owners
/// of such names, and nobody may list or end them by taking one as a user name.
///
/// ```
/// use token_session::Owner;
///
/// let owner = Owner::new("user-17")?;
/// assert_eq!(owner.as_str(), "user-17");
/// assert!(Owner::new("").is_err());
/// assert!(Owner::new("token-session:anna").is_err());
/// # Ok::<(), token_session::TextError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Arc<str>);

impl Owner {
    /// What the names of owners begin with that are no accounts.
    const RESERVED: &str = "token-session:";

    /// An owner of 1 to 255 bytes without control characters.
    ///
    /// # Errors
    /// What the id has that an owner may not.
    pub fn new(id: impl Into<Arc<str>>) -> Result<Self, TextError> {
        let owner = Self::from_stored(id)?;
        let is_reserved = owner.0.starts_with(Self::RESERVED);
        if is_reserved { Err(TextError::Reserved { prefix: Self::RESERVED }) } else { Ok(owner) }
    }

    /// For stores: the owner whose [id](Self::as_str) was kept. Unlike [`new`](Self::new) it takes
    /// those of codes and links.
    ///
    /// # Errors
    /// What the id has that no owner has.
    pub fn from_stored(id: impl Into<Arc<str>>) -> Result<Self, TextError> {
        short_text("owner", id.into()).map(Self)
    }

    /// The owner that stands for a digest, and that no account can be.
    pub(crate) fn of_digest(digest: &Key) -> Self {
        Self(format!("{}{digest}", Self::RESERVED).into())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which of `count` partitions the owner falls into; see
    /// [`Store::partitions`](crate::store::Store::partitions).
    pub fn partition(&self, count: u16) -> u16 {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(self.0.as_bytes());
        u16::from_be_bytes([digest[30], digest[31]]) % count
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({:?})", self.0)
    }
}

/// What a person knows a session by in a list, such as the device.
///
/// ```
/// use token_session::Label;
///
/// assert_eq!(Label::new("Anna's phone")?.as_str(), "Anna's phone");
/// # Ok::<(), token_session::TextError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(Arc<str>);

impl Label {
    /// A label of 1 to 255 bytes without control characters.
    ///
    /// # Errors
    /// What the text has that a label may not.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, TextError> {
        short_text("label", text.into()).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn short_text(what: &'static str, text: Arc<str>) -> Result<Arc<str>, TextError> {
    if text.is_empty() || text.len() > 255 {
        Err(TextError::Length { what, len: text.len() })
    } else if text.chars().any(char::is_control) {
        Err(TextError::Control { what })
    } else {
        Ok(text)
    }
}

/// Why a text is no owner or no label.
///
/// ```
/// use token_session::Owner;
///
/// let error = Owner::new("").unwrap_err();
/// assert_eq!(error.to_string(), "the owner has 0 bytes; give 1 to 255");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Empty, or more than 255 bytes.
    #[error("the {what} has {len} bytes; give 1 to 255")]
    Length {
        /// What the text was meant for.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// It holds a control character.
    #[error("the {what} holds a control character; leave it out")]
    Control {
        /// What the text was meant for.
        what: &'static str,
    },
    /// It begins like the owners of codes and links.
    #[error(
        "no owner may begin with {prefix:?}, which is kept for codes and links; choose another"
    )]
    Reserved {
        /// What it begins with.
        prefix: &'static str,
    },
}

/// What a store tells of a session, beside its data.
///
/// Times are the store's own, so they compare among themselves whatever the application server's
/// clock says.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use token_session::TokenSession;
///
/// let sessions = TokenSession::<String>::in_memory();
/// let issued = sessions.create(&"Anna".to_owned()).await?;
/// let session = sessions.get(&issued.token).await?.expect("it was just made");
/// assert!(session.meta.expires_in() <= issued.expires_in);
/// assert_eq!(session.meta.owner, None);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// How often the data was written.
    pub version: Version,
    /// The session's own lifetime.
    pub lifetime: Lifetime,
    /// When the session began. A regenerated session keeps it.
    pub created_at: Timestamp,
    /// When the last touch was written: at most the touch interval before the session was really
    /// last used.
    pub last_seen: Timestamp,
    /// When the session ends at the latest, where it has an absolute timeout.
    pub deadline: Option<Timestamp>,
    /// When the person last proved who they are.
    pub authenticated_at: Option<Timestamp>,
    /// The account that the session belongs to.
    pub owner: Option<Owner>,
    /// What a person knows the session by.
    pub label: Option<Label>,
    /// The store's clock when it answered.
    pub now: Timestamp,
}

impl Meta {
    /// When the session ends if it is not touched again.
    pub fn expires_at(&self) -> Timestamp {
        self.lifetime.expiry(self.last_seen, self.deadline)
    }

    /// How long it has left if it is not touched again.
    pub fn expires_in(&self) -> Duration {
        self.expires_at().since(self.now)
    }

    /// Whether the person proved who they are within the last `max_age`.
    pub fn is_fresh(&self, max_age: Duration) -> bool {
        self.authenticated_at.is_some_and(|at| self.now.since(at) <= max_age)
    }
}

/// What a store keeps under a key: the user's data as the codec wrote it, and what goes with it.
///
/// ```
/// use token_session::store::{Memory, NewRecord, Store, Touch};
/// use token_session::{Key, Lifetime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (store, key) = (Memory::new(), Key::from_bytes([7; 32]));
/// store.insert(&key, &NewRecord::new("data", Lifetime::idle_secs(60)?)).await?;
/// let record = store.load(&key, Touch::No).await?.expect("it was just put there");
/// assert_eq!(record.data, "data");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The user's data, encoded.
    pub data: Bytes,
    /// What goes with it.
    pub meta: Meta,
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

    #[test]
    fn owners_and_labels_are_short_and_printable() {
        assert_eq!(Owner::new("x".repeat(256)), Err(TextError::Length { what: "owner", len: 256 }));
        assert_eq!(Label::new("a\nb"), Err(TextError::Control { what: "label" }));
        assert!(Owner::new("ü".repeat(127)).is_ok());
    }

    #[test]
    fn an_account_cannot_have_the_name_of_the_owner_of_a_code() {
        let of_code = Owner::of_digest(&Key::from_bytes([7; 32]));
        let reserved = Err(TextError::Reserved { prefix: "token-session:" });
        for name in [of_code.as_str(), "token-session:", "token-session:anna"] {
            assert_eq!(Owner::new(name), reserved);
        }
        assert_eq!(Owner::from_stored(of_code.as_str()), Ok(of_code));
        assert!(Owner::new("token-session").is_ok());
        assert!(Owner::new("Token-session:anna").is_ok());
    }
}
