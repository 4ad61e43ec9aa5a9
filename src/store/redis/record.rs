//! The layout of a record: the bytes of one Redis string.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | 1, the version of this layout |
//! | 8 | the record's version |
//! | 8 | when it was created |
//! | 8 | when the person authenticated, or 0 |
//! | 8 | absolute timeout, or 0 |
//! | 8 | idle timeout, or 0 |
//! | 8 | the deadline, or 0 |
//! | 8 | when it was last seen, as of the last write |
//! | 33 | the proof of the current secret, or zeros |
//! | 33 | the proof of the secret that was handed over, or zeros |
//! | 8 | when the handover was confirmed, or 0 |
//! | 1 | length of the owner, or 0 |
//! | 2 | length of the details, or 0 |
//! | 2 | length of the sealed secret, or 0 |
//! | … | owner, details, sealed secret, data |
//!
//! Numbers are big-endian, times in milliseconds. When the record ends is the expiry of the Redis
//! key, to the millisecond, and a touch moves only that. If there is an idle timeout and the expiry is
//! not the deadline's, the expiry also tells when the record was last seen. A confirmation fills the
//! sealed secret with zeros, and the next write drops them.
//!
//! The scripts in `lua/` read and write the same bytes, counted from 1.

use std::time::Duration;

use bytes::{Buf, Bytes};

use crate::proof::{Claim, Proof};
use crate::record::{Details, Lifetime, Meta, Owner, Previous, Proofs, Record, Timestamp, Version};
use crate::store::{NewRecord, Result};

use super::error::refused;

/// The version of the layout.
const FORMAT: u8 = 1;

/// What precedes owner, details, sealed secret and data.
pub(super) const HEADER_LEN: usize = 136;

/// The proof of a record that has none.
const NO_PROOF: [u8; Proof::LEN] = [0; Proof::LEN];

/// A record from the bytes that a script hands out, the server's clock and the time of the last
/// touch before those of the record; or what is wrong with them.
pub(super) fn decode(bytes: Vec<u8>) -> Result<Record, &'static str> {
    let mut bytes = Bytes::from(bytes);
    if bytes.len() < 16 + HEADER_LEN {
        return Err("it is shorter than a record");
    }
    let now = Timestamp::from_millis(bytes.get_u64());
    let last_seen = Timestamp::from_millis(bytes.get_u64());
    if bytes.get_u8() != FORMAT {
        return Err("it does not begin like a record of this version");
    }
    let version = Version::from_u64(bytes.get_u64());
    let created_at = Timestamp::from_millis(bytes.get_u64());
    let authenticated_at = timestamp(bytes.get_u64());
    let (absolute, idle) = (timeout(bytes.get_u64()), timeout(bytes.get_u64()));
    let lifetime = Lifetime::of(idle, absolute).map_err(|_| "its lifetime is not a valid one")?;
    let deadline = timestamp(bytes.get_u64());
    // The script has made the time that counts from this one and the expiry.
    bytes.advance(8);
    let (current, previous) = (proof(&mut bytes), proof(&mut bytes));
    let confirmed_at = timestamp(bytes.get_u64());
    let owner_len = usize::from(bytes.get_u8());
    let (details_len, sealed_len) = (usize::from(bytes.get_u16()), usize::from(bytes.get_u16()));
    if bytes.len() < owner_len + details_len + sealed_len {
        return Err("it is shorter than it says");
    }
    let owner = owner(&bytes.split_to(owner_len))?;
    let details = Details::from_stored(bytes.split_to(details_len));
    let sealed = bytes.split_to(sealed_len);
    let previous = previous.map(|proof| {
        let sealed = confirmed_at.is_none().then_some(sealed);
        Previous { proof, confirmed_at, sealed }
    });
    let meta =
        Meta { version, lifetime, created_at, last_seen, deadline, authenticated_at, owner, now };
    Ok(Record { data: bytes, details, proofs: Proofs { current, previous }, meta })
}

fn timestamp(millis: u64) -> Option<Timestamp> {
    (millis > 0).then_some(Timestamp::from_millis(millis))
}

fn timeout(millis: u64) -> Option<Duration> {
    (millis > 0).then_some(Duration::from_millis(millis))
}

/// The next proof.
fn proof(bytes: &mut Bytes) -> Option<Proof> {
    let mut proof = NO_PROOF;
    bytes.copy_to_slice(&mut proof);
    (proof != NO_PROOF).then_some(Proof::from_bytes(proof))
}

fn owner(id: &[u8]) -> Result<Option<Owner>, &'static str> {
    if id.is_empty() {
        return Ok(None);
    }
    let id = std::str::from_utf8(id).map_err(|_| "its owner is not valid UTF-8")?;
    Owner::from_stored(id).map(Some).map_err(|_| "its owner is not a valid owner")
}

/// A lifetime as a record has it.
pub(super) fn encode_lifetime(lifetime: &Lifetime) -> [u8; 16] {
    let millis = |timeout: Option<Duration>| {
        // A timeout has at most 100 years.
        timeout.unwrap_or_default().as_millis() as u64
    };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&millis(lifetime.absolute_timeout()).to_be_bytes());
    bytes[8..].copy_from_slice(&millis(lifetime.idle_timeout()).to_be_bytes());
    bytes
}

/// From the proof of a new record to its data.
pub(super) fn encode_head(record: &NewRecord<'_>) -> Result<Vec<u8>> {
    let owner = record.owner.map_or("", Owner::as_str);
    let details = record.details.as_bytes();
    let mut head = Vec::with_capacity(2 * Proof::LEN + 8 + 5 + owner.len() + details.len());
    head.extend_from_slice(
        record.proof.as_ref().map_or(NO_PROOF.as_slice(), |proof| proof.as_bytes()),
    );
    // No secret was handed over yet.
    head.extend_from_slice(&[0; Proof::LEN + 8]);
    // An owner has at most 255 bytes.
    head.push(owner.len() as u8);
    head.extend_from_slice(&length("details", details)?.to_be_bytes());
    head.extend_from_slice(&[0; 2]);
    head.extend_from_slice(owner.as_bytes());
    head.extend_from_slice(details);
    Ok(head)
}

/// The length of a part of a record for which the record has two bytes.
pub(super) fn length(what: &str, bytes: &[u8]) -> Result<u16> {
    u16::try_from(bytes.len())
        .map_err(|_| refused(format!("{} bytes of {what}; at most {} fit", bytes.len(), u16::MAX)))
}

/// A claim as the scripts take it: the grace, and then the proofs.
pub(super) struct EncodedClaim {
    bytes: [u8; 8 + Claim::MOST * Proof::LEN],
    len: usize,
}

impl EncodedClaim {
    /// Empty where nothing is claimed.
    pub(super) fn new(claim: Option<&Claim>) -> Self {
        let mut encoded = Self { bytes: [0; 8 + Claim::MOST * Proof::LEN], len: 0 };
        if let Some(claim) = claim {
            let grace = u64::try_from(claim.grace().as_millis()).unwrap_or(u64::MAX);
            let proofs = claim.as_bytes();
            encoded.len = 8 + proofs.len();
            encoded.bytes[..8].copy_from_slice(&grace.to_be_bytes());
            encoded.bytes[8..encoded.len].copy_from_slice(proofs);
        }
        encoded
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
