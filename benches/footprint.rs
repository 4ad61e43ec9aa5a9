//! How many bytes of memory a session takes, by the process's resident set: `cargo bench --bench
//! footprint`. Linux alone says so in `/proc`.

use std::fs;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use token_session::store::{Load, Memory, NewRecord, Store, Touch};
use token_session::{Details, Key, Label, Lifetime, Owner};

const SESSIONS: usize = 1_000_000;
const DATA: &[u8] = br#"{"user":"0123456789","visits":17,"device":"Anna's phone"}"#;

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the memory store does not wait"),
    }
}

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("this needs Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)).expect("Linux says VmRSS");
    kib.parse::<usize>().expect("VmRSS is a number") * 1024
}

fn keys() -> Vec<Key> {
    let key = || {
        let mut bytes = [0; Key::LEN];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Key::from_bytes(bytes)
    };
    std::iter::repeat_with(key).take(SESSIONS).collect()
}

/// Bytes per session that `fill` takes, of a new process: what an earlier run has freed would not
/// show.
fn measure(name: &str, fill: impl FnOnce(&Memory, &[Key])) {
    let (store, keys) = (Memory::new(), keys());
    let before = resident_bytes();
    fill(&store, &keys);
    let taken = resident_bytes() - before;
    println!("{name}: {} bytes a session, of which {} are data", taken / SESSIONS, DATA.len());
    assert_eq!(store.held(), SESSIONS);
}

fn main() {
    let lifetime = Lifetime::idle_secs(1_800).expect("half an hour is a timeout");
    let record = NewRecord::new(Bytes::from_static(DATA), lifetime);
    let insert = |store: &Memory, key: &Key, record: &NewRecord<'_>| {
        now(store.insert(key, record)).expect("there is no cap");
    };
    let part = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    match part.as_deref() {
        Some("created") => measure("created", |store, keys| {
            keys.iter().for_each(|key| insert(store, key, &record));
        }),
        Some("used") => measure("created, loaded and touched", |store, keys| {
            for key in keys {
                insert(store, key, &record);
                now(store.load(key, &Load { touch: Touch::After(Duration::ZERO), ..Load::new() }))
                    .expect("it is there");
            }
        }),
        Some("owned") => measure("one for each owner, labelled", |store, keys| {
            for (number, key) in keys.iter().enumerate() {
                let owner = Owner::new(format!("user-{number}")).expect("it is short");
                let label = Label::new("Anna's phone").expect("it is short");
                let details = Details::new().with_label(label);
                insert(store, key, &NewRecord { owner: Some(&owner), details, ..record.clone() });
            }
        }),
        _ => {
            for part in ["created", "used", "owned"] {
                let this = std::env::current_exe().expect("a program knows where it is");
                let status = std::process::Command::new(this).arg(part).status();
                assert!(status.expect("this program starts").success());
            }
        }
    }
}
