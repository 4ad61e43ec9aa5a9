//! Redis and Valkey

mod builder;
mod cluster;
mod connection;
mod error;
mod link;
mod listener;
mod names;
mod notifications;
mod presence;
mod record;
mod scan;
mod script;
mod sentinel;
mod target;
mod tls;
mod tracking;

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

pub use self::builder::RedisBuilder;
pub use self::connection::RedisConnection;
pub(super) use self::target::answers_to;

use self::connection::Connection;
use self::error::{is_unknown_script, refused, store_error, unexpected};
use self::listener::{Listener, Source};
use self::names::Names;
use self::presence::Presence;
use self::record::Seen;
use self::script::Script;
use super::{
    AtomicStore, Condition, Cursor, Inserted, NewRecord, OwnerLimit, Page, Removed, Renamed,
    Renewal, Replaced, Result, Store, StoreError, Touch, Write,
};
use crate::event::Events;
use crate::record::{Meta, Owner, Record, Timestamp, Version};
use crate::token::Key;

/// Keeps sessions in Redis or Valkey; see the [module](self). A clone is the same store.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    connection: Connection,
    names: Arc<Names>,
    presence: Arc<Presence>,
    timeout: Duration,
    /// Where the server speaks by itself, if the store has connected by itself.
    source: Option<Source>,
    _listener: Option<Listener>,
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").field("names", &self.0.names).finish_non_exhaustive()
    }
}

impl RedisStore {
    /// A store on a connection that the application has already, with the default settings.
    pub fn new(connection: impl Into<RedisConnection>) -> Self {
        RedisBuilder::default()
            .build(connection)
            .unwrap_or_else(|_| unreachable!("the default settings are right"))
    }

    /// connect
    pub async fn connect(url: &str) -> Result<Self> {
        RedisBuilder::default().connect(url).await
    }

    /// builder
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// Runs a script on the server that has the partition.
    async fn run(
        &self,
        script: &Script,
        partition: u16,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Result<Value> {
        let Inner { connection, names, presence, timeout, .. } = &*self.0;
        let (slot, deadline) = (names.slot(partition), Instant::now() + *timeout);
        let mut result = connection.send(&script.call(keys, args), slot, deadline).await;
        if let Err(error) = &result
            && is_unknown_script(error)
        {
            let first_call = script.first_call(keys, args);
            result = connection.send(&first_call, slot, deadline).await;
        }
        match result {
            Ok(value) => {
                presence.succeeded();
                Ok(value)
            }
            Err(error) => {
                if error.is_io_error() {
                    presence.failed();
                }
                Err(store_error(error))
            }
        }
    }

    /// Runs a script on one session: first with its name alone, and with its owner's index when
    /// the script asks for that. `None` when there is no live session.
    async fn run_on(&self, script: &Script, key: &Key, args: &[&[u8]]) -> Result<Option<Value>> {
        let partition = key.partition(self.partitions());
        let name = self.0.names.session(key);
        let mut value = self.run(script, partition, &[name.as_bytes()], args).await?;
        if let Value::Array(parts) = &value
            && let [Value::BulkString(index)] = parts.as_slice()
        {
            let keys = [name.as_bytes(), index];
            value = self.run(script, partition, &keys, args).await?;
        }
        match value {
            Value::Nil => Ok(None),
            Value::SimpleString(what) => Err(StoreError::corrupt(key, what)),
            value => Ok(Some(value)),
        }
    }

    /// Runs a script on all sessions of an owner.
    async fn run_on_owner(&self, script: &Script, owner: &Owner, args: &[&[u8]]) -> Result<Value> {
        let partition = owner.partition(self.partitions());
        let names = [self.0.names.index(owner), self.0.names.nothing(owner)];
        let keys = [names[0].as_bytes(), names[1].as_bytes()];
        self.run(script, partition, &keys, args).await
    }

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

/// A record as a script hands it out: its bytes, the clock, when it was last seen.
fn record_from(key: &Key, value: Value) -> Result<Record> {
    let Value::Array(parts) = value else {
        return Err(unexpected());
    };
    let Ok([Value::BulkString(bytes), Value::Int(now), Value::Int(last_seen)]) =
        <[Value; 3]>::try_from(parts)
    else {
        return Err(unexpected());
    };
    let seen = Seen { now: timestamp(now), last_seen: timestamp(last_seen) };
    record::decode(bytes, seen).map_err(|what| StoreError::corrupt(key, what))
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis.try_into().unwrap_or_default())
}

/// An argument that is on or off.
fn flag(is_on: bool) -> &'static [u8] {
    if is_on { b"1" } else { b"" }
}

impl Store for RedisStore {
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
        let args: [&[u8]; 7] = [
            &record::head(record),
            &record::idle(&record.lifetime),
            &record::names(record),
            &record.data,
            flag(record.authenticated),
            max.as_bytes(),
            flag(limit.is_some_and(OwnerLimit::evicts)),
        ];
        match self.run(&script::INSERT, partition, &keys, &args).await? {
            Value::SimpleString(what) => Err(StoreError::corrupt(key, what)),
            Value::BulkString(word) if word == b"taken" => Ok(Inserted::KeyTaken),
            Value::BulkString(word) if word == b"full" => Ok(Inserted::OwnerFull),
            Value::Array(evicted) => {
                let keys = evicted.into_iter().map(key_from);
                let evicted = keys.collect::<Result<_>>()?;
                Ok(Inserted::Done { evicted })
            }
            _ => Err(unexpected()),
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
        let lifetime = write
            .lifetime
            .map(|lifetime| [record::absolute(lifetime), record::idle(lifetime)].concat());
        let args: [&[u8]; 4] = [
            &write.data,
            expected.as_ref().map_or(b"", |version| version),
            flag(write.touch),
            lifetime.as_deref().unwrap_or_default(),
        ];
        match self.run_on(&script::REPLACE, key, &args).await? {
            None => Ok(Replaced::Missing),
            Some(Value::BulkString(word)) if word == b"conflict" => Ok(Replaced::Conflict),
            Some(Value::Int(version)) => {
                let version = version.try_into().map_err(|_| unexpected())?;
                Ok(Replaced::Done(Version::from_u64(version)))
            }
            Some(_) => Err(unexpected()),
        }
    }

    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        let partition = self.check_partition(to, from.partition(self.partitions()))?;
        let names = [self.0.names.session(from), self.0.names.session(to)];
        let keys = [names[0].as_bytes(), names[1].as_bytes()];
        let args = [flag(renewal == Renewal::Authentication)];
        match self.run(&script::RENAME, partition, &keys, &args).await? {
            Value::Nil => Ok(Renamed::Missing),
            Value::SimpleString(what) => Err(StoreError::corrupt(from, what)),
            Value::BulkString(word) if word == b"taken" => Ok(Renamed::KeyTaken),
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
            Some(Value::BulkString(word)) if word == b"conflict" => Ok(Removed::Conflict),
            Some(Value::BulkString(word)) if word == b"removed" => Ok(Removed::Done),
            Some(_) => Err(unexpected()),
        }
    }

    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        let limit = limit.to_string();
        let found = self.run_on_owner(&script::OWNED, owner, &[limit.as_bytes()]).await?;
        let Value::Array(found) = found else {
            return Err(unexpected());
        };
        found.into_iter().map(owned_from).collect()
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

impl AtomicStore for RedisStore {}

/// A key as the scripts hand it out: its text form.
fn key_from(value: Value) -> Result<Key> {
    let Value::BulkString(text) = value else {
        return Err(unexpected());
    };
    let key = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
    key.ok_or_else(unexpected)
}

/// A session as a list of an owner's has it: its key, and its record without the data, or what is
/// wrong with that.
fn owned_from(value: Value) -> Result<(Key, Meta)> {
    let Value::Array(mut parts) = value else {
        return Err(unexpected());
    };
    if parts.is_empty() {
        return Err(unexpected());
    }
    let key = key_from(parts.remove(0))?;
    if let [Value::SimpleString(what)] = parts.as_slice() {
        return Err(StoreError::corrupt(&key, what));
    }
    let meta = record_from(&key, Value::Array(parts))?.meta;
    Ok((key, meta))
}
