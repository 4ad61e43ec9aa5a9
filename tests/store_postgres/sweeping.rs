//! Sweepers beside each other, and beside other work.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use token_session::store::{Postgres, Store};
use token_session::{Event, Events};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::server::{fresh_name, number, run};

/// A store with so many expired rows, and its table.
async fn with_expired(rows: usize) -> (Postgres, PgPool, String) {
    let table = fresh_name();
    let pool = PgPoolOptions::new().max_connections(10);
    let pool = pool.connect(test_servers::postgres_url()).await.unwrap();
    let store = Postgres::builder().table(&table).build(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    let fill = format!(
        "INSERT INTO {table} (key, data, version, idle_ms, created_at, last_seen)
         SELECT sha256(n::text::bytea), 'data', 1, 1000, n, n FROM generate_series(1, {rows}) AS n"
    );
    run(&pool, fill).await;
    (store, pool, table)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_several_sweepers_each_row_is_freed_by_one() {
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
async fn a_row_that_somebody_holds_is_passed_over() {
    let (store, pool, table) = with_expired(10).await;
    let mut holder = pool.begin().await.unwrap();
    let hold = format!("SELECT key FROM {table} LIMIT 3 FOR UPDATE");
    let held = sqlx::query(sqlx::AssertSqlSafe(hold));
    assert_eq!(held.fetch_all(&mut *holder).await.unwrap().len(), 3);
    assert_eq!(store.sweep(100).await.unwrap(), 7);
    holder.rollback().await.unwrap();
    assert_eq!(store.sweep(100).await.unwrap(), 3);
}

#[tokio::test]
async fn a_sweep_goes_on_past_its_first_batch() {
    let (store, _, _) = with_expired(2_500).await;
    assert_eq!(store.sweep(2_200).await.unwrap(), 2_200);
    assert_eq!(store.sweep(2_200).await.unwrap(), 300);
}
