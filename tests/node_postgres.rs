//! Sessions that connect-pg-simple shares with this crate.

mod node;

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, Row};
use token_session::store::compat::{AnyBytes, ConnectPgSimple, Shape};
use token_session::store::conformance::Harness;
use token_session::store::{Listing, StoreErrorKind};
use token_session::{Origin, Token, TokenSession};
use url::Url;

use node::peer::Peer;
use node::{Place, fresh_name, share_with_node, token};

/// A schema of its own, since the package gives its constraint one name for every table.
struct Schema {
    package: &'static str,
    name: String,
    table: &'static str,
    time_zone: &'static str,
    /// Whether the column `expire` is a `timestamptz`.
    has_zone: bool,
    pool: PgPool,
}

impl Schema {
    async fn new(time_zone: &'static str) -> Self {
        Self::of("connect-pg-simple@10", "session", time_zone).await
    }

    async fn of(package: &'static str, table: &'static str, time_zone: &'static str) -> Self {
        let name = fresh_name();
        let pool = PgPool::connect(test_servers::postgres_url()).await.unwrap();
        let schema = Self { package, name, table, time_zone, has_zone: false, pool };
        schema.run("CREATE SCHEMA {schema}").await;
        // It makes its table when it is first asked something.
        schema.node().await.get("nobody").await;
        schema
    }

    async fn with_zone(time_zone: &'static str) -> Self {
        let mut schema = Self::new(time_zone).await;
        // As a site in that zone would change it.
        let using = format!("USING expire AT TIME ZONE '{time_zone}'");
        schema.run(&format!("ALTER TABLE {{table}} ALTER expire TYPE timestamptz {using}")).await;
        schema.has_zone = true;
        schema
    }

    /// The column as a `timestamptz`, or one as the column; `$n` is the zone.
    fn turned<'t>(&self, time: &'t str, converted: &'t str) -> &'t str {
        if self.has_zone { time } else { converted }
    }

    async fn with_jsonb() -> Self {
        let schema = Self::new("UTC").await;
        schema.run("ALTER TABLE {table} ALTER sess TYPE jsonb").await;
        schema
    }

    fn sql(&self, template: &str) -> AssertSqlSafe<String> {
        let table = format!("{}.\"{}\"", self.name, self.table.replace('"', "\"\""));
        AssertSqlSafe(template.replace("{schema}", &self.name).replace("{table}", &table))
    }

    async fn run(&self, template: &str) {
        sqlx::raw_sql(self.sql(template)).execute(&self.pool).await.unwrap();
    }
}

impl Place for Schema {
    type Store = ConnectPgSimple;

    async fn store(&self, shape: Shape) -> ConnectPgSimple {
        let store = ConnectPgSimple::new(self.pool.clone(), shape, self.time_zone);
        let store = store.table(Some(&self.name), self.table).unwrap();
        store.timeout(Duration::from_secs(60))
    }

    async fn package(&self) -> (&'static str, Value) {
        let options = json!({
            "url": test_servers::postgres_url(),
            "timeZone": self.time_zone,
            "schemaName": self.name,
            "tableName": self.table,
            "createTableIfMissing": true,
            "pruneSessionInterval": false,
        });
        (self.package, options)
    }

    async fn text(&self, id: &str) -> Option<String> {
        let select = self.sql("SELECT sess::text FROM {table} WHERE sid = $1");
        let row = sqlx::query(select).bind(id).fetch_optional(&self.pool).await.unwrap();
        row.map(|row| row.get(0))
    }

    async fn end(&self, id: &str) -> Duration {
        let expire = self.turned("expire", "expire AT TIME ZONE $2::text");
        let select = self.sql(&format!(
            "SELECT extract(epoch FROM {expire})::float8 FROM {{table}} WHERE sid = $1"
        ));
        let row = sqlx::query(select).bind(id).bind(self.time_zone);
        Duration::from_secs_f64(row.fetch_one(&self.pool).await.unwrap().get(0))
    }

    async fn leave(&self, id: &str, seconds: u32) {
        let end = "(now() + $2 * interval '1 s')";
        let local = format!("{end} AT TIME ZONE $3::text");
        let end = self.turned(end, &local);
        let update = self.sql(&format!("UPDATE {{table}} SET expire = {end} WHERE sid = $1"));
        let update = sqlx::query(update).bind(id).bind(f64::from(seconds)).bind(self.time_zone);
        assert_eq!(update.execute(&self.pool).await.unwrap().rows_affected(), 1);
    }

    async fn put(&self, id: &str, text: &str) {
        let end = "(now() + interval '1 h')";
        let local = format!("{end} AT TIME ZONE $3::text");
        let insert = self.sql(&format!(
            "INSERT INTO {{table}} VALUES ($1, $2::json, {})
             ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess, expire = excluded.expire",
            self.turned(end, &local)
        ));
        let insert = sqlx::query(insert).bind(id).bind(text).bind(self.time_zone);
        insert.execute(&self.pool).await.unwrap();
    }
}

mod version_9_with_a_renamed_table {
    use super::*;
    share_with_node!(Schema::of("connect-pg-simple@9", "App \"Sessions\"", "UTC"));
}

mod utc {
    use super::*;
    share_with_node!(Schema::new("UTC"));
}

mod another_zone {
    use super::*;
    share_with_node!(Schema::new("Asia/Tokyo"));
}

/// The test server for a role whose password is its name.
fn url_of_role(role: &str) -> String {
    let (_, place) = test_servers::postgres_url().split_once('@').unwrap();
    format!("postgres://{role}:{role}@{place}")
}

/// For a role that has the rights of the docs and no more.
struct Contract;

impl Harness for Contract {
    type Store = AnyBytes<ConnectPgSimple>;

    async fn store(&self) -> AnyBytes<ConnectPgSimple> {
        let (mut schema, role) = (Schema::new("America/St_Johns").await, fresh_name());
        schema.run(&format!("CREATE ROLE {role} LOGIN PASSWORD '{role}'")).await;
        schema.run(&format!("GRANT USAGE ON SCHEMA {{schema}} TO {role}")).await;
        let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.session TO ";
        schema.run(&format!("{grant}{role}")).await;
        schema.pool = PgPool::connect(&url_of_role(&role)).await.unwrap();
        AnyBytes(schema.store(Shape::token_session()).await)
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

#[path = "node_postgres/columns.rs"]
mod columns;

#[tokio::test]
async fn where_neither_is_told_a_table_both_take_the_same() {
    let (schema, database) = (Schema::new("UTC").await, fresh_name());
    schema.run(&format!("CREATE DATABASE {database} TEMPLATE template0")).await;
    let mut url = Url::parse(test_servers::postgres_url()).unwrap();
    url.set_path(&database);
    let options = json!({"url": url.as_str(), "timeZone": "UTC", "createTableIfMissing": true});
    let node = Peer::open("connect-pg-simple@10", options).await;
    let store =
        ConnectPgSimple::connect(url.as_str(), Shape::token_session(), "UTC").await.unwrap();
    let sessions = TokenSession::<Value>::builder().store(store).build().unwrap();
    let id = node.begin(&json!(1), None).await;
    assert_eq!(sessions.get(&token(&id)).await.unwrap().unwrap().data, json!(1));
}

#[tokio::test]
async fn a_column_of_binary_json_works_too() {
    let schema = Schema::with_jsonb().await;
    let (node, sessions) = (schema.node().await, schema.sessions(Shape::token_session()).await);
    let id = node.begin(&json!({"b": 1, "a": [1.5, "é"]}), None).await;
    sessions.update(&token(&id), |data: &mut Value| data["c"] = json!(null)).await.unwrap();
    // The text that was read is what the next write of the same session compares with.
    let mut session = sessions.get(&token(&id)).await.unwrap().unwrap();
    assert_eq!(session.data, json!({"b": 1, "a": [1.5, "é"], "c": null}));
    session.data["c"] = json!(2);
    let issued = sessions.regenerate(&token(&id)).await.unwrap();
    sessions.update(&issued.token, |data| data["d"] = json!(3)).await.unwrap();
    let found = node.get(issued.token.reveal()).await;
    assert_eq!(found["data"], json!({"b": 1, "a": [1.5, "é"], "c": null, "d": 3}));
}

#[tokio::test]
async fn a_table_that_is_not_there_is_no_matter_of_a_migration() {
    let schema = Schema::new("UTC").await;
    schema.run("DROP TABLE {schema}.session").await;
    let sessions = schema.sessions::<Value>(Shape::token_session()).await;
    let error = sessions.create(&json!(1)).await.unwrap_err().to_string();
    assert!(error.contains("createTableIfMissing") && !error.contains("migrate"), "{error}");
}

#[tokio::test]
async fn a_time_zone_that_is_none_is_named() {
    let (url, shape) = (test_servers::postgres_url(), Shape::token_session());
    let error = ConnectPgSimple::connect(url, shape, "Europe/Berlim").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains("\"Europe/Berlim\""), "{error}");
    let store = ConnectPgSimple::connect(url, Shape::token_session(), "Europe/Berlin").await;
    assert!(store.is_ok());
}

#[tokio::test]
async fn an_expired_row_does_not_exist_is_no_hindrance_and_is_swept() {
    let schema = Schema::new("Asia/Tokyo").await;
    let sessions = schema.sessions::<Value>(Shape::token_session()).await;
    for id in ["old-zcM2Gl1Bi74mNZtj", "older-zcM2Gl1Bi74mNZtj", "live-zcM2Gl1Bi74mNZtj"] {
        schema.put(id, r#"{"cookie":{"maxAge":0},"data":1}"#).await;
    }
    schema.run("UPDATE {table} SET expire = expire - interval '1 h 5 s' WHERE sid <> 'live-zcM2Gl1Bi74mNZtj'").await;
    assert!(sessions.get(&token("old-zcM2Gl1Bi74mNZtj")).await.unwrap().is_none());
    assert_eq!(schema.node().await.get("old-zcM2Gl1Bi74mNZtj").await, Value::Null);
    assert_eq!(sessions.count().await.unwrap(), 1);
    assert_eq!(sessions.store().listing().unwrap().sweep(1).await.unwrap(), 1);
    assert_eq!(sessions.store().listing().unwrap().sweep(10).await.unwrap(), 1);
    assert!(sessions.get(&token("live-zcM2Gl1Bi74mNZtj")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_row_that_never_ends_is_alive_and_stays_so() {
    let schema = Schema::new("UTC").await;
    let sessions = schema.sessions::<Value>(Shape::token_session()).await;
    schema.put("forever-zcM2Gl1Bi74mNZtj", r#"{"cookie":{"maxAge":0},"data":1}"#).await;
    schema.run("UPDATE {table} SET expire = 'infinity'").await;
    sessions.touch(&token("forever-zcM2Gl1Bi74mNZtj")).await.unwrap();
    sessions.set(&token("forever-zcM2Gl1Bi74mNZtj"), &json!(2)).await.unwrap();
    let issued = sessions.regenerate(&token("forever-zcM2Gl1Bi74mNZtj")).await.unwrap();
    let select = schema.sql("SELECT expire = 'infinity' FROM {table}");
    let row = sqlx::query(select).fetch_one(&schema.pool).await.unwrap();
    assert!(row.get::<bool, _>(0));
    assert_eq!(sessions.get(&issued.token).await.unwrap().unwrap().data, json!(2));
}

#[tokio::test]
async fn what_the_server_says_of_a_row_is_not_handed_on() {
    let schema = Schema::new("UTC").await;
    schema.run("ALTER TABLE {table} ADD CHECK (expire < '2000-01-01')").await;
    let sessions = schema.sessions::<Value>(Shape::token_session()).await;
    let known = TokenSession::<Value>::builder()
        .store(sessions.store().clone())
        .generator(|_: Origin<'_>| Token::parse("a-token-that-nobody-may-see"))
        .build()
        .unwrap();
    let error = known.create(&json!(1)).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("nobody-may-see"), "{shown}");
    assert!(shown.contains("23514"), "{shown}");
}

#[tokio::test]
async fn a_sweep_and_a_clear_go_on_past_their_first_batch_and_pass_over_held_rows() {
    let (table, url) = (node::fresh_name(), test_servers::postgres_url());
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    let make = format!(
        "CREATE TABLE {table} (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL);
         INSERT INTO {table}
         SELECT n, '{{}}', CASE WHEN n <= 2500 THEN '2000-01-01' ELSE '2100-01-01' END::timestamp
         FROM generate_series(1, 4000) AS n"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&pool).await.unwrap();
    let store = ConnectPgSimple::new(pool.clone(), Shape::express(), "UTC");
    let store = store.table(None, &table).unwrap();
    let mut holder = pool.begin().await.unwrap();
    let hold = format!("SELECT sid FROM {table} WHERE sid = '7' FOR UPDATE");
    sqlx::query(sqlx::AssertSqlSafe(hold)).fetch_all(&mut *holder).await.unwrap();
    assert_eq!(store.sweep(2_200).await.unwrap(), 2_200);
    assert_eq!(store.sweep(2_200).await.unwrap(), 299);
    holder.rollback().await.unwrap();
    store.clear().await.unwrap();
    let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")));
    let rows: i64 = rows.fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 0);
}
