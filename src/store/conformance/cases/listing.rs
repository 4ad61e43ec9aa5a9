//! [`Listing`](crate::store::Listing). Where the store knows owners, some of the records have one.

use std::collections::{HashMap, HashSet};
use std::slice::from_ref;

use crate::key::Key;
use crate::record::{Owner, Record};
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Cursor, NewRecord, Store, Write};

/// All pages, one after the other.
async fn scan(store: &dyn Store, limit: usize) -> Vec<(Key, Record)> {
    let mut records = Vec::new();
    let mut after: Option<Cursor> = None;
    for _ in 0..100_000 {
        let page = listing(store).scan(after.as_ref(), limit).await.unwrap();
        records.extend(page.records);
        after = page.next;
        if after.is_none() {
            return records;
        }
    }
    panic!("the scan does not end");
}

async fn count(store: &dyn Store) -> u64 {
    listing(store).count().await.unwrap()
}

/// Inserts a session of this owner, or of none, that lives an hour.
async fn put_for(store: &dyn Store, owner: Option<&Owner>) -> Key {
    let key = key_for(store, owner);
    put(store, &key, &NewRecord { owner, ..NewRecord::new("data", hour()) }).await;
    key
}

/// *A page of all live records. … A record that lives from the first page to the last is on one of
/// them, and only a store that says so lists one twice.*
pub async fn a_scan_lists_every_live_record_once<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let mut keys: HashSet<Key> = HashSet::new();
    for number in 0..50 {
        let key = random_key();
        put(&store, &key, &NewRecord::new(number.to_string(), hour())).await;
        keys.insert(key);
        keys.insert(put_for(&store, owner).await);
        let expires = NewRecord::new("data", moment(harness));
        put(&store, &random_key(), &expires).await;
    }
    outlive_moment(harness).await;
    for limit in [1, 7, 100, 1_000] {
        let records = scan(&store, limit).await;
        let found: HashMap<&Key, &Record> =
            records.iter().map(|(key, found)| (key, found)).collect();
        assert_eq!(found.len(), keys.len());
        if !harness.scan_repeats() {
            assert_eq!(records.len(), keys.len(), "a record is listed twice");
        }
        for (key, found) in found {
            assert!(keys.contains(key));
            let loaded = look(&store, key).await;
            assert_eq!(found.data, loaded.data);
            assert_eq!(facts(found), facts(&loaded));
        }
    }
}

/// *`Page::next` is `None` when this was the last page*, of an empty store too.
pub async fn a_scan_of_nothing_ends<H: Harness>(harness: &H) {
    let store = store(harness).await;
    assert_eq!(scan(&store, 1).await, []);
    assert_eq!(scan(&store, 1_000).await, []);
}

/// *A record that lives from the first page to the last is on one of them*, whatever comes and goes
/// between the pages.
pub async fn a_record_that_stays_is_scanned_while_others_come_and_go<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let mut stay = HashSet::new();
    let mut go = Vec::new();
    for _ in 0..100 {
        stay.insert(put_any(&store).await);
        go.push(put_any(&store).await);
    }
    let changes = race(go.len(), |at| {
        let (store, key) = (store.clone(), go[at].clone());
        async move {
            assert!(take(&store, &key).await.is_some());
            for _ in 0..5 {
                put_any(&store).await;
            }
        }
    });
    let (records, _) = tokio::join!(scan(&store, 5), changes);
    let mut missed = stay.clone();
    let mut repeated = 0;
    for (key, _) in records {
        if stay.contains(&key) && !missed.remove(&key) {
            repeated += 1;
        }
    }
    assert_eq!(missed, HashSet::new());
    assert!(harness.scan_repeats() || repeated == 0);
}

/// *How many live records there are.*
pub async fn the_count_is_of_live_records<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    assert_eq!(count(&store).await, 0);
    let mut keys = Vec::new();
    for number in 1..=10 {
        keys.push(put_for(&store, owner).await);
        assert_eq!(count(&store).await, number);
    }
    let expires = NewRecord::new("data", moment(harness));
    put(&store, &random_key(), &expires).await;
    outlive_moment(harness).await;
    assert_eq!(count(&store).await, 10);
    take(&store, &keys[0]).await;
    assert_eq!(count(&store).await, 9);
    let shorter = moment(harness);
    write(&store, &keys[1], &Write { lifetime: Some(&shorter), ..Write::default() }).await;
    outlive_moment(harness).await;
    assert_eq!(count(&store).await, 8);
}

/// *Removes every record of this store.*
pub async fn a_clear_removes_every_record<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let mut keys = Vec::new();
    for _ in 0..200 {
        keys.push(put_any(&store).await);
        keys.push(put_for(&store, owner).await);
    }
    listing(&store).clear().await.unwrap();
    for key in &keys {
        assert!(!is_alive(&store, key).await);
    }
    assert_eq!(count(&store).await, 0);
    assert_listed(&store, owner, &[]).await;
    assert_eq!(scan(&store, 100).await, []);
    listing(&store).clear().await.unwrap();
}

/// *Removes every record*, and leaves a store that works.
pub async fn a_cleared_store_begins_anew<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let key = put_for(&store, owner).await;
    listing(&store).clear().await.unwrap();
    put(&store, &key, &NewRecord { owner, ..NewRecord::new("data", hour()) }).await;
    assert_listed(&store, owner, from_ref(&key)).await;
    assert_eq!(count(&store).await, 1);
    assert!(take(&store, &key).await.is_some());
    assert!(!is_alive(&store, &key).await);
}

/// *And nothing else that its server may hold*: nor does any other operation.
pub async fn stores_do_not_see_each_other<H: Harness>(harness: &H) {
    let (ours, theirs) = (store(harness).await, store(harness).await);
    let owner = any_owner(&theirs, "Anna");
    let owner = owner.as_ref();
    let key = put_for(&theirs, owner).await;
    let before = look(&theirs, &key).await;

    assert!(!is_alive(&ours, &key).await);
    assert_eq!(take(&ours, &key).await, None);
    assert_eq!(count(&ours).await, 0);
    assert_eq!(scan(&ours, 100).await, []);
    assert_listed(&ours, owner, &[]).await;
    if let Some(owner) = owner {
        owners(&ours).remove_owned(owner, None).await.unwrap();
    }
    listing(&ours).clear().await.unwrap();
    listing(&ours).sweep(100).await.unwrap();
    put(&ours, &key, &NewRecord::new("our data", hour())).await;
    listing(&ours).clear().await.unwrap();

    assert_unchanged(&theirs, &key, &before).await;
    assert_listed(&theirs, owner, &[key]).await;
    assert_eq!(count(&theirs).await, 1);
}

/// *Frees the space of up to `limit` expired records, and says of how many. Nothing but space
/// depends on it.*
pub async fn a_sweep_frees_no_more_than_its_limit_and_nothing_live<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let mut alive = Vec::new();
    for turn in 0..20 {
        alive.push(put_for(&store, owner).await);
        let owner = owner.filter(|_| turn % 2 == 0);
        let expires = NewRecord { owner, ..NewRecord::new("data", moment(harness)) };
        put(&store, &key_for(&store, owner), &expires).await;
    }
    outlive_moment(harness).await;
    assert!(listing(&store).sweep(3).await.unwrap() <= 3);
    assert!(listing(&store).sweep(100).await.unwrap() <= 20);
    assert_eq!(store.alive(&alive).await.unwrap(), [true; 20]);
    assert_eq!(count(&store).await, 20);
    if let Some(owner) = owner {
        assert_eq!(listed(&store, owner).await.len(), 20);
    }
}
