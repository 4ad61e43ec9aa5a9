//! The operations of the contract: what goes to the scripts, and what comes back.

use redis::Value;

use super::error::{refused, unexpected};
use super::{Redis, record, script};
use crate::event::Events;
use crate::key::Key;
use crate::record::{Meta, Owner, Record, Version};
use crate::store::{
    AtomicStore, Condition, Cursor, Inserted, NewRecord, OwnerLimit, Page, Removed, Renamed,
    Renewal, Replaced, Result, Store, StoreError, Touch, Write,
};

#[async_trait::async_trait]
impl Store for Redis {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        let name = self.0.names.session(key);
        let mut partition = key.partition(self.partitions());
        let mut keys = vec![name.as_bytes()];
        let index;
        if let Some(owner) = record.owner {
            partition = self.check_partition(key, owner.partition(self.partitions()))?;
            index = self.0.names.index(owner);
            keys.push(index.as_bytes());
        }
        let limit = record.limit.filter(|_| record.owner.is_some());
        let max = limit.map_or(String::new(), |limit| limit.max().to_string());
        let lifetime = record::encode_lifetime(&record.lifetime);
        let version = record.version.get().to_be_bytes();
        let owner_and_label = record::encode_names(record);
        let (mut is_pruned, mut evicted) = (false, Vec::new());
        loop {
            let args: [&[u8]; 8] = [
                &lifetime,
                &owner_and_label,
                &record.data,
                flag(record.authenticated),
                max.as_bytes(),
                flag(limit.is_some_and(OwnerLimit::evicts)),
                flag(is_pruned),
                &version,
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

    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        self.read(key, touch, true).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
        let record = self.read(key, touch, false).await?;
        Ok(record.map(|record| record.meta))
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let expected = write.expected.map(|version| version.get().to_be_bytes());
        let lifetime = write.lifetime.map(record::encode_lifetime);
        let args: [&[u8]; 4] = [
            &write.data,
            expected.as_ref().map_or(b"", |version| version),
            flag(write.touch),
            lifetime.as_ref().map_or(b"", |lifetime| lifetime),
        ];
        match self.run_on(&script::REPLACE, key, &args).await? {
            None => Ok(Replaced::Missing),
            Some(Value::Int(0)) => Ok(Replaced::Conflict),
            Some(Value::Int(version)) => {
                let version = version.try_into().map_err(|_| unexpected())?;
                Ok(Replaced::Done(Version::from_u64(version)))
            }
            Some(_) => Err(unexpected()),
        }
    }

    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        let partition = self.check_partition(to, from.partition(self.partitions()))?;
        let names = &self.0.names;
        let names = [names.session(from), names.session(to), names.nothing(partition)];
        let keys = names.each_ref().map(String::as_bytes);
        let args = [flag(renewal == Renewal::Authentication)];
        match self.run(&script::RENAME, partition, &keys, &args).await? {
            Value::Nil => Ok(Renamed::Missing),
            Value::SimpleString(what) => Err(StoreError::corrupt(from, what)),
            Value::Int(0) => Ok(Renamed::KeyTaken),
            value => Ok(Renamed::Done(record_from(to, value)?.meta)),
        }
    }

    async fn take(&self, key: &Key) -> Result<Option<Record>> {
        let args = [b"any", b"".as_slice(), flag(true)];
        let value = self.run_on(&script::REMOVE, key, &args).await?;
        value.map(|value| record_from(key, value)).transpose()
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        let version;
        let (name, value): (&[u8], &[u8]) = match condition {
            Condition::Always => (b"any", b""),
            Condition::Version(expected) => {
                version = expected.get().to_be_bytes();
                (b"version", &version)
            }
            Condition::Owner(owner) => (b"owner", owner.as_str().as_bytes()),
        };
        let args = [name, value, flag(false)];
        match self.run_on(&script::REMOVE, key, &args).await? {
            None => Ok(Removed::Missing),
            Some(Value::Int(0)) => Ok(Removed::Conflict),
            Some(Value::Int(1)) => Ok(Removed::Done),
            Some(_) => Err(unexpected()),
        }
    }

    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        self.list_owned(owner, limit).await
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let keep = keep.map_or(String::new(), Key::to_string);
        self.run_on_owner(&script::REMOVE_OWNED, owner, &[keep.as_bytes()]).await?;
        Ok(())
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.page(after, limit).await
    }

    async fn count(&self) -> Result<u64> {
        self.count_all().await
    }

    async fn clear(&self) -> Result<()> {
        self.clear_all().await
    }

    /// Redis drops expired sessions by itself.
    async fn sweep(&self, _limit: usize) -> Result<usize> {
        Ok(0)
    }

    fn partitions(&self) -> u16 {
        self.0.names.partitions()
    }

    fn attach(&self, events: &Events) {
        self.0.presence.attach(events);
    }
}

impl AtomicStore for Redis {}

impl Redis {
    /// The record, or all of it but the data.
    async fn read(&self, key: &Key, touch: Touch, with_data: bool) -> Result<Option<Record>> {
        let interval = match touch {
            Touch::No => String::new(),
            Touch::After(interval) => interval.as_nanos().div_ceil(1_000_000).to_string(),
        };
        let without_data: &[u8] = if with_data { b"" } else { b"1" };
        let args = [interval.as_bytes(), without_data];
        let value = self.run_on(&script::LOAD, key, &args).await?;
        value.map(|value| record_from(key, value)).transpose()
    }

    /// Both keys of an operation have to lie in one partition.
    fn check_partition(&self, key: &Key, other: u16) -> Result<u16> {
        let partition = key.partition(self.partitions());
        if partition == other {
            return Ok(partition);
        }
        Err(refused(format!(
            "the key {key} falls into another partition than its owner or its predecessor; draw \
             keys until they agree"
        )))
    }
}

/// A record as a script hands it out.
pub(super) fn record_from(key: &Key, value: Value) -> Result<Record> {
    let Value::BulkString(bytes) = value else {
        return Err(unexpected());
    };
    record::decode(bytes).map_err(|what| StoreError::corrupt(key, what))
}

/// An argument that is on or off.
fn flag(is_on: bool) -> &'static [u8] {
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
