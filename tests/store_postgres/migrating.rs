//! What `migrate` creates, and what it leaves alone.

use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use test_servers::postgres_url;
use token_session::store::{self, Postgres, Store, StoreErrorKind, Write};
use tokio::task::JoinSet;

use crate::server::{Pool, admin, fresh_name, login, number, put, run};
use crate::sql_faults::BOUND;
use crate::sql_server::found;

/// The advisory lock of a migration.
const LOCK: i64 = i64::from_be_bytes(*b"token-se");

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_that_migrate_at_once_all_succeed() {
    let builder = Postgres::builder().table(fresh_name()).tell_changes(true).max_connections(1);
    let servers: JoinSet<_> = (0..24)
        .map(|_| {
            let builder = builder.clone().timeout(BOUND);
            async move { builder.connect(postgres_url()).await?.migrate().await }
        })
        .collect();
    for migrated in servers.join_all().await {
        migrated.unwrap();
    }
}

#[tokio::test]
async fn a_complete_table_is_migrated_while_it_is_locked() {
    let (admin, table) = (admin().await, fresh_name());
    let builder = Postgres::builder().table(&table).tell_changes(true);
    let store = builder.connect(postgres_url()).await.unwrap();
    store.migrate().await.unwrap();
    let mut holder = admin.begin().await.unwrap();
    let lock = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *holder).await.unwrap();
    store.migrate().await.unwrap();
    holder.rollback().await.unwrap();
}

#[tokio::test]
async fn a_migration_that_waits_for_a_writer_blocks_no_other_statement() {
    let (admin, table) = (admin().await, fresh_name());
    let builder = Postgres::builder().table(&table).timeout(BOUND);
    let store = builder.connect(postgres_url()).await.unwrap();
    store.migrate().await.unwrap();
    let (held, other) = (put(&store).await, put(&store).await);
    run(&admin, format!("DROP INDEX {table}_owner")).await;
    let mut holder = admin.begin().await.unwrap();
    let hold = format!("UPDATE {table} SET data = data");
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut *holder).await.unwrap();
    let migrating = tokio::spawn({
        let store = store.clone();
        async move { store.migrate().await }
    });
    let indexes = format!("SELECT count(*) FROM pg_indexes WHERE tablename = '{table}'");
    let waits = format!(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass"
    );
    let begun = Instant::now();
    while number(&admin, waits.clone()).await == 0 {
        assert!(begun.elapsed() < BOUND, "nothing waits for the table");
    }
    // Both rows are locked, and other statements still run: behind a queued index, none would.
    for _ in 0..20 {
        put(&store).await;
        assert!(found(&store, &held).await.is_some());
    }
    assert_eq!(number(&admin, indexes.clone()).await, 2);
    holder.rollback().await.unwrap();
    migrating.await.unwrap().unwrap();
    assert_eq!(number(&admin, indexes).await, 3);
    store.replace(&other, &Write::data("new")).await.unwrap();
}

#[tokio::test]
async fn a_table_that_stays_locked_is_unavailable() {
    let (admin, table) = (admin().await, fresh_name());
    let builder = Postgres::builder().table(&table).timeout(Duration::from_millis(500));
    let store = builder.connect(postgres_url()).await.unwrap();
    store.migrate().await.unwrap();
    run(&admin, format!("DROP INDEX {table}_owner")).await;
    let mut holder = admin.begin().await.unwrap();
    let lock = format!("LOCK TABLE {table} IN ROW EXCLUSIVE MODE");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *holder).await.unwrap();
    let error = store.migrate().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    holder.rollback().await.unwrap();
    store.migrate().await.unwrap();
}

#[tokio::test]
async fn a_migration_waits_for_another_one_longer_than_a_statement_may_take() {
    let admin = admin().await;
    let builder = Postgres::builder().table(fresh_name()).timeout(Duration::from_millis(300));
    let store = builder.connect(postgres_url()).await.unwrap();
    let mut other = admin.begin().await.unwrap();
    let lock = format!("SELECT pg_advisory_xact_lock({LOCK})");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *other).await.unwrap();
    let migrating = tokio::spawn(async move { store.migrate().await });
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'
         AND query LIKE '%pg_advisory_xact_lock({LOCK})%'
         AND clock_timestamp() - query_start > interval '900 ms'"
    );
    let begun = Instant::now();
    while number(&admin, waits.clone()).await == 0 {
        assert!(begun.elapsed() < BOUND, "nothing waits so long");
        assert!(!migrating.is_finished());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    other.rollback().await.unwrap();
    migrating.await.unwrap().unwrap();
}

/// Makes the server take longer to create an index of this table than a statement of the store may take: the
/// creation waits for a lock that the test holds.
async fn slow_index(admin: &Pool, table: &str, gate: i64) {
    let wait = format!(
        "CREATE FUNCTION {table}_slow() RETURNS event_trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands()
                        WHERE object_identity LIKE '%.{table}\\_%') THEN
                 SET LOCAL lock_timeout = 0;
                 PERFORM pg_advisory_xact_lock_shared({gate});
             END IF;
         END $$;
         CREATE EVENT TRIGGER {table}_slow ON ddl_command_end WHEN TAG IN ('CREATE INDEX')
         EXECUTE FUNCTION {table}_slow()"
    );
    run(admin, wait).await;
}

async fn an_index_may_take_longer_than_a_statement(prepared: bool) {
    let (admin, table) = (admin().await, fresh_name());
    let builder = Postgres::builder().table(&table).prepared_statements(prepared);
    let store = builder.timeout(Duration::from_millis(300)).connect(postgres_url()).await.unwrap();
    let gate = i64::from(std::process::id()) << 1 | i64::from(prepared);
    slow_index(&admin, &table, gate).await;
    let mut other = admin.begin().await.unwrap();
    let lock = format!("SELECT pg_advisory_xact_lock({gate})");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *other).await.unwrap();
    let migrating = tokio::spawn(async move { store.migrate().await });
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE wait_event = 'advisory' AND query LIKE '%CREATE TABLE%{table}%'
         AND pid <> pg_backend_pid() AND clock_timestamp() - query_start > interval '900 ms'"
    );
    let begun = Instant::now();
    while number(&admin, waits.clone()).await == 0 {
        assert!(begun.elapsed() < BOUND, "nothing takes so long");
        assert!(!migrating.is_finished(), "the index is cut off");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    other.rollback().await.unwrap();
    migrating.await.unwrap().unwrap();
    run(&admin, format!("DROP EVENT TRIGGER {table}_slow")).await;
    let indexes = format!("SELECT count(*) FROM pg_indexes WHERE tablename = '{table}'");
    assert_eq!(number(&admin, indexes).await, 3);
}

#[tokio::test]
async fn an_index_may_take_longer_than_a_prepared_statement() {
    an_index_may_take_longer_than_a_statement(true).await;
}

#[tokio::test]
async fn an_index_may_take_longer_than_a_statement_that_is_not_prepared() {
    an_index_may_take_longer_than_a_statement(false).await;
}

#[tokio::test]
async fn missing_and_older_triggers_are_created_again() {
    let (admin, table) = (admin().await, fresh_name());
    let builder = Postgres::builder().table(&table).tell_changes(true);
    let store = builder.build(admin.clone()).unwrap();
    store.migrate().await.unwrap();
    let triggers = format!(
        "SELECT count(*) FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
         WHERE tgrelid = '{table}'::regclass AND prosrc LIKE '%pg_notify%'"
    );
    run(&admin, format!("DROP TRIGGER {table}_written ON {table}")).await;
    store.migrate().await.unwrap();
    assert_eq!(number(&admin, triggers.clone()).await, 3);
    let older = format!(
        "CREATE OR REPLACE FUNCTION {table}_changed() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN RETURN NULL; END $$"
    );
    run(&admin, older).await;
    store.migrate().await.unwrap();
    assert_eq!(number(&admin, triggers).await, 3);
}

#[tokio::test]
async fn a_role_that_may_not_create_connects_by_url_to_a_table_that_is_there() {
    let (admin, role, schema) = (admin().await, fresh_name(), fresh_name());
    let url = login(&admin, &role).await;
    let grants = format!(
        "CREATE SCHEMA {schema};
         GRANT USAGE ON SCHEMA {schema} TO {role};
         ALTER ROLE {role} SET search_path = {schema}"
    );
    run(&admin, grants).await;
    let error = store::connect(&url).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
    let owner = Postgres::builder().schema(&schema).build(admin.clone()).unwrap();
    owner.migrate().await.unwrap();
    let grant =
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.token_sessions TO {role}");
    run(&admin, grant).await;
    let store = store::connect(&url).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 0);
}
