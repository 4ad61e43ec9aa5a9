//! What stands in a file. A record without an owner, as this store never receives one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use token_session::store::{Previous, Proofs};
use token_session::{Details, Lifetime, Meta, Proof, Record, Timestamp, Version};

/// The first line of a file. The data follow as they are.
#[derive(Serialize, Deserialize)]
struct Head {
    version: u64,
    /// In milliseconds, as all times.
    idle: Option<u64>,
    absolute: Option<u64>,
    created_at: u64,
    last_seen: u64,
    deadline: Option<u64>,
    authenticated_at: Option<u64>,
    details: Vec<u8>,
    proof: Option<Vec<u8>>,
    previous: Option<Handover>,
}

#[derive(Serialize, Deserialize)]
struct Handover {
    proof: Vec<u8>,
    confirmed_at: Option<u64>,
    sealed: Option<Vec<u8>>,
}

pub fn encode(record: &Record) -> Vec<u8> {
    let Record { data, details, proofs, meta } = record;
    let millis = |timeout: Duration| timeout.as_millis() as u64;
    let head = Head {
        version: meta.version.get(),
        idle: meta.lifetime.idle_timeout().map(millis),
        absolute: meta.lifetime.absolute_timeout().map(millis),
        created_at: meta.created_at.as_millis(),
        last_seen: meta.last_seen.as_millis(),
        deadline: meta.deadline.map(Timestamp::as_millis),
        authenticated_at: meta.authenticated_at.map(Timestamp::as_millis),
        details: details.as_bytes().to_vec(),
        proof: proofs.current.map(|proof| proof.as_bytes().to_vec()),
        previous: proofs.previous.as_ref().map(|previous| Handover {
            proof: previous.proof.as_bytes().to_vec(),
            confirmed_at: previous.confirmed_at.map(Timestamp::as_millis),
            sealed: previous.sealed.as_ref().map(|sealed| sealed.to_vec()),
        }),
    };
    let mut bytes = serde_json::to_vec(&head).expect("numbers and bytes have a JSON form");
    bytes.push(b'\n');
    bytes.extend_from_slice(data);
    bytes
}

/// The record in a file; `None` if it is damaged.
pub fn decode(bytes: &[u8], now: Timestamp) -> Option<Record> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
    let proof = |bytes: Vec<u8>| Some(Proof::from_bytes(bytes.try_into().ok()?));
    let previous = match head.previous {
        Some(previous) => Some(Previous {
            proof: proof(previous.proof)?,
            confirmed_at: previous.confirmed_at.map(Timestamp::from_millis),
            sealed: previous.sealed.map(Into::into),
        }),
        None => None,
    };
    let current = head.proof.map(|bytes| proof(bytes).ok_or(())).transpose().ok()?;
    let timeout = |timeout: Option<u64>| timeout.map(Duration::from_millis);
    Some(Record {
        data: bytes[end + 1..].to_vec().into(),
        details: Details::from_stored(head.details.into()),
        proofs: Proofs { current, previous },
        meta: Meta {
            version: Version::from_u64(head.version),
            lifetime: Lifetime::of(timeout(head.idle), timeout(head.absolute)).ok()?,
            created_at: Timestamp::from_millis(head.created_at),
            last_seen: Timestamp::from_millis(head.last_seen),
            deadline: head.deadline.map(Timestamp::from_millis),
            authenticated_at: head.authenticated_at.map(Timestamp::from_millis),
            owner: None,
            now,
        },
    })
}
