//! [`Challenge`], what a store keeps of a challenge, and [`Lock`], what its codes are hashed under.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::format::Code;
use crate::error::StoreError;
use crate::key_ring::{KeyRing, mac, same};
use crate::stored::{Blob, Moment};
use crate::token::{Key, Token};

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
    /// the same attempt key.
    Used { lease: Option<Blob>, attempt: Option<Blob> },
}

impl Challenge {
    /// The codes that have not expired.
    pub fn live(&self, now: Moment) -> impl Iterator<Item = &LiveCode> {
        self.codes.iter().filter(move |code| code.until > now)
    }

    /// The key of its budget; `key` is the challenge's own.
    pub fn budget_key(&self, key: &Key) -> Result<Key, StoreError> {
        <[u8; 32]>::try_from(&*self.budget.0)
            .map(Key::from_bytes)
            .map_err(|_| StoreError::corrupt(key, "its budget is no digest"))
    }
}

/// Where a challenge is kept, and the secret that its codes are hashed under.
pub(super) struct Lock {
    pub key: Key,
    secret: Zeroizing<[u8; 32]>,
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
        Key::from_bytes(mac(b"", "challenge", &[purpose.as_bytes(), locator]))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::{Codes, Issued};
    use crate::store::{Memory, Store};
    use crate::stored;

    const PURPOSE: &str = "sign-in";

    /// A live challenge: its key, what the store holds of it, and what its client and its person have.
    async fn stolen() -> (Key, Challenge, Issued) {
        let store = Memory::new();
        let codes = Codes::<u32>::builder(PURPOSE).store(store.clone()).build().unwrap();
        let issued = codes.issue("anna@example.org", &17).await.unwrap();
        let dump = store.scan(None, 10).await.unwrap().records;
        let challenge = dump.iter().find_map(|(key, record)| {
            let challenge: Challenge = stored::read(key, &record.data).ok()?;
            Some((key.clone(), challenge))
        });
        let (key, challenge) = challenge.unwrap();
        (key, challenge, issued)
    }

    /// How many of `trials` codes, among them the right one, are confirmed under a secret.
    fn confirmed(lock: &Lock, challenge: &Challenge, issued: &Issued, trials: u64) -> usize {
        let right: u64 = issued.code.reveal().parse().unwrap();
        let format = crate::codes::CodeFormat::digits(8);
        let codes = (0..trials).map(|step| (right + step) % 100_000_000);
        let fits = codes.filter(|code| {
            let code = format.read(&format!("{code:08}")).unwrap();
            lock.fits(None, PURPOSE, challenge, Moment::START, &code)
        });
        fits.count()
    }

    /// All 10^8 codes are a hundred times as many, and no nearer: each trial is a MAC under a key that
    /// is made of the handle's 192 bits, which the dump does not have.
    #[tokio::test]
    async fn a_million_offline_trials_on_a_dump_confirm_no_code() {
        let (key, challenge, issued) = stolen().await;
        let mut salt = [0; 32];
        salt[..16].copy_from_slice(&challenge.salt.0);
        let known: [[u8; 32]; 5] = [
            [0; 32],
            *key.as_bytes(),
            *challenge.budget_key(&key).unwrap().as_bytes(),
            (*challenge.codes[0].link.0).try_into().unwrap(),
            salt,
        ];
        for secret in known {
            let lock = Lock { key: key.clone(), secret: Zeroizing::new(secret) };
            assert_eq!(confirmed(&lock, &challenge, &issued, 1_000_000 / 5), 0);
        }
    }

    #[tokio::test]
    async fn with_the_handle_the_same_trials_confirm_the_right_code_alone() {
        let (_, challenge, issued) = stolen().await;
        let lock = Lock::of_handle(PURPOSE, &issued.challenge.handle);
        assert_eq!(confirmed(&lock, &challenge, &issued, 1_000), 1);
    }
}
