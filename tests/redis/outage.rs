//! A server that is killed, stalls, forgets its scripts, or is cut off: each call answers in time,
//! with the truth or an error to retry, and service resumes by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use token_session::store::{
    Condition, NewRecord, Redis, Removed, Replaced, Store, StoreErrorKind, Write,
};
use token_session::{Event, Events, Key, Version};
use tokio::task::JoinSet;

use crate::proxy::Proxy;
use crate::{
    LONG, Short, ask, eventually, fresh_key, hour, log_in, or_unavailable, owner, patient,
};

/// Callers that log in, count, and log out, and know at each moment what the truth may be.
///
/// They panic at a session that is gone though nobody ended it, at one that is back though it was
/// ended, and at a counter that lost or doubled a write.
pub struct Load {
    stop: Arc<AtomicBool>,
    successes: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Load {
    pub fn on(store: &Redis) -> Self {
        let mut load =
            Self { stop: Arc::default(), successes: Arc::default(), tasks: JoinSet::new() };
        for caller in 0..8 {
            let (stop, successes) = (Arc::clone(&load.stop), Arc::clone(&load.successes));
            let store = store.clone();
            load.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let owned = caller % 2 == 0;
                    visit(&store, owned, &successes).await;
                }
            });
        }
        load
    }

    /// Waits until calls succeed, from now on.
    pub async fn succeeds(&self) {
        let before = self.successes.load(Ordering::Relaxed);
        eventually("calls succeed", async || {
            (self.successes.load(Ordering::Relaxed) > before + 100).then_some(())
        })
        .await;
    }

    pub async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(caller) = self.tasks.join_next().await {
            caller.unwrap();
        }
    }
}

/// Repeats a call until its answer is not lost.
macro_rules! answered {
    ($call:expr) => {
        loop {
            if let Some(answer) = or_unavailable($call) {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
}

/// One session from its beginning to its end.
async fn visit(store: &Redis, owned: bool, successes: &AtomicU64) {
    // So that the data tells the version.
    let (mut version, new) = (Version::from_u64(1), hour("0"));
    let new = NewRecord { version, ..new };
    let key = if owned {
        let anna = owner(&format!("anna-{}", fresh_key()));
        let key = crate::key_of(store, &anna);
        let record = NewRecord { owner: Some(&anna), ..new };
        if or_unavailable(store.insert(&key, &record).await).is_none() {
            return;
        }
        key
    } else {
        let key = fresh_key();
        if or_unavailable(store.insert(&key, &new).await).is_none() {
            return;
        }
        key
    };
    for _ in 0..20 {
        let write = Write { expected: Some(version), ..Write::data(version.get().to_string()) };
        match or_unavailable(store.replace(&key, &write).await) {
            Some(Replaced::Done(written)) => {
                assert_eq!(written.version, version.next());
                version = written.version;
            }
            Some(other) => panic!("{other:?}, though nobody else writes"),
            None => {
                let record = answered!(store.get(&key).await);
                let now = record.expect("nobody has ended it").meta.version;
                assert!(now == version || now == version.next(), "{now:?} after {version:?}");
                version = now;
            }
        }
        if let Some(record) = or_unavailable(store.touch(&key).await) {
            let record = record.expect("nobody has ended it");
            assert_eq!(record.meta.version, version);
            assert_eq!(record.data, (version.get() - 1).to_string());
            successes.fetch_add(1, Ordering::Relaxed);
        }
    }
    let removed = store.remove(&key, Condition::Always, false).await;
    match or_unavailable(removed) {
        Some(removed) => assert_eq!(removed, Removed::Done(None)),
        None => {
            answered!(store.remove(&key, Condition::Always, false).await);
        }
    }
    let back = answered!(store.replace(&key, &Write::data("back")).await);
    assert_eq!(back, Replaced::Missing);
    let gone = answered!(store.get(&key).await);
    assert_eq!(gone, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_restarted_under_load_loses_nothing_that_it_has_acknowledged() {
    let server = test_servers::Redis::durable().unwrap();
    let store = Redis::connect(server.url()).await.unwrap();
    let load = Load::on(&store);
    for _ in 0..3 {
        load.succeeds().await;
        tokio::task::block_in_place(|| server.kill()).unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        tokio::task::block_in_place(|| server.restart()).unwrap();
    }
    load.succeeds().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgets_its_scripts_under_load_learns_them_again() {
    let server = test_servers::Redis::start().unwrap();
    let store = Redis::connect(server.url()).await.unwrap();
    let load = Load::on(&store);
    for _ in 0..20 {
        load.succeeds().await;
        let _: String = ask(server.url(), &["SCRIPT", "FLUSH"]);
    }
    load.succeeds().await;
    load.end().await;
    let stats: String = ask(server.url(), &["INFO", "commandstats"]);
    assert!(stats.contains("cmdstat_eval:"), "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_to_a_server_that_is_away_fail_at_once_and_the_first_after_its_return_succeeds() {
    let server = test_servers::Redis::durable().unwrap();
    let store = Redis::connect(server.url()).await.unwrap();
    let key = fresh_key();
    store.insert(&key, &hour("data")).await.unwrap();
    tokio::task::block_in_place(|| server.kill()).unwrap();
    let started = Instant::now();
    for _ in 0..100 {
        let error = store.get(&key).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
        assert!(error.is_retryable());
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    tokio::task::block_in_place(|| server.restart()).unwrap();
    // The pause after an attempt that failed.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(store.get(&key).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_the_application_comes_back_too() {
    let server = test_servers::Redis::durable().unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let store = Redis::new(redis::aio::ConnectionManager::new(client).await.unwrap());
    let load = Load::on(&store);
    load.succeeds().await;
    tokio::task::block_in_place(|| server.kill()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    tokio::task::block_in_place(|| server.restart()).unwrap();
    load.succeeds().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_between_two_calls_is_not_noticed() {
    let server = test_servers::Redis::durable().unwrap();
    let store = Redis::connect(server.url()).await.unwrap();
    let key = fresh_key();
    store.insert(&key, &hour("data")).await.unwrap();
    for _ in 0..3 {
        tokio::task::block_in_place(|| server.restart()).unwrap();
        assert!(store.get(&key).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_server_is_an_error_in_time_and_brings_no_session_back() {
    let server = test_servers::Redis::start().unwrap();
    let patient = patient(server.url()).await;
    let builder = Redis::builder().timeout(Duration::from_millis(300)).connect_timeout(LONG);
    let store = builder.connect(server.url()).await.unwrap();
    let anna = owner("anna");
    let (ended, kept) = (log_in(&patient, &anna).await, log_in(&patient, &anna).await);
    let version = patient.get(&ended).await.unwrap().unwrap().meta.version;
    server.pause().unwrap();

    // A request that has read its session before, a logout, and one that only reads.
    let write = Write { expected: Some(version), ..Write::data("late") };
    for attempt in 0..3 {
        let started = Instant::now();
        let calls = tokio::join!(
            store.remove(&ended, Condition::Always, false),
            store.replace(&ended, &write),
            store.touch(&kept),
        );
        let kinds = [
            calls.0.map(drop).unwrap_err().kind(),
            calls.1.map(drop).unwrap_err().kind(),
            calls.2.map(drop).unwrap_err().kind(),
        ];
        assert_eq!(kinds, [StoreErrorKind::Unavailable; 3], "attempt {attempt}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    server.resume().unwrap();
    eventually("an answer", async || or_unavailable(store.get(&kept).await)).await;
    // What was sent while the server stalled may take place now, or not.
    let ended_since = answered!(patient.remove(&ended, Condition::Always, false).await);
    assert_ne!(ended_since, Removed::Conflict);
    for _ in 0..20 {
        assert_eq!(patient.replace(&ended, &Write::data("back")).await.unwrap(), Replaced::Missing);
        assert_eq!(patient.get(&ended).await.unwrap(), None);
    }
    assert!(patient.get(&kept).await.unwrap().is_some());
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_an_error_and_the_next_call_has_a_new_connection() {
    let server = test_servers::Redis::start().unwrap();
    let proxy = Proxy::to(server.port()).await;
    let store = Redis::connect(&proxy.url()).await.unwrap();
    let key = fresh_key();
    store
        .insert(&key, &hour("a piece of data that is longer than an answer's beginning"))
        .await
        .unwrap();
    let whole = store.get(&key).await.unwrap().unwrap();
    // Within the length, between length and bytes, within the bytes, before the very end.
    for bytes in [0, 1, 3, 5, 6, 20, 75, 100, 130] {
        proxy.cut_after(bytes);
        let error = store.get(&key).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{bytes}: {error:?}");
        let again = store.get(&key).await.unwrap().unwrap();
        assert_eq!((again.data, again.meta.version), (whole.data.clone(), whole.meta.version));
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_cut_off_is_not_sent_again() {
    let server = test_servers::Redis::start().unwrap();
    let proxy = Proxy::to(server.port()).await;
    let store = Redis::connect(&proxy.url()).await.unwrap();
    let key = fresh_key();
    let new = hour("data");
    store.insert(&key, &new).await.unwrap();
    store.replace(&key, &Write::data("first")).await.unwrap();
    proxy.cut_after(1);
    let error = store.replace(&key, &Write::data("second")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let record = store.get(&key).await.unwrap().unwrap();
    assert_eq!(record.data, "second");
    assert_eq!(record.meta.version, new.version.next().next());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_that_comes_and_goes_is_told() {
    let server = test_servers::Redis::start().unwrap();
    let store = Redis::connect(server.url()).await.unwrap();
    let events = Events::default();
    let mut told = events.subscribe();
    store.attach(&events);
    let load = |key: Key| {
        let store = store.clone();
        async move { or_unavailable(store.get(&key).await) }
    };
    load(fresh_key()).await;
    assert_eq!(told.next().await, Some(Event::Connected));
    tokio::task::block_in_place(|| server.kill()).unwrap();
    // No call is made: the store notices the end of the connection by itself.
    assert_eq!(told.next().await, Some(Event::Disconnected));
    tokio::task::block_in_place(|| server.restart()).unwrap();
    let back = tokio::spawn(async move { told.next().await });
    eventually("the news", async || {
        load(fresh_key()).await;
        back.is_finished().then_some(())
    })
    .await;
    assert_eq!(back.await.unwrap(), Some(Event::Connected));
}
