//! What the contract leaves to the Redis store, on real servers: the cost of operations, and servers that
//! fail, refuse, fill up, move and forget.

mod bounds;
mod clock;
mod cluster;
mod commands;
mod crash;
mod damaged;
mod golden;
mod hang_ups;
mod keys;
mod outage;
mod owners;
mod proofs;
mod proxy;
mod refusals;
mod rights;
mod sentinel;
mod tls;
mod urls;

use std::time::Duration;

use token_session::store::{
    Inserted, Load, NewRecord, Owners, Redis, Result, Store, StoreErrorKind, Touch,
};
use token_session::{Key, Lifetime, Owner, Record, Version};

/// A new key.
fn fresh_key() -> Key {
    // A version is 48 random bits.
    let drawn = [(); 3].map(|()| Version::random().get().to_be_bytes());
    let mut bytes = [0; Key::LEN];
    for (bytes, drawn) in bytes.chunks_mut(6).zip(drawn) {
        bytes.copy_from_slice(&drawn[8 - bytes.len()..]);
    }
    Key::from_bytes(bytes)
}

/// A key in the partition of an owner.
fn key_of(store: &Redis, owner: &Owner) -> Key {
    let partitions = store.partitions();
    let wanted = owner.partition(partitions);
    std::iter::repeat_with(fresh_key).find(|key| key.partition(partitions) == wanted).unwrap()
}

fn owner(id: &str) -> Owner {
    Owner::new(id).unwrap()
}

/// A record that outlives every test.
fn hour(data: &str) -> NewRecord<'static> {
    let lifetime = Lifetime::idle(Duration::from_secs(3600)).unwrap();
    NewRecord::new(data.to_owned(), lifetime)
}

/// What most tests ask of a store: without a claim, and with a short answer.
trait Short {
    /// The live record under a key, untouched.
    async fn get(&self, key: &Key) -> Result<Option<Record>>;
    /// The live record under a key, touched.
    async fn touch(&self, key: &Key) -> Result<Option<Record>>;
    /// Up to `limit` sessions of an owner, without their data.
    async fn list(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Record)>>;
}

impl Short for Redis {
    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        Ok(self.load(key, &Load::new()).await?.live())
    }

    async fn touch(&self, key: &Key) -> Result<Option<Record>> {
        let load = Load { touch: Touch::After(Duration::ZERO), ..Load::new() };
        Ok(self.load(key, &load).await?.live())
    }

    async fn list(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Record)>> {
        Ok(self.owned(owner, None, limit, false).await?.records)
    }
}

/// Puts a record of the owner under a new key.
async fn log_in(store: &Redis, owner: &Owner) -> Key {
    let key = key_of(store, owner);
    let record = NewRecord { owner: Some(owner), ..hour("data") };
    let inserted = store.insert(&key, &record).await.unwrap();
    assert!(matches!(inserted, Inserted::Done { .. }));
    key
}

/// A store with timeouts that a busy machine does not reach.
async fn patient(url: &str) -> Redis {
    let builder = Redis::builder().timeout(LONG).connect_timeout(LONG);
    builder.connect(url).await.unwrap()
}

const LONG: Duration = Duration::from_secs(60);

/// Asks a server something, past the store.
fn ask<T: redis::FromRedisValue>(url: &str, words: &[&str]) -> T {
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command.query(&mut connection).unwrap()
}

/// What `INFO` says under a name.
fn info(url: &str, section: &str, name: &str) -> u64 {
    let text: String = ask(url, &["INFO", section]);
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap().trim().parse().unwrap()
}

/// How often clients and scripts have run a command since the server was last told to forget.
fn times_called(url: &str, command: &str) -> u64 {
    let text: String = ask(url, &["INFO", "commandstats"]);
    let begin = format!("cmdstat_{command}:calls=");
    let line = text.lines().find_map(|line| line.strip_prefix(&begin));
    line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

/// Repeats until there is an answer, for at most two minutes.
async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let patience = tokio::time::timeout(Duration::from_secs(120), async {
        loop {
            if let Some(answer) = attempt().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    patience.await.unwrap_or_else(|_| panic!("this has not happened in two minutes: {what}"))
}

/// The answer, or `None` where an outage has lost it. Any other error is a fault.
fn or_unavailable<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(answer) => Some(answer),
        Err(error) if error.kind() == StoreErrorKind::Unavailable => None,
        Err(error) => panic!("an outage is no reason for this: {error:?}"),
    }
}
