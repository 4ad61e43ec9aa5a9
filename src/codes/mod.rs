//! Time-limited codes: short, sent to a person, and typed by that person.
//!
//! A code proves that an address belongs to the person, or signs the person in. A service
//! [issues](Codes::issue) a code for a *subject* (an address, an account) with a *payload* of its
//! own. The code goes to the person, by mail; a *handle* goes to the client that asked. Both
//! together [redeem](Codes::redeem) the code, once, and give the payload back.
//!
//! ```
//! use token_session::codes::{CodeError, Codes};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // One for each purpose. The default store is in memory; give the one you have with `store`.
//! let codes = Codes::<String>::builder("confirm-address").build()?;
//!
//! // POST /register {"email": "anna@example.org"}
//! let address = "anna@example.org".to_owned();
//! let issued = codes.issue(&address, &address).await?;
//! let mail = format!("Your code is {}.", &*issued.code.grouped()); // "Your code is 1234 5678."
//! let response = issued.challenge.handle.reveal().to_owned(); // 202 {"handle": …}
//!
//! // POST /verify {"handle": …, "code": "1234-5678"}
//! let typed = issued.code.grouped();
//! let redeemed = codes.redeem(&response, &typed).await?;
//! assert_eq!(redeemed.payload, "anna@example.org");
//!
//! // Again:
//! assert!(matches!(codes.redeem(&response, &typed).await, Err(CodeError::Refused)));
//! # Ok(()) }
//! ```
//!
//! # Which type do I want?
//! * [`Codes`]: with a handle. The right choice wherever the code is typed where it was asked for.
//! * [`SubjectCodes`]: without a handle, for the code that is asked for on one device and typed on
//!   another. Weaker, and needs a [key of the application](crate::KeyRing).
//! * [`RecoveryCodes`]: a set to be printed and kept.
//! * [`links`](crate::links): to be clicked instead of typed;
//!   [`SignInLinks`](crate::links::SignInLinks) for both.
//!
//! # What does a store's dump tell?
//! Digests of handles and subjects, MACs of codes, and the payloads as the codec wrote them: an address
//! that is a payload, as above, is readable. Without the handle, no code can be tried against the dump.
//! Without a [key of the application](CodesBuilder::key_ring), an address can be tried: whether it is one
//! of the subjects.
//!
//! # What stays in the store, and for how long?
//! A challenge stays as long as its codes are good; one without a handle, or with a second code, at
//! least until another code may be sent; a used one for 30 seconds. The guesses of a subject stay for a
//! day, and what a challenge has reserved of them for a minute longer than its codes. What is revoked is
//! removed at once. A request that is still under way does not bring it back: each record begins with a
//! random [version](crate::Version), so a late write misses the next one.
//!
//! # What if the store forgets a record before its time?
//! A challenge that is gone refuses every code. A subject's budget that is gone counts as full, so an
//! attacker has all guesses of a day again. So keep codes in a store that forgets nothing early: on
//! Redis set `maxmemory-policy` to `noeviction`, or give codes a Redis of their own. With another
//! policy Redis evicts any record once it reaches its `maxmemory`, and an attacker can fill it by asking
//! for codes for many subjects.
//!
//! # What do logs and metrics tell?
//! With the features `tracing` and `metrics` every operation has a span `token_session`, a counter
//! `token_session_operations_total` and a histogram `token_session_operation_seconds`, as those of
//! sessions have: by `operation`, such as `redeem_code`, by `purpose`, and by `outcome`. Guessing
//! shows as `refused` and then `exhausted`, flooding one subject with mail as `too_soon`.
//! The span has the level `DEBUG`, and gets its outcome when it closes. It contains the key of the
//! challenge, and no code, handle, subject or payload. A call that is dropped half-way is not counted.
//!
#![doc = include_str!("standards.md")]

mod budget;
mod builder;
mod by_subject;
mod challenge;
mod device;
mod engine;
mod error;
mod format;
mod issue;
mod lease;
mod limits;
mod link_token;
mod linked;
mod odds;
mod policy;
mod recovery;
mod redeem;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use self::budget::Status;
pub use self::builder::CodesBuilder;
pub use self::by_subject::{IssuedSubjectCode, SubjectCodes};
use self::challenge::ChallengeSecret;
use self::engine::CodesEngine;
pub use self::error::CodeError;
pub use self::format::{Code, CodeFormat};
pub use self::issue::{IssuedCode, OpenChallenge, ResentCode};
pub use self::lease::Lease;
pub(crate) use self::link_token::LinkToken;
pub use self::linked::LinkedCode;
pub use self::odds::Odds;
pub use self::policy::PolicyError;
pub use self::recovery::{RecoveryCodes, RedeemedRecoveryCode};
use self::redeem::Lookup;
pub use self::redeem::{Guess, RedeemedCode};
use crate::token::Token;

/// Issues codes of one purpose, and redeems them. Cheap to clone: a handle on shared state.
///
/// `T` is the payload: what a right code is good for. Redeeming the code gives it back. The subject is
/// kept as a digest, **the payload is kept as the codec writes it**: in the clear, unless the codec
/// encrypts. Leave out what a dump of the store must not show: use an account's id instead of its
/// address, or a [codec](CodesBuilder::codec) of your own.
///
/// Subjects are compared byte by byte. Give addresses their [canonical form](crate::subjects::email)
/// first, or `anna@example.org` and `Anna@Example.org` have two budgets.
///
/// Keep codes in a store of their own, such as another table or another prefix. Codes and sessions in one
/// store never share a key or an owner, but a list of all sessions shows the codes too.
///
/// ```
/// use token_session::codes::Codes;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codes = Codes::<String>::builder("confirm-address").build()?;
/// // An address that is registered already gets no code, and the client sees no difference.
/// let address = "anna@example.org".to_owned();
/// let challenge = codes.decoy(&address, &address).await?;
/// assert!(codes.redeem(challenge.handle.reveal(), "1234 5678").await.is_err());
/// # Ok(()) }
/// ```
pub struct Codes<T>(Arc<CodesEngine<T>>);

impl<T: 'static> Codes<T> {
    /// Codes for one purpose, such as `"sign-in"`. No code of one purpose is good for another. It is in
    /// logs and a label of metrics: one of few fixed words, never made from a request.
    pub fn builder(purpose: impl Into<String>) -> CodesBuilder<T> {
        CodesBuilder::new(purpose.into())
    }

    /// Opens a challenge: a code to send to the person, and a handle for the client that asked.
    ///
    /// The challenge reserves its guesses at once, so no stranger can spend them.
    /// 3 round trips.
    ///
    /// # Errors
    /// [`TooSoon`](CodeError::TooSoon) when the subject's guesses of this day are spent, or reserved for
    /// other challenges.
    pub async fn issue(&self, subject: &str, payload: &T) -> Result<IssuedCode, CodeError> {
        let (issued, _) = self.issue_linked(None, subject, payload).await?;
        Ok(issued)
    }

    /// As [`issue`](Self::issue), for a client that shows a [device's token](Self::device_token) of
    /// this subject. The device has a budget of its own, so a stranger's guesses do not keep it from
    /// asking. A client with any other token is treated as one without.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub async fn issue_from_device(
        &self,
        device: &str,
        subject: &str,
        payload: &T,
    ) -> Result<IssuedCode, CodeError> {
        let (issued, _) = self.issue_linked(Some(device), subject, payload).await?;
        Ok(issued)
    }

    /// A token for a client on which the subject has proven itself. The client keeps it, and shows it with
    /// [`issue_from_device`](Self::issue_from_device). It signs nobody in. No round trip: nothing is
    /// stored, and it is good as long as the ring has the key that signed it.
    ///
    /// A stranger who spends the guesses of a day keeps a subject from getting a code on a new device
    /// until the day is over, but not on a known one (OWASP, Device Cookies; NIST SP 800-63B-4, section
    /// 3.2.2).
    ///
    /// # Errors
    /// [`NoKeyRing`](PolicyError::NoKeyRing) without a [key ring](CodesBuilder::key_ring).
    pub fn device_token(&self, subject: &str) -> Result<Token, CodeError> {
        self.0.device_token(subject)
    }

    /// A challenge that nobody can answer, for a subject that gets no code: unknown, or registered
    /// already. A client sees no difference (OWASP ASVS 5.0, 6.3.8): the same answer, the same round
    /// trips, the same errors after as many guesses and resends.
    ///
    /// Give it a payload of the size that a real one would have, such as the address that was asked
    /// for. It is encoded, stored and decoded as a real one is, so the time of the answer tells nothing.
    /// Nobody ever gets it.
    ///
    /// Send mail from a queue, not before the answer, or the time of the answer tells.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub async fn decoy(&self, subject: &str, payload: &T) -> Result<OpenChallenge, CodeError> {
        let work = self.0.issue(None, subject, payload, true);
        let (challenge, _) = self.0.observe("issue_decoy", None, work).await?;
        Ok(challenge)
    }

    /// Another code for a challenge. The earlier ones stay good until their own expiry, up to
    /// [`live_codes`](CodesBuilder::live_codes) at once, so the mail that arrives first is a right one.
    /// All of them share the guesses that are left. 4 round trips.
    ///
    /// # Errors
    /// [`TooSoon`](CodeError::TooSoon) within the cool-down, [`Exhausted`](CodeError::Exhausted)
    /// without guesses, [`Refused`](CodeError::Refused) for a handle that is used, expired or
    /// unknown.
    pub async fn resend(&self, handle: &str) -> Result<ResentCode<T>, CodeError> {
        let (resent, _) = self.resend_linked(handle).await?;
        Ok(resent)
    }

    /// Uses a code: [`guess`](Self::guess) and [`redeem`](Guess::redeem) in one.
    ///
    /// # Errors
    /// As [`Guess::redeem`].
    pub async fn redeem(&self, handle: &str, code: &str) -> Result<RedeemedCode<T>, CodeError> {
        self.guess(handle, code).redeem().await
    }

    /// A guess that is about to be made: with a subject, with an attempt key, as a lease.
    ///
    /// Case, spaces, hyphens, lookalikes and invisible characters in the code do not matter, nor does one
    /// punctuation mark after it. A text that cannot be a code or a handle is refused without a round trip.
    pub fn guess<'a>(&'a self, handle: &'a str, code: &'a str) -> Guess<'a, T> {
        let code = self.0.policy.format.read(code);
        Guess::new(&self.0, Lookup::Handle(self.secret(handle)), code)
    }

    /// Ends a challenge, as when the person goes back: the guesses that it reserved are free again, once
    /// the cool-down of its last code is over. 3 round trips. A handle that is used, expired or
    /// unknown is no error.
    ///
    /// # Errors
    /// The store's.
    ///
    /// ```
    /// use token_session::codes::Codes;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let codes = Codes::<()>::builder("sign-in").build()?;
    /// let issued = codes.issue("anna@example.org", &()).await?;
    /// let handle = issued.challenge.handle.reveal();
    /// codes.cancel(handle).await?;
    /// assert!(codes.redeem(handle, issued.code.reveal()).await.is_err());
    /// # Ok(()) }
    /// ```
    pub async fn cancel(&self, handle: &str) -> Result<(), CodeError> {
        match self.secret(handle) {
            Some(secret) => {
                let work = self.0.cancel(&secret.key);
                self.0.observe("cancel_code", Some(&secret.key), work).await
            }
            None => Ok(()),
        }
    }

    /// Ends all challenges of a subject: none of its codes is good any more. The wrong guesses of
    /// this day still count. 3 round trips for each key of the ring.
    ///
    /// # Errors
    /// The store's.
    ///
    /// ```
    /// use token_session::codes::Codes;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let codes = Codes::<()>::builder("sign-in").build()?;
    /// let issued = codes.issue("anna@example.org", &()).await?;
    /// codes.revoke("anna@example.org").await?;
    /// let answer = codes.redeem(issued.challenge.handle.reveal(), issued.code.reveal()).await;
    /// assert!(answer.is_err());
    /// # Ok(()) }
    /// ```
    pub async fn revoke(&self, subject: &str) -> Result<(), CodeError> {
        self.0.observe("revoke_codes", None, self.0.revoke(subject)).await
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

    /// How many guesses this process has compared with live codes, for a counter. If it climbs faster while
    /// [`redeem`](Self::redeem) does not succeed more often, somebody is guessing.
    pub fn compared(&self) -> u64 {
        self.0.compared.load(Ordering::Relaxed)
    }

    /// The secret of the challenge that a handle opens. `None`: the text is no handle.
    fn secret(&self, handle: &str) -> Option<ChallengeSecret> {
        Some(self.0.secret_of_handle(&Token::parse(handle).ok()?))
    }
}

impl<T> Clone for Codes<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> std::fmt::Debug for Codes<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Codes").field(&self.0.policy).finish()
    }
}
