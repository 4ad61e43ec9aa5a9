//! [`LinkError`], the error of making or following a link.

use std::time::Duration;

use crate::codec::CodecError;
use crate::compare_and_swap::Contended;
use crate::error::StoreError;
use crate::observe::{Failure, STORE_ERROR};
use crate::record::LifetimeError;
use crate::token::TokenError;

/// The error of making or following a link: a variant for each thing that a service would do about
/// it.
///
/// ```
/// use token_session::links::{BaseUrl, LinkError, Links};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let base = BaseUrl::path("https://example.org/downloads/")?;
/// let links = Links::<String>::builder("download", base).build()?;
/// let status = match links.redeem("a token").await {
///     Ok(redeemed) => 200,
///     Err(LinkError::Refused) => 410,
///     Err(LinkError::NotYet { opens_in }) => 425, // with `Retry-After`
///     Err(error) if error.is_retryable() => 503,
///     Err(error) => 500,
/// };
/// assert_eq!(status, 410);
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Unknown, expired, used up, revoked, or of another purpose, resource or state, in one answer.
    #[error("the link is unknown, expired, used up or revoked; ask for a new one")]
    Refused,
    /// The link is good, but not yet.
    #[error("the link opens in {} seconds", opens_in.as_secs())]
    NotYet {
        /// How long until it opens, in whole seconds.
        opens_in: Duration,
    },
    /// An empty or too long subject.
    #[error("the subject has {len} bytes; give 1 to 255, such as an account's id")]
    Subject {
        /// Its length in bytes.
        len: usize,
    },
    /// An invalid lifetime.
    #[error(transparent)]
    Lifetime(#[from] LifetimeError),
    /// The link would have expired before it opens.
    #[error("the link would open {opens_after:?} from now, and expire before that")]
    NeverOpen {
        /// After which time it was to open.
        opens_after: Duration,
    },
    /// The payload is larger than the maximum.
    #[error("the payload takes {size} bytes, more than the maximum of {max}")]
    TooLarge {
        /// Encoded, in bytes.
        size: usize,
        /// The maximum, in bytes.
        max: usize,
    },
    /// The payload cannot be encoded.
    #[error("the payload cannot be encoded")]
    Encode(#[source] CodecError),
    /// The payload cannot be decoded. No use was counted.
    #[error("the payload of a link cannot be decoded; was its type or the codec changed?")]
    Decode(#[source] CodecError),
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Random(#[from] TokenError),
    /// Other requests came first again and again. Try again.
    #[error("other requests came first {attempts} times in a row; try again")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Contended> for LinkError {
    fn from(lost: Contended) -> Self {
        Self::Contended { attempts: lost.attempts }
    }
}

impl LinkError {
    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotYet { .. } | Self::Contended { .. } => true,
            Self::Store(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// How long a client has to wait, where that is known: whole seconds, at least one.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotYet { opens_in } => Some(*opens_in),
            _ => None,
        }
    }
}

/// The error of building links.
///
/// ```
/// use token_session::links::{BaseUrl, Links};
///
/// let base = BaseUrl::path("https://example.org/downloads/")?;
/// let error = Links::<String>::builder("", base).build().unwrap_err();
/// assert_eq!(error.to_string(), "the purpose has 0 bytes; give 1 to 255, such as \"download\"");
/// # Ok::<(), token_session::links::BaseUrlError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkPolicyError {
    /// An empty or too long purpose.
    #[error("the purpose has {len} bytes; give 1 to 255, such as \"download\"")]
    Purpose {
        /// Its length in bytes.
        len: usize,
    },
    /// An invalid lifetime.
    #[error(transparent)]
    Lifetime(#[from] LifetimeError),
}

pub(super) fn check_purpose(purpose: &str) -> Result<(), LinkPolicyError> {
    if purpose.is_empty() || purpose.len() > 255 {
        return Err(LinkPolicyError::Purpose { len: purpose.len() });
    }
    Ok(())
}

impl Failure for LinkError {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotYet { .. } => "not_yet",
            Self::Contended { .. } => "conflict",
            Self::Store(_) => STORE_ERROR,
            _ => "error",
        }
    }
}
