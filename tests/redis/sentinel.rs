//! Sentinel: the store follows the master.

use std::time::Duration;

use test_servers::Sentinel;
use token_session::store::{Redis, Replaced, Store, StoreErrorKind, Write};
use tokio::task::block_in_place;

use crate::{LONG, Short, ask, eventually, log_in, or_unavailable, owner, patient};

fn url(sentinel: &Sentinel, master: &str) -> String {
    let hosts: Vec<_> =
        sentinel.urls().iter().map(|url| url.trim_start_matches("redis://").to_owned()).collect();
    format!("redis-sentinel://{}/{master}", hosts.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_follows_a_failover() {
    let sentinel = block_in_place(Sentinel::start).unwrap();
    let store = Redis::connect(&url(&sentinel, Sentinel::MASTER_NAME)).await.unwrap();
    let key = log_in(&store, &owner("anna")).await;
    // Replication is not part of the answer, so it is waited for before the master dies.
    let master = block_in_place(|| sentinel.master()).unwrap();
    let _: usize = ask(master.url(), &["WAIT", "1", "30000"]);
    let old = block_in_place(|| sentinel.kill_master()).unwrap();

    let error = store.get(&key).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    let record =
        eventually("an answer of the new master", async || or_unavailable(store.touch(&key).await))
            .await;
    assert!(record.is_some(), "a session is gone that nobody ended");
    block_in_place(|| sentinel.wait_until_ok()).unwrap();
    store.replace(&key, &Write::data("new")).await.unwrap();

    // The old master comes back as a replica, and the store does not use it.
    block_in_place(|| old.restart()).unwrap();
    let again = Redis::connect(&url(&sentinel, Sentinel::MASTER_NAME)).await.unwrap();
    assert_eq!(again.get(&key).await.unwrap().unwrap().data, "new");
}

/// Its connections stay open.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_goes_silent_is_left_for_its_successor() {
    let sentinel = block_in_place(Sentinel::start).unwrap();
    let builder = Redis::builder().timeout(Duration::from_millis(500)).connect_timeout(LONG);
    let url = url(&sentinel, Sentinel::MASTER_NAME);
    let store = builder.connect(&url).await.unwrap();
    let key = log_in(&patient(&url).await, &owner("anna")).await;
    let master = block_in_place(|| sentinel.master()).unwrap();
    let _: usize = ask(master.url(), &["WAIT", "1", "30000"]);
    master.pause().unwrap();
    let record =
        eventually("an answer of the new master", async || or_unavailable(store.get(&key).await))
            .await;
    assert!(record.is_some(), "a session is gone that nobody ended");
    let written = eventually("a write to the new master", async || {
        or_unavailable(store.replace(&key, &Write::data("new")).await)
    });
    assert!(matches!(written.await, Replaced::Done(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_sentinel_does_not_delay_the_connection() {
    let sentinel = block_in_place(Sentinel::start).unwrap();
    sentinel.sentinel(0).pause().unwrap();
    let store = Redis::connect(&url(&sentinel, Sentinel::MASTER_NAME)).await.unwrap();
    log_in(&store, &owner("anna")).await;
    sentinel.sentinel(0).resume().unwrap();
}

#[tokio::test]
async fn a_master_that_no_sentinel_knows_is_refused() {
    let urls = test_servers::redis_sentinel_urls();
    let hosts: Vec<_> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
    let url = format!("redis-sentinel://{}/unknown", hosts.join(","));
    let error = Redis::connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
}
