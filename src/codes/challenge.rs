//! [`Challenge`], what a store keeps of a challenge, and [`Lock`], what its codes are hashed under.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::format::Code;
use crate::error::StoreError;
use crate::key::Key;
use crate::key_ring::{KeyRing, mac, same};
use crate::stored::{Blob, Moment};
use crate::token::Token;

/// A challenge: the codes that answer it, and what they are bound to. Nothing here opens anything,
/// nor confirms a guess to who has no handle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Challenge {
    /// Whom it is for, as a digest.
    pub subject: Blob,
    /// The key of the budget that it draws on: the subject's, or that of one of its devices.
    pub budget: Blob,
    /// Random, so that equal codes leave no equal traces.
    pub salt: Blob,
    /// The application's own, encoded.
    pub payload: Blob,
    /// Whether nobody was sent anything, and no code answers it.
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
    /// Used, perhaps under a lease: kept for a little while, for the submit that comes twice with
    /// the same attempt key. Such submits may be compared `repeats` times more.
    Used { lease: Option<Blob>, attempt: Option<Blob>, repeats: u32 },
}

impl Challenge {
    /// The codes that have not expired.
    pub fn live(&self, now: Moment) -> impl Iterator<Item = &LiveCode> {
        self.codes.iter().filter(move |code| code.until > now)
    }

    /// Names what a success is good for; `key` is the challenge's own. A subject without a handle has
    /// one key for all its challenges, and a challenge is about something else after another request.
    pub fn receipt(&self, key: &Key) -> Key {
        let fields = [key.as_bytes(), &*self.salt.0, &*self.payload.0];
        Key::of_digest(&mac(b"", "receipt of a code", &fields))
    }

    /// The key of its budget; `key` is the challenge's own.
    pub fn budget_key(&self, key: &Key) -> Result<Key, StoreError> {
        <[u8; Key::LEN]>::try_from(&*self.budget.0)
            .map(Key::from_bytes)
            .map_err(|_| StoreError::corrupt(key, "its budget is not a key"))
    }
}

/// Where a challenge is kept, and the secret that its codes are hashed under.
pub(super) struct Lock {
    pub key: Key,
    pub(super) secret: Zeroizing<[u8; 32]>,
}

impl Lock {
    /// The lock that a handle opens.
    pub fn of_handle(purpose: &str, handle: &Token) -> Self {
        let fields = [purpose.as_bytes(), handle.reveal().as_bytes()];
        Self::new(purpose, mac(b"", "secret of a handle", &fields))
    }

    /// The key of the lock that a handle opens.
    pub fn key_of_handle(purpose: &str, handle: &Token) -> Key {
        Self::of_handle(purpose, handle).key
    }

    /// The lock of a subject that has no handle: the application's key is its only secret.
    pub fn of_subject(app: &[u8], purpose: &str, subject: &str) -> Self {
        let fields: [&[u8]; 2] = [purpose.as_bytes(), subject.as_bytes()];
        Self::new(purpose, mac(app, "secret of a subject", &fields))
    }

    fn new(purpose: &str, secret: [u8; 32]) -> Self {
        let secret = Zeroizing::new(secret);
        Self { key: Self::key_at(purpose, &locator(&secret)), secret }
    }

    /// What leads to the challenge without the secret: links have it.
    pub fn locator(&self) -> [u8; 32] {
        locator(&self.secret)
    }

    /// The key of the challenge that a locator leads to. The purpose is in it, so the locator leads
    /// nowhere for codes of any other purpose; and it is a digest, so no client can name the key of
    /// what else is kept in the same store, such as a session or the budget of an address.
    pub fn key_at(purpose: &str, locator: &[u8; 32]) -> Key {
        Key::of_digest(&mac(b"", "challenge", &[purpose.as_bytes(), locator]))
    }

    /// What a store keeps of a code: its MAC under the secret and the application's key. Everything
    /// that the code is good for is in it.
    pub fn code(
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
                &challenge.subject.0,
                &challenge.salt.0,
                &challenge.payload.0,
                &until.to_bytes(),
                code.reveal().as_bytes(),
            ],
        )
    }

    /// Whether a code is one of the live ones. Every one of them is compared, in constant time.
    pub fn fits(
        &self,
        ring: Option<&KeyRing>,
        purpose: &str,
        challenge: &Challenge,
        now: Moment,
        code: &Code,
    ) -> bool {
        challenge.live(now).fold(false, |found, sent| {
            // A code without the application's key is none where there is one, or who can write to
            // the store could make codes.
            let app = match (ring, sent.key) {
                (None, None) => Some(&b""[..]),
                (Some(ring), Some(id)) => ring.secret(id),
                _ => None,
            };
            let fits = app.is_some_and(|app| {
                same(&self.code(app, purpose, challenge, sent.until, code), &sent.mac.0)
            });
            found | fits
        })
    }

    /// What is kept of an attempt key: it tells the same submit again, with the same code.
    pub fn attempt(&self, attempt: &str, code: &Code) -> Blob {
        let fields = [attempt.as_bytes(), code.reveal().as_bytes()];
        Blob::new(&mac(&*self.secret, "attempt", &fields))
    }
}

fn locator(secret: &[u8; 32]) -> [u8; 32] {
    mac(secret, "locator of a challenge", &[])
}
