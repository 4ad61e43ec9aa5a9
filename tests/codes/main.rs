//! Codes and links: what each abuse gets, what attackers get, and what people get.

mod abuse;
mod after_use;
mod asking;
mod attacks;
mod budgets;
mod by_subject;
mod decoys;
mod distant;
mod fickle;
mod keys;
mod leases;
mod links;
mod mailed_address;
#[path = "../on_every_store/mod.rs"]
mod on_every_store;
mod payloads;
mod recovery;
mod resend;
mod shared_store;
mod sign_in_links;
mod signed_links;
mod watched;

use std::time::Duration;

use token_session::KeyRing;
use token_session::codes::{CodeError, Codes, CodesBuilder, IssuedCode};
use token_session::store::{AtomicStore, Listing, ManualClock, Memory};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);

const ANNA: &str = "anna@example.org";

/// A store whose clock stands still until it is moved.
fn store_with_clock() -> (Memory, ManualClock) {
    let clock = ManualClock::default();
    let store = Memory::builder().clock(clock.clone()).build();
    (store, clock)
}

fn builder(store: impl AtomicStore) -> CodesBuilder<String> {
    Codes::builder("sign-in").store(store)
}

/// Codes in a store whose clock stands still until it is moved.
fn codes_with_clock() -> (Codes<String>, ManualClock) {
    let (store, clock) = store_with_clock();
    (builder(store).build().unwrap(), clock)
}

async fn issue(codes: &Codes<String>) -> IssuedCode {
    codes.issue(ANNA, &"payload".to_owned()).await.unwrap()
}

fn handle(issued: &IssuedCode) -> &str {
    issued.challenge.handle.reveal()
}

/// The code, with one digit another.
fn wrong(issued: &IssuedCode) -> String {
    let code = issued.code.reveal();
    let first = if code.starts_with('0') { '1' } else { '0' };
    format!("{first}{}", &code[1..])
}

/// Guesses wrong so many times, and is refused each time.
async fn guess_wrong(codes: &Codes<String>, issued: &IssuedCode, times: u32) {
    for _ in 0..times {
        assert_refused(codes.redeem(handle(issued), &wrong(issued)).await);
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(answer: Result<T, CodeError>) {
    assert!(matches!(answer, Err(CodeError::Refused)), "{answer:?}");
}

#[track_caller]
fn assert_exhausted<T: std::fmt::Debug>(answer: Result<T, CodeError>) {
    assert!(matches!(answer, Err(CodeError::Exhausted)), "{answer:?}");
}

/// How long to wait, where that is the answer.
#[track_caller]
fn wait<T: std::fmt::Debug>(answer: Result<T, CodeError>) -> Duration {
    match answer {
        Err(CodeError::TooSoon { retry_after }) => retry_after,
        other => panic!("{other:?}"),
    }
}

fn ring(ids: &[u32]) -> KeyRing {
    let secret = |id: u32| format!("{id:032}");
    let first = KeyRing::new(ids[0], secret(ids[0]).as_bytes()).unwrap();
    let older = ids[1..].iter();
    older.fold(first, |ring, id| ring.and_verify(*id, secret(*id).as_bytes()).unwrap())
}

/// All that a store holds, as who steals it reads it.
async fn dump(store: &impl Listing) -> String {
    let page = store.scan(None, usize::MAX).await.unwrap();
    let records = page.records.iter().map(|(key, record)| {
        let data = String::from_utf8_lossy(&record.data);
        format!("{key} {data} {:?}\n", record.meta)
    });
    records.collect()
}
