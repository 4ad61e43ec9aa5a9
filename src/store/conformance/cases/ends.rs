//! [`Owners::remove_owned`](crate::store::Owners::remove_owned).

use std::collections::HashSet;
use std::slice::from_ref;

use tokio::task::yield_now;

use crate::key::Key;
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Condition, NewProof, NewRecord, OwnerLimit, Removed, Replaced, Write};

/// *Ends all sessions of an owner*: to every operation.
pub async fn all_sessions_of_an_owner_end<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let mut keys = Vec::new();
    for _ in 0..20 {
        keys.push(put_owned(&store, &owner).await);
    }
    owners(&store).remove_owned(&owner, None).await.unwrap();
    assert_eq!(listed(&store, &owner).await, []);
    assert_count(&store, 0).await;
    for (at, key) in keys.iter().enumerate() {
        match at % 6 {
            0 => assert_eq!(load_with_data(&store, key, ALWAYS).await, None),
            1 => assert_eq!(load_without_data(&store, key, ALWAYS).await, None),
            2 => {
                let write = Write { lifetime: Some(&hour()), ..Write::data("new data") };
                let answer = store.replace(key, &write).await;
                assert_eq!(answer.unwrap(), Replaced::Missing);
            }
            3 => {
                let proof = Some(NewProof::Regenerated(random_proof()));
                let write = Write { proof, authenticated: true, ..Write::default() };
                let answer = store.replace(key, &write).await;
                assert_eq!(answer.unwrap(), Replaced::Missing);
            }
            4 => assert_eq!(take(&store, key).await, None),
            _ => {
                let answer = store.remove(key, Condition::Always, false).await;
                assert_eq!(answer.unwrap(), Removed::Missing);
            }
        }
    }
    assert_eq!(store.alive(&keys).await.unwrap(), [false; 20]);
    for key in &keys {
        assert!(!is_alive(&store, key).await, "an operation revived {key}");
    }
}

/// *Of an owner*: of no other, and not what has none.
pub async fn others_sessions_stay<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (anna, bert) = (owner_named("Anna"), owner_named("Bert"));
    put_owned(&store, &anna).await;
    let berts = put_owned(&store, &bert).await;
    let nobodys = put_any(&store).await;
    let (bert_before, nobody_before) = (look(&store, &berts).await, look(&store, &nobodys).await);
    owners(&store).remove_owned(&anna, None).await.unwrap();
    assert_unchanged(&store, &berts, &bert_before).await;
    assert_unchanged(&store, &nobodys, &nobody_before).await;
    assert_eq!(listed(&store, &bert).await, [berts]);
}

/// *But the one under `keep`*, which is unharmed in every respect.
pub async fn the_kept_session_stays_and_works_on<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let old = put_owned(&store, &owner).await;
    tick(harness).await;
    let kept = put_owned(&store, &owner).await;
    tick(harness).await;
    let young = put_owned(&store, &owner).await;
    let before = look(&store, &kept).await;
    for _ in 0..2 {
        owners(&store).remove_owned(&owner, Some(&kept)).await.unwrap();
        assert!(!is_alive(&store, &old).await && !is_alive(&store, &young).await);
        assert_unchanged(&store, &kept, &before).await;
        assert_eq!(listed(&store, &owner).await, from_ref(&kept));
    }

    assert!(load_without_data(&store, &kept, ALWAYS).await.is_some());
    let new = Write { expected: Some(before.meta.version), ..Write::data("new data") };
    assert_eq!(write(&store, &kept, &new).await.version, before.meta.version.next());
    assert_eq!(look(&store, &kept).await.data, "new data");
    owners(&store).remove_owned(&owner, None).await.unwrap();
    assert!(!is_alive(&store, &kept).await);
}

/// *If that is a live one of this owner*: otherwise none stays, and `keep` means nothing.
pub async fn a_stranger_is_not_kept<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (anna, bert) = (owner_named("Anna"), owner_named("Bert"));
    let berts = put_owned(&store, &bert).await;
    let nobodys = put_any(&store).await;
    let removed = put_owned(&store, &anna).await;
    assert!(take(&store, &removed).await.is_some());
    let expired = key_of(&store, &anna);
    let expires = NewRecord { lifetime: moment(harness), ..record_of(&anna) };
    put(&store, &expired, &expires).await;
    outlive_moment(harness).await;
    for keep in [&berts, &nobodys, &removed, &expired] {
        let key = put_owned(&store, &anna).await;
        owners(&store).remove_owned(&anna, Some(keep)).await.unwrap();
        assert!(!is_alive(&store, &key).await);
        assert_eq!(listed(&store, &anna).await, []);
    }
    assert!(!is_alive(&store, &removed).await && !is_alive(&store, &expired).await);
    assert!(is_alive(&store, &berts).await && is_alive(&store, &nobodys).await);
    assert_eq!(listed(&store, &bert).await, [berts]);
}

/// *An owner without sessions is no error.*
pub async fn an_owner_without_sessions_is_no_error<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let key = key_of(&store, &owner);
    owners(&store).remove_owned(&owner, None).await.unwrap();
    owners(&store).remove_owned(&owner, Some(&key)).await.unwrap();
    assert_eq!(listed(&store, &owner).await, []);
    assert!(!is_alive(&store, &key).await);
}

/// *No session that the owner had when it was called*: later ones live, and count anew.
pub async fn an_owner_whose_sessions_ended_begins_anew<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let limit = OwnerLimit::reject(2.try_into().expect("two is not zero"));
    let mut last = None;
    for _ in 0..3 {
        let mut keys = HashSet::new();
        for _ in 0..2 {
            let key = key_of(&store, &owner);
            let record = NewRecord { limit: Some(limit), ..record_of(&owner) };
            put(&store, &key, &record).await;
            keys.insert(key);
        }
        let now: HashSet<Key> = listed(&store, &owner).await.into_iter().collect();
        assert_eq!(now, keys);
        assert_count(&store, 2).await;
        if let Some(key) = last {
            assert!(!is_alive(&store, &key).await, "{key} came back");
        }
        last = keys.into_iter().next();
        owners(&store).remove_owned(&owner, None).await.unwrap();
    }
}

/// *When it has returned, no session that the owner had when it was called can be loaded, whatever
/// raced with it: an insert, a write.*
pub async fn what_the_owner_had_ends_in_every_race<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for round in 0..harness.races().div_ceil(20) {
        let owner = owner_named(format!("user-{round}"));
        let mut had = Vec::new();
        for _ in 0..4 {
            had.push(put_owned(&store, &owner).await);
        }
        race(10, |task| {
            let (store, owner, had) = (store.clone(), owner.clone(), had.clone());
            async move {
                let key = had[task % had.len()].clone();
                match task {
                    0..3 => {
                        let lifetime = hour();
                        let write = Write {
                            touch: true,
                            lifetime: (task == 1).then_some(&lifetime),
                            ..Write::data("new data")
                        };
                        store.replace(&key, &write).await.unwrap();
                    }
                    3..5 => drop(load_without_data(&store, &key, ALWAYS).await),
                    5..8 => {
                        let proof = Some(NewProof::Regenerated(random_proof()));
                        let write = Write { proof, authenticated: task == 5, ..Write::default() };
                        store.replace(&key, &write).await.unwrap();
                    }
                    8 => drop(put_owned(&store, &owner).await),
                    _ => {
                        owners(&store).remove_owned(&owner, None).await.unwrap();
                        for key in &had {
                            assert!(!is_alive(&store, key).await, "{key} outlived its end");
                        }
                    }
                }
            }
        })
        .await;
        for key in &had {
            assert!(!is_alive(&store, key).await, "{key} outlived its end");
        }
    }
}

/// *Whatever raced with it: an insert*, which came before and is dead, or came after and is alive
/// and listed; never is it alive where the owner does not see it.
pub async fn an_insert_that_races_is_listed_or_dead<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for round in 0..harness.races().div_ceil(20) {
        let owner = owner_named(format!("user-{round}"));
        let kept = put_owned(&store, &owner).await;
        let inserted = race(10, |task| {
            let (store, owner, kept) = (store.clone(), owner.clone(), kept.clone());
            async move {
                if task == 5 {
                    let keep = (round % 2 == 0).then_some(&kept);
                    owners(&store).remove_owned(&owner, keep).await.unwrap();
                    return None;
                }
                let key = key_of(&store, &owner);
                put(&store, &key, &record_of(&owner)).await;
                Some(key)
            }
        })
        .await;
        let mut alive = HashSet::new();
        for key in inserted.into_iter().flatten().chain([kept.clone()]) {
            if is_alive(&store, &key).await {
                alive.insert(key);
            }
        }
        assert_eq!(alive.contains(&kept), round % 2 == 0);
        let listed: HashSet<Key> = listed(&store, &owner).await.into_iter().collect();
        assert_eq!(listed, alive);
        owners(&store).remove_owned(&owner, None).await.unwrap();
        for key in &alive {
            assert!(!is_alive(&store, key).await, "{key} outlived its end");
        }
    }
    assert_count(&store, 0).await;
}

/// *An operation is atomic*: each of two ends what the other keeps, whichever comes first.
pub async fn two_ends_that_keep_different_sessions_keep_none<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for round in 0..harness.races().div_ceil(20) {
        let owner = owner_named(format!("user-{round}"));
        let keys = [put_owned(&store, &owner).await, put_owned(&store, &owner).await];
        race(2, |task| {
            let (store, owner, keep) = (store.clone(), owner.clone(), keys[task].clone());
            async move { owners(&store).remove_owned(&owner, Some(&keep)).await.unwrap() }
        })
        .await;
        for key in &keys {
            assert!(!is_alive(&store, key).await, "{key} outlived its end");
        }
        assert_eq!(listed(&store, &owner).await, []);
    }
}

/// *After an error or a dropped future, some of the sessions may have ended. A repeat ends the rest.*
pub async fn a_repeat_ends_what_a_dropped_end_has_left<H: Harness>(harness: &H) {
    let store = store(harness).await;
    race(harness.races().min(100), |task| {
        let store = store.clone();
        async move {
            let owner = owner_named(format!("user-{task}"));
            let mut keys = Vec::new();
            for _ in 0..4 {
                keys.push(put_owned(&store, &owner).await);
            }
            drop_after(task, owners(&store).remove_owned(&owner, None)).await;
            owners(&store).remove_owned(&owner, None).await.unwrap();
            for key in &keys {
                assert!(!is_alive(&store, key).await, "{key} outlived its end");
            }
            assert_eq!(listed(&store, &owner).await, []);
        }
    })
    .await;
    assert_count(&store, 0).await;
}

/// *It returns although such sessions keep coming.*
pub async fn an_end_returns_while_sessions_keep_coming<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let mut had = Vec::new();
    for _ in 0..20 {
        had.push(put_owned(&store, &owner).await);
    }
    let log_in = async || {
        for _ in 0..1_000 {
            put_owned(&store, &owner).await;
            yield_now().await;
        }
    };
    tokio::select! {
        biased;
        ended = owners(&store).remove_owned(&owner, None) => ended.unwrap(),
        _ = async { tokio::join!(log_in(), log_in(), log_in(), log_in()) } => {
            panic!("it waits until no sessions come");
        }
    }
    for key in &had {
        assert!(!is_alive(&store, key).await, "{key} outlived its end");
    }
}
