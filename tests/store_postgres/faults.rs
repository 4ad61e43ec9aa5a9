//! What happens when PostgreSQL fails in its own ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgPool, PgPoolOptions};
use token_session::TokenSession;
use token_session::store::compat::{ConnectPgSimple, Shape};
use token_session::store::{
    Change, Condition, Listing, Load, Postgres, Store, StoreErrorKind, Watch, Write,
};

use crate::failover::on_all;
use crate::server::{READ_ONLY, admin, fresh_name, login, put, run};
use crate::sql_faults::BOUND;
use crate::sql_server::found;

#[tokio::test]
async fn a_full_server_is_unavailable() {
    let admin = admin().await;
    let role = fresh_name();
    let url = login(&admin, &role).await;
    run(&admin, format!("ALTER ROLE {role} CONNECTION LIMIT 0")).await;
    let builder = Postgres::builder().timeout(Duration::from_millis(500));
    let error = builder.connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_statement_that_waits_too_long_is_ended_by_the_server() {
    let admin = admin().await;
    let table = fresh_name();
    let wide = Postgres::builder().table(&table);
    let wide = wide.connect(test_servers::postgres_url()).await.unwrap();
    wide.migrate().await.unwrap();
    let key = put(&wide).await;
    // The store's own patience would end later than the server's.
    let pool = PgPoolOptions::new().max_connections(2).after_connect(|connection, _| {
        Box::pin(async move {
            let limit = sqlx::query("SET statement_timeout = 1000");
            limit.execute(connection).await.map(drop)
        })
    });
    let pool = pool.connect(test_servers::postgres_url()).await.unwrap();
    let store = Postgres::builder().table(&table).timeout(BOUND).build(pool).unwrap();
    let mut holder = admin.begin().await.unwrap();
    let hold = format!("SELECT key FROM {table} FOR UPDATE");
    let hold = sqlx::query(sqlx::AssertSqlSafe(hold));
    hold.execute(&mut *holder).await.unwrap();
    let error = store.replace(&key, &Write::data("new")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    // A read does not wait.
    assert!(found(&store, &key).await.is_some());
    holder.rollback().await.unwrap();
    store.replace(&key, &Write::data("new")).await.unwrap();
}

#[tokio::test]
async fn connect_tells_the_server_its_patience() {
    let admin = admin().await;
    let table = fresh_name();
    let patient = Postgres::builder().table(&table).build(admin.clone()).unwrap();
    patient.migrate().await.unwrap();
    let key = put(&patient).await;
    let store = Postgres::builder().table(&table).timeout(Duration::from_secs(3));
    let store = store.connect(test_servers::postgres_url()).await.unwrap();
    let mut holder = admin.begin().await.unwrap();
    let hold = format!("SELECT key FROM {table} FOR UPDATE");
    let hold = sqlx::query(sqlx::AssertSqlSafe(hold));
    hold.execute(&mut *holder).await.unwrap();
    let error = store.remove(&key, Condition::Always, true).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    // No statement still waits for the row; it would remove it when the holder ends.
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event_type = 'Lock'
         AND query LIKE '%{table}%' AND pid <> pg_backend_pid()"
    );
    let begun = Instant::now();
    while crate::server::number(&admin, waiting.clone()).await > 0 {
        assert!(begun.elapsed() < BOUND);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    holder.rollback().await.unwrap();
    assert!(found(&patient, &key).await.is_some());
}

#[tokio::test]
async fn a_damaged_row_is_an_error_that_names_it() {
    let admin = admin().await;
    let table = fresh_name();
    let store = Postgres::builder().table(&table).build(admin.clone()).unwrap();
    store.migrate().await.unwrap();
    let unproved = "ALTER TABLE {table} DROP CONSTRAINT {table}_proof_check";
    run(&admin, unproved.replace("{table}", &table)).await;
    for damage in
        ["owner = E'\\n'", "proof = 'short'", "idle_ms = 9000000000000000", "created_at = -1"]
    {
        let key = put(&store).await;
        run(&admin, format!("UPDATE {table} SET {damage}")).await;
        let error = store.load(&key, &Load::new()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{damage}: {error}");
        assert!(error.to_string().contains(&key.to_string()), "{damage}: {error}");
        store.clear().await.unwrap();
    }
}

#[tokio::test]
async fn a_table_of_other_columns_is_refused() {
    let admin = admin().await;
    let table = fresh_name();
    let store = Postgres::builder().table(&table).build(admin.clone()).unwrap();
    store.migrate().await.unwrap();
    let key = put(&store).await;
    run(&admin, format!("ALTER TABLE {table} ALTER version TYPE integer USING 1")).await;
    let error = store.load(&key, &Load::new()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
    run(&admin, format!("ALTER TABLE {table} DROP sealed")).await;
    let error = store.load(&key, &Load::new()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
}

/// A store whose statements are prepared on each of its connections, and its pool.
async fn with_prepared_statements(table: &str) -> (Postgres, PgPool) {
    let pool = PgPoolOptions::new().max_connections(3).test_before_acquire(false);
    let pool = pool.connect(test_servers::postgres_url()).await.unwrap();
    let store = Postgres::builder().table(table).build(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    on_all(&pool, 3, "SELECT 1").await;
    for _ in 0..6 {
        put(&store).await;
        found(&store, &crate::server::random_key()).await;
    }
    (store, pool)
}

#[tokio::test]
async fn a_prepared_statement_that_the_server_lost_costs_no_error() {
    let (store, pool) = with_prepared_statements(&fresh_name()).await;
    on_all(&pool, 3, "DEALLOCATE ALL").await;
    for _ in 0..6 {
        let key = put(&store).await;
        assert!(found(&store, &key).await.is_some());
    }
}

#[tokio::test]
async fn a_migration_of_the_table_costs_no_error() {
    let (table, admin) = (fresh_name(), admin().await);
    let (store, _pool) = with_prepared_statements(&table).await;
    run(&admin, format!("ALTER TABLE {table} ALTER owner TYPE varchar COLLATE \"C\"")).await;
    for _ in 0..6 {
        let key = put(&store).await;
        assert!(found(&store, &key).await.is_some());
    }
}

#[tokio::test]
async fn a_statement_that_another_client_has_prepared_under_the_same_name_costs_no_error() {
    let made = Arc::new(AtomicUsize::new(0));
    let pool = PgPoolOptions::new().max_connections(1).after_connect(move |connection, _| {
        let number = made.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if number == 0 {
                sqlx::raw_sql("PREPARE sqlx_s_1 AS SELECT 1").execute(connection).await?;
            }
            Ok(())
        })
    });
    let pool = pool.connect(test_servers::postgres_url()).await.unwrap();
    let store = Postgres::builder().table(fresh_name()).build(pool).unwrap();
    store.migrate().await.unwrap();
    put(&store).await;
}

#[tokio::test]
async fn a_call_whose_backend_is_ended_is_unavailable_and_the_next_one_is_served() {
    let (table, admin) = (fresh_name(), admin().await);
    let pool = PgPoolOptions::new().max_connections(1);
    let pool = pool.connect(test_servers::postgres_url()).await.unwrap();
    let store = Postgres::builder().table(&table).timeout(BOUND).build(pool).unwrap();
    store.migrate().await.unwrap();
    let key = put(&store).await;
    let mut holder = admin.begin().await.unwrap();
    let hold = sqlx::AssertSqlSafe(format!("SELECT key FROM {table} FOR UPDATE"));
    sqlx::query(hold).execute(&mut *holder).await.unwrap();
    let write = Write::data("new");
    let ends = async {
        let end = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE wait_event_type = 'Lock' AND query LIKE '%{table}%' AND pid <> pg_backend_pid()"
        );
        while crate::server::number(&admin, end.clone()).await == 0 {}
    };
    let (written, ()) = tokio::join!(store.replace(&key, &write), ends);
    let error = written.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    holder.rollback().await.unwrap();
    assert_eq!(found(&store, &key).await.unwrap().data, "data");
}

#[tokio::test]
async fn a_read_only_server_is_unavailable_until_it_writes() {
    let server = test_servers::Postgres::start().unwrap();
    let admin = PgPoolOptions::new().max_connections(1).connect(server.url()).await.unwrap();
    let store = Postgres::connect(server.url()).await.unwrap();
    store.migrate().await.unwrap();
    let key = put(&store).await;
    for (value, is_writable) in [("on", false), ("off", true), ("on", false), ("off", true)] {
        run(&admin, format!("ALTER SYSTEM SET default_transaction_read_only = {value}")).await;
        run(&admin, "SELECT pg_reload_conf()").await;
        // Each process of the server reads its configuration when it comes to it.
        let setting = "SELECT count(*) FROM pg_settings
                       WHERE name = 'default_transaction_read_only' AND setting = ";
        let begun = Instant::now();
        while crate::server::number(&admin, format!("{setting}'{value}'")).await == 0 {
            assert!(begun.elapsed() < BOUND);
        }
        if is_writable {
            store.replace(&key, &Write::data("new")).await.unwrap();
        } else {
            let error = loop {
                match store.replace(&key, &Write::data("new")).await {
                    Err(error) => break error,
                    Ok(_) => assert!(begun.elapsed() < BOUND),
                }
            };
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
            assert!(found(&store, &key).await.is_some());
        }
    }
}

/// What an error of the server means, and whether the statement is run again on another connection.
const CODES: [(&str, StoreErrorKind, bool); 13] = [
    ("25006", StoreErrorKind::Unavailable, true),
    ("57P03", StoreErrorKind::Unavailable, true),
    ("57P05", StoreErrorKind::Unavailable, true),
    ("25P03", StoreErrorKind::Unavailable, true),
    ("26000", StoreErrorKind::Unavailable, true),
    ("42P05", StoreErrorKind::Unavailable, true),
    ("0A000", StoreErrorKind::Refused, true),
    ("57P01", StoreErrorKind::Unavailable, false),
    ("57P02", StoreErrorKind::Unavailable, false),
    ("08006", StoreErrorKind::Unavailable, false),
    ("XX000", StoreErrorKind::Unavailable, false),
    ("XX001", StoreErrorKind::Corrupt, false),
    ("23514", StoreErrorKind::Refused, false),
];

#[tokio::test]
async fn an_operation_that_did_nothing_runs_again_on_another_connection() {
    let (table, admin) = (fresh_name(), admin().await);
    let store = Postgres::builder().table(&table).max_connections(2);
    let store = store.connect(test_servers::postgres_url()).await.unwrap();
    store.migrate().await.unwrap();
    let key = put(&store).await;
    run(&admin, format!("CREATE SEQUENCE {table}_runs")).await;
    for (code, kind, is_run_again) in CODES {
        let fails = format!(
            "CREATE OR REPLACE FUNCTION {table}_fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM nextval('{table}_runs');
                 RAISE EXCEPTION 'on purpose' USING ERRCODE = '{code}';
             END $$;
             CREATE OR REPLACE TRIGGER fails BEFORE UPDATE ON {table}
             FOR EACH ROW EXECUTE FUNCTION {table}_fails();
             SELECT setval('{table}_runs', 1)"
        );
        run(&admin, fails).await;
        let error = store.replace(&key, &Write::data("new")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code}: {error}");
        let last = format!("SELECT last_value FROM {table}_runs");
        let runs = crate::server::number(&admin, last).await - 1;
        assert_eq!(runs > 1, is_run_again, "{code}: {runs} runs");
        assert!(runs <= 3, "{code}: {runs} runs");
    }
    run(&admin, format!("DROP TRIGGER fails ON {table}")).await;
    store.replace(&key, &Write::data("new")).await.unwrap();
}

#[tokio::test]
async fn connect_pg_simple_replaces_unusable_connections() {
    let (table, admin) = (fresh_name(), admin().await);
    let create = format!(
        "CREATE TABLE {table} (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL)"
    );
    run(&admin, create).await;
    let pool = PgPoolOptions::new().max_connections(3).test_before_acquire(false);
    let pool = pool.connect(test_servers::postgres_url()).await.unwrap();
    let store = ConnectPgSimple::new(pool.clone(), Shape::token_session(), "UTC");
    let store = store.table(None, &table).unwrap();
    let sessions = TokenSession::<String>::builder().store(store).build().unwrap();
    let token = sessions.create(&"old".to_owned()).await.unwrap().token;
    for lost in [READ_ONLY, "DEALLOCATE ALL"] {
        on_all(&pool, 3, lost).await;
        sessions.set(&token, &lost.to_owned()).await.unwrap();
        on_all(&pool, 3, lost).await;
        assert_eq!(*sessions.get(&token).await.unwrap().unwrap(), lost);
    }
}

#[tokio::test]
async fn a_watch_leaves_a_pool_of_one_its_connection() {
    let builder = Postgres::builder().table(fresh_name()).tell_changes(true).max_connections(1);
    let store = builder.timeout(BOUND).connect(test_servers::postgres_url()).await.unwrap();
    store.migrate().await.unwrap();
    let (told, mut changes) = tokio::sync::mpsc::unbounded_channel();
    let watching =
        Watch::watch(&store, Arc::new(move |change| drop(told.send(change)))).await.unwrap();
    let key = put(&store).await;
    store.replace(&key, &Write::data("new")).await.unwrap();
    let change = tokio::time::timeout(BOUND, changes.recv()).await.unwrap();
    assert!(matches!(change, Some(Change::Record(changed)) if changed == key));
    drop(watching);
}
