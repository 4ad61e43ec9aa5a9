//! What is MySQL's own about the shared server.
//!
//! `Sql`, `Pool` and so on are what the tests in `tests/sql` call the same on each server.

pub use sqlx::MySql as Database;
pub use sqlx::mysql::{MySqlPool as Pool, MySqlPoolOptions as PoolOptions};
pub use test_servers::{MariaDb as Server, mysql_url as shared_url};
pub use token_session::store::MySql as Sql;
pub use token_session::store::MySqlBuilder as Builder;

pub use crate::sql_server::{admin, fresh_name, fresh_store, number, put, random_key, run};

/// What makes an isolation level that is not the default of a connection.
pub const LEVELS: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
];

/// Locks one row of a table that has ten.
pub const HOLD_ONE: &str = "SELECT id FROM {table} WHERE id = 3 FOR UPDATE";

/// Locks the row of the session with a key in hexadecimal digits, and nothing else.
pub const HOLD_KEY: &str = "SELECT id FROM {table} WHERE `key` = UNHEX('{key}') FOR UPDATE";

/// Locks all rows of a table.
pub const HOLD_ALL: &str = "SELECT id FROM {table} FOR UPDATE";

/// What a URL ends in where a proxy has to read what is sent.
pub const PLAIN: &str = "?ssl-mode=disabled";

/// Makes a connection one to a server that does not write.
pub const READ_ONLY: &str = "SET SESSION TRANSACTION READ ONLY";

/// `COM_RESET_CONNECTION`, as a proxy sends it between its clients.
pub const RESET: &[u8] = &[1, 0, 0, 0, 0x1f];

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
             SELECT UNHEX(LEFT(SHA2(n, 256), 32)), 'data', 1, 1000, n, n FROM numbers"
        );
        run(pool, fill).await;
    }
}

/// Puts so many live sessions of an owner there, of keys that no two calls share. `began` is when the
/// `n`-th of them began.
pub async fn owned_rows(pool: &Pool, table: &str, owner: &str, began: &str, rows: usize) {
    for first in (1..=rows).step_by(500) {
        let last = rows.min(first + 499);
        let fill = format!(
            "INSERT INTO {table}
                 (`key`, data, version, absolute_ms, created_at, last_seen, deadline, `owner`)
             WITH RECURSIVE numbers AS (
                 SELECT {first} AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}
             )
             SELECT UNHEX(LEFT(SHA2(CONCAT('{owner}', n), 256), 32)), 'data', 1, 1000, {began}, 1,
                 9000000000000, '{owner}'
             FROM numbers"
        );
        run(pool, fill).await;
    }
}

/// How many statements on a table wait for somebody's lock. MariaDB reads the first comment and MySQL the
/// second: each lacks the other's table, or cannot read a statement there that holds bytes.
pub const WAITING: &str = "SELECT COUNT(*) FROM
    /*M! information_schema.innodb_trx
        WHERE trx_state = 'LOCK WAIT' AND trx_query LIKE '%{table}%' */
    /*!80000 performance_schema.data_locks
        WHERE lock_status = 'WAITING' AND object_name = '{table}' */";
