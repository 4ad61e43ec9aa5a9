//! Proofs: what a handover and its confirmation leave on the server, and what they cost.

use std::time::Duration;

use token_session::store::{
    Condition, Found, Listing, Load, NewProof, NewRecord, Owners, Redis, Removed, Replaced, Store,
    Touch, Write,
};
use token_session::{Claim, Details, Key, Lifetime, Proof, Record};

use crate::{Short, ask, fresh_key, hour, key_of, owner, patient, times_called};

/// The proof of the secret of this number.
pub fn proof(number: u64) -> Proof {
    let mut bytes = [1; Proof::LEN];
    bytes[Proof::LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Proof::from_bytes(bytes)
}

/// The claim of that secret, with a minute of grace.
pub fn claim(number: u64) -> Claim {
    Claim::new(proof(number), Duration::from_secs(60))
}

const SEALED: &str = "a sealed secret, which is longer than all the numbers beside it";

async fn insert(store: &Redis, data: &str) -> Key {
    let key = fresh_key();
    store.insert(&key, &NewRecord { proof: Some(proof(1)), ..hour(data) }).await.unwrap();
    key
}

async fn hand_over(store: &Redis, key: &Key, from: u64) {
    let claim = claim(from);
    let next = NewProof::Rotated { next: proof(from + 1), sealed: SEALED.into() };
    let write = Write { claim: Some(&claim), proof: Some(next), ..Write::default() };
    assert!(matches!(store.replace(key, &write).await.unwrap(), Replaced::Done(_)));
}

async fn claimed(store: &Redis, key: &Key, number: u64) -> Found {
    let claim = claim(number);
    store.load(key, &Load { claim: Some(&claim), ..Load::new() }).await.unwrap()
}

fn kept(server: &test_servers::Redis, key: &Key) -> Vec<u8> {
    ask(server.url(), &["GET", &format!("ts:{{0}}:s:{key}")])
}

fn is_sealed(kept: &[u8]) -> bool {
    kept.windows(SEALED.len()).any(|bytes| bytes == SEALED.as_bytes())
}

#[tokio::test]
async fn a_confirmation_erases_the_sealed_secret_and_the_next_write_its_place() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let key = insert(&store, "data").await;
    let before = kept(&server, &key);
    hand_over(&store, &key, 1).await;
    let handed_over = kept(&server, &key);
    assert!(is_sealed(&handed_over));
    assert_eq!(handed_over.len(), before.len() + SEALED.len());

    let Found::Previous(record) = claimed(&store, &key, 1).await else {
        panic!("the first secret is good until the next one is used");
    };
    assert_eq!(record.proofs.previous.unwrap().sealed.unwrap(), SEALED);
    let Found::Current(record) = claimed(&store, &key, 2).await else {
        panic!("the next secret is the current one");
    };
    let confirmed = record.proofs.previous.unwrap();
    assert_eq!((confirmed.sealed, confirmed.confirmed_at), (None, Some(record.meta.now)));
    assert_eq!(record.data, "data");
    let confirmed = kept(&server, &key);
    assert!(!is_sealed(&confirmed));
    assert!(matches!(claimed(&store, &key, 2).await, Found::Current(_)));
    assert_eq!(kept(&server, &key), confirmed, "it is confirmed once");

    store.replace(&key, &Write { touch: true, ..Write::default() }).await.unwrap();
    assert_eq!(kept(&server, &key).len(), before.len());
    assert!(matches!(claimed(&store, &key, 1).await, Found::Previous(_)), "within the grace");
}

#[tokio::test]
async fn a_load_without_data_confirms_and_reads_none() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let key = insert(&store, &"x".repeat(1_000_000)).await;
    hand_over(&store, &key, 1).await;
    let _: String = ask(server.url(), &["CONFIG", "RESETSTAT"]);
    let claim = claim(2);
    let load = Load { claim: Some(&claim), touch: Touch::After(Duration::ZERO), with_data: false };
    let record = store.load(&key, &load).await.unwrap().live().unwrap();
    assert_eq!((record.data.len(), record.proofs.previous.unwrap().sealed), (0, None));
    assert_eq!(times_called(server.url(), "get"), 0);
    assert_eq!(store.get(&key).await.unwrap().unwrap().data.len(), 1_000_000);
}

/// The server refuses to write, and that ends no session.
#[tokio::test]
async fn a_full_server_confirms_later() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let key = insert(&store, "data").await;
    hand_over(&store, &key, 1).await;
    let _: String = ask(server.url(), &["CONFIG", "SET", "maxmemory", "1"]);
    let Found::Current(record) = claimed(&store, &key, 2).await else {
        panic!("it is the current secret");
    };
    assert_eq!(record.proofs.previous.unwrap().confirmed_at, None);
    let _: String = ask(server.url(), &["CONFIG", "SET", "maxmemory", "0"]);
    let Found::Current(record) = claimed(&store, &key, 2).await else {
        panic!("it is the current secret");
    };
    assert!(record.proofs.previous.unwrap().confirmed_at.is_some());
}

/// The head of a record is read in one or two steps.
#[tokio::test]
async fn each_part_of_a_record_keeps_its_place_whatever_the_sizes() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let parts = |record: Record| {
        let previous = record.proofs.previous.unwrap();
        let owner = record.meta.owner.unwrap().as_str().len();
        (owner, record.details.as_bytes().len(), previous.sealed.unwrap().len())
    };
    for owner_len in [1, 255] {
        let anna = owner(&"a".repeat(owner_len));
        for details_len in [0, 1, 200, Details::MAX_LEN] {
            for sealed_len in [0, 1, 100, 300, 1_024] {
                let key = key_of(&store, &anna);
                let details = Details::from_stored("d".repeat(details_len).into());
                let record = NewRecord {
                    owner: Some(&anna),
                    proof: Some(proof(1)),
                    details: details.clone(),
                    ..hour("data")
                };
                store.insert(&key, &record).await.unwrap();
                let new =
                    NewProof::Rotated { next: proof(2), sealed: "s".repeat(sealed_len).into() };
                let write = Write { proof: Some(new), ..Write::default() };
                store.replace(&key, &write).await.unwrap();
                let expected = (owner_len, details_len, sealed_len);
                let whole = store.get(&key).await.unwrap().unwrap();
                assert_eq!((&whole.data[..], &whole.details), (&b"data"[..], &details));
                assert_eq!(parts(whole), expected);
                let write = Write { details: Some(&details), ..Write::data("other") };
                store.replace(&key, &write).await.unwrap();
                let load = Load { with_data: false, ..Load::new() };
                let head = store.load(&key, &load).await.unwrap().live().unwrap();
                assert_eq!(head.data, "");
                assert_eq!(parts(head), expected);
                assert_eq!(store.get(&key).await.unwrap().unwrap().data, "other");
                let claim = claim(2);
                let removed = store.remove(&key, Condition::Claim(&claim), true).await.unwrap();
                assert_eq!(parts(removed.record().unwrap()), expected);
            }
        }
    }
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn details_that_do_not_fit_are_refused() {
    let store = Redis::connect(test_servers::redis_url()).await.unwrap();
    let details = Details::from_stored(vec![b'x'; 70_000].into());
    let record = NewRecord { details: details.clone(), ..hour("data") };
    let error = store.insert(&fresh_key(), &record).await.unwrap_err();
    assert!(error.to_string().contains("70000 bytes of details"), "{error}");
    let write = Write { details: Some(&details), ..Write::default() };
    assert!(store.replace(&fresh_key(), &write).await.is_err());
}

/// The bytes that stand for no proof are no proof.
#[tokio::test]
async fn zeros_open_no_record_without_a_proof() {
    let store = Redis::connect(test_servers::redis_url()).await.unwrap();
    let key = fresh_key();
    store.insert(&key, &hour("data")).await.unwrap();
    let zeros = Claim::new(Proof::from_bytes([0; Proof::LEN]), Duration::ZERO);
    let load = Load { claim: Some(&zeros), ..Load::new() };
    assert_eq!(store.load(&key, &load).await.unwrap(), Found::Missing);
    let removed = store.remove(&key, Condition::Claim(&zeros), false).await.unwrap();
    assert_eq!(removed, Removed::Conflict);
    assert!(store.remove(&key, Condition::Always, false).await.unwrap().is_done());
}

/// Of a page that ends among sessions of one millisecond, the next one has the others.
#[tokio::test]
async fn pages_of_an_owners_sessions_that_began_at_one_moment_have_each_of_them_once() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let anna = owner("anna");
    let lifetime = Lifetime::idle(Duration::from_secs(3600)).unwrap();
    let mut keys = Vec::new();
    for number in 0..250 {
        let key = key_of(&store, &anna);
        let record = NewRecord { owner: Some(&anna), ..NewRecord::new("data", lifetime) };
        store.insert(&key, &record).await.unwrap();
        let score = if number % 5 == 0 { "18" } else { "17" };
        let _: usize = ask(server.url(), &["ZADD", "ts:{0}:o:anna", score, &key.to_string()]);
        keys.push(key);
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.owned(&anna, after.as_ref(), 7, true).await.unwrap();
        assert!(page.records.len() == 7 || page.next.is_none());
        assert!(page.records.iter().all(|(_, record)| record.data == "data"));
        // A session that ends between two pages leaves the place of the next one clear.
        if let Some((key, _)) = page.records.last() {
            store.remove(key, Condition::Always, false).await.unwrap();
        }
        listed.extend(page.records.into_iter().map(|(key, _)| key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    keys.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, keys);
}
