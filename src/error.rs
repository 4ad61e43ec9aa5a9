//! [`Error`], why an operation on sessions failed, and [`StoreError`], why a store did.

use std::fmt;

use crate::codec::CodecError;
use crate::key::Key;
use crate::observe::{Failure, STORE_ERROR};
use crate::record::{LifetimeError, TextError};
use crate::token::TokenError;

/// The source of an error, kept for logs.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation on a session failed: a variant for each thing that a caller would do about it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use token_session::{Error, Token, TokenSession};
///
/// let sessions = TokenSession::<u32>::in_memory();
/// let stranger = Token::parse("a-token-that-was-not-made-here")?;
/// match sessions.set(&stranger, &1).await {
///     Err(Error::Gone) => println!("log in again"),
///     Err(error) if error.is_retryable() => println!("try again: {error}"),
///     other => panic!("{other:?}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such session: never made, expired or destroyed. Nothing was written. Ask the
    /// client to log in.
    #[error("the session does not exist: it was never made here, expired or was destroyed")]
    Gone,
    /// Other writers came first each time. Nothing was written. Retry later.
    #[error("other requests changed the session {attempts} times in a row; try again")]
    Conflict {
        /// How often it was tried.
        attempts: u32,
    },
    /// The owner has as many sessions as the limit allows. Nothing was written. Let the person end
    /// one of them.
    #[error("the owner has {max} sessions, which is the limit; end one of them first")]
    TooManySessions {
        /// The limit.
        max: u32,
    },
    /// The data is larger than the configured maximum. Nothing was sent to the store.
    #[error("the session's data takes {size} bytes, more than the maximum of {max}")]
    TooLarge {
        /// Encoded, in bytes.
        size: usize,
        /// The configured maximum, in bytes.
        max: usize,
    },
    /// The data cannot be encoded. Nothing was sent to the store.
    #[error("the session's data cannot be encoded")]
    Encode(#[source] CodecError),
    /// What the store holds is not what the codec reads. The record is left as it is.
    #[error("the data of session {key} cannot be decoded; was its type or the codec changed?")]
    Decode {
        /// Whose data it is.
        key: Key,
        /// What the codec said.
        #[source]
        source: CodecError,
    },
    /// The token generator gave no usable token.
    #[error("the token generator gave no usable token")]
    Generator(#[from] TokenError),
    /// The token generator gave only tokens that are taken.
    #[error("the token generator gave {attempts} tokens that are all taken; is it random?")]
    NotRandom {
        /// How many tokens were tried.
        attempts: u32,
    },
    /// The lifetime is invalid.
    #[error(transparent)]
    Lifetime(#[from] LifetimeError),
    /// The owner or the label is invalid.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// The key of the session whose data cannot be decoded, or whose record is damaged.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Decode { key, .. } => Some(key),
            Self::Store(error) => error.key(),
            _ => None,
        }
    }

    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Conflict { .. } => true,
            Self::Store(error) => error.is_retryable(),
            _ => false,
        }
    }
}

/// What went wrong in a store.
///
/// ```
/// use token_session::store::StoreErrorKind;
///
/// assert!(StoreErrorKind::Unavailable.is_retryable());
/// assert!(!StoreErrorKind::Corrupt.is_retryable());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// It is out of reach, or did not answer in time. The operation may have taken place.
    Unavailable,
    /// It has no space for more data. What it holds is untouched.
    Full,
    /// It holds bytes that are not a record.
    Corrupt,
    /// It refuses the operation: a right, a table or a setting is missing. Fix the configuration.
    Refused,
}

impl StoreErrorKind {
    /// Whether the same call may succeed a little later.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::Full)
    }
}

/// A store's failure: what kind, what happened to what, and the driver's own error behind it.
///
/// ```
/// use token_session::store::{StoreError, StoreErrorKind};
///
/// let error = StoreError::new(StoreErrorKind::Full, "the memory store holds 10 sessions, its cap");
/// assert_eq!(error.kind(), StoreErrorKind::Full);
/// assert!(error.is_retryable());
/// ```
#[derive(Debug)]
pub struct StoreError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: StoreErrorKind,
    message: String,
    key: Option<Key>,
    source: Option<Source>,
}

impl StoreError {
    /// A failure of this kind. The message says what happened, to what, and what to do. It must not
    /// hold a token.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), key: None, source: None }))
    }

    /// With the driver's error behind it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The store holds bytes under `key` that are not a record.
    pub fn corrupt(key: &Key, what: impl fmt::Display) -> Self {
        let message = format!("the store's record {key} is damaged: {what}");
        let mut error = Self::new(StoreErrorKind::Corrupt, message);
        error.0.key = Some(key.clone());
        error
    }

    /// The key of the damaged record, if the error is about one:
    /// [`destroy_key`](crate::TokenSession::destroy_key) removes it.
    pub fn key(&self) -> Option<&Key> {
        self.0.key.as_ref()
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> StoreErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        self.0.kind.is_retryable()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl Failure for Error {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Conflict { .. } => "conflict",
            Self::Store(_) => STORE_ERROR,
            _ => "error",
        }
    }
}
