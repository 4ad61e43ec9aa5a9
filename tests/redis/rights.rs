//! The rights that the docs of the store name are enough, on each kind of installation.

use std::time::Duration;

use test_servers::{RedisCluster, Sentinel};
use token_session::Lifetime;
use token_session::store::{
    Condition, Listing, NewRecord, OwnerLimit, Owners, Redis, Result, Store, StoreErrorKind, Write,
};
use tokio::task::block_in_place;

use crate::{Short, ask, key_of, owner};

const RIGHTS: &str = include_str!("../../src/store/redis/rights.acl");

/// Makes the user `service` with the rights in the docs and these beyond them.
pub fn make_user(url: &str, beyond: &str) {
    set_user(url, &format!("{RIGHTS} {beyond}"));
}

fn set_user(url: &str, rights: &str) {
    let mut words = vec!["ACL", "SETUSER", "service", "reset", "on", ">secret"];
    words.extend(rights.split_whitespace());
    let _: String = ask(url, &words);
}

/// Does whatever a store can do.
async fn exercise(store: &Redis) -> Result<()> {
    let anna = owner("anna");
    let limit = OwnerLimit::evict_oldest(2.try_into().unwrap());
    let lifetime = Lifetime::idle(Duration::from_secs(100)).unwrap();
    let lifetime = lifetime.and_absolute(Duration::from_secs(90)).unwrap();
    let new = NewRecord { owner: Some(&anna), ..NewRecord::new("data", lifetime) };
    let limited = NewRecord { limit: Some(limit), ..new.clone() };
    let keys: Vec<_> = (0..5).map(|_| key_of(store, &anna)).collect();
    store.insert(&keys[0], &new).await?;
    for key in &keys[1..4] {
        store.insert(key, &limited).await?;
    }
    // A touch in the millisecond of the insert writes nothing.
    tokio::time::sleep(Duration::from_millis(2)).await;
    store.touch(&keys[3]).await?;
    let longer = Lifetime::idle(Duration::from_secs(3600)).unwrap();
    let write = Write { lifetime: Some(&longer), ..Write::data("more") };
    store.replace(&keys[3], &write).await?;
    store.insert(&keys[4], &limited).await?;
    store.alive(&keys).await?;
    store.list(&anna, 10).await?;
    store.remove(&keys[3], Condition::Owner(&anna), false).await?;
    store.remove_owned(&anna, Some(&keys[4])).await?;
    assert_eq!(store.count().await?, 1);
    store.scan(None, 1_000).await?;
    assert!(store.remove(&keys[4], Condition::Always, true).await?.is_done());
    store.clear().await
}

#[tokio::test]
async fn no_right_is_to_spare() {
    let server = test_servers::Redis::start().unwrap();
    let url = server.url_as("service", "secret");
    set_user(server.url(), RIGHTS);
    exercise(&Redis::connect(&url).await.unwrap()).await.unwrap();
    for right in RIGHTS.split_whitespace() {
        let _: String = ask(server.url(), &["SCRIPT", "FLUSH"]);
        let others: Vec<_> = RIGHTS.split_whitespace().filter(|&other| other != right).collect();
        set_user(server.url(), &others.join(" "));
        let store = Redis::connect(&url).await.unwrap();
        let error = exercise(&store).await.expect_err(right);
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{right}: {error:?}");
        assert!(error.to_string().contains("lacks a right"), "{right}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_a_cluster() {
    let cluster = block_in_place(RedisCluster::start).unwrap();
    for url in cluster.urls() {
        make_user(url, "+cluster|slots +ping +asking");
    }
    let hosts = cluster.url().replace("redis://", "");
    let store = Redis::connect(&format!("redis-cluster://service:secret@{hosts}")).await.unwrap();
    exercise(&store).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_behind_sentinel() {
    let sentinel = block_in_place(Sentinel::start).unwrap();
    make_user(block_in_place(|| sentinel.master()).unwrap().url(), "+role");
    let hosts = sentinel.url().replace("redis://", "");
    let name = Sentinel::MASTER_NAME;
    let url = format!("redis-sentinel://service:secret@{hosts}/{name}");
    exercise(&Redis::connect(&url).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_user_of_another_database() {
    let server = test_servers::Redis::start().unwrap();
    make_user(server.url(), "+select");
    let url = format!("{}/5", server.url_as("service", "secret"));
    exercise(&Redis::connect(&url).await.unwrap()).await.unwrap();
}
