//! Clients that hang up: their calls use no more of the server than those of clients that wait.

use std::time::Duration;

use token_session::store::{Redis, Store};

use crate::{
    LONG, Short, ask, eventually, fresh_key, hour, info, or_unavailable, patient, times_called,
};

/// Calls whose callers have gone, as those of clients that hang up, one after the other.
async fn hang_up(store: &Redis, times: usize) {
    for _ in 0..times {
        let key = fresh_key();
        let call = store.get(&key);
        assert!(tokio::time::timeout(Duration::from_millis(2), call).await.is_err());
    }
}

/// A server works on each call that it was sent, so the calls of clients that have gone would delay its
/// answers to the others.
#[tokio::test]
async fn few_abandoned_calls_are_sent_to_a_server_that_does_not_answer() {
    let server = test_servers::Redis::start().unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let manager = redis::aio::ConnectionManager::new(client).await.unwrap();
    let builder = Redis::builder().timeout(LONG);
    for store in [patient(server.url()).await, builder.build(manager).unwrap()] {
        let key = fresh_key();
        store.insert(&key, &hour("its own")).await.unwrap();
        store.get(&key).await.unwrap();
        let _: String = ask(server.url(), &["CONFIG", "RESETSTAT"]);
        server.pause().unwrap();
        hang_up(&store, 50).await;
        server.resume().unwrap();
        // It waits until they are few, and has its own answer.
        assert_eq!(store.get(&key).await.unwrap().unwrap().data, "its own");
        let calls = times_called(server.url(), "evalsha");
        assert!(calls <= 10, "{calls} calls");
        for _ in 0..20 {
            assert!(store.get(&key).await.unwrap().is_some());
        }
    }
    let connections = info(server.url(), "stats", "total_connections_received");
    // Two of the stores, and those of the test's own questions.
    assert!(connections <= 12, "{connections} connections");
}

/// A runtime may end while a call of its is under way.
#[test]
fn calls_that_end_with_their_runtime_do_not_block_later_calls() {
    let server = test_servers::Redis::start().unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = {
        let keeper = runtime();
        let store = keeper.block_on(patient(server.url()));
        server.pause().unwrap();
        keeper.block_on(hang_up(&store, 20));
        server.resume().unwrap();
        store
    };
    runtime().block_on(eventually("an answer on a connection of this runtime", async || {
        or_unavailable(store.get(&fresh_key()).await)
    }));
}
