//! To issue codes: new ones, further ones, and those that nobody gets.

use std::time::Duration;

use super::budget::{Charge, Status};
use super::challenge::{Challenge, Lock};
use super::engine::{Engine, Found, Made, RETRIES, absolute};
use super::error::CodeError;
use super::format::Code;
use crate::backoff::Backoff;
use crate::key::Key;
use crate::record::{Owner, Version};
use crate::store::{Condition, Inserted, NewRecord, Replaced, Write};
use crate::stored::{self, Blob, Moment, whole_seconds};
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
pub struct Issued {
    /// For the client that asked.
    pub challenge: OpenChallenge,
    /// For the person, by mail or by whatever proves who it is. Never for the client.
    pub code: Code,
}

/// What the client that asked for a code gets. It is the same for a subject that nobody knows.
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
    /// What redeems the code together with it: 192 random bits, kept nowhere but at the client.
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
pub struct Resent<T> {
    /// The code to send, and the payload of the challenge. `None`: the challenge is a decoy, so
    /// nobody is sent anything.
    pub message: Option<(Code, T)>,
    /// How long the new code lives. The earlier ones live as long as they ever did.
    pub expires_in: Duration,
    /// When another code may be sent.
    pub resend_in: Duration,
}

impl<T: 'static> Engine<T> {
    /// A new challenge that a new handle opens. It draws on the budget of the device, where that is
    /// known, or else on the subject's.
    pub async fn issue(
        &self,
        device: Option<&str>,
        subject: &str,
        payload: &T,
        decoy: bool,
    ) -> Result<(OpenChallenge, Made), CodeError> {
        check_subject(subject)?;
        let known = device.and_then(|device| self.device_budget(device, subject));
        let subject = self.subject_key(self.signing().1, subject);
        let budget = known.unwrap_or_else(|| subject.clone());
        let owner = Owner::of_digest(&subject);
        let mut challenge = self.begin(&subject, &budget, self.encode(payload)?, decoy)?;
        // Before the handle is drawn, which takes time where a store has many partitions: who is
        // too early costs little.
        self.keep(&challenge, &budget).await?;
        let opened = self.open(&owner, &mut challenge).await;
        if opened.is_err() {
            self.forgo(&challenge.salt, &budget).await;
        }
        opened
    }

    /// Puts a challenge under a new handle, with its first code.
    async fn open(
        &self,
        owner: &Owner,
        challenge: &mut Challenge,
    ) -> Result<(OpenChallenge, Made), CodeError> {
        let (handle, lock) = self.draw_handle(owner)?;
        let made = self.add_code(&lock, challenge, Moment::START)?;
        let lifetime = absolute(self.policy.lifetime);
        let record =
            NewRecord { owner: Some(owner), ..NewRecord::new(stored::write(challenge), lifetime) };
        match self.store.insert(&lock.key, &record).await? {
            Inserted::Done { .. } => Ok((self.open_challenge(handle), made)),
            // Of 192 random bits: some other generator is at work.
            Inserted::KeyTaken | Inserted::OwnerFull => Err(CodeError::Contended { attempts: 1 }),
        }
    }

    /// Keeps a new challenge's guesses for it.
    pub async fn keep(&self, challenge: &Challenge, budget: &Key) -> Result<(), CodeError> {
        let (tries, lifetime) = (self.policy.tries, self.policy.lifetime);
        self.budget(budget).keep(&challenge.salt, tries, lifetime).await
    }

    /// Gives back what was kept for a challenge that did not come about: nobody has its code, so nobody
    /// makes these guesses. Where the store does not take them back, they are free again when the
    /// challenge would have ended.
    pub async fn forgo(&self, salt: &Blob, budget: &Key) {
        let _ = self.budget(budget).give_back(salt, Duration::ZERO).await;
    }

    fn open_challenge(&self, handle: Token) -> OpenChallenge {
        OpenChallenge {
            handle,
            expires_in: self.policy.lifetime,
            resend_in: self.policy.resend_after,
        }
    }

    /// Another code of the challenge that `lock` keeps.
    pub async fn resend(&self, lock: &Lock) -> Result<(Found, Made), CodeError> {
        let mut backoff = Backoff::new();
        for _ in 0..RETRIES {
            let mut found = self.load(&lock.key).await?.ok_or(CodeError::Refused)?;
            if found.is_used() {
                return Err(CodeError::Refused);
            }
            match self.prolong(&found).await? {
                Charge::Done => {}
                Charge::Exhausted => return Err(CodeError::Exhausted),
                Charge::Ended => return Err(CodeError::Refused),
            }
            if let Some(made) = self.write_code(lock, &mut found).await? {
                return Ok((found, made));
            }
            backoff.wait().await;
        }
        Err(CodeError::Contended { attempts: RETRIES })
    }

    /// Keeps a challenge's guesses for another code of it, the cool-down being over.
    pub async fn prolong(&self, found: &Found) -> Result<Charge, CodeError> {
        self.check_cool_down(found)?;
        let budget = self.budget(&found.budget);
        budget.prolong(&found.challenge.salt, self.policy.lifetime).await
    }

    /// Writes a challenge over what was found, with one more code. `None`: another request came
    /// first.
    pub async fn write_code(
        &self,
        lock: &Lock,
        found: &mut Found,
    ) -> Result<Option<Made>, CodeError> {
        let made = self.add_code(lock, &mut found.challenge, found.now)?;
        // A lease may be longer than a code's life.
        let lifetime = self.longest_trace().max(found.expires_in);
        Ok(self.write(&lock.key, found, lifetime).await?.map(|_| made))
    }

    /// How long a challenge stays after a code of it was made: as long as the code, and as long as no
    /// other one may follow.
    pub fn longest_trace(&self) -> Duration {
        self.policy.lifetime.max(self.policy.resend_after)
    }

    pub(super) fn check_cool_down(&self, found: &Found) -> Result<(), CodeError> {
        let since = found.now.since(found.challenge.sent);
        match self.policy.resend_after.checked_sub(since) {
            Some(wait) if !wait.is_zero() => {
                Err(CodeError::TooSoon { retry_after: whole_seconds(wait) })
            }
            _ => Ok(()),
        }
    }

    /// Writes a challenge over what was found, to live so long from now. `None`: another request
    /// came first.
    pub async fn write(
        &self,
        key: &Key,
        found: &Found,
        lifetime: Duration,
    ) -> Result<Option<Version>, CodeError> {
        let lifetime = absolute(lifetime);
        let write = Write {
            expected: Some(found.version),
            lifetime: Some(&lifetime),
            ..Write::data(stored::write(&found.challenge))
        };
        match self.store.replace(key, &write).await? {
            Replaced::Done(written) => Ok(Some(written.version)),
            Replaced::Conflict => Ok(None),
            Replaced::Missing => Err(CodeError::Refused),
        }
    }

    /// Ends the challenge that `lock` keeps, and gives its guesses back: not before another code
    /// might have been sent, or to cancel and to issue would be a way around the cool-down.
    pub async fn cancel(&self, lock: &Lock) -> Result<(), CodeError> {
        let Some(record) = self.store.remove(&lock.key, Condition::Always, true).await?.record()
        else {
            return Ok(());
        };
        let challenge: Challenge = stored::read(&lock.key, &record.data)?;
        let since = Moment::now(&record.meta).since(challenge.sent);
        let wait = self.policy.resend_after.saturating_sub(since);
        let budget = challenge.budget_key(&lock.key)?;
        self.budget(&budget).give_back(&challenge.salt, wait).await
    }

    /// Ends all challenges of a subject.
    pub async fn revoke(&self, subject: &str) -> Result<(), CodeError> {
        check_subject(subject)?;
        for app in self.app_keys() {
            let key = self.subject_key(app, subject);
            self.store.remove_owned(&Owner::of_digest(&key), None).await?;
            self.budget(&key).give_all_back().await?;
        }
        Ok(())
    }

    pub async fn status(&self, subject: &str) -> Result<Status, CodeError> {
        check_subject(subject)?;
        let key = self.subject_key(self.signing().1, subject);
        self.budget(&key).status().await
    }
}

/// A subject: 1 to 255 bytes.
pub(super) fn check_subject(subject: &str) -> Result<(), CodeError> {
    if subject.is_empty() || subject.len() > 255 {
        return Err(CodeError::Subject { len: subject.len() });
    }
    Ok(())
}
