//! To redeem a code: charged first, compared after, used once.

use std::sync::Arc;
use std::time::Duration;

use super::budget::{Charge, Proven};
use super::challenge::{Lock, State};
use super::engine::{Engine, Found, RETRIES};
use super::error::CodeError;
use super::format::Code;
use super::lease::{Lease, check_lease, draw_id};
use crate::backoff::Backoff;
use crate::key::Key;
use crate::key_ring::same;
use crate::stored::Blob;
use crate::token::Token;

/// How long the first answer is kept for a submit that comes twice.
pub(super) const REPEAT: Duration = Duration::from_secs(30);

/// The shortest attempt key: 128 bits, where every one of them is random (OWASP ASVS 5.0, 11.5.1).
const SHORTEST_ATTEMPT: usize = 16;

/// The longest attempt key.
const LONGEST_ATTEMPT: usize = 255;

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
/// let form = token_session::Token::random("")?; // a hidden field of the form
/// let submit = || codes.guess(handle, code).attempt(form.reveal());
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
    /// Names this success, the same in each answer about it and in none about another: not a secret.
    pub receipt: Key,
    /// A submit with the same attempt key used the code before. Whether its caller ever had the
    /// answer, and did what the code is good for, nobody here knows: the answer may have been lost,
    /// or the process have died. So do not skip the action: do it unless it was done for this
    /// receipt, as with a unique column for it, or take a [lease](Guess::lease), which is used when
    /// the action is done.
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
pub struct Guess<'a, T> {
    engine: &'a Arc<Engine<T>>,
    place: Place<'a>,
    code: Option<Code>,
    subject: Option<&'a str>,
    attempt: Option<&'a str>,
}

/// What a right guess proved.
struct Proof<T> {
    payload: T,
    key: Key,
    found: Found,
    attempt: Option<Blob>,
    /// The same submit came before.
    repeated: bool,
}

impl<'a, T: 'static> Guess<'a, T> {
    pub(super) fn new(engine: &'a Arc<Engine<T>>, place: Place<'a>, code: Option<Code>) -> Self {
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
    /// answer again, with [`repeated`](Redeemed::repeated) set, as often as a challenge has
    /// [`tries`](super::CodesBuilder::tries). Each of these submits is charged before it is compared,
    /// right or wrong, and takes 2 round trips. One that comes while the first is under way, and that
    /// has taken the last guess of the challenge, is told [`Exhausted`](CodeError::Exhausted).
    ///
    /// Make it anew for every form, of 128 random bits or more, such as a [`Token::random`]: who has
    /// the key and the code gets the answer too. Of 16 to 255 bytes; others are an
    /// [error](CodeError::Attempt).
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
    /// the code may be spent; the same attempt key gets the answer then, and it says
    /// [`repeated`](Redeemed::repeated), though nobody had it before.
    pub async fn redeem(self) -> Result<Redeemed<T>, CodeError> {
        let (engine, key) = (self.engine, self.key());
        let work = async {
            let proof = self
                .prove(|found, attempt| {
                    found.challenge.state = engine.used(None, attempt.cloned());
                    REPEAT
                })
                .await?;
            if !proof.repeated {
                engine.count_use(&proof.found).await;
            }
            Ok(Redeemed {
                receipt: proof.found.challenge.receipt(&proof.key),
                payload: proof.payload,
                repeated: proof.repeated,
            })
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
    pub async fn lease(self, lease: Duration) -> Result<Lease<T>, CodeError> {
        check_lease(lease)?;
        let (engine, key) = (self.engine, self.key());
        let id = draw_id()?;
        let work = async {
            let proof = self
                .prove(|found, _| {
                    let (id, until) = (id.clone(), found.now + lease);
                    found.challenge.state = State::Leased { id, until };
                    found.expires_in.max(lease)
                })
                .await?;
            if !proof.repeated {
                engine.count_proof(&proof.found).await;
            }
            Ok(proof)
        };
        let proof = engine.observe("lease_code", key.as_ref(), work).await?;
        Ok(Lease {
            payload: proof.payload,
            receipt: proof.found.challenge.receipt(&proof.key),
            repeated: proof.repeated,
            engine: Arc::clone(engine),
            key: proof.key,
            found: proof.found,
            id,
            attempt: proof.attempt,
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
    async fn prove(
        self,
        change: impl Fn(&mut Found, Option<&Blob>) -> Duration,
    ) -> Result<Proof<T>, CodeError> {
        let engine = self.engine;
        let attempt = self.attempt.map(check_attempt).transpose()?;
        let code = self.code.ok_or(CodeError::Refused)?;
        let (lock, mut found) = engine.find(self.place).await?.ok_or(CodeError::Refused)?;
        if !self.subject.is_none_or(|subject| engine.is_for(&found, subject)) {
            return Err(CodeError::Refused);
        }
        let (key, attempt) = (lock.key.clone(), attempt.map(|text| lock.attempt(text, &code)));
        if !found.is_used() {
            match engine.charge(&found).await? {
                Charge::Done if engine.compare(&lock, &found, &code) => {}
                Charge::Exhausted => return Err(CodeError::Exhausted),
                // Its twin may have used the code a moment ago.
                Charge::Ended if attempt.is_some() => {
                    let twin = engine.load(&key).await?.filter(Found::is_used);
                    found = twin.ok_or(CodeError::Refused)?;
                }
                Charge::Done | Charge::Ended => return Err(CodeError::Refused),
            }
        }
        let mut backoff = Backoff::new();
        for _ in 0..RETRIES {
            match &found.challenge.state {
                State::Used { .. } => {
                    let this = attempt.ok_or(CodeError::Refused)?;
                    let found = engine.repeat(&key, found, &this).await?;
                    let payload = engine.decode(&key, &found.challenge)?;
                    return Ok(Proof { payload, key, found, attempt: Some(this), repeated: true });
                }
                State::Leased { .. } | State::Open => {}
            }
            if let Some(busy) = found.busy() {
                engine.count_proof(&found).await;
                return Err(busy);
            }
            // Before the write: what cannot be decoded is not spent.
            let payload = engine.decode(&key, &found.challenge)?;
            let lifetime = change(&mut found, attempt.as_ref());
            if let Some(version) = engine.write(&key, &found, lifetime).await? {
                found.version = version;
                return Ok(Proof { payload, key, found, attempt, repeated: false });
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

/// An attempt key: long enough that nobody guesses it, if it is random.
fn check_attempt(attempt: &str) -> Result<&str, CodeError> {
    if (SHORTEST_ATTEMPT..=LONGEST_ATTEMPT).contains(&attempt.len()) {
        Ok(attempt)
    } else {
        Err(CodeError::Attempt { len: attempt.len() })
    }
}

impl<T: 'static> Engine<T> {
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

    /// Charges a guess, if there is something to compare it with.
    async fn charge(&self, found: &Found) -> Result<Charge, CodeError> {
        match found.challenge.live(found.now).next() {
            Some(_) => self.budget(&found.budget).charge(&found.challenge.salt).await,
            None => Ok(Charge::Ended),
        }
    }

    /// The state of a code that is used, perhaps under a lease, by a submit with this attempt key.
    pub(super) fn used(&self, lease: Option<Blob>, attempt: Option<Blob>) -> State {
        State::Used { lease, attempt, repeats: self.policy.tries }
    }

    /// The used challenge, if it was used by this very submit. Charged before it is compared, as any
    /// guess; on the challenge itself, as it keeps none of the subject's guesses any more.
    async fn repeat(&self, key: &Key, mut found: Found, this: &Blob) -> Result<Found, CodeError> {
        let mut backoff = Backoff::new();
        for _ in 0..RETRIES {
            let first = match &mut found.challenge.state {
                State::Used { attempt: Some(first), repeats: repeats @ 1.., .. } => {
                    *repeats -= 1;
                    first.clone()
                }
                _ => return Err(CodeError::Refused),
            };
            // To be answered again prolongs nothing.
            if self.write(key, &found, found.expires_in).await?.is_some() {
                return if same(&this.0, &first.0) { Ok(found) } else { Err(CodeError::Refused) };
            }
            backoff.wait().await;
            found = self.load(key).await?.ok_or(CodeError::Refused)?;
        }
        Err(CodeError::Contended { attempts: RETRIES })
    }

    /// The right guess was made: the wrong ones before it are forgotten, and the challenge has all
    /// its guesses again. The lease is taken by then, or another's: a store that fails here must not
    /// keep the caller from it. The count stays as it is, which errs on the strict side.
    async fn count_proof(&self, found: &Found) {
        let tries = self.policy.tries;
        let budget = self.budget(&found.budget);
        let _ = budget.succeed(&found.challenge.salt, Proven::Open { tries }).await;
    }

    /// As [`count_proof`](Self::count_proof), where the challenge is used: the code is spent by then.
    pub(super) async fn count_use(&self, found: &Found) {
        let budget = self.budget(&found.budget);
        let _ = budget.succeed(&found.challenge.salt, Proven::Used).await;
    }
}
