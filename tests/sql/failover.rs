//! Pooled connections that have become unusable, on every server that speaks SQL.

use std::pin::pin;
use std::sync::Arc;

use futures_util::poll;
use sqlx::Executor;
use token_session::store::{
    Condition, Listing, Load, NewProof, NewRecord, OwnerLimit, Owners, Replaced, Store, Write,
};
use token_session::{Claim, Lifetime, Owner, Proof};

use crate::gate::Gate;
use crate::server::{
    Builder, PLAIN, Pool, PoolOptions, READ_ONLY, RESET, Sql, fresh_name, put, random_key,
    shared_url,
};
use crate::sql_server::{TOUCHING, found};

const CONNECTIONS: u32 = 4;

async fn store() -> (Sql, Pool) {
    let pool = PoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
    let pool = pool.connect(shared_url()).await.unwrap();
    let store = Sql::builder().table(fresh_name()).build(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    (store, pool)
}

/// Runs a statement on as many connections as the pool may have.
pub async fn on_all(pool: &Pool, connections: u32, sql: &str) {
    let mut all = Vec::new();
    for _ in 0..connections {
        all.push(pool.acquire().await.unwrap());
    }
    for connection in &mut all {
        let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
        sql.execute(&mut **connection).await.unwrap();
    }
    drop(all);
    while pool.num_idle() < connections as usize {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn connections_to_a_server_that_became_read_only_are_replaced() {
    let (store, pool) = store().await;
    let owner = Owner::new("Anna").unwrap();
    let hour = Lifetime::idle_secs(3_600).unwrap();
    let limit = Some(OwnerLimit::evict_oldest(3.try_into().unwrap()));
    let [first, second] = [1, 2].map(|byte| Proof::from_bytes([byte; Proof::LEN]));
    let proof = Some(first);
    let plain = NewRecord { owner: Some(&owner), proof, ..NewRecord::new("data", hour) };
    let limited = NewRecord { limit, ..plain.clone() };
    let rotated = NewProof::Rotated { next: second, sealed: "the next secret".into() };
    let rotation = Write { proof: Some(rotated), ..Write::default() };
    let claim = Claim::new(second, std::time::Duration::ZERO);
    let key = random_key();
    macro_rules! holds {
        ($call:expr) => {{
            on_all(&pool, CONNECTIONS, READ_ONLY).await;
            $call.await.unwrap()
        }};
    }
    holds!(store.insert(&key, &plain));
    holds!(store.insert(&random_key(), &limited));
    assert!(holds!(store.load(&key, &Load::new())).live().is_some());
    assert!(holds!(store.load(&key, &TOUCHING)).live().is_some());
    assert!(matches!(holds!(store.replace(&key, &Write::data("new"))), Replaced::Done(_)));
    assert!(matches!(holds!(store.replace(&key, &rotation)), Replaced::Done(_)));
    let confirming = Load { claim: Some(&claim), ..Load::new() };
    let confirmed = holds!(store.load(&key, &confirming)).live().unwrap();
    assert!(confirmed.proofs.previous.unwrap().confirmed_at.is_some());
    assert_eq!(holds!(store.alive(std::slice::from_ref(&key))), [true]);
    assert!(holds!(store.remove(&key, Condition::Always, false)).is_done());
    let key = put(&store).await;
    assert!(holds!(store.remove(&key, Condition::Always, true)).record().is_some());
    holds!(store.remove_owned(&owner, None));
    holds!(store.sweep(10));
    holds!(store.clear());
}

/// One call gets two connections that became read-only, each while it waits for one, so the pool has no
/// idle connection when the call asks. In between, another caller opens the new connection.
pub async fn waits_for_two_read_only_connections(builder: Builder) {
    let pool = PoolOptions::new().max_connections(2).test_before_acquire(false);
    let pool = pool.connect(shared_url()).await.unwrap();
    let builder = builder.table(fresh_name());
    builder.clone().connect(shared_url()).await.unwrap().migrate().await.unwrap();
    let store = builder.build(pool.clone()).unwrap();
    let mut old = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    for connection in &mut old {
        connection.execute(sqlx::raw_sql(READ_ONLY)).await.unwrap();
    }
    let [first, second] = old;
    let mut call = pin!(put(&store));
    assert!(poll!(&mut call).is_pending());
    let mut other = pin!(pool.acquire());
    assert!(poll!(&mut other).is_pending());
    drop(first);
    // The call runs on the first one, is refused and closes it: then the other caller gets its own.
    let made = tokio::select! {
        biased;
        _ = &mut call => panic!("the other connection is held"),
        made = other => made.unwrap(),
    };
    assert!(poll!(&mut call).is_pending());
    drop(second);
    let key = call.await;
    drop(made);
    assert!(found(&store, &key).await.is_some());
}

#[tokio::test]
async fn a_call_that_waits_for_its_connections_outlives_two_that_became_read_only() {
    waits_for_two_read_only_connections(Sql::builder()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_callers_are_all_served_after_a_failover() {
    let (store, pool) = store().await;
    let store = Arc::new(store);
    on_all(&pool, CONNECTIONS, READ_ONLY).await;
    let calls: tokio::task::JoinSet<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(&store);
            async move { put(&store).await }
        })
        .collect();
    assert_eq!(calls.join_all().await.len(), 20);
    assert_eq!(store.count().await.unwrap(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_a_pooler_resets_costs_no_error() {
    let (gate, url) = Gate::before(shared_url()).await;
    let pool = PoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = pool.connect(&format!("{url}{PLAIN}")).await.unwrap();
    let store = Sql::builder().table(fresh_name()).build(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    for _ in 0..3 {
        let key = put(&store).await;
        assert!(found(&store, &key).await.is_some());
        on_all(&pool, 1, "SELECT 1").await;
        gate.slip_in(RESET).await;
    }
    let key = put(&store).await;
    assert!(found(&store, &key).await.is_some());
}
