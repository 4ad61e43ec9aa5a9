//! Names, migrations and sweeps.

use std::collections::HashSet;
use std::time::Duration;

use token_session::store::{Listing, Sqlite, Store, StoreErrorKind};
use token_session::{Event, Events};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::folder::{Folder, find, put, random_key, run};

#[tokio::test]
async fn any_characters_may_be_in_a_table_name() {
    let folder = Folder::new();
    for name in ["we\"ird; drop", "{sessions}{meta}", "Übung 'x' --", "?1", "select", " "] {
        let store = folder.store("sessions.db", Sqlite::builder().table(name)).await;
        store.migrate().await.unwrap();
        let key = put(&store).await;
        assert!(find(&store, &key).await.is_some());
        assert_eq!(store.count().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn an_invalid_table_name_is_refused() {
    let folder = Folder::new();
    for name in ["", "a\0b", &"x".repeat(201)] {
        let builder = Sqlite::builder().table(name);
        let error = builder.connect(&folder.url("sessions.db")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_start_at_the_same_time_may_all_migrate() {
    let folder = Folder::new();
    let url = folder.url("sessions.db");
    let starts: JoinSet<_> = (0..10)
        .map(|_| {
            let url = url.clone();
            async move {
                let builder = Sqlite::builder().timeout(Duration::from_secs(60));
                let store = builder.connect(&url).await?;
                store.migrate().await
            }
        })
        .collect();
    for started in starts.join_all().await {
        started.unwrap();
    }
}

#[tokio::test]
async fn a_sweep_frees_expired_rows_and_tells_an_event_for_each() {
    let folder = Folder::new();
    let store = folder.store("sessions.db", Sqlite::builder()).await;
    let alive = put(&store).await;
    let mut beside = folder.beside("sessions.db").await;
    let fill =
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 800)
        INSERT INTO token_sessions (key, data, version, idle_ms, created_at, last_seen)
        SELECT unhex(format('%032x', n)), 'data', 1, 1000, n, n FROM numbers";
    run(&mut beside, fill).await;
    let events = Events::default();
    let mut told = events.subscribe();
    store.attach(&events);
    assert_eq!(store.sweep(700).await.unwrap(), 700);
    assert_eq!(store.sweep(700).await.unwrap(), 100);
    assert_eq!(store.sweep(700).await.unwrap(), 0);
    assert!(find(&store, &alive).await.is_some());
    let mut keys = HashSet::new();
    for _ in 0..800 {
        match timeout(Duration::from_secs(10), told.next()).await {
            Ok(Some(Event::Expired { key })) => assert!(keys.insert(key.to_string())),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn alive_answers_many_keys_in_their_order() {
    let folder = Folder::new();
    let store = folder.store("sessions.db", Sqlite::builder()).await;
    let live = put(&store).await;
    let keys: Vec<_> =
        (0..3_000).map(|n| if n % 3 == 0 { live.clone() } else { random_key() }).collect();
    let alive = store.alive(&keys).await.unwrap();
    assert_eq!(alive, keys.iter().map(|key| *key == live).collect::<Vec<_>>());
}
