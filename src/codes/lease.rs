//! [`Lease`]: a hold on a right code, for an action that may fail.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::challenge::State;
use super::engine::{CodesEngine, LoadedChallenge};
use super::error::CodeError;
use super::limits::REPEAT;
use crate::compare_and_swap::{self as cas, ATTEMPTS, Step};
use crate::key::Key;
use crate::record_json::Blob;
use crate::token::TokenError;

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
    /// left to do, and commit and abort change nothing. Also true if the code was
    /// [redeemed](super::Guess::redeem) without a lease, of which [less](super::RedeemedCode::repeated)
    /// is known: take leases for all submits of a form, or for none.
    pub repeated: bool,
    pub(super) engine: Arc<CodesEngine<T>>,
    pub(super) key: Key,
    pub(super) challenge: LoadedChallenge,
    pub(super) id: Blob,
    pub(super) attempt: Option<Blob>,
}

impl<T: 'static> Lease<T> {
    /// Uses the code after the action is done. May be called again after an error, within 30 seconds. 3
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
            self.engine.count_use(&self.challenge.value, None).await;
            Ok(())
        };
        self.engine.observe("commit_code", Some(&self.key), work).await
    }

    /// Releases the code after the action failed: it is good again until it expires. One round trip. A
    /// lease that has ended already is no error.
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

    /// Puts `state` in the place of this lease. False: another request has leased or used the code.
    async fn write(
        &self,
        state: &State,
        lifetime: impl Fn(&LoadedChallenge) -> Duration,
    ) -> Result<bool, CodeError> {
        let (store, leased) = (&*self.engine.store, Some(self.challenge.clone()));
        let updated = cas::update(store, &self.key, leased, ATTEMPTS, |found| {
            let Some(mut found) = found else {
                return Ok::<_, CodeError>(Step::Leave(false));
            };
            match &found.value.state {
                State::Leased { id, .. } if *id == self.id => {}
                // By this call's first try, whose answer was lost.
                State::Used { lease, .. } => {
                    return Ok(Step::Leave(lease.as_ref() == Some(&self.id)));
                }
                _ => return Ok(Step::Leave(false)),
            }
            found.value.state = state.clone();
            let lifetime = Some(lifetime(&found));
            Ok(Step::Write { value: found.value, lifetime, answer: true })
        });
        Ok(updated.await?.answer())
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
