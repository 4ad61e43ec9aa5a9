//! [`Challenge`], what a store keeps of a challenge, and [`ChallengeSecret`], what its codes are hashed
//! under.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::CodeError;
use super::format::Code;
use crate::key::Key;
use crate::key_ring::{KeyRing, mac, same};
use crate::record_json::{self, Blob, Moment, whole_seconds};
use crate::token::Token;

/// A challenge: the codes that answer it, and what they are bound to. Nothing here redeems anything, or
/// confirms a guess to somebody without the handle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Challenge {
    /// Whom it is for, as a digest.
    #[serde(with = "record_json::key")]
    pub subject: Key,
    /// The key of the budget that it draws on: the subject's, or that of one of its devices.
    #[serde(with = "record_json::key")]
    pub budget: Key,
    /// Random, so that equal codes leave no equal traces.
    pub salt: Blob,
    /// The application's own, encoded.
    pub payload: Blob,
    /// Whether it is a decoy: nothing was sent, and no code answers it.
    pub decoy: bool,
    /// The codes, the oldest first.
    pub codes: Vec<LiveCode>,
    /// When the last code was made.
    pub sent: Moment,
    pub state: State,
}

/// A code that was sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LiveCode {
    pub mac: Blob,
    /// Which key of the application it was made with.
    pub key: Option<u32>,
    /// The digest of the link that it was made from.
    pub link: Blob,
    pub until: Moment,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Waits for its code.
    Open,
    /// Somebody acts on it until then; afterwards it is open.
    Leased { id: Blob, until: Moment },
    /// Used, perhaps under a lease: kept for a little while, for a submit that comes twice with the same
    /// attempt key. Such submits may be compared `repeats` times more.
    Used { lease: Option<Blob>, attempt: Option<Blob>, repeats: u32 },
}

impl Challenge {
    /// The codes that have not expired.
    pub fn live(&self, now: Moment) -> impl Iterator<Item = &LiveCode> {
        self.codes.iter().filter(move |code| code.until > now)
    }

    /// Names a success; `key` is the challenge's own. A subject without a handle has one key for all its
    /// challenges, and another request may change the payload of a challenge.
    pub fn receipt(&self, key: &Key) -> Key {
        let fields = [key.as_bytes(), &*self.salt.0, &*self.payload.0];
        Key::of_digest(&mac(b"", "receipt of a code", &fields))
    }

    pub fn is_used(&self) -> bool {
        matches!(self.state, State::Used { .. })
    }

    /// The answer while somebody acts on it under a lease.
    pub fn busy(&self, now: Moment) -> Option<CodeError> {
        match &self.state {
            State::Leased { until, .. } if *until > now => {
                Some(CodeError::Busy { retry_after: whole_seconds(until.since(now)) })
            }
            _ => None,
        }
    }
}

/// The secret that the codes of a challenge are hashed under, and the key that follows from it.
pub(super) struct ChallengeSecret {
    pub key: Key,
    pub(super) secret: Zeroizing<[u8; 32]>,
}

impl ChallengeSecret {
    /// The secret of the challenge that a handle opens.
    pub fn of_handle(purpose: &str, handle: &Token) -> Self {
        let fields = [purpose.as_bytes(), handle.reveal().as_bytes()];
        Self::new(purpose, mac(b"", "secret of a handle", &fields))
    }

    /// The secret of a subject's challenge that has no handle: only the application's key protects it.
    pub fn of_subject(app: &[u8], purpose: &str, subject: &str) -> Self {
        let fields: [&[u8]; 2] = [purpose.as_bytes(), subject.as_bytes()];
        Self::new(purpose, mac(app, "secret of a subject", &fields))
    }

    fn new(purpose: &str, secret: [u8; 32]) -> Self {
        let secret = Zeroizing::new(secret);
        Self { key: Self::key_at(purpose, &locator(&secret)), secret }
    }

    /// What leads to the challenge without the secret. Links contain it.
    pub fn locator(&self) -> [u8; 32] {
        locator(&self.secret)
    }

    /// The key of the challenge that a locator leads to. It depends on the purpose, so the locator leads
    /// nowhere for codes of any other purpose. It is a digest, so no client can name the key of anything
    /// else in the same store, such as a session or the budget of an address.
    pub fn key_at(purpose: &str, locator: &[u8; 32]) -> Key {
        Key::of_digest(&mac(b"", "challenge", &[purpose.as_bytes(), locator]))
    }

    /// What a store keeps of a code: its MAC under the secret and the application's key. It covers
    /// everything that the code is good for.
    pub fn mac(
        &self,
        app: &[u8],
        purpose: &str,
        challenge: &Challenge,
        until: Moment,
        code: &Code,
    ) -> [u8; 32] {
        let key = Zeroizing::new(mac(app, "key of a code", &[&*self.secret]));
        mac(
            &*key,
            "code",
            &[
                purpose.as_bytes(),
                challenge.subject.as_bytes(),
                &challenge.salt.0,
                &challenge.payload.0,
                &until.to_bytes(),
                code.reveal().as_bytes(),
            ],
        )
    }

    /// Whether a code is one of the live ones. All of them are compared, each in constant time.
    pub fn matches(
        &self,
        ring: Option<&KeyRing>,
        purpose: &str,
        challenge: &Challenge,
        now: Moment,
        code: &Code,
    ) -> bool {
        challenge.live(now).fold(false, |found, sent| {
            // With a key ring, a code that was made without a key is refused. Otherwise anyone who can
            // write to the store could make codes.
            let app = match (ring, sent.key) {
                (None, None) => Some(&b""[..]),
                (Some(ring), Some(id)) => ring.secret(id),
                _ => None,
            };
            let matches = app.is_some_and(|app| {
                same(&self.mac(app, purpose, challenge, sent.until, code), &sent.mac.0)
            });
            found | matches
        })
    }

    /// What is kept of an attempt key, to recognize the same submit with the same code.
    pub fn attempt(&self, attempt: &str, code: &Code) -> Blob {
        let fields = [attempt.as_bytes(), code.reveal().as_bytes()];
        Blob::new(&mac(&*self.secret, "attempt", &fields))
    }
}

fn locator(secret: &[u8; 32]) -> [u8; 32] {
    mac(secret, "locator of a challenge", &[])
}
