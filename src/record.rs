//! [`Record`], what a store keeps under a key, and the reference of what each operation makes of it.

mod details;
mod lifetime;
mod meta;
mod names;
mod operation;
mod proofs;

use std::time::{Duration, SystemTime};

use bytes::Bytes;

pub use self::details::Details;
pub use self::lifetime::{Lifetime, LifetimeError};
pub use self::meta::Meta;
pub use self::names::{Label, Owner, TextError};
pub use self::operation::{
    Condition, Found, Inserted, Load, NewProof, NewRecord, OwnerLimit, Removed, Renamed, Renewal,
    Replaced, Times, Touch, Write, Written,
};
pub use self::proofs::{Previous, Proofs, Standing};
use crate::proof::Claim;

/// A point in time on the store's clock: milliseconds since the Unix epoch.
///
/// ```
/// use std::time::Duration;
/// use token_session::Timestamp;
///
/// let at = Timestamp::from_millis(1_000);
/// assert_eq!(at + Duration::from_secs(2), Timestamp::from_millis(3_000));
/// assert_eq!((at + Duration::from_secs(2)).since(at), Duration::from_secs(2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// This many milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates, and rounds down to milliseconds.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        Self::UNIX_EPOCH + Duration::from_millis(at.0)
    }
}

/// Which writing of a record this is: a random number for a new record, and one more with each write. A
/// touch and a handover leave it. A late write for a record that has ended meets another version if
/// its key was used again. Stores of a foreign format, which has no place for a version, take a digest of
/// what they hold.
///
/// ```
/// use token_session::Version;
///
/// let first = Version::random();
/// assert_eq!(first.next().get(), first.get() + 1);
/// assert_ne!(Version::random(), first);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// The version of a new record: 48 random bits, so a store can count on in a double. It is 1 if the
    /// operating system gives no random bits; it gives no token then either.
    pub fn random() -> Self {
        Self(getrandom::u64().map_or(1, |bits| bits >> 16))
    }

    /// The version with this kept number.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The number that a store keeps.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version after this one.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// What a store keeps under a key: the user's data as the codec wrote it, and what goes with it.
///
/// Its methods are the reference of the contract: what each operation answers for a record and makes of
/// it, in plain Rust. A store that holds whole records in one place, as [`Memory`](crate::store::Memory)
/// or one file a session, needs nothing else. A database does the same in its own language, and the
/// conformance suite compares the two.
///
/// ```
/// use token_session::store::{Load, NewRecord, Replaced, Write};
/// use token_session::{Lifetime, Record, Timestamp};
///
/// let at = Timestamp::from_millis;
/// let mut record = Record::begun(&NewRecord::new("data", Lifetime::idle_secs(60)?), at(0));
/// assert!(record.is_live(at(59_999)) && !record.is_live(at(60_000)));
/// assert!(matches!(record.write(&Write::data("other data"), at(1_000)), Replaced::Done(_)));
/// assert_eq!(record.data, "other data");
/// # Ok::<(), token_session::LifetimeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The user's data, encoded.
    pub data: Bytes,
    /// What the manager keeps beside the data.
    pub details: Details,
    /// The proofs of its tokens.
    pub proofs: Proofs,
    /// What goes with it.
    pub meta: Meta,
}

impl Record {
    /// How a record begins at `now`.
    pub fn begun(new: &NewRecord<'_>, now: Timestamp) -> Self {
        Self {
            data: new.data.clone(),
            details: new.details.clone(),
            proofs: new.proof.map_or_else(Proofs::default, Proofs::new),
            meta: Meta::begun(new, now),
        }
    }

    /// Whether it lives at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.meta.expires_at()
    }

    /// What the claim is worth at `now`: at a record that has expired, nothing.
    pub fn standing(&self, claim: Option<&Claim>, now: Timestamp) -> Standing {
        if self.is_live(now) { self.proofs.standing(claim, now) } else { Standing::Unknown }
    }

    /// Whether a load at `now` changes it: a touch is due, or the current secret is used for the first
    /// time.
    pub fn is_changed_by(&self, load: &Load<'_>, now: Timestamp) -> bool {
        let is_due =
            self.meta.touch_due(load.touch, now) || self.proofs.is_confirmed_by(load.claim);
        is_due && self.standing(load.claim, now).is_live()
    }

    /// What a load at `now` makes of it. Says whether it has changed.
    pub fn load(&mut self, load: &Load<'_>, now: Timestamp) -> bool {
        let is_changed = self.is_changed_by(load, now);
        if is_changed {
            if self.meta.touch_due(load.touch, now) {
                self.meta.touched(now);
            }
            if self.proofs.is_confirmed_by(load.claim) {
                self.proofs.confirmed(now);
            }
        }
        is_changed
    }

    /// As a load at `now` answers it.
    pub fn found(mut self, load: &Load<'_>, now: Timestamp) -> Found {
        let standing = self.standing(load.claim, now);
        self.meta.now = now;
        if !load.with_data {
            self.data = Bytes::new();
        }
        match standing {
            Standing::Current => Found::Current(self),
            Standing::Previous => Found::Previous(self),
            Standing::Reused => Found::Reused(self),
            Standing::Unknown => Found::Missing,
        }
    }

    /// What a write at `now` makes of it. Unless the answer is [`Done`](Replaced::Done), nothing.
    pub fn write(&mut self, write: &Write<'_>, now: Timestamp) -> Replaced {
        let standing = self.standing(write.claim, now);
        if !standing.is_live() {
            return Replaced::Missing;
        }
        let is_expected = write.expected.is_none_or(|version| version == self.meta.version);
        if !is_expected || write.is_handover() && standing != Standing::Current {
            return Replaced::Conflict;
        }
        if let Some(data) = &write.data {
            self.data = data.clone();
        }
        if let Some(details) = write.details {
            self.details = details.clone();
        }
        if let Some(proof) = &write.proof {
            self.proofs.renewed(proof);
        }
        self.meta.written(write, now);
        let times = Times { now, expires_at: self.meta.expires_at() };
        Replaced::Done(Written { version: self.meta.version, times: Some(times) })
    }

    /// Whether the condition of a removal at `now` holds for it.
    pub fn meets(&self, condition: Condition<'_>, now: Timestamp) -> bool {
        match condition {
            Condition::Always => true,
            Condition::Version(version) => self.meta.version == version,
            Condition::Owner(owner) => self.meta.owner.as_ref() == Some(owner),
            Condition::Claim(claim) => self.proofs.standing(Some(claim), now).is_live(),
        }
    }
}
