//! What MySQL and MariaDB do differently. Each test passes on both.

use serde_json::{Value, json};
use sqlx::Row;
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use token_session::TokenSession;
use token_session::store::compat::{ExpressMysql, Shape};
use token_session::store::{Load, MySql, Replaced, Store, StoreErrorKind, Write};

use crate::server::{admin, fresh_name, put, run, shared_url};

/// Whether a server is MariaDB; else it is MySQL.
pub async fn is_mariadb(admin: &MySqlPool) -> bool {
    let version: String = sqlx::query_scalar("SELECT VERSION()").fetch_one(admin).await.unwrap();
    version.contains("MariaDB")
}

#[tokio::test]
async fn connections_have_the_documented_settings() {
    let pool = MySql::builder().pool(shared_url()).await.unwrap();
    // MySQL shows a switch as a number, and MariaDB as a word.
    let settings = "SELECT CONCAT_WS(' ', IF(@@SESSION.autocommit, 'ON', 'OFF'),
        @@SESSION.completion_type, IF(@@SESSION.sql_safe_updates, 'ON', 'OFF'),
        IF(@@SESSION.sql_big_selects, 'ON', 'OFF'), @@SESSION.sql_select_limit,
        @@SESSION.innodb_lock_wait_timeout, @@SESSION.sql_mode)";
    let settings: String = sqlx::query_scalar(settings).fetch_one(&pool).await.unwrap();
    assert_eq!(
        settings,
        "ON NO_CHAIN OFF ON 18446744073709551615 5 \
         STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
    );
}

/// An account, the statement after which the server refuses its writes, and the one that ends this.
type ReadOnly = [&'static str; 3];

const READ_ONLY: [ReadOnly; 1] = [["app", "SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"]];

/// MariaDB accepts MySQL's name for it since 11.1.
const MARIADB_READ_ONLY: [ReadOnly; 1] =
    [["root", "SET GLOBAL tx_read_only = 1", "SET GLOBAL tx_read_only = 0"]];

const MYSQL_READ_ONLY: [ReadOnly; 3] = [
    ["root", "SET GLOBAL transaction_read_only = 1", "SET GLOBAL transaction_read_only = 0"],
    ["root", "SET GLOBAL super_read_only = 1", "SET GLOBAL read_only = 0"],
    ["root", "ALTER SCHEMA test READ ONLY = 1", "ALTER SCHEMA test READ ONLY = 0"],
];

#[tokio::test]
async fn a_read_only_server_is_unavailable_until_it_accepts_writes() {
    let server = test_servers::MariaDb::start().unwrap();
    let admin = MySqlPoolOptions::new().max_connections(1).connect(server.url()).await.unwrap();
    MySql::new(admin.clone()).migrate().await.unwrap();
    run(&admin, "CREATE USER app; GRANT SELECT, INSERT, UPDATE, DELETE ON test.* TO app").await;
    let ways: &[_] = if is_mariadb(&admin).await { &MARIADB_READ_ONLY } else { &MYSQL_READ_ONLY };
    for [account, begin, end] in READ_ONLY.iter().chain(ways) {
        let url = server.url().replace("root@", &format!("{account}@"));
        let before = MySql::builder().max_connections(1).connect(&url).await.unwrap();
        let key = put(&before).await;
        run(&admin, *begin).await;
        // Its connection is made while the server is read-only.
        let store = MySql::builder().max_connections(1).connect(&url).await.unwrap();
        for _ in 0..2 {
            let error = store.replace(&key, &Write::data("new")).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{begin}: {error}");
            assert!(error.to_string().contains("read-only"), "{begin}: {error}");
            let found = store.load(&key, &Load::new()).await.unwrap().live().unwrap();
            assert_eq!(found.data, "data", "{begin}");
        }
        run(&admin, *end).await;
        for store in [before, store] {
            let written = store.replace(&key, &Write::data("new")).await;
            assert!(matches!(written, Ok(Replaced::Done(_))), "{end}: {written:?}");
        }
    }
}

/// A table of express-mysql-session whose data column has the type JSON. MySQL reformats and reorders the
/// text; MariaDB keeps it.
async fn json_table() -> (MySqlPool, String, TokenSession<Value>) {
    let (table, admin) = (fresh_name(), admin().await);
    let create = format!(
        "CREATE TABLE {table} (session_id varchar(128) COLLATE utf8mb4_bin PRIMARY KEY,
         expires int unsigned NOT NULL, data json)"
    );
    run(&admin, create).await;
    let store = ExpressMysql::connect(shared_url(), Shape::token_session()).await.unwrap();
    let store = store.table(None, &table).unwrap();
    (admin, table, TokenSession::builder().store(store).build().unwrap())
}

#[tokio::test]
async fn a_json_column_returns_the_data_that_was_written() {
    let (_, _, sessions) = json_table().await;
    let token = sessions.create(&json!(0)).await.unwrap().token;
    for data in [
        json!({"longer": 1, "b": {"z": [], "a": null}, "a": [1.5, 1e-7, -1, u64::MAX, i64::MIN]}),
        json!("quotes \" and \\, a line\nbreak, \u{0}, é, 😀"),
        json!([true, 0.1, 1e300, {"": " : "}]),
    ] {
        sessions.set(&token, &data).await.unwrap();
        assert_eq!(sessions.get(&token).await.unwrap().unwrap().data, data);
    }
}

#[tokio::test]
async fn a_write_to_a_json_column_returns_the_version_that_the_next_write_expects() {
    let (_, _, sessions) = json_table().await;
    let key = sessions.create(&json!({"b": 1, "a": 2})).await.unwrap().key;
    let store = sessions.store();
    let mut version = store.load(&key, &Load::new()).await.unwrap().live().unwrap().meta.version;
    for data in ["2", r#"{"longer":3,"b":[1.5],"a":"é"}"#, "4"] {
        let write = Write { expected: Some(version), ..Write::data(data) };
        version = match store.replace(&key, &write).await.unwrap() {
            Replaced::Done(written) => written.version,
            other => panic!("{data}: {other:?}"),
        };
    }
}

#[tokio::test]
async fn a_session_in_a_json_column_can_be_regenerated_and_destroyed() {
    let (admin, table, sessions) = json_table().await;
    let data = json!({"b": 1, "a": [2]});
    let token = sessions.create(&data).await.unwrap().token;
    sessions.update(&token, |data| data["c"] = json!(3)).await.unwrap();
    let renewed = sessions.regenerate(&token).await.unwrap().token;
    assert!(sessions.get(&token).await.unwrap().is_none());
    let found = sessions.get(&renewed).await.unwrap().unwrap();
    assert_eq!(found.data, json!({"b": 1, "a": [2], "c": 3}));
    assert!(sessions.destroy(&renewed).await.unwrap());
    let count = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
    let row = sqlx::query(count).fetch_one(&admin).await.unwrap();
    assert_eq!(row.get::<i64, _>(0), 0);
}
