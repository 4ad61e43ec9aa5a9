//! What happens when PostgreSQL fails in its own ways.

use std::time::{Duration, Instant};

use sqlx::postgres::PgPoolOptions;
use token_session::store::{Postgres, Store, StoreErrorKind, Touch, Write};

use crate::server::{admin, fresh_name, login, put, run};
use crate::sql_faults::BOUND;

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
    let error = store.replace(&key, &Write::new("new")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    // Who only reads does not wait.
    assert!(store.load(&key, Touch::No).await.unwrap().is_some());
    holder.rollback().await.unwrap();
    store.replace(&key, &Write::new("new")).await.unwrap();
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
    let error = store.take(&key).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    // Nothing is left in wait for the row: it would take it when the holder ends.
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
    assert!(patient.load(&key, Touch::No).await.unwrap().is_some());
}

#[tokio::test]
async fn a_damaged_row_is_an_error_that_names_it() {
    let admin = admin().await;
    let table = fresh_name();
    let store = Postgres::builder().table(&table).build(admin.clone()).unwrap();
    store.migrate().await.unwrap();
    for damage in ["owner = E'\\n'", "label = ''", "idle_ms = 9000000000000000", "created_at = -1"]
    {
        let key = put(&store).await;
        run(&admin, format!("UPDATE {table} SET {damage}")).await;
        let error = store.load(&key, Touch::No).await.unwrap_err();
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
    run(&admin, format!("ALTER TABLE {table} ALTER version TYPE integer")).await;
    let error = store.load(&key, Touch::No).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
    run(&admin, format!("ALTER TABLE {table} DROP label")).await;
    let error = store.load(&key, Touch::No).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
}
