//! What happens when MySQL fails in its own ways.

use std::time::Duration;

use sqlx::mysql::MySqlPoolOptions;
use token_session::store::compat::{ExpressMysql, Shape};
use token_session::store::{
    Condition, Listing, Load, MySql, NewRecord, OwnerLimit, Owners, Store, StoreErrorKind, Write,
};
use token_session::{Lifetime, Owner, TokenSession};

use crate::differences::is_mariadb;
use crate::failover::on_all;
use crate::many_owned::somebody_waits;
use crate::server::{READ_ONLY, admin, fresh_name, login, put, random_key, run};
use crate::sql_faults::BOUND;

#[tokio::test]
async fn a_full_server_is_unavailable() {
    let admin = admin().await;
    let account = fresh_name();
    let url = login(&admin, &account).await;
    let limit = format!("ALTER USER {account} WITH MAX_USER_CONNECTIONS 1");
    run(&admin, format!("{limit}; GRANT SELECT ON * TO {account}")).await;
    let store = MySql::builder().max_connections(1);
    let _first = store.connect(&url).await.unwrap();
    let second = MySql::builder().timeout(Duration::from_millis(500));
    let error = second.connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn the_server_ends_a_statement_that_waits_too_long_for_a_lock() {
    let admin = admin().await;
    let table = fresh_name();
    let pool = MySqlPoolOptions::new().max_connections(2).after_connect(|connection, _| {
        Box::pin(async move {
            let limit = sqlx::query("SET SESSION innodb_lock_wait_timeout = 1");
            limit.execute(connection).await.map(drop)
        })
    });
    let pool = pool.connect(test_servers::mysql_url()).await.unwrap();
    // The store's own timeout is longer than the server's.
    let store = MySql::builder().table(&table).timeout(BOUND).build(pool).unwrap();
    store.migrate().await.unwrap();
    let key = put(&store).await;
    let mut holder = admin.begin().await.unwrap();
    let hold = format!("SELECT id FROM {table} FOR UPDATE");
    let hold = sqlx::query(sqlx::AssertSqlSafe(hold));
    hold.execute(&mut *holder).await.unwrap();
    let error = store.replace(&key, &Write::data("new")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    // A read does not wait for the lock.
    assert!(store.load(&key, &Load::new()).await.unwrap().live().is_some());
    holder.rollback().await.unwrap();
    store.replace(&key, &Write::data("new")).await.unwrap();
}

#[tokio::test]
async fn a_damaged_row_is_an_error_that_names_its_key() {
    let admin = admin().await;
    let table = fresh_name();
    let store = MySql::builder().table(&table).build(admin.clone()).unwrap();
    store.migrate().await.unwrap();
    for damage in [
        "owner = '\\n'",
        "idle_ms = 9000000000000000",
        "created_at = -1",
        "previous_proof = '', confirmed_at = -1",
    ] {
        let key = put(&store).await;
        run(&admin, format!("UPDATE {table} SET {damage}")).await;
        let error = store.load(&key, &Load::new()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{damage}: {error}");
        assert!(error.to_string().contains(&key.to_string()), "{error}");
        store.clear().await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_connection_is_unavailable_and_the_next_call_succeeds() {
    let (table, admin) = (fresh_name(), admin().await);
    let pool = MySqlPoolOptions::new().max_connections(1);
    let pool = pool.connect(test_servers::mysql_url()).await.unwrap();
    let store = MySql::builder().table(&table).timeout(BOUND).build(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    let key = put(&store).await;
    let id: u64 = sqlx::query_scalar("SELECT CONNECTION_ID()").fetch_one(&pool).await.unwrap();
    let mut holder = admin.begin().await.unwrap();
    let hold = sqlx::AssertSqlSafe(format!("SELECT id FROM {table} FOR UPDATE"));
    sqlx::query(hold).execute(&mut *holder).await.unwrap();
    let write = Write::data("new");
    let ends = async {
        somebody_waits(&admin, &table).await;
        run(&admin, format!("KILL {id}")).await;
    };
    let (written, ()) = tokio::join!(store.replace(&key, &write), ends);
    let error = written.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    holder.rollback().await.unwrap();
    assert_eq!(store.load(&key, &Load::new()).await.unwrap().live().unwrap().data, "data");
}

/// An error number, the kind that it becomes, and whether the statement runs again.
const NUMBERS: [(u32, StoreErrorKind, bool); 18] = [
    (1036, StoreErrorKind::Unavailable, true),
    (1290, StoreErrorKind::Unavailable, true),
    (1792, StoreErrorKind::Unavailable, true),
    (1836, StoreErrorKind::Unavailable, true),
    (3989, StoreErrorKind::Unavailable, true),
    (1047, StoreErrorKind::Unavailable, true),
    (3032, StoreErrorKind::Unavailable, true),
    (4031, StoreErrorKind::Unavailable, true),
    (3101, StoreErrorKind::Unavailable, true),
    (1243, StoreErrorKind::Refused, true),
    (1053, StoreErrorKind::Unavailable, false),
    (1927, StoreErrorKind::Unavailable, false),
    (3169, StoreErrorKind::Unavailable, false),
    (1180, StoreErrorKind::Unavailable, false),
    (1461, StoreErrorKind::Unavailable, false),
    (1665, StoreErrorKind::Refused, false),
    (1034, StoreErrorKind::Corrupt, false),
    (1366, StoreErrorKind::Refused, false),
];

#[tokio::test]
async fn a_statement_that_had_no_effect_runs_again_on_another_connection() {
    let (table, admin) = (fresh_name(), admin().await);
    let store = MySql::builder().table(&table).max_connections(2);
    let store = store.connect(test_servers::mysql_url()).await.unwrap();
    store.migrate().await.unwrap();
    let key = put(&store).await;
    // MyISAM keeps what the failed statement has inserted.
    run(&admin, format!("CREATE TABLE {table}_runs (run INT) ENGINE = MyISAM")).await;
    for (number, kind, is_run_again) in NUMBERS {
        run(&admin, format!("DROP TRIGGER IF EXISTS {table}_fails; DELETE FROM {table}_runs"))
            .await;
        let fails = format!(
            "CREATE TRIGGER {table}_fails BEFORE UPDATE ON {table} FOR EACH ROW BEGIN
                 INSERT INTO {table}_runs VALUES (1);
                 SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number};
             END"
        );
        run(&admin, fails).await;
        let error = store.replace(&key, &Write::data("new")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{number}: {error}");
        let count = format!("SELECT COUNT(*) FROM {table}_runs");
        let runs = crate::server::number(&admin, count).await;
        assert_eq!(runs > 1, is_run_again, "{number}: {runs} runs");
    }
    run(&admin, format!("DROP TRIGGER {table}_fails")).await;
    store.replace(&key, &Write::data("new")).await.unwrap();
}

#[tokio::test]
async fn express_mysql_session_replaces_read_only_connections() {
    let (table, admin) = (fresh_name(), admin().await);
    let create = format!(
        "CREATE TABLE {table} (session_id varchar(128) COLLATE utf8mb4_bin PRIMARY KEY,
         expires int unsigned NOT NULL, data mediumtext COLLATE utf8mb4_bin)"
    );
    run(&admin, create).await;
    let pool = MySqlPoolOptions::new().max_connections(3).test_before_acquire(false);
    let pool = pool.connect(test_servers::mysql_url()).await.unwrap();
    let store = ExpressMysql::new(pool.clone(), Shape::token_session());
    let store = store.table(None, &table).unwrap();
    let sessions = TokenSession::<String>::builder().store(store).build().unwrap();
    let token = sessions.create(&"old".to_owned()).await.unwrap().token;
    on_all(&pool, 3, READ_ONLY).await;
    sessions.set(&token, &"new".to_owned()).await.unwrap();
    assert_eq!(*sessions.get(&token).await.unwrap().unwrap(), "new");
}

/// Server defaults that change what a statement does or whether it is committed.
const DEFAULTS: [&str; 8] = [
    "autocommit = 0",
    // The server runs it only for accounts without administrative rights.
    "init_connect = 'SET autocommit = 0, completion_type = 1'",
    "completion_type = 1",
    "sql_safe_updates = 1",
    "sql_select_limit = 0",
    "max_join_size = 1",
    "sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE'",
    MARIADB_ALONE,
];

/// Modes that MySQL does not know.
const MARIADB_ALONE: &str = "sql_mode = 'ORACLE,EMPTY_STRING_IS_NULL'";

#[tokio::test]
async fn an_answered_write_is_committed_under_any_server_defaults() {
    let server = test_servers::MariaDb::start().unwrap();
    // This pool connects before the defaults change.
    let admin = MySqlPoolOptions::new().max_connections(1).connect(server.url()).await.unwrap();
    let others = MySql::new(admin.clone());
    others.migrate().await.unwrap();
    let owner = Owner::new("Anna").unwrap();
    let limit = Some(OwnerLimit::evict_oldest(2.try_into().unwrap()));
    run(&admin, "CREATE USER app; GRANT SELECT, INSERT, UPDATE, DELETE ON test.* TO app").await;
    let url = server.url().replace("root@", "app@");
    let is_mariadb = is_mariadb(&admin).await;
    let is_known = |default: &&str| is_mariadb || *default != MARIADB_ALONE;
    for default in DEFAULTS.into_iter().filter(is_known) {
        let (variable, _) = default.split_once(' ').unwrap();
        run(&admin, format!("SET @before = @@GLOBAL.{variable}; SET GLOBAL {default}")).await;
        let store = MySql::builder().max_connections(1).connect(&url).await.unwrap();
        let hour = Lifetime::idle_secs(3_600).unwrap();
        let empty = NewRecord { owner: Some(&owner), ..NewRecord::new("", hour) };
        let limited = NewRecord { limit, ..empty.clone() };
        for _ in 0..3 {
            store.insert(&random_key(), &limited).await.unwrap();
        }
        let (key, gone) = (random_key(), put(&store).await);
        store.insert(&key, &NewRecord::new("", hour)).await.unwrap();
        store.replace(&key, &Write::data("new")).await.unwrap();
        store.remove(&gone, Condition::Always, false).await.unwrap();
        let data = others.load(&key, &Load::new()).await.unwrap().live().map(|found| found.data);
        assert_eq!(data.as_deref(), Some(&b"new"[..]), "{default}");
        assert!(others.load(&gone, &Load::new()).await.unwrap().live().is_none(), "{default}");
        assert_eq!(
            others.owned(&owner, None, 9, false).await.unwrap().records.len(),
            2,
            "{default}"
        );
        assert_eq!(
            store.owned(&owner, None, 9, false).await.unwrap().records.len(),
            2,
            "{default}"
        );
        store.clear().await.unwrap();
        assert_eq!(others.count().await.unwrap(), 0, "{default}");
        run(&admin, format!("SET GLOBAL {variable} = @before")).await;
    }
}
