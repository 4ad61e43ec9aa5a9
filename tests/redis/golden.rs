//! A record that an earlier build has written is read today, and today's builds write the same bytes.

use std::time::Duration;

use token_session::store::{
    Inserted, Load, NewProof, NewRecord, Owners, Previous, Proofs, Replaced, Store, Write,
};
use token_session::{Claim, Details, Key, Label, Lifetime, Proof, Timestamp, Version};

use crate::{Short, ask, owner, patient};

const BREAKS: &str = "this breaks what is stored or mailed";

/// The Redis keys of the session and of its owner's index.
const NAME: &str = "ts:{0}:s:BwcHBwcHBwcHBwcHBwcHBw";
const INDEX: &str = "ts:{0}:o:anna";

/// The record of a session that is being handed over, part by part.
const RECORD: [&[u8]; 17] = [
    b"\x01",
    // The version, 20015998343868.
    b"\x00\x00\x12\x34\x56\x78\x9a\xbc",
    // Created, and authenticated a minute later.
    b"\x00\x00\x01\x9a\xd8\x48\x2c\x80",
    b"\x00\x00\x01\x9a\xd8\x49\x16\xe0",
    // 30 days, and an hour.
    b"\x00\x00\x00\x00\x9a\x7e\xc8\x00",
    b"\x00\x00\x00\x00\x00\x36\xee\x80",
    // The deadline, in 2096, and when it was last seen.
    b"\x00\x00\x03\xa3\x52\x94\x40\x00",
    b"\x00\x00\x01\x9a\xd8\x49\xb3\x20",
    &[2; 33],
    &[1; 33],
    // Not confirmed.
    &[0; 8],
    b"\x04",
    b"\x00\x19",
    b"\x00\x06",
    b"anna",
    b"1{\"label\":\"Anna's phone\"}",
    b"sealed{\"visits\":17}",
];

/// The bytes of the times that the server's clock decides: created, authenticated, deadline and seen.
const TIMES: [std::ops::Range<usize>; 2] = [9..25, 41..57];

fn key() -> Key {
    Key::from_bytes([7; 16])
}

fn details() -> Details {
    Details::new().with_label(Label::new("Anna's phone").unwrap())
}

fn lifetime() -> Lifetime {
    let idle = Lifetime::idle(Duration::from_secs(3_600)).unwrap();
    idle.and_absolute(Duration::from_secs(30 * 24 * 3_600)).unwrap()
}

#[tokio::test]
async fn a_record_of_an_earlier_build_is_read() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut set = redis::cmd("SET");
    set.arg(NAME).arg(RECORD.concat()).arg("PX").arg(3_600_000);
    let () = set.query(&mut client.get_connection().unwrap()).unwrap();
    let _: usize = ask(server.url(), &["ZADD", INDEX, "1764565200000", &key().to_string()]);

    let claim = Claim::new(Proof::from_bytes([1; 33]), Duration::ZERO);
    let found =
        store.load(&key(), &Load { claim: Some(&claim), ..Load::new() }).await.expect(BREAKS);
    let record = found.live().expect(BREAKS);
    let previous = Previous {
        proof: Proof::from_bytes([1; 33]),
        confirmed_at: None,
        sealed: Some("sealed".into()),
    };
    let proofs = Proofs { current: Some(Proof::from_bytes([2; 33])), previous: Some(previous) };
    assert_eq!(record.proofs, proofs, "{BREAKS}");
    assert_eq!(record.data, r#"{"visits":17}"#, "{BREAKS}");
    assert_eq!(record.details, details(), "{BREAKS}");
    let (at, meta) = (Timestamp::from_millis, record.meta);
    assert_eq!(meta.version, Version::from_u64(0x1234_5678_9abc), "{BREAKS}");
    assert_eq!(meta.lifetime, lifetime(), "{BREAKS}");
    assert_eq!(meta.created_at, at(1_764_565_200_000), "{BREAKS}");
    assert_eq!(meta.authenticated_at, Some(at(1_764_565_260_000)), "{BREAKS}");
    assert_eq!(meta.deadline, Some(at(4_000_000_000_000)), "{BREAKS}");
    assert_eq!(meta.owner, Some(owner("anna")), "{BREAKS}");
    let owned = store.owned(&owner("anna"), None, 10, false).await.expect(BREAKS).records;
    assert_eq!(owned.len(), 1, "{BREAKS}");
}

#[tokio::test]
async fn a_record_is_written_as_by_an_earlier_build() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let anna = owner("anna");
    let record = NewRecord {
        details: details(),
        version: Version::from_u64(0x1234_5678_9abc),
        proof: Some(Proof::from_bytes([1; 33])),
        owner: Some(&anna),
        authenticated: true,
        ..NewRecord::new(r#"{"visits":17}"#, lifetime())
    };
    let inserted = store.insert(&key(), &record).await.unwrap();
    assert!(matches!(inserted, Inserted::Done { .. }));
    let proof = NewProof::Rotated { next: Proof::from_bytes([2; 33]), sealed: "sealed".into() };
    let replaced = store.replace(&key(), &Write { proof: Some(proof), ..Write::default() }).await;
    assert!(matches!(replaced, Ok(Replaced::Done(_))));

    let meta = store.get(&key()).await.unwrap().unwrap().meta;
    let mut written: Vec<u8> = ask(server.url(), &["GET", NAME]);
    let mut sample = RECORD.concat();
    for range in TIMES {
        written[range.clone()].fill(0);
        sample[range].fill(0);
    }
    assert_eq!(written, sample, "{BREAKS}");
    let places: Vec<String> = ask(server.url(), &["ZRANGE", INDEX, "0", "-1", "WITHSCORES"]);
    let began = meta.created_at.as_millis().to_string();
    assert_eq!(places, [key().to_string(), began], "{BREAKS}");
    // Redis drops it in the millisecond in which it ends.
    let expires: u64 = ask(server.url(), &["PEXPIRETIME", NAME]);
    assert_eq!(expires, meta.expires_at().as_millis() - 1, "{BREAKS}");
}
