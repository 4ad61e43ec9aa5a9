//! What the docs say of round trips, and of the load that writes nothing.

use std::time::Duration;

use token_session::store::{
    Condition, NewRecord, OwnerLimit, Postgres, Renewal, Store, Touch, Write,
};
use token_session::{Lifetime, Owner};

use crate::protocol::Frontend;
use crate::proxy::Proxy;
use crate::server::{admin, fresh_name, login, number, put, random_key, run};

const ALWAYS: Touch = Touch::After(Duration::ZERO);
const NOT_DUE: Touch = Touch::After(Duration::from_secs(3_600));

/// A store whose one connection goes through a proxy.
async fn behind_proxy() -> (Postgres, Proxy) {
    let server = test_servers::postgres_url();
    let (before, after) = server.rsplit_once(':').unwrap();
    let (port, database) = after.split_once('/').unwrap();
    let proxy = Proxy::start::<Frontend>(port.parse().unwrap()).await;
    let url = format!("{before}:{}/{database}?sslmode=disable", proxy.port);
    let store = Postgres::builder().table(fresh_name()).max_connections(1);
    let store = store.connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    (store, proxy)
}

/// Runs every operation, and returns what each took of statements.
async fn statements_of_all(store: &Postgres, proxy: &Proxy) -> Vec<(&'static str, usize)> {
    let (anna, hour) = (Owner::new("Anna").unwrap(), Lifetime::idle_secs(3_600).unwrap());
    let (key, to) = (random_key(), random_key());
    let plain = NewRecord { owner: Some(&anna), ..NewRecord::new("data", hour) };
    let limit = Some(OwnerLimit::evict_oldest(1.try_into().unwrap()));
    let limited = NewRecord { limit, ..plain.clone() };
    let stale = Write { expected: Some(plain.version), ..Write::new("older") };
    let mut all = Vec::new();
    macro_rules! count {
        ($name:literal, $operation:expr) => {
            let before = proxy.statements();
            $operation.await.unwrap();
            all.push(($name, proxy.statements() - before));
        };
    }
    count!("insert", store.insert(&key, &plain));
    count!("insert with a limit", store.insert(&random_key(), &limited));
    count!("insert", store.insert(&key, &plain));
    count!("load", store.load(&key, Touch::No));
    count!("load, touch not due", store.load(&key, NOT_DUE));
    count!("load, touch due", store.load(&key, ALWAYS));
    count!("touch, due", store.touch(&key, ALWAYS));
    count!("touch, not due", store.touch(&key, NOT_DUE));
    count!("replace", store.replace(&key, &Write::new("new data")));
    count!("replace, conflict", store.replace(&key, &stale));
    count!("rename", store.rename(&key, &to, Renewal::Key));
    count!("replace, missing", store.replace(&key, &stale));
    count!("owned", store.owned(&anna, 10));
    count!("remove, conflict", store.remove(&to, Condition::Version(plain.version)));
    count!("remove", store.remove(&to, Condition::Owner(&anna)));
    count!("take", store.take(&key));
    count!("remove_owned", store.remove_owned(&anna, None));
    count!("scan", store.scan(None, 10));
    count!("count", store.count());
    count!("sweep", store.sweep(10));
    count!("clear", store.clear());
    all
}

#[tokio::test]
async fn an_operation_is_one_round_trip() {
    let (store, proxy) = behind_proxy().await;
    // The first time, each statement is prepared.
    statements_of_all(&store, &proxy).await;
    let (before, pings_before) = (proxy.statements(), proxy.pings());
    for (operation, statements) in statements_of_all(&store, &proxy).await {
        let expected = match operation {
            "insert with a limit" => 3,
            _ => 1,
        };
        assert_eq!(statements, expected, "{operation}");
    }
    assert_eq!(proxy.statements() - before, 23);
    // One from the pool, as each of 21 operations hands its connection back, and one more where a
    // connection lay idle for a second.
    assert!(proxy.pings() - pings_before <= 2 * 22);
}

#[tokio::test]
async fn a_load_whose_touch_is_not_due_writes_nothing() {
    let server = test_servers::Postgres::start().unwrap();
    let pool = sqlx::PgPool::connect(server.url()).await.unwrap();
    // Nobody else is to take a transaction id or write to the log meanwhile.
    run(&pool, "ALTER SYSTEM SET autovacuum = off").await;
    run(&pool, "SELECT pg_reload_conf(); CREATE EXTENSION pg_stat_statements; CHECKPOINT").await;
    let store = Postgres::new(pool.clone());
    store.migrate().await.unwrap();
    let key = put(&store).await;

    let next_id = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    let log_records = "SELECT coalesce(sum(wal_records), 0)::bigint FROM pg_stat_statements
                       WHERE query LIKE '%token_sessions%' AND query LIKE '%touched%'";
    run(&pool, "SELECT pg_stat_statements_reset()").await;
    let before = number(&pool, next_id).await;
    for _ in 0..100 {
        assert!(store.load(&key, NOT_DUE).await.unwrap().is_some());
        assert!(store.touch(&key, NOT_DUE).await.unwrap().is_some());
    }
    assert_eq!(number(&pool, next_id).await, before);
    assert_eq!(number(&pool, log_records).await, 0);

    // And so that the numbers mean something:
    assert!(store.touch(&key, ALWAYS).await.unwrap().is_some());
    assert!(number(&pool, next_id).await > before);
    assert!(number(&pool, log_records).await > 0);
}

#[tokio::test]
async fn a_read_only_role_may_load_without_a_touch() {
    let admin = admin().await;
    let (role, table) = (fresh_name(), fresh_name());
    let writer = Postgres::builder().table(&table).build(admin.clone()).unwrap();
    writer.migrate().await.unwrap();
    let key = put(&writer).await;
    let url = login(&admin, &role).await;
    run(&admin, format!("GRANT SELECT ON {table} TO {role}")).await;
    run(&admin, format!("ALTER ROLE {role} SET default_transaction_read_only = on")).await;
    let reader = Postgres::builder().table(&table).connect(&url).await.unwrap();
    assert!(reader.load(&key, Touch::No).await.unwrap().is_some());
}
