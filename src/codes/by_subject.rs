//! [`SubjectCodes`]: codes that are redeemed without a handle.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::budget::{Charge, Status};
use super::challenge::{Challenge, Lock};
use super::engine::{Engine, Found, Made, RETRIES, absolute};
use super::error::CodeError;
use super::format::Code;
use super::issue::check_subject;
use super::odds::Odds;
use super::redeem::{Guess, Place, Redeemed};
use crate::codec::{Codec, Json};
use crate::manager::retry::Backoff;
use crate::store::{AtomicStore, Condition, Inserted, Memory, NewRecord};
use crate::stored::{self, Moment};

/// Codes that are redeemed by subject and code alone: asked for on one device, typed on another.
/// [`CodesBuilder::build_by_subject`](super::CodesBuilder::build_by_subject) makes them.
///
/// # What is weaker than with a handle?
/// * **A stranger can guess.** Whoever knows the subject may try, on the same budget as the person:
///   who spends the guesses of the challenge, or of the day, locks the person out for as long.
/// * **A stranger can ask.** There is one challenge for a subject at a time, and the cool-down is
///   shared.
/// * **Only the application's key keeps the codes secret** in a dump of the store. With both, all
///   live codes are read.
/// * **Anyone may complete what the person began**: a code that was talked out of a person is
///   enough. NIST SP 800-63B-4, section 3.1.3, and OWASP ASVS 5.0, 6.6.2, ask that a code be bound
///   to the request that asked for it, so these are not for signing in.
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
pub struct SubjectCodes<T, S = Memory, C = Json>(pub(super) Arc<Engine<T, S, C>>);

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
pub struct Sent {
    /// For the person.
    pub code: Code,
    /// How long it lives.
    pub expires_in: Duration,
    /// When another code may be sent.
    pub resend_in: Duration,
}

impl<T, S: AtomicStore, C: Codec<T>> SubjectCodes<T, S, C> {
    /// A code for a subject: of a new challenge, or one more of the open one. The earlier codes stay
    /// good if the payload is the same; another payload retires them. 3 round trips, or 4.
    ///
    /// # Errors
    /// [`TooSoon`](CodeError::TooSoon) within the cool-down, or when the guesses of this day are
    /// spent; [`Exhausted`](CodeError::Exhausted) while the open challenge has no guess left.
    pub async fn issue(&self, subject: &str, payload: &T) -> Result<Sent, CodeError> {
        self.issue_to(subject, Some(payload)).await
    }

    /// As [`issue`](Self::issue), for a subject that is to get no code; to who guesses there is no
    /// difference.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub async fn decoy(&self, subject: &str) -> Result<(), CodeError> {
        self.issue_to(subject, None).await.map(drop)
    }

    async fn issue_to(&self, subject: &str, payload: Option<&T>) -> Result<Sent, CodeError> {
        let operation = if payload.is_some() { "issue_code" } else { "issue_decoy" };
        self.0.observe(operation, None, self.send(subject, payload)).await
    }

    async fn send(&self, subject: &str, payload: Option<&T>) -> Result<Sent, CodeError> {
        check_subject(subject)?;
        let engine = &self.0;
        let subject_key = engine.subject_key(engine.signing().1, subject);
        let fresh = engine.begin(&subject_key, &subject_key, payload)?;
        let mut backoff = Backoff::new();
        for _ in 0..RETRIES {
            let made = match engine.find_of_subject(subject).await? {
                Some((lock, found)) => engine.add_to(&lock, found, &fresh).await?,
                None => engine.open_for(subject, fresh.clone()).await?,
            };
            if let Some(made) = made {
                return Ok(Sent {
                    code: made.code,
                    expires_in: engine.policy.lifetime,
                    resend_in: engine.policy.resend_after,
                });
            }
            backoff.wait().await;
        }
        Err(CodeError::Contended { attempts: RETRIES })
    }

    /// Uses a code: [`guess`](Self::guess) and [`redeem`](Guess::redeem) in one.
    ///
    /// # Errors
    /// As [`Guess::redeem`].
    pub async fn redeem(&self, subject: &str, code: &str) -> Result<Redeemed<T>, CodeError> {
        self.guess(subject, code).redeem().await
    }

    /// A guess that is about to be made: with an attempt key, or as a lease.
    pub fn guess<'a>(&'a self, subject: &'a str, code: &'a str) -> Guess<'a, T, S, C> {
        let code = self.0.policy.format.read(code);
        Guess::new(&self.0, Place::Subject(subject), code)
    }

    /// Ends the challenge of a subject. The wrong guesses of this day still count. 2 round trips, or
    /// 3, for each key of the ring.
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
        Odds::of(&self.0.policy)
    }
}

impl<T, S: AtomicStore, C: Codec<T>> Engine<T, S, C> {
    /// The challenge of a subject, under whichever key of the application it was opened. One round
    /// trip for each key that it is not under.
    pub async fn find_of_subject(&self, subject: &str) -> Result<Option<(Lock, Found)>, CodeError> {
        for app in self.app_keys() {
            let lock = Lock::of_subject(app, &self.policy.purpose, subject);
            if let Some(found) = self.load(&lock.key).await? {
                return Ok(Some((lock, found)));
            }
        }
        Ok(None)
    }

    /// Ends the challenge of a subject.
    async fn revoke_challenge(&self, subject: &str) -> Result<(), CodeError> {
        check_subject(subject)?;
        for app in self.app_keys() {
            let lock = Lock::of_subject(app, &self.policy.purpose, subject);
            self.store.remove(&lock.key, Condition::Always).await?;
            let subject = self.subject_key(app, subject);
            self.budget(&subject).give_all_back().await?;
        }
        Ok(())
    }

    /// Opens the challenge of a subject that has none. `None`: another request came first.
    async fn open_for(
        &self,
        subject: &str,
        mut challenge: Challenge,
    ) -> Result<Option<Made>, CodeError> {
        let lock = Lock::of_subject(self.signing().1, &self.policy.purpose, subject);
        let budget = challenge.budget_key(&lock.key)?;
        self.keep(&challenge, &budget).await?;
        let made = self.add_code(&lock, &mut challenge, Moment::START)?;
        let lifetime = absolute(self.policy.lifetime);
        let record = NewRecord::new(stored::write(&challenge), lifetime);
        match self.store.insert(&lock.key, &record).await? {
            Inserted::Done { .. } => Ok(Some(made)),
            Inserted::KeyTaken | Inserted::OwnerFull => {
                self.budget(&budget).give_back(&challenge.salt, Duration::ZERO).await?;
                Ok(None)
            }
        }
    }

    /// Adds a code to the challenge of a subject, or begins it anew where it was used or is to be
    /// about something else. `None`: another request came first.
    async fn add_to(
        &self,
        lock: &Lock,
        mut found: Found,
        fresh: &Challenge,
    ) -> Result<Option<Made>, CodeError> {
        let charge = match found.is_used() {
            true => Charge::Ended,
            false => {
                self.check_cool_down(&found)?;
                let budget = self.budget(&found.budget);
                budget.prolong(&found.challenge.salt, self.policy.lifetime).await?
            }
        };
        let afresh = Challenge { budget: found.challenge.budget.clone(), ..fresh.clone() };
        match charge {
            Charge::Exhausted => return Err(CodeError::Exhausted),
            Charge::Ended => {
                self.keep(&afresh, &found.budget).await?;
                found.challenge = afresh;
            }
            Charge::Done if !is_about_the_same(&found.challenge, fresh) => {
                // Its codes are of no use any more, and its guesses are as many as they were.
                found.challenge = Challenge { salt: found.challenge.salt, ..afresh };
            }
            Charge::Done => {}
        }
        let made = self.add_code(lock, &mut found.challenge, found.now)?;
        match self.write(&lock.key, &found, self.policy.lifetime).await {
            Ok(Some(_)) => Ok(Some(made)),
            // Another request came first, or it expired a moment ago.
            Ok(None) | Err(CodeError::Refused) => {
                if charge == Charge::Ended {
                    let budget = self.budget(&found.budget);
                    budget.give_back(&found.challenge.salt, Duration::ZERO).await?;
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn is_about_the_same(one: &Challenge, other: &Challenge) -> bool {
    (one.decoy, &one.payload) == (other.decoy, &other.payload)
}

impl<T, S, C> Clone for SubjectCodes<T, S, C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T, S, C> fmt::Debug for SubjectCodes<T, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SubjectCodes").field(&self.0.policy).finish()
    }
}
