//! What the contract leaves to the Redis store, on real servers: what an operation costs, and what
//! happens when servers fail, refuse, fill up, move and forget.

mod bounds;
mod clock;
mod cluster;
mod commands;
mod crash;
mod damaged;
mod hang_ups;
mod keys;
mod outage;
mod owners;
mod proxy;
mod refusals;
mod rights;
mod sentinel;
mod tls;
mod urls;

use std::time::Duration;

use token_session::store::{Inserted, NewRecord, Redis, Store, StoreErrorKind};
use token_session::{Key, KeyScheme, Lifetime, Owner, Token};

/// A key that nobody has had.
fn fresh_key() -> Key {
    KeyScheme::Sha256.key(&Token::random("").unwrap())
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

/// Puts a record of the owner under a new key.
async fn log_in(store: &Redis, owner: &Owner) -> Key {
    let key = key_of(store, owner);
    let record = NewRecord { owner: Some(owner), ..hour("data") };
    let inserted = store.insert(&key, &record).await.unwrap();
    assert!(matches!(inserted, Inserted::Done { .. }));
    key
}

/// A store on whose patience no verdict hangs.
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

/// What an outage may do to a call: a lost answer, to be tried again, and no other error.
fn or_unavailable<T>(result: token_session::store::Result<T>) -> Option<T> {
    match result {
        Ok(answer) => Some(answer),
        Err(error) if error.kind() == StoreErrorKind::Unavailable => None,
        Err(error) => panic!("an outage is no reason for this: {error:?}"),
    }
}
