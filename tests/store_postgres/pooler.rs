//! Behind a real PgBouncer.

use std::str::FromStr;
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use test_servers::{PgBouncer, PoolMode, postgres_url};
use token_session::store::conformance::{self as conform, Harness};
use token_session::store::{
    Change, Condition, Found, Load, NewRecord, OwnerLimit, Owners, Postgres, PostgresBuilder,
    Removed, Store, StoreErrorKind, Watch,
};
use token_session::{Lifetime, Owner};

use crate::on_every_store::{self, On};
use crate::server::{admin, fresh_name, number, put, random_key, run};
use crate::sql_faults::BOUND;
use crate::sql_server::found;

/// Few enough that all clients share them.
const SERVER_CONNECTIONS: u32 = 3;

/// A pooler that the tests of this file share.
fn pooler(mode: PoolMode) -> &'static PgBouncer {
    static SESSION: OnceLock<PgBouncer> = OnceLock::new();
    static TRANSACTION: OnceLock<PgBouncer> = OnceLock::new();
    let (cell, connections) = match mode {
        PoolMode::Session => (&SESSION, 100),
        _ => (&TRANSACTION, SERVER_CONNECTIONS),
    };
    cell.get_or_init(|| PgBouncer::start(postgres_url(), mode, connections).unwrap())
}

fn builder(mode: PoolMode) -> PostgresBuilder {
    let builder = Postgres::builder().table(fresh_name()).timeout(BOUND);
    builder.prepared_statements(mode == PoolMode::Session)
}

/// Stores of several pools, which share the server connections of one pooler.
struct Behind(PoolMode);

impl Harness for Behind {
    type Store = Postgres;

    async fn store(&self) -> Postgres {
        let store = builder(self.0).connect(pooler(self.0).url()).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn races(&self) -> usize {
        50
    }
}

token_session::conformance_suite!(Behind(PoolMode::Transaction));

mod codes {
    use super::*;

    crate::on_every_store::codes_on_store!(Behind(PoolMode::Transaction), rounds: 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_session_mode_statements_may_be_prepared() {
    let harness = &Behind(PoolMode::Session);
    conform::limits::racing_inserts_that_evict_leave_no_more_than_the_limit(harness).await;
    conform::replace::one_of_racing_writes_that_expect_a_version_is_done(harness).await;
    conform::ends::what_the_owner_had_ends_in_every_race(harness).await;
    conform::handover::one_of_racing_handovers_is_done(harness).await;
    let on = On { harness: Behind(PoolMode::Session), rounds: 5 };
    on_every_store::codes::one_of_racing_right_codes_is_redeemed(&on).await;
}

/// A pool of one connection, with only the settings that the pooler accepts.
async fn pool_of_one(url: &str) -> PgPool {
    let options = PgConnectOptions::from_str(url).unwrap().extra_float_digits(None);
    PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap()
}

/// A store beside the pooler, and its table.
async fn beside() -> (Postgres, String) {
    let table = fresh_name();
    let store = Postgres::builder().table(&table).build(admin().await).unwrap();
    store.migrate().await.unwrap();
    (store, table)
}

#[tokio::test]
async fn a_load_that_gets_another_clients_removal_deletes_nothing() {
    let (store, table) = beside().await;
    let key = put(&store).await;
    let pooler = PgBouncer::start(postgres_url(), PoolMode::Transaction, 1).unwrap();
    let client = || async {
        let pool = pool_of_one(pooler.url()).await;
        Postgres::builder().table(&table).build(pool).unwrap()
    };
    let (loads, takes, other) = (client().await, client().await, pool_of_one(pooler.url()).await);
    assert!(found(&loads, &key).await.is_some());
    // The one server connection loses the load's statement, and the removal's gets its name.
    run(&other, "DEALLOCATE ALL").await;
    assert_eq!(
        takes.remove(&random_key(), Condition::Always, true).await.unwrap(),
        Removed::Missing
    );
    let loaded = loads.load(&key, &Load::new()).await;
    assert!(found(&store, &key).await.is_some(), "the load removed it");
    // It fails, or finds its own statement on another connection; it never answers `Missing`.
    assert!(!matches!(loaded, Ok(Found::Missing)));
}

#[tokio::test]
async fn an_option_of_the_url_is_enough_in_transaction_mode() {
    let (store, table) = beside().await;
    let key = put(&store).await;
    let url = format!("{}?statement-cache-capacity=0", pooler(PoolMode::Transaction).url());
    let client = || Postgres::builder().table(&table).connect(&url);
    for _ in 0..SERVER_CONNECTIONS {
        let (one, other) = (client().await.unwrap(), client().await.unwrap());
        assert_eq!(
            other.remove(&random_key(), Condition::Always, true).await.unwrap(),
            Removed::Missing
        );
        assert!(found(&one, &key).await.is_some());
    }
}

#[tokio::test]
async fn no_setting_reaches_another_client_in_transaction_mode() {
    let store = Behind(PoolMode::Transaction).store().await;
    let owner = Owner::new("Anna").unwrap();
    let limit = Some(OwnerLimit::reject(3.try_into().unwrap()));
    let hour = Lifetime::idle_secs(3_600).unwrap();
    let record = NewRecord { owner: Some(&owner), limit, ..NewRecord::new("data", hour) };
    let other = pool_of_one(pooler(PoolMode::Transaction).url()).await;
    for _ in 0..SERVER_CONNECTIONS {
        store.insert(&random_key(), &record).await.unwrap();
        let settings = "SELECT count(*) FROM pg_settings WHERE source = 'session'
                        AND name IN ('statement_timeout', 'bytea_output',
                                     'idle_in_transaction_session_timeout')";
        let set: Vec<_> = sqlx::raw_sql(settings).fetch_all(&other).await.unwrap();
        assert_eq!(sqlx::Row::get::<i64, _>(&set[0], 0), 0);
    }
}

#[tokio::test]
async fn the_server_ends_a_statement_by_itself_in_transaction_mode() {
    let admin = admin().await;
    let (patient, table) = beside().await;
    let key = put(&patient).await;
    let store = Postgres::builder().table(&table).timeout(Duration::from_secs(3));
    let store = store.prepared_statements(false).connect(pooler(PoolMode::Transaction).url());
    let store = store.await.unwrap();
    let mut holder = admin.begin().await.unwrap();
    let hold = format!("SELECT key FROM {table} FOR UPDATE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(hold)).execute(&mut *holder).await.unwrap();
    let error = store.remove(&key, Condition::Always, true).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event_type = 'Lock'
         AND query LIKE '%{table}%' AND pid <> pg_backend_pid()"
    );
    let begun = Instant::now();
    while number(&admin, waiting.clone()).await > 0 {
        assert!(begun.elapsed() < BOUND);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    holder.rollback().await.unwrap();
    assert!(found(&patient, &key).await.is_some());
}

#[tokio::test]
async fn statement_mode_refuses_what_needs_a_transaction() {
    let pooler = PgBouncer::start(postgres_url(), PoolMode::Statement, 1).unwrap();
    let (_, table) = beside().await;
    let store = Postgres::builder().table(&table).prepared_statements(false);
    let store = store.connect(pooler.url()).await.unwrap();
    let owner = Owner::new("Anna").unwrap();
    let limit = Some(OwnerLimit::reject(3.try_into().unwrap()));
    let hour = Lifetime::idle_secs(3_600).unwrap();
    let record = NewRecord { owner: Some(&owner), limit, ..NewRecord::new("data", hour) };
    store.insert(&random_key(), &record).await.unwrap_err();
    assert!(store.owned(&owner, None, 10, false).await.unwrap().records.is_empty());
}

/// A store that tells its changes, beside the pooler.
async fn telling() -> (Postgres, PostgresBuilder) {
    let builder = Postgres::builder().table(fresh_name()).tell_changes(true);
    let store = builder.clone().build(admin().await).unwrap();
    store.migrate().await.unwrap();
    (store, builder)
}

#[tokio::test]
async fn changes_are_told_in_session_mode() {
    let (store, builder) = telling().await;
    let key = put(&store).await;
    let watcher = builder.connect(pooler(PoolMode::Session).url()).await.unwrap();
    let (tell, told) = channel();
    let _watching =
        Watch::watch(&watcher, Arc::new(move |change| drop(tell.send(change)))).await.unwrap();
    store.remove(&key, Condition::Always, true).await.unwrap();
    let first = tokio::task::spawn_blocking(move || told.recv_timeout(BOUND));
    assert!(matches!(first.await.unwrap(), Ok(Change::Record(told)) if told == key));
}

#[tokio::test]
async fn a_watch_in_transaction_mode_is_refused() {
    let (_, builder) = telling().await;
    let watcher = builder.prepared_statements(false).timeout(Duration::from_secs(1));
    let watcher = watcher.connect(pooler(PoolMode::Transaction).url()).await.unwrap();
    let error = Watch::watch(&watcher, Arc::new(|_| ())).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
}
