//! Concurrent sweepers, and a sweep beside other work, on every server that speaks SQL.

use std::collections::HashSet;
use std::time::Duration;

use token_session::store::{Listing, Store};
use token_session::{Event, Events};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::server::{
    HOLD_ONE, Pool, PoolOptions, Sql, expired_rows, fresh_name, number, shared_url,
};

/// A store with this many expired rows, and its table.
async fn with_expired(rows: usize) -> (Sql, Pool, String) {
    let table = fresh_name();
    let pool = PoolOptions::new().max_connections(10);
    let pool = pool.connect(shared_url()).await.unwrap();
    let store = Sql::builder().table(&table).build(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    expired_rows(&pool, &table, rows).await;
    (store, pool, table)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_row_is_freed_by_one_of_several_sweepers() {
    const ROWS: usize = 900;
    let (store, pool, table) = with_expired(ROWS).await;
    let events = Events::default();
    let mut told = events.subscribe();
    store.attach(&events);
    let sweepers: JoinSet<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            async move {
                let mut freed = 0;
                for _ in 0..100 {
                    freed += store.sweep(20).await.unwrap();
                }
                freed
            }
        })
        .collect();
    assert_eq!(sweepers.join_all().await.iter().sum::<usize>(), ROWS);
    assert_eq!(number(&pool, format!("SELECT count(*) FROM {table}")).await, 0);
    let mut keys = HashSet::new();
    for _ in 0..ROWS {
        match timeout(Duration::from_secs(10), told.next()).await {
            Ok(Some(Event::Expired { key })) => assert!(keys.insert(key.to_string())),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_locked_row_is_skipped() {
    let (store, pool, table) = with_expired(10).await;
    let mut holder = pool.begin().await.unwrap();
    let hold = HOLD_ONE.replace("{table}", &table);
    let held = sqlx::query(sqlx::AssertSqlSafe(hold));
    assert_eq!(held.fetch_all(&mut *holder).await.unwrap().len(), 1);
    assert_eq!(store.sweep(100).await.unwrap(), 9);
    holder.rollback().await.unwrap();
    assert_eq!(store.sweep(100).await.unwrap(), 1);
}

#[tokio::test]
async fn a_sweep_goes_on_past_its_first_batch() {
    let (store, _, _) = with_expired(2_500).await;
    assert_eq!(store.sweep(2_200).await.unwrap(), 2_200);
    assert_eq!(store.sweep(2_200).await.unwrap(), 300);
}
