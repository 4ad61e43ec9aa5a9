//! The parts of the shared server that are specific to MySQL.
//!
//! The tests in `tests/sql` use `Sql`, `Pool` and so on by the same names for each server.

pub use sqlx::MySql as Database;
pub use sqlx::mysql::{MySqlPool as Pool, MySqlPoolOptions as PoolOptions};
pub use test_servers::{MariaDb as Server, mysql_url as shared_url};
pub use token_session::store::MySql as Sql;
pub use token_session::store::MySqlBuilder as Builder;

pub use crate::sql_server::{admin, fresh_name, fresh_store, number, put, random_key, run};

/// Statements that set an isolation level other than the default.
pub const LEVELS: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
];

/// Locks one row of a table that has ten.
pub const HOLD_ONE: &str = "SELECT id FROM {table} WHERE id = 3 FOR UPDATE";

/// Locks one session's row and nothing else; the key is in hexadecimal digits.
pub const HOLD_KEY: &str = "SELECT id FROM {table} WHERE `key` = UNHEX('{key}') FOR UPDATE";

/// Locks all rows of a table.
pub const HOLD_ALL: &str = "SELECT id FROM {table} FOR UPDATE";

/// The end of a URL that turns encryption off, so that a proxy can read the traffic.
pub const PLAIN: &str = "?ssl-mode=disabled";

/// Makes a connection behave as one to a read-only server.
pub const READ_ONLY: &str = "SET SESSION TRANSACTION READ ONLY";

/// `COM_RESET_CONNECTION`, as a proxy sends it between its clients.
pub const RESET: &[u8] = &[1, 0, 0, 0, 0x1f];

/// The shared server's URL for another account.
pub fn url_of(account: &str) -> String {
    let (_, place) = shared_url().split_once('@').unwrap();
    format!("mysql://{account}:{account}@{place}")
}

/// Creates an account that may log in and do nothing else. Returns its URL.
pub async fn login(admin: &Pool, account: &str) -> String {
    run(admin, format!("CREATE USER {account} IDENTIFIED BY '{account}'")).await;
    url_of(account)
}

/// Inserts this many expired records.
pub async fn expired_rows(pool: &Pool, table: &str, rows: usize) {
    // By default the server stops a recursion at a thousand rows.
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

/// Inserts this many live sessions of an owner. Calls for different owners use different keys. `began`
/// says when the `n`-th of them began.
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

/// Counts the statements on a table that wait for a lock. MariaDB runs the first comment and MySQL the
/// second: MariaDB lacks the second's table, and the first's cannot show a statement that holds bytes on
/// MySQL.
pub const WAITING: &str = "SELECT COUNT(*) FROM
    /*M! information_schema.innodb_trx
        WHERE trx_state = 'LOCK WAIT' AND trx_query LIKE '%{table}%' */
    /*!80000 performance_schema.data_locks
        WHERE lock_status = 'WAITING' AND object_name = '{table}' */";
