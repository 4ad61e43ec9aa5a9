//! Names, migrations and rights.

use sqlx::postgres::PgPoolOptions;
use token_session::store::{Condition, Load, NewRecord, Postgres, Store, StoreErrorKind};
use tokio::task::JoinSet;

use crate::server::{admin, fresh_name, login, number, put, random_key, run};
use crate::sql_server::found;

#[tokio::test]
async fn a_table_and_a_schema_may_have_any_name() {
    let admin = admin().await;
    for name in ["we\"ird; drop", "{sessions}{now}", "Übung 'x' --", "$1", " "] {
        let schema = format!("{name}{}", fresh_name());
        let quoted = schema.replace('"', "\"\"");
        run(&admin, format!("CREATE SCHEMA \"{quoted}\"")).await;
        let builder = Postgres::builder().schema(&schema).table(name);
        let store = builder.build(admin.clone()).unwrap();
        store.migrate().await.unwrap();
        store.migrate().await.unwrap();
        let key = put(&store).await;
        assert!(found(&store, &key).await.is_some());
        let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = ";
        let schema_text = schema.replace('\'', "''");
        assert_eq!(number(&admin, format!("{tables} '{schema_text}'")).await, 1);
        assert!(store.remove(&key, Condition::Always, true).await.unwrap().record().is_some());
    }
}

#[tokio::test]
async fn a_name_that_the_server_would_cut_off_is_refused() {
    let admin = admin().await;
    let longest = "ä".repeat(26);
    let store = Postgres::builder().table(&longest).build(admin.clone()).unwrap();
    store.migrate().await.unwrap();
    let indexes = format!("SELECT count(*) FROM pg_indexes WHERE tablename = '{longest}'");
    assert_eq!(number(&admin, indexes).await, 3);
    for name in ["", "a\0b", &format!("{longest}x")] {
        let error = Postgres::builder().table(name).build(admin.clone()).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_that_start_at_once_may_all_migrate() {
    let table = fresh_name();
    let pool = PgPoolOptions::new().max_connections(10);
    let pool = pool.connect(test_servers::postgres_url()).await.unwrap();
    let store = Postgres::builder().table(&table).build(pool).unwrap();
    let migrations: JoinSet<_> = (0..10)
        .map(|_| {
            let store = store.clone();
            async move { store.migrate().await }
        })
        .collect();
    for migrated in migrations.join_all().await {
        migrated.unwrap();
    }
    put(&store).await;
}

#[tokio::test]
async fn the_shipped_file_makes_the_same_table() {
    let admin = admin().await;
    let columns = |schema: &str, table: &str| {
        format!(
            "SELECT count(*) FROM information_schema.columns
             WHERE table_schema = '{schema}' AND table_name = '{table}'"
        )
    };
    let (schema, table) = (fresh_name(), fresh_name());
    let file = include_str!("../../migrations/postgres/0001_sessions.sql");
    run(
        &admin,
        format!("CREATE SCHEMA {schema}; SET search_path = {schema}; {file} RESET search_path"),
    )
    .await;
    Postgres::builder().table(&table).build(admin.clone()).unwrap().migrate().await.unwrap();
    let shipped = number(&admin, columns(&schema, "token_sessions")).await;
    assert_eq!(shipped, number(&admin, columns("public", &table)).await);
    let store = Postgres::builder().schema(&schema).build(admin).unwrap();
    put(&store).await;
}

#[tokio::test]
async fn an_unlogged_table_is_created_unlogged() {
    let admin = admin().await;
    let table = fresh_name();
    let builder = Postgres::builder().table(&table).unlogged(true);
    let store = builder.build(admin.clone()).unwrap();
    store.migrate().await.unwrap();
    put(&store).await;
    let unlogged =
        format!("SELECT count(*) FROM pg_class WHERE relname = '{table}' AND relpersistence = 'u'");
    assert_eq!(number(&admin, unlogged).await, 1);
}

#[tokio::test]
async fn a_missing_table_says_to_migrate() {
    let store = Postgres::builder().table(fresh_name()).build(admin().await).unwrap();
    let error = store.load(&random_key(), &Load::new()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains("migrate()"), "{error}");
}

#[tokio::test]
async fn a_missing_right_says_what_to_grant() {
    let admin = admin().await;
    let (role, table) = (fresh_name(), fresh_name());
    let owner = Postgres::builder().table(&table).build(admin.clone()).unwrap();
    owner.migrate().await.unwrap();
    let url = login(&admin, &role).await;
    let store = Postgres::builder().table(&table).connect(&url).await.unwrap();
    let record = NewRecord::new("data", token_session::Lifetime::idle_secs(60).unwrap());
    let error = store.insert(&random_key(), &record).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains("grant"), "{error}");
}
