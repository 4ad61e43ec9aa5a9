//! How stale a record can be that the cache serves, and what it saves.

use std::time::Duration;

use token_session::store::{
    Cached, Condition, Inserted, ManualClock, NewRecord, OwnerLimit, Renamed, Renewal, Store,
    StoreErrorKind, Touch, Write,
};
use token_session::{Key, Lifetime, Owner};

use super::far::{Far, HOUR, data, key, put};

const SECOND: Duration = Duration::from_secs(1);

const MILLI: Duration = Duration::from_millis(1);

/// A cache on a clock that stands, in front of a store that others share.
fn cached(clock: &ManualClock, far: &Far) -> Cached<Far> {
    Cached::builder(far.clone()).clock(clock.clone()).build().unwrap()
}

fn stage() -> (ManualClock, Far, Cached<Far>) {
    let clock = ManualClock::default();
    let far = Far::new(&clock);
    let store = cached(&clock, &far);
    (clock, far, store)
}

/// The record is there, and was served from the cache.
async fn is_cached(far: &Far, store: &Cached<Far>, key: &Key) -> bool {
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
        assert!(store.touch(&key(1), Touch::No).await.unwrap().is_some());
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
    far.take(&key(1)).await.unwrap();
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
    there.remove(&key(1), Condition::Always).await.unwrap();
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
    store.replace(&key(0), &Write::new("new data")).await.unwrap();
    assert_eq!(data(&store, &key(0)).await.unwrap(), "new data");
    store.remove(&key(0), Condition::Always).await.unwrap();
    assert_eq!(data(&store, &key(0)).await, None);
    store.take(&key(1)).await.unwrap();
    assert_eq!(data(&store, &key(1)).await, None);
    store.rename(&key(2), &key(9), Renewal::Key).await.unwrap();
    assert_eq!(data(&store, &key(2)).await, None);
    assert!(data(&store, &key(9)).await.is_some());
    store.remove_owned(&owner, Some(&key(9))).await.unwrap();
    assert_eq!(data(&store, &key(3)).await, None);
    assert!(data(&store, &key(9)).await.is_some());
    store.clear().await.unwrap();
    assert_eq!(data(&store, &key(9)).await, None);
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
    store.take(&key(1)).await.unwrap();
    drop(held);
    assert!(load.await.unwrap().is_some(), "it was there when it was asked for");
    assert_eq!(data(&store, &key(1)).await, None);
}

#[tokio::test]
async fn a_session_that_the_far_store_has_renamed_is_not_served_under_its_old_key() {
    let (_, far, store) = stage();
    put(&store, &key(1), None).await;
    assert!(data(&store, &key(1)).await.is_some());
    let held = far.hold_answers().await;
    let rename = tokio::spawn({
        let store = store.clone();
        async move { store.rename(&key(1), &key(2), Renewal::Key).await.unwrap() }
    });
    while far.touch(&key(2), Touch::No).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    // A load takes the data only from the far store, whose answers are held, or from the cache.
    assert!(store.touch(&key(1), Touch::No).await.unwrap().is_none());
    drop(held);
    assert!(matches!(rename.await.unwrap(), Renamed::Done(_)));
    assert!(store.touch(&key(2), Touch::No).await.unwrap().is_some());
}

#[tokio::test]
async fn what_a_caller_has_ended_that_gave_up_is_gone_too() {
    let (_, far, store) = stage();
    put(&store, &key(1), None).await;
    assert!(data(&store, &key(1)).await.is_some());
    let held = far.hold_answers().await;
    let removal = tokio::spawn({
        let store = store.clone();
        async move { store.remove(&key(1), Condition::Always).await }
    });
    while far.count().await.unwrap() > 0 {
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
    assert!(store.load(&key(1), touch).await.unwrap().is_some());
    clock.advance(9 * SECOND);
    far.loads();
    assert!(store.load(&key(1), touch).await.unwrap().is_some());
    assert_eq!(far.loads(), 0);
    clock.advance(SECOND);
    let record = store.load(&key(1), touch).await.unwrap().unwrap();
    assert_eq!(far.loads(), 1);
    assert_eq!(record.meta.last_seen, record.meta.now);
    let seen = far.load(&key(1), Touch::No).await.unwrap().unwrap().meta.last_seen;
    assert_eq!(seen, record.meta.now);
    far.loads();
    let cached = store.touch(&key(1), touch).await.unwrap().unwrap();
    assert_eq!(cached.last_seen, seen);
    assert_eq!(far.loads(), 0);
}

#[tokio::test]
async fn an_expired_session_is_never_served() {
    let (clock, _, store) = stage();
    let moment = Duration::from_millis(300);
    let record = NewRecord::new("data", Lifetime::absolute(moment).unwrap());
    store.insert(&key(1), &record).await.unwrap();
    clock.advance(moment / 2);
    let found = store.load(&key(1), Touch::No).await.unwrap().unwrap();
    assert_eq!(found.meta.expires_in(), moment / 2);
    clock.advance(moment / 4);
    let found = store.load(&key(1), Touch::No).await.unwrap().unwrap();
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
