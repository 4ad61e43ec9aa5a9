//! Columns as sites have changed them, and time zones.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use sqlx::Executor;
use sqlx::postgres::PgPoolOptions;
use token_session::store::StoreErrorKind;
use token_session::store::compat::Shape;
use token_session::{Error, Lifetime, NewSession};

use crate::node::peer::Peer;
use crate::node::{Place, fresh_name, token};
use crate::{Schema, url_of_role};

const ZONES: [&str; 3] = ["UTC", "America/New_York", "Asia/Tokyo"];
const LIVE: &str = "a-session-that-is-alive";
const DEAD: &str = "a-session-that-has-ended";

/// Asserts that something ends so many seconds from now, to a few seconds.
fn assert_ends_in(seconds: u64, end: Duration) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let off = (now + Duration::from_secs(seconds)).abs_diff(end);
    assert!(off < Duration::from_secs(30), "it is off by {off:?}");
}

/// What Node and this crate write ends when both say, no sooner and no later, and a sweep takes what
/// has ended and nothing else.
async fn both_take_the_column_for_the_same_instant(schema: &Schema) {
    let (node, sessions) =
        (schema.node_with_ttl(600).await, schema.sessions::<Value>(Shape::token_session()).await);
    let of_node = node.begin(&json!(1), None).await;
    let found = sessions.get_untouched(&token(&of_node)).await.unwrap().expect("Node began it");
    assert_ends_in(600, Duration::from_millis(found.meta.expires_at().as_millis()));

    let new = NewSession::new().lifetime(Lifetime::idle_secs(300).unwrap());
    let issued = sessions.create_with(&json!(2), &new).await.unwrap();
    let id = issued.token.reveal();
    assert_ends_in(300, schema.end(id).await);
    assert_eq!(node.get(id).await["data"], json!(2), "it began here");
    assert_ends_in(600, schema.end(id).await);
    sessions.touch(&issued.token).await.unwrap();
    assert_ends_in(300, schema.end(id).await);
    let renewed = sessions.regenerate(&issued.token).await.unwrap().token;
    assert_ends_in(300, schema.end(renewed.reveal()).await);

    for (id, seconds) in [(LIVE, 60), (DEAD, 0)] {
        schema.put(id, r#"{"cookie":{"maxAge":0},"data":3}"#).await;
        schema.leave(id, seconds).await;
    }
    schema.run("UPDATE {table} SET expire = expire - interval '5 s'").await;
    assert!(sessions.get_untouched(&token(LIVE)).await.unwrap().is_some());
    assert!(sessions.get_untouched(&token(DEAD)).await.unwrap().is_none());
    assert_eq!(sessions.count().await.unwrap(), 3);
    assert_eq!(sessions.all(None, 10).await.unwrap().sessions.len(), 3);
    assert_eq!(sessions.store().listing().unwrap().sweep(10).await.unwrap(), 1);
    assert!(schema.text(DEAD).await.is_none());
    assert_eq!(node.get(&of_node).await["data"], json!(1), "Node's session was swept");
    assert_eq!(node.get(LIVE).await["data"], json!(3));
}

#[tokio::test]
async fn a_timestamp_is_in_the_zone_of_nodes_connections() {
    for zone in ZONES {
        both_take_the_column_for_the_same_instant(&Schema::new(zone).await).await;
    }
}

#[tokio::test]
async fn a_timestamptz_is_an_instant_in_any_zone() {
    for zone in ZONES {
        both_take_the_column_for_the_same_instant(&Schema::with_zone(zone).await).await;
    }
}

#[tokio::test]
async fn the_zone_of_this_stores_own_connections_does_not_matter() {
    for mut schema in
        [Schema::new("America/New_York").await, Schema::with_zone("America/New_York").await]
    {
        let pool = PgPoolOptions::new().after_connect(|connection, _| {
            Box::pin(
                async move { connection.execute("SET TimeZone = 'Asia/Tokyo'").await.map(drop) },
            )
        });
        schema.pool = pool.connect(test_servers::postgres_url()).await.unwrap();
        both_take_the_column_for_the_same_instant(&schema).await;
    }
}

/// The setting of a role, which a client that sends no zone gets, as Node's does.
#[tokio::test]
async fn the_zone_may_be_the_setting_of_nodes_role() {
    let (schema, role) = (Schema::new("Asia/Tokyo").await, fresh_name());
    schema.run(&format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{role}'")).await;
    schema.run(&format!("ALTER ROLE {role} SET TimeZone = 'Asia/Tokyo'")).await;
    let (package, mut options) = schema.package().await;
    options["url"] = url_of_role(&role).into();
    options["timeZone"] = Value::Null;
    options["ttl"] = 600.into();
    let node = Peer::open(package, options).await;
    let id = node.begin(&json!(1), None).await;
    assert_ends_in(600, schema.end(&id).await);
    let sessions = schema.sessions::<Value>(Shape::token_session()).await;
    let found = sessions.get_untouched(&token(&id)).await.unwrap().unwrap();
    assert_ends_in(600, Duration::from_millis(found.meta.expires_at().as_millis()));
}

#[tokio::test]
async fn a_column_that_is_changed_while_the_service_runs_is_noticed() {
    let mut schema = Schema::new("Asia/Tokyo").await;
    let sessions = schema.sessions::<Value>(Shape::token_session()).await;
    let issued = sessions.create(&json!(1)).await.unwrap();
    for (to, using) in [("timestamptz", "timestamptz"), ("timestamp", "timestamp(3)")] {
        let zone = schema.time_zone;
        let using = format!("{using} USING expire AT TIME ZONE '{zone}'");
        schema.run(&format!("ALTER TABLE {{table}} ALTER expire TYPE {using}")).await;
        schema.has_zone = to == "timestamptz";
        assert_eq!(sessions.store().listing().unwrap().sweep(10).await.unwrap(), 0, "{to}");
        let found = sessions.get_untouched(&issued.token).await.unwrap().expect("it is alive");
        assert_ends_in(86_400, Duration::from_millis(found.meta.expires_at().as_millis()));
        let later = sessions.create(&json!(2)).await.unwrap();
        assert_ends_in(86_400, schema.end(later.token.reveal()).await);
    }
}

#[tokio::test]
async fn a_column_of_a_type_that_is_not_known_is_refused_by_every_operation() {
    for change in [
        "ALTER expire TYPE bigint USING extract(epoch FROM expire)",
        "ALTER expire TYPE text",
        "ALTER expire TYPE date",
        "ALTER sid TYPE bytea USING sid::bytea",
    ] {
        let schema = Schema::new("Asia/Tokyo").await;
        let sessions = schema.sessions::<Value>(Shape::token_session()).await;
        schema.put(LIVE, r#"{"cookie":{"maxAge":0},"data":1}"#).await;
        schema.run(&format!("ALTER TABLE {{table}} {change}")).await;
        let refusals = [
            sessions.get(&token(LIVE)).await.map(drop).unwrap_err(),
            sessions.create(&json!(1)).await.map(drop).unwrap_err(),
            sessions.destroy(&token(LIVE)).await.map(drop).unwrap_err(),
        ];
        for refusal in refusals {
            assert!(
                matches!(&refusal, Error::Store(error) if error.kind() == StoreErrorKind::Refused),
                "{change}: {refusal}"
            );
            assert!(refusal.to_string().contains("`expire` timestamp"), "{change}: {refusal}");
        }
        if change.contains("expire") {
            let refusal = sessions.count().await.unwrap_err().to_string();
            assert!(refusal.contains("`expire` timestamp"), "{refusal}");
            sessions.store().listing().unwrap().sweep(10).await.unwrap_err();
        }
        let left = schema.sql("SELECT count(*) FROM {table}");
        let left: i64 = sqlx::query_scalar(left).fetch_one(&schema.pool).await.unwrap();
        assert_eq!(left, 1, "{change}");
    }
}

#[tokio::test]
async fn a_column_of_text_works_too() {
    let schema = Schema::new("UTC").await;
    schema.run("ALTER TABLE {table} ALTER sess TYPE text").await;
    let (node, sessions) = (schema.node().await, schema.sessions(Shape::token_session()).await);
    let id = node.begin(&json!({"a": 1}), None).await;
    sessions.update(&token(&id), |data: &mut Value| data["b"] = json!(2)).await.unwrap();
    let issued = sessions.regenerate(&token(&id)).await.unwrap();
    assert_eq!(node.get(issued.token.reveal()).await["data"], json!({"a": 1, "b": 2}));
}

#[tokio::test]
async fn a_column_that_takes_one_id_for_another_opens_no_session() {
    let schema = Schema::new("UTC").await;
    let collation = "CREATE COLLATION {schema}.caseless
                     (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";
    schema.run(collation).await;
    schema.run("ALTER TABLE {table} ALTER sid TYPE varchar COLLATE {schema}.caseless").await;
    let sessions = schema.sessions::<Value>(Shape::token_session()).await;
    schema.put(LIVE, r#"{"cookie":{"maxAge":0},"data":1}"#).await;
    let other = token(&LIVE.to_uppercase());
    assert!(sessions.get(&other).await.unwrap().is_none());
    assert!(!sessions.destroy(&other).await.unwrap());
    assert!(sessions.get(&token(LIVE)).await.unwrap().is_some());
    assert!(sessions.destroy(&token(LIVE)).await.unwrap());
}
