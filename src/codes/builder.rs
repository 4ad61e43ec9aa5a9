//! [`CodesBuilder`]: what codes allow, and where they are kept.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::engine::CodesEngine;
use super::format::CodeFormat;
use super::policy::{Policy, PolicyError};
use super::{Codes, SubjectCodes};
use crate::codec::{Codec, Json};
use crate::key_ring::KeyRing;
use crate::store::{AtomicStore, Memory};

/// What codes allow, and where they are kept. The defaults are those of NIST SP 800-63B-4, OWASP
/// ASVS 5.0 and, where these leave room, the stricter choice that a person does not notice.
///
/// ```
/// use std::time::Duration;
/// use token_session::KeyRing;
/// use token_session::codes::{CodeFormat, Codes};
///
/// let codes = Codes::<String>::builder("confirm-address")
///     .format(CodeFormat::consonants(8))
///     .confirms_address()
///     .lifetime(Duration::from_secs(24 * 60 * 60))
///     .key_ring(KeyRing::new(1, b"32 random bytes of configuration")?)
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until it builds"]
pub struct CodesBuilder<T, C = Json> {
    policy: Policy,
    ring: Option<KeyRing>,
    store: Arc<dyn AtomicStore>,
    codec: C,
    payload: PhantomData<fn() -> T>,
}

impl<T, C> fmt::Debug for CodesBuilder<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CodesBuilder").field(&self.policy).finish()
    }
}

impl<T> CodesBuilder<T> {
    pub(super) fn new(purpose: String) -> Self {
        Self {
            policy: Policy { purpose, ..Policy::default() },
            ring: None,
            store: Arc::new(Memory::new()),
            codec: Json,
            payload: PhantomData,
        }
    }
}

impl<T, C> CodesBuilder<T, C> {
    /// How codes look. Default: 8 digits. Six need an [accepted risk](Self::accepted_risk), fewer
    /// are refused.
    pub fn format(mut self, format: CodeFormat) -> Self {
        self.policy.format = format;
        self
    }

    /// How long a code lives; looking at it or sending another one changes nothing. Default and maximum: 10
    /// minutes (NIST SP 800-63B-4, section 3.1.3.2; OWASP ASVS 5.0, 6.5.5). For a code that
    /// [confirms an address](Self::confirms_address): 24 hours.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.policy.lifetime = lifetime;
        self
    }

    /// These codes confirm that mail reaches a person, and sign nobody in, so they may live up to 24
    /// hours (NIST SP 800-63B-4, section 4.2.1.2). The lifetime stays what it was.
    pub fn confirms_address(mut self) -> Self {
        self.policy.confirms_address = true;
        self
    }

    /// How many guesses a challenge allows, for all its codes together. Default: 5.
    pub fn tries(mut self, tries: u32) -> Self {
        self.policy.tries = tries;
        self
    }

    /// How many guesses a subject may see within any 24 hours, over all its challenges, until one is
    /// right. Default: 20, which is 4 challenges at once. At most 100 (NIST SP 800-63B-4, section
    /// 3.2.2).
    pub fn tries_per_day(mut self, tries: u32) -> Self {
        self.policy.tries_per_day = tries;
        self
    }

    /// How many codes of one challenge may be good at the same time; one more retires the oldest.
    /// Default: 3; at most 10.
    pub fn live_codes(mut self, codes: u32) -> Self {
        self.policy.live_codes = codes;
        self
    }

    /// How long after one code another may be sent. Default: 60 seconds.
    pub fn resend_after(mut self, cool_down: Duration) -> Self {
        self.policy.resend_after = cool_down;
        self
    }

    /// The highest chance that a challenge may give an attacker who guesses. Default: 10⁻⁶. Codes above it
    /// are not built.
    pub fn accepted_risk(mut self, chance: f64) -> Self {
        self.policy.accepted_risk = chance;
        self
    }

    /// The largest payload, encoded, in bytes. Default: 4096. A larger one is an
    /// [error](super::CodeError::TooLarge) before anything is sent to the store.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.policy.max_payload = bytes;
        self
    }

    /// Keys of the application: codes and subjects are hashed under the first one too. Then not even an
    /// attacker with a handle can try codes against a dump of the store, and nobody can try addresses
    /// against the digests in it. Payloads are as readable as before. A change of the first key restarts
    /// the day's count of each subject.
    pub fn key_ring(mut self, ring: KeyRing) -> Self {
        self.ring = Some(ring);
        self
    }

    /// Where codes are kept. Default: in memory. A restart loses them, and two processes do not share
    /// them.
    pub fn store(mut self, store: impl AtomicStore) -> Self {
        self.store = Arc::new(store);
        self
    }

    /// How the payload is written. Default: JSON, which a dump of the store shows in the clear.
    pub fn codec<N: Codec<T>>(self, codec: N) -> CodesBuilder<T, N> {
        let Self { policy, ring, store, codec: _, payload } = self;
        CodesBuilder { policy, ring, store, codec, payload }
    }
}

impl<T: 'static, C: Codec<T>> CodesBuilder<T, C> {
    /// Codes that are redeemed with a handle.
    ///
    /// # Errors
    /// What the policy allows too much of, with the computation.
    pub fn build(self) -> Result<Codes<T>, PolicyError> {
        self.engine().map(Codes)
    }

    /// Codes that are redeemed without a handle.
    ///
    /// # Errors
    /// As [`build`](Self::build), and [`NoKeyRing`](PolicyError::NoKeyRing) without a
    /// [key ring](Self::key_ring).
    pub fn build_by_subject(self) -> Result<SubjectCodes<T>, PolicyError> {
        if self.ring.is_none() {
            let what = "codes without a handle";
            return Err(PolicyError::NoKeyRing { what });
        }
        self.engine().map(SubjectCodes)
    }

    fn engine(self) -> Result<Arc<CodesEngine<T>>, PolicyError> {
        Ok(Arc::new(CodesEngine {
            store: self.store,
            codec: Box::new(self.codec),
            policy: self.policy.checked()?,
            ring: self.ring,
            compared: AtomicU64::new(0),
        }))
    }
}
