//! [`CodeError`], the error of issuing or redeeming a code.

use std::time::Duration;

use super::policy::PolicyError;
use crate::codec::CodecError;
use crate::compare_and_swap::Contended;
use crate::error::StoreError;
use crate::key::Key;
use crate::observe::{Failure, STORE_ERROR};
use crate::token::TokenError;

/// The error of issuing or redeeming a code: a variant for each thing that a service would do about
/// it. No variant tells a client what only the right person may know.
///
/// ```
/// use token_session::codes::{CodeError, Codes};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codes = Codes::<()>::builder("sign-in").build()?;
/// let status = match codes.redeem("a handle", "12345678").await {
///     Ok(redeemed) => 201,
///     Err(CodeError::Refused | CodeError::Exhausted) => 401,
///     Err(CodeError::TooSoon { retry_after }) => 429, // with `Retry-After`
///     Err(error) if error.is_retryable() => 503,
///     Err(error) => 500,
/// };
/// assert_eq!(status, 401);
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Wrong, expired, used or unknown, in one answer (OWASP ASVS 5.0, 6.3.8). Ask for the code
    /// again, or for a new one.
    #[error("the code is wrong, expired, used or unknown; look at it again or ask for a new one")]
    Refused,
    /// The challenge has no guess left, and the right code would not help. Ask for a new one. A
    /// decoy comes to this as any other challenge does.
    #[error("no guess is left for this code; ask for a new one")]
    Exhausted,
    /// Too early for another code: one was just sent, or the subject's guesses of this day are spent
    /// or reserved for open challenges.
    #[error("it is too early for another code; wait {} seconds", retry_after.as_secs())]
    TooSoon {
        /// How long to wait, in whole seconds: what the `Retry-After` header takes.
        retry_after: Duration,
    },
    /// Another request is acting on the code: the code is right, or another one was asked for without
    /// a handle. Try again when the lease has ended.
    #[error("another request is using this code; try again in {} seconds", retry_after.as_secs())]
    Busy {
        /// What the lease has left, in whole seconds.
        retry_after: Duration,
    },
    /// The lease had ended before it was committed, so another request may have acted on the code too,
    /// with the same receipt. Look for what else was done for the receipt, and undo one of the two. Take
    /// longer leases if this happens often.
    #[error(
        "the lease of this code had ended, and another request may have acted on it too; look for \
         what was done for its receipt"
    )]
    LeaseLost,
    /// An empty or too long subject.
    #[error("the subject has {len} bytes; give 1 to 255, such as an address or an account's id")]
    Subject {
        /// Its length in bytes.
        len: usize,
    },
    /// An attempt key that is too short or too long. If the client sends it, a bad request. Nothing was
    /// sent to the store.
    #[error("the attempt key has {len} bytes; give 16 to 255, made at random for each form")]
    Attempt {
        /// Its length in bytes.
        len: usize,
    },
    /// A lease that is too short or too long.
    #[error("a lease of {lease:?} is not between a millisecond and {longest:?}")]
    Lease {
        /// What was asked for.
        lease: Duration,
        /// The longest one.
        longest: Duration,
    },
    /// The payload is larger than the maximum. Nothing was sent to the store.
    #[error("the payload takes {size} bytes, more than the maximum of {max}")]
    TooLarge {
        /// Encoded, in bytes.
        size: usize,
        /// The maximum, in bytes.
        max: usize,
    },
    /// The payload cannot be encoded. Nothing was sent to the store.
    #[error("the codec cannot encode the payload; change the payload's type, or the codec")]
    Encode(#[source] CodecError),
    /// The codec cannot read what the store holds. The code is not spent.
    #[error("the payload of challenge {key} cannot be decoded; was its type or the codec changed?")]
    Decode {
        /// Whose payload it is.
        key: Key,
        /// What the codec said.
        #[source]
        source: CodecError,
    },
    /// The policy lacks what the call needs.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Random(#[from] TokenError),
    /// Other requests came first every time. Try again.
    #[error("other requests came first {attempts} times in a row; try again")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Contended> for CodeError {
    fn from(lost: Contended) -> Self {
        Self::Contended { attempts: lost.attempts }
    }
}

impl CodeError {
    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::TooSoon { .. } | Self::Busy { .. } | Self::Contended { .. } => true,
            Self::Store(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// How long a client has to wait, if that is known: whole seconds, at least one.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooSoon { retry_after } | Self::Busy { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}

impl Failure for CodeError {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Exhausted => "exhausted",
            Self::TooSoon { .. } => "too_soon",
            Self::Busy { .. } => "busy",
            Self::LeaseLost => "lease_lost",
            Self::Contended { .. } => "conflict",
            Self::Store(_) => STORE_ERROR,
            _ => "error",
        }
    }
}
