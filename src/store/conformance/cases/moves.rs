//! [`Store::rename`].

use std::slice::from_ref;

use super::{
    HOUR, Harness, any_owner, assert_count, assert_listed, assert_unchanged, facts, fresh, hour,
    how_many, is_alive, key_beside, key_for, key_of, listed, long_label, look, moment,
    outlive_moment, owner_named, put, put_any, put_owned, race, random_key, tick,
};
use crate::store::{Condition, NewRecord, Removed, Renamed, Renewal, Store, Touch};
use crate::token::Key;

/// *Moves the live record from one key to another, seen now: the data, the lifetime, the owner, the
/// beginning and the deadline stay. The version is one more.*
pub async fn a_rename_changes_the_key_and_the_version_and_is_seen_now<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (owner, label) = (any_owner(&store, "Anna"), long_label());
    for (owner, label) in [(None, None), (owner.as_ref(), Some(&label))] {
        let from = key_for(&store, owner);
        let to = key_beside(&store, &from);
        let record = NewRecord {
            owner,
            label,
            authenticated: label.is_some(),
            ..NewRecord::new("data", valid(hour().and_absolute(2 * HOUR)))
        };
        put(&store, &from, &record).await;
        let before = look(&store, &from).await.meta;
        tick(harness).await;
        let Renamed::Done(meta) = store.rename(&from, &to, Renewal::Key).await.unwrap() else {
            panic!("the record was not renamed");
        };
        assert!(meta.last_seen >= before.now && meta.last_seen > before.last_seen);
        assert!(meta.last_seen <= meta.now);
        let mut expected = before;
        expected.version = expected.version.next();
        expected.last_seen = meta.last_seen;
        assert_eq!(facts(&meta), facts(&expected));
        let after = look(&store, &to).await;
        assert_eq!(after.data, "data");
        assert_eq!(facts(&after.meta), facts(&expected));
        assert!(!is_alive(&store, &from).await);
    }
    assert_count(&store, 2).await;
}

/// *Unless `Renewal` says otherwise*: who they are is proven now, and the absolute timeout starts
/// anew.
pub async fn an_authentication_renews_the_deadline_too<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for lifetime in [hour(), valid(hour().and_absolute(2 * HOUR))] {
        let from = random_key();
        let to = key_beside(&store, &from);
        put(&store, &from, &NewRecord::new("data", lifetime)).await;
        let before = look(&store, &from).await.meta;
        tick(harness).await;
        let answer = store.rename(&from, &to, Renewal::Authentication).await;
        let Renamed::Done(meta) = answer.unwrap() else {
            panic!("the record was not renamed");
        };
        assert!(meta.last_seen > before.last_seen);
        let mut expected = before;
        expected.version = expected.version.next();
        expected.last_seen = meta.last_seen;
        expected.authenticated_at = Some(meta.last_seen);
        expected.deadline = lifetime.deadline(meta.last_seen);
        assert_eq!(facts(&meta), facts(&expected));
        assert_eq!(facts(&look(&store, &to).await.meta), facts(&expected));
    }
}

/// *The owner, the beginning … stay*: in the owner's list too.
pub async fn a_renamed_session_keeps_its_place_among_its_owners<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let first = put_owned(&store, &owner).await;
    tick(harness).await;
    let second = put_owned(&store, &owner).await;
    tick(harness).await;
    let renamed = key_of(&store, &owner);
    let answer = store.rename(&first, &renamed, Renewal::Key).await;
    assert!(matches!(answer.unwrap(), Renamed::Done(_)));
    assert_eq!(listed(&store, &owner).await, [second, renamed.clone()]);
    store.remove_owned(&owner, Some(&renamed)).await.unwrap();
    assert_eq!(listed(&store, &owner).await, from_ref(&renamed));
    store.remove_owned(&owner, None).await.unwrap();
    assert!(!is_alive(&store, &renamed).await);
}

/// *At no moment … are both keys alive.*
pub async fn at_no_moment_are_both_keys_alive<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for _ in 0..harness.races().div_ceil(10) {
        let from = put_any(&store).await;
        let to = key_beside(&store, &from);
        race(6, |task| {
            let (store, from, to) = (store.clone(), from.clone(), to.clone());
            async move {
                if task == 3 {
                    let answer = store.rename(&from, &to, Renewal::Key).await;
                    assert!(matches!(answer.unwrap(), Renamed::Done(_)));
                } else {
                    // In this order: what is alive under the new key is dead under the old one.
                    let new = is_alive(&store, &to).await;
                    let old = is_alive(&store, &from).await;
                    assert!(!(new && old), "both keys are alive");
                }
            }
        })
        .await;
        assert!(is_alive(&store, &to).await && !is_alive(&store, &from).await);
    }
}

/// *`from` is missing …: `Missing`.*
pub async fn a_missing_record_is_not_renamed<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let from = random_key();
    let to = key_beside(&store, &from);
    for renewal in [Renewal::Key, Renewal::Authentication] {
        let answer = store.rename(&from, &to, renewal).await;
        assert_eq!(answer.unwrap(), Renamed::Missing);
    }
    assert!(!is_alive(&store, &from).await && !is_alive(&store, &to).await);
    assert_count(&store, 0).await;
}

/// *`to` holds a live record: `KeyTaken`, and nothing changes.*
pub async fn a_taken_key_is_refused_and_nothing_changes<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let from = key_for(&store, owner);
    put(&store, &from, &NewRecord { owner, ..NewRecord::new("data", hour()) }).await;
    let to = key_beside(&store, &from);
    put(&store, &to, &NewRecord::new("another's data", hour())).await;
    let (before, others) = (look(&store, &from).await, look(&store, &to).await);
    tick(harness).await;
    for renewal in [Renewal::Key, Renewal::Authentication] {
        let answer = store.rename(&from, &to, renewal).await;
        assert_eq!(answer.unwrap(), Renamed::KeyTaken);
    }
    assert_unchanged(&store, &from, &before).await;
    assert_unchanged(&store, &to, &others).await;
    assert_listed(&store, owner, &[from]).await;
}

/// *`to` holds a live record*: an expired one is no hindrance.
pub async fn an_expired_record_is_no_hindrance<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (anna, bert) = (any_owner(&store, "Anna"), any_owner(&store, "Bert"));
    let (anna, bert) = (anna.as_ref(), bert.as_ref());
    let to = key_for(&store, bert);
    let expires = NewRecord { owner: bert, ..NewRecord::new("another's data", moment(harness)) };
    put(&store, &to, &expires).await;
    let from = key_beside(&store, &to);
    let count = store.partitions();
    let owner = anna.filter(|anna| anna.partition(count) == to.partition(count));
    let record = NewRecord { owner, ..NewRecord::new("data", hour()) };
    put(&store, &from, &record).await;
    outlive_moment(harness).await;
    let answer = store.rename(&from, &to, Renewal::Key).await;
    assert!(matches!(answer.unwrap(), Renamed::Done(_)));
    assert_eq!(look(&store, &to).await.data, "data");
    assert!(!is_alive(&store, &from).await);
    assert_listed(&store, bert, &[]).await;
}

/// *Of callers that race for one record exactly one wins.*
pub async fn of_racing_renames_of_one_key_one_is_done<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let from = put_owned(&store, &owner).await;
    let answers = race(harness.races(), |_| {
        let (store, from) = (store.clone(), from.clone());
        async move {
            let to = key_beside(&store, &from);
            let answer = store.rename(&from, &to, Renewal::Key).await.unwrap();
            (to, answer)
        }
    })
    .await;
    let alive = one_alive(&store, answers.iter().map(|(to, _)| to)).await;
    for (to, answer) in answers {
        if to == alive {
            assert!(matches!(answer, Renamed::Done(_)));
        } else {
            assert_eq!(answer, Renamed::Missing);
        }
    }
    assert!(!is_alive(&store, &from).await);
    assert_eq!(listed(&store, &owner).await, [alive]);
    assert_count(&store, 1).await;
}

/// *Of callers that race for one record exactly one wins*: the others' records stay where they are.
pub async fn of_racing_renames_to_one_key_one_is_done<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let to = random_key();
    let answers = race(harness.races(), |_| {
        let (store, to) = (store.clone(), to.clone());
        async move {
            let from = key_beside(&store, &to);
            put(&store, &from, &NewRecord::new(from.to_string(), hour())).await;
            let answer = store.rename(&from, &to, Renewal::Key).await.unwrap();
            (from, answer)
        }
    })
    .await;
    let mut done = 0;
    for (from, answer) in &answers {
        if matches!(answer, Renamed::Done(_)) {
            done += 1;
            assert!(!is_alive(&store, from).await);
            assert_eq!(look(&store, &to).await.data, from.to_string());
        } else {
            assert_eq!(*answer, Renamed::KeyTaken);
            assert_eq!(look(&store, from).await.data, from.to_string());
        }
    }
    assert_eq!(done, 1);
}

/// *Of callers that race for one record exactly one wins*: a removal, or the rename.
pub async fn a_rename_that_races_a_removal_does_not_undo_it<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for _ in 0..harness.races().div_ceil(10) {
        let from = put_any(&store).await;
        let to = key_beside(&store, &from);
        let wins = race(3, |task| {
            let (store, from, to) = (store.clone(), from.clone(), to.clone());
            async move {
                match task {
                    0 => {
                        let answer = store.rename(&from, &to, Renewal::Key).await;
                        matches!(answer.unwrap(), Renamed::Done(_))
                    }
                    1 => {
                        let answer = store.remove(&from, Condition::Always, false).await;
                        answer.unwrap() == Removed::Done
                    }
                    _ => {
                        let touch = Touch::After(std::time::Duration::ZERO);
                        load_without_data(&store, &from, touch).await;
                        false
                    }
                }
            }
        })
        .await;
        assert_eq!(how_many(&wins, &true), 1);
        assert!(!is_alive(&store, &from).await);
        let renamed = is_alive(&store, &to).await;
        assert_eq!(store.count().await.unwrap(), u64::from(renamed));
        store.clear().await.unwrap();
    }
}

/// The one of these keys that holds a live record.
async fn one_alive<'a>(store: &impl Store, keys: impl Iterator<Item = &'a Key>) -> Key {
    let mut alive = Vec::new();
    for key in keys {
        if is_alive(store, key).await {
            alive.push(key.clone());
        }
    }
    assert_eq!(alive.len(), 1, "so many keys are alive");
    alive.remove(0)
}
