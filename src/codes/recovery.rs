//! [`RecoveryCodes`]: codes to be printed and kept, for the day when nothing else works.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::error::CodeError;
use super::format::{Code, CodeFormat};
use super::limits::check_subject;
use super::policy::{PolicyError, check_purpose};
use crate::compare_and_swap::{self as cas, ATTEMPTS, Snapshot, Step, Updated};
use crate::key::Key;
use crate::key_ring::{KeyRing, mac, same};
use crate::observe::observe_for;
use crate::record::Lifetime;
use crate::record_json::Blob;
use crate::store::{AtomicStore, Condition};
use crate::token::TokenError;

/// Sixteen of twenty consonants: 69 bits, above the 64 that NIST SP 800-63B-4, section 4.2.1.1, asks
/// of a saved recovery code.
const FORMAT: CodeFormat = CodeFormat::consonants(16);

/// The most codes in a set.
const MOST_CODES: u32 = 50;

/// The most guesses that an account may see in a day: NIST SP 800-63B-4, section 3.2.2. Against 69 bits
/// even these are hopeless, so a person gets as many as the standard allows.
const TRIES_PER_DAY: u32 = 100;

/// Sets of recovery codes: each code good once, and replaced by another when it is used (NIST SP
/// 800-63B-4, section 4.2.1.1).
///
/// A set lives until the next one replaces it, so keep it in a store that survives restarts, and keep its
/// key in the ring as long as the sets that it signed. A dump of the store confirms no guess without that
/// key, which replaces the slow hash that OWASP ASVS 5.0, 6.5.2, asks for below 112 bits.
///
/// Anyone who knows a subject may guess, and 100 wrong guesses close the subject's set for the day. Ask
/// for recovery codes behind a password, or behind a code that was sent by mail.
///
/// The count is kept under the key that signs. When that [changes](KeyRing#how-is-a-key-changed), the count
/// restarts. While some processes sign with one key and some with the other, there are two counts, and
/// two calls of [`generate`](Self::generate) for one subject at the same moment may each end the other's
/// set: generate a new one then. So around a change, a day may see 200 wrong guesses: with 50 codes of 69
/// bits, a chance below 1 in 10¹⁶.
///
/// ```
/// use token_session::KeyRing;
/// use token_session::codes::RecoveryCodes;
/// use token_session::store::Memory;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ring = KeyRing::new(1, b"32 random bytes of configuration")?;
/// let recovery = RecoveryCodes::new("recovery", 10, ring, Memory::new())?;
///
/// let codes = recovery.generate("user-17").await?;
/// assert_eq!(codes.len(), 10);
/// assert_eq!(codes[0].grouped().len(), 19); // as in "BCDF-GHJK-LMNP-QRST"
///
/// let recovered = recovery.redeem("user-17", codes[3].reveal()).await?;
/// println!("Cross it out, and write down {}.", &*recovered.replacement.grouped());
/// # Ok(()) }
/// ```
pub struct RecoveryCodes {
    purpose: String,
    count: u32,
    ring: KeyRing,
    store: Arc<dyn AtomicStore>,
}

/// A recovery code was right, and is used.
///
/// ```
/// use token_session::KeyRing;
/// use token_session::codes::RecoveryCodes;
/// use token_session::store::Memory;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ring = KeyRing::new(1, b"32 random bytes of configuration")?;
/// let recovery = RecoveryCodes::new("recovery", 10, ring, Memory::new())?;
/// let codes = recovery.generate("user-17").await?;
/// let recovered = recovery.redeem("user-17", codes[0].reveal()).await?;
/// assert_eq!(recovered.count, 10);
/// assert!(recovery.redeem("user-17", recovered.replacement.reveal()).await.is_ok());
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct RedeemedRecoveryCode {
    /// The code that replaces it: show it to the person.
    pub replacement: Code,
    /// How many codes the set has, with the replacement.
    pub count: usize,
}

/// What a store keeps of a set.
#[derive(Clone, Serialize, Deserialize)]
struct Set {
    macs: Vec<Blob>,
}

impl RecoveryCodes {
    /// Sets of `count` codes.
    ///
    /// # Errors
    /// An empty purpose or one of more than 255 bytes; no codes or more than 50.
    pub fn new(
        purpose: impl Into<String>,
        count: u32,
        ring: KeyRing,
        store: impl AtomicStore,
    ) -> Result<Self, PolicyError> {
        let purpose = purpose.into();
        check_purpose(&purpose)?;
        if count == 0 || count > MOST_CODES {
            return Err(PolicyError::Count {
                what: "recovery codes",
                value: count,
                most: MOST_CODES,
            });
        }
        Ok(Self { purpose, count, ring, store: Arc::new(store) })
    }

    /// A new set for a subject. Earlier sets are no longer good. 2 round trips, and one for each older
    /// key of the ring.
    ///
    /// # Errors
    /// The store's. Some of the older sets may still be good then.
    pub async fn generate(&self, subject: &str) -> Result<Vec<Code>, CodeError> {
        let work = self.make(subject);
        observe_for(&self.purpose, "generate_recovery_codes", None, work).await
    }

    async fn make(&self, subject: &str) -> Result<Vec<Code>, CodeError> {
        check_subject(subject)?;
        let app = self.ring.signing().1;
        let key = self.set_key(app, subject);
        let codes =
            (0..self.count).map(|_| FORMAT.random()).collect::<Result<Vec<_>, TokenError>>()?;
        let set = Set { macs: codes.iter().map(|code| self.mac(app, &key, code)).collect() };
        self.put(&key, &set).await?;
        for (_, older) in self.ring.iter().skip(1) {
            self.store.remove(&self.set_key(older, subject), Condition::Always, false).await?;
        }
        Ok(codes)
    }

    /// Uses a code, and puts another in its place. Charged before it is compared. A wrong code costs
    /// 3 round trips, the right one 5.
    ///
    /// # Errors
    /// [`Refused`](CodeError::Refused) for a code that is wrong or used, or a subject without a set;
    /// [`TooSoon`](CodeError::TooSoon) after 100 wrong guesses within 24 hours.
    pub async fn redeem(
        &self,
        subject: &str,
        code: &str,
    ) -> Result<RedeemedRecoveryCode, CodeError> {
        let work = self.swap(subject, code);
        observe_for(&self.purpose, "redeem_recovery_code", None, work).await
    }

    async fn swap(&self, subject: &str, code: &str) -> Result<RedeemedRecoveryCode, CodeError> {
        check_subject(subject)?;
        let code = FORMAT.read(code).ok_or(CodeError::Refused)?;
        let budget = Budget {
            store: &*self.store,
            key: &self.budget_key(subject),
            tries_per_day: TRIES_PER_DAY,
        };
        let charged = budget.charge_free().await?;
        let (app, key, set) = self.find(subject).await?.ok_or(CodeError::Refused)?;
        let wanted = self.mac(app, &key, &code);
        let swapped = cas::update(&*self.store, &key, Some(set), ATTEMPTS, |set| {
            let mut macs = set.ok_or(CodeError::Refused)?.value.macs;
            let used = position(&macs, &wanted).ok_or(CodeError::Refused)?;
            let replacement = FORMAT.random()?;
            macs[used] = self.mac(app, &key, &replacement);
            let answer = RedeemedRecoveryCode { replacement, count: macs.len() };
            Ok::<_, CodeError>(Step::Write { value: Set { macs }, lifetime: None, answer })
        });
        let redeemed = swapped.await?.answer();
        // The code is spent by now. If the store fails here the count stays, which errs on the strict
        // side.
        let _ = budget.succeed_free(charged).await;
        Ok(redeemed)
    }

    /// Ends a subject's set. One round trip for each key of the ring.
    ///
    /// No late request brings it back. The wrong guesses of this day still count.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke(&self, subject: &str) -> Result<(), CodeError> {
        let work = self.end(subject);
        observe_for(&self.purpose, "revoke_recovery_codes", None, work).await
    }

    async fn end(&self, subject: &str) -> Result<(), CodeError> {
        check_subject(subject)?;
        for (_, app) in self.ring.iter() {
            self.store.remove(&self.set_key(app, subject), Condition::Always, false).await?;
        }
        Ok(())
    }

    /// Puts a set in the place of the one before.
    async fn put(&self, key: &Key, set: &Set) -> Result<(), CodeError> {
        let store = &*self.store;
        let before = cas::load(store, key).await?;
        let updated = cas::update(store, key, before, ATTEMPTS, |_| {
            let lifetime = Some(Lifetime::MAX);
            Ok::<_, CodeError>(Step::Write { value: set.clone(), lifetime, answer: () })
        });
        updated.await.map(Updated::answer)
    }

    /// The set of a subject, and the key of the application that it was made with.
    async fn find(&self, subject: &str) -> Result<Option<(&[u8], Key, Snapshot<Set>)>, CodeError> {
        for (_, app) in self.ring.iter() {
            let key = self.set_key(app, subject);
            if let Some(set) = cas::load(&*self.store, &key).await? {
                return Ok(Some((app, key, set)));
            }
        }
        Ok(None)
    }

    fn budget_key(&self, subject: &str) -> Key {
        let fields = [self.purpose.as_bytes(), subject.as_bytes()];
        Key::of_digest(&mac(self.ring.signing().1, "subject of recovery codes", &fields))
    }

    fn set_key(&self, app: &[u8], subject: &str) -> Key {
        let fields = [self.purpose.as_bytes(), subject.as_bytes()];
        Key::of_digest(&mac(app, "set of recovery codes", &fields))
    }

    /// What is kept of a code. The set's key stands for the purpose and the subject.
    fn mac(&self, app: &[u8], set: &Key, code: &Code) -> Blob {
        let fields = [set.as_bytes(), code.reveal().as_bytes()];
        Blob::new(&mac(app, "recovery code", &fields))
    }
}

/// Where the code is. All are compared, each in constant time.
fn position(macs: &[Blob], wanted: &Blob) -> Option<usize> {
    macs.iter().enumerate().fold(
        None,
        |at, (place, mac)| {
            if same(&mac.0, &wanted.0) { Some(place) } else { at }
        },
    )
}

impl fmt::Debug for RecoveryCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveryCodes")
            .field("purpose", &self.purpose)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
