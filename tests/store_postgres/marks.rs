//! A statement that is called by another one's name fails, and changes nothing.

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Row};
use test_servers::postgres_url;
use token_session::store::compat::{ConnectPgSimple, Shape};
use token_session::store::{
    Condition, Load, NewRecord, OwnerLimit, Postgres, Renewal, Store, Write,
};
use token_session::{Key, Lifetime, Owner};

use crate::server::{admin, fresh_name, number, put, random_key, run};
use crate::sql_server::TOUCHING;

/// Calls every operation once, so that every statement is prepared. Most calls find nothing.
async fn ask_for_all(store: &impl Store, key: impl Fn() -> Key) {
    let (anna, hour) = (Owner::new("Nobody").unwrap(), Lifetime::idle_secs(3_600).unwrap());
    let limit = Some(OwnerLimit::evict_oldest(1.try_into().unwrap()));
    let limited = NewRecord { owner: Some(&anna), limit, ..NewRecord::new("data", hour) };
    let _ = store.insert(&key(), &NewRecord::new("data", hour)).await;
    let _ = store.insert(&key(), &limited).await;
    for with_data in [true, false] {
        let _ = store.load(&key(), &Load { with_data, ..Load::new() }).await;
        let _ = store.load(&key(), &Load { with_data, ..TOUCHING }).await;
    }
    let _ = store.replace(&key(), &Write::data("new")).await;
    for hand_out in [true, false] {
        let _ = store.remove(&key(), Condition::Always, hand_out).await;
    }
    let _ = store.alive(&[key(), key()]).await;
    if let Some(owners) = store.owners() {
        for with_data in [true, false] {
            let _ = owners.owned(&anna, None, 10, with_data).await;
        }
        let _ = owners.remove_owned(&anna, None).await;
    }
    if let Some(moves) = store.moves() {
        let _ = moves.rename(&key(), &key(), Renewal::Key).await;
    }
    if let Some(listing) = store.listing() {
        let _ = listing.scan(None, 10).await;
        let _ = listing.count().await;
        let _ = listing.sweep(10).await;
        let _ = listing.clear().await;
    }
}

/// The statements that are prepared on the only connection of a pool: a name, the types of the
/// values, the text.
async fn prepared(pool: &PgPool) -> Vec<(String, Vec<String>, String)> {
    let prepared = "SELECT name, parameter_types::text[], statement FROM pg_prepared_statements
                    WHERE statement LIKE '%ff00%' ORDER BY name";
    let rows = sqlx::query(prepared).persistent(false).fetch_all(pool).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// Runs every prepared statement with a mark that is not its own.
async fn every_one_fails(pool: &PgPool, count: &str, bytes: &str) {
    let all = prepared(pool).await;
    let before = number(pool, count).await;
    for plan in ["force_custom_plan", "force_generic_plan"] {
        run(pool, format!("SET plan_cache_mode = {plan}")).await;
        for (name, types, statement) in &all {
            let values = types.iter().enumerate().map(|(place, kind)| match &**kind {
                "bytea" if place == 0 => "'\\xff00'".to_owned(),
                "bytea" => bytes.to_owned(),
                "bytea[]" => format!("ARRAY[{bytes}]::bytea[]"),
                "text" => "'UTC'".to_owned(),
                "boolean" => "true".to_owned(),
                _ => "1".to_owned(),
            });
            let values = values.collect::<Vec<_>>().join(", ");
            let execute = AssertSqlSafe(format!("EXECUTE {name}({values})"));
            let error = sqlx::raw_sql(execute).execute(pool).await.expect_err(statement);
            let code = error.as_database_error().and_then(|error| error.code());
            assert_eq!(code.as_deref(), Some("2201E"), "{statement}: {error}");
            assert_eq!(number(pool, count).await, before, "{statement}");
        }
    }
}

async fn pool_of_one() -> PgPool {
    PgPoolOptions::new().max_connections(1).connect(postgres_url()).await.unwrap()
}

#[tokio::test]
async fn a_statement_called_by_another_ones_name_fails() {
    let (pool, table) = (pool_of_one().await, fresh_name());
    let store = Postgres::builder().table(&table).build(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    ask_for_all(&store, random_key).await;
    assert!(prepared(&pool).await.len() >= 18);
    let count = format!("SELECT count(*) FROM {table}");
    every_one_fails(&pool, &count, "'\\x07'").await;
    put(&store).await;
    let key = format!("SELECT quote_literal(key) FROM {table}");
    let key: String = sqlx::query_scalar(AssertSqlSafe(key)).fetch_one(&pool).await.unwrap();
    every_one_fails(&pool, &count, &format!("{key}::bytea")).await;
}

#[tokio::test]
async fn a_statement_of_connect_pg_simple_called_by_another_ones_name_fails() {
    let (pool, table) = (pool_of_one().await, fresh_name());
    run(
        &admin().await,
        format!(
            "CREATE TABLE {table} (sid varchar PRIMARY KEY, sess json NOT NULL,
             expire timestamp(6) NOT NULL);
             INSERT INTO {table} VALUES ('UTC', '{{\"cookie\":{{}}}}', now() + '1 hour')"
        ),
    )
    .await;
    let store = ConnectPgSimple::new(pool.clone(), Shape::express(), "UTC");
    let store = store.table(None, &table).unwrap();
    ask_for_all(&store, random_key).await;
    let count = format!("SELECT count(*) FROM {table}");
    every_one_fails(&pool, &count, "'\\x07'").await;
}
