//! Issuing codes: new ones, further ones, and decoys.

use std::convert::Infallible;
use std::time::Duration;

use super::budget::{Extension, Status};
use super::challenge::{Challenge, ChallengeSecret};
use super::engine::{CodesEngine, LoadedChallenge, NewCode};
use super::error::CodeError;
use super::format::Code;
use super::limits::check_subject;
use crate::compare_and_swap::{self as cas, ATTEMPTS, Step, Updated, absolute};
use crate::key::Key;
use crate::record::Owner;
use crate::record_json::{self, Blob, Moment, whole_seconds};
use crate::store::{Condition, Inserted, NewRecord};
use crate::token::Token;

/// A code to send, and the challenge that it answers.
///
/// ```
/// use token_session::codes::Codes;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codes = Codes::<()>::builder("sign-in").build()?;
/// let issued = codes.issue("anna@example.org", &()).await?;
/// // Into the mail, for Anna:
/// let text = format!("Your code is {}.", &*issued.code.grouped());
/// // Into the response, for the client that asked:
/// let handle = issued.challenge.handle.reveal();
/// assert!(codes.redeem(handle, issued.code.reveal()).await.is_ok());
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuedCode {
    /// For the client that asked.
    pub challenge: OpenChallenge,
    /// For the person, by mail or by another channel that proves who it is. Never for the client.
    pub code: Code,
}

/// What the client that asked for a code gets. It is the same for an unknown subject.
///
/// ```
/// use token_session::codes::Codes;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codes = Codes::<String>::builder("confirm-address").build()?;
/// let issued = codes.issue("anna@example.org", &"anna@example.org".to_owned()).await?;
///
/// let challenge = &issued.challenge;
/// let (code_lives, resend_in) = (challenge.expires_in.as_secs(), challenge.resend_in.as_secs());
/// assert_eq!((code_lives, resend_in), (600, 60));
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenChallenge {
    /// Redeems the code together with it: 192 random bits. Only the client keeps it.
    pub handle: Token,
    /// How long the code lives.
    pub expires_in: Duration,
    /// When another code may be sent.
    pub resend_in: Duration,
}

/// Another code of a challenge.
///
/// ```
/// use token_session::codes::{CodeError, Codes};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codes = Codes::<String>::builder("sign-in").build()?;
/// let issued = codes.issue("anna@example.org", &"anna@example.org".to_owned()).await?;
/// match codes.resend(issued.challenge.handle.reveal()).await {
///     Ok(resent) => {
///         if let Some((code, address)) = resent.message {
///             // Send the code to the address.
///         }
///         // Answer the same with a message and without.
///     }
///     Err(CodeError::TooSoon { retry_after }) => assert!(retry_after.as_secs() <= 60),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct ResentCode<T> {
    /// The code to send, and the payload of the challenge. `None`: the challenge is a decoy, so
    /// nobody is sent anything.
    pub message: Option<(Code, T)>,
    /// How long the new code lives. The earlier ones keep their own expiry.
    pub expires_in: Duration,
    /// When another code may be sent.
    pub resend_in: Duration,
}

impl<T: 'static> CodesEngine<T> {
    /// A new challenge that a new handle opens. It draws on the budget of the device if that is known,
    /// and else on the subject's.
    pub async fn issue(
        &self,
        device: Option<&str>,
        subject: &str,
        payload: &T,
        decoy: bool,
    ) -> Result<(OpenChallenge, NewCode), CodeError> {
        check_subject(subject)?;
        let known = device.and_then(|device| self.device_budget(device, subject));
        let subject = self.subject_key(self.signing().1, subject);
        let budget = known.unwrap_or_else(|| subject.clone());
        let owner = Owner::of_digest(&subject);
        let mut challenge = self.begin(&subject, &budget, self.encode(payload)?, decoy)?;
        // Before the handle is drawn, which takes time on a store with many partitions: a client that
        // is too early costs little.
        self.reserve(&challenge).await?;
        let opened = self.open(&owner, &mut challenge).await;
        if opened.is_err() {
            self.cancel_reservation(&challenge.salt, &budget).await;
        }
        opened
    }

    /// Puts a challenge under a new handle, with its first code.
    async fn open(
        &self,
        owner: &Owner,
        challenge: &mut Challenge,
    ) -> Result<(OpenChallenge, NewCode), CodeError> {
        let (handle, secret) = self.draw_handle(owner)?;
        let code = self.add_code(&secret, challenge, Moment::START)?;
        let lifetime = absolute(self.policy.lifetime);
        let data = record_json::write(challenge);
        let record = NewRecord { owner: Some(owner), ..NewRecord::new(data, lifetime) };
        match self.store.insert(&secret.key, &record).await? {
            Inserted::Done { .. } => Ok((self.open_challenge(handle), code)),
            // Of 192 random bits: the generator is broken.
            Inserted::KeyTaken | Inserted::OwnerFull => Err(CodeError::Contended { attempts: 1 }),
        }
    }

    /// Reserves a new challenge's guesses.
    pub async fn reserve(&self, challenge: &Challenge) -> Result<(), CodeError> {
        let (tries, lifetime) = (self.policy.tries, self.policy.lifetime);
        self.budget(&challenge.budget).reserve(&challenge.salt, tries, lifetime).await
    }

    /// Releases what was reserved for a challenge that was not opened. Nobody has its code, so nobody
    /// makes these guesses. If the store fails here, they are free again when the challenge would have
    /// ended.
    pub async fn cancel_reservation(&self, salt: &Blob, budget: &Key) {
        let _ = self.budget(budget).release(salt, Duration::ZERO).await;
    }

    fn open_challenge(&self, handle: Token) -> OpenChallenge {
        OpenChallenge {
            handle,
            expires_in: self.policy.lifetime,
            resend_in: self.policy.resend_after,
        }
    }

    /// Another code of the challenge under this secret.
    pub async fn resend(
        &self,
        secret: &ChallengeSecret,
    ) -> Result<(Challenge, NewCode), CodeError> {
        let found = self.load(&secret.key).await?.ok_or(CodeError::Refused)?;
        if found.value.is_used() {
            return Err(CodeError::Refused);
        }
        match self.extend(&found).await? {
            Extension::Done => {}
            Extension::Exhausted => return Err(CodeError::Exhausted),
            Extension::Ended => return Err(CodeError::Refused),
        }
        let updated = cas::update(&*self.store, &secret.key, Some(found), ATTEMPTS, |found| {
            let mut found: LoadedChallenge = found.ok_or(CodeError::Refused)?;
            if found.value.is_used() {
                return Err(CodeError::Refused);
            }
            self.check_cool_down(&found)?;
            let answer = self.add_code(secret, &mut found.value, found.now)?;
            let lifetime = Some(self.trace_after(&found));
            Ok(Step::<_, Infallible, _>::Write { value: found.value, lifetime, answer })
        });
        match updated.await? {
            Updated::Written(code, written) => Ok((written.value, code)),
            Updated::Left(never) => match never {},
        }
    }

    /// Holds a challenge's guesses for another code of it, once the cool-down is over.
    pub async fn extend(&self, found: &LoadedChallenge) -> Result<Extension, CodeError> {
        self.check_cool_down(found)?;
        let budget = self.budget(&found.value.budget);
        budget.extend(&found.value.salt, self.policy.lifetime).await
    }

    /// How long a challenge stays after its last code was made: until the code has expired and another
    /// one may follow.
    pub fn longest_trace(&self) -> Duration {
        self.policy.lifetime.max(self.policy.resend_after)
    }

    /// How long a challenge stays after another code was added. A lease may be longer than a code's life.
    pub fn trace_after(&self, found: &LoadedChallenge) -> Duration {
        self.longest_trace().max(found.expires_in)
    }

    pub fn check_cool_down(&self, found: &LoadedChallenge) -> Result<(), CodeError> {
        let since = found.now.since(found.value.sent);
        match self.policy.resend_after.checked_sub(since) {
            Some(wait) if !wait.is_zero() => {
                Err(CodeError::TooSoon { retry_after: whole_seconds(wait) })
            }
            _ => Ok(()),
        }
    }

    /// Ends the challenge under `key`, and releases its guesses. Not before another code might have been
    /// sent, or cancelling and issuing would be a way around the cool-down.
    pub async fn cancel(&self, key: &Key) -> Result<(), CodeError> {
        let removed = self.store.remove(key, Condition::Always, true).await?;
        let Some(record) = removed.record() else {
            return Ok(());
        };
        let challenge: Challenge = record_json::read(key, &record.data)?;
        let since = Moment::now(&record.meta).since(challenge.sent);
        let wait = self.policy.resend_after.saturating_sub(since);
        self.budget(&challenge.budget).release(&challenge.salt, wait).await
    }

    /// Ends all challenges of a subject.
    pub async fn revoke(&self, subject: &str) -> Result<(), CodeError> {
        check_subject(subject)?;
        for app in self.app_keys() {
            let key = self.subject_key(app, subject);
            self.store.remove_owned(&Owner::of_digest(&key), None).await?;
            self.budget(&key).release_all().await?;
        }
        Ok(())
    }

    pub async fn status(&self, subject: &str) -> Result<Status, CodeError> {
        check_subject(subject)?;
        let key = self.subject_key(self.signing().1, subject);
        self.budget(&key).status().await
    }
}
