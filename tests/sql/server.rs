//! Stores on the shared server, each in tables of its own, on every server that speaks SQL.

use std::time::Duration;

use sqlx::AssertSqlSafe;
pub use test_servers::fresh_name;
use token_session::store::{Load, NewRecord, Store, Touch};
use token_session::{Key, Lifetime, Record};

use crate::server::{Builder, Pool, Sql, shared_url};

/// By the key alone, with a touch that is due.
pub const TOUCHING: Load<'_> = Load { touch: Touch::After(Duration::ZERO), ..Load::new() };

pub fn random_key() -> Key {
    let mut bytes = [0; Key::LEN];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    Key::from_bytes(bytes)
}

/// An empty store.
pub async fn fresh_store(builder: Builder) -> Sql {
    let store = builder
        .table(fresh_name())
        .timeout(Duration::from_secs(60))
        .connect(shared_url())
        .await
        .expect("the server is there");
    store.migrate().await.expect("the tables can be made");
    store
}

/// The server's administrator.
pub async fn admin() -> Pool {
    Pool::connect(shared_url()).await.expect("the server is there")
}

/// Runs statements as the administrator.
pub async fn run(admin: &Pool, sql: impl Into<String>) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.into()));
    sql.execute(admin).await.expect("the statement is right");
}

/// A number that a query gives.
pub async fn number(admin: &Pool, sql: impl Into<String>) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.into()))
        .fetch_one(admin)
        .await
        .expect("the query is right")
}

/// The record under a key, if it lives.
pub async fn found(store: &impl Store, key: &Key) -> Option<Record> {
    store.load(key, &Load::new()).await.unwrap().live()
}

/// A live record.
pub async fn put(store: &Sql) -> Key {
    let key = random_key();
    let hour = Lifetime::idle_secs(3_600).expect("an hour is a timeout");
    store.insert(&key, &NewRecord::new("data", hour)).await.unwrap();
    key
}
