//! A statement that is asked for by another one's name says so, and does nothing.

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Row};
use test_servers::postgres_url;
use token_session::store::compat::{ConnectPgSimple, Shape};
use token_session::store::{
    Condition, NewRecord, OwnerLimit, Postgres, Renewal, Store, Touch, Write,
};
use token_session::{Key, Lifetime, Owner};

use crate::server::{admin, fresh_name, number, put, random_key, run};

const ALWAYS: Touch = Touch::After(std::time::Duration::ZERO);

/// Asks for everything once, so that everything is prepared. Most of it finds nothing.
async fn ask_for_all(store: &impl Store, key: impl Fn() -> Key) {
    let (anna, hour) = (Owner::new("Nobody").unwrap(), Lifetime::idle_secs(3_600).unwrap());
    let limit = Some(OwnerLimit::evict_oldest(1.try_into().unwrap()));
    let limited = NewRecord { owner: Some(&anna), limit, ..NewRecord::new("data", hour) };
    let _ = store.insert(&key(), &NewRecord::new("data", hour)).await;
    let _ = store.insert(&key(), &limited).await;
    let _ = store.load(&key(), Touch::No).await;
    let _ = store.load(&key(), ALWAYS).await;
    let _ = store.touch(&key(), Touch::No).await;
    let _ = store.touch(&key(), ALWAYS).await;
    let _ = store.replace(&key(), &Write::new("new")).await;
    let _ = store.rename(&key(), &key(), Renewal::Key).await;
    let _ = store.take(&key()).await;
    let _ = store.remove(&key(), Condition::Always).await;
    let _ = store.owned(&anna, 10).await;
    let _ = store.remove_owned(&anna, None).await;
    let _ = store.scan(None, 10).await;
    let _ = store.count().await;
    let _ = store.sweep(10).await;
    let _ = store.clear().await;
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
async fn a_statement_that_is_asked_for_as_another_one_fails() {
    let (pool, table) = (pool_of_one().await, fresh_name());
    let store = Postgres::builder().table(&table).build(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    ask_for_all(&store, random_key).await;
    assert!(prepared(&pool).await.len() >= 17);
    let count = format!("SELECT count(*) FROM {table}");
    every_one_fails(&pool, &count, "'\\x07'").await;
    put(&store).await;
    let key = format!("SELECT quote_literal(key) FROM {table}");
    let key: String = sqlx::query_scalar(AssertSqlSafe(key)).fetch_one(&pool).await.unwrap();
    every_one_fails(&pool, &count, &format!("{key}::bytea")).await;
}

#[tokio::test]
async fn a_statement_of_connect_pg_simple_that_is_asked_for_as_another_one_fails() {
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
