//! What the operations of the memory store that look at many sessions cost with a million of them,
//! and for how long they hold their worker at a time: `cargo bench --bench bounded`.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use token_session::store::{
    Condition, Listing, Load, ManualClock, Memory, MemoryBuilder, NewRecord, OwnerLimit, Owners,
    Store, Touch, WhenFull,
};
use token_session::{Key, Lifetime, Owner};

const SESSIONS: usize = 1_000_000;
const OWNED: usize = 100_000;
const PAGE: usize = 1_000;
const DATA: &[u8] = br#"{"user":"0123456789","visits":17,"device":"Anna's phone"}"#;

/// Runs an operation, and prints how long it took and how long its longest step held the worker.
fn measure<T>(name: &str, operation: impl Future<Output = T>) -> T {
    let mut operation = pin!(operation);
    let mut context = Context::from_waker(Waker::noop());
    let (began, mut longest, mut steps) = (Instant::now(), Duration::ZERO, 0);
    loop {
        let step = Instant::now();
        let polled = operation.as_mut().poll(&mut context);
        longest = longest.max(step.elapsed());
        steps += 1;
        if let Poll::Ready(value) = polled {
            let took = began.elapsed();
            println!("{name}: {took:.2?} in {steps} steps, of which the longest {longest:.2?}");
            return value;
        }
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

fn key() -> Key {
    let mut bytes = [0; Key::LEN];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    Key::from_bytes(bytes)
}

fn record() -> NewRecord<'static> {
    let lifetime = Lifetime::idle_secs(60).expect("a minute is a timeout");
    NewRecord::new(Bytes::from_static(DATA), lifetime)
}

/// A million sessions that come up in the expiry queue, since their first minute is over, and are
/// alive, since each was touched in it.
fn touched(builder: MemoryBuilder) -> Memory {
    let clock = ManualClock::default();
    let store = builder.clock(clock.clone()).build();
    let keys: Vec<Key> = std::iter::repeat_with(key).take(SESSIONS).collect();
    for key in &keys {
        now(store.insert(key, &record())).expect("there is space");
    }
    clock.advance(Duration::from_secs(30));
    for key in &keys {
        now(store.load(key, &Load { touch: Touch::After(Duration::ZERO), ..Load::new() }))
            .expect("it is there");
    }
    clock.advance(Duration::from_secs(31));
    store
}

fn main() {
    println!("with {SESSIONS} touched sessions that come up in the expiry queue:");
    let store = touched(Memory::builder());
    measure("  sweep(1)", store.sweep(1)).expect("it sweeps");
    measure("  sweep(1_000)", store.sweep(1_000)).expect("it sweeps");
    for (name, policy) in [
        ("  insert at capacity, refused", WhenFull::Refuse),
        ("  insert at capacity, evicting", WhenFull::EvictNearestExpiry),
    ] {
        let store = touched(Memory::builder().capacity(SESSIONS).when_full(policy));
        measure(name, store.insert(&key(), &record())).ok();
        measure(&format!("{name}, again"), store.insert(&key(), &record())).ok();
    }

    println!("with {SESSIONS} sessions:");
    let listed = measure("  full listing, in pages of a thousand", async {
        let (mut listed, mut after) = (0, None);
        loop {
            let page = store.scan(after.as_ref(), PAGE).await.expect("it lists");
            listed += page.records.len();
            after = page.next;
            if after.is_none() {
                return listed;
            }
        }
    });
    assert_eq!(listed, SESSIONS);
    measure("  count", store.count()).expect("it counts");
    measure("  clear", store.clear()).expect("it clears");

    println!("with {OWNED} sessions of one owner:");
    let owner = Owner::new("guest").expect("it is short");
    let limit = OwnerLimit::evict_oldest((OWNED as u32).try_into().expect("it is not zero"));
    let owned = NewRecord { owner: Some(&owner), limit: Some(limit), ..record() };
    let store = Memory::builder().clock(ManualClock::default()).build();
    let keys: Vec<Key> = std::iter::repeat_with(key).take(OWNED).collect();
    for key in &keys {
        now(store.insert(key, &owned)).expect("there is no cap");
    }
    measure("  insert at the owner's limit", store.insert(&key(), &owned))
        .expect("there is no cap");
    measure("  take of the middle one", store.remove(&keys[OWNED / 2], Condition::Always, true))
        .expect("it takes");
    measure("  owned, ten", store.owned(&owner, None, 10, false)).expect("it lists");
    measure("  owned, all", store.owned(&owner, None, usize::MAX, false)).expect("it lists");
    measure("  remove_owned", store.remove_owned(&owner, None)).expect("it ends them");
}
