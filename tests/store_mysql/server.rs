//! Stores on the shared server, each on tables of its own.
//!
//! `Sql`, `Pool` and so on are what the tests in `tests/sql` call the same on each server.

use std::time::Duration;

use sqlx::AssertSqlSafe;
pub use sqlx::mysql::{MySqlPool as Pool, MySqlPoolOptions as PoolOptions};
pub use test_servers::{MariaDb as Server, mysql_url as shared_url};
pub use token_session::store::MySql as Sql;
use token_session::store::{MySqlBuilder, NewRecord, Store};
use token_session::{Key, Lifetime};

/// What makes an isolation level that is not the default of a connection.
pub const LEVELS: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
];

/// Locks one row of a table that has ten.
pub const HOLD_ONE: &str = "SELECT id FROM {table} WHERE id = 3 FOR UPDATE";

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
pub async fn fresh_store(builder: MySqlBuilder) -> Sql {
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

/// The shared server's URL for another account.
pub fn url_of(account: &str) -> String {
    let (_, place) = shared_url().split_once('@').unwrap();
    format!("mysql://{account}:{account}@{place}")
}

/// Creates an account that may log in, and nothing else. Its URL.
pub async fn login(admin: &Pool, account: &str) -> String {
    run(admin, format!("CREATE USER {account} IDENTIFIED BY '{account}'")).await;
    url_of(account)
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

/// A live record.
pub async fn put(store: &Sql) -> Key {
    let key = random_key();
    let hour = Lifetime::idle_secs(3_600).expect("an hour is a timeout");
    store.insert(&key, &NewRecord::new("data", hour)).await.unwrap();
    key
}

/// Puts so many expired records there.
pub async fn expired_rows(pool: &Pool, table: &str, rows: usize) {
    // A recursion ends at a thousand rows by default.
    for first in (1..=rows).step_by(500) {
        let last = rows.min(first + 499);
        let fill = format!(
            "INSERT INTO {table} (`key`, data, version, idle_ms, created_at, last_seen)
             WITH RECURSIVE numbers AS (
                 SELECT {first} AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}
             )
             SELECT UNHEX(SHA2(n, 256)), 'data', 1, 1000, n, n FROM numbers"
        );
        run(pool, fill).await;
    }
}
