//! Names, migrations and rights.

use sqlx::mysql::MySqlPoolOptions;
use token_session::store::{Load, MySql, NewRecord, OwnerLimit, Owners, Store, StoreErrorKind};
use token_session::{Lifetime, Owner};
use tokio::task::JoinSet;

use crate::server::{admin, fresh_name, login, number, put, random_key, run, url_of};

#[tokio::test]
async fn a_table_can_have_any_name() {
    let admin = admin().await;
    for name in ["we`ird; drop", "{sessions}{now}{locks}", "Übung 'x' --", "?", "token_sessions"] {
        let schema = format!("{name}{}", fresh_name());
        let quoted = schema.replace('`', "``");
        run(&admin, format!("CREATE DATABASE `{quoted}`")).await;
        let builder = MySql::builder().schema(&schema).table(name);
        let store = builder.build(admin.clone()).unwrap();
        store.migrate().await.unwrap();
        store.migrate().await.unwrap();
        let key = put(&store).await;
        assert!(store.load(&key, &Load::new()).await.unwrap().live().is_some());
        let owner = Owner::new("Anna").unwrap();
        let limited = NewRecord {
            owner: Some(&owner),
            limit: Some(OwnerLimit::evict_oldest(1.try_into().unwrap())),
            ..NewRecord::new("data", Lifetime::idle_secs(60).unwrap())
        };
        store.insert(&random_key(), &limited).await.unwrap();
        store.insert(&random_key(), &limited).await.unwrap();
        assert_eq!(store.owned(&owner, None, 10, false).await.unwrap().records.len(), 1);
        let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = ";
        let schema_text = schema.replace('\'', "''");
        let tables = format!("{tables} '{schema_text}'");
        assert_eq!(number(&admin, tables).await, 2);
    }
}

#[tokio::test]
async fn a_name_that_is_too_long_is_refused() {
    let admin = admin().await;
    let longest = "x".repeat(58);
    let store = MySql::builder().table(&longest).build(admin.clone()).unwrap();
    store.migrate().await.unwrap();
    for name in ["", "a\0b", &format!("{longest}x")] {
        let error = MySql::builder().table(name).build(admin.clone()).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_that_start_at_once_can_all_migrate() {
    let pool = MySqlPoolOptions::new().max_connections(10);
    let pool = pool.connect(test_servers::mysql_url()).await.unwrap();
    let store = MySql::builder().table(fresh_name()).build(pool).unwrap();
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
async fn a_missing_table_says_to_migrate() {
    let store = MySql::builder().table(fresh_name()).build(admin().await).unwrap();
    let error = store.load(&random_key(), &Load::new()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains("migrate()"), "{error}");
}

#[tokio::test]
async fn a_missing_right_says_what_to_grant() {
    let admin = admin().await;
    let (account, table) = (fresh_name(), fresh_name());
    let owner = MySql::builder().table(&table).build(admin.clone()).unwrap();
    owner.migrate().await.unwrap();
    let url = login(&admin, &account).await;
    run(&admin, format!("GRANT SELECT ON {table} TO {account}")).await;
    let store = MySql::builder().table(&table);
    let store = store.connect(&url).await.unwrap();
    let record = NewRecord::new("data", Lifetime::idle_secs(60).unwrap());
    let error = store.insert(&random_key(), &record).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains("grant"), "{error}");
}

#[tokio::test]
async fn an_unknown_account_is_refused() {
    let error = MySql::connect(&url_of("nobody")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
}
