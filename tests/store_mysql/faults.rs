//! What happens when MySQL fails in its own ways.

use std::time::Duration;

use sqlx::mysql::MySqlPoolOptions;
use token_session::store::{MySql, Store, StoreErrorKind, Touch, Write};

use crate::server::{admin, fresh_name, login, put, run};
use crate::sql_faults::BOUND;

#[tokio::test]
async fn a_full_server_is_unavailable() {
    let admin = admin().await;
    let account = fresh_name();
    let url = login(&admin, &account).await;
    let limit = format!("ALTER USER {account} WITH MAX_USER_CONNECTIONS 1");
    run(&admin, format!("{limit}; GRANT SELECT ON * TO {account}")).await;
    let store = MySql::builder().max_connections(1);
    let _first = store.connect(&url).await.unwrap();
    let second = MySql::builder().timeout(Duration::from_millis(500));
    let error = second.connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_statement_that_waits_too_long_is_ended_by_the_server() {
    let admin = admin().await;
    let table = fresh_name();
    let pool = MySqlPoolOptions::new().max_connections(2).after_connect(|connection, _| {
        Box::pin(async move {
            let limit = sqlx::query("SET SESSION innodb_lock_wait_timeout = 1");
            limit.execute(connection).await.map(drop)
        })
    });
    let pool = pool.connect(test_servers::mysql_url()).await.unwrap();
    // The store's own patience would end later than the server's.
    let store = MySql::builder().table(&table).timeout(BOUND).build(pool).unwrap();
    store.migrate().await.unwrap();
    let key = put(&store).await;
    let mut holder = admin.begin().await.unwrap();
    let hold = format!("SELECT id FROM {table} FOR UPDATE");
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
async fn a_damaged_row_is_an_error_that_names_it() {
    let admin = admin().await;
    let table = fresh_name();
    let store = MySql::builder().table(&table).build(admin.clone()).unwrap();
    store.migrate().await.unwrap();
    for damage in ["owner = '\\n'", "label = ''", "idle_ms = 9000000000000000", "created_at = -1"] {
        let key = put(&store).await;
        run(&admin, format!("UPDATE {table} SET {damage}")).await;
        let error = store.load(&key, Touch::No).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{damage}: {error}");
        assert!(error.to_string().contains(&key.to_string()), "{error}");
        store.clear().await.unwrap();
    }
}
