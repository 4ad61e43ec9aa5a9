//! Owners: sessions live by their place in the owner's index, which grows no longer than it must.

use std::time::Duration;

use token_session::store::{
    Condition, Found, Inserted, Listing, Load, NewRecord, OwnerLimit, Owners, Redis, Removed,
    Replaced, Store, Write,
};
use token_session::{Lifetime, Owner};

use crate::{Short, ask, eventually, fresh_key, hour, key_of, log_in, owner, patient};

struct Server {
    server: test_servers::Redis,
    store: Redis,
}

async fn start() -> Server {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    Server { server, store }
}

impl Server {
    fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        ask(self.server.url(), words)
    }
}

fn for_millis<'a>(owner: &'a Owner, millis: u64) -> NewRecord<'a> {
    let lifetime = Lifetime::idle(Duration::from_millis(millis)).unwrap();
    NewRecord { owner: Some(owner), ..NewRecord::new("data", lifetime) }
}

#[tokio::test]
async fn an_index_does_not_grow_with_dead_entries() {
    let Server { server, store } = &start().await;
    let anna = owner("anna");
    // One session stays, so that the index as a whole never expires.
    log_in(store, &anna).await;
    for _ in 0..1_000 {
        let key = key_of(store, &anna);
        store.insert(&key, &for_millis(&anna, 1)).await.unwrap();
    }
    let places: usize = ask(server.url(), &["ZCARD", "ts:{0}:o:anna"]);
    assert!(places < 50, "{places} places for two sessions");
}

#[tokio::test]
async fn a_limit_counts_no_dead_entries_and_leaves_none() {
    let Server { server, store } = &start().await;
    let anna = owner("anna");
    let limit = OwnerLimit::reject(5.try_into().unwrap());
    log_in(store, &anna).await;
    for _ in 0..100 {
        let record = NewRecord { limit: Some(limit), ..for_millis(&anna, 1) };
        let key = key_of(store, &anna);
        // Those that are still alive in this millisecond may fill the limit.
        eventually("a free place", async || {
            let inserted = store.insert(&key, &record).await.unwrap();
            matches!(inserted, Inserted::Done { .. }).then_some(())
        })
        .await;
    }
    let places: usize = ask(server.url(), &["ZCARD", "ts:{0}:o:anna"]);
    assert!(places <= 5, "{places} places");
}

#[tokio::test]
async fn an_index_ends_with_its_last_session() {
    let server = start().await;
    let anna = owner("anna");
    for millis in [200, 100] {
        let key = key_of(&server.store, &anna);
        server.store.insert(&key, &for_millis(&anna, millis)).await.unwrap();
    }
    eventually("an empty database", async || (server.ask::<usize>(&["DBSIZE"]) == 0).then_some(()))
        .await;
}

#[tokio::test]
async fn an_index_outlives_a_session_that_is_touched() {
    let server = start().await;
    let anna = owner("anna");
    let key = log_in(&server.store, &anna).await;
    let _: usize = server.ask(&["PEXPIRE", "ts:{0}:o:anna", "60000"]);
    server.store.touch(&key).await.unwrap();
    let left: u64 = server.ask(&["PTTL", "ts:{0}:o:anna"]);
    assert!(left > 3_500_000, "{left}");
}

/// A server that is out of memory may evict an index, and leave its sessions.
#[tokio::test]
async fn sessions_whose_index_was_evicted_have_ended() {
    let server = start().await;
    let store = &server.store;
    let anna = owner("anna");
    let keys: Vec<_> = [log_in(store, &anna).await, log_in(store, &anna).await].into();
    let records = ["ts:{0}:s:".to_owned() + &keys[0].to_string()];
    let _: usize = server.ask(&["DEL", "ts:{0}:o:anna"]);

    assert_eq!(store.count().await.unwrap(), 0);
    assert_eq!(store.get(&keys[0]).await.unwrap(), None);
    assert_eq!(server.ask::<usize>(&["EXISTS", &records[0]]), 0, "the record was cleared away");
    let key = log_in(store, &anna).await;
    assert_eq!(store.get(&keys[1]).await.unwrap(), None);
    assert_eq!(store.list(&anna, 10).await.unwrap().len(), 1);
    assert!(store.get(&key).await.unwrap().is_some());
}

#[tokio::test]
async fn no_operation_brings_a_revoked_session_back() {
    let server = start().await;
    let store = &server.store;
    let anna = owner("anna");
    let mut keys = Vec::new();
    for _ in 0..6 {
        keys.push(log_in(store, &anna).await);
    }
    // The index is all that is lost: each record is still there.
    let _: usize = server.ask(&["DEL", "ts:{0}:o:anna"]);

    let missing = store.replace(&keys[0], &Write::data("new")).await.unwrap();
    assert_eq!(missing, Replaced::Missing);
    assert_eq!(store.alive(&keys).await.unwrap(), [false; 6]);
    let found = store.load(&keys[1], &Load { with_data: false, ..Load::new() }).await.unwrap();
    assert_eq!(found, Found::Missing);
    assert_eq!(store.remove(&keys[2], Condition::Always, true).await.unwrap().record(), None);
    let missing = store.remove(&keys[3], Condition::Always, false).await.unwrap();
    assert_eq!(missing, Removed::Missing);
    assert_eq!(store.touch(&keys[4]).await.unwrap(), None);
    let inserted = store.insert(&keys[5], &hour("another's")).await.unwrap();
    assert!(matches!(inserted, Inserted::Done { .. }), "a dead record is no hindrance");
    assert!(store.list(&anna, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn all_sessions_of_an_owner_end_however_many_they_are() {
    let server = start().await;
    let store = &server.store;
    let anna = owner("anna");
    let logins = (0..1_500).map(|_| log_in(store, &anna));
    let keys = futures_util::future::join_all(logins).await;
    store.remove_owned(&anna, Some(&keys[700])).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 1);
    for key in keys.iter().step_by(100) {
        assert_eq!(store.get(key).await.unwrap().is_some(), *key == keys[700]);
    }
    let places: usize = server.ask(&["ZCARD", "ts:{0}:o:anna"]);
    assert_eq!(places, 1);
}

#[tokio::test]
async fn a_key_in_another_partition_than_its_owner_is_refused() {
    let server = test_servers::Redis::start().unwrap();
    let builder = Redis::builder().partitions(8);
    let store = builder.connect(server.url()).await.unwrap();
    let anna = owner("anna");
    let stray = std::iter::repeat_with(fresh_key)
        .find(|key| key.partition(8) != anna.partition(8))
        .unwrap();
    let record = NewRecord { owner: Some(&anna), ..hour("data") };
    let error = store.insert(&stray, &record).await.unwrap_err();
    assert!(error.to_string().contains("falls into another partition"), "{error}");
}
