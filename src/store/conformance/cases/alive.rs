//! [`Store::alive`](crate::store::Store::alive).

use std::slice::from_ref;

use crate::key::Key;
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Condition, NewRecord, Write};

/// *Whether there is a live record under each of these keys, in their order*: the same key twice too.
pub async fn each_key_is_answered_in_its_place<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let (alive, (proved, _)) = (put_any(&store).await, put_proved(&store).await);
    let (expired, removed) = (random_key(), put_any(&store).await);
    put(&store, &expired, &NewRecord::new("data", moment(harness))).await;
    assert!(store.remove(&removed, Condition::Always, false).await.unwrap().is_done());
    let ended = key_for(&store, owner);
    if let Some(owner) = owner {
        put(&store, &ended, &record_of(owner)).await;
        assert_eq!(store.alive(from_ref(&ended)).await.unwrap(), [true]);
        owners(&store).remove_owned(owner, None).await.unwrap();
    }
    let owned = key_for(&store, owner);
    put(&store, &owned, &NewRecord { owner, ..NewRecord::new("data", hour()) }).await;
    outlive_moment(harness).await;
    let missing = random_key();
    let states = [
        (&missing, false),
        (&alive, true),
        (&expired, false),
        (&proved, true),
        (&ended, false),
        (&owned, true),
        (&alive, true),
        (&missing, false),
        (&removed, false),
    ];
    for rotated in 0..states.len() {
        let mut states = states;
        states.rotate_left(rotated);
        let keys = states.map(|(key, _)| key.clone());
        assert_eq!(store.alive(&keys).await.unwrap(), states.map(|(_, alive)| alive));
    }
    assert_eq!(store.alive(&[expired, alive]).await.unwrap(), [false, true]);
}

/// No key, no answer.
pub async fn no_key_has_no_answer<H: Harness>(harness: &H) {
    let store = store(harness).await;
    put_any(&store).await;
    assert_eq!(store.alive(&[]).await.unwrap(), [false; 0]);
}

/// *Touches nothing*, and confirms nothing.
pub async fn a_question_touches_nothing<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, proof) = put_proved(&store).await;
    hand_over(&store, &key, &proof).await;
    write(&store, &key, &Write::data("new data")).await;
    let before = look(&store, &key).await;
    tick(harness).await;
    assert_eq!(store.alive(from_ref(&key)).await.unwrap(), [true]);
    assert_unchanged(&store, &key, &before).await;
}

/// *One batch*: of as many keys as a page of a list has.
pub async fn hundreds_of_keys_are_one_batch<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let mut keys: Vec<Key> = Vec::new();
    for number in 0..500 {
        keys.push(if number % 3 == 0 { put_any(&store).await } else { random_key() });
    }
    let expected: Vec<bool> = (0..500).map(|number| number % 3 == 0).collect();
    assert_eq!(store.alive(&keys).await.unwrap(), expected);
}
