//! What happens when the server, the pool or a caller fails, on every server that speaks SQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use token_session::store::{Listing, Load, NewRecord, OwnerLimit, Owners, Store, StoreErrorKind};
use token_session::{Key, Lifetime, Owner};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::server::{
    PoolOptions, Server, Sql, fresh_name, fresh_store, put, random_key, shared_url,
};
use crate::sql_server::found;

/// Far longer than anything here takes, and short enough to end a test that hangs.
pub const BOUND: Duration = Duration::from_secs(60);

fn hour() -> Lifetime {
    Lifetime::idle_secs(3_600).unwrap()
}

/// Waits until the store answers again.
pub async fn resumes(store: &Sql) {
    let begun = Instant::now();
    while let Err(error) = store.count().await {
        assert!(error.is_retryable(), "{error}");
        assert!(begun.elapsed() < BOUND, "the service does not resume: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Inserts, despite errors, until there are `enough` answers, and returns the keys that were answered.
async fn insert_until(store: Sql, answers: Arc<AtomicUsize>, enough: usize) -> Vec<Key> {
    let mut answered = Vec::new();
    while answers.load(Ordering::SeqCst) < enough {
        let key = random_key();
        match store.insert(&key, &NewRecord::new("data", hour())).await {
            Ok(_) => {
                answers.fetch_add(1, Ordering::SeqCst);
                answered.push(key);
            }
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_is_killed_loses_nothing_that_was_answered() {
    const KILLS: usize = 3;
    const BETWEEN: usize = 200;
    let server = Arc::new(Server::durable().unwrap());
    let store = Sql::builder().timeout(Duration::from_secs(2));
    let store = store.connect(server.url()).await.unwrap();
    store.migrate().await.unwrap();
    let answers = Arc::new(AtomicUsize::new(0));
    let enough = BETWEEN * (KILLS + 1);
    let writers: JoinSet<_> =
        (0..8).map(|_| insert_until(store.clone(), Arc::clone(&answers), enough)).collect();
    for kill in 1..=KILLS {
        let begun = Instant::now();
        while answers.load(Ordering::SeqCst) < kill * BETWEEN {
            assert!(begun.elapsed() < BOUND, "the writers get no answers");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let server = Arc::clone(&server);
        tokio::task::spawn_blocking(move || server.restart().unwrap()).await.unwrap();
        resumes(&store).await;
    }
    let answered: Vec<Key> = writers.join_all().await.into_iter().flatten().collect();
    assert!(answered.len() >= enough);
    // On a pool of its own: the other one may still have a connection from before the last kill.
    let store = Sql::connect(server.url()).await.unwrap();
    for key in &answered {
        assert!(found(&store, key).await.is_some(), "{key} is lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_hangs_is_an_error_in_time() {
    let server = Server::start().unwrap();
    let pool = PoolOptions::new().max_connections(4).connect(server.url()).await.unwrap();
    let patient = Sql::new(pool.clone());
    patient.migrate().await.unwrap();
    let key = put(&patient).await;
    let store = Sql::builder().timeout(Duration::from_millis(500)).build(pool).unwrap();
    server.pause().unwrap();
    let calls: JoinSet<_> = (0..20)
        .map(|_| {
            let (store, key) = (store.clone(), key.clone());
            async move { timeout(BOUND, store.load(&key, &Load::new())).await }
        })
        .collect();
    for answer in calls.join_all().await {
        let error = answer.expect("no call hangs").unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    }
    server.resume().unwrap();
    resumes(&store).await;
    assert!(found(&patient, &key).await.is_some());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let server = Server::start().unwrap();
    let pool = PoolOptions::new().connect(server.url()).await.unwrap();
    let store = Sql::builder().timeout(Duration::from_secs(1)).build(pool).unwrap();
    store.migrate().await.unwrap();
    server.kill().unwrap();
    for _ in 0..3 {
        let error = store.count().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    }
    let error = Sql::connect(server.url()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn an_exhausted_pool_is_unavailable_and_recovers() {
    let pool = PoolOptions::new().max_connections(1);
    let pool = pool.connect(shared_url()).await.unwrap();
    let builder = Sql::builder().table(fresh_name()).timeout(Duration::from_millis(200));
    let store = builder.build(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    let held = pool.acquire().await.unwrap();
    let error = timeout(BOUND, store.count()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    drop(held);
    resumes(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_login_that_is_given_up_leaves_its_owner_unlocked() {
    let store = Arc::new(fresh_store(Sql::builder()).await);
    let owner = Owner::new("Anna").unwrap();
    let limit = Some(OwnerLimit::evict_oldest(3.try_into().unwrap()));
    let record = NewRecord { owner: Some(&owner), limit, ..NewRecord::new("data", hour()) };
    for round in 0..200 {
        let given_up = Duration::from_micros(20 * round);
        let key = random_key();
        let _ = timeout(given_up, store.insert(&key, &record)).await;
    }
    for _ in 0..4 {
        let key = random_key();
        let inserted = timeout(BOUND, store.insert(&key, &record)).await;
        inserted.expect("the owner is unlocked").unwrap();
        assert!(found(&store, &key).await.is_some());
    }
    assert_eq!(store.owned(&owner, None, 10, false).await.unwrap().records.len(), 3);
}
