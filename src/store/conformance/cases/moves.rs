//! [`Moves::rename`](crate::store::Moves::rename), for stores in whose format the id is the token.

use crate::key::Key;
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Condition, Moves, NewRecord, Renamed, Renewal, Store};

fn moves(store: &dyn Store) -> &dyn Moves {
    store.moves().expect("this case is for a store that moves")
}

/// Moves a record that nothing hinders.
async fn rename(store: &dyn Store, from: &Key, to: &Key) {
    let answer = moves(store).rename(from, to, Renewal::Key).await.unwrap();
    assert!(matches!(answer, Renamed::Done(_)), "{answer:?}");
}

/// *Moves the live record from one key to another, seen now: the data, the lifetime, the beginning and
/// the deadline stay. The version is another one.*
pub async fn a_rename_changes_the_key_and_the_version_and_is_seen_now<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for authenticated in [false, true] {
        let (from, to) = (random_key(), random_key());
        let lifetime = valid(hour().and_absolute(2 * HOUR));
        put(&store, &from, &NewRecord { authenticated, ..NewRecord::new("data", lifetime) }).await;
        let before = look(&store, &from).await;
        tick(harness).await;
        let answer = moves(&store).rename(&from, &to, Renewal::Key).await;
        let Renamed::Done(meta) = answer.unwrap() else {
            panic!("the record was not renamed");
        };
        assert!(meta.last_seen >= before.meta.now && meta.last_seen > before.meta.last_seen);
        assert!(meta.last_seen <= meta.now);
        assert_ne!(meta.version, before.meta.version);
        let after = look(&store, &to).await;
        let mut expected = before;
        expected.meta.version = meta.version;
        expected.meta.last_seen = meta.last_seen;
        assert_eq!(facts(&after), facts(&expected));
        assert!(!is_alive(&store, &from).await);
    }
    assert_count(&store, 2).await;
}

/// *Unless `Renewal` says otherwise*: the person has proved who they are, and the absolute timeout
/// restarts.
pub async fn an_authentication_renews_the_deadline_too<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for lifetime in [hour(), valid(hour().and_absolute(2 * HOUR))] {
        let (from, to) = (random_key(), random_key());
        put(&store, &from, &NewRecord::new("data", lifetime)).await;
        let before = look(&store, &from).await;
        tick(harness).await;
        let answer = moves(&store).rename(&from, &to, Renewal::Authentication).await;
        let Renamed::Done(meta) = answer.unwrap() else {
            panic!("the record was not renamed");
        };
        assert!(meta.last_seen > before.meta.last_seen);
        assert_eq!(meta.authenticated_at, Some(meta.last_seen));
        assert_eq!(meta.deadline, lifetime.deadline(meta.last_seen));
        let after = look(&store, &to).await;
        let mut expected = before;
        expected.meta.version = meta.version;
        expected.meta.last_seen = meta.last_seen;
        expected.meta.authenticated_at = meta.authenticated_at;
        expected.meta.deadline = meta.deadline;
        assert_eq!(facts(&after), facts(&expected));
    }
}

/// *At no moment … are both keys alive.*
pub async fn both_keys_are_never_alive<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for _ in 0..harness.races().div_ceil(10) {
        let from = put_any(&store).await;
        let to = random_key();
        race(6, |task| {
            let (store, from, to) = (store.clone(), from.clone(), to.clone());
            async move {
                if task == 3 {
                    rename(&store, &from, &to).await;
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
    let to = random_key();
    for renewal in [Renewal::Key, Renewal::Authentication] {
        let answer = moves(&store).rename(&from, &to, renewal).await;
        assert_eq!(answer.unwrap(), Renamed::Missing);
    }
    assert!(!is_alive(&store, &from).await && !is_alive(&store, &to).await);
    assert_count(&store, 0).await;
}

/// *`to` holds a live record: `KeyTaken`, and nothing changes.*
pub async fn a_taken_key_is_refused_and_nothing_changes<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (from, to) = (put_any(&store).await, random_key());
    put(&store, &to, &NewRecord::new("another's data", hour())).await;
    let (before, others) = (look(&store, &from).await, look(&store, &to).await);
    tick(harness).await;
    for renewal in [Renewal::Key, Renewal::Authentication] {
        let answer = moves(&store).rename(&from, &to, renewal).await;
        assert_eq!(answer.unwrap(), Renamed::KeyTaken);
    }
    assert_unchanged(&store, &from, &before).await;
    assert_unchanged(&store, &to, &others).await;
}

/// *`to` holds a live record*: an expired one is no hindrance.
pub async fn an_expired_record_does_not_block_its_key<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let to = random_key();
    put(&store, &to, &NewRecord::new("another's data", moment(harness))).await;
    let from = put_any(&store).await;
    outlive_moment(harness).await;
    rename(&store, &from, &to).await;
    assert_eq!(look(&store, &to).await.data, "data");
    assert!(!is_alive(&store, &from).await);
}

/// *Of callers that race for one record exactly one wins.*
pub async fn one_of_racing_renames_of_a_key_is_done<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let from = put_any(&store).await;
    let answers = race(harness.races(), |_| {
        let (store, from) = (store.clone(), from.clone());
        async move {
            let to = random_key();
            let answer = moves(&store).rename(&from, &to, Renewal::Key).await.unwrap();
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
    assert_count(&store, 1).await;
}

/// *Of callers that race for one record exactly one wins*: the others' records stay where they are.
pub async fn one_of_racing_renames_to_a_key_is_done<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let to = random_key();
    let answers = race(harness.races(), |_| {
        let (store, to) = (store.clone(), to.clone());
        async move {
            let from = random_key();
            put(&store, &from, &NewRecord::new(from.to_string(), hour())).await;
            let answer = moves(&store).rename(&from, &to, Renewal::Key).await.unwrap();
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
        let to = random_key();
        let wins = race(3, |task| {
            let (store, from, to) = (store.clone(), from.clone(), to.clone());
            async move {
                match task {
                    0 => {
                        let answer = moves(&store).rename(&from, &to, Renewal::Key).await;
                        matches!(answer.unwrap(), Renamed::Done(_))
                    }
                    1 => {
                        let answer = store.remove(&from, Condition::Always, false).await;
                        answer.unwrap().is_done()
                    }
                    _ => {
                        load_without_data(&store, &from, ALWAYS).await;
                        false
                    }
                }
            }
        })
        .await;
        assert_eq!(how_many(&wins, &true), 1);
        assert!(!is_alive(&store, &from).await);
    }
}

/// *A dropped future leaves the operation done or not done*: a rename, which never loses the record and
/// never has it twice.
pub async fn a_dropped_rename_is_done_or_not_done<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let tasks = harness.races().min(100);
    race(tasks, |task| {
        let store = store.clone();
        async move {
            let (from, to) = (put_any(&store).await, random_key());
            drop_after(task, moves(&store).rename(&from, &to, Renewal::Key)).await;
            for _ in 0..1_000 {
                let before = is_alive(&store, &to).await;
                let old = is_alive(&store, &from).await;
                if is_alive(&store, &to).await == before {
                    assert_eq!(old, !before, "of both keys one has to be alive");
                    return;
                }
            }
            panic!("{to} comes and goes");
        }
    })
    .await;
    assert_count(&store, tasks as u64).await;
}

/// The one of these keys that holds a live record.
async fn one_alive<'a>(store: &dyn Store, keys: impl Iterator<Item = &'a Key>) -> Key {
    let mut alive = Vec::new();
    for key in keys {
        if is_alive(store, key).await {
            alive.push(key.clone());
        }
    }
    assert_eq!(alive.len(), 1, "more than one key is alive, or none");
    alive.remove(0)
}
