//! [`Store::scan`], [`Store::count`], [`Store::clear`], [`Store::sweep`] and
//! [`Store::partitions`].

use std::collections::{HashMap, HashSet};
use std::slice::from_ref;

use super::{
    Harness, assert_unchanged, facts, fresh, hour, is_alive, key_beside, key_of, listed, look,
    moment, outlive_moment, owner_named, put, put_any, put_owned, race, random_key, record_of,
};
use crate::record::Record;
use crate::store::{Cursor, NewRecord, Renamed, Renewal, Store};
use crate::token::Key;

/// All pages, one after the other.
pub(super) async fn scan(store: &impl Store, limit: usize) -> Vec<(Key, Record)> {
    let mut records = Vec::new();
    let mut after: Option<Cursor> = None;
    for _ in 0..100_000 {
        let page = store.scan(after.as_ref(), limit).await.unwrap();
        records.extend(page.records);
        after = page.next;
        if after.is_none() {
            return records;
        }
    }
    panic!("the scan does not end");
}

/// *A page of all live records. … A record that lives from the first page to the last is on one of
/// them, and only a store that says so lists one twice.*
pub async fn a_scan_lists_every_live_record_once<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let mut keys: HashSet<Key> = HashSet::new();
    for number in 0..50 {
        let key = random_key();
        put(&store, &key, &NewRecord::new(number.to_string(), hour())).await;
        keys.insert(key);
        keys.insert(put_owned(&store, &owner).await);
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
            assert_eq!(facts(&found), facts(&loaded));
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
            if at % 2 == 0 {
                assert!(take(&store, &key).await.is_some());
            } else {
                let to = key_beside(&store, &key);
                let renamed = store.rename(&key, &to, Renewal::Key).await.unwrap();
                assert!(matches!(renamed, Renamed::Done(_)));
            }
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
    let owner = owner_named("Anna");
    assert_count(&store, 0).await;
    let mut keys = Vec::new();
    for number in 1..=10 {
        keys.push(put_owned(&store, &owner).await);
        assert_eq!(store.count().await.unwrap(), number);
    }
    let expires = NewRecord::new("data", moment(harness));
    put(&store, &random_key(), &expires).await;
    outlive_moment(harness).await;
    assert_count(&store, 10).await;
    take(&store, &keys[0]).await;
    assert_count(&store, 9).await;
    let to = key_of(&store, &owner);
    store.rename(&keys[1], &to, Renewal::Key).await.unwrap();
    assert_count(&store, 9).await;
    store.remove_owned(&owner, None).await.unwrap();
    assert_count(&store, 0).await;
}

/// *Removes every record of this store.*
pub async fn a_clear_removes_every_record<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let mut keys = Vec::new();
    for _ in 0..200 {
        keys.push(put_any(&store).await);
        keys.push(put_owned(&store, &owner).await);
    }
    store.clear().await.unwrap();
    for key in &keys {
        assert!(!is_alive(&store, key).await);
    }
    assert_count(&store, 0).await;
    assert_eq!(listed(&store, &owner).await, []);
    assert_eq!(scan(&store, 100).await, []);
    store.clear().await.unwrap();
}

/// *Removes every record*, and leaves a store that works.
pub async fn a_cleared_store_begins_anew<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let key = put_owned(&store, &owner).await;
    store.clear().await.unwrap();
    put(&store, &key, &record_of(&owner)).await;
    assert_eq!(listed(&store, &owner).await, from_ref(&key));
    assert_count(&store, 1).await;
    store.remove_owned(&owner, None).await.unwrap();
    assert!(!is_alive(&store, &key).await);
}

/// *And nothing else that its server may hold*: nor does any other operation.
pub async fn stores_do_not_see_each_other<H: Harness>(harness: &H) {
    let (ours, theirs) = (harness.store().await, harness.store().await);
    let owner = owner_named("Anna");
    let key = put_owned(&theirs, &owner).await;
    let before = look(&theirs, &key).await;

    assert!(!is_alive(&ours, &key).await);
    assert_eq!(ours.take(&key).await.unwrap(), None);
    assert_eq!(ours.count().await.unwrap(), 0);
    assert_eq!(scan(&ours, 100).await, []);
    assert_eq!(listed(&ours, &owner).await, []);
    ours.remove_owned(&owner, None).await.unwrap();
    ours.clear().await.unwrap();
    ours.sweep(100).await.unwrap();
    put(&ours, &key, &NewRecord::new("our data", hour())).await;
    ours.clear().await.unwrap();

    assert_unchanged(&theirs, &key, &before).await;
    assert_eq!(listed(&theirs, &owner).await, [key]);
    assert_eq!(theirs.count().await.unwrap(), 1);
}

/// *Frees the space of up to `limit` expired records, and says of how many. Nothing but space
/// depends on it.*
pub async fn a_sweep_frees_no_more_than_its_limit_and_nothing_live<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let mut alive = Vec::new();
    for turn in 0..20 {
        alive.push(put_owned(&store, &owner).await);
        let expires = NewRecord {
            owner: (turn % 2 == 0).then_some(&owner),
            ..NewRecord::new("data", moment(harness))
        };
        put(&store, &key_of(&store, &owner), &expires).await;
    }
    outlive_moment(harness).await;
    assert!(store.sweep(3).await.unwrap() <= 3);
    assert!(store.sweep(100).await.unwrap() <= 20);
    for key in &alive {
        assert!(is_alive(&store, key).await);
    }
    assert_count(&store, 20).await;
    assert_eq!(listed(&store, &owner).await.len(), 20);
}

/// *1 to 1024.*
pub async fn there_are_1_to_1024_partitions<H: Harness>(harness: &H) {
    let store = store(harness).await;
    assert!((1..=1_024).contains(&store.partitions()));
}
