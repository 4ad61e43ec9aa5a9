//! [`Store::load`](crate::store::Store::load) by the key alone: touches.

use std::time::Duration;

use tokio::time::sleep;

use crate::record::{Lifetime, Timestamp};
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Found, Load, NewRecord, Replaced, Touch, Write};

/// *Missing, …: `Missing`.*
pub async fn a_missing_record_is_not_found<H: Harness>(harness: &H) {
    let store = store(harness).await;
    put_any(&store).await;
    let key = random_key();
    for touch in [Touch::No, ALWAYS] {
        for with_data in [true, false] {
            let load = Load { touch, with_data, claim: None };
            assert_eq!(store.load(&key, &load).await.unwrap(), Found::Missing);
        }
    }
    assert_count(&store, 1).await;
}

/// *Touched where that is due*: never where it is not asked for.
pub async fn a_load_without_a_touch_leaves_the_record<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    let before = look(&store, &key).await;
    tick(harness).await;
    let again = look(&store, &key).await;
    assert!(again.meta.now > before.meta.now);
    assert_eq!(facts(&again), facts(&before));
    load_without_data(&store, &key, Touch::No).await;
    assert_unchanged(&store, &key, &before).await;
}

/// Without [`Load::with_data`] the answer has all but the data, which stays.
pub async fn a_load_without_data_has_none<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = random_key();
    let details = long_details();
    let proof = Some(random_proof());
    let record = NewRecord { details, proof, ..NewRecord::new("data", hour()) };
    put(&store, &key, &record).await;
    let mut expected = look(&store, &key).await;
    expected.data.clear();
    let found = load_without_data(&store, &key, Touch::No).await.unwrap();
    assert_eq!(facts(&found), facts(&expected));
    tick(harness).await;
    let found = load_without_data(&store, &key, ALWAYS).await.unwrap();
    expected.meta.last_seen = found.meta.last_seen;
    assert_eq!(facts(&found), facts(&expected));
    assert_eq!(look(&store, &key).await.data, "data");
}

/// *Touched where that is due*: seen now; the answer is as the touch left the record.
pub async fn a_touch_makes_the_record_seen_now<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    let before = look(&store, &key).await;
    tick(harness).await;
    let touched = load_with_data(&store, &key, ALWAYS).await.unwrap();
    assert_eq!(touched.data, before.data);
    assert!(touched.meta.last_seen >= before.meta.now);
    assert!(touched.meta.last_seen > before.meta.last_seen);
    assert!(touched.meta.last_seen <= touched.meta.now);
    assert!(touched.meta.expires_at() > before.meta.expires_at());
    let mut expected = before.clone();
    expected.meta.last_seen = touched.meta.last_seen;
    assert_eq!(facts(&touched), facts(&expected));
    assert_unchanged(&store, &key, &touched).await;
}

/// The same without the data.
pub async fn a_touch_answers_as_a_load_does<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    tick(harness).await;
    let touched = load_without_data(&store, &key, ALWAYS).await.unwrap();
    let found = look(&store, &key).await;
    assert!(touched.meta.last_seen > touched.meta.created_at);
    assert_eq!(facts(&touched).meta, facts(&found).meta);
    assert_eq!(found.data, "data");
}

/// *Where that is due.*
pub async fn a_touch_within_the_interval_is_not_written<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    let before = look(&store, &key).await;
    tick(harness).await;
    let touch = Touch::After(HOUR / 30);
    let loaded = load_with_data(&store, &key, touch).await.unwrap();
    assert_eq!(facts(&loaded), facts(&before));
    assert!(loaded.meta.now > before.meta.now);
    let touched = load_without_data(&store, &key, touch).await.unwrap();
    assert_eq!(facts(&touched).meta, facts(&before).meta);
    assert_unchanged(&store, &key, &before).await;
}

/// *Where that is due*: the interval has passed.
pub async fn a_touch_after_the_interval_is_written<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (loaded, touched) = (put_any(&store).await, put_any(&store).await);
    let before = look(&store, &touched).await.meta;
    let interval = moment_of(harness);
    outlive_moment(harness).await;
    let touch = Touch::After(interval);
    let loaded = load_with_data(&store, &loaded, touch).await.unwrap().meta;
    let touched = load_without_data(&store, &touched, touch).await.unwrap().meta;
    for meta in [loaded, touched] {
        assert!(meta.last_seen >= before.now + interval);
    }
}

/// *Where that is due*: a tenth of the idle timeout has passed, which is shorter than the interval.
pub async fn a_touch_after_a_tenth_of_the_idle_timeout_is_written<H: Harness>(harness: &H) {
    let store = store(harness).await;
    // Nine seconds are left when it is due, so a slow machine does not outlive them.
    let tenth = moment_of(harness).max(Duration::from_secs(1));
    let lifetime = valid(Lifetime::idle(tenth * 10));
    let (loaded, touched) = (random_key(), random_key());
    for key in [&loaded, &touched] {
        put(&store, key, &NewRecord::new("data", lifetime)).await;
    }
    let before = look(&store, &touched).await.meta;
    harness.pass(tenth).await;
    tick(harness).await;
    let touch = Touch::After(HOUR);
    let loaded = load_with_data(&store, &loaded, touch).await.unwrap().meta;
    let touched = load_without_data(&store, &touched, touch).await.unwrap().meta;
    for meta in [loaded, touched] {
        assert!(meta.last_seen >= before.now + tenth);
    }
}

/// *Where that is due*: never without an idle timeout.
pub async fn nothing_slides_without_an_idle_timeout<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = random_key();
    let lifetime = valid(Lifetime::absolute(HOUR));
    put(&store, &key, &NewRecord::new("data", lifetime)).await;
    let before = look(&store, &key).await;
    tick(harness).await;
    let loaded = load_with_data(&store, &key, ALWAYS).await.unwrap();
    assert_eq!(facts(&loaded), facts(&before));
    let touched = load_without_data(&store, &key, ALWAYS).await.unwrap();
    assert_eq!(facts(&touched).meta, facts(&before).meta);
    assert_unchanged(&store, &key, &before).await;
}

/// *A touch moves `last_seen` forward only, whatever the order in which racing touches end.*
pub async fn racing_touches_move_forward_only<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    let tasks = race(harness.races().min(200), |task| {
        let (store, key) = (store.clone(), key.clone());
        async move {
            let mut seen = Timestamp::from_millis(0);
            for turn in 0..10 {
                let touch = if (task + turn) % 2 == 0 { ALWAYS } else { Touch::No };
                let meta = load_without_data(&store, &key, touch).await.unwrap().meta;
                assert!(meta.last_seen >= seen, "it was seen, and then not yet");
                seen = meta.last_seen;
                sleep(Duration::from_millis(random_below(3) as u64)).await;
            }
            seen
        }
    });
    let ticks = async {
        for _ in 0..10 {
            tick(harness).await;
            sleep(Duration::from_millis(1)).await;
        }
    };
    let (seen, ()) = tokio::join!(tasks, ticks);
    let last_seen = look(&store, &key).await.meta.last_seen;
    assert!(Some(last_seen) >= seen.into_iter().max());
}

/// *An operation is atomic*: neither a touch nor a write undoes the other.
pub async fn racing_touches_and_writes_lose_neither<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    let first = look(&store, &key).await.meta.version;
    tick(harness).await;
    let races = harness.races();
    let seen = race(races, |task| {
        let (store, key) = (store.clone(), key.clone());
        async move {
            if task % 2 == 0 {
                let write = Write::data(task.to_string());
                let answer = store.replace(&key, &write).await.unwrap();
                assert!(matches!(answer, Replaced::Done(_)));
                None
            } else {
                let meta = load_without_data(&store, &key, ALWAYS).await.unwrap().meta;
                Some(meta.last_seen)
            }
        }
    })
    .await;
    let meta = look(&store, &key).await.meta;
    let writes = races.div_ceil(2) as u64;
    assert_eq!(meta.version.get(), first.get() + writes);
    assert!(Some(meta.last_seen) >= seen.into_iter().max().flatten());
    assert!(meta.last_seen > meta.created_at);
}

/// *And the end of the session never past its deadline.*
pub async fn a_touch_never_passes_the_deadline<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let lifetime = valid(hour().and_absolute(moment_of(harness)));
    let key = random_key();
    put(&store, &key, &NewRecord::new("data", lifetime)).await;
    // A slow machine may find it dead already, which is no fault.
    if let Some(record) = load_without_data(&store, &key, ALWAYS).await {
        let meta = record.meta;
        assert_eq!(meta.deadline, lifetime.deadline(meta.created_at));
        assert_eq!(Some(meta.expires_at()), meta.deadline);
    }
    outlive_moment(harness).await;
    assert!(!is_alive(&store, &key).await);

    let lifetime = valid(hour().and_absolute(HOUR));
    let key = random_key();
    put(&store, &key, &NewRecord::new("data", lifetime)).await;
    tick(harness).await;
    let meta = load_without_data(&store, &key, ALWAYS).await.unwrap().meta;
    assert!(meta.last_seen > meta.created_at);
    assert_eq!(Some(meta.expires_at()), meta.deadline);
}
