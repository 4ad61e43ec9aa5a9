//! What a document holds about a session's secrets, and two calls that race at a handover.

use std::time::Duration;

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};
use token_session::store::{Found, Load, MongoDb, NewProof, NewRecord, Replaced, Store, Write};
use token_session::{Claim, Details, Key, Label, Record};

use super::hooked::{Hooked, hooked, on_a_thread};
use super::server::{TOUCH, claim, database, loaded, options, proof, random_key, record};

fn bytes(bytes: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() })
}

/// A session with the secret 1.
async fn put(store: &MongoDb) -> Key {
    let key = random_key();
    let record = NewRecord { proof: Some(proof(1)), ..record("data", None) };
    store.insert(&key, &record).await.unwrap();
    key
}

/// Hands over from the secret 1 to the secret 2.
async fn rotate(store: &MongoDb, key: &Key) -> Replaced {
    let (claim, sealed) = (claim(1), "sealed".into());
    let rotated = NewProof::Rotated { next: proof(2), sealed };
    let write = Write { claim: Some(&claim), proof: Some(rotated), ..Write::default() };
    store.replace(key, &write).await.unwrap()
}

async fn regenerate(store: &MongoDb, key: &Key) -> Replaced {
    let write = Write { proof: Some(NewProof::Regenerated(proof(3))), ..Write::default() };
    store.replace(key, &write).await.unwrap()
}

/// Lets another server run an operation before the next command of this name.
fn before_the_next<F>(
    it: &Hooked,
    name: &'static str,
    work: impl FnOnce(MongoDb) -> F + Send + 'static,
) where
    F: Future<Output: Send> + Send + 'static,
{
    let (collection, mut work) = (it.documents.name().to_owned(), Some(work));
    *it.before.lock().unwrap() = Some(Box::new(move |command| {
        if command != name {
            return;
        }
        if let Some(work) = work.take() {
            let collection = collection.clone();
            on_a_thread(async move {
                let other = MongoDb::builder().collection(collection);
                work(other.database(&database(options().await)).unwrap()).await;
            });
        }
    }));
}

#[tokio::test]
async fn a_document_has_the_fields_that_the_docs_name() {
    let it = hooked().await;
    let document = async || it.documents.find_one(doc! {}).await.unwrap().unwrap();
    let key = put(&it.store).await;
    let new = document().await;
    assert_eq!(new.get("key"), Some(&bytes(key.as_bytes())));
    assert_eq!(new.get("proof"), Some(&bytes(proof(1).as_bytes())));
    for missing in ["label", "details", "previous_proof", "confirmed_at", "sealed", "owner"] {
        assert!(!new.contains_key(missing), "{missing}");
    }

    assert!(matches!(rotate(&it.store, &key).await, Replaced::Done(_)));
    let rotated = document().await;
    assert_eq!(rotated.get("proof"), Some(&bytes(proof(2).as_bytes())));
    assert_eq!(rotated.get("previous_proof"), Some(&bytes(proof(1).as_bytes())));
    assert_eq!(rotated.get("sealed"), Some(&bytes(b"sealed")));
    assert!(!rotated.contains_key("confirmed_at"));
    assert_eq!(rotated.get("version"), new.get("version"));

    let load = Load { claim: Some(&claim(2)), ..Load::new() };
    it.store.load(&key, &load).await.unwrap().live().unwrap();
    let confirmed = document().await;
    assert!(confirmed.get_datetime("confirmed_at").is_ok());
    assert!(!confirmed.contains_key("sealed"));

    assert!(matches!(regenerate(&it.store, &key).await, Replaced::Done(_)));
    let regenerated = document().await;
    assert_eq!(regenerated.get("proof"), Some(&bytes(proof(3).as_bytes())));
    for missing in ["previous_proof", "confirmed_at", "sealed"] {
        assert!(!regenerated.contains_key(missing), "{missing}");
    }
}

#[tokio::test]
async fn empty_details_have_no_field() {
    let it = hooked().await;
    let key = put(&it.store).await;
    let labelled = Details::new().with_label(Label::new("$owner").unwrap());
    for details in [labelled, Details::new()] {
        let write = Write { details: Some(&details), ..Write::default() };
        it.store.replace(&key, &write).await.unwrap();
        assert_eq!(loaded(&it.store, &key).await.unwrap().details, details);
        let document: Document = it.documents.find_one(doc! {}).await.unwrap().unwrap();
        assert_eq!(document.contains_key("details"), !details.as_bytes().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_replaced_between_read_and_touch_touches_nothing() {
    let it = hooked().await;
    let key = put(&it.store).await;
    let same = key.clone();
    before_the_next(&it, "findAndModify", async move |other| regenerate(&other, &same).await);
    let load = Load { claim: Some(&claim(1)), ..TOUCH };
    assert_eq!(it.store.load(&key, &load).await.unwrap(), Found::Missing);
    let Record { meta, .. } = loaded(&it.store, &key).await.unwrap();
    assert_eq!(meta.last_seen, meta.created_at);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_previous_secret_that_ends_between_read_and_touch_touches_nothing() {
    let it = hooked().await;
    let key = put(&it.store).await;
    rotate(&it.store, &key).await;
    let same = key.clone();
    before_the_next(&it, "findAndModify", async move |other| {
        other.load(&same, &Load { claim: Some(&claim(2)), ..Load::new() }).await
    });
    let old = Claim::new(proof(1), Duration::ZERO);
    let found = it.store.load(&key, &Load { claim: Some(&old), ..TOUCH }).await.unwrap();
    let Found::Reused(Record { meta, .. }) = found else { panic!("{found:?}") };
    assert_eq!(meta.last_seen, meta.created_at);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_of_two_racing_confirmations_sets_the_time() {
    let it = hooked().await;
    let key = put(&it.store).await;
    rotate(&it.store, &key).await;
    let (said, first) = std::sync::mpsc::channel();
    let same = key.clone();
    before_the_next(&it, "findAndModify", async move |other| {
        let load = Load { claim: Some(&claim(2)), ..Load::new() };
        let first = other.load(&same, &load).await.unwrap().live().unwrap();
        said.send(first.proofs).unwrap();
        // So that the clock shows another time.
        tokio::time::sleep(Duration::from_millis(5)).await;
    });
    let load = Load { claim: Some(&claim(2)), ..Load::new() };
    let second = it.store.load(&key, &load).await.unwrap().live().unwrap();
    assert!(second.proofs.previous.as_ref().unwrap().confirmed_at.is_some());
    assert_eq!(second.proofs, first.recv().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_race_for_a_handover_is_a_conflict_and_other_writes_go_on() {
    let it = hooked().await;
    let key = put(&it.store).await;
    let same = key.clone();
    before_the_next(&it, "findAndModify", async move |other| rotate(&other, &same).await);
    assert_eq!(rotate(&it.store, &key).await, Replaced::Conflict);
    let write = Write { claim: Some(&claim(1)), ..Write::data("new data") };
    assert!(matches!(it.store.replace(&key, &write).await.unwrap(), Replaced::Done(_)));
}
