//! Sessions that express-mysql-session shares with this crate.

mod node;

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, MySqlPool, Row};
use token_session::store::compat::{ExpressMysql, Shape};
use token_session::store::conformance::Harness;
use token_session::store::{Renamed, Renewal, Replaced, Store, StoreErrorKind, Touch, Write};
use token_session::{Error, Meta, TokenSession};

use node::contract::{AnyBytes, keeps_of_the_contract};
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
        let select = self.sql("SELECT {data} FROM {table} WHERE {id} = ?");
        let row = sqlx::query(select).bind(id).fetch_optional(&self.pool).await.unwrap();
        row.map(|row| row.get(0))
    }

    async fn end(&self, id: &str) -> Duration {
        let select = self.sql("SELECT CAST({expires} AS SIGNED) FROM {table} WHERE {id} = ?");
        let row = sqlx::query(select).bind(id).fetch_one(&self.pool).await.unwrap();
        Duration::from_secs(row.get::<i64, _>(0).try_into().unwrap())
    }

    async fn put(&self, id: &str, text: &str) {
        let replace = self.sql(
            "REPLACE INTO {table} ({id}, {expires}, {data}) VALUES (?, UNIX_TIMESTAMP() + 3600, ?)",
        );
        sqlx::query(replace).bind(id).bind(text).execute(&self.pool).await.unwrap();
    }
}

mod version_2 {
    use super::*;
    share_with_node!(Table::of("express-mysql-session@2", COLUMNS));
}

mod version_3 {
    use super::*;
    share_with_node!(Table::new());
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
    use super::{Contract, keeps_of_the_contract};

    keeps_of_the_contract!(Contract);
}

#[tokio::test]
async fn an_id_is_compared_by_its_bytes() {
    let table = Table::new().await;
    // As an older table may have been made: it takes no notice of case either.
    table.run("ALTER TABLE {table} MODIFY {id} varchar(128) COLLATE utf8mb4_general_ci").await;
    table.put("AbC", r#"{"cookie":{"maxAge":0},"data":1}"#).await;
    let sessions = table.sessions::<Value>(Shape::token_session()).await;
    assert!(sessions.get(&token("AbC")).await.unwrap().is_some());
    for other in ["abc", "AbC="] {
        assert!(sessions.get(&token(other)).await.unwrap().is_none());
        assert!(!sessions.destroy(&token(other)).await.unwrap());
    }
    table.put("AbC ", r#"{"cookie":{"maxAge":0},"data":2}"#).await;
    assert!(sessions.get(&token("AbC")).await.unwrap().is_none());
}

/// As MySQL's type JSON does; MariaDB's is a text.
#[tokio::test]
async fn a_column_that_spaces_what_it_is_given_meets_no_conflict_with_itself() {
    let table = Table::new().await;
    for event in ["INSERT", "UPDATE"] {
        let trigger = format!(
            "CREATE TRIGGER {{table}}_{event} BEFORE {event} ON {{table}} FOR EACH ROW
             SET NEW.{{data}} = JSON_LOOSE(NEW.{{data}})"
        );
        table.run(&trigger).await;
    }
    let (node, sessions) = (table.peer, table.sessions(Shape::token_session()).await);
    let id = node.begin(&json!({"a": [1.5, "é"], "b": 1}), None).await;
    assert!(table.text(&id).await.unwrap().contains("\": "));
    let read = sessions.get(&token(&id)).await.unwrap().unwrap();
    let store = sessions.store();
    let free = sessions.create(&json!(0)).await.unwrap();
    sessions.destroy(&free.token).await.unwrap();
    let renamed = store.rename(&read.key, &free.key, Renewal::Key).await.unwrap();
    let Renamed::Done(Meta { mut version, .. }) = renamed else { panic!("{renamed:?}") };
    for data in ["2", r#"{"b":3,"a":[1.5]}"#, "4"] {
        let write = Write { expected: Some(version), ..Write::new(data) };
        let written = store.replace(&free.key, &write).await.unwrap();
        version = match written {
            Replaced::Done(version) => version,
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
    table.put("empty", "{}").await;
    table.run("UPDATE {table} SET {data} = NULL").await;
    let sessions = table.sessions::<Value>(Shape::token_session()).await;
    assert!(sessions.get(&token("empty")).await.unwrap().is_none());
    assert_eq!(sessions.all(None, 10).await.unwrap().sessions.len(), 0);
}

#[tokio::test]
async fn an_expired_row_does_not_exist_and_is_swept() {
    let table = Table::new().await;
    let sessions = table.sessions::<Value>(Shape::token_session()).await;
    for id in ["old", "older", "live"] {
        table.put(id, r#"{"cookie":{"maxAge":0},"data":1}"#).await;
    }
    table.run("UPDATE {table} SET {expires} = UNIX_TIMESTAMP() - 5 WHERE {id} <> 'live'").await;
    assert!(sessions.get(&token("old")).await.unwrap().is_none());
    assert_eq!(sessions.count().await.unwrap(), 1);
    assert_eq!(table.peer.call_of("store", "length", json!([])).await, 1);
    assert_eq!(sessions.store().sweep(1).await.unwrap(), 1);
    assert_eq!(sessions.store().sweep(10).await.unwrap(), 1);
    assert!(sessions.get(&token("live")).await.unwrap().is_some());
}

#[tokio::test]
async fn the_end_of_the_column_is_the_end_of_a_session() {
    let table = Table::new().await;
    let sessions = table.sessions::<Value>(Shape::token_session()).await;
    let lifetime = token_session::Lifetime::idle(token_session::Lifetime::MAX).unwrap();
    let new = token_session::NewSession::new().lifetime(lifetime);
    let issued = sessions.create_with(&json!(1), &new).await.unwrap();
    let record = sessions.store().load(&issued.key, Touch::No).await.unwrap().unwrap();
    let end = Duration::from_millis(record.meta.expires_at().as_millis());
    assert_eq!(end.as_secs(), u64::from(u32::MAX));
}

#[tokio::test]
async fn a_token_that_is_too_long_for_the_column_is_refused() {
    let table = Table::new().await;
    let store = table.store(Shape::token_session()).await;
    let sessions = token_session::TokenSession::<Value>::builder()
        .store(store)
        .generator(|_: token_session::Origin<'_>| token_session::Token::parse(&"a".repeat(129)))
        .build()
        .unwrap();
    let error = sessions.create(&json!(1)).await.unwrap_err();
    assert!(error.to_string().contains("129 bytes"), "{error}");
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
    assert_eq!(*sessions.get(&issued.token).await.unwrap().unwrap(), "short");
    assert!(sessions.create(&long).await.is_err());
}
