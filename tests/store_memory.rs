//! The memory store: the contract, and what is its own.

use std::sync::Arc;
use std::time::Duration;

use token_session::store::conformance::Harness;
use token_session::store::{
    Condition, Cursor, Inserted, Listing, Load, ManualClock, Memory, NewProof, NewRecord,
    OwnerLimit, Owners, Store, StoreErrorKind, Touch, WhenFull, Write,
};
use token_session::{Event, Events, Key, Lifetime, Owner, Proof, Subscription, TokenSession};
use tokio::task::JoinSet;

#[path = "on_every_store/mod.rs"]
mod on_every_store;

#[derive(Default)]
struct InMemory(ManualClock);

impl Harness for InMemory {
    type Store = Memory;

    async fn store(&self) -> Memory {
        Memory::builder().clock(self.0.clone()).build()
    }

    async fn pass(&self, time: Duration) {
        self.0.advance(time);
    }
}

mod conformance {
    use super::InMemory;

    token_session::conformance_suite!(InMemory::default());
}

mod with_codes {
    use super::InMemory;

    crate::on_every_store::codes_on_store!(InMemory::default());
}

/// A store whose parts were left out takes the shorter forms of the suite.
mod without_owners {
    use super::InMemory;

    token_session::conformance_suite!(without owners: InMemory::default());
}

/// On the clock that a service has, where time passes by itself.
struct InRealTime;

impl Harness for InRealTime {
    type Store = Memory;

    async fn store(&self) -> Memory {
        Memory::new()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

mod conformance_in_real_time {
    use super::InRealTime;

    token_session::conformance_suite!(InRealTime);
}

mod with_codes_in_real_time {
    use super::InRealTime;

    crate::on_every_store::codes_on_store!(InRealTime, rounds: 10);
}

/// A load that touches.
const TOUCH: Load<'static> =
    Load { claim: None, touch: Touch::After(Duration::ZERO), with_data: true };

fn seconds(seconds: i64) -> Lifetime {
    Lifetime::idle_secs(seconds).unwrap()
}

fn record(lifetime: Lifetime) -> NewRecord<'static> {
    NewRecord::new("data", lifetime)
}

/// Keys that are as evenly spread as digests are.
fn key(number: u64) -> Key {
    let mut bytes = [0; Key::LEN];
    for (word, chunk) in bytes.chunks_exact_mut(8).enumerate() {
        let mixed = (number + word as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        chunk.copy_from_slice(&(mixed ^ (mixed >> 29)).to_be_bytes());
    }
    Key::from_bytes(bytes)
}

async fn put(store: &Memory, number: u64, lifetime: Lifetime) {
    let inserted = store.insert(&key(number), &record(lifetime)).await.unwrap();
    assert_eq!(inserted, Inserted::Done { evicted: vec![] });
}

async fn is_alive(store: &Memory, number: u64) -> bool {
    store.load(&key(number), &Load::new()).await.unwrap().live().is_some()
}

async fn is_full(store: &Memory, number: u64) -> bool {
    match store.insert(&key(number), &record(seconds(60))).await {
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Full);
            true
        }
        Ok(inserted) => {
            assert_eq!(inserted, Inserted::Done { evicted: vec![] });
            false
        }
    }
}

/// What was told so far.
async fn told(subscription: &mut Subscription, events: &Events) -> Vec<Event> {
    events.tell(|| Event::Connected);
    let mut told = Vec::new();
    loop {
        match subscription.next().await.unwrap() {
            Event::Connected => return told,
            event => told.push(event),
        }
    }
}

#[tokio::test]
async fn a_full_store_refuses_one_more_and_leaves_the_living() {
    let store = Memory::builder().capacity(2).build();
    put(&store, 1, seconds(60)).await;
    put(&store, 2, seconds(60)).await;
    let refused = store.insert(&key(3), &record(seconds(60))).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Full);
    assert_eq!(
        refused.to_string(),
        "the memory store holds 2 sessions, its capacity; \
         wait until some end, raise it, or have it evict the nearest expiry"
    );
    assert!(is_alive(&store, 1).await && is_alive(&store, 2).await);
    assert!(!is_alive(&store, 3).await);

    assert!(store.remove(&key(1), Condition::Always, true).await.unwrap().is_done());
    assert!(!is_full(&store, 3).await);
    assert!(is_full(&store, 4).await);
}

#[tokio::test]
async fn a_full_store_says_of_a_taken_key_that_it_is_taken() {
    for policy in [WhenFull::Refuse, WhenFull::EvictNearestExpiry] {
        let store = Memory::builder().capacity(2).when_full(policy).build();
        put(&store, 1, seconds(60)).await;
        put(&store, 2, seconds(60)).await;
        let inserted = store.insert(&key(1), &record(seconds(60))).await.unwrap();
        assert_eq!(inserted, Inserted::KeyTaken);
        assert!(is_alive(&store, 1).await && is_alive(&store, 2).await);
    }
}

#[tokio::test]
async fn a_full_store_regenerates_and_writes() {
    let store = Memory::builder().capacity(1).build();
    put(&store, 1, seconds(60)).await;
    let proof = Some(NewProof::Regenerated(Proof::from_bytes([1; Proof::LEN])));
    store.replace(&key(1), &Write { proof, ..Write::data("new data") }).await.unwrap();
    assert!(is_alive(&store, 1).await);
    assert_eq!(store.held(), 1);
}

#[tokio::test]
async fn expired_sessions_make_room() {
    let clock = ManualClock::default();
    let store = Memory::builder().capacity(100).clock(clock.clone()).build();
    for number in 0..50 {
        put(&store, number, seconds(60)).await;
        put(&store, number + 50, seconds(600)).await;
    }
    assert!(is_full(&store, 100).await);
    clock.advance(Duration::from_secs(60));
    for number in 100..150 {
        assert!(!is_full(&store, number).await);
    }
    assert!(is_full(&store, 150).await);
    for number in 50..150 {
        assert!(is_alive(&store, number).await);
    }
}

#[tokio::test]
async fn an_owners_oldest_session_makes_room() {
    let store = Memory::builder().capacity(2).build();
    let owner = Owner::new("Anna").unwrap();
    put(&store, 1, seconds(60)).await;
    let annas = NewRecord {
        owner: Some(&owner),
        limit: Some(OwnerLimit::evict_oldest(1.try_into().unwrap())),
        ..record(seconds(60))
    };
    store.insert(&key(2), &annas).await.unwrap();
    let inserted = store.insert(&key(3), &annas).await.unwrap();
    assert_eq!(inserted, Inserted::Done { evicted: vec![key(2)] });
    assert!(is_alive(&store, 1).await && is_alive(&store, 3).await);
    assert_eq!(store.held(), 2);
}

#[tokio::test]
async fn the_nearest_expiry_makes_room_if_the_policy_says_so() {
    let clock = ManualClock::default();
    let store = Memory::builder()
        .capacity(3)
        .when_full(WhenFull::EvictNearestExpiry)
        .clock(clock.clone())
        .build();
    let events = Events::default();
    store.attach(&events);
    let mut subscription = events.subscribe();
    put(&store, 1, seconds(50)).await;
    put(&store, 2, seconds(60)).await;
    put(&store, 3, seconds(70)).await;
    clock.advance(Duration::from_secs(40));
    assert!(store.load(&key(1), &TOUCH).await.unwrap().live().is_some());
    put(&store, 4, seconds(5)).await;
    assert!(!is_alive(&store, 2).await);
    put(&store, 5, seconds(80)).await;
    assert!(!is_alive(&store, 4).await);
    assert!(is_alive(&store, 1).await && is_alive(&store, 3).await && is_alive(&store, 5).await);
    let expected = [Event::Destroyed { key: key(2) }, Event::Destroyed { key: key(4) }];
    assert_eq!(told(&mut subscription, &events).await, expected);
}

#[tokio::test]
async fn a_capacity_of_zero_takes_no_session_and_says_so() {
    for policy in [WhenFull::Refuse, WhenFull::EvictNearestExpiry] {
        let store = Memory::builder().capacity(0).when_full(policy).build();
        let refused = store.insert(&key(1), &record(seconds(60))).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Full);
        assert_eq!(
            refused.to_string(),
            "the memory store has a capacity of 0, so it takes no session; raise it"
        );
        assert_eq!(store.held(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_of_a_thousand_inserts_at_once_fit() {
    let store = Memory::builder().capacity(100).build();
    let mut inserts = JoinSet::new();
    for number in 0..1_000 {
        let store = store.clone();
        inserts.spawn(async move { is_full(&store, number).await });
    }
    let full = inserts.join_all().await;
    assert_eq!(full.iter().filter(|full| !*full).count(), 100);
    assert_eq!(store.held(), 100);
    assert_eq!(store.count().await.unwrap(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_of_a_thousand_inserts_that_evict_remain() {
    let policy = WhenFull::EvictNearestExpiry;
    let store = Memory::builder().capacity(100).when_full(policy).build();
    let mut inserts = JoinSet::new();
    for number in 0..1_000 {
        let store = store.clone();
        inserts.spawn(async move {
            assert!(!is_full(&store, number).await);
            assert!(store.held() <= 100);
        });
    }
    inserts.join_all().await;
    assert_eq!(store.held(), 100);
    assert_eq!(store.count().await.unwrap(), 100);
}

#[tokio::test]
async fn sessions_that_are_only_created_take_bounded_space() {
    let clock = ManualClock::default();
    let store = Memory::builder().clock(clock.clone()).build();
    let owners: Vec<Owner> = (0..7).map(|id| Owner::new(id.to_string()).unwrap()).collect();
    for number in 0..100_000 {
        let record = NewRecord { owner: owners.get(number % 14), ..record(seconds(1)) };
        store.insert(&key(number as u64), &record).await.unwrap();
        clock.advance(Duration::from_millis(1));
        // A thousand live at a time.
        assert!(store.held() < 1_200, "{} are held after {number} inserts", store.held());
    }
}

#[tokio::test]
async fn sessions_that_are_created_and_touched_take_bounded_space() {
    let clock = ManualClock::default();
    let store = Memory::builder().clock(clock.clone()).build();
    for number in 0..50_000_u64 {
        put(&store, number, seconds(1)).await;
        // Every session is touched once, half a second after its beginning.
        if let Some(number) = number.checked_sub(500) {
            assert!(store.load(&key(number), &TOUCH).await.unwrap().live().is_some());
        }
        clock.advance(Duration::from_millis(1));
        assert!(store.held() < 1_800, "{} are held after {number} inserts", store.held());
    }
}

#[tokio::test]
async fn a_load_frees_what_it_finds_expired() {
    let clock = ManualClock::default();
    let store = Memory::builder().clock(clock.clone()).build();
    put(&store, 1, seconds(60)).await;
    clock.advance(Duration::from_secs(60));
    assert_eq!(store.held(), 1);
    assert!(!is_alive(&store, 1).await);
    assert_eq!(store.held(), 0);
}

#[tokio::test]
async fn a_sweep_frees_all_that_has_expired() {
    let clock = ManualClock::default();
    let store = Memory::builder().clock(clock.clone()).build();
    for number in 0..1_000 {
        put(&store, number, seconds(60)).await;
    }
    for number in 0..100 {
        clock.advance(Duration::from_millis(1));
        assert!(store.load(&key(number), &TOUCH).await.unwrap().live().is_some());
    }
    put(&store, 1_000, seconds(60_000)).await;
    let shorter = Write { lifetime: Some(&seconds(30)), ..Write::data("new data") };
    store.replace(&key(1_000), &shorter).await.unwrap();
    clock.advance(Duration::from_millis(59_900));
    assert_eq!(store.sweep(10).await.unwrap(), 10);
    assert_eq!(store.sweep(usize::MAX).await.unwrap(), 891);
    assert_eq!(store.held(), 100);
    clock.advance(Duration::from_millis(100));
    assert_eq!(store.sweep(usize::MAX).await.unwrap(), 100);
    assert_eq!(store.sweep(usize::MAX).await.unwrap(), 0);
    assert_eq!(store.held(), 0);
}

#[tokio::test]
async fn a_session_kept_from_a_large_buffer_does_not_hold_the_buffer() {
    let buffer = bytes::Bytes::from(vec![7; 1_000_000]);
    let store = Memory::new();
    let part = NewRecord::new(buffer.slice(..10), seconds(60));
    store.insert(&key(1), &part).await.unwrap();
    store.replace(&key(1), &Write::data(buffer.slice(10..20))).await.unwrap();
    drop(part);
    assert!(buffer.is_unique());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_expired_session_is_told_once_whoever_finds_it() {
    let clock = ManualClock::default();
    let store = Memory::builder().clock(clock.clone()).build();
    let (events, others) = (Events::default(), Events::default());
    store.attach(&events);
    store.attach(&others);
    let (mut subscription, mut other) = (events.subscribe(), others.subscribe());
    let owner = Owner::new("Anna").unwrap();
    for number in 0..200_u64 {
        let record =
            NewRecord { owner: number.is_multiple_of(2).then_some(&owner), ..record(seconds(60)) };
        store.insert(&key(number), &record).await.unwrap();
    }
    clock.advance(Duration::from_secs(60));
    let store = Arc::new(store);
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for number in 0..200 {
                match (task + number) % 5 {
                    0 => {
                        let found = store.load(&key(number), &TOUCH).await.unwrap();
                        assert!(found.live().is_none());
                    }
                    1 => assert_eq!(store.alive(&[key(number)]).await.unwrap(), [false]),
                    2 => {
                        let replaced = store.replace(&key(number), &Write::data("new")).await;
                        assert_eq!(replaced.unwrap(), token_session::store::Replaced::Missing);
                    }
                    3 => {
                        let removed = store.remove(&key(number), Condition::Always, true).await;
                        assert_eq!(removed.unwrap(), token_session::store::Removed::Missing);
                    }
                    _ => {
                        store.sweep(3).await.unwrap();
                    }
                }
            }
        });
    }
    tasks.join_all().await;
    store.sweep(usize::MAX).await.unwrap();
    for (subscription, events) in [(&mut subscription, &events), (&mut other, &others)] {
        let told = told(subscription, events).await;
        assert_eq!(told.len(), 200);
        for number in 0..200 {
            assert!(told.contains(&Event::Expired { key: key(number) }));
        }
    }
}

#[tokio::test]
async fn a_session_that_was_ended_does_not_expire() {
    let clock = ManualClock::default();
    let store = Memory::builder().clock(clock.clone()).build();
    let events = Events::default();
    store.attach(&events);
    let mut subscription = events.subscribe();
    let owner = Owner::new("Anna").unwrap();
    for number in 0..3 {
        let record = NewRecord { owner: Some(&owner), ..record(seconds(60)) };
        store.insert(&key(number), &record).await.unwrap();
    }
    assert!(store.remove(&key(0), Condition::Always, true).await.unwrap().is_done());
    store.remove_owned(&owner, None).await.unwrap();
    clock.advance(Duration::from_secs(60));
    store.sweep(usize::MAX).await.unwrap();
    assert_eq!(told(&mut subscription, &events).await, []);
}

#[tokio::test]
async fn a_cursor_of_another_store_is_refused() {
    let store = Memory::new();
    for cursor in [&b""[..], b"17", &[7; 32]] {
        let refused = store.scan(Some(&Cursor::new(cursor)), 10).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Refused);
    }
}

#[tokio::test]
async fn a_cursor_behind_the_last_place_lists_nothing() {
    let store = Memory::new();
    put(&store, 1, seconds(60)).await;
    for cursor in [[0, 63, 255, 255, 255, 255], [255; 6]] {
        let page = store.scan(Some(&Cursor::new(cursor)), 10).await.unwrap();
        assert!(page.records.is_empty() && page.next.is_none());
    }
}

#[tokio::test]
async fn limits_of_zero_and_without_end_are_limits() {
    let clock = ManualClock::default();
    let store = Memory::builder().clock(clock.clone()).build();
    let owner = Owner::new("Anna").unwrap();
    for number in 0..3 {
        let record = NewRecord { owner: Some(&owner), ..record(seconds(60)) };
        store.insert(&key(number), &record).await.unwrap();
    }
    for (limit, listed) in [(0, 0), (usize::MAX, 3)] {
        let page = store.owned(&owner, None, limit, false).await.unwrap();
        assert_eq!(page.records.len(), listed);
    }
    assert_eq!(store.scan(None, 0).await.unwrap().records.len(), 1);
    assert_eq!(store.scan(None, usize::MAX).await.unwrap().records.len(), 3);
    clock.advance(Duration::from_secs(60));
    assert_eq!(store.sweep(0).await.unwrap(), 0);
    assert_eq!(store.held(), 3);
    assert_eq!(store.sweep(usize::MAX).await.unwrap(), 3);
}

#[tokio::test]
async fn a_store_keeps_no_manager_that_is_gone() {
    let store = Memory::new();
    for _ in 0..100 {
        let sessions = TokenSession::<u32>::builder().store(store.clone()).build().unwrap();
        let mut events = sessions.subscribe();
        drop(sessions);
        assert_eq!(events.next().await, None);
    }
}

#[tokio::test]
async fn a_clone_is_the_same_store() {
    let store = Memory::new();
    put(&store.clone(), 1, seconds(60)).await;
    assert!(is_alive(&store, 1).await);
}
