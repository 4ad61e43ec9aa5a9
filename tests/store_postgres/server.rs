//! What is PostgreSQL's own about the shared server.
//!
//! `Sql`, `Pool` and so on are what the tests in `tests/sql` call the same on each server.

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
         SELECT sha256(n::text::bytea), 'data', 1, 1000, n, n FROM generate_series(1, {rows}) AS n"
    );
    run(pool, fill).await;
}
