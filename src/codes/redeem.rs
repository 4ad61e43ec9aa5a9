//! To redeem a code: charged first, compared after, used once.

use std::sync::Arc;
use std::time::Duration;

use super::budget::{Charge, Proven};
use super::challenge::{Lock, State};
use super::engine::{Engine, Found, RETRIES};
use super::error::CodeError;
use super::format::Code;
use super::lease::{Lease, check_lease, draw_id};
use crate::codec::Codec;
use crate::key_ring::same;
use crate::manager::retry::Backoff;
use crate::store::AtomicStore;
use crate::stored::{Blob, whole_seconds};
use crate::token::{Key, Token};

/// How long the first answer is kept for a submit that comes twice.
pub(super) const REPEAT: Duration = Duration::from_secs(30);

/// What a redeemed code was good for.
///
/// ```
/// use token_session::codes::Codes;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codes = Codes::<String>::builder("confirm-address").build()?;
/// let issued = codes.issue("anna@example.org", &"anna@example.org".to_owned()).await?;
/// let (handle, code) = (issued.challenge.handle.reveal(), issued.code.reveal());
///
/// let form = "a random text that the form was given";
/// let submit = || codes.guess(handle, code).attempt(form);
/// let (first, second) = (submit().redeem().await?, submit().redeem().await?); // a double click
/// assert_eq!(first.payload, "anna@example.org");
/// assert_eq!((first.repeated, second.repeated), (false, true));
/// assert_eq!(first.receipt, second.receipt);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redeemed<T> {
    /// What was given when the code was issued, and is now proven: the address that the code went
    /// to, for one.
    pub payload: T,
    /// Names this success, the same in each answer about it: not a secret.
    pub receipt: Key,
    /// This submit came again: the one before it, with the same attempt key, had this answer already.
    /// Whatever the code is good for has happened, or is about to.
    pub repeated: bool,
}

/// Which challenge a guess is about.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Handle(&'a str),
    Subject(&'a str),
}

/// A guess that is about to be made. See [`Codes::guess`](super::Codes::guess).
///
/// ```
/// use token_session::codes::Codes;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codes = Codes::<String>::builder("confirm-address").build()?;
/// let issued = codes.issue("anna@example.org", &"anna@example.org".to_owned()).await?;
/// let (handle, code) = (issued.challenge.handle.reveal(), issued.code.reveal());
///
/// // The client is signed in as Eve.
/// assert!(codes.guess(handle, code).subject("eve@example.org").redeem().await.is_err());
/// assert!(codes.guess(handle, code).subject("anna@example.org").redeem().await.is_ok());
/// # Ok(()) }
/// ```
#[must_use = "a guess does nothing until it is redeemed or leased"]
pub struct Guess<'a, T, S, C> {
    engine: &'a Arc<Engine<T, S, C>>,
    place: Place<'a>,
    code: Option<Code>,
    subject: Option<&'a str>,
    attempt: Option<&'a str>,
}

/// What a right guess came to.
struct Claim<T> {
    payload: T,
    key: Key,
    found: Found,
    attempt: Option<Blob>,
    /// The same submit came before, and nothing was written.
    repeated: bool,
}

impl<'a, T, S: AtomicStore, C: Codec<T>> Guess<'a, T, S, C> {
    pub(super) fn new(
        engine: &'a Arc<Engine<T, S, C>>,
        place: Place<'a>,
        code: Option<Code>,
    ) -> Self {
        Self { engine, place, code, subject: None, attempt: None }
    }

    /// The code must be this subject's: for a client that is signed in as somebody. Another subject's
    /// is refused, and the guess is not charged.
    pub fn subject(mut self, subject: &'a str) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Names this submit: a random text that a form was given when it was shown. The same handle,
    /// code and attempt key again within 30 seconds, such as from a double click, get the first
    /// answer again, with [`repeated`](Redeemed::repeated) set.
    pub fn attempt(mut self, attempt: &'a str) -> Self {
        self.attempt = Some(attempt);
        self
    }

    /// Uses the code: of any number of racing requests one gets it.
    ///
    /// A wrong guess costs 3 round trips, the right one 6, and what cannot be a code none.
    ///
    /// # Errors
    /// [`Refused`](CodeError::Refused), [`Exhausted`](CodeError::Exhausted), or
    /// [`Busy`](CodeError::Busy) where another request leases the code. After an error of the store
    /// the code may be spent; the same attempt key gets the answer.
    pub async fn redeem(self) -> Result<Redeemed<T>, CodeError> {
        let (engine, key) = (self.engine, self.key());
        let work = async {
            let claim = self
                .claim(|found, attempt| {
                    let attempt = attempt.cloned();
                    found.challenge.state = State::Used { lease: None, attempt };
                    REPEAT
                })
                .await?;
            if !claim.repeated {
                engine.count_use(&claim.found).await;
            }
            Ok(Redeemed { payload: claim.payload, receipt: claim.key, repeated: claim.repeated })
        };
        engine.observe("redeem_code", key.as_ref(), work).await
    }

    /// Takes hold of the code for so long, without using it: for an action that may fail.
    ///
    /// [Commit](Lease::commit) when the action is done, [abort](Lease::abort) when it failed. After
    /// neither, because the process died, the code can be redeemed again once the lease has ended,
    /// if it has not expired by then, and with the same receipt: an action that notes the receipt
    /// with what it does sees that it was done before. Of racing requests one gets the lease. Costs
    /// as much as [`redeem`](Self::redeem), and the commit 3 round trips more.
    ///
    /// # Errors
    /// As [`redeem`](Self::redeem), and [`Lease`](CodeError::Lease) for a lease of nothing or of
    /// more than 10 minutes.
    pub async fn lease(self, lease: Duration) -> Result<Lease<T, S, C>, CodeError> {
        check_lease(lease)?;
        let (engine, key) = (self.engine, self.key());
        let id = draw_id()?;
        let work = async {
            let claim = self
                .claim(|found, _| {
                    let (id, until) = (id.clone(), found.now + lease);
                    found.challenge.state = State::Leased { id, until };
                    found.expires_in.max(lease)
                })
                .await?;
            if !claim.repeated {
                engine.count_proof(&claim.found).await?;
            }
            Ok(claim)
        };
        let claim = engine.observe("lease_code", key.as_ref(), work).await?;
        Ok(Lease {
            payload: claim.payload,
            receipt: claim.key,
            repeated: claim.repeated,
            engine: Arc::clone(engine),
            found: claim.found,
            id,
            attempt: claim.attempt,
        })
    }

    /// The key of the challenge, where there is a handle to tell it.
    fn key(&self) -> Option<Key> {
        match self.place {
            Place::Subject(_) => None,
            Place::Handle(handle) => {
                let handle = Token::parse(handle).ok()?;
                Some(Lock::key_of_handle(&self.engine.policy.purpose, &handle))
            }
        }
    }

    /// Makes the guess, and where it is right, writes the state that `change` gives the challenge,
    /// to live as long as it says.
    async fn claim(
        self,
        change: impl Fn(&mut Found, Option<&Blob>) -> Duration,
    ) -> Result<Claim<T>, CodeError> {
        let engine = self.engine;
        let code = self.code.ok_or(CodeError::Refused)?;
        let (lock, mut found) = engine.find(self.place).await?.ok_or(CodeError::Refused)?;
        if !self.subject.is_none_or(|subject| engine.is_for(&found, subject)) {
            return Err(CodeError::Refused);
        }
        let (key, attempt) = (lock.key.clone(), self.attempt.map(|text| lock.attempt(text, &code)));
        let charged = engine.charge(&key, &mut found, attempt.is_some()).await?;
        let right = charged && engine.compare(&lock, &found, &code);
        if !right && !found.is_used() {
            return Err(CodeError::Refused);
        }
        let mut backoff = Backoff::new();
        for _ in 0..RETRIES {
            match &found.challenge.state {
                State::Used { attempt: first, .. } => {
                    let both = attempt.as_ref().zip(first.as_ref());
                    if !both.is_some_and(|(this, first)| same(&this.0, &first.0)) {
                        return Err(CodeError::Refused);
                    }
                    return Ok(Claim {
                        payload: engine.decode(&key, &found.challenge)?,
                        key,
                        found,
                        attempt,
                        repeated: true,
                    });
                }
                State::Leased { until, .. } if *until > found.now => {
                    engine.count_proof(&found).await?;
                    return Err(CodeError::Busy {
                        retry_after: whole_seconds(until.since(found.now)),
                    });
                }
                State::Leased { .. } | State::Open => {}
            }
            // Before the write: what cannot be decoded is not spent.
            let payload = engine.decode(&key, &found.challenge)?;
            let lifetime = change(&mut found, attempt.as_ref());
            if let Some(version) = engine.write(&key, &found, lifetime).await? {
                found.version = version;
                return Ok(Claim { payload, key, found, attempt, repeated: false });
            }
            backoff.wait().await;
            found = engine.load(&key).await?.ok_or(CodeError::Refused)?;
            if !found.is_used() && !engine.fits(&lock, &found, &code) {
                return Err(CodeError::Refused);
            }
        }
        Err(CodeError::Contended { attempts: RETRIES })
    }
}

impl<T, S: AtomicStore, C: Codec<T>> Engine<T, S, C> {
    /// The challenge that a guess is about, and what its codes are hashed under. One round trip.
    async fn find(&self, place: Place<'_>) -> Result<Option<(Lock, Found)>, CodeError> {
        match place {
            Place::Subject(subject) => self.find_of_subject(subject).await,
            Place::Handle(handle) => {
                let Ok(handle) = Token::parse(handle) else {
                    return Ok(None);
                };
                let lock = Lock::of_handle(&self.policy.purpose, &handle);
                Ok(self.load(&lock.key).await?.map(|found| (lock, found)))
            }
        }
    }

    /// Charges a guess, if there is something to compare it with. A challenge that has just ended is
    /// loaded anew where a submit may come twice: its twin may have used it.
    async fn charge(&self, key: &Key, found: &mut Found, twice: bool) -> Result<bool, CodeError> {
        if found.is_used() {
            return Ok(false);
        }
        if found.challenge.live(found.now).next().is_none() {
            return Err(CodeError::Refused);
        }
        match self.budget(&found.budget).charge(&found.challenge.salt).await? {
            Charge::Done => Ok(true),
            Charge::Exhausted => Err(CodeError::Exhausted),
            Charge::Ended if twice => {
                *found = self.load(key).await?.ok_or(CodeError::Refused)?;
                Ok(false)
            }
            Charge::Ended => Err(CodeError::Refused),
        }
    }

    /// The right guess was made: the wrong ones before it are forgotten, and the challenge has all
    /// its guesses again.
    pub(super) async fn count_proof(&self, found: &Found) -> Result<(), CodeError> {
        let tries = self.policy.tries;
        let budget = self.budget(&found.budget);
        budget.succeed(&found.challenge.salt, Proven::Open { tries }).await
    }

    /// As [`count_proof`](Self::count_proof), where the challenge is used. The code is spent by now,
    /// so a store that fails here changes nothing for the person: the day's count stays as it is,
    /// which errs on the strict side.
    pub(super) async fn count_use(&self, found: &Found) {
        let budget = self.budget(&found.budget);
        let _ = budget.succeed(&found.challenge.salt, Proven::Used).await;
    }
}
