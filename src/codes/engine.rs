//! What all kinds of codes have in common: where things are kept, and how a code comes to be.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::budget::Budget;
use super::challenge::{Challenge, LiveCode, Lock, State};
use super::error::CodeError;
use super::format::Code;
use super::link_token::LinkToken;
use super::policy::Policy;
use crate::codec::Codec;
use crate::generator::draw;
use crate::key::Key;
use crate::key_ring::{KeyRing, mac};
use crate::observe::observe_for;
use crate::record::{Lifetime, Owner, Version};
use crate::store::{AtomicStore, Load};
use crate::stored::{self, Blob, Moment, whole_seconds};
use crate::token::{Token, TokenError};

/// How often a write is tried that other requests come before. Each lost race is another request's
/// write, and the budget of a day allows few of them; who loses so often meets something else.
pub(super) const RETRIES: u32 = 64;

pub(super) struct Engine<T> {
    pub store: Arc<dyn AtomicStore>,
    pub codec: Box<dyn Codec<T>>,
    pub policy: Policy,
    pub ring: Option<KeyRing>,
    pub compared: AtomicU64,
}

/// A challenge as it was found.
#[derive(Clone)]
pub(super) struct Found {
    pub challenge: Challenge,
    pub budget: Key,
    pub version: Version,
    pub now: Moment,
    /// How long the challenge lives.
    pub expires_in: Duration,
}

impl Found {
    pub fn is_used(&self) -> bool {
        matches!(self.challenge.state, State::Used { .. })
    }

    /// The answer while somebody acts on it under a lease.
    pub fn busy(&self) -> Option<CodeError> {
        match &self.challenge.state {
            State::Leased { until, .. } if *until > self.now => {
                Some(CodeError::Busy { retry_after: whole_seconds(until.since(self.now)) })
            }
            _ => None,
        }
    }
}

/// A code that was just made, and the link that it was made from: a mail may have either.
pub(super) struct Made {
    pub code: Code,
    pub link: LinkToken,
}

impl<T: 'static> Engine<T> {
    /// Runs an operation where logs and metrics see it.
    pub async fn observe<R>(
        &self,
        operation: &'static str,
        key: Option<&Key>,
        work: impl Future<Output = Result<R, CodeError>>,
    ) -> Result<R, CodeError> {
        observe_for(&self.policy.purpose, operation, key, work).await
    }
}

impl<T: 'static> Engine<T> {
    /// The application's key that signs, and its number; without one, nothing.
    pub fn signing(&self) -> (Option<u32>, &[u8]) {
        match &self.ring {
            Some(ring) => {
                let (id, secret) = ring.signing();
                (Some(id), secret)
            }
            None => (None, b""),
        }
    }

    /// The application's keys, the signing one first; without one, nothing, once.
    pub fn app_keys(&self) -> impl Iterator<Item = &[u8]> {
        let ring = self.ring.iter().flat_map(KeyRing::iter);
        let none = self.ring.is_none().then_some(&b""[..]);
        ring.map(|(_, secret)| secret).chain(none)
    }

    /// What stands for a subject, and is the key of its budget: a digest, so that the store lists no
    /// addresses.
    pub fn subject_key(&self, app: &[u8], subject: &str) -> Key {
        let fields = [self.policy.purpose.as_bytes(), subject.as_bytes()];
        Key::of_digest(&mac(app, "subject of codes", &fields))
    }

    pub fn budget<'a>(&'a self, key: &'a Key) -> Budget<'a> {
        Budget { store: &*self.store, key, tries_per_day: self.policy.tries_per_day }
    }

    pub fn encode(&self, payload: &T) -> Result<Blob, CodeError> {
        let bytes = self.codec.encode(payload).map_err(CodeError::Encode)?;
        let max = self.policy.max_payload;
        if bytes.len() > max {
            let size = bytes.len();
            return Err(CodeError::TooLarge { size, max });
        }
        Ok(Blob(bytes))
    }

    pub fn decode(&self, key: &Key, challenge: &Challenge) -> Result<T, CodeError> {
        self.codec
            .decode(&challenge.payload.0)
            .map_err(|source| CodeError::Decode { key: key.clone(), source })
    }

    /// Whether a challenge is this subject's, under whichever key of the application it was issued.
    pub fn is_for(&self, found: &Found, subject: &str) -> bool {
        let is = |key: Key| *found.challenge.subject.0 == *key.as_bytes();
        self.app_keys().any(|app| is(self.subject_key(app, subject)))
    }

    /// The challenge under `key`. One round trip.
    pub async fn load(&self, key: &Key) -> Result<Option<Found>, CodeError> {
        let Some(record) = self.store.load(key, &Load::new()).await?.live() else {
            return Ok(None);
        };
        let challenge: Challenge = stored::read(key, &record.data)?;
        Ok(Some(Found {
            budget: challenge.budget_key(key)?,
            challenge,
            version: record.meta.version,
            now: Moment::now(&record.meta),
            expires_in: record.meta.expires_in(),
        }))
    }

    /// A challenge that no code answers yet.
    pub fn begin(
        &self,
        subject: &Key,
        budget: &Key,
        payload: Blob,
        decoy: bool,
    ) -> Result<Challenge, CodeError> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(TokenError::NoRandomness)?;
        Ok(Challenge {
            subject: Blob::new(subject.as_bytes()),
            budget: Blob::new(budget.as_bytes()),
            salt: Blob::new(&salt),
            payload,
            decoy,
            codes: Vec::new(),
            sent: Moment::START,
            state: State::Open,
        })
    }

    /// Adds a code, and retires what is expired or one too many.
    pub fn add_code(
        &self,
        lock: &Lock,
        challenge: &mut Challenge,
        now: Moment,
    ) -> Result<Made, CodeError> {
        let link = LinkToken::random(&lock.locator())?;
        let code = link.code(self.policy.format);
        let (key, app) = self.signing();
        let until = now + self.policy.lifetime;
        let mac = lock.code(app, &self.policy.purpose, challenge, until, &code);
        challenge.codes.retain(|code| code.until > now);
        while challenge.codes.len() >= self.policy.live_codes as usize {
            challenge.codes.remove(0);
        }
        challenge.codes.push(LiveCode { mac: Blob::new(&mac), key, link: link.digest(), until });
        challenge.sent = now;
        Ok(Made { code, link })
    }

    /// Whether the code is right. Counted, as every comparison follows a charge.
    pub fn compare(&self, lock: &Lock, found: &Found, code: &Code) -> bool {
        self.compared.fetch_add(1, Ordering::Relaxed);
        self.fits(lock, found, code)
    }

    /// Whether a code that was right still is.
    pub fn fits(&self, lock: &Lock, found: &Found, code: &Code) -> bool {
        let (ring, purpose) = (self.ring.as_ref(), &self.policy.purpose);
        lock.fits(ring, purpose, &found.challenge, found.now, code) && !found.challenge.decoy
    }

    /// A handle for a new challenge of this owner, and its lock.
    pub fn draw_handle(&self, owner: &Owner) -> Result<(Token, Lock), CodeError> {
        let partitions = self.store.partitions();
        let home = owner.partition(partitions);
        let key = |handle: &Token| Lock::key_of_handle(&self.policy.purpose, handle);
        let drawn = draw(partitions, Some(home), key, || Token::random(""))?;
        // Random handles miss a partition 64 times its chance once in e^64 times.
        let (handle, _) = drawn.ok_or(CodeError::Contended { attempts: 64 })?;
        let lock = Lock::of_handle(&self.policy.purpose, &handle);
        Ok((handle, lock))
    }
}

/// A lifetime without touches, of a millisecond at least: a live record may have less left.
pub(super) fn absolute(span: Duration) -> Lifetime {
    let span = span.clamp(Duration::from_millis(1), Lifetime::MAX);
    Lifetime::absolute(span)
        .unwrap_or_else(|_| unreachable!("between the shortest and the longest"))
}

#[cfg(test)]
mod tests {
    use crate::codes::{CodeError, Codes};

    #[tokio::test]
    async fn the_code_of_a_decoy_which_nobody_is_told_opens_nothing() {
        let codes = Codes::<()>::builder("sign-in").build().unwrap();
        let (challenge, made) = codes.0.issue(None, "anna@example.org", &(), true).await.unwrap();
        let handle = challenge.handle.reveal();
        let answer = codes.redeem(handle, made.code.reveal()).await;
        assert!(matches!(answer, Err(CodeError::Refused)), "{answer:?}");
        assert!(matches!(codes.look(&made.link).await, Err(CodeError::Refused)));
    }
}
