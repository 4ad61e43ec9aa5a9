//! A damaged document among intact ones.

use std::collections::HashSet;

use mongodb::Collection;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};
use token_session::store::{
    Condition, Inserted, Listing, Load, MongoDb, NewRecord, OwnerLimit, Owners, Removed, Store,
    StoreErrorKind, Write,
};
use token_session::{Event, Events, Key, Owner};

use super::server::{claim, database, fresh_name, options, put, random_key, record};

/// Ways to damage a document: the values that its fields are set to.
fn damages() -> [Document; 7] {
    let of_another_subtype =
        Binary { subtype: BinarySubtype::UserDefined(0x80), bytes: vec![1; 33] };
    [
        doc! { "details": "text" },
        doc! { "proof": Binary { subtype: BinarySubtype::Generic, bytes: vec![1; 32] } },
        doc! { "previous_proof": of_another_subtype },
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
async fn an_owners_list_names_a_damaged_document_once_and_sends_an_event() {
    for damage in damages() {
        let it = damaged_by(damage.clone()).await;
        for limit in [1, 2, 100] {
            let events = Events::default();
            let mut told = events.subscribe();
            it.store.attach(&events);
            let (mut found, mut named, mut after) = (HashSet::new(), Vec::new(), None);
            loop {
                let page = it.store.owned(&it.owner, after.as_ref(), limit, true).await.unwrap();
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
            let event = Event::Damaged { key: it.damaged.clone() };
            assert_eq!(told.next().await, Some(event), "{damage}");
        }
    }
}

#[tokio::test]
async fn a_scan_names_a_damaged_document_once_and_continues_after_it() {
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
async fn a_scan_continues_after_pages_of_documents_without_a_valid_key() {
    let it = damaged_by(doc! { "details": "text" }).await;
    // The stand-in orders bytes by their length, and compares them without: these are last by both.
    let too_long = |last| {
        let bytes = [&[0xff; 31][..], &[last]].concat();
        Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes })
    };
    let keys = [Bson::Null, "a".into(), "b".into(), too_long(7), too_long(8)];
    let keyless = keys.map(|key| {
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
    assert!(after.is_none() && named >= 4, "{named}");
    assert_eq!(found, it.sound);
}

#[tokio::test]
async fn a_damaged_document_is_an_error_to_every_operation_and_can_be_removed() {
    for damage in damages() {
        let it = damaged_by(damage.clone()).await;
        let (store, key, claim) = (&it.store, &it.damaged, claim(1));
        let claimed = Load { claim: Some(&claim), ..Load::new() };
        let write = Write { claim: Some(&claim), ..Write::data("new data") };
        let errors = [
            store.load(key, &Load::new()).await.err(),
            store.load(key, &claimed).await.err(),
            store.replace(key, &write).await.err(),
            store.remove(key, Condition::Claim(&claim), false).await.err(),
            store.remove(key, Condition::Always, true).await.err(),
        ];
        for error in errors {
            let error = error.expect("it is damaged");
            assert_eq!((error.kind(), error.key()), (StoreErrorKind::Corrupt, Some(key)));
        }
        assert_eq!(it.store.count().await.unwrap(), 5);
        let removed = it.store.remove(&it.damaged, Condition::Always, false).await.unwrap();
        assert_eq!(removed, Removed::Done(None), "{damage}");
        assert!(it.store.scan(None, 10).await.unwrap().damaged.is_empty());
        assert_eq!(it.store.count().await.unwrap(), 4);
    }
}

#[tokio::test]
async fn an_insert_with_a_limit_does_not_count_a_document_without_a_key() {
    let it = damaged_by(doc! { "details": "text" }).await;
    let filter = doc! { "details": "text" };
    let change = doc! { "$set": { "key": "no key", "place": 0_i64 } };
    it.documents.update_one(filter, change).await.unwrap();
    let limit = Some(OwnerLimit::reject(5.try_into().unwrap()));
    let record = NewRecord { limit, ..record("data", Some(&it.owner)) };
    let inserted = it.store.insert(&random_key(), &record).await.unwrap();
    assert_eq!(inserted, Inserted::Done { evicted: vec![] });
    assert_eq!(it.store.insert(&random_key(), &record).await.unwrap(), Inserted::OwnerFull);
}

#[tokio::test]
async fn remove_owned_removes_damaged_documents_too() {
    for damage in damages() {
        let it = damaged_by(damage.clone()).await;
        it.store.remove_owned(&it.owner, None).await.unwrap();
        assert_eq!(it.documents.count_documents(doc! {}).await.unwrap(), 0, "{damage}");
    }
}
