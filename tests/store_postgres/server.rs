//! What is particular to PostgreSQL about the shared server.
//!
//! The tests in `tests/sql` use these names, such as `Sql` and `Pool`, on each server.

pub use sqlx::Postgres as Database;
pub use sqlx::postgres::{PgPool as Pool, PgPoolOptions as PoolOptions};
pub use test_servers::{Postgres as Server, postgres_url as shared_url};
pub use token_session::store::Postgres as Sql;
pub use token_session::store::PostgresBuilder as Builder;

pub use crate::sql_server::{admin, fresh_name, fresh_store, number, put, random_key, run};

/// Statements that set an isolation level other than the default.
pub const LEVELS: [&str; 2] = [
    "SET default_transaction_isolation = 'repeatable read'",
    "SET default_transaction_isolation = 'serializable'",
];

/// Locks one row of a table that has ten.
pub const HOLD_ONE: &str = "SELECT key FROM {table} LIMIT 1 FOR UPDATE";

/// Locks all rows of a table.
pub const HOLD_ALL: &str = "SELECT key FROM {table} FOR UPDATE";

/// The end of a URL whose connection a proxy has to read.
pub const PLAIN: &str = "?sslmode=disable";

/// Makes a connection behave like one to a read-only server.
pub const READ_ONLY: &str = "SET default_transaction_read_only = on";

/// The message `DEALLOCATE ALL`, as a pooler sends it between two clients.
pub const RESET: &[u8] = b"Q\0\0\0\x13DEALLOCATE ALL\0";

/// Creates a role that may only log in, and returns its URL.
pub async fn login(admin: &Pool, role: &str) -> String {
    run(admin, format!("CREATE ROLE {role} LOGIN PASSWORD '{role}'")).await;
    let (_, place) = shared_url().split_once('@').unwrap();
    format!("postgres://{role}:{role}@{place}")
}

/// Inserts this many expired records.
pub async fn expired_rows(pool: &Pool, table: &str, rows: usize) {
    let fill = format!(
        "INSERT INTO {table} (key, data, version, idle_ms, created_at, last_seen)
         SELECT substr(sha256(n::text::bytea), 1, 16), 'data', 1, 1000, n, n FROM generate_series(1, {rows}) AS n"
    );
    run(pool, fill).await;
}

/// Inserts this many live sessions of an owner, under keys that no other owner has. `began` is when the
/// `n`-th of them began.
pub async fn owned_rows(pool: &Pool, table: &str, owner: &str, began: &str, rows: usize) {
    let fill = format!(
        "INSERT INTO {table} (key, data, version, absolute_ms, created_at, last_seen, deadline, owner)
         SELECT substr(sha256(('{owner}' || n)::bytea), 1, 16), 'data', 1, 1000, {began}, 1, 9000000000000, '{owner}'
         FROM generate_series(1, {rows}) AS n"
    );
    run(pool, fill).await;
}

/// Counts the statements on a table that wait for a lock.
pub const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE '%{table}%' AND pid <> pg_backend_pid()";

/// Locks the row of a key.
pub const HOLD_KEY: &str = "SELECT key FROM {table} WHERE key = decode('{key}', 'hex') FOR UPDATE";
