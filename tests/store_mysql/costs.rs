//! The round trips that the docs name.

use std::time::Duration;

use bytes::Bytes;
use token_session::store::{
    Condition, Listing, Load, MySql, NewProof, NewRecord, OwnerLimit, Owners, Store, Touch, Write,
};
use token_session::{Claim, Lifetime, Owner, Proof};

use crate::protocol::Client;
use crate::proxy::Proxy;
use crate::server::{admin, fresh_name, login, put, random_key, run};

/// Loads without the data, and touches if that is due.
fn head(claim: Option<&Claim>, interval: Duration) -> Load<'_> {
    Load { claim, touch: Touch::After(interval), with_data: false }
}

const ALWAYS: Duration = Duration::ZERO;
const NOT_DUE: Duration = Duration::from_secs(3_600);

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

/// Runs every operation. Returns its name, the expected number of statements and the counted one.
async fn statements_of_all(store: &MySql, proxy: &Proxy) -> Vec<(&'static str, usize, usize)> {
    let anna = Owner::new("Anna").unwrap();
    let hour = Lifetime::idle_secs(3_600).unwrap();
    let key = random_key();
    let proofs = [1, 2].map(|byte| Proof::from_bytes([byte; Proof::LEN]));
    let [old, new] = proofs.map(|proof| Claim::new(proof, Duration::from_secs(10)));
    let [first, next] = proofs;
    let plain =
        NewRecord { owner: Some(&anna), proof: Some(first), ..NewRecord::new("data", hour) };
    let limited =
        NewRecord { limit: Some(OwnerLimit::evict_oldest(1.try_into().unwrap())), ..plain.clone() };
    let stale = Write { expected: Some(plain.version), ..Write::data("older") };
    let sealed = Bytes::from_static(b"sealed");
    let handover = NewProof::Rotated { next, sealed };
    let handover = Write { proof: Some(handover), claim: Some(&old), ..Write::default() };
    let (begun, claimed) = (Condition::Version(plain.version), Condition::Claim(&new));
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
    count!("load", 1, store.load(&key, &Load::new()));
    count!("load, touch not due", 1, store.load(&key, &head(Some(&old), NOT_DUE)));
    count!("load, touch due", 2, store.load(&key, &head(Some(&old), ALWAYS)));
    count!("load, another claim", 1, store.load(&key, &head(Some(&new), ALWAYS)));
    count!("replace", 1, store.replace(&key, &Write::data("new data")));
    count!("replace, conflict", 2, store.replace(&key, &stale));
    count!("handover", 2, store.replace(&key, &handover));
    count!("handover, conflict", 1, store.replace(&key, &handover));
    count!("load of the previous secret", 1, store.load(&key, &head(Some(&old), NOT_DUE)));
    count!("confirmation, touch due", 2, store.load(&key, &head(Some(&new), ALWAYS)));
    count!("load after it", 1, store.load(&key, &head(Some(&new), NOT_DUE)));
    count!("alive", 1, store.alive(&[random_key(), key.clone()]));
    count!("remove, conflict", 2, store.remove(&key, begun, false));
    count!("remove", 1, store.remove(&key, claimed, false));
    count!("remove, missing", 2, store.remove(&key, Condition::Always, false));
    count!("replace, missing", 2, store.replace(&key, &stale));
    count!("handover, missing", 1, store.replace(&key, &handover));
    count!("remove and hand out, missing", 1, store.remove(&key, Condition::Always, true));
    count!("insert", 1, store.insert(&key, &plain));
    count!("remove and hand out, conflict", 1, store.remove(&key, claimed, true));
    count!("remove and hand out", 2, store.remove(&key, Condition::Claim(&old), true));
    count!("owned", 1, store.owned(&anna, None, 10, true));
    count!("remove_owned", 2, store.remove_owned(&anna, None));
    count!("scan", 1, store.scan(None, 10));
    count!("count", 1, store.count());
    count!("sweep of nothing", 3, store.sweep(10));
    count!("clear", 1, store.clear());
    all
}

#[tokio::test]
async fn each_operation_takes_the_documented_round_trips() {
    let (store, proxy) = behind_proxy().await;
    // The first run also prepares each statement.
    statements_of_all(&store, &proxy).await;
    let pings_before = proxy.pings();
    let all = statements_of_all(&store, &proxy).await;
    for (operation, expected, statements) in &all {
        assert_eq!(statements, expected, "{operation}");
    }
    // The pool pings when a connection is returned to it; a few operations use two.
    let uses: usize = all.iter().map(|(_, expected, _)| expected).sum();
    assert!(proxy.pings() - pings_before <= uses);
}

#[tokio::test]
async fn a_read_only_account_can_load_without_a_due_touch() {
    let admin = admin().await;
    let (account, table) = (fresh_name(), fresh_name());
    let writer = MySql::builder().table(&table).build(admin.clone()).unwrap();
    writer.migrate().await.unwrap();
    let key = put(&writer).await;
    let url = login(&admin, &account).await;
    run(&admin, format!("GRANT SELECT ON {table} TO {account}")).await;
    let reader = MySql::builder().table(&table);
    let reader = reader.connect(&url).await.unwrap();
    assert!(reader.load(&key, &Load::new()).await.unwrap().live().is_some());
    assert!(reader.load(&key, &head(None, NOT_DUE)).await.unwrap().live().is_some());
    assert!(reader.load(&key, &head(None, ALWAYS)).await.is_err());
}
