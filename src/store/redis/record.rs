//! How a record is kept: the bytes of one Redis string.
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
//! | 1 | length of the owner, or 0 |
//! | 1 | length of the label, or 0 |
//! | … | owner, label, data |
//!
//! Numbers are big-endian, times in milliseconds. When the record ends is the expiry of the Redis
//! key, to the millisecond, and a touch moves that alone: where there is an idle timeout and the
//! expiry is not the deadline's, it also tells when the record was last seen.
//!
//! The scripts in `lua/` read and write the same bytes, counted from 1.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};

use crate::record::{Label, Lifetime, Meta, Owner, Record, Timestamp, Version};
use crate::store::NewRecord;

/// The version of the layout.
const FORMAT: u8 = 1;

/// What precedes owner, label and data.
const HEADER_LEN: usize = 59;

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
    let lifetime = lifetime(bytes.get_u64(), bytes.get_u64())?;
    let deadline = timestamp(bytes.get_u64());
    // The script has made the time that counts from this one and the expiry.
    bytes.advance(8);
    let (owner_len, label_len) = (usize::from(bytes.get_u8()), usize::from(bytes.get_u8()));
    let owner = match text(&mut bytes, owner_len)? {
        Some(owner) => Some(Owner::from_stored(owner).map_err(|_| "its owner is none")?),
        None => None,
    };
    let label = match text(&mut bytes, label_len)? {
        Some(label) => Some(Label::new(label).map_err(|_| "its label is none")?),
        None => None,
    };
    let meta = Meta {
        version,
        lifetime,
        created_at,
        last_seen,
        deadline,
        authenticated_at,
        owner,
        label,
        now,
    };
    Ok(Record { data: bytes, meta })
}

fn timestamp(millis: u64) -> Option<Timestamp> {
    (millis > 0).then_some(Timestamp::from_millis(millis))
}

fn lifetime(absolute: u64, idle: u64) -> Result<Lifetime, &'static str> {
    let absolute_timeout = Duration::from_millis(absolute);
    let lifetime = match (idle, absolute) {
        (0, _) => Lifetime::absolute(absolute_timeout),
        (_, 0) => Lifetime::idle(Duration::from_millis(idle)),
        _ => Lifetime::idle(Duration::from_millis(idle))
            .and_then(|lifetime| lifetime.and_absolute(absolute_timeout)),
    };
    lifetime.map_err(|_| "its lifetime is none")
}

/// The next `len` bytes as text, and nothing where there are none.
fn text(bytes: &mut Bytes, len: usize) -> Result<Option<Arc<str>>, &'static str> {
    if len == 0 {
        return Ok(None);
    }
    if bytes.len() < len {
        return Err("it is shorter than it says");
    }
    let text = bytes.split_to(len);
    let text = std::str::from_utf8(&text).map_err(|_| "its owner or label is no text")?;
    Ok(Some(text.into()))
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

/// Owner and label of a new record, with their lengths before them.
pub(super) fn encode_names(record: &NewRecord<'_>) -> Vec<u8> {
    let owner = record.owner.map_or("", Owner::as_str);
    let label = record.label.map_or("", Label::as_str);
    // Both types hold at most 255 bytes.
    let mut names = vec![owner.len() as u8, label.len() as u8];
    names.extend_from_slice(owner.as_bytes());
    names.extend_from_slice(label.as_bytes());
    names
}
