//! An owner with thousands of sessions, and races between the commands of one call.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mongodb::Collection;
use mongodb::bson::{Binary, DateTime, Document, doc, spec::BinarySubtype};
use token_session::store::{
    Inserted, Listing, Load, MongoDb, NewRecord, OwnerLimit, Owners, Store, Touch,
};
use token_session::{Key, Owner};

use super::hooked::{Hooked, hooked, on_a_thread};
use super::server::{database, loaded, options, put, random_key, record};

const MANY: usize = 2_500;

/// Inserts a thousand sessions of an owner before each removal.
fn log_in_at_each_removal(it: &Hooked, owner: &Owner) {
    let (name, owner) = (it.documents.name().to_owned(), owner.clone());
    let mut removals = 0;
    *it.before.lock().unwrap() = Some(Box::new(move |command| {
        if command == "delete" {
            removals += 1;
            assert!(removals < 10, "it goes on and on");
            let (name, owner) = (name.clone(), owner.clone());
            on_a_thread(async move {
                let documents = database(options().await).collection(&name);
                fill(&documents, &owner, 1_000, DateTime::now().timestamp_millis()).await;
            });
        }
    }));
}

/// The document of an owner's live session that began at this time.
fn session(owner: &Owner, began: i64) -> (Key, Document) {
    let key = random_key();
    let bytes = key.as_bytes().to_vec();
    let (began, now) = (DateTime::from_millis(began), DateTime::now());
    let document = doc! {
        "partition": 0,
        "key": Binary { subtype: BinarySubtype::Generic, bytes },
        "version": 1_i64,
        "idle_ms": 3_600_000_i64,
        "created_at": began,
        "last_seen": now,
        "expires_at": DateTime::from_millis(now.timestamp_millis() + 3_600_000),
        "data": Binary { subtype: BinarySubtype::Generic, bytes: b"data".to_vec() },
        "owner": owner.as_str(),
    };
    (key, document)
}

async fn fill(documents: &Collection<Document>, owner: &Owner, count: usize, began: i64) -> Key {
    let sessions: Vec<_> = (0..count).map(|_| session(owner, began)).collect();
    let key = sessions[count / 2].0.clone();
    documents.insert_many(sessions.into_iter().map(|(_, document)| document)).await.unwrap();
    key
}

#[tokio::test]
async fn remove_owned_removes_a_thousand_sessions_at_a_time() {
    let it = hooked().await;
    let (owner, other) = (Owner::new("guest").unwrap(), Owner::new("other").unwrap());
    let kept = fill(&it.documents, &owner, MANY, 1_700_000_000_000).await;
    let others = put(&it.store, Some(&other)).await;
    it.sent.lock().unwrap().clear();
    it.store.remove_owned(&owner, Some(&kept)).await.unwrap();
    let (read, delete) = ("aggregate", "delete");
    // The second read asks for the last session that the call has to remove.
    assert_eq!(*it.sent.lock().unwrap(), [read, read, delete, read, delete, read, delete]);
    let left = it.store.owned(&owner, None, 10, false).await.unwrap().records;
    assert_eq!(left.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), [kept]);
    assert!(loaded(&it.store, &others).await.is_some());
    it.store.remove_owned(&owner, None).await.unwrap();
    assert_eq!(it.documents.count_documents(doc! {}).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remove_owned_returns_while_a_thousand_sessions_begin_between_its_batches() {
    let it = hooked().await;
    let owner = Owner::new("guest").unwrap();
    let first = fill(&it.documents, &owner, MANY, 1_700_000_000_000).await;
    log_in_at_each_removal(&it, &owner);
    it.store.remove_owned(&owner, None).await.unwrap();
    *it.before.lock().unwrap() = None;
    assert!(loaded(&it.store, &first).await.is_none());
    let old = doc! { "created_at": { "$lte": DateTime::from_millis(1_700_000_000_000) } };
    assert_eq!(it.documents.count_documents(old).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clear_removes_a_thousand_sessions_at_a_time_and_returns_while_others_begin() {
    let it = hooked().await;
    let owner = Owner::new("guest").unwrap();
    fill(&it.documents, &owner, MANY, 1_700_000_000_000).await;
    it.sent.lock().unwrap().clear();
    log_in_at_each_removal(&it, &owner);
    it.store.clear().await.unwrap();
    *it.before.lock().unwrap() = None;
    let (read, delete) = ("aggregate", "delete");
    // The second read asks for the last session that the call has to remove.
    assert_eq!(*it.sent.lock().unwrap(), [read, read, delete, read, delete, read, delete]);
    let old = doc! { "created_at": { "$lte": DateTime::from_millis(1_700_000_000_000) } };
    assert_eq!(it.documents.count_documents(old).await.unwrap(), 0);
}

#[tokio::test]
async fn an_insert_reads_at_most_a_hundred_sessions_more_than_the_limit() {
    let it = hooked().await;
    let owner = Owner::new("guest").unwrap();
    fill(&it.documents, &owner, MANY, 1_700_000_000_000).await;
    let limit = Some(OwnerLimit::evict_oldest(3.try_into().unwrap()));
    let record = NewRecord { limit, ..record("data", Some(&owner)) };
    let inserted = it.store.insert(&random_key(), &record).await.unwrap();
    assert!(matches!(inserted, Inserted::Done { evicted } if evicted.len() == 100));
    assert_eq!(*it.found.lock().unwrap(), [103]);
}

#[tokio::test]
async fn an_insert_finds_live_sessions_behind_more_dead_ones_than_it_reads() {
    let it = hooked().await;
    let owner = Owner::new("guest").unwrap();
    let dead: Vec<_> = (0..150)
        .map(|_| {
            let (_, mut document) = session(&owner, 1_700_000_000_000);
            document.insert("expires_at", DateTime::from_millis(1_700_000_001_000));
            document
        })
        .collect();
    it.documents.insert_many(dead).await.unwrap();
    fill(&it.documents, &owner, 3, 1_700_000_002_000).await;
    let limit = Some(OwnerLimit::reject(3.try_into().unwrap()));
    let record = NewRecord { limit, ..record("data", Some(&owner)) };
    let inserted = it.store.insert(&random_key(), &record).await.unwrap();
    assert_eq!(inserted, Inserted::OwnerFull);
}

#[tokio::test]
async fn a_key_of_another_owner_is_taken_with_and_without_an_eviction() {
    let it = hooked().await;
    let (owner, other) = (Owner::new("guest").unwrap(), Owner::new("other").unwrap());
    fill(&it.documents, &owner, 3, 1_700_000_000_000).await;
    let taken = put(&it.store, Some(&other)).await;
    for max in [3, 10] {
        let limit = Some(OwnerLimit::evict_oldest(max.try_into().unwrap()));
        let record = NewRecord { limit, ..record("data", Some(&owner)) };
        assert_eq!(it.store.insert(&taken, &record).await.unwrap(), Inserted::KeyTaken);
    }
    let left = it.store.owned(&owner, None, 10, false).await.unwrap().records;
    assert_eq!(left.len(), 3);
    let dead = doc! { "$set": { "expires_at": DateTime::from_millis(1_700_000_000_000) } };
    it.documents.update_one(doc! { "owner": "other" }, dead).await.unwrap();
    let limit = Some(OwnerLimit::evict_oldest(3.try_into().unwrap()));
    let record = NewRecord { limit, ..record("data", Some(&owner)) };
    let inserted = it.store.insert(&taken, &record).await.unwrap();
    assert!(matches!(inserted, Inserted::Done { evicted } if evicted.len() == 1));
}

#[tokio::test]
async fn an_owners_list_is_in_the_order_of_its_index() {
    let it = hooked().await;
    let mut indexes = it.documents.list_indexes().await.unwrap();
    let mut keys = Vec::new();
    while indexes.advance().await.unwrap() {
        keys.push(indexes.deserialize_current().unwrap().keys);
    }
    let owned = doc! { "partition": 1, "owner": 1, "created_at": -1, "_id": -1 };
    assert!(keys.contains(&owned), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_later_of_two_racing_touches_keeps_the_time_of_the_first() {
    let it = hooked().await;
    let key = put(&it.store, None).await;
    let an_hour_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 3_500_000);
    let change = doc! { "$set": { "last_seen": an_hour_ago } };
    it.documents.update_one(doc! {}, change).await.unwrap();
    let load = Load { touch: Touch::After(Duration::from_secs(60)), ..Load::new() };
    let (name, same, first) = (it.documents.name().to_owned(), key.clone(), Arc::default());
    let told: Arc<Mutex<Option<token_session::Timestamp>>> = first;
    let tell = Arc::clone(&told);
    *it.before.lock().unwrap() = Some(Box::new(move |command| {
        if command == "findAndModify" {
            let (name, key) = (name.clone(), same.clone());
            let touched = on_a_thread(async move {
                let builder = MongoDb::builder().collection(name);
                let store = builder.database(&database(options().await)).unwrap();
                let touched = store.load(&key, &load).await.unwrap().live().unwrap().meta;
                // So that the clock shows another time.
                tokio::time::sleep(Duration::from_millis(5)).await;
                touched.last_seen
            });
            *tell.lock().unwrap() = Some(touched);
        }
    }));
    let second = it.store.load(&key, &load).await.unwrap().live().unwrap();
    assert_eq!(Some(second.meta.last_seen), *told.lock().unwrap());
}
