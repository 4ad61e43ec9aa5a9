//! What was stored or mailed yesterday is good today.
//!
//! Each sample in this folder holds the records of a store, as an earlier build wrote them, and what
//! that build handed out: codes, handles, links. A test restores the records and uses what was handed
//! out, so a change of a label, of a field's name or of a layout fails it.
//!
//! `WRITE_SAMPLES=1 cargo test --test golden -- --test-threads=1` writes them anew. Do that for a sample of a
//! new format, or to end an old one on purpose: everybody who holds such a code or link is refused then.

mod codes;
mod keys;
mod links;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use serde::{Deserialize, Serialize};
use token_session::store::{Inserted, Listing, ManualClock, Memory, NewRecord, Store};
use token_session::{Key, KeyRing, Lifetime, Owner};

/// The subject of all samples.
const ANNA: &str = "anna@example.org";

/// What a sample holds.
#[derive(Default, Serialize, Deserialize)]
struct Sample {
    /// What was handed out, by a name.
    given: BTreeMap<String, String>,
    records: Vec<Stored>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    key: String,
    owner: Option<String>,
    data: String,
}

impl Sample {
    /// What was given out, and all that the store holds.
    async fn of<const N: usize>(given: [(&str, &str); N], store: &impl Listing) -> Self {
        let page = store.scan(None, usize::MAX).await.unwrap();
        let records = page.records.into_iter().map(|(key, record)| Stored {
            key: key.to_string(),
            owner: record.meta.owner.map(|owner| owner.as_str().to_owned()),
            data: String::from_utf8(record.data.to_vec()).unwrap(),
        });
        let mut records: Vec<Stored> = records.collect();
        records.sort_by(|one, other| one.key.cmp(&other.key));
        Self { given: own(given), records }
    }

    fn given(&self, name: &str) -> &str {
        &self.given[name]
    }

    /// A store with the records, written a moment ago.
    async fn store(&self) -> Memory {
        let store = empty_store();
        for stored in &self.records {
            let key: Key = stored.key.parse().unwrap();
            let owner = stored.owner.as_deref().map(|owner| Owner::from_stored(owner).unwrap());
            let lifetime = Lifetime::absolute(Duration::from_secs(3_600)).unwrap();
            let data = stored.data.clone().into_bytes();
            let record = NewRecord { owner: owner.as_ref(), ..NewRecord::new(data, lifetime) };
            let inserted = store.insert(&key, &record).await.unwrap();
            assert!(matches!(inserted, Inserted::Done { .. }));
        }
        store
    }
}

fn own<const N: usize>(given: [(&str, &str); N]) -> BTreeMap<String, String> {
    given.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A store whose clock stands still.
fn empty_store() -> Memory {
    Memory::builder().clock(ManualClock::default()).build()
}

fn ring() -> KeyRing {
    KeyRing::new(7, b"the application's key: 32 bytes.").unwrap()
}

/// The sample of this name; with `WRITE_SAMPLES`, `made` takes its place first.
fn sample(name: &str, made: Sample) -> Sample {
    if env::var_os("WRITE_SAMPLES").is_some() {
        fs::write(path(name), serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    read(name)
}

fn read(name: &str) -> Sample {
    let path = path(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"))
}

/// What an earlier build handed out is good.
#[track_caller]
fn good<T, E: std::fmt::Debug>(answer: Result<T, E>) -> T {
    match answer {
        Ok(good) => good,
        Err(error) => panic!("this breaks what is stored or mailed: {error:?}"),
    }
}
