//! What Redis tells by itself: sessions that expired, and those that another server ended.

use std::time::Duration;

use token_session::store::{Condition, NewRecord, Redis, Store};
use token_session::{Event, Events, Key, Lifetime, Subscription};

use crate::{ask, fresh_key, hour, patient};

/// Makes something happen again and again, until it is told: what happens before Redis knows that
/// somebody listens is not.
async fn until_told(
    told: &mut Subscription,
    mut cause: impl AsyncFnMut() -> Key,
    event: fn(Key) -> Event,
) {
    let patience = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let expected = event(cause().await);
            let news = tokio::time::timeout(Duration::from_secs(2), async {
                while told.next().await.expect("the store is there") != expected {}
            });
            if news.await.is_ok() {
                return;
            }
        }
    });
    patience.await.expect("it is told within a minute");
}

async fn endings_are_told(url: &str, prefix: &str) {
    let store =
        Redis::builder().prefix(prefix).keyspace_notifications(true).connect(url).await.unwrap();
    let elsewhere = Redis::builder().prefix(prefix).connect(url).await.unwrap();
    let events = Events::default();
    let mut told = events.subscribe();
    store.attach(&events);

    let short = Lifetime::idle(Duration::from_millis(20)).unwrap();
    let expire = async || {
        let key = fresh_key();
        elsewhere.insert(&key, &NewRecord::new("data", short)).await.unwrap();
        key
    };
    until_told(&mut told, expire, |key| Event::Expired { key }).await;
    let end = async || {
        let key = fresh_key();
        elsewhere.insert(&key, &hour("data")).await.unwrap();
        elsewhere.remove(&key, Condition::Always).await.unwrap();
        key
    };
    until_told(&mut told, end, |key| Event::Destroyed { key }).await;
}

#[tokio::test]
async fn endings_on_a_server_are_told() {
    let server = test_servers::Redis::start().unwrap();
    let _: String = ask(server.url(), &["CONFIG", "SET", "notify-keyspace-events", "Exge"]);
    endings_are_told(&format!("{}/1", server.url()), "ts:").await;
}

#[tokio::test]
async fn endings_on_every_master_of_a_cluster_are_told() {
    let urls = test_servers::redis_cluster_urls();
    for url in &urls {
        let _: String = ask(url, &["CONFIG", "SET", "notify-keyspace-events", "Exge"]);
    }
    let hosts: Vec<_> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
    let url = format!("redis-cluster://{}", hosts.join(","));
    // Keys are drawn at random, so several times over the endings fall on every master.
    for round in 0..5 {
        endings_are_told(&url, &format!("endings-{round}:")).await;
    }
}

#[tokio::test]
async fn a_store_that_does_not_listen_costs_no_connection() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    store.insert(&fresh_key(), &hour("data")).await.unwrap();
    let clients: String = ask(server.url(), &["CLIENT", "LIST"]);
    // The store, and who asks.
    assert_eq!(clients.lines().count(), 2, "{clients}");
}
