//! What all kinds of codes have in common: where records are kept, and how a code is made.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::budget::Budget;
use super::challenge::{Challenge, ChallengeSecret, LiveCode, State};
use super::error::CodeError;
use super::format::Code;
use super::link_token::LinkToken;
use super::policy::Policy;
use crate::codec::Codec;
use crate::compare_and_swap::{self as cas, Snapshot};
use crate::generator::draw;
use crate::key::Key;
use crate::key_ring::{KeyRing, mac};
use crate::observe::observe_for;
use crate::record::Owner;
use crate::record_json::{Blob, Moment};
use crate::store::AtomicStore;
use crate::token::{Token, TokenError};

pub(super) struct CodesEngine<T> {
    pub store: Arc<dyn AtomicStore>,
    pub codec: Box<dyn Codec<T>>,
    pub policy: Policy,
    pub ring: Option<KeyRing>,
    pub compared: AtomicU64,
}

/// A challenge as it was read.
pub(super) type LoadedChallenge = Snapshot<Challenge>;

/// A code that was just made, and the link that it was made from. A mail may have either.
pub(super) struct NewCode {
    pub code: Code,
    pub link: LinkToken,
}

impl<T: 'static> CodesEngine<T> {
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

impl<T: 'static> CodesEngine<T> {
    /// The application's key that signs, and its number. Without a ring, an empty key.
    pub fn signing(&self) -> (Option<u32>, &[u8]) {
        match &self.ring {
            Some(ring) => {
                let (id, secret) = ring.signing();
                (Some(id), secret)
            }
            None => (None, b""),
        }
    }

    /// The application's keys, the signing one first. Without a ring, one empty key.
    pub fn app_keys(&self) -> impl Iterator<Item = &[u8]> {
        let ring = self.ring.iter().flat_map(KeyRing::iter);
        let none = self.ring.is_none().then_some(&b""[..]);
        ring.map(|(_, secret)| secret).chain(none)
    }

    /// What stands for a subject, and is the key of its budget. It is a digest, so the store lists no
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
    pub fn is_for(&self, challenge: &Challenge, subject: &str) -> bool {
        self.app_keys().any(|app| challenge.subject == self.subject_key(app, subject))
    }

    /// The challenge under `key`. One round trip.
    pub async fn load(&self, key: &Key) -> Result<Option<LoadedChallenge>, CodeError> {
        Ok(cas::load(&*self.store, key).await?)
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
            subject: subject.clone(),
            budget: budget.clone(),
            salt: Blob::new(&salt),
            payload,
            decoy,
            codes: Vec::new(),
            sent: Moment::START,
            state: State::Open,
        })
    }

    /// Adds a code, and drops expired codes and the oldest one beyond the limit.
    pub fn add_code(
        &self,
        secret: &ChallengeSecret,
        challenge: &mut Challenge,
        now: Moment,
    ) -> Result<NewCode, CodeError> {
        let link = LinkToken::random(&secret.locator())?;
        let code = link.code(self.policy.format);
        let (key, app) = self.signing();
        let until = now + self.policy.lifetime;
        let mac = secret.mac(app, &self.policy.purpose, challenge, until, &code);
        challenge.codes.retain(|code| code.until > now);
        while challenge.codes.len() >= self.policy.live_codes as usize {
            challenge.codes.remove(0);
        }
        challenge.codes.push(LiveCode { mac: Blob::new(&mac), key, link: link.digest(), until });
        challenge.sent = now;
        Ok(NewCode { code, link })
    }

    /// Whether the code is right. Counted, as every comparison follows a charge.
    pub fn compare(
        &self,
        secret: &ChallengeSecret,
        challenge: &LoadedChallenge,
        code: &Code,
    ) -> bool {
        self.compared.fetch_add(1, Ordering::Relaxed);
        self.matches(secret, challenge, code)
    }

    /// Whether a code that was right still is.
    pub fn matches(
        &self,
        secret: &ChallengeSecret,
        challenge: &LoadedChallenge,
        code: &Code,
    ) -> bool {
        let (ring, purpose) = (self.ring.as_ref(), &self.policy.purpose);
        secret.matches(ring, purpose, &challenge.value, challenge.now, code)
            && !challenge.value.decoy
    }

    /// A handle for a new challenge of this owner, and its secret.
    pub fn draw_handle(&self, owner: &Owner) -> Result<(Token, ChallengeSecret), CodeError> {
        let partitions = self.store.partitions();
        let home = owner.partition(partitions);
        let key = |handle: &Token| self.secret_of_handle(handle).key;
        let drawn = draw(partitions, Some(home), key, || Token::random(""))?;
        // Random handles miss a partition 64 times its chance once in e^64 times.
        let (handle, _) = drawn.ok_or(CodeError::Contended { attempts: 64 })?;
        let secret = self.secret_of_handle(&handle);
        Ok((handle, secret))
    }

    /// The secret of the challenge that a handle opens.
    pub fn secret_of_handle(&self, handle: &Token) -> ChallengeSecret {
        ChallengeSecret::of_handle(&self.policy.purpose, handle)
    }
}

#[cfg(test)]
mod tests {
    use crate::codes::{CodeError, Codes};

    #[tokio::test]
    async fn the_code_of_a_decoy_is_refused() {
        let codes = Codes::<()>::builder("sign-in").build().unwrap();
        let (challenge, new) = codes.0.issue(None, "anna@example.org", &(), true).await.unwrap();
        let handle = challenge.handle.reveal();
        let answer = codes.redeem(handle, new.code.reveal()).await;
        assert!(matches!(answer, Err(CodeError::Refused)), "{answer:?}");
        assert!(matches!(codes.look(&new.link).await, Err(CodeError::Refused)));
    }
}
