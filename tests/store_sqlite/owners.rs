//! Owners with many sessions.

use std::collections::HashSet;

use token_session::Owner;
use token_session::store::{Inserted, Listing, NewRecord, OwnerLimit, Owners, Sqlite, Store};

use crate::folder::{Folder, find, put, random_key, record, run};

/// A store in which an owner has this many sessions. The `n`-th of them began at `began`.
async fn with_many(folder: &Folder, began: &str, rows: usize) -> (Sqlite, Owner) {
    let store = folder.store("sessions.db", Sqlite::builder()).await;
    let fill = format!(
        "INSERT INTO token_sessions
             (key, data, version, absolute_ms, created_at, last_seen, deadline, owner)
         WITH RECURSIVE numbers AS (
             SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows}
         )
         SELECT randomblob(16), 'data', 1, 1000, {began}, 1, 9000000000000, 'Anna' FROM numbers"
    );
    run(&mut folder.beside("sessions.db").await, fill).await;
    (store, Owner::new("Anna").unwrap())
}

#[tokio::test]
async fn all_of_an_owners_many_sessions_end_and_no_others() {
    for began in ["n", "1"] {
        let folder = Folder::new();
        let (store, anna) = with_many(&folder, began, 1_700).await;
        let nobodys = put(&store).await;
        let kept = random_key();
        store.insert(&kept, &NewRecord { owner: Some(&anna), ..record() }).await.unwrap();
        store.remove_owned(&anna, Some(&kept)).await.unwrap();
        assert_eq!(store.count().await.unwrap(), 2);
        assert!(find(&store, &kept).await.is_some());
        assert!(find(&store, &nobodys).await.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn other_writes_run_while_many_sessions_end_and_do_not_prolong_the_removal() {
    let folder = Folder::new();
    let (store, anna) = with_many(&folder, "n", 10_000).await;
    let mut seen = Vec::new();
    let log_in = async {
        for _ in 0..20_000 {
            store
                .insert(&random_key(), &NewRecord { owner: Some(&anna), ..record() })
                .await
                .unwrap();
            seen.push(store.count().await.unwrap());
        }
        panic!("it does not return");
    };
    tokio::select! {
        removed = store.remove_owned(&anna, None) => removed.unwrap(),
        () = log_in => unreachable!(),
    }
    // Between two batches of the removal, not after all of them.
    assert!(seen.iter().any(|count| (1_000..9_500).contains(count)), "{seen:?}");
    assert!(store.count().await.unwrap() <= seen.len() as u64 + 1);
}

#[tokio::test]
async fn an_insert_evicts_up_to_a_thousand_of_the_oldest_sessions() {
    let folder = Folder::new();
    let (store, anna) = with_many(&folder, "n", 1_300).await;
    let limit = Some(OwnerLimit::evict_oldest(3.try_into().unwrap()));
    let record = NewRecord { owner: Some(&anna), limit, ..record() };
    for (expected, oldest) in [(1_000, 1_001), (299, 1_300)] {
        let inserted = store.insert(&random_key(), &record).await.unwrap();
        let Inserted::Done { evicted } = inserted else { panic!("{inserted:?}") };
        assert_eq!(evicted.len(), expected);
        let left = store.owned(&anna, None, 2_000, false).await.unwrap().records;
        assert_eq!(left.last().unwrap().1.meta.created_at.as_millis(), oldest);
    }
    assert_eq!(store.count().await.unwrap(), 3);
}

#[tokio::test]
async fn clear_removes_more_than_one_batch() {
    let folder = Folder::new();
    let (store, _) = with_many(&folder, "1", 1_700).await;
    store.clear().await.unwrap();
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn each_session_is_on_one_page_of_the_owners_list_even_if_all_began_at_once() {
    let folder = Folder::new();
    let (store, anna) = with_many(&folder, "1", 1_700).await;
    let (mut after, mut listed) = (None, HashSet::new());
    for rows in [500, 500, 500, 200] {
        let page = store.owned(&anna, after.as_ref(), 500, false).await.unwrap();
        assert_eq!(page.records.len(), rows);
        for (key, record) in page.records {
            assert!(record.data.is_empty());
            assert!(listed.insert(key));
        }
        after = page.next;
    }
    assert!(after.is_none());
}
