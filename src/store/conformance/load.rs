//! [`Store::load`] and [`Store::touch`].

use std::time::Duration;

use tokio::time::sleep;

use super::{
    HOUR, Harness, assert_count, assert_unchanged, facts, fresh, hour, is_alive, look, moment_of,
    outlive_moment, put, put_any, race, random_below, random_key, tick,
};
use crate::record::{Lifetime, Timestamp};
use crate::store::{NewRecord, Replaced, Store, Touch, Write};

const ALWAYS: Touch = Touch::After(Duration::ZERO);

/// *Missing, expired, …: `None`.*
pub async fn a_missing_record_is_none<H: Harness>(harness: &H) {
    let store = harness.store().await;
    put_any(&store).await;
    let key = random_key();
    for touch in [Touch::No, ALWAYS] {
        assert_eq!(store.load(&key, touch).await.unwrap(), None);
        assert_eq!(store.touch(&key, touch).await.unwrap(), None);
    }
    assert_count(harness, &store, 1).await;
}

/// *Last seen now where `touch` asks for it*, and as it was where not.
pub async fn a_load_without_a_touch_leaves_the_record<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let key = put_any(&store).await;
    let before = look(&store, &key).await;
    tick(harness).await;
    let again = look(&store, &key).await;
    assert!(again.meta.now > before.meta.now);
    assert_eq!(facts(&again.meta), facts(&before.meta));
    store.touch(&key, Touch::No).await.unwrap();
    assert_unchanged(&store, &key, &before).await;
}

/// *Last seen now …; `Record::meta` is as the touch left it.*
pub async fn a_touch_makes_the_record_seen_now<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let key = put_any(&store).await;
    let before = look(&store, &key).await;
    tick(harness).await;
    let touched = store.load(&key, ALWAYS).await.unwrap().unwrap();
    assert_eq!(touched.data, before.data);
    assert!(touched.meta.last_seen >= before.meta.now);
    assert!(touched.meta.last_seen > before.meta.last_seen);
    assert!(touched.meta.last_seen <= touched.meta.now);
    assert!(touched.meta.expires_at() > before.meta.expires_at());
    let mut expected = before.meta.clone();
    expected.last_seen = touched.meta.last_seen;
    assert_eq!(facts(&touched.meta), facts(&expected));
    assert_unchanged(&store, &key, &touched).await;
}

/// *As `load`, without the data.*
pub async fn a_touch_answers_as_a_load_does<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let key = put_any(&store).await;
    tick(harness).await;
    let touched = store.touch(&key, ALWAYS).await.unwrap().unwrap();
    let found = look(&store, &key).await;
    assert!(touched.last_seen > touched.created_at);
    assert_eq!(facts(&touched), facts(&found.meta));
    assert_eq!(found.data, "data");
}

/// *And it is due.*
pub async fn a_touch_within_the_interval_is_not_written<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let key = put_any(&store).await;
    let before = look(&store, &key).await;
    tick(harness).await;
    let touch = Touch::After(HOUR / 30);
    let loaded = store.load(&key, touch).await.unwrap().unwrap();
    assert_eq!(facts(&loaded.meta), facts(&before.meta));
    assert!(loaded.meta.now > before.meta.now);
    let touched = store.touch(&key, touch).await.unwrap().unwrap();
    assert_eq!(facts(&touched), facts(&before.meta));
    assert_unchanged(&store, &key, &before).await;
}

/// *And it is due*: the interval has passed.
pub async fn a_touch_after_the_interval_is_written<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let (loaded, touched) = (put_any(&store).await, put_any(&store).await);
    let before = look(&store, &touched).await.meta;
    let interval = moment_of(harness);
    outlive_moment(harness).await;
    let touch = Touch::After(interval);
    let loaded = store.load(&loaded, touch).await.unwrap().unwrap().meta;
    let touched = store.touch(&touched, touch).await.unwrap().unwrap();
    for meta in [loaded, touched] {
        assert!(meta.last_seen >= before.now + interval);
    }
}

/// *And it is due*: a tenth of the idle timeout has passed, which is shorter than the interval.
pub async fn a_touch_after_a_tenth_of_the_idle_timeout_is_written<H: Harness>(harness: &H) {
    let store = harness.store().await;
    // Nine seconds are left when it is due, so a slow machine does not outlive them.
    let tenth = moment_of(harness).max(Duration::from_secs(1));
    let lifetime = super::lifetime(Lifetime::idle(tenth * 10));
    let (loaded, touched) = (random_key(), random_key());
    for key in [&loaded, &touched] {
        put(&store, key, &NewRecord::new("data", lifetime)).await;
    }
    let before = look(&store, &touched).await.meta;
    harness.pass(tenth).await;
    tick(harness).await;
    let touch = Touch::After(HOUR);
    let loaded = store.load(&loaded, touch).await.unwrap().unwrap().meta;
    let touched = store.touch(&touched, touch).await.unwrap().unwrap();
    for meta in [loaded, touched] {
        assert!(meta.last_seen >= before.now + tenth);
    }
}

/// *And it is due*: never without an idle timeout.
pub async fn nothing_slides_without_an_idle_timeout<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let key = random_key();
    let lifetime = super::lifetime(Lifetime::absolute(HOUR));
    put(&store, &key, &NewRecord::new("data", lifetime)).await;
    let before = look(&store, &key).await;
    tick(harness).await;
    let loaded = store.load(&key, ALWAYS).await.unwrap().unwrap();
    assert_eq!(facts(&loaded.meta), facts(&before.meta));
    let touched = store.touch(&key, ALWAYS).await.unwrap().unwrap();
    assert_eq!(facts(&touched), facts(&before.meta));
    assert_unchanged(&store, &key, &before).await;
}

/// *A touch moves `last_seen` forward only, whatever the order in which racing touches end.*
pub async fn racing_touches_move_forward_only<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
    let key = put_any(&store).await;
    let tasks = race(harness.races().min(200), |task| {
        let (store, key) = (store.clone(), key.clone());
        async move {
            let mut seen = Timestamp::from_millis(0);
            for turn in 0..10 {
                let touch = if (task + turn) % 2 == 0 { ALWAYS } else { Touch::No };
                let meta = store.touch(&key, touch).await.unwrap().unwrap();
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
    let store = fresh(harness).await;
    let key = put_any(&store).await;
    let first = look(&store, &key).await.meta.version;
    tick(harness).await;
    let races = harness.races();
    let seen = race(races, |task| {
        let (store, key) = (store.clone(), key.clone());
        async move {
            if task % 2 == 0 {
                let write = Write::new(task.to_string());
                let answer = store.replace(&key, &write).await.unwrap();
                assert!(matches!(answer, Replaced::Done(_)));
                None
            } else {
                let meta = store.touch(&key, ALWAYS).await.unwrap().unwrap();
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
    let store = harness.store().await;
    let lifetime = super::lifetime(hour().and_absolute(moment_of(harness)));
    let key = random_key();
    put(&store, &key, &NewRecord::new("data", lifetime)).await;
    // A slow machine may find it dead already, which is no fault.
    if let Some(meta) = store.touch(&key, ALWAYS).await.unwrap() {
        assert_eq!(meta.deadline, lifetime.deadline(meta.created_at));
        assert_eq!(Some(meta.expires_at()), meta.deadline);
    }
    outlive_moment(harness).await;
    assert!(!is_alive(&store, &key).await);

    let lifetime = super::lifetime(hour().and_absolute(HOUR));
    let key = random_key();
    put(&store, &key, &NewRecord::new("data", lifetime)).await;
    tick(harness).await;
    let meta = store.touch(&key, ALWAYS).await.unwrap().unwrap();
    assert!(meta.last_seen > meta.created_at);
    assert_eq!(Some(meta.expires_at()), meta.deadline);
}
