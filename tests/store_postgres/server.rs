//! What is PostgreSQL's own about the shared server.
//!
//! `Sql`, `Pool` and so on are what the tests in `tests/sql` call the same on each server.

pub use sqlx::Postgres as Database;
pub use sqlx::postgres::{PgPool as Pool, PgPoolOptions as PoolOptions};
pub use test_servers::{Postgres as Server, postgres_url as shared_url};
pub use token_session::store::Postgres as Sql;
pub use token_session::store::PostgresBuilder as Builder;

pub use crate::sql_server::{admin, fresh_name, fresh_store, number, put, random_key, run};

/// What makes an isolation level that is not the default of a connection.
pub const LEVELS: [&str; 2] = [
    "SET default_transaction_isolation = 'repeatable read'",
    "SET default_transaction_isolation = 'serializable'",
];

/// Locks one row of a table that has ten.
pub const HOLD_ONE: &str = "SELECT key FROM {table} LIMIT 1 FOR UPDATE";

/// Locks all rows of a table.
pub const HOLD_ALL: &str = "SELECT key FROM {table} FOR UPDATE";

/// What a URL ends in where a proxy has to read what is sent.
pub const PLAIN: &str = "?sslmode=disable";

/// Makes a connection one to a server that does not write.
pub const READ_ONLY: &str = "SET default_transaction_read_only = on";

/// `DEALLOCATE ALL` in a message, as a pooler sends it between its clients.
pub const RESET: &[u8] = b"Q\0\0\0\x13DEALLOCATE ALL\0";

/// Creates a role that may log in, and nothing else. Its URL.
pub async fn login(admin: &Pool, role: &str) -> String {
    run(admin, format!("CREATE ROLE {role} LOGIN PASSWORD '{role}'")).await;
    let (_, place) = shared_url().split_once('@').unwrap();
    format!("postgres://{role}:{role}@{place}")
}

/// Puts so many expired records there.
pub async fn expired_rows(pool: &Pool, table: &str, rows: usize) {
    let fill = format!(
        "INSERT INTO {table} (key, data, version, idle_ms, created_at, last_seen)
         SELECT substr(sha256(n::text::bytea), 1, 16), 'data', 1, 1000, n, n FROM generate_series(1, {rows}) AS n"
    );
    run(pool, fill).await;
}

/// Puts so many live sessions of an owner there, of keys that no two calls share. `began` is when the
/// `n`-th of them began.
pub async fn owned_rows(pool: &Pool, table: &str, owner: &str, began: &str, rows: usize) {
    let fill = format!(
        "INSERT INTO {table} (key, data, version, absolute_ms, created_at, last_seen, deadline, owner)
         SELECT substr(sha256(('{owner}' || n)::bytea), 1, 16), 'data', 1, 1000, {began}, 1, 9000000000000, '{owner}'
         FROM generate_series(1, {rows}) AS n"
    );
    run(pool, fill).await;
}

/// How many statements on a table wait for somebody's lock.
pub const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE '%{table}%' AND pid <> pg_backend_pid()";

/// Locks the row of a key.
pub const HOLD_KEY: &str = "SELECT key FROM {table} WHERE key = decode('{key}', 'hex') FOR UPDATE";
