//! [`SubjectCodes`]: codes that are redeemed without a handle.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::budget::{Extension, Status};
use super::challenge::{Challenge, ChallengeSecret};
use super::engine::{CodesEngine, LoadedChallenge, NewCode};
use super::error::CodeError;
use super::format::Code;
use super::limits::check_subject;
use super::odds::Odds;
use super::redeem::{Guess, Lookup, RedeemedCode};
use crate::compare_and_swap::{self as cas, ATTEMPTS, Races};
use crate::record_json::Moment;
use crate::store::Condition;

/// Codes that are redeemed by subject and code alone: asked for on one device, typed on another.
/// [`CodesBuilder::build_by_subject`](super::CodesBuilder::build_by_subject) makes them.
///
/// # What is weaker than with a handle?
/// * **A stranger can guess.** Anyone who knows the subject may try, on the same budget as the person.
///   Spending the guesses of the challenge, or of the day, locks the person out for as long.
/// * **A stranger can ask.** There is one challenge for a subject at a time, and the cool-down is
///   shared.
/// * **Only the application's key keeps the codes secret** in a dump of the store. With both, an attacker
///   reads all live codes.
/// * **Anyone may complete what the person began**: a code that was talked out of a person is
///   enough. NIST SP 800-63B-4, section 3.1.3, and OWASP ASVS 5.0, 6.6.2, ask that a code be bound
///   to the request that asked for it, so do not sign anybody in with these.
///
/// ```
/// use token_session::KeyRing;
/// use token_session::codes::Codes;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codes = Codes::<String>::builder("pair-television")
///     .key_ring(KeyRing::new(1, b"32 random bytes of configuration")?)
///     .build_by_subject()?;
/// let sent = codes.issue("anna@example.org", &"living room".to_owned()).await?;
/// let redeemed = codes.redeem("anna@example.org", sent.code.reveal()).await?;
/// assert_eq!(redeemed.payload, "living room");
/// # Ok(()) }
/// ```
pub struct SubjectCodes<T>(pub(super) Arc<CodesEngine<T>>);

/// A code to send.
///
/// ```
/// use token_session::KeyRing;
/// use token_session::codes::Codes;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codes = Codes::<()>::builder("pair-television")
///     .key_ring(KeyRing::new(1, b"32 random bytes of configuration")?)
///     .build_by_subject()?;
/// let sent = codes.issue("anna@example.org", &()).await?;
/// println!("{}, for {:?}", &*sent.code.grouped(), sent.expires_in);
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuedSubjectCode {
    /// For the person.
    pub code: Code,
    /// How long it lives.
    pub expires_in: Duration,
    /// When another code may be sent.
    pub resend_in: Duration,
}

impl<T: 'static> SubjectCodes<T> {
    /// A code for a subject: of a new challenge, or one more of the open one. The earlier codes stay
    /// good if the payload is the same; another payload retires them. 4 round trips, and one for
    /// each further key of the ring.
    ///
    /// # Errors
    /// [`TooSoon`](CodeError::TooSoon) within the cool-down, or when the guesses of this day are spent; [`Exhausted`](CodeError::Exhausted) while the open challenge has no guess left;
    /// [`Busy`](CodeError::Busy) while somebody acts on a [leased](Guess::lease) code.
    pub async fn issue(&self, subject: &str, payload: &T) -> Result<IssuedSubjectCode, CodeError> {
        self.issue_to(subject, payload, false).await
    }

    /// As [`issue`](Self::issue), for a subject that gets no code. A client that guesses sees no
    /// difference. The payload is as in [`Codes::decoy`](super::Codes::decoy).
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub async fn decoy(&self, subject: &str, payload: &T) -> Result<(), CodeError> {
        self.issue_to(subject, payload, true).await.map(drop)
    }

    async fn issue_to(
        &self,
        subject: &str,
        payload: &T,
        decoy: bool,
    ) -> Result<IssuedSubjectCode, CodeError> {
        let operation = if decoy { "issue_decoy" } else { "issue_code" };
        self.0.observe(operation, None, self.send(subject, payload, decoy)).await
    }

    async fn send(
        &self,
        subject: &str,
        payload: &T,
        decoy: bool,
    ) -> Result<IssuedSubjectCode, CodeError> {
        check_subject(subject)?;
        let engine = &self.0;
        let subject_key = engine.subject_key(engine.signing().1, subject);
        let payload = engine.encode(payload)?;
        let fresh = engine.begin(&subject_key, &subject_key, payload, decoy)?;
        let mut races = Races::new(ATTEMPTS);
        loop {
            let code = match engine.place_for(subject).await? {
                (secret, Some(found)) if is_open(&found) => {
                    engine.add_to(&secret, found, fresh.clone()).await?
                }
                (secret, left) => engine.open_over(&secret, left, fresh.clone()).await?,
            };
            if let Some(NewCode { code, .. }) = code {
                return Ok(IssuedSubjectCode {
                    code,
                    expires_in: engine.policy.lifetime,
                    resend_in: engine.policy.resend_after,
                });
            }
            races.lost().await?;
        }
    }

    /// Uses a code: [`guess`](Self::guess) and [`redeem`](Guess::redeem) in one. Costs one round trip
    /// more for each key of the ring before the one that the challenge was opened under, and a repeat one
    /// for each key.
    ///
    /// # Errors
    /// As [`Guess::redeem`].
    pub async fn redeem(&self, subject: &str, code: &str) -> Result<RedeemedCode<T>, CodeError> {
        self.guess(subject, code).redeem().await
    }

    /// A guess that is about to be made: with an attempt key, or as a lease.
    ///
    /// Case, spaces, hyphens, lookalikes and invisible characters in the code do not matter, nor does one
    /// punctuation mark after it. A text that cannot be a code or a subject is refused without a round trip.
    pub fn guess<'a>(&'a self, subject: &'a str, code: &'a str) -> Guess<'a, T> {
        let is_subject = check_subject(subject).is_ok();
        let code = self.0.policy.format.read(code).filter(|_| is_subject);
        Guess::new(&self.0, Lookup::Subject(subject), code)
    }

    /// Ends the challenge of a subject. The wrong guesses of this day still count. 2 round trips, or
    /// 3, for each key of the ring.
    ///
    /// No late request brings it back.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke(&self, subject: &str) -> Result<(), CodeError> {
        let work = self.0.revoke_challenge(subject);
        self.0.observe("revoke_codes", None, work).await
    }

    /// How a subject stands, without secrets. One round trip.
    ///
    /// # Errors
    /// The store's.
    pub async fn status(&self, subject: &str) -> Result<Status, CodeError> {
        self.0.observe("status_of_codes", None, self.0.status(subject)).await
    }

    /// How likely it is that a code is guessed, under this policy.
    pub fn odds(&self) -> Odds {
        self.0.policy.odds()
    }

    /// How many guesses this process has compared, for a counter, as [`Codes::compared`].
    ///
    /// [`Codes::compared`]: super::Codes::compared
    pub fn compared(&self) -> u64 {
        self.0.compared.load(Ordering::Relaxed)
    }
}

impl<T: 'static> CodesEngine<T> {
    /// The challenge of a subject, under the key of the application that it was opened under: an open
    /// one, or else a used one. One round trip for each key that it is not under, and one more.
    pub async fn find_of_subject(
        &self,
        subject: &str,
    ) -> Result<Option<(ChallengeSecret, LoadedChallenge)>, CodeError> {
        let mut used = None;
        for app in self.app_keys() {
            let secret = ChallengeSecret::of_subject(app, &self.policy.purpose, subject);
            match self.load(&secret.key).await? {
                Some(found) if found.value.is_used() => used = used.or(Some((secret, found))),
                Some(found) => return Ok(Some((secret, found))),
                None => {}
            }
        }
        Ok(used)
    }

    /// The open challenge of a subject. If there is none, the place for one under the key that signs, and
    /// what was left there.
    async fn place_for(
        &self,
        subject: &str,
    ) -> Result<(ChallengeSecret, Option<LoadedChallenge>), CodeError> {
        let mut place = None;
        for app in self.app_keys() {
            let secret = ChallengeSecret::of_subject(app, &self.policy.purpose, subject);
            let found = self.load(&secret.key).await?;
            if found.as_ref().is_some_and(is_open) {
                return Ok((secret, found));
            }
            place = place.or(Some((secret, found)));
        }
        Ok(place.unwrap_or_else(|| unreachable!("a ring has a key")))
    }

    /// Ends the challenge of a subject.
    async fn revoke_challenge(&self, subject: &str) -> Result<(), CodeError> {
        check_subject(subject)?;
        for app in self.app_keys() {
            let secret = ChallengeSecret::of_subject(app, &self.policy.purpose, subject);
            let subject = self.subject_key(app, subject);
            self.store.remove(&secret.key, Condition::Always, false).await?;
            self.budget(&subject).release_all().await?;
        }
        Ok(())
    }

    /// Opens a challenge for a subject that has none, over what was left of the last one. `None`: another
    /// request came first.
    async fn open_over(
        &self,
        secret: &ChallengeSecret,
        left: Option<LoadedChallenge>,
        challenge: Challenge,
    ) -> Result<Option<NewCode>, CodeError> {
        // A code that expired within its cool-down.
        let sent = left.as_ref().filter(|left| !left.value.is_used());
        sent.map_or(Ok(()), |left| self.check_cool_down(left))?;
        let (salt, budget) = (challenge.salt.clone(), challenge.budget.clone());
        self.reserve(&challenge).await?;
        let opened = self.write_first_code(secret, left, challenge).await;
        if !matches!(opened, Ok(Some(_))) {
            self.cancel_reservation(&salt, &budget).await;
        }
        opened
    }

    /// Writes a challenge with its first code over what was left, or where nothing is. `None`: another
    /// request came first.
    async fn write_first_code(
        &self,
        secret: &ChallengeSecret,
        left: Option<LoadedChallenge>,
        mut challenge: Challenge,
    ) -> Result<Option<NewCode>, CodeError> {
        let now = left.as_ref().map_or(Moment::START, |left| left.now);
        let code = self.add_code(secret, &mut challenge, now)?;
        let (over, lifetime) = (left.map(|left| left.with(())), Some(self.longest_trace()));
        let written = cas::swap(&*self.store, &secret.key, over, challenge, lifetime).await?;
        Ok(written.map(|_| code))
    }

    /// Adds a code to the open challenge of a subject, which is about `fresh` from now on. `None`: another
    /// request came first.
    async fn add_to(
        &self,
        secret: &ChallengeSecret,
        mut found: LoadedChallenge,
        fresh: Challenge,
    ) -> Result<Option<NewCode>, CodeError> {
        if let Some(busy) = found.value.busy(found.now) {
            return Err(busy);
        }
        match self.extend(&found).await? {
            Extension::Exhausted => return Err(CodeError::Exhausted),
            Extension::Ended => return self.open_over(secret, Some(found), fresh).await,
            Extension::Done => {}
        }
        if !is_about_the_same(&found.value, &fresh) {
            // Its codes are useless now. Its guesses stay as they were.
            let Challenge { salt, budget, .. } = found.value;
            found.value = Challenge { salt, budget, ..fresh };
        }
        let code = self.add_code(secret, &mut found.value, found.now)?;
        let (over, lifetime) = (Some(found.with(())), Some(self.trace_after(&found)));
        let written = cas::swap(&*self.store, &secret.key, over, found.value, lifetime).await?;
        Ok(written.map(|_| code))
    }
}

/// Whether a challenge waits for its code.
fn is_open(found: &LoadedChallenge) -> bool {
    let challenge = &found.value;
    let is_waiting =
        challenge.live(found.now).next().is_some() || challenge.busy(found.now).is_some();
    !challenge.is_used() && is_waiting
}

fn is_about_the_same(one: &Challenge, other: &Challenge) -> bool {
    one.decoy == other.decoy && is_same(&one.payload.0, &other.payload.0)
}

/// Whether two payloads are equal. The members of a JSON object have no order, and a `HashMap` is written
/// in another order each time.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let json = |bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    one == other || json(one).is_some_and(|one| Some(one) == json(other))
}

impl<T> Clone for SubjectCodes<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for SubjectCodes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SubjectCodes").field(&self.0.policy).finish()
    }
}
