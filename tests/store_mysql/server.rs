//! Stores on the shared server, each on tables of its own.

use std::time::Duration;

use sqlx::{AssertSqlSafe, MySqlPool};
use token_session::store::{MySql, MySqlBuilder, NewRecord, Store};
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
pub async fn fresh_store(builder: MySqlBuilder) -> MySql {
    let store = builder
        .table(fresh_name())
        .timeout(Duration::from_secs(60))
        .connect(test_servers::mysql_url())
        .await
        .expect("the server is there");
    store.migrate().await.expect("the tables can be made");
    store
}

/// The server's administrator.
pub async fn admin() -> MySqlPool {
    MySqlPool::connect(test_servers::mysql_url()).await.expect("the server is there")
}

/// The shared server's URL for another account.
pub fn url_of(account: &str) -> String {
    let (_, place) = test_servers::mysql_url().split_once('@').unwrap();
    format!("mysql://{account}:{account}@{place}")
}

/// Creates an account that may log in, and nothing else. Its URL.
pub async fn login(admin: &MySqlPool, account: &str) -> String {
    run(admin, format!("CREATE USER {account} IDENTIFIED BY '{account}'")).await;
    url_of(account)
}

/// Runs statements as the administrator.
pub async fn run(admin: &MySqlPool, sql: impl Into<String>) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.into()));
    sql.execute(admin).await.expect("the statement is right");
}

/// A number that a query gives.
pub async fn number(admin: &MySqlPool, sql: impl Into<String>) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.into()))
        .fetch_one(admin)
        .await
        .expect("the query is right")
}

/// A live record.
pub async fn put(store: &MySql) -> Key {
    let key = random_key();
    let hour = Lifetime::idle_secs(3_600).expect("an hour is a timeout");
    store.insert(&key, &NewRecord::new("data", hour)).await.unwrap();
    key
}
