//! Stores on the shared server, each on a table of its own.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool};
use token_session::store::{NewRecord, Postgres, PostgresBuilder, Store};
use token_session::{Key, Lifetime};

/// A name that no other test has.
pub fn fresh_name() -> String {
    format!("t{:016x}", u64::from_ne_bytes(random()))
}

pub fn random_key() -> Key {
    Key::from_bytes(random())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// An empty store.
pub async fn fresh_store(builder: PostgresBuilder) -> Postgres {
    let store = builder
        .table(fresh_name())
        .timeout(Duration::from_secs(60))
        .connect(test_servers::postgres_url())
        .await
        .expect("the server is there");
    store.migrate().await.expect("the table can be made");
    store
}

/// The server's superuser.
pub async fn admin() -> PgPool {
    PgPool::connect(test_servers::postgres_url()).await.expect("the server is there")
}

/// Creates a role that may log in, and nothing else. Its URL.
pub async fn login(admin: &PgPool, role: &str) -> String {
    run(admin, format!("CREATE ROLE {role} LOGIN PASSWORD '{role}'")).await;
    let (_, place) = test_servers::postgres_url().split_once('@').unwrap();
    format!("postgres://{role}:{role}@{place}")
}

/// Runs statements as the superuser.
pub async fn run(admin: &PgPool, sql: impl Into<String>) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.into()));
    sql.execute(admin).await.expect("the statement is right");
}

/// A number that a query gives.
pub async fn number(admin: &PgPool, sql: impl Into<String>) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.into()))
        .fetch_one(admin)
        .await
        .expect("the query is right")
}

/// A live record.
pub async fn put(store: &Postgres) -> Key {
    let key = random_key();
    let hour = Lifetime::idle_secs(3_600).expect("an hour is a timeout");
    store.insert(&key, &NewRecord::new("data", hour)).await.unwrap();
    key
}
