//! What happens to a connection whose caller is gone, on every server that speaks SQL.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use token_session::store::{Listing, Load, NewRecord, OwnerLimit, Owners, Store, Write};
use token_session::{Lifetime, Owner};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use crate::gate::Gate;
use crate::server::{
    HOLD_ALL, PLAIN, Pool, PoolOptions, Sql, admin, fresh_name, put, random_key, shared_url,
};
use crate::sql_faults::{BOUND, resumes};
use crate::sql_server::found;

fn hour() -> Lifetime {
    Lifetime::idle_secs(3_600).unwrap()
}

/// A store with at most this many connections, which go through a gate. None is open yet.
async fn behind_gate(connections: u32) -> (Sql, Pool, Gate) {
    on_table(&fresh_name(), connections, BOUND).await
}

async fn on_table(table: &str, connections: u32, patience: Duration) -> (Sql, Pool, Gate) {
    let (gate, url) = Gate::before(shared_url()).await;
    let pool = PoolOptions::new().max_connections(connections).test_before_acquire(false);
    let pool = pool.connect_lazy(&format!("{url}{PLAIN}")).unwrap();
    let store = Sql::builder().table(table).timeout(patience).build(pool.clone()).unwrap();
    (store, pool, gate)
}

/// Waits until all connections are back in the pool, with nothing under way on them.
async fn settled(pool: &Pool) {
    let settles = async {
        while pool.num_idle() != pool.size() as usize {
            yield_now().await;
        }
    };
    timeout(BOUND, settles).await.expect("the connections come back");
}

/// Whether a call ends although only this many bytes of its answers pass. If not, it is dropped there.
async fn ends_within<T>(gate: &Gate, bytes: usize, call: impl Future<Output = T>) -> bool {
    let before = gate.counts();
    gate.close_after(bytes);
    let mut call = pin!(call);
    let half_way = async {
        gate.until(|now| now.asked > before.asked && now.answered == before.answered + bytes).await;
        // Gives the caller time to see what passed.
        for _ in 0..10 {
            yield_now().await;
        }
        // All of it may have passed, with nothing left to hold back.
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    let ended = tokio::select! {
        biased;
        _ = &mut call => true,
        () = half_way => false,
    };
    gate.open();
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_left_at_any_byte_is_not_the_next_callers() {
    let (store, pool, gate) = behind_gate(1).await;
    store.migrate().await.unwrap();
    let (mine, yours) = (put(&store).await, random_key());
    store.insert(&yours, &NewRecord::new("yours", hour())).await.unwrap();
    found(&store, &mine).await;
    let mut bytes = 0;
    loop {
        settled(&pool).await;
        let ended = ends_within(&gate, bytes, store.load(&mine, &Load::new())).await;
        let found = timeout(BOUND, store.load(&yours, &Load::new())).await.unwrap().unwrap();
        assert_eq!(found.live().unwrap().data, "yours", "after {bytes} bytes");
        if ended {
            break;
        }
        bytes += 7;
    }
    assert!(bytes > 60, "{bytes} bytes are no record");
    assert_eq!(gate.counts().connections, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_is_dropped_while_it_is_prepared_leaves_its_connection_sound() {
    let (store, pool, gate) = behind_gate(1).await;
    store.migrate().await.unwrap();
    let mut connections = 1;
    for bytes in (0..200).step_by(20) {
        // Closes the connection, so that the next statement is prepared again.
        settled(&pool).await;
        pool.acquire().await.unwrap().close().await.unwrap();
        drop(pool.acquire().await.unwrap());
        connections += 1;
        settled(&pool).await;
        let key = random_key();
        ends_within(&gate, bytes, store.insert(&key, &NewRecord::new("mine", hour()))).await;
        let other = put(&store).await;
        assert_eq!(found(&store, &other).await.unwrap().data, "data");
        assert!(found(&store, &key).await.is_some(), "it was begun, so it ends");
    }
    assert_eq!(gate.counts().connections, connections);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_whose_caller_goes_while_it_is_made_is_made() {
    // Starts the server first, so the waits below are not for that.
    shared_url();
    for bytes in [0, 1, 40, 80] {
        let (store, pool, gate) = behind_gate(1).await;
        gate.close_after(bytes);
        {
            let mut call = pin!(store.count());
            tokio::select! {
                biased;
                _ = &mut call => panic!("nothing answers"),
                () = gate.until(|now| now.connections == 1 && now.answered == bytes) => {}
            }
        }
        gate.open();
        let is_made = async {
            while pool.num_idle() == 0 {
                yield_now().await;
            }
        };
        timeout(BOUND, is_made).await.expect("the connection is made");
        store.migrate().await.unwrap();
        assert_eq!(store.count().await.unwrap(), 0);
        assert_eq!(gate.counts().connections, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_left_at_any_byte_is_not_left_open() {
    let table = fresh_name();
    let (store, pool, gate) = on_table(&table, 1, BOUND).await;
    let others = Sql::builder().table(&table).build(admin().await).unwrap();
    store.migrate().await.unwrap();
    let owner = Owner::new("Anna").unwrap();
    let limit = Some(OwnerLimit::evict_oldest(3.try_into().unwrap()));
    let record = NewRecord { owner: Some(&owner), limit, ..NewRecord::new("data", hour()) };
    let mut bytes = 0;
    loop {
        settled(&pool).await;
        let key = random_key();
        let ended = ends_within(&gate, bytes, store.insert(&key, &record)).await;
        settled(&pool).await;
        let owned = store.owned(&owner, None, 10, false).await.unwrap().records;
        let is_listed = owned.iter().any(|(listed, _)| *listed == key);
        assert_eq!(found(&store, &key).await.is_some(), is_listed);
        assert!(owned.len() <= 3);
        // On the same connection: an open transaction would hide it from all other connections.
        let plain = put(&store).await;
        let seen = found(&others, &plain).await;
        assert!(seen.is_some(), "it is not committed, after {bytes} bytes");
        let another = NewRecord { limit, ..record.clone() };
        let inserted = timeout(BOUND, others.insert(&random_key(), &another)).await;
        inserted.expect("the owner is unlocked").unwrap();
        if ended {
            break;
        }
        bytes += 29;
    }
    assert!(bytes > 60);
    assert_eq!(gate.counts().connections, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_statement_behind_a_lock_keeps_its_connection_for_the_timeout_at_most() {
    let (table, admin) = (fresh_name(), admin().await);
    let (store, pool, gate) = on_table(&table, 1, Duration::from_secs(1)).await;
    store.migrate().await.unwrap();
    let key = put(&store).await;
    let mut holder = admin.begin().await.unwrap();
    let hold = sqlx::AssertSqlSafe(HOLD_ALL.replace("{table}", &table));
    sqlx::query(hold).fetch_all(&mut *holder).await.unwrap();
    settled(&pool).await;
    let write = Write::data("new data");
    // It waits for the row before it has answered anything, prepared or not.
    let ended = ends_within(&gate, 0, store.replace(&key, &write)).await;
    assert!(!ended);
    resumes(&store).await;
    let before = found(&store, &key).await.unwrap();
    assert_eq!(before.data, "data");
    holder.rollback().await.unwrap();
    let found = found(&store, &key).await.unwrap();
    let is_done = found.meta.version != before.meta.version;
    assert_eq!(found.data, if is_done { "new data" } else { "data" });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_hang_up_cost_no_connections() {
    const MOST: usize = 5;
    let (store, pool, gate) = behind_gate(MOST as u32).await;
    store.migrate().await.unwrap();
    let key = put(&store).await;
    let store = Arc::new(store);
    let owner = Owner::new("Anna").unwrap();
    let clients: JoinSet<_> = (0..20)
        .map(|client| {
            let (store, key, owner) = (Arc::clone(&store), key.clone(), owner.clone());
            async move {
                let limit = Some(OwnerLimit::evict_oldest(3.try_into().unwrap()));
                let owner = Some(&owner);
                let record = NewRecord { owner, limit, ..NewRecord::new("data", hour()) };
                for call in 0..60 {
                    let given_up = Duration::from_micros(100 * (call % 10));
                    let _ = match client % 3 {
                        0 => {
                            let new = random_key();
                            timeout(given_up, store.insert(&new, &record)).await.is_ok()
                        }
                        1 => timeout(given_up, store.replace(&key, &Write::data("new")))
                            .await
                            .is_ok(),
                        _ => timeout(given_up, store.load(&key, &Load::new())).await.is_ok(),
                    };
                }
            }
        })
        .collect();
    clients.join_all().await;
    settled(&pool).await;
    assert!(found(&store, &key).await.is_some());
    assert!(gate.counts().connections <= MOST, "{} were made", gate.counts().connections);
}
