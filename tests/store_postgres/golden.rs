//! The row of a fixed record, as an earlier build wrote it. A change of it breaks the sessions that a
//! service has in its table.

use std::time::Duration;

use sqlx::PgPool;
use token_session::store::{
    Found, Load, NewProof, NewRecord, Postgres, Previous, Proofs, Replaced, Store, Write,
};
use token_session::{
    Claim, Details, Key, Label, Lifetime, Meta, Owner, Proof, Record, Timestamp, Version,
};

use crate::server::{admin, fresh_name, number, run};

const DATA: &str = r#"{"cart":[1]}"#;

/// In the year 2096: the server's clock cannot be set, and the record has to live.
const NOW: u64 = 4_000_000_000_123;

const BREAKS: &str = "this breaks what is stored or mailed";

/// The columns of the record after its secret was handed over, each with its value in SQL.
const COLUMNS: [(&str, &str); 10] = [
    ("key", "'\\x07070707070707070707070707070707'"),
    ("data", "'\\x7b2263617274223a5b315d7d'"),
    ("details", "'\\x317b226c6162656c223a22416e6e6127732070686f6e65227d'"),
    ("version", "17"),
    ("idle_ms", "1800000"),
    ("absolute_ms", "86400000"),
    ("owner", "U&'Ann\\00e4'"),
    ("proof", "'\\x010202020202020202020202020202020202020202020202020202020202020202'"),
    ("previous_proof", "'\\x010101010101010101010101010101010101010101010101010101010101010101'"),
    ("sealed", "'\\x7365616c6564'"),
];

/// The times of the record, each with its value in a new one.
const TIMES: [(&str, &str, &str); 5] = [
    ("created_at", "4000000000123", "created_at"),
    ("last_seen", "4000000000123", "created_at"),
    ("deadline", "4000086400123", "created_at + 86400000"),
    ("authenticated_at", "4000000000123", "created_at"),
    ("confirmed_at", "NULL::bigint", "NULL"),
];

/// Computed by the server.
const EXPIRES_AT: (&str, &str) = ("expires_at", "created_at + 1800000");

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

/// An empty store, a pool beside it and its table.
async fn empty() -> (Postgres, PgPool, String) {
    let (admin, table) = (admin().await, fresh_name());
    let store = Postgres::builder().table(&table).build(admin.clone()).unwrap();
    store.migrate().await.unwrap();
    (store, admin, table)
}

#[tokio::test]
async fn a_record_is_written_as_before() {
    let (store, admin, table) = empty().await;
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
    let times = TIMES.map(|(column, _, value)| (column, value));
    for (column, value) in COLUMNS.into_iter().chain(times).chain([EXPIRES_AT]) {
        let same =
            format!("SELECT count(*) FROM {table} WHERE {column} IS NOT DISTINCT FROM {value}");
        assert_eq!(number(&admin, same).await, 1, "{BREAKS}: {column}");
    }
}

#[tokio::test]
async fn a_row_of_an_earlier_build_is_read() {
    let (store, admin, table) = empty().await;
    let times = TIMES.map(|(column, value, _)| (column, value));
    let (names, values): (Vec<_>, Vec<_>) = COLUMNS.into_iter().chain(times).unzip();
    let (names, values) = (names.join(", "), values.join(", "));
    run(&admin, format!("INSERT INTO {table} ({names}) VALUES ({values})")).await;
    let found = store.load(&key(), &Load::new()).await.unwrap();
    let Found::Current(mut found) = found else { panic!("{BREAKS}: {found:?}") };
    // The server's clock is not the record's.
    found.meta.now = Timestamp::from_millis(NOW);
    assert_eq!(found, record(), "{BREAKS}");
}
