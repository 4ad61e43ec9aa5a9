//! How stale a record can be that the cache serves, and what it saves.

use std::time::Duration;

use token_session::store::{
    Cached, Condition, Found, Inserted, Listing, Load, ManualClock, NewProof, NewRecord,
    OwnerLimit, Owners, Replaced, Store, StoreErrorKind, Touch, Write,
};
use token_session::{Claim, Key, Lifetime, Owner, Proof, Record};

use super::far::{Far, HOUR, count, data, end, key, put};

const SECOND: Duration = Duration::from_secs(1);

const MILLI: Duration = Duration::from_millis(1);

/// A cache on a clock that stands, in front of a store that others share.
fn cached(clock: &ManualClock, far: &Far) -> Cached {
    Cached::builder(far.clone()).clock(clock.clone()).build().unwrap()
}

fn stage() -> (ManualClock, Far, Cached) {
    let clock = ManualClock::default();
    let far = Far::new(&clock);
    let store = cached(&clock, &far);
    (clock, far, store)
}

async fn load(store: &impl Store, key: &Key, touch: Touch) -> Option<Record> {
    store.load(key, &Load { touch, ..Load::new() }).await.unwrap().live()
}

/// The record is there, and was served from the cache.
async fn is_cached(far: &Far, store: &Cached, key: &Key) -> bool {
    far.loads();
    assert!(data(store, key).await.is_some());
    far.loads() == 0
}

#[tokio::test]
async fn a_hot_session_is_asked_for_once() {
    let (_, far, store) = stage();
    put(&store, &key(1), None).await;
    for _ in 0..10 {
        assert_eq!(data(&store, &key(1)).await.unwrap(), "data");
        let head = Load { with_data: false, ..Load::new() };
        let head = store.load(&key(1), &head).await.unwrap().live().unwrap();
        assert!(head.data.is_empty());
    }
    assert_eq!(far.loads(), 1);
}

#[tokio::test]
async fn a_session_is_asked_for_anew_after_a_second() {
    let (clock, far, store) = stage();
    put(&store, &key(1), None).await;
    assert!(!is_cached(&far, &store, &key(1)).await);
    clock.advance(SECOND - MILLI);
    assert!(is_cached(&far, &store, &key(1)).await);
    clock.advance(MILLI);
    assert!(!is_cached(&far, &store, &key(1)).await);
}

#[tokio::test]
async fn the_age_counts_from_the_question_not_from_the_answer() {
    let (clock, far, store) = stage();
    put(&store, &key(1), None).await;
    let held = far.hold_answers().await;
    let load = tokio::spawn({
        let store = store.clone();
        async move { data(&store, &key(1)).await }
    });
    while far.loads() == 0 {
        tokio::task::yield_now().await;
    }
    end(&far, &key(1)).await;
    clock.advance(SECOND);
    drop(held);
    assert!(load.await.unwrap().is_some(), "it was there when it was asked for");
    assert_eq!(data(&store, &key(1)).await, None);
}

#[tokio::test]
async fn what_another_server_has_ended_lives_on_for_a_second_at_most() {
    let (clock, far, here) = stage();
    let there = cached(&clock, &far);
    put(&there, &key(1), None).await;
    assert!(data(&here, &key(1)).await.is_some());
    there.remove(&key(1), Condition::Always, false).await.unwrap();
    assert_eq!(data(&there, &key(1)).await, None);
    clock.advance(SECOND - MILLI);
    assert!(data(&here, &key(1)).await.is_some(), "the promise is not more than it says");
    clock.advance(MILLI);
    assert_eq!(data(&here, &key(1)).await, None);
}

#[tokio::test]
async fn what_this_process_has_changed_is_seen_at_once() {
    let (_, _, store) = stage();
    let owner = Owner::new("anna").unwrap();
    for number in 0..5 {
        put(&store, &key(number), Some(&owner)).await;
        assert!(data(&store, &key(number)).await.is_some());
    }
    store.replace(&key(0), &Write::data("new data")).await.unwrap();
    assert_eq!(data(&store, &key(0)).await.unwrap(), "new data");
    store.remove(&key(0), Condition::Always, false).await.unwrap();
    assert_eq!(data(&store, &key(0)).await, None);
    store.remove(&key(1), Condition::Always, true).await.unwrap();
    assert_eq!(data(&store, &key(1)).await, None);
    store.remove_owned(&owner, Some(&key(2))).await.unwrap();
    assert_eq!(data(&store, &key(3)).await, None);
    assert!(data(&store, &key(2)).await.is_some());
    store.clear().await.unwrap();
    assert_eq!(data(&store, &key(2)).await, None);
}

#[tokio::test]
async fn a_session_that_went_for_a_newcomer_is_gone_at_once() {
    let (clock, _, store) = stage();
    let owner = Owner::new("anna").unwrap();
    put(&store, &key(1), Some(&owner)).await;
    clock.advance(MILLI);
    assert!(data(&store, &key(1)).await.is_some());
    let limit = Some(OwnerLimit::evict_oldest(1.try_into().unwrap()));
    let lifetime = Lifetime::idle(HOUR).unwrap();
    let record = NewRecord { owner: Some(&owner), limit, ..NewRecord::new("data", lifetime) };
    let inserted = store.insert(&key(2), &record).await.unwrap();
    assert_eq!(inserted, Inserted::Done { evicted: vec![key(1)] });
    assert_eq!(data(&store, &key(1)).await, None);
}

#[tokio::test]
async fn others_stay_cached_when_an_owners_sessions_end() {
    let (_, far, store) = stage();
    let (anna, bert) = (Owner::new("anna").unwrap(), Owner::new("bert").unwrap());
    put(&store, &key(1), Some(&anna)).await;
    put(&store, &key(2), Some(&bert)).await;
    put(&store, &key(3), None).await;
    for number in 1..4 {
        assert!(data(&store, &key(number)).await.is_some());
    }
    store.remove_owned(&anna, None).await.unwrap();
    assert!(is_cached(&far, &store, &key(2)).await);
    assert!(is_cached(&far, &store, &key(3)).await);
}

#[tokio::test]
async fn a_load_under_way_does_not_bring_back_what_was_ended_meanwhile() {
    let (_, far, store) = stage();
    put(&store, &key(1), None).await;
    let held = far.hold_answers().await;
    let load = tokio::spawn({
        let store = store.clone();
        async move { data(&store, &key(1)).await }
    });
    while far.loads() == 0 {
        tokio::task::yield_now().await;
    }
    store.remove(&key(1), Condition::Always, true).await.unwrap();
    drop(held);
    assert!(load.await.unwrap().is_some(), "it was there when it was asked for");
    assert_eq!(data(&store, &key(1)).await, None);
}

/// A load with the claim of this secret.
async fn standing(store: &impl Store, secret: u8) -> Found {
    let claim = Claim::new(proof(secret), Duration::ZERO);
    let load = Load { claim: Some(&claim), ..Load::new() };
    store.load(&key(1), &load).await.unwrap()
}

fn proof(secret: u8) -> Proof {
    Proof::from_bytes([secret; Proof::LEN])
}

async fn regenerate(store: &impl Store, secret: u8) {
    let proof = Some(NewProof::Regenerated(proof(secret)));
    let write = Write { proof, ..Write::default() };
    assert!(matches!(store.replace(&key(1), &write).await.unwrap(), Replaced::Done(_)));
}

#[tokio::test]
async fn a_new_secret_is_good_at_once_and_the_old_one_here_for_a_second_at_most() {
    let (clock, far, here) = stage();
    let lifetime = Lifetime::idle(HOUR).unwrap();
    let record = NewRecord { proof: Some(proof(1)), ..NewRecord::new("data", lifetime) };
    here.insert(&key(1), &record).await.unwrap();
    assert!(matches!(standing(&here, 1).await, Found::Current(_)));
    // Another server regenerates the session.
    regenerate(&far, 2).await;
    assert!(matches!(standing(&here, 2).await, Found::Current(_)));
    clock.advance(SECOND);
    assert_eq!(standing(&here, 1).await, Found::Missing);
    assert!(matches!(standing(&here, 2).await, Found::Current(_)));
    // This one does.
    regenerate(&here, 3).await;
    assert_eq!(standing(&here, 2).await, Found::Missing);
    assert!(matches!(standing(&here, 3).await, Found::Current(_)));
}

#[tokio::test]
async fn a_cached_session_is_confirmed_in_the_far_store() {
    let (_, far, here) = stage();
    let lifetime = Lifetime::idle(HOUR).unwrap();
    let record = NewRecord { proof: Some(proof(1)), ..NewRecord::new("data", lifetime) };
    here.insert(&key(1), &record).await.unwrap();
    assert!(matches!(standing(&here, 1).await, Found::Current(_)));
    let claim = Claim::new(proof(1), Duration::ZERO);
    let handover = NewProof::Rotated { next: proof(2), sealed: "sealed".into() };
    let write = Write { claim: Some(&claim), proof: Some(handover), ..Write::default() };
    here.replace(&key(1), &write).await.unwrap();
    // Cached once more, by its key alone.
    assert!(data(&here, &key(1)).await.is_some());
    assert!(matches!(standing(&here, 1).await, Found::Previous(_)));
    assert!(matches!(standing(&here, 2).await, Found::Current(_)));
    assert!(matches!(standing(&far, 1).await, Found::Reused(_)));
    assert!(matches!(standing(&here, 1).await, Found::Reused(_)));
}

#[tokio::test]
async fn what_a_caller_has_ended_that_gave_up_is_gone_too() {
    let (_, far, store) = stage();
    put(&store, &key(1), None).await;
    assert!(data(&store, &key(1)).await.is_some());
    let held = far.hold_answers().await;
    let removal = tokio::spawn({
        let store = store.clone();
        async move { store.remove(&key(1), Condition::Always, false).await }
    });
    while count(&far).await > 0 {
        tokio::task::yield_now().await;
    }
    removal.abort();
    assert!(removal.await.unwrap_err().is_cancelled());
    drop(held);
    assert_eq!(data(&store, &key(1)).await, None);
}

#[tokio::test]
async fn a_touch_that_is_due_reaches_the_far_store() {
    let (clock, far, _) = stage();
    let store = Cached::builder(far.clone()).clock(clock.clone());
    let store = store.staleness(60 * SECOND).build().unwrap();
    put(&store, &key(1), None).await;
    let touch = Touch::After(10 * SECOND);
    assert!(load(&store, &key(1), touch).await.is_some());
    clock.advance(9 * SECOND);
    far.loads();
    assert!(load(&store, &key(1), touch).await.is_some());
    assert_eq!(far.loads(), 0);
    clock.advance(SECOND);
    let record = load(&store, &key(1), touch).await.unwrap();
    assert_eq!(far.loads(), 1);
    assert_eq!(record.meta.last_seen, record.meta.now);
    let seen = load(&far, &key(1), Touch::No).await.unwrap().meta.last_seen;
    assert_eq!(seen, record.meta.now);
    far.loads();
    let cached = load(&store, &key(1), touch).await.unwrap();
    assert_eq!(cached.meta.last_seen, seen);
    assert_eq!(far.loads(), 0);
}

#[tokio::test]
async fn an_expired_session_is_never_served() {
    let (clock, _, store) = stage();
    let moment = Duration::from_millis(300);
    let record = NewRecord::new("data", Lifetime::absolute(moment).unwrap());
    store.insert(&key(1), &record).await.unwrap();
    clock.advance(moment / 2);
    let found = load(&store, &key(1), Touch::No).await.unwrap();
    assert_eq!(found.meta.expires_in(), moment / 2);
    clock.advance(moment / 4);
    let found = load(&store, &key(1), Touch::No).await.unwrap();
    assert_eq!(found.meta.expires_in(), moment / 4);
    clock.advance(moment / 4);
    assert_eq!(data(&store, &key(1)).await, None);
}

#[tokio::test]
async fn what_is_not_there_is_asked_for_each_time() {
    let (_, far, store) = stage();
    assert_eq!(data(&store, &key(1)).await, None);
    put(&far, &key(1), None).await;
    assert!(data(&store, &key(1)).await.is_some());
    assert_eq!(far.loads(), 2);
}

#[tokio::test]
async fn a_full_cache_takes_others_once_some_are_too_old() {
    let (clock, far, _) = stage();
    let builder = Cached::builder(far.clone()).clock(clock.clone());
    let store = builder.capacity(2).build().unwrap();
    for number in 1..5 {
        put(&store, &key(number), None).await;
        assert!(data(&store, &key(number)).await.is_some());
    }
    assert_eq!(store.held(), 2);
    assert!(is_cached(&far, &store, &key(1)).await && is_cached(&far, &store, &key(2)).await);
    assert!(!is_cached(&far, &store, &key(3)).await);
    clock.advance(SECOND);
    assert!(!is_cached(&far, &store, &key(3)).await);
    assert!(is_cached(&far, &store, &key(3)).await);
    assert_eq!(store.held(), 1);
}

#[tokio::test]
async fn no_capacity_is_no_cache() {
    let (clock, far, _) = stage();
    let store = Cached::builder(far.clone()).clock(clock).capacity(0).build().unwrap();
    put(&store, &key(1), None).await;
    for _ in 0..3 {
        assert!(!is_cached(&far, &store, &key(1)).await);
    }
    assert_eq!(store.held(), 0);
}

#[tokio::test]
async fn no_staleness_is_no_cache_and_too_much_is_refused() {
    let (clock, far, _) = stage();
    let builder = || Cached::builder(far.clone()).clock(clock.clone());
    let store = builder().staleness(Duration::ZERO).build().unwrap();
    put(&store, &key(1), None).await;
    for _ in 0..3 {
        assert!(!is_cached(&far, &store, &key(1)).await);
    }
    let error = builder().staleness(61 * SECOND).build().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
}
