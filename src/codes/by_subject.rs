//! [`SubjectCodes`]: codes that are redeemed without a handle.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::budget::{Charge, Status};
use super::challenge::{Challenge, Lock};
use super::engine::{Engine, Found, Made, RETRIES, absolute};
use super::error::CodeError;
use super::format::Code;
use super::issue::check_subject;
use super::odds::Odds;
use super::redeem::{Guess, Place, Redeemed};
use crate::backoff::Backoff;
use crate::store::{Condition, Inserted, NewRecord};
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
pub struct SubjectCodes<T>(pub(super) Arc<Engine<T>>);

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

impl<T: 'static> SubjectCodes<T> {
    /// A code for a subject: of a new challenge, or one more of the open one. The earlier codes stay
    /// good if the payload is the same; another payload retires them. 4 round trips, and one for
    /// each further key of the ring.
    ///
    /// # Errors
    /// [`TooSoon`](CodeError::TooSoon) within the cool-down, or when the guesses of this day are
    /// spent; [`Exhausted`](CodeError::Exhausted) while the open challenge has no guess left;
    /// [`Busy`](CodeError::Busy) while somebody acts on a [leased](Guess::lease) code.
    pub async fn issue(&self, subject: &str, payload: &T) -> Result<Sent, CodeError> {
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

    async fn issue_to(&self, subject: &str, payload: &T, decoy: bool) -> Result<Sent, CodeError> {
        let operation = if decoy { "issue_decoy" } else { "issue_code" };
        self.0.observe(operation, None, self.send(subject, payload, decoy)).await
    }

    async fn send(&self, subject: &str, payload: &T, decoy: bool) -> Result<Sent, CodeError> {
        check_subject(subject)?;
        let engine = &self.0;
        let subject_key = engine.subject_key(engine.signing().1, subject);
        let payload = engine.encode(payload)?;
        let fresh = engine.begin(&subject_key, &subject_key, payload, decoy)?;
        let mut backoff = Backoff::new();
        for _ in 0..RETRIES {
            let made = match engine.place_for(subject).await? {
                (lock, Some(found)) if is_open(&found) => {
                    engine.add_to(&lock, found, fresh.clone()).await?
                }
                (lock, left) => engine.open_over(&lock, left, fresh.clone()).await?,
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

    /// Uses a code: [`guess`](Self::guess) and [`redeem`](Guess::redeem) in one. Costs one round trip
    /// more for each key of the ring before the one that the challenge was opened under, and a repeat one
    /// for each key.
    ///
    /// # Errors
    /// As [`Guess::redeem`].
    pub async fn redeem(&self, subject: &str, code: &str) -> Result<Redeemed<T>, CodeError> {
        self.guess(subject, code).redeem().await
    }

    /// A guess that is about to be made: with an attempt key, or as a lease.
    ///
    /// Forgiven are case, spaces, hyphens, lookalikes and invisible characters in the code, and one
    /// sentence mark after it. A text that cannot be a code or
    /// a subject is refused at no cost.
    pub fn guess<'a>(&'a self, subject: &'a str, code: &'a str) -> Guess<'a, T> {
        let is_subject = check_subject(subject).is_ok();
        let code = self.0.policy.format.read(code).filter(|_| is_subject);
        Guess::new(&self.0, Place::Subject(subject), code)
    }

    /// Ends the challenge of a subject. The wrong guesses of this day still count. 2 round trips, or
    /// 3, for each key of the ring.
    ///
    /// No request that is still under way brings it back.
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

    /// How many guesses this process has compared, for a counter, as [`Codes::compared`].
    ///
    /// [`Codes::compared`]: super::Codes::compared
    pub fn compared(&self) -> u64 {
        self.0.compared.load(Ordering::Relaxed)
    }
}

impl<T: 'static> Engine<T> {
    /// The challenge of a subject, under whichever key of the application it was opened: one that
    /// waits for its code, or else one that was used. One round trip for each key that it is not
    /// under, and one more.
    pub async fn find_of_subject(&self, subject: &str) -> Result<Option<(Lock, Found)>, CodeError> {
        let mut used = None;
        for app in self.app_keys() {
            let lock = Lock::of_subject(app, &self.policy.purpose, subject);
            match self.load(&lock.key).await? {
                Some(found) if found.is_used() => used = used.or(Some((lock, found))),
                Some(found) => return Ok(Some((lock, found))),
                None => {}
            }
        }
        Ok(used)
    }

    /// The open challenge of a subject, or else the place for one, under the key that signs, and
    /// what was left there.
    async fn place_for(&self, subject: &str) -> Result<(Lock, Option<Found>), CodeError> {
        let mut place = None;
        for app in self.app_keys() {
            let lock = Lock::of_subject(app, &self.policy.purpose, subject);
            let found = self.load(&lock.key).await?;
            if found.as_ref().is_some_and(is_open) {
                return Ok((lock, found));
            }
            place = place.or(Some((lock, found)));
        }
        Ok(place.unwrap_or_else(|| unreachable!("a ring has a key")))
    }

    /// Ends the challenge of a subject.
    async fn revoke_challenge(&self, subject: &str) -> Result<(), CodeError> {
        check_subject(subject)?;
        for app in self.app_keys() {
            let lock = Lock::of_subject(app, &self.policy.purpose, subject);
            let subject = self.subject_key(app, subject);
            self.store.remove(&lock.key, Condition::Always, false).await?;
            self.budget(&subject).give_all_back().await?;
        }
        Ok(())
    }

    /// Opens the challenge of a subject that has none, over what was left of the last one. `None`:
    /// another request came first.
    async fn open_over(
        &self,
        lock: &Lock,
        left: Option<Found>,
        challenge: Challenge,
    ) -> Result<Option<Made>, CodeError> {
        // A code that expired within its cool-down.
        let sent = left.as_ref().filter(|left| !left.is_used());
        sent.map_or(Ok(()), |left| self.check_cool_down(left))?;
        let (salt, budget) = (challenge.salt.clone(), challenge.budget_key(&lock.key)?);
        self.keep(&challenge, &budget).await?;
        let opened = match left {
            Some(left) => {
                let mut found = Found { challenge, expires_in: Duration::ZERO, ..left };
                self.write_code(lock, &mut found).await
            }
            None => self.insert_code(lock, challenge).await,
        };
        if !matches!(opened, Ok(Some(_))) {
            self.forgo(&salt, &budget).await;
        }
        match opened {
            // What was left went a moment ago.
            Err(CodeError::Refused) => Ok(None),
            opened => opened,
        }
    }

    /// Puts a challenge with its first code where nothing is. `None`: another request came first.
    async fn insert_code(
        &self,
        lock: &Lock,
        mut challenge: Challenge,
    ) -> Result<Option<Made>, CodeError> {
        let made = self.add_code(lock, &mut challenge, Moment::START)?;
        let lifetime = absolute(self.longest_trace());
        let record = NewRecord::new(stored::write(&challenge), lifetime);
        let inserted = self.store.insert(&lock.key, &record).await?;
        Ok(matches!(inserted, Inserted::Done { .. }).then_some(made))
    }

    /// Adds a code to the open challenge of a subject, which is to be about `fresh` from now on.
    /// `None`: another request came first.
    async fn add_to(
        &self,
        lock: &Lock,
        mut found: Found,
        fresh: Challenge,
    ) -> Result<Option<Made>, CodeError> {
        if let Some(busy) = found.busy() {
            return Err(busy);
        }
        match self.prolong(&found).await? {
            Charge::Exhausted => return Err(CodeError::Exhausted),
            Charge::Ended => return self.open_over(lock, Some(found), fresh).await,
            Charge::Done => {}
        }
        if !is_about_the_same(&found.challenge, &fresh) {
            // Its codes are of no use any more, and its guesses are as many as they were.
            let Challenge { salt, budget, .. } = found.challenge;
            found.challenge = Challenge { salt, budget, ..fresh };
        }
        match self.write_code(lock, &mut found).await {
            // It ended a moment ago.
            Err(CodeError::Refused) => Ok(None),
            made => made,
        }
    }
}

/// Whether a challenge waits for its code.
fn is_open(found: &Found) -> bool {
    let is_waiting = found.challenge.live(found.now).next().is_some() || found.busy().is_some();
    !found.is_used() && is_waiting
}

fn is_about_the_same(one: &Challenge, other: &Challenge) -> bool {
    one.decoy == other.decoy && is_same(&one.payload.0, &other.payload.0)
}

/// Whether two payloads are equal. The members of a JSON object have no order, and a `HashMap` is
/// written in another one each time.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Codes;
    use crate::codes::stolen::Stolen;
    use crate::key_ring::KeyRing;
    use crate::store::{Memory, Store};

    const PURPOSE: &str = "pair";
    const SUBJECT: &str = "anna@example.org";
    const APPLICATION: &[u8; 32] = b"the application's key: 32 bytes.";

    /// A challenge as a dump has it, and its code.
    async fn stolen() -> (Stolen<'static>, Code) {
        let store = Memory::new();
        let codes = Codes::<u32>::builder(PURPOSE).store(store.clone());
        let codes = codes.key_ring(KeyRing::new(1, APPLICATION).unwrap());
        let sent = codes.build_by_subject().unwrap().issue(SUBJECT, &17).await.unwrap();
        let dump = store.scan(None, 10).await.unwrap().records.into_iter().collect();
        let mut stolen = Stolen::all(PURPOSE, &dump);
        assert_eq!(stolen.len(), 1);
        (stolen.remove(0), sent.code)
    }

    /// How many of the codes from the right one on are confirmed with this for the application's key.
    fn confirmed(app: &[u8; 32], stolen: &Stolen<'_>, right: &Code, trials: u64) -> usize {
        let lock = Lock::of_subject(app, PURPOSE, SUBJECT);
        let ring = KeyRing::new(1, app).unwrap();
        stolen.confirmed_under(&lock, Some(&ring), right.reveal(), trials)
    }

    /// All 10^8 codes are no nearer: each trial is a MAC under the application's key, and even the
    /// address is of no help without it.
    #[tokio::test]
    async fn a_hundred_thousand_offline_trials_on_a_dump_confirm_no_code() {
        let (stolen, right) = stolen().await;
        let known = stolen.values();
        let each = 100_000_u64.div_ceil(known.len() as u64);
        for app in known {
            assert_eq!(confirmed(&app, &stolen, &right, each), 0);
        }
    }

    #[tokio::test]
    async fn with_the_application_key_the_same_trials_confirm_the_right_code_alone() {
        let (stolen, right) = stolen().await;
        assert_eq!(confirmed(APPLICATION, &stolen, &right, 1_000), 1);
    }
}
