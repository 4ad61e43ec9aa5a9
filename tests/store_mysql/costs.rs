//! What the docs say of round trips.

use std::time::Duration;

use token_session::store::{Condition, MySql, NewRecord, OwnerLimit, Renewal, Store, Touch, Write};
use token_session::{Lifetime, Owner};

use crate::protocol::Client;
use crate::proxy::Proxy;
use crate::server::{admin, fresh_name, login, put, random_key, run};

const ALWAYS: Touch = Touch::After(Duration::ZERO);
const NOT_DUE: Touch = Touch::After(Duration::from_secs(3_600));

/// A store whose one connection goes through a proxy.
async fn behind_proxy() -> (MySql, Proxy) {
    let server = test_servers::mysql_url();
    let (before, after) = server.rsplit_once(':').unwrap();
    let (port, database) = after.split_once('/').unwrap();
    let proxy = Proxy::start::<Client>(port.parse().unwrap()).await;
    let url = format!("{before}:{}/{database}?ssl-mode=disabled", proxy.port);
    let store = MySql::builder().table(fresh_name()).max_connections(1);
    let store = store.connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    (store, proxy)
}

/// Runs every operation, and returns what it was to take of statements, and took.
async fn statements_of_all(store: &MySql, proxy: &Proxy) -> Vec<(&'static str, usize, usize)> {
    let anna = Owner::new("Anna").unwrap();
    let hour = Lifetime::idle_secs(3_600).unwrap();
    let (key, to) = (random_key(), random_key());
    let plain = NewRecord { owner: Some(&anna), ..NewRecord::new("data", hour) };
    let limited =
        NewRecord { limit: Some(OwnerLimit::evict_oldest(1.try_into().unwrap())), ..plain.clone() };
    let stale = Write { expected: Some(plain.version), ..Write::new("older") };
    let first = Condition::Version(plain.version);
    let mut all = Vec::new();
    macro_rules! count {
        ($name:literal, $expected:literal, $operation:expr) => {
            let before = proxy.statements();
            $operation.await.unwrap();
            all.push(($name, $expected, proxy.statements() - before));
        };
    }
    count!("insert with a limit", 5, store.insert(&random_key(), &limited));
    count!("insert that evicts", 6, store.insert(&random_key(), &limited));
    count!("insert", 1, store.insert(&key, &plain));
    count!("load", 1, store.load(&key, Touch::No));
    count!("load, touch not due", 1, store.load(&key, NOT_DUE));
    count!("load, touch due", 2, store.load(&key, ALWAYS));
    count!("touch, not due", 1, store.touch(&key, NOT_DUE));
    count!("touch, due", 2, store.touch(&key, ALWAYS));
    count!("replace", 1, store.replace(&key, &Write::new("new data")));
    count!("replace, conflict", 2, store.replace(&key, &stale));
    count!("rename", 2, store.rename(&key, &to, Renewal::Key));
    count!("rename, missing", 1, store.rename(&key, &to, Renewal::Key));
    count!("replace, missing", 2, store.replace(&key, &stale));
    count!("remove, conflict", 2, store.remove(&to, first));
    count!("remove", 1, store.remove(&to, Condition::Owner(&anna)));
    count!("remove, missing", 2, store.remove(&to, Condition::Always));
    count!("take, missing", 1, store.take(&to));
    count!("insert", 1, store.insert(&key, &plain));
    count!("take", 2, store.take(&key));
    count!("owned", 1, store.owned(&anna, 10));
    count!("remove_owned", 2, store.remove_owned(&anna, None));
    count!("scan", 1, store.scan(None, 10));
    count!("count", 1, store.count());
    count!("sweep of nothing", 3, store.sweep(10));
    count!("clear", 1, store.clear());
    all
}

#[tokio::test]
async fn an_operation_takes_the_round_trips_that_the_docs_name() {
    let (store, proxy) = behind_proxy().await;
    // The first time, each statement is prepared.
    statements_of_all(&store, &proxy).await;
    let pings_before = proxy.pings();
    let all = statements_of_all(&store, &proxy).await;
    for (operation, expected, statements) in &all {
        assert_eq!(statements, expected, "{operation}");
    }
    // From the pool, as each use hands its connection back; a few operations use two.
    let uses: usize = all.iter().map(|(_, expected, _)| expected).sum();
    assert!(proxy.pings() - pings_before <= uses);
}

#[tokio::test]
async fn an_account_that_may_only_read_may_load_what_is_not_due() {
    let admin = admin().await;
    let (account, table) = (fresh_name(), fresh_name());
    let writer = MySql::builder().table(&table).build(admin.clone()).unwrap();
    writer.migrate().await.unwrap();
    let key = put(&writer).await;
    let url = login(&admin, &account).await;
    run(&admin, format!("GRANT SELECT ON {table} TO {account}")).await;
    let reader = MySql::builder().table(&table);
    let reader = reader.connect(&url).await.unwrap();
    assert!(reader.load(&key, Touch::No).await.unwrap().is_some());
    assert!(reader.load(&key, NOT_DUE).await.unwrap().is_some());
    assert!(reader.touch(&key, ALWAYS).await.is_err());
}
