//! What the operations of a store take and answer.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;

use super::{Details, Lifetime, Owner, Record, Timestamp, Version};
use crate::key::Key;
use crate::proof::{Claim, Proof};

/// A record to [insert](crate::store::Store::insert).
///
/// ```
/// use token_session::store::NewRecord;
/// use token_session::{Lifetime, Owner};
///
/// let owner = Owner::new("user-17")?;
/// let record = NewRecord { owner: Some(&owner), ..NewRecord::new("data", Lifetime::idle_secs(60)?) };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct NewRecord<'a> {
    /// The user's data, encoded.
    pub data: Bytes,
    /// What the manager keeps beside the data.
    pub details: Details,
    /// The version that it begins with. A random one: a write that is meant for an earlier record
    /// under this key then meets another version.
    pub version: Version,
    /// The proof of the token's secret; `None` for a record that is found by its key alone.
    pub proof: Option<Proof>,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// The account that it belongs to. A store reads it back with [`Owner::from_stored`].
    pub owner: Option<&'a Owner>,
    /// Whether the person has just proved who they are.
    pub authenticated: bool,
    /// How many sessions its owner may have with it.
    pub limit: Option<OwnerLimit>,
}

impl NewRecord<'_> {
    /// A record of no owner, without a proof, with a random version.
    pub fn new(data: impl Into<Bytes>, lifetime: Lifetime) -> Self {
        Self {
            data: data.into(),
            details: Details::new(),
            version: Version::random(),
            proof: None,
            lifetime,
            owner: None,
            authenticated: false,
            limit: None,
        }
    }
}

/// How many live sessions an owner may have, and what happens to one more (OWASP ASVS 5.0, 7.1.2).
///
/// ```
/// use token_session::store::OwnerLimit;
///
/// let three = OwnerLimit::evict_oldest(3.try_into()?);
/// assert_eq!(three.max().get(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerLimit {
    max: NonZeroU32,
    evicts: bool,
}

impl OwnerLimit {
    /// One more login is refused.
    pub const fn reject(max: NonZeroU32) -> Self {
        Self { max, evicts: false }
    }

    /// One more login ends the session that began first.
    pub const fn evict_oldest(max: NonZeroU32) -> Self {
        Self { max, evicts: true }
    }

    /// How many there may be.
    pub const fn max(self) -> NonZeroU32 {
        self.max
    }

    /// Whether the oldest goes, rather than the newcomer.
    pub const fn evicts(self) -> bool {
        self.evicts
    }
}

/// The answer to an [insert](crate::store::Store::insert).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The record is there.
    Done {
        /// The owner's sessions that ended for it.
        evicted: Vec<Key>,
    },
    /// Another live record has the key.
    KeyTaken,
    /// The owner has as many sessions as the limit allows.
    OwnerFull,
}

/// Whether to restart a record's idle timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Leave it.
    No,
    /// Restart it if the last touch is at least this long ago, or a tenth of the idle timeout where
    /// that is shorter. Zero: always.
    After(Duration),
}

/// How to [load](crate::store::Store::load) a record.
///
/// ```
/// use token_session::store::{Load, Touch};
///
/// let load = Load { touch: Touch::After(std::time::Duration::ZERO), ..Load::new() };
/// assert!(load.with_data && load.claim.is_none());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// The claim that the record has to fit; `None` to look it up by its key alone.
    pub claim: Option<&'a Claim>,
    /// Whether to restart its idle timeout.
    pub touch: Touch,
    /// Whether to hand out the data. Without, [`Record::data`] is empty.
    pub with_data: bool,
}

impl Load<'_> {
    /// By the key alone, untouched, with the data.
    pub const fn new() -> Self {
        Self { claim: None, touch: Touch::No, with_data: true }
    }
}

impl Default for Load<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// The answer to a [load](crate::store::Store::load).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It lives, and the claim is of its current secret, or nothing is claimed.
    Current(Record),
    /// It lives, and the claim is of the secret that is being handed over.
    Previous(Record),
    /// It lives, and the claim is of the secret that was handed over: too late to open it. It was not
    /// touched.
    Reused(Record),
    /// No such record for this claim.
    Missing,
}

impl Found {
    /// The record, if the claim opens it.
    pub fn live(self) -> Option<Record> {
        match self {
            Self::Current(record) | Self::Previous(record) => Some(record),
            Self::Reused(_) | Self::Missing => None,
        }
    }
}

/// What to [write](crate::store::Store::replace) over a record.
///
/// ```
/// use token_session::Version;
/// use token_session::store::Write;
///
/// let write = Write { expected: Some(Version::from_u64(17)), ..Write::data("new data") };
/// ```
#[derive(Clone, Debug, Default)]
pub struct Write<'a> {
    /// Write only over this version; `None`: over any.
    pub expected: Option<Version>,
    /// The claim that the record has to fit; `None` to write to it by its key alone.
    pub claim: Option<&'a Claim>,
    /// The user's data, encoded; `None` to leave it.
    pub data: Option<Bytes>,
    /// What the manager keeps beside the data; `None` to leave it.
    pub details: Option<&'a Details>,
    /// The proof of a new secret; `None` to leave it.
    pub proof: Option<NewProof>,
    /// Restart the idle timeout, with no regard to the touch interval.
    pub touch: bool,
    /// A new lifetime, which begins now: both timeouts restart.
    pub lifetime: Option<&'a Lifetime>,
    /// The person has just proved who they are:
    /// [`authenticated_at`](crate::Meta::authenticated_at) is now, and both timeouts restart (NIST SP
    /// 800-63B-4, section 5.2).
    pub authenticated: bool,
}

impl Write<'_> {
    /// Writes the data over any version, and changes nothing else.
    pub fn data(data: impl Into<Bytes>) -> Self {
        Self { data: Some(data.into()), ..Self::default() }
    }

    /// Whether the record is seen now.
    pub const fn restarts_idle_timeout(&self) -> bool {
        self.touch || self.restarts_absolute_timeout()
    }

    /// Whether the deadline is counted from now.
    pub const fn restarts_absolute_timeout(&self) -> bool {
        self.lifetime.is_some() || self.authenticated
    }

    /// Whether the record's version is one more. Only a handover leaves it: writers that go on
    /// meanwhile meet no conflict.
    pub const fn raises_version(&self) -> bool {
        !self.is_handover()
    }

    /// Whether the secret is handed over.
    pub const fn is_handover(&self) -> bool {
        matches!(self.proof, Some(NewProof::Rotated { .. }))
    }
}

/// The proof of a new secret.
///
/// ```
/// use token_session::Proof;
/// use token_session::store::{NewProof, Write};
///
/// let proof = NewProof::Regenerated(Proof::from_bytes([2; 33]));
/// let write = Write { proof: Some(proof), touch: true, ..Write::default() };
/// assert!(write.raises_version());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewProof {
    /// The secret before it is dead at once.
    Regenerated(Proof),
    /// The secret before it is good until this one is first used, and for a grace after that. Only a
    /// claim of the current secret may hand over.
    Rotated {
        /// Of the new secret.
        next: Proof,
        /// The new secret, sealed under the one before it; at most
        /// [`Previous::MAX_SEALED`](super::Previous::MAX_SEALED) bytes.
        sealed: Bytes,
    },
}

/// The answer to a [write](crate::store::Store::replace).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It is written.
    Done(Written),
    /// The record has another version than expected, or a handover was asked for by another claim
    /// than that of the current secret.
    Conflict,
    /// There is no live record that the claim opens.
    Missing,
}

/// What a [write](Replaced::Done) left.
///
/// ```
/// use token_session::store::{Times, Written};
/// use token_session::{Timestamp, Version};
///
/// let at = Timestamp::from_millis;
/// let times = Times { now: at(1_000), expires_at: at(61_000) };
/// let written = Written { version: Version::from_u64(18), times: Some(times) };
/// assert_eq!(times.expires_in().as_secs(), 60);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The record's version now.
    pub version: Version,
    /// The times of the record. Always there after a write of a new [proof](Write::proof); a store that
    /// would need another round trip for them may leave them out after any other write.
    pub times: Option<Times>,
}

/// The times of a record that was [written](Written).
///
/// ```
/// use token_session::Timestamp;
/// use token_session::store::Times;
///
/// let at = Timestamp::from_millis;
/// assert_eq!(Times { now: at(1_000), expires_at: at(3_000) }.expires_in().as_secs(), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The store's clock.
    pub now: Timestamp,
    /// When the record ends if it is not touched again.
    pub expires_at: Timestamp,
}

impl Times {
    /// How long the record has left if it is not touched again.
    pub const fn expires_in(&self) -> Duration {
        self.expires_at.since(self.now)
    }
}

/// When to [remove](crate::store::Store::remove) a record.
#[derive(Clone, Copy, Debug)]
pub enum Condition<'a> {
    /// In any case.
    Always,
    /// If the record has this version.
    Version(Version),
    /// If the record is this owner's.
    Owner(&'a Owner),
    /// If the claim opens it.
    Claim(&'a Claim),
}

/// The answer to a [removal](crate::store::Store::remove).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is looked at once, where it was made")]
pub enum Removed {
    /// The record is gone, by this call. Here it is, if it was to be handed out.
    Done(Option<Record>),
    /// There is a live record, and the condition does not hold for it.
    Conflict,
    /// There is no live record.
    Missing,
}

impl Removed {
    /// Whether this call has removed the record.
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// The record that was handed out.
    pub fn record(self) -> Option<Record> {
        match self {
            Self::Done(record) => record,
            Self::Conflict | Self::Missing => None,
        }
    }
}

/// What a [move](crate::store::Moves::rename) renews besides the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The key alone: the deadline stays.
    Key,
    /// The person has just proved who they are: [`authenticated_at`](crate::Meta::authenticated_at)
    /// is now, and the absolute timeout restarts (NIST SP 800-63B-4, section 5.2).
    Authentication,
}

/// The answer to a [move](crate::store::Moves::rename).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renamed {
    /// The record is under the new key, and like this.
    Done(super::Meta),
    /// Another live record has the new key.
    KeyTaken,
    /// There is no live record under the old key.
    Missing,
}
