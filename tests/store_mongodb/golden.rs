//! The documents of yesterday are the sessions of today.
//!
//! `golden.json` holds two documents as the store writes them, without `_id` and with fixed dates.
//! `WRITE_SAMPLES=1` writes them anew: do that only to end a format on purpose, because the sessions in
//! it end too.

use std::time::Duration;
use std::{env, fs};

use mongodb::Collection;
use mongodb::bson::{Bson, DateTime, Document, doc};
use token_session::store::{
    Found, Load, MongoDb, NewProof, NewRecord, OwnerLimit, Previous, Proofs, Replaced, Store, Write,
};
use token_session::{Details, Key, Label, Lifetime, Meta, Owner, Record, Timestamp, Version};

use super::server::{claim, database, fresh_name, options, proof};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/store_mongodb/golden.json");

const BROKEN: &str = "this breaks what is stored or mailed";

/// When the sessions began: the first second of 2026.
const BEGAN: u64 = 1_767_225_600_000;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A session with all parts in the middle of a handover, and a record with the necessary parts alone.
const KEYS: [Key; 2] = [Key::from_bytes([7; Key::LEN]), Key::from_bytes([8; Key::LEN])];

async fn empty() -> (MongoDb, Collection<Document>) {
    let (database, name) = (database(options().await), fresh_name());
    let store = MongoDb::builder().collection(&name).partitions(16).database(&database).unwrap();
    store.migrate().await.unwrap();
    (store, database.collection(&name))
}

/// Long enough for the sample to be alive for decades.
fn lifetime() -> Lifetime {
    Lifetime::of(Some(50 * YEAR), Some(90 * YEAR)).unwrap()
}

fn details() -> Details {
    Details::new().with_label(Label::new("Anna's phone").unwrap())
}

/// The two documents as the store writes them now.
async fn written() -> Vec<Document> {
    let (store, documents) = empty().await;
    let [full, bare] = KEYS;
    let owner = Owner::new("user-17").unwrap();
    let new = NewRecord {
        details: details(),
        version: Version::from_u64(17),
        proof: Some(proof(1)),
        owner: Some(&owner),
        authenticated: true,
        limit: Some(OwnerLimit::reject(3.try_into().unwrap())),
        ..NewRecord::new("data", lifetime())
    };
    store.insert(&full, &new).await.unwrap();
    let proof = Some(NewProof::Rotated { next: proof(2), sealed: "sealed".into() });
    let write = Write { claim: Some(&claim(1)), proof, ..Write::default() };
    assert!(matches!(store.replace(&full, &write).await.unwrap(), Replaced::Done(_)));
    let version = Version::from_u64(18);
    let new = NewRecord { version, ..NewRecord::new("data", lifetime()) };
    store.insert(&bare, &new).await.unwrap();

    let mut found = documents.find(doc! {}).sort(doc! { "key": 1 }).await.unwrap();
    let mut written = Vec::new();
    while found.advance().await.unwrap() {
        written.push(with_fixed_dates(found.deserialize_current().unwrap()));
    }
    written
}

/// The document as if all had happened when it began.
fn with_fixed_dates(mut document: Document) -> Document {
    document.remove("_id");
    let years = |years| i64::try_from(BEGAN + (YEAR * years).as_millis() as u64).unwrap();
    for (name, value) in document.iter_mut() {
        if let Bson::DateTime(date) = value {
            *date = DateTime::from_millis(match name.as_str() {
                "deadline" => years(90),
                "expires_at" => years(50),
                _ => years(0),
            });
        }
    }
    document
}

/// The two documents of the sample; with `WRITE_SAMPLES`, `written` takes their place first.
fn sample(written: &[Document]) -> Vec<Document> {
    if env::var_os("WRITE_SAMPLES").is_some() {
        let documents = written.iter().cloned().map(|it| Bson::from(it).into_canonical_extjson());
        let text = serde_json::to_string_pretty(&documents.collect::<Vec<_>>()).unwrap();
        fs::write(PATH, text + "\n").unwrap();
    }
    let text = fs::read_to_string(PATH).unwrap();
    let documents: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let document = |json| match Bson::try_from(json) {
        Ok(Bson::Document(document)) => document,
        other => panic!("{PATH}: {other:?}"),
    };
    documents.into_iter().map(document).collect()
}

#[tokio::test]
async fn documents_keep_their_format() {
    let written = written().await;
    let sample = sample(&written);
    assert_eq!(written, sample, "{BROKEN}");

    let (store, documents) = empty().await;
    documents.insert_many(sample).await.unwrap();
    let meta = |number, owner, authenticated_at, now| {
        let (lifetime, began) = (lifetime(), Timestamp::from_millis(BEGAN));
        Meta {
            version: Version::from_u64(number),
            lifetime,
            created_at: began,
            last_seen: began,
            deadline: lifetime.deadline(began),
            authenticated_at,
            owner,
            now,
        }
    };

    let (began, owner) = (Timestamp::from_millis(BEGAN), Owner::new("user-17").unwrap());
    let [full, bare] = KEYS;
    let load = Load { claim: Some(&claim(1)), ..Load::new() };
    let found = store.load(&full, &load).await.unwrap();
    let Found::Previous(found) = found else { panic!("{BROKEN}: {found:?}") };
    let sealed = Some("sealed".into());
    let previous = Some(Previous { proof: proof(1), confirmed_at: None, sealed });
    let expected = Record {
        data: "data".into(),
        details: details(),
        proofs: Proofs { current: Some(proof(2)), previous },
        meta: meta(17, Some(owner), Some(began), found.meta.now),
    };
    assert_eq!(found, expected, "{BROKEN}");

    let found = store.load(&bare, &Load::new()).await.unwrap().live().expect(BROKEN);
    let expected = Record {
        data: "data".into(),
        details: Details::new(),
        proofs: Proofs::default(),
        meta: meta(18, None, None, found.meta.now),
    };
    assert_eq!(found, expected, "{BROKEN}");
}
