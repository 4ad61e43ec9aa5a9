//! What the docs say of round trips, and of the load that writes nothing.

use std::time::Duration;

use token_session::store::{
    Condition, Listing, Load, NewProof, NewRecord, OwnerLimit, Owners, Postgres, Replaced, Store,
    Touch, Write,
};
use token_session::{Claim, Details, Lifetime, Owner, Proof};

use crate::protocol::Frontend;
use crate::proxy::Proxy;
use crate::server::{admin, fresh_name, login, number, put, random_key, run};
use crate::sql_server::{TOUCHING, found};

const NOT_DUE: Load<'_> = Load { touch: Touch::After(Duration::from_secs(3_600)), ..Load::new() };

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
    let (key, other) = (random_key(), random_key());
    let [first, second] = [1, 2].map(|byte| Proof::from_bytes([byte; Proof::LEN]));
    let claims = [first, second].map(|proof| Claim::new(proof, Duration::ZERO));
    let [of_first, of_second] = claims.each_ref().map(|claim| {
        let claim = Some(claim);
        Load { claim, ..Load::new() }
    });
    let proof = Some(first);
    let plain = NewRecord { owner: Some(&anna), proof, ..NewRecord::new("data", hour) };
    let limit = Some(OwnerLimit::evict_oldest(1.try_into().unwrap()));
    let limited = NewRecord { limit, ..plain.clone() };
    let stale = Write { expected: Some(plain.version), ..Write::data("older") };
    let hand_over = |next| {
        let proof = Some(NewProof::Rotated { next, sealed: "the next secret".into() });
        Write { proof, ..Write::default() }
    };
    let keys = [key.clone(), other.clone(), key.clone()];
    let mut all = Vec::new();
    macro_rules! count {
        ($name:literal, $operation:expr) => {
            let before = proxy.statements();
            $operation.await.unwrap();
            all.push(($name, proxy.statements() - before));
        };
    }
    count!("insert", store.insert(&key, &plain));
    count!("insert with a limit", store.insert(&other, &limited));
    count!("insert", store.insert(&key, &plain));
    count!("load", store.load(&key, &Load::new()));
    count!("load, touch not due", store.load(&key, &NOT_DUE));
    count!("load, touch due", store.load(&key, &TOUCHING));
    count!("load, claimed", store.load(&key, &of_first));
    count!("load, another claim", store.load(&key, &of_second));
    count!("handover", store.replace(&key, &hand_over(second)));
    count!("load, previous", store.load(&key, &of_first));
    count!("load, confirming alone", store.load(&key, &of_second));
    count!("load, confirmed", store.load(&key, &of_second));
    count!("handover", store.replace(&key, &hand_over(first)));
    count!("load, confirming", store.load(&key, &Load { touch: NOT_DUE.touch, ..of_first }));
    count!("replace", store.replace(&key, &Write::data("new data")));
    count!("replace, conflict", store.replace(&key, &stale));
    count!("replace, missing", store.replace(&random_key(), &stale));
    count!("alive", store.alive(&keys));
    count!("owned", store.owned(&anna, None, 10, true));
    count!("remove, conflict", store.remove(&key, Condition::Version(plain.version), false));
    count!("remove", store.remove(&key, Condition::Claim(&claims[0]), true));
    count!("remove, missing", store.remove(&key, Condition::Always, true));
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
    let pings_before = proxy.pings();
    let all = statements_of_all(&store, &proxy).await;
    for (operation, statements) in &all {
        let expected = match *operation {
            "insert with a limit" => 3,
            "load, confirming alone" => 2,
            _ => 1,
        };
        assert_eq!(*statements, expected, "{operation}");
    }
    // One from the pool, as each statement's connection goes back, and one more where a connection
    // lay idle for a second.
    assert!(proxy.pings() - pings_before <= 2 * (all.len() + 1));
}

#[tokio::test]
async fn a_question_about_no_keys_sends_nothing() {
    let (store, proxy) = behind_proxy().await;
    let before = proxy.statements();
    assert!(store.alive(&[]).await.unwrap().is_empty());
    assert_eq!(proxy.statements(), before);
}

#[tokio::test]
async fn a_load_whose_touch_is_not_due_writes_nothing() {
    let server = test_servers::Postgres::start().unwrap();
    let pool = sqlx::PgPool::connect(server.url()).await.unwrap();
    // Nothing else may take a transaction id or write to the log meanwhile.
    run(&pool, "ALTER SYSTEM SET autovacuum = off").await;
    run(&pool, "SELECT pg_reload_conf(); CREATE EXTENSION pg_stat_statements; CHECKPOINT").await;
    let store = Postgres::new(pool.clone());
    store.migrate().await.unwrap();
    let key = put(&store).await;

    let next_id = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    let log_records = "SELECT coalesce(sum(wal_records), 0)::bigint FROM pg_stat_statements
                       WHERE query LIKE '%token_sessions%' AND query LIKE '%written%'";
    run(&pool, "SELECT pg_stat_statements_reset()").await;
    let before = number(&pool, next_id).await;
    for _ in 0..100 {
        for with_data in [true, false] {
            let load = Load { with_data, ..NOT_DUE };
            assert!(store.load(&key, &load).await.unwrap().live().is_some());
        }
    }
    assert_eq!(number(&pool, next_id).await, before);
    assert_eq!(number(&pool, log_records).await, 0);

    // A load that does write changes both numbers:
    assert!(store.load(&key, &TOUCHING).await.unwrap().live().is_some());
    assert!(number(&pool, next_id).await > before);
    assert!(number(&pool, log_records).await > 0);
}

#[tokio::test]
async fn a_read_only_role_may_load_without_a_touch() {
    let admin = admin().await;
    let (role, table) = (fresh_name(), fresh_name());
    let writer = Postgres::builder().table(&table).build(admin.clone()).unwrap();
    writer.migrate().await.unwrap();
    let (key, proof) = (random_key(), Proof::from_bytes([1; Proof::LEN]));
    let hour = Lifetime::idle_secs(3_600).unwrap();
    let record = NewRecord { proof: Some(proof), ..NewRecord::new("data", hour) };
    writer.insert(&key, &record).await.unwrap();
    let url = login(&admin, &role).await;
    run(&admin, format!("GRANT SELECT ON {table} TO {role}")).await;
    run(&admin, format!("ALTER ROLE {role} SET default_transaction_read_only = on")).await;
    let reader = Postgres::builder().table(&table).connect(&url).await.unwrap();
    assert!(found(&reader, &key).await.is_some());
    assert_eq!(reader.alive(std::slice::from_ref(&key)).await.unwrap(), [true]);
    let claim = Claim::new(proof, Duration::ZERO);
    let load = Load { claim: Some(&claim), ..Load::new() };
    assert!(reader.load(&key, &load).await.unwrap().live().is_some());
    // The first use of a next secret is a write.
    let next = Proof::from_bytes([2; Proof::LEN]);
    let handover = NewProof::Rotated { next, sealed: "the next secret".into() };
    let handover = Write { proof: Some(handover), ..Write::default() };
    assert!(matches!(writer.replace(&key, &handover).await.unwrap(), Replaced::Done(_)));
    assert!(reader.load(&key, &load).await.unwrap().live().is_some());
    let claim = Claim::new(next, Duration::ZERO);
    let load = Load { claim: Some(&claim), ..Load::new() };
    reader.load(&key, &load).await.unwrap_err();
}

#[tokio::test]
async fn a_write_without_data_does_not_rewrite_large_data() {
    let (admin, table) = (admin().await, fresh_name());
    let store = Postgres::builder().table(&table).build(admin.clone()).unwrap();
    store.migrate().await.unwrap();
    let mut data = vec![0; 100_000];
    getrandom::fill(&mut data).unwrap();
    let (key, hour) = (random_key(), Lifetime::idle_secs(3_600).unwrap());
    store.insert(&key, &NewRecord::new(data.clone(), hour)).await.unwrap();
    let beside = format!(
        "SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = '{table}'::regclass"
    );
    let before = number(&admin, beside.clone()).await;
    assert!(before >= 100_000);
    let details = Details::from_stored("details".into());
    let write = Write { details: Some(&details), touch: true, ..Write::default() };
    for _ in 0..10 {
        store.replace(&key, &write).await.unwrap();
        store.load(&key, &TOUCHING).await.unwrap();
    }
    assert_eq!(number(&admin, beside).await, before);
    let found = found(&store, &key).await.unwrap();
    assert_eq!((found.data, found.details), (data.into(), details));
}
