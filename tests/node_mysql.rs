//! Sessions that express-mysql-session shares with this crate.

mod node;

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{AssertSqlSafe, MySqlPool, Row};
use token_session::store::compat::{AnyBytes, ExpressMysql, Shape};
use token_session::store::conformance::Harness;
use token_session::store::{
    Listing, Load, Renamed, Renewal, Replaced, StoreErrorKind, Write, Written,
};
use token_session::{Error, Meta, TokenSession};
use url::Url;

use node::peer::Peer;
use node::{Place, fresh_name, share_with_node, token};

const COLUMNS: [&str; 3] = ["session_id", "expires", "data"];

/// A table of its own, which Node has made.
struct Table {
    package: &'static str,
    name: String,
    columns: [&'static str; 3],
    pool: MySqlPool,
    peer: Peer,
}

impl Table {
    async fn new() -> Self {
        Self::of("express-mysql-session@3", COLUMNS).await
    }

    async fn of(package: &'static str, columns: [&'static str; 3]) -> Self {
        let name = fresh_name();
        let peer = Peer::open(package, options(&name, columns)).await;
        let pool = MySqlPool::connect(test_servers::mysql_url()).await.unwrap();
        Self { package, name, columns, pool, peer }
    }

    /// A statement with the names of the table and its columns in it.
    fn sql(&self, template: &str) -> AssertSqlSafe<String> {
        let [id, expires, data] = self.columns.map(|name| format!("`{name}`"));
        let template = template.replace("{id}", &id).replace("{expires}", &expires);
        AssertSqlSafe(template.replace("{data}", &data).replace("{table}", &self.name))
    }

    async fn run(&self, template: &str) {
        sqlx::raw_sql(self.sql(template)).execute(&self.pool).await.unwrap();
    }

    /// Makes the column of the data one of MySQL's type JSON. MariaDB's is a text, so that a trigger
    /// does the same there.
    async fn space_the_data(&self) {
        let version: String =
            sqlx::query_scalar("SELECT VERSION()").fetch_one(&self.pool).await.unwrap();
        if !version.contains("MariaDB") {
            return self.run("ALTER TABLE {table} MODIFY {data} JSON").await;
        }
        for event in ["INSERT", "UPDATE"] {
            let trigger = format!(
                "CREATE TRIGGER {{table}}_{event} BEFORE {event} ON {{table}} FOR EACH ROW
                 SET NEW.{{data}} = JSON_LOOSE(NEW.{{data}})"
            );
            self.run(&trigger).await;
        }
    }
}

fn options(table: &str, [session_id, expires, data]: [&str; 3]) -> Value {
    let columns = json!({"session_id": session_id, "expires": expires, "data": data});
    let schema = json!({"tableName": table, "columnNames": columns});
    json!({"url": test_servers::mysql_url(), "schema": schema, "clearExpired": false})
}

impl Place for Table {
    type Store = ExpressMysql;

    async fn store(&self, shape: Shape) -> ExpressMysql {
        let [id, expires, data] = self.columns;
        let store = ExpressMysql::new(self.pool.clone(), shape).table(None, &self.name).unwrap();
        store.columns(id, expires, data).unwrap().timeout(Duration::from_secs(60))
    }

    async fn package(&self) -> (&'static str, Value) {
        (self.package, options(&self.name, self.columns))
    }

    async fn node(&self) -> Peer {
        self.peer
    }

    fn ttl_option(&self) -> (&'static str, Duration) {
        ("expiration", Duration::from_millis(1))
    }

    async fn text(&self, id: &str) -> Option<String> {
        let select = self.sql("SELECT CONVERT({data} USING utf8mb4) FROM {table} WHERE {id} = ?");
        let row = sqlx::query(select).bind(id).fetch_optional(&self.pool).await.unwrap();
        row.map(|row| row.get(0))
    }

    async fn end(&self, id: &str) -> Duration {
        let select = self.sql("SELECT CAST({expires} AS SIGNED) FROM {table} WHERE {id} = ?");
        let row = sqlx::query(select).bind(id).fetch_one(&self.pool).await.unwrap();
        Duration::from_secs(row.get::<i64, _>(0).try_into().unwrap())
    }

    async fn leave(&self, id: &str, seconds: u32) {
        let update = "UPDATE {table} SET {expires} = UNIX_TIMESTAMP() + ? WHERE {id} = ?";
        let update = sqlx::query(self.sql(update)).bind(seconds).bind(id);
        assert_eq!(update.execute(&self.pool).await.unwrap().rows_affected(), 1);
    }

    async fn put(&self, id: &str, text: &str) {
        let replace = self.sql(
            "REPLACE INTO {table} ({id}, {expires}, {data}) VALUES (?, UNIX_TIMESTAMP() + 3600, ?)",
        );
        sqlx::query(replace).bind(id).bind(text).execute(&self.pool).await.unwrap();
    }
}

/// Its package `mysql` cannot log in to MySQL 9.
mod version_2 {
    use super::*;
    share_with_node!(Table::of("express-mysql-session@2", COLUMNS));

    #[tokio::test]
    async fn the_charset_of_nodes_connections_changes_no_text() {
        for (charset, ours, text) in [
            ("utf8mb4_general_ci", "utf8mb4", "é😀"),
            // What is not in it is lost for Node itself.
            ("utf8_general_ci", "utf8mb4", "é日"),
            ("latin1_swedish_ci", "latin1", "é😀"),
        ] {
            keeps_text("express-mysql-session@2", charset, ours, text).await;
        }
    }
}

mod version_3 {
    use super::*;
    share_with_node!(Table::new());

    #[tokio::test]
    async fn a_charset_that_the_package_takes_no_notice_of_changes_no_text() {
        for charset in ["utf8mb4_general_ci", "latin1_swedish_ci"] {
            keeps_text("express-mysql-session@3", charset, "utf8mb4", "é😀").await;
        }
    }
}

mod renamed {
    use super::*;
    share_with_node!(Table::of("express-mysql-session@3", ["the id", "{row}", "expires"]));
}

/// For an account that has the rights of the docs and no more.
struct Contract;

impl Harness for Contract {
    type Store = AnyBytes<ExpressMysql>;

    async fn store(&self) -> AnyBytes<ExpressMysql> {
        let (mut table, account) = (Table::new().await, fresh_name());
        table.run(&format!("CREATE USER {account} IDENTIFIED BY '{account}'")).await;
        let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO ";
        table.run(&format!("{grant}{account}")).await;
        let (_, place) = test_servers::mysql_url().split_once('@').unwrap();
        let url = format!("mysql://{account}:{account}@{place}");
        table.pool = MySqlPool::connect(&url).await.unwrap();
        AnyBytes(table.store(Shape::token_session()).await)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn races(&self) -> usize {
        100
    }

    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }
}

mod contract {
    use super::Contract;

    token_session::shared_format_suite!(Contract);
}

#[tokio::test]
async fn where_neither_is_told_a_table_both_take_the_same() {
    let (table, database) = (Table::new().await, fresh_name());
    table.run(&format!("CREATE DATABASE {database}")).await;
    let mut url = Url::parse(test_servers::mysql_url()).unwrap();
    url.set_path(&database);
    let options = json!({"url": url.as_str(), "clearExpired": false});
    let node = Peer::open("express-mysql-session@3", options).await;
    let store = ExpressMysql::connect(url.as_str(), Shape::token_session()).await.unwrap();
    let sessions = TokenSession::<Value>::builder().store(store).build().unwrap();
    let id = node.begin(&json!(1), None).await;
    assert_eq!(sessions.get(&token(&id)).await.unwrap().unwrap().data, json!(1));
}

#[tokio::test]
async fn an_id_is_compared_by_its_bytes() {
    let table = Table::new().await;
    // As an older table may have been made: it takes no notice of case either.
    table.run("ALTER TABLE {table} MODIFY {id} varchar(128) COLLATE utf8mb4_general_ci").await;
    table.put("AbC-zcM2Gl1Bi74mNZtj", r#"{"cookie":{"maxAge":0},"data":1}"#).await;
    let sessions = table.sessions::<Value>(Shape::token_session()).await;
    assert!(sessions.get(&token("AbC-zcM2Gl1Bi74mNZtj")).await.unwrap().is_some());
    for other in ["abc-zcm2gl1bi74mnztj", "AbC-zcM2Gl1Bi74mNZtj="] {
        assert!(sessions.get(&token(other)).await.unwrap().is_none());
        assert!(!sessions.destroy(&token(other)).await.unwrap());
    }
    table.put("AbC-zcM2Gl1Bi74mNZtj ", r#"{"cookie":{"maxAge":0},"data":2}"#).await;
    assert!(sessions.get(&token("AbC-zcM2Gl1Bi74mNZtj")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_column_that_spaces_what_it_is_given_meets_no_conflict_with_itself() {
    let table = Table::new().await;
    table.space_the_data().await;
    let (node, sessions) = (table.peer, table.sessions(Shape::token_session()).await);
    let id = node.begin(&json!({"a": [1.5, "é"], "b": 1}), None).await;
    assert!(table.text(&id).await.unwrap().contains("\": "));
    let read = sessions.get(&token(&id)).await.unwrap().unwrap();
    let store = sessions.store();
    let free = sessions.create(&json!(0)).await.unwrap();
    sessions.destroy(&free.token).await.unwrap();
    let renamed = store.moves().unwrap().rename(&read.key, &free.key, Renewal::Key).await.unwrap();
    let Renamed::Done(Meta { mut version, .. }) = renamed else { panic!("{renamed:?}") };
    for data in ["2", r#"{"b":3,"a":[1.5]}"#, "4"] {
        let write = Write { expected: Some(version), ..Write::data(data) };
        let written = store.replace(&free.key, &write).await.unwrap();
        version = match written {
            Replaced::Done(Written { version, .. }) => version,
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(sessions.get(&free.token).await.unwrap().unwrap().data, json!(4));
}

#[tokio::test]
async fn a_table_that_is_not_there_is_no_matter_of_a_migration() {
    let table = Table::new().await;
    table.run("DROP TABLE {table}").await;
    let sessions = table.sessions::<Value>(Shape::token_session()).await;
    let error = sessions.create(&json!(1)).await.unwrap_err().to_string();
    assert!(error.contains("express-mysql-session") && !error.contains("migrate"), "{error}");
}

#[tokio::test]
async fn a_row_without_data_is_no_session() {
    let table = Table::new().await;
    table.put("empty-zcM2Gl1Bi74mNZtj", "{}").await;
    table.run("UPDATE {table} SET {data} = NULL").await;
    let sessions = table.sessions::<Value>(Shape::token_session()).await;
    assert!(sessions.get(&token("empty-zcM2Gl1Bi74mNZtj")).await.unwrap().is_none());
    assert_eq!(sessions.all(None, 10).await.unwrap().sessions.len(), 0);
}

/// Writes a text through Node, which is given a charset, and through a pool that has its own, and reads
/// it back through both.
async fn keeps_text(package: &'static str, charset: &str, ours: &str, text: &str) {
    let mut table = Table::of(package, COLUMNS).await;
    let pool: MySqlConnectOptions = test_servers::mysql_url().parse().unwrap();
    table.pool = MySqlPool::connect_with(pool.charset(ours)).await.unwrap();
    let mut options = options(&table.name, COLUMNS);
    options["charset"] = charset.into();
    let node = Peer::open(package, options).await;
    let sessions = table.sessions::<Value>(Shape::token_session()).await;
    let id = node.begin(&json!({"node": text}), None).await;
    sessions.update(&token(&id), |data| data["rust"] = text.into()).await.unwrap();
    let data = json!({"node": text, "rust": text});
    assert_eq!(node.get(&id).await["data"], data, "{charset}");
    node.call("set", json!([&id, [text]])).await;
    assert_eq!(sessions.get(&token(&id)).await.unwrap().unwrap().data, json!([text]));
}

/// As an older table may have been made, or a site may have changed it.
#[tokio::test]
async fn a_column_of_another_charset_holds_what_node_sees_or_says_that_it_cannot() {
    for (charset, fits, does_not) in [("latin1", "é", "日"), ("utf8mb3", "é日", "😀")] {
        let table = Table::new().await;
        table.run(&format!("ALTER TABLE {{table}} CONVERT TO CHARACTER SET {charset}")).await;
        let sessions = table.sessions::<Value>(Shape::token_session()).await;
        let id = table.peer.begin(&json!({"node": fits}), None).await;
        sessions.update(&token(&id), |data| data["rust"] = fits.into()).await.unwrap();
        let data = json!({"node": fits, "rust": fits});
        assert_eq!(table.peer.get(&id).await["data"], data);
        let renewed = sessions.regenerate(&token(&id)).await.unwrap().token;

        let error = sessions.set(&renewed, &json!(does_not)).await.unwrap_err();
        assert!(
            matches!(&error, Error::Store(error) if error.kind() == StoreErrorKind::Refused),
            "{error}"
        );
        assert!(error.to_string().contains("cannot hold this text"), "{error}");
        assert!(sessions.create(&json!(does_not)).await.is_err());
        let write = json!([renewed.reveal(), does_not]);
        assert!(table.peer.try_call("set", write).await.is_err());
        assert_eq!(sessions.get(&renewed).await.unwrap().unwrap().data, data);
        assert_eq!(table.peer.get(renewed.reveal()).await["data"], data);
        assert!(sessions.destroy(&renewed).await.unwrap());
    }
}

#[tokio::test]
async fn what_stands_in_other_columns_stays() {
    let table = Table::new().await;
    table.run("ALTER TABLE {table} ADD note varchar(9) NOT NULL DEFAULT 'none'").await;
    let sessions = table.sessions::<Value>(Shape::token_session()).await;
    let note = async |id: &str| {
        let select = table.sql("SELECT note FROM {table} WHERE {id} = ?");
        let row = sqlx::query(select).bind(id).fetch_one(&table.pool).await.unwrap();
        row.get::<String, _>(0)
    };
    let id = table.peer.begin(&json!({"a": 1}), None).await;
    table.run("UPDATE {table} SET note = 'kept'").await;
    table.leave(&id, 60).await;
    sessions.touch(&token(&id)).await.unwrap();
    sessions.set(&token(&id), &json!({"a": 2})).await.unwrap();
    assert_eq!(note(&id).await, "kept");
    table.peer.call("set", json!([&id, {"a": 3}])).await;
    assert_eq!(sessions.get(&token(&id)).await.unwrap().unwrap().data, json!({"a": 3}));
    assert_eq!(note(&id).await, "kept");
    // A new row has what the column gives it, as one of Node's has.
    let renewed = sessions.regenerate(&token(&id)).await.unwrap().token;
    assert_eq!(note(renewed.reveal()).await, "none");
    assert_eq!(table.peer.get(renewed.reveal()).await["data"], json!({"a": 3}));
}

#[tokio::test]
async fn an_expired_row_does_not_exist_and_is_swept() {
    let table = Table::new().await;
    let sessions = table.sessions::<Value>(Shape::token_session()).await;
    for id in ["old-zcM2Gl1Bi74mNZtj", "older-zcM2Gl1Bi74mNZtj", "live-zcM2Gl1Bi74mNZtj"] {
        table.put(id, r#"{"cookie":{"maxAge":0},"data":1}"#).await;
    }
    table.run("UPDATE {table} SET {expires} = UNIX_TIMESTAMP() - 5 WHERE {id} <> 'live-zcM2Gl1Bi74mNZtj'").await;
    assert!(sessions.get(&token("old-zcM2Gl1Bi74mNZtj")).await.unwrap().is_none());
    assert_eq!(sessions.count().await.unwrap(), 1);
    assert_eq!(table.peer.call_of("store", "length", json!([])).await, 1);
    assert_eq!(sessions.store().listing().unwrap().sweep(1).await.unwrap(), 1);
    assert_eq!(sessions.store().listing().unwrap().sweep(10).await.unwrap(), 1);
    assert!(sessions.get(&token("live-zcM2Gl1Bi74mNZtj")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_column_of_dates_is_refused_by_every_operation() {
    for kind in ["datetime", "timestamp", "date"] {
        let table = Table::new().await;
        table.run(&format!("ALTER TABLE {{table}} MODIFY {{expires}} {kind} NOT NULL")).await;
        let insert = "INSERT INTO {table} ({id}, {expires}, {data})
                      VALUES ('live-zcM2Gl1Bi74mNZtj', NOW() + INTERVAL 1 DAY, '{}')";
        table.run(insert).await;
        let store = table.store(Shape::token_session()).await;
        let sessions = TokenSession::<Value>::builder().store(store.clone()).build().unwrap();
        for refusal in [
            sessions.get(&token("live-zcM2Gl1Bi74mNZtj")).await.map(drop).unwrap_err().to_string(),
            sessions.create(&json!(1)).await.map(drop).unwrap_err().to_string(),
            sessions.count().await.map(drop).unwrap_err().to_string(),
            sessions.all(None, 10).await.map(drop).unwrap_err().to_string(),
            store.sweep(10).await.map(drop).unwrap_err().to_string(),
        ] {
            assert!(refusal.contains("Unix seconds"), "{kind}: {refusal}");
        }
        assert!(table.text("live-zcM2Gl1Bi74mNZtj").await.is_some());
    }
}

#[tokio::test]
async fn a_column_of_large_numbers_works_too() {
    let table = Table::new().await;
    table.run("ALTER TABLE {table} MODIFY {expires} bigint NOT NULL").await;
    let sessions = table.sessions::<Value>(Shape::token_session()).await;
    let id = table.peer.begin(&json!({"a": 1}), None).await;
    assert_eq!(sessions.get(&token(&id)).await.unwrap().unwrap().data, json!({"a": 1}));
    let issued = sessions.create(&json!(2)).await.unwrap();
    assert_eq!(table.peer.get(issued.token.reveal()).await["data"], json!(2));
    assert_eq!(sessions.store().listing().unwrap().sweep(10).await.unwrap(), 0);
}

#[tokio::test]
async fn the_end_of_the_column_is_the_end_of_a_session() {
    let table = Table::new().await;
    let sessions = table.sessions::<Value>(Shape::token_session()).await;
    let lifetime = token_session::Lifetime::idle(token_session::Lifetime::MAX).unwrap();
    let new = token_session::NewSession::new().lifetime(lifetime);
    let issued = sessions.create_with(&json!(1), &new).await.unwrap();
    let record = sessions.store().load(&issued.key, &Load::new()).await.unwrap().live().unwrap();
    let end = Duration::from_millis(record.meta.expires_at().as_millis());
    assert_eq!(end.as_secs(), u64::from(u32::MAX));
}

#[tokio::test]
async fn a_token_that_is_too_long_for_the_column_is_refused() {
    let table = Table::new().await;
    let store = table.store(Shape::token_session()).await;
    let sessions = token_session::TokenSession::<Value>::builder()
        .store(store)
        .generator(|_: token_session::Origin<'_>| {
            token_session::Token::parse(&"abcdefghi".repeat(15))
        })
        .build()
        .unwrap();
    let error = sessions.create(&json!(1)).await.unwrap_err();
    assert!(error.to_string().contains("135 bytes"), "{error}");
}

#[tokio::test]
async fn what_a_column_is_too_small_for_is_refused_whatever_the_server_would_do() {
    let server = test_servers::MariaDb::start().unwrap();
    let pool = MySqlPool::connect(server.url()).await.unwrap();
    // As the package's versions before 2.1.2 made it.
    let table = "CREATE TABLE sessions (session_id varchar(128) COLLATE utf8mb4_bin PRIMARY KEY,
                 expires int(11) unsigned NOT NULL, data text COLLATE utf8mb4_bin)";
    for statement in ["SET GLOBAL sql_mode = ''", table] {
        sqlx::raw_sql(statement).execute(&pool).await.unwrap();
    }
    let store = ExpressMysql::connect(server.url(), Shape::token_session()).await.unwrap();
    let sessions =
        TokenSession::<String>::builder().store(store).max_size(1 << 20).build().unwrap();
    let issued = sessions.create(&"short".to_owned()).await.unwrap();
    let long = "x".repeat(70_000);
    let error = sessions.set(&issued.token, &long).await.unwrap_err();
    assert!(
        matches!(&error, Error::Store(error) if error.kind() == StoreErrorKind::Refused),
        "{error}"
    );
    assert!(error.to_string().contains("too small"), "{error}");
    assert_eq!(*sessions.get(&issued.token).await.unwrap().unwrap(), "short");
    assert!(sessions.create(&long).await.is_err());
}

/// A table as the package makes it, of 3,000 rows, each third of which is live: the store, the pool,
/// the table. A recursion ends at a thousand rows by default.
async fn half_expired() -> (ExpressMysql, MySqlPool, String) {
    let (name, pool) = (fresh_name(), MySqlPool::connect(test_servers::mysql_url()).await.unwrap());
    let make = format!(
        "CREATE TABLE {name} (
             session_id VARCHAR(128) COLLATE utf8mb4_bin NOT NULL, expires INT UNSIGNED NOT NULL,
             data MEDIUMTEXT COLLATE utf8mb4_bin, PRIMARY KEY (session_id)
         ) ENGINE = InnoDB;
         INSERT INTO {name}
         WITH RECURSIVE
             tens AS (SELECT 0 AS n UNION ALL SELECT n + 10 FROM tens WHERE n < 2990),
             ones AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM ones WHERE n < 10),
             numbers AS (SELECT tens.n + ones.n AS n FROM tens, ones)
         SELECT LPAD(n, 6, '0'), IF(n MOD 3 = 0, UNIX_TIMESTAMP() + 3600, n), '{{}}' FROM numbers"
    );
    sqlx::raw_sql(AssertSqlSafe(make)).execute(&pool).await.unwrap();
    let store = ExpressMysql::new(pool.clone(), Shape::express()).table(None, &name).unwrap();
    (store.timeout(Duration::from_secs(60)), pool, name)
}

#[tokio::test]
async fn a_sweep_waits_for_no_live_row_that_somebody_holds() {
    let (store, pool, table) = half_expired().await;
    let mut holder = pool.begin().await.unwrap();
    let hold = format!("SELECT data FROM {table} WHERE session_id = '000003' FOR UPDATE");
    sqlx::query(AssertSqlSafe(hold)).fetch_all(&mut *holder).await.unwrap();
    assert_eq!(store.sweep(1_500).await.unwrap(), 1_500);
    assert_eq!(store.sweep(1_500).await.unwrap(), 500);
    assert_eq!(store.sweep(1_500).await.unwrap(), 0);
    assert_eq!(store.count().await.unwrap(), 1_000);
}

#[tokio::test]
async fn a_sweep_goes_on_where_the_last_one_ended_and_begins_again() {
    let (store, pool, table) = half_expired().await;
    for _ in 0..4 {
        assert_eq!(store.sweep(250).await.unwrap(), 250);
    }
    // Behind it by now.
    let end = format!("UPDATE {table} SET expires = 1 WHERE session_id IN ('000003', '000006')");
    sqlx::query(AssertSqlSafe(end)).execute(&pool).await.unwrap();
    assert_eq!(store.sweep(2_000).await.unwrap(), 1_002);
}

#[tokio::test]
async fn a_clear_goes_on_past_its_first_batch() {
    let (store, pool, table) = half_expired().await;
    store.clear().await.unwrap();
    let count = sqlx::query(AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}")));
    assert_eq!(count.fetch_one(&pool).await.unwrap().get::<i64, _>(0), 0);
}
