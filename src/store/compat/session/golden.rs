//! What a Rust service wrote into the sessions of Node services yesterday is read today, and what it
//! writes today is read by the Rust services of yesterday.
//!
//! The sample `tests/golden/node_sessions.json` holds each record as an earlier build wrote it, and what
//! that build read in it. `WRITE_SAMPLES=1 cargo test --features redis golden` writes it anew.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, fs};

use serde::{Deserialize, Serialize};

use super::tests::{DAY, MINUTE, NOW, format};
use super::*;
use crate::record::Label;

/// A record, and what it says of its session. Spans and times are in milliseconds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sample {
    name: String,
    text: String,
    /// How long the database keeps it.
    life: u64,
    data: String,
    details: String,
    idle: Option<u64>,
    absolute: Option<u64>,
    created_at: u64,
    last_seen: u64,
    deadline: Option<u64>,
    authenticated_at: Option<u64>,
    expires_at: u64,
}

fn shapes() -> [(&'static str, Format); 4] {
    let express = Shape::express().cookie("secure", true).cookie("sameSite", "lax");
    [
        ("token-session", format(Shape::token_session())),
        ("token-session, unwrapped", format(Shape::token_session().unwrap_repeatedly())),
        ("express", format(Shape::express())),
        ("express, with a maxAge", format(express.max_age(DAY).unwrap())),
    ]
}

/// How an old build may have begun a session.
fn records() -> Vec<(&'static str, NewRecord<'static>)> {
    let data = r#"{"user":"é😀","count":12345678901234567,"list":[1.5,null]}"#;
    let idle = Lifetime::idle(10 * MINUTE).unwrap();
    let details = Details::new().with_label(Label::new("Anna's phone").unwrap());
    vec![
        ("default", NewRecord::new(data, Lifetime::idle(DAY).unwrap())),
        ("idle", NewRecord::new(data, idle)),
        ("absolute", NewRecord::new(data, Lifetime::absolute(30 * DAY).unwrap())),
        (
            "all",
            NewRecord {
                details,
                authenticated: true,
                ..NewRecord::new(data, idle.and_absolute(DAY).unwrap())
            },
        ),
    ]
}

fn written() -> Vec<Sample> {
    let mut samples = Vec::new();
    for (shape, format) in shapes() {
        for (record, new) in records() {
            let life = millis(new.lifetime.first());
            let text = format.begin(&new, NOW).unwrap();
            samples.push(read(format!("{shape}: {record}"), text, life, &format));
        }
    }
    samples
}

/// What is read in a record a minute after it was written.
fn read(name: String, text: String, life: u64, format: &Format) -> Sample {
    let stored = Stored {
        text: text.clone().into(),
        expires: Some(NOW + Duration::from_millis(life)),
        now: NOW + MINUTE,
    };
    let session = Session::read(format, &stored).expect(BREAKS);
    assert!(session.is_live() && session.is_of_node(), "{BREAKS}: {name}");
    let Record { data, details, meta, .. } = session.record();
    let text_of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let at = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
    Sample {
        name,
        text,
        life,
        data: text_of(&data),
        details: text_of(details.as_bytes()),
        idle: meta.lifetime.idle_timeout().map(millis),
        absolute: meta.lifetime.absolute_timeout().map(millis),
        created_at: meta.created_at.as_millis(),
        last_seen: meta.last_seen.as_millis(),
        deadline: at(meta.deadline),
        authenticated_at: at(meta.authenticated_at),
        expires_at: meta.expires_at().as_millis(),
    }
}

const BREAKS: &str = "this breaks what is stored or mailed";

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/node_sessions.json");
    if env::var_os("WRITE_SAMPLES").is_some() {
        fs::write(&path, serde_json::to_string_pretty(&written()).unwrap() + "\n").unwrap();
    }
    serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap()
});

#[test]
fn what_is_written_is_what_was_written() {
    for (sample, written) in SAMPLES.iter().zip(written()) {
        assert_eq!(*sample, written, "{BREAKS}");
    }
}

#[test]
fn what_was_written_is_read() {
    assert_eq!(SAMPLES.len(), shapes().len() * records().len());
    for sample in &*SAMPLES {
        let (shape, _) = sample.name.split_once(": ").unwrap();
        let (_, format) = shapes().into_iter().find(|(name, _)| *name == shape).unwrap();
        let read = read(sample.name.clone(), sample.text.clone(), sample.life, &format);
        assert_eq!(read, *sample, "{BREAKS}");
    }
}
