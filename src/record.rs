//! [`Record`], what a store keeps under a key, with its [`Lifetime`] and its [`Version`].

mod lifetime;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

pub use self::lifetime::{Lifetime, LifetimeError};
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

/// Which writing of a record's data this is: a random number for a new record, and one more with each
/// write. A touch leaves it. So a write that is meant for a record which has ended meets another
/// version if its key was used again. Stores that keep somebody else's format, which has no place for
/// it, take a digest of what they hold: there, too, another version is another writing.
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
