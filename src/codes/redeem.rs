//! Redeeming a code: charged first, compared after, used once.

use std::sync::Arc;
use std::time::Duration;

use super::budget::{Charge, Ledger, Success};
use super::challenge::{Challenge, ChallengeSecret, State};
use super::engine::{CodesEngine, LoadedChallenge};
use super::error::CodeError;
use super::format::Code;
use super::lease::{Lease, draw_id};
use super::limits::{REPEAT, check_attempt, check_lease};
use crate::compare_and_swap::{self as cas, ATTEMPTS, Snapshot, Step, Updated};
use crate::key::Key;
use crate::key_ring::same;
use crate::record_json::Blob;

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
pub struct RedeemedCode<T> {
    /// What was given when the code was issued, and is now proven: the address that the code went
    /// to, for one.
    pub payload: T,
    /// Names this success: the same in each answer about it, and in no other. Not a secret.
    pub receipt: Key,
    /// A submit with the same attempt key used the code before. We cannot know whether the first caller
    /// received the answer and acted on it: the answer may have been lost, or the process may have died.
    /// So do not skip the action. Do it unless it was done for this receipt, for example with a unique
    /// column for it, or take a [lease](Guess::lease), which is used when the action is done.
    pub repeated: bool,
}

/// Which challenge a guess is about.
pub(super) enum Lookup<'a> {
    /// The one that a handle opens. `None`: the text is no handle.
    Handle(Option<ChallengeSecret>),
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
    engine: &'a Arc<CodesEngine<T>>,
    lookup: Lookup<'a>,
    code: Option<Code>,
    subject: Option<&'a str>,
    attempt: Option<&'a str>,
}

/// What a right guess proved.
struct Proven<T> {
    payload: T,
    key: Key,
    challenge: LoadedChallenge,
    attempt: Option<Blob>,
    by: ProvenBy,
}

/// Which submit proved it.
enum ProvenBy {
    /// This one. The ledger is as the charge left it; `None` if the guess was not charged to it.
    This(Option<Snapshot<Ledger>>),
    /// The same submit, before.
    Earlier,
}

/// Why the challenge of a right guess is not written.
enum NotWritten {
    /// It is used.
    Used(LoadedChallenge),
    /// Somebody acts on it.
    Busy(CodeError, Challenge),
}

impl<'a, T: 'static> Guess<'a, T> {
    pub(super) fn new(
        engine: &'a Arc<CodesEngine<T>>,
        lookup: Lookup<'a>,
        code: Option<Code>,
    ) -> Self {
        Self { engine, lookup, code, subject: None, attempt: None }
    }

    /// The code must be this subject's: for a client that is signed in. Another subject's is refused,
    /// and the guess is not charged.
    pub fn subject(mut self, subject: &'a str) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Names this submit: a random text that a form was given when it was shown. The same handle,
    /// code and attempt key again within 30 seconds, such as from a double click, get the first
    /// answer again, with [`repeated`](RedeemedCode::repeated) set, as often as a challenge has
    /// [`tries`](super::CodesBuilder::tries). Each of these submits is charged before it is compared,
    /// right or wrong, and takes 2 round trips. A second submit that arrives while the first one, under
    /// way, has taken the last guess of the challenge gets [`Exhausted`](CodeError::Exhausted).
    ///
    /// Make a new one for every form, of 128 random bits or more, such as a
    /// [`Token::random`](crate::Token::random): anyone with the key and the code gets the answer too.
    /// 16 to 255 bytes; other lengths are an [error](CodeError::Attempt).
    pub fn attempt(mut self, attempt: &'a str) -> Self {
        self.attempt = Some(attempt);
        self
    }

    /// Uses the code: of any number of racing requests one gets it.
    ///
    /// A wrong guess costs 3 round trips, the right one 5, and a text that cannot be a code none.
    ///
    /// # Errors
    /// [`Refused`](CodeError::Refused), [`Exhausted`](CodeError::Exhausted), or
    /// [`Busy`](CodeError::Busy) where another request leases the code. After an error of the store
    /// the code may be spent. The same attempt key gets the answer then, with
    /// [`repeated`](RedeemedCode::repeated) set, even if no caller received it before.
    pub async fn redeem(self) -> Result<RedeemedCode<T>, CodeError> {
        let (engine, key) = (self.engine, self.key());
        let work = async {
            let proven = self
                .prove(|challenge, attempt| {
                    challenge.value.state = engine.used(None, attempt.cloned());
                    REPEAT
                })
                .await?;
            let challenge = &proven.challenge.value;
            let repeated = match proven.by {
                ProvenBy::This(charged) => {
                    engine.count_use(challenge, charged).await;
                    false
                }
                ProvenBy::Earlier => true,
            };
            let receipt = challenge.receipt(&proven.key);
            Ok(RedeemedCode { receipt, payload: proven.payload, repeated })
        };
        engine.observe("redeem_code", key.as_ref(), work).await
    }

    /// Holds the code for this long, without using it: for an action that may fail.
    ///
    /// [Commit](Lease::commit) when the action is done, [abort](Lease::abort) when it failed. If
    /// neither is called, because the process died, the code can be redeemed again once the lease has
    /// ended, unless it has expired by then, and with the same receipt: an action that records the
    /// receipt with what it does sees that it was done before. Of racing requests one gets the lease.
    /// Costs as much as [`redeem`](Self::redeem), and the commit 3 round trips more.
    ///
    /// # Errors
    /// As [`redeem`](Self::redeem), and [`Lease`](CodeError::Lease) for a lease shorter than a
    /// millisecond or longer than 10 minutes.
    pub async fn lease(self, lease: Duration) -> Result<Lease<T>, CodeError> {
        check_lease(lease)?;
        let (engine, key) = (self.engine, self.key());
        let id = draw_id()?;
        let work = async {
            let proven = self
                .prove(|challenge, _| {
                    let (id, until) = (id.clone(), challenge.now + lease);
                    challenge.value.state = State::Leased { id, until };
                    challenge.expires_in.max(lease)
                })
                .await?;
            let repeated = match proven.by {
                ProvenBy::This(charged) => {
                    engine.count_lease(&proven.challenge.value, charged).await;
                    false
                }
                ProvenBy::Earlier => true,
            };
            Ok(Lease {
                payload: proven.payload,
                receipt: proven.challenge.value.receipt(&proven.key),
                repeated,
                engine: Arc::clone(engine),
                key: proven.key,
                challenge: proven.challenge,
                id: id.clone(),
                attempt: proven.attempt,
            })
        };
        engine.observe("lease_code", key.as_ref(), work).await
    }

    /// The key of the challenge, where there is a handle to tell it.
    fn key(&self) -> Option<Key> {
        match &self.lookup {
            Lookup::Handle(secret) => secret.as_ref().map(|secret| secret.key.clone()),
            Lookup::Subject(_) => None,
        }
    }

    /// Makes the guess. If it is right, writes the state that `change` gives the challenge, with the
    /// lifetime that it returns.
    async fn prove(
        self,
        change: impl Fn(&mut LoadedChallenge, Option<&Blob>) -> Duration,
    ) -> Result<Proven<T>, CodeError> {
        let engine = self.engine;
        let attempt = self.attempt.map(check_attempt).transpose()?;
        let code = self.code.ok_or(CodeError::Refused)?;
        let (secret, mut found) = engine.find(self.lookup).await?.ok_or(CodeError::Refused)?;
        if !self.subject.is_none_or(|subject| engine.is_for(&found.value, subject)) {
            return Err(CodeError::Refused);
        }
        let attempt = attempt.map(|text| secret.attempt(text, &code));
        let mut ledger = None;
        if !found.value.is_used() {
            match engine.charge(&found).await? {
                Charge::Done(charged) if engine.compare(&secret, &found, &code) => {
                    ledger = Some(charged);
                }
                Charge::Exhausted => return Err(CodeError::Exhausted),
                // Its twin may have used the code a moment ago.
                Charge::Ended if attempt.is_some() => {
                    let twin = engine.load(&secret.key).await?;
                    found = twin.filter(|twin| twin.value.is_used()).ok_or(CodeError::Refused)?;
                }
                Charge::Done(_) | Charge::Ended => return Err(CodeError::Refused),
            }
        }
        let key = secret.key.clone();
        let mut is_compared = true;
        let updated = cas::update(&*engine.store, &key, Some(found), ATTEMPTS, |found| {
            let mut found: LoadedChallenge = found.ok_or(CodeError::Refused)?;
            if found.value.is_used() {
                return Ok(Step::Leave(NotWritten::Used(found)));
            }
            // After a lost race it is another challenge, or has other codes.
            if !std::mem::take(&mut is_compared) && !engine.matches(&secret, &found, &code) {
                return Err(CodeError::Refused);
            }
            if let Some(busy) = found.value.busy(found.now) {
                return Ok(Step::Leave(NotWritten::Busy(busy, found.value)));
            }
            // Before the write: what cannot be decoded is not spent.
            let answer = engine.decode(&key, &found.value)?;
            let lifetime = Some(change(&mut found, attempt.as_ref()));
            Ok(Step::Write { value: found.value, lifetime, answer })
        });
        match updated.await? {
            Updated::Written(payload, challenge) => {
                Ok(Proven { payload, key, challenge, attempt, by: ProvenBy::This(ledger) })
            }
            Updated::Left(NotWritten::Busy(busy, challenge)) => {
                engine.count_lease(&challenge, ledger).await;
                Err(busy)
            }
            Updated::Left(NotWritten::Used(found)) => {
                let attempt = attempt.ok_or(CodeError::Refused)?;
                let challenge = engine.repeat(&key, found, &attempt).await?;
                let payload = engine.decode(&key, &challenge.value)?;
                let attempt = Some(attempt);
                Ok(Proven { payload, key, challenge, attempt, by: ProvenBy::Earlier })
            }
        }
    }
}

impl<T: 'static> CodesEngine<T> {
    /// The challenge that a guess is about, and its secret. One round trip.
    async fn find(
        &self,
        lookup: Lookup<'_>,
    ) -> Result<Option<(ChallengeSecret, LoadedChallenge)>, CodeError> {
        match lookup {
            Lookup::Subject(subject) => self.find_of_subject(subject).await,
            Lookup::Handle(None) => Ok(None),
            Lookup::Handle(Some(secret)) => {
                Ok(self.load(&secret.key).await?.map(|found| (secret, found)))
            }
        }
    }

    /// Charges a guess, if there is something to compare it with.
    async fn charge(&self, found: &LoadedChallenge) -> Result<Charge, CodeError> {
        match found.value.live(found.now).next() {
            Some(_) => self.budget(&found.value.budget).charge(&found.value.salt).await,
            None => Ok(Charge::Ended),
        }
    }

    /// The state of a code that is used, perhaps under a lease, by a submit with this attempt key.
    pub(super) fn used(&self, lease: Option<Blob>, attempt: Option<Blob>) -> State {
        State::Used { lease, attempt, repeats: self.policy.tries }
    }

    /// The used challenge, if this very submit used it. Charged before it is compared, as any guess is;
    /// on the challenge itself, as it has none of the subject's guesses reserved any more.
    async fn repeat(
        &self,
        key: &Key,
        found: LoadedChallenge,
        attempt: &Blob,
    ) -> Result<LoadedChallenge, CodeError> {
        let updated = cas::update(&*self.store, key, Some(found), ATTEMPTS, |found| {
            let mut found: LoadedChallenge = found.ok_or(CodeError::Refused)?;
            let first = match &mut found.value.state {
                State::Used { attempt: Some(first), repeats: repeats @ 1.., .. } => {
                    *repeats -= 1;
                    first.clone()
                }
                _ => return Ok::<_, CodeError>(Step::Leave(())),
            };
            // A repeated answer prolongs nothing.
            let lifetime = Some(found.expires_in);
            Ok(Step::Write { value: found.value, lifetime, answer: first })
        });
        match updated.await? {
            Updated::Written(first, found) if same(&attempt.0, &first.0) => Ok(found),
            Updated::Written(..) | Updated::Left(()) => Err(CodeError::Refused),
        }
    }

    /// Counts a right guess whose code is leased, by this request or by another one: the wrong guesses
    /// before it are forgotten, and the challenge has all its guesses again. An error of the store must
    /// not keep the caller from the lease. The count stays as it is then, which errs on the strict side.
    async fn count_lease(&self, challenge: &Challenge, charged: Option<Snapshot<Ledger>>) {
        let success = Success::Leased { tries: self.policy.tries };
        let budget = self.budget(&challenge.budget);
        let _ = budget.succeed(&challenge.salt, success, charged).await;
    }

    /// As [`count_lease`](Self::count_lease), for a code that is used by now.
    pub(super) async fn count_use(&self, challenge: &Challenge, charged: Option<Snapshot<Ledger>>) {
        let budget = self.budget(&challenge.budget);
        let _ = budget.succeed(&challenge.salt, Success::Used, charged).await;
    }
}
