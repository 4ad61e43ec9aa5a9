//! The layout of the file: what an earlier build has written must stay readable.

use std::time::Duration;

use sqlx::Row;
use token_session::store::{
    Found, Inserted, Load, NewProof, NewRecord, Owners, Previous, Proofs, Replaced, Sqlite, Store,
    Write,
};
use token_session::{
    Claim, Details, Key, Label, Lifetime, Meta, Owner, Proof, Record, Timestamp, Version,
};

use crate::folder::{Folder, find, run};

/// If a test here fails, the change breaks the sessions that are stored already.
const GOLDEN: &str = include_str!("golden.sql");

fn key() -> Key {
    Key::from_bytes(u128::to_be_bytes(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff))
}

fn proof(scheme: u8, digest: u8) -> Proof {
    let mut bytes = [digest; Proof::LEN];
    bytes[0] = scheme;
    Proof::from_bytes(bytes)
}

fn session() -> Record {
    let at = Timestamp::from_millis;
    Record {
        data: r#"{"a":1}"#.into(),
        details: Details::new().with_label(Label::new("Anna's phone").unwrap()),
        proofs: Proofs {
            current: Some(proof(1, 2)),
            previous: Some(Previous {
                proof: proof(2, 1),
                confirmed_at: None,
                sealed: Some("sealed".into()),
            }),
        },
        meta: Meta {
            version: Version::from_u64((1 << 48) - 2),
            lifetime: Lifetime::of(Some(Lifetime::MAX), Some(Lifetime::MAX)).unwrap(),
            created_at: at(1_700_000_000_000),
            last_seen: at(1_700_000_060_000),
            deadline: Some(at(4_853_600_000_000)),
            authenticated_at: Some(at(1_700_000_000_000)),
            owner: Some(Owner::new("Anna").unwrap()),
            now: at(0),
        },
    }
}

async fn golden(folder: &Folder) -> Sqlite {
    let store = Sqlite::connect(&folder.url("sessions.db")).await.unwrap();
    run(&mut folder.beside("sessions.db").await, GOLDEN).await;
    // A service migrates at each start.
    store.migrate().await.unwrap();
    store
}

#[tokio::test]
async fn rows_of_the_golden_file_are_read_in_full() {
    let folder = Folder::new();
    let store = golden(&folder).await;
    let mut read = find(&store, &key()).await.unwrap();
    read.meta.now = Timestamp::from_millis(0);
    assert_eq!(read, session());

    let page = store.owned(&Owner::new("Anna").unwrap(), None, 10, true).await.unwrap();
    assert!(matches!(&page.records[..], [(listed, _)] if *listed == key()));

    let [claim, previous] =
        [proof(1, 2), proof(2, 1)].map(|proof| Claim::new(proof, Duration::ZERO));
    let load = |claim| Load { claim, ..Load::new() };
    let found = store.load(&key(), &load(Some(&previous))).await.unwrap();
    assert!(matches!(found, Found::Previous(_)));
    let found = store.load(&key(), &load(Some(&claim))).await.unwrap();
    assert!(matches!(found, Found::Current(_)));
    let found = store.load(&key(), &load(Some(&previous))).await.unwrap();
    assert!(matches!(found, Found::Reused(_)));

    let bare = Key::from_bytes(u128::to_be_bytes(0xffee_ddcc_bbaa_9988_7766_5544_3322_1100));
    let read = find(&store, &bare).await.unwrap();
    assert_eq!(read.data, &b"\x00\xff"[..]);
    assert_eq!((read.details, read.proofs), (Details::new(), Proofs::default()));
    assert_eq!(read.meta.lifetime, Lifetime::absolute(Lifetime::MAX).unwrap());
    assert_eq!((read.meta.version, read.meta.owner), (Version::from_u64(17), None));
}

#[tokio::test]
async fn a_session_is_written_as_in_the_golden_file() {
    let folder = Folder::new();
    let store = golden(&folder).await;
    let session = session();
    let written = Key::from_bytes([7; Key::LEN]);
    let new = NewRecord {
        details: session.details.clone(),
        version: session.meta.version,
        proof: Some(proof(2, 1)),
        owner: session.meta.owner.as_ref(),
        authenticated: true,
        ..NewRecord::new(session.data, session.meta.lifetime)
    };
    assert!(matches!(store.insert(&written, &new).await.unwrap(), Inserted::Done { .. }));
    let handover = NewProof::Rotated { next: proof(1, 2), sealed: "sealed".into() };
    let handover = Write { proof: Some(handover), ..Write::default() };
    assert!(matches!(store.replace(&written, &handover).await.unwrap(), Replaced::Done(_)));

    // All columns but the key and the points in time.
    let columns =
        "SELECT version, quote(idle_ms), quote(absolute_ms), deadline - created_at, owner,
            quote(proof), quote(previous_proof), quote(confirmed_at), quote(sealed),
            quote(details), quote(data), typeof(last_seen), typeof(authenticated_at)
        FROM token_sessions WHERE key = ?";
    let mut beside = folder.beside("sessions.db").await;
    let mut rows = Vec::new();
    for key in [key(), written] {
        let row = sqlx::query(columns).bind(&key.as_bytes()[..]);
        let row = row.fetch_one(&mut beside).await.unwrap();
        let texts = (4..13).map(|column| row.get::<String, _>(column));
        let timeouts = (1..3).map(|column| row.get::<String, _>(column));
        let numbers = [row.get::<i64, _>(0), row.get::<i64, _>(3)];
        rows.push((numbers, timeouts.chain(texts).collect::<Vec<_>>()));
    }
    assert_eq!(rows[0], rows[1]);
}

/// The table and its indexes, without comments and spaces.
#[tokio::test]
async fn migrate_makes_the_table_of_the_golden_file() {
    let made = Folder::new();
    made.store("sessions.db", Sqlite::builder()).await;
    let kept = Folder::new();
    golden(&kept).await;
    let mut schemas = Vec::new();
    for folder in [made, kept] {
        let mut beside = folder.beside("sessions.db").await;
        let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
        let rows = sqlx::query(sql).fetch_all(&mut beside).await.unwrap();
        let sql = rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n");
        let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
        schemas.push(lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(schemas[0], schemas[1]);
}
