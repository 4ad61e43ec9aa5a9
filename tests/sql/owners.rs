//! Owners of many sessions, on every server that speaks SQL.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Transaction};
use token_session::store::{
    Condition, Inserted, Listing, NewProof, NewRecord, OwnerLimit, Owners, Replaced, Store, Write,
};
use token_session::{Key, Lifetime, Owner, Proof};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::server::{
    Database, HOLD_KEY, Pool, PoolOptions, Sql, WAITING, fresh_name, number, owned_rows,
    random_key, shared_url,
};
use crate::sql_faults::BOUND;
use crate::sql_server::{TOUCHING, found};

/// An empty store, its pool and its table.
async fn empty() -> (Sql, Pool, String) {
    let table = fresh_name();
    let pool = PoolOptions::new().max_connections(10);
    let pool = pool.connect(shared_url()).await.unwrap();
    let store = Sql::builder().table(&table).timeout(BOUND).build(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    (store, pool, table)
}

fn anna() -> Owner {
    Owner::new("Anna").unwrap()
}

fn of(owner: &Owner) -> NewRecord<'_> {
    let hour = Lifetime::idle_secs(3_600).unwrap();
    NewRecord { owner: Some(owner), ..NewRecord::new("data", hour) }
}

async fn put(store: &Sql, owner: &Owner) -> Key {
    let key = random_key();
    store.insert(&key, &of(owner)).await.unwrap();
    key
}

async fn rows(pool: &Pool, table: &str) -> i64 {
    number(pool, format!("SELECT count(*) FROM {table}")).await
}

/// A transaction that holds a session's row, and nothing else.
async fn held(pool: &Pool, table: &str, key: &Key) -> Transaction<'static, Database> {
    let hex = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let hold = HOLD_KEY.replace("{table}", table).replace("{key}", &hex);
    let mut holder = pool.begin().await.unwrap();
    let rows = sqlx::query(AssertSqlSafe(hold)).fetch_all(&mut *holder).await.unwrap();
    assert_eq!(rows.len(), 1);
    holder
}

/// Waits until a statement on the table waits for a lock. MySQL updates its list of waits only if nothing
/// has read it for a tenth of a second, so the tests take turns.
pub async fn somebody_waits(pool: &Pool, table: &str) {
    static TURN: Mutex<()> = Mutex::const_new(());
    let begun = Instant::now();
    loop {
        let turn = TURN.lock().await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        if number(pool, WAITING.replace("{table}", table)).await > 0 {
            return;
        }
        drop(turn);
        assert!(begun.elapsed() < BOUND, "no statement waits for a lock");
    }
}

#[tokio::test]
async fn many_sessions_of_an_owner_end_and_no_others() {
    for began in ["n", "1"] {
        let (store, pool, table) = empty().await;
        let bert = Owner::new("Bert").unwrap();
        let berts = put(&store, &bert).await;
        owned_rows(&pool, &table, "Anna", began, 2_500).await;
        let kept = put(&store, &anna()).await;
        store.remove_owned(&anna(), Some(&kept)).await.unwrap();
        assert_eq!(rows(&pool, &table).await, 2, "began: {began}");
        assert!(found(&store, &kept).await.is_some());
        assert!(found(&store, &berts).await.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_session_escapes_its_end_by_a_concurrent_write() {
    for began in ["n", "1"] {
        let (store, pool, table) = empty().await;
        owned_rows(&pool, &table, "Anna", began, 2_500).await;
        let keys = store.owned(&anna(), None, 2_500, false).await.unwrap().records;
        let (written, mut first) = mpsc::channel(1);
        let writes: JoinSet<()> = keys
            .chunks(625)
            .map(|keys| {
                let (store, keys, written) = (store.clone(), keys.to_vec(), written.clone());
                async move {
                    let proof = NewProof::Regenerated(Proof::from_bytes([1; Proof::LEN]));
                    let write = Write { proof: Some(proof), ..Write::data("new") };
                    for (key, _) in keys.iter().rev() {
                        if store.replace(key, &write).await.unwrap() != Replaced::Missing {
                            // Only the first one is waited for.
                            let _ = written.try_send(());
                        }
                    }
                }
            })
            .collect();
        first.recv().await.unwrap();
        let anna = anna();
        let removal = store.remove_owned(&anna, None);
        let (removed, _) = tokio::join!(removal, writes.join_all());
        removed.unwrap();
        assert_eq!(rows(&pool, &table).await, 0, "began: {began}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_repeat_completes_a_dropped_end_of_many_sessions() {
    let (store, pool, table) = empty().await;
    owned_rows(&pool, &table, "Anna", "n", 2_500).await;
    // Locks a session of the second batch, so that batch cannot end.
    let mut holder = pool.begin().await.unwrap();
    let hold = format!(
        "SELECT created_at FROM {table} WHERE owner = 'Anna' AND created_at = 1500 FOR UPDATE"
    );
    sqlx::query(AssertSqlSafe(hold)).fetch_all(&mut *holder).await.unwrap();
    let removal = tokio::spawn({
        let store = store.clone();
        async move { store.remove_owned(&anna(), None).await }
    });
    somebody_waits(&pool, &table).await;
    assert_eq!(rows(&pool, &table).await, 1_500);
    removal.abort();
    assert!(removal.await.unwrap_err().is_cancelled());
    holder.rollback().await.unwrap();
    store.remove_owned(&anna(), None).await.unwrap();
    assert_eq!(rows(&pool, &table).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ending_many_sessions_returns_while_logins_go_on() {
    /// More logins than take place while thousands of sessions end.
    const ENOUGH: usize = 20_000;
    let (store, pool, table) = empty().await;
    owned_rows(&pool, &table, "Anna", "n", 2_500).await;
    let anna = anna();
    let log_in = async || {
        for _ in 0..ENOUGH {
            put(&store, &anna).await;
        }
    };
    tokio::select! {
        removed = store.remove_owned(&anna, None) => removed.unwrap(),
        () = log_in() => panic!("it does not return"),
        () = log_in() => panic!("it does not return"),
    }
    let old = format!("SELECT count(*) FROM {table} WHERE created_at <= 2500");
    assert_eq!(number(&pool, old).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ending_most_sessions_of_a_table_blocks_no_other_owner() {
    let (store, pool, table) = empty().await;
    let (bert, carl) = (Owner::new("Bert").unwrap(), Owner::new("Carl").unwrap());
    // Before and behind the owner's in the table.
    let mut others = vec![put(&store, &bert).await];
    owned_rows(&pool, &table, "Anna", "n", 900).await;
    for _ in 0..50 {
        others.push(put(&store, &carl).await);
    }
    let youngest = &store.owned(&anna(), None, 1, false).await.unwrap().records[0].0;
    let holder = held(&pool, &table, youngest).await;
    let removal = tokio::spawn({
        let store = store.clone();
        async move { store.remove_owned(&anna(), None).await }
    });
    somebody_waits(&pool, &table).await;

    // It holds 899 locks now. A call that had to wait for it would wait longer than this.
    let hasty = Sql::builder().table(&table).timeout(Duration::from_secs(10));
    let hasty = hasty.build(pool.clone()).unwrap();
    for key in &others {
        assert!(hasty.load(key, &TOUCHING).await.unwrap().live().is_some());
    }
    hasty.replace(&others[0], &Write::data("new")).await.unwrap();
    let removed = hasty.remove(&others[1], Condition::Owner(&carl), false).await;
    assert!(removed.unwrap().is_done());
    put(&hasty, &bert).await;
    let new = put(&hasty, &anna()).await;
    assert!(!removal.is_finished());
    holder.rollback().await.unwrap();
    removal.await.unwrap().unwrap();
    assert_eq!(store.owned(&anna(), None, 10, false).await.unwrap().records[0].0, new);
    assert_eq!(rows(&pool, &table).await, 52);
}

#[tokio::test]
async fn an_insert_evicts_up_to_a_thousand_sessions_the_oldest_first() {
    let (store, pool, table) = empty().await;
    owned_rows(&pool, &table, "Anna", "n", 1_300).await;
    let anna = anna();
    let limit = Some(OwnerLimit::evict_oldest(3.try_into().unwrap()));
    let record = NewRecord { limit, ..of(&anna) };
    for (expected, last, left) in [(1_000, 1_000, 301), (299, 1_299, 3), (1, 1_300, 3)] {
        let inserted = store.insert(&random_key(), &record).await.unwrap();
        let Inserted::Done { evicted } = inserted else { panic!("{inserted:?}") };
        assert_eq!(evicted.len(), expected);
        assert_eq!(rows(&pool, &table).await, left);
        let old = format!("SELECT count(*) FROM {table} WHERE created_at <= {last}");
        assert_eq!(number(&pool, old).await, 0);
    }
}

#[tokio::test]
async fn an_owner_over_the_limit_gets_no_further_session() {
    let (store, pool, table) = empty().await;
    owned_rows(&pool, &table, "Anna", "1", 1_300).await;
    let anna = anna();
    for max in [3, 1_300] {
        let limit = Some(OwnerLimit::reject(max.try_into().unwrap()));
        let record = NewRecord { limit, ..of(&anna) };
        let inserted = store.insert(&random_key(), &record).await.unwrap();
        assert_eq!(inserted, Inserted::OwnerFull, "{max}");
    }
    assert_eq!(rows(&pool, &table).await, 1_300);
    let limit = Some(OwnerLimit::reject(1_301.try_into().unwrap()));
    let record = NewRecord { limit, ..of(&anna) };
    let inserted = store.insert(&random_key(), &record).await.unwrap();
    assert_eq!(inserted, Inserted::Done { evicted: vec![] });
}

#[tokio::test]
async fn pages_list_each_of_many_sessions_once() {
    for began in ["n", "1"] {
        let (store, pool, table) = empty().await;
        owned_rows(&pool, &table, "Anna", began, 1_000).await;
        owned_rows(&pool, &table, "Bert", began, 10).await;
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = store.owned(&anna(), after.as_ref(), 300, true).await.unwrap();
            assert!(page.records.iter().all(|(_, record)| record.data == "data"));
            let began = page.records.into_iter().map(|(key, record)| (record.meta.created_at, key));
            listed.extend(began);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed.len(), 1_000, "began: {began}");
        assert!(listed.is_sorted_by(|one, next| one.0 >= next.0), "the youngest come first");
        listed.sort();
        listed.dedup();
        assert_eq!(listed.len(), 1_000, "began: {began}");
    }
}

#[tokio::test]
async fn a_clear_goes_on_past_its_first_batch() {
    let (store, pool, table) = empty().await;
    owned_rows(&pool, &table, "Anna", "n", 2_500).await;
    store.clear().await.unwrap();
    assert_eq!(rows(&pool, &table).await, 0);
}
