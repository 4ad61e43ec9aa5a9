//! A damaged document beside sound ones.

use std::collections::HashSet;

use mongodb::Collection;
use mongodb::bson::{Bson, Document, doc};
use token_session::store::{
    Condition, Inserted, MongoDb, NewRecord, OwnerLimit, Removed, Store, StoreErrorKind, Touch,
};
use token_session::{Event, Events, Key, Owner};

use super::server::{database, fresh_name, options, put, random_key, record};

/// Ways to damage a document, by what its fields are set to.
fn damages() -> [Document; 5] {
    [
        doc! { "label": "" },
        doc! { "idle_ms": -1_i64 },
        doc! { "created_at": "yesterday" },
        doc! { "version": Bson::Null },
        doc! { "last_seen": 17 },
    ]
}

struct Damaged {
    store: MongoDb,
    documents: Collection<Document>,
    owner: Owner,
    damaged: Key,
    sound: HashSet<Key>,
}

/// A store in which an owner has five sessions, of which one is damaged.
async fn damaged_by(damage: Document) -> Damaged {
    let (database, name) = (database(options().await), fresh_name());
    let store = MongoDb::builder().collection(&name).database(&database).unwrap();
    store.migrate().await.unwrap();
    let owner = Owner::new("Anna").unwrap();
    let damaged = put(&store, Some(&owner)).await;
    let documents = database.collection::<Document>(&name);
    documents.update_one(doc! {}, doc! { "$set": damage }).await.unwrap();
    let mut sound = HashSet::new();
    for _ in 0..4 {
        sound.insert(put(&store, Some(&owner)).await);
    }
    Damaged { store, documents, owner, damaged, sound }
}

#[tokio::test]
async fn an_owners_list_leaves_a_damaged_document_out_and_tells_its_key() {
    for damage in damages() {
        let it = damaged_by(damage.clone()).await;
        let events = Events::default();
        let mut told = events.subscribe();
        it.store.attach(&events);
        let listed = it.store.owned(&it.owner, 10).await.unwrap();
        let listed: HashSet<Key> = listed.into_iter().map(|(key, _)| key).collect();
        assert_eq!(listed, it.sound, "{damage}");
        assert_eq!(told.next().await, Some(Event::Damaged { key: it.damaged }), "{damage}");
    }
}

#[tokio::test]
async fn a_scan_names_a_damaged_document_once_and_goes_on_behind_it() {
    for damage in damages() {
        let it = damaged_by(damage.clone()).await;
        for limit in [1, 2, 100] {
            let (mut found, mut named, mut after) = (HashSet::new(), Vec::new(), None);
            loop {
                let page = it.store.scan(after.as_ref(), limit).await.unwrap();
                found.extend(page.records.into_iter().map(|(key, _)| key));
                named.extend(page.damaged);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found, it.sound, "{damage}, {limit} a page");
            let [error] = &named[..] else { panic!("{damage}: {named:?}") };
            assert_eq!((error.kind(), error.key()), (StoreErrorKind::Corrupt, Some(&it.damaged)));
        }
    }
}

#[tokio::test]
async fn a_scan_goes_on_behind_pages_of_documents_without_a_key() {
    let it = damaged_by(doc! { "label": "" }).await;
    let keyless = ["a", "b", "c"].map(|key| {
        let end = mongodb::bson::DateTime::from_millis(i64::from(i32::MAX) * 2_000);
        doc! { "partition": 0, "key": key, "expires_at": end }
    });
    it.documents.insert_many(keyless).await.unwrap();
    let (mut found, mut named, mut after) = (HashSet::new(), 0, None);
    for _ in 0..20 {
        let page = it.store.scan(after.as_ref(), 1).await.unwrap();
        found.extend(page.records.into_iter().map(|(key, _)| key));
        named += page.damaged.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(after.is_none() && named >= 2);
    assert_eq!(found, it.sound);
}

#[tokio::test]
async fn a_damaged_document_is_an_error_to_load_and_can_be_removed() {
    for damage in damages() {
        let it = damaged_by(damage.clone()).await;
        let error = it.store.load(&it.damaged, Touch::No).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (StoreErrorKind::Corrupt, Some(&it.damaged)));
        assert_eq!(it.store.count().await.unwrap(), 5);
        let removed = it.store.remove(&it.damaged, Condition::Always).await.unwrap();
        assert_eq!(removed, Removed::Done, "{damage}");
        assert!(it.store.scan(None, 10).await.unwrap().damaged.is_empty());
        assert_eq!(it.store.count().await.unwrap(), 4);
    }
}

#[tokio::test]
async fn an_insert_with_a_limit_passes_a_document_without_a_key() {
    let it = damaged_by(doc! { "label": "" }).await;
    let filter = doc! { "label": "" };
    let change = doc! { "$set": { "key": "no key", "place": 0_i64 } };
    it.documents.update_one(filter, change).await.unwrap();
    let limit = Some(OwnerLimit::reject(5.try_into().unwrap()));
    let record = NewRecord { limit, ..record("data", Some(&it.owner)) };
    let inserted = it.store.insert(&random_key(), &record).await.unwrap();
    assert_eq!(inserted, Inserted::Done { evicted: vec![] });
    assert_eq!(it.store.insert(&random_key(), &record).await.unwrap(), Inserted::OwnerFull);
}

#[tokio::test]
async fn the_end_of_an_owners_sessions_ends_damaged_ones_too() {
    for damage in damages() {
        let it = damaged_by(damage.clone()).await;
        it.store.remove_owned(&it.owner, None).await.unwrap();
        assert_eq!(it.documents.count_documents(doc! {}).await.unwrap(), 0, "{damage}");
    }
}
