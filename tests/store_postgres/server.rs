//! Stores on the shared server, each on a table of its own.
//!
//! `Sql`, `Pool` and so on are what the tests in `tests/sql` call the same on each server.

use std::time::Duration;

use sqlx::AssertSqlSafe;
pub use sqlx::postgres::{PgPool as Pool, PgPoolOptions as PoolOptions};
pub use test_servers::{Postgres as Server, postgres_url as shared_url};
pub use token_session::store::Postgres as Sql;
use token_session::store::{NewRecord, PostgresBuilder, Store};
use token_session::{Key, Lifetime};

/// What makes an isolation level that is not the default of a connection.
pub const LEVELS: [&str; 2] = [
    "SET default_transaction_isolation = 'repeatable read'",
    "SET default_transaction_isolation = 'serializable'",
];

/// Locks one row of a table that has ten.
pub const HOLD_ONE: &str = "SELECT key FROM {table} LIMIT 1 FOR UPDATE";

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
pub async fn fresh_store(builder: PostgresBuilder) -> Sql {
    let store = builder
        .table(fresh_name())
        .timeout(Duration::from_secs(60))
        .connect(shared_url())
        .await
        .expect("the server is there");
    store.migrate().await.expect("the table can be made");
    store
}

/// The server's superuser.
pub async fn admin() -> Pool {
    Pool::connect(shared_url()).await.expect("the server is there")
}

/// Creates a role that may log in, and nothing else. Its URL.
pub async fn login(admin: &Pool, role: &str) -> String {
    run(admin, format!("CREATE ROLE {role} LOGIN PASSWORD '{role}'")).await;
    let (_, place) = shared_url().split_once('@').unwrap();
    format!("postgres://{role}:{role}@{place}")
}

/// Runs statements as the superuser.
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

/// A live record.
pub async fn put(store: &Sql) -> Key {
    let key = random_key();
    let hour = Lifetime::idle_secs(3_600).expect("an hour is a timeout");
    store.insert(&key, &NewRecord::new("data", hour)).await.unwrap();
    key
}

/// Puts so many expired records there.
pub async fn expired_rows(pool: &Pool, table: &str, rows: usize) {
    let fill = format!(
        "INSERT INTO {table} (key, data, version, idle_ms, created_at, last_seen)
         SELECT sha256(n::text::bytea), 'data', 1, 1000, n, n FROM generate_series(1, {rows}) AS n"
    );
    run(pool, fill).await;
}
