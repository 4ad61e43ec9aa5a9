//! [`Lease`]: a hold on a right code, for an action that may fail.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::challenge::State;
use super::engine::{Engine, Found, RETRIES};
use super::error::CodeError;
use super::redeem::REPEAT;
use crate::backoff::Backoff;
use crate::key::Key;
use crate::stored::Blob;
use crate::token::TokenError;

/// The longest lease.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// A hold on a code that was right: nobody else can use it, until the lease ends.
///
/// ```
/// use std::time::Duration;
/// use token_session::codes::Codes;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # async fn create_account(address: &str, receipt: &str) -> std::io::Result<()> { Ok(()) }
/// let codes = Codes::<String>::builder("register").build()?;
/// let issued = codes.issue("anna@example.org", &"anna@example.org".to_owned()).await?;
/// let (handle, code) = (issued.challenge.handle.reveal(), issued.code.reveal());
///
/// let lease = codes.guess(handle, code).lease(Duration::from_secs(30)).await?;
/// match create_account(&lease.payload, &lease.receipt.to_string()).await {
///     Ok(()) => lease.commit().await?,
///     Err(_) => lease.abort().await?, // the code is good as before
/// }
/// # Ok(()) }
/// ```
#[must_use = "commit the lease when the action is done, or abort it"]
pub struct Lease<T> {
    /// What was given when the code was issued.
    pub payload: T,
    /// The same for each lease of this code, and for its use: what the action writes down to see
    /// that it was done before.
    pub receipt: Key,
    /// The same submit came before, with the same attempt key, and was committed: there is nothing
    /// left to do, and to commit or to abort changes nothing. A code that was
    /// [redeemed](super::Guess::redeem) without a lease says so too, and [less](super::Redeemed::repeated)
    /// is known of it: take leases for all submits of a form, or for none.
    pub repeated: bool,
    pub(super) engine: Arc<Engine<T>>,
    pub(super) key: Key,
    pub(super) found: Found,
    pub(super) id: Blob,
    pub(super) attempt: Option<Blob>,
}

impl<T: 'static> Lease<T> {
    /// Uses the code, the action being done. May be called again after an error, within 30 seconds. 3
    /// round trips.
    ///
    /// # Errors
    /// [`LeaseLost`](CodeError::LeaseLost) when the lease had ended and the code expired, or another
    /// request leased or used it; 30 seconds after an error also when it was this very call that used it.
    pub async fn commit(&self) -> Result<(), CodeError> {
        if self.repeated {
            return Ok(());
        }
        let used = self.engine.used(Some(self.id.clone()), self.attempt.clone());
        let work = async {
            if !self.write(&used, |_| REPEAT).await? {
                return Err(CodeError::LeaseLost);
            }
            self.engine.count_use(&self.found).await;
            Ok(())
        };
        self.engine.observe("commit_code", Some(&self.key), work).await
    }

    /// Lets go of the code, the action having failed: it is good again until it expires. One round
    /// trip. A lease that has ended anyway is no error.
    ///
    /// # Errors
    /// The store's.
    pub async fn abort(&self) -> Result<(), CodeError> {
        if self.repeated {
            return Ok(());
        }
        let work = async {
            let is_ours = self.write(&State::Open, |found| found.expires_in).await?;
            if is_ours { Ok(()) } else { Err(CodeError::LeaseLost) }
        };
        match self.engine.observe("abort_code", Some(&self.key), work).await {
            Err(CodeError::LeaseLost) => Ok(()),
            aborted => aborted,
        }
    }

    /// Puts `state` in the place of this lease. False: the lease is another's, or none.
    async fn write(
        &self,
        state: &State,
        lifetime: impl Fn(&Found) -> Duration,
    ) -> Result<bool, CodeError> {
        let (key, mut found) = (&self.key, self.found.clone());
        let mut backoff = Backoff::new();
        for _ in 0..RETRIES {
            match &found.challenge.state {
                State::Leased { id, .. } if *id == self.id => {}
                // By this call's first try, whose answer was lost.
                State::Used { lease, .. } => return Ok(lease.as_ref() == Some(&self.id)),
                _ => return Ok(false),
            }
            found.challenge.state = state.clone();
            match self.engine.write(key, &found, lifetime(&found)).await {
                Ok(Some(_)) => return Ok(true),
                Ok(None) => {}
                Err(CodeError::Refused) => return Ok(false),
                Err(error) => return Err(error),
            }
            backoff.wait().await;
            found = match self.engine.load(key).await? {
                Some(found) => found,
                None => return Ok(false),
            };
        }
        Err(CodeError::Contended { attempts: RETRIES })
    }
}

impl<T> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("receipt", &self.receipt)
            .field("repeated", &self.repeated)
            .finish_non_exhaustive()
    }
}

/// Names a lease.
pub(super) fn draw_id() -> Result<Blob, CodeError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(TokenError::NoRandomness)?;
    Ok(Blob::new(&id))
}

pub(super) fn check_lease(lease: Duration) -> Result<(), CodeError> {
    if lease.as_millis() == 0 || lease > LONGEST {
        let longest = LONGEST;
        return Err(CodeError::Lease { lease, longest });
    }
    Ok(())
}
