//! The operations on one record: what goes to the scripts, and what comes back.

use redis::Value;

use super::error::{refused, unexpected};
use super::record::EncodedClaim;
use super::{Redis, record, script};
use crate::event::Events;
use crate::key::Key;
use crate::record::{Record, Timestamp, Version};
use crate::store::{
    AtomicStore, Condition, Found, Inserted, Listing, Load, Moves, NewProof, NewRecord, OwnerLimit,
    Owners, Removed, Replaced, Result, Store, StoreError, Times, Touch, Watch, Write, Written,
};

#[async_trait::async_trait]
impl Store for Redis {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        let name = self.0.names.session(key);
        let partition = key.partition(self.partitions());
        let mut keys = vec![name.as_bytes()];
        let index;
        if let Some(owner) = record.owner {
            if owner.partition(self.partitions()) != partition {
                return Err(refused(format!(
                    "the key {key} falls into another partition than its owner; make keys for the \
                     owner's partition"
                )));
            }
            index = self.0.names.index(owner);
            keys.push(index.as_bytes());
        }
        let limit = record.limit.filter(|_| record.owner.is_some());
        let max = limit.map_or(String::new(), |limit| limit.max().to_string());
        let version = record.version.get().to_be_bytes();
        let lifetime = record::encode_lifetime(&record.lifetime);
        let head = record::encode_head(record)?;
        let (mut is_pruned, mut evicted) = (false, Vec::new());
        loop {
            let args: [&[u8]; 8] = [
                &version,
                &lifetime,
                &head,
                &record.data,
                flag(record.authenticated),
                max.as_bytes(),
                flag(limit.is_some_and(OwnerLimit::evicts)),
                flag(is_pruned),
            ];
            let parts = match self.run(&script::INSERT, partition, &keys, &args).await? {
                Value::SimpleString(what) => return Err(StoreError::corrupt(key, what)),
                Value::Int(0) => return Ok(Inserted::KeyTaken),
                Value::Int(1) => return Ok(Inserted::OwnerFull),
                Value::Int(2) => {
                    self.prune(record.owner.ok_or_else(unexpected)?).await?;
                    is_pruned = true;
                    continue;
                }
                Value::Array(parts) => <[Value; 2]>::try_from(parts).map_err(|_| unexpected())?,
                _ => return Err(unexpected()),
            };
            let [Value::Int(is_done), Value::Array(gone)] = parts else {
                return Err(unexpected());
            };
            for key in gone {
                evicted.push(key_from(key)?);
            }
            if is_done == 1 {
                return Ok(Inserted::Done { evicted });
            }
        }
    }

    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        let claim = EncodedClaim::new(load.claim);
        let interval = match load.touch {
            Touch::No => String::new(),
            Touch::After(interval) => interval.as_nanos().div_ceil(1_000_000).to_string(),
        };
        let args = [claim.as_bytes(), interval.as_bytes(), flag(load.with_data)];
        match self.run_on(&script::LOAD, key, &args).await? {
            Some(value) => {
                let record = record_from(key, value)?;
                let now = record.meta.now;
                Ok(record.found(load, now))
            }
            None => Ok(Found::Missing),
        }
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let claim = EncodedClaim::new(write.claim);
        let expected = write.expected.map(|version| version.get().to_be_bytes());
        let lifetime = write.lifetime.map(record::encode_lifetime);
        let (proof, sealed): (&[u8], &[u8]) = match &write.proof {
            None => (b"", b""),
            Some(NewProof::Regenerated(next)) => (next.as_bytes(), b""),
            Some(NewProof::Rotated { next, sealed }) => (next.as_bytes(), sealed),
        };
        let details = write.details.map_or(b"".as_slice(), |details| details.as_bytes());
        record::length("details", details)?;
        record::length("a sealed secret", sealed)?;
        let parts = [
            (write.touch, b't'),
            (write.authenticated, b'a'),
            (write.is_handover(), b'h'),
            (write.details.is_some(), b'n'),
            (write.data.is_some(), b'd'),
        ];
        let parts = parts.map(|(is_there, letter)| if is_there { letter } else { b'-' });
        let args: [&[u8]; 8] = [
            claim.as_bytes(),
            expected.as_ref().map_or(b"", |version| version),
            lifetime.as_ref().map_or(b"", |lifetime| lifetime),
            proof,
            sealed,
            details,
            write.data.as_deref().unwrap_or_default(),
            &parts,
        ];
        match self.run_on(&script::REPLACE, key, &args).await? {
            None => Ok(Replaced::Missing),
            Some(Value::Int(0)) => Ok(Replaced::Conflict),
            Some(Value::BulkString(bytes)) => written_from(&bytes).map(Replaced::Done),
            Some(_) => Err(unexpected()),
        }
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        let (version, claim);
        let (name, value): (&[u8], &[u8]) = match condition {
            Condition::Always => (b"any", b""),
            Condition::Version(expected) => {
                version = expected.get().to_be_bytes();
                (b"version", &version)
            }
            Condition::Owner(owner) => (b"owner", owner.as_str().as_bytes()),
            Condition::Claim(claimed) => {
                claim = EncodedClaim::new(Some(claimed));
                (b"claim", claim.as_bytes())
            }
        };
        match self.run_on(&script::REMOVE, key, &[name, value, flag(hand_out)]).await? {
            None => Ok(Removed::Missing),
            Some(Value::Int(0)) => Ok(Removed::Conflict),
            Some(Value::Int(1)) => Ok(Removed::Done(None)),
            Some(value) => Ok(Removed::Done(Some(record_from(key, value)?))),
        }
    }

    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.judge(keys).await
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    fn listing(&self) -> Option<&dyn Listing> {
        Some(self)
    }

    /// `None` for a store over an [existing connection](Redis::new).
    fn watch(&self) -> Option<&dyn Watch> {
        self.0.endpoints.is_some().then_some(self)
    }

    fn moves(&self) -> Option<&dyn Moves> {
        None
    }

    fn partitions(&self) -> u16 {
        self.0.names.partitions()
    }

    fn keeps_plain_ids(&self) -> bool {
        false
    }

    fn attach(&self, events: &Events) {
        self.0.connectivity.attach(events);
    }
}

impl AtomicStore for Redis {}

/// A record as a script hands it out.
pub(super) fn record_from(key: &Key, value: Value) -> Result<Record> {
    let Value::BulkString(bytes) = value else {
        return Err(unexpected());
    };
    record::decode(bytes).map_err(|what| StoreError::corrupt(key, what))
}

/// What a write has left: the version, the clock and the end.
fn written_from(bytes: &[u8]) -> Result<Written> {
    let (numbers, []) = bytes.as_chunks::<8>() else {
        return Err(unexpected());
    };
    let [version, now, expires_at] = numbers else {
        return Err(unexpected());
    };
    let millis = |bytes: &[u8; 8]| Timestamp::from_millis(u64::from_be_bytes(*bytes));
    Ok(Written {
        version: Version::from_u64(u64::from_be_bytes(*version)),
        times: Some(Times { now: millis(now), expires_at: millis(expires_at) }),
    })
}

/// An argument that is on or off.
pub(super) fn flag(is_on: bool) -> &'static [u8] {
    if is_on { b"1" } else { b"" }
}

/// A key as the scripts hand it out: its text form.
pub(super) fn key_from(value: Value) -> Result<Key> {
    let Value::BulkString(text) = value else {
        return Err(unexpected());
    };
    let key = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
    key.ok_or_else(unexpected)
}
