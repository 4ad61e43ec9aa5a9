//! The row of a fixed record, as an earlier build wrote it. A change of it breaks the sessions that a
//! service has in its table.

use std::time::Duration;

use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use token_session::store::{
    Found, Load, MySql, NewProof, NewRecord, Previous, Proofs, Replaced, Store, Write,
};
use token_session::{
    Claim, Details, Key, Label, Lifetime, Meta, Owner, Proof, Record, Timestamp, Version,
};

use crate::server::{fresh_name, number, run, shared_url};

const DATA: &str = r#"{"cart":[1]}"#;
const NOW: u64 = 1_800_000_000_123;

/// The columns of the record after its secret was handed over, each with its value in SQL.
const ROW: [(&str, &str); 16] = [
    ("`key`", "X'07070707070707070707070707070707'"),
    ("data", "X'7B2263617274223A5B315D7D'"),
    ("details", "X'317B226C6162656C223A22416E6E6127732070686F6E65227D'"),
    ("version", "17"),
    ("idle_ms", "1800000"),
    ("absolute_ms", "86400000"),
    ("created_at", "1800000000123"),
    ("last_seen", "1800000000123"),
    ("deadline", "1800086400123"),
    ("authenticated_at", "1800000000123"),
    ("`owner`", "X'416E6EC3A4'"),
    ("proof", "X'010202020202020202020202020202020202020202020202020202020202020202'"),
    ("previous_proof", "X'010101010101010101010101010101010101010101010101010101010101010101'"),
    ("confirmed_at", "NULL"),
    ("sealed", "X'7365616C6564'"),
    ("expires_at", "1800001800123"),
];

fn key() -> Key {
    Key::from_bytes([7; Key::LEN])
}

/// Of the scheme SHA-256.
fn proof(digest: u8) -> Proof {
    let mut bytes = [digest; Proof::LEN];
    bytes[0] = 1;
    Proof::from_bytes(bytes)
}

fn details() -> Details {
    Details::new().with_label(Label::new("Anna's phone").unwrap())
}

fn owner() -> Owner {
    Owner::new("Annä").unwrap()
}

fn lifetime() -> Lifetime {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    Lifetime::idle(minutes(30)).unwrap().and_absolute(minutes(24 * 60)).unwrap()
}

/// The record whose row it is.
fn record() -> Record {
    let now = Timestamp::from_millis(NOW);
    let sealed = Some("sealed".into());
    Record {
        data: DATA.into(),
        details: details(),
        proofs: Proofs {
            current: Some(proof(2)),
            previous: Some(Previous { proof: proof(1), confirmed_at: None, sealed }),
        },
        meta: Meta {
            version: Version::from_u64(17),
            lifetime: lifetime(),
            created_at: now,
            last_seen: now,
            deadline: lifetime().deadline(now),
            authenticated_at: Some(now),
            owner: Some(owner()),
            now,
        },
    }
}

/// An empty store whose server's clock stands still, its pool and its table.
async fn empty() -> (MySql, MySqlPool, String) {
    let (pool, table) = (MySqlPoolOptions::new().max_connections(1), fresh_name());
    let pool = pool.connect(shared_url()).await.unwrap();
    run(&pool, format!("SET timestamp = {}.{:03}", NOW / 1_000, NOW % 1_000)).await;
    let store = MySql::builder().table(&table).build(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    (store, pool, table)
}

#[tokio::test]
async fn a_record_is_written_as_before() {
    let (store, pool, table) = empty().await;
    let owner = owner();
    let new = NewRecord {
        details: details(),
        version: Version::from_u64(17),
        proof: Some(proof(1)),
        owner: Some(&owner),
        authenticated: true,
        ..NewRecord::new(DATA, lifetime())
    };
    store.insert(&key(), &new).await.unwrap();
    let claim = Claim::new(proof(1), Duration::ZERO);
    let handover = NewProof::Rotated { next: proof(2), sealed: "sealed".into() };
    let handover = Write { proof: Some(handover), claim: Some(&claim), ..Write::default() };
    assert!(matches!(store.replace(&key(), &handover).await, Ok(Replaced::Done(_))));
    for (column, value) in ROW {
        let same = format!("SELECT COUNT(*) FROM {table} WHERE {column} <=> {value}");
        assert_eq!(number(&pool, same).await, 1, "this breaks what is stored or mailed: {column}");
    }
}

#[tokio::test]
async fn a_row_of_an_earlier_build_is_read() {
    let (store, pool, table) = empty().await;
    // The server computes the last one.
    let (names, values): (Vec<_>, Vec<_>) = ROW[..ROW.len() - 1].iter().copied().unzip();
    let (names, values) = (names.join(", "), values.join(", "));
    run(&pool, format!("INSERT INTO {table} ({names}) VALUES ({values})")).await;
    let found = store.load(&key(), &Load::new()).await.unwrap();
    assert_eq!(found, Found::Current(record()), "this breaks what is stored or mailed");
}
