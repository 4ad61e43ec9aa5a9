//! [`Store::take`] and [`Store::remove`].

use super::{
    Harness, any_owner, assert_count, assert_listed, assert_unchanged, fresh, hour, how_many,
    is_alive, key_for, listed, look, owner_named, put, put_any, put_owned, race, random_key, tick,
};
use crate::record::{Owner, Version};
use crate::store::{Condition, NewRecord, Removed, Store, Write};

/// Those that hold for a new record of this version.
fn each_condition(owner: Option<&Owner>, version: Version) -> impl Iterator<Item = Condition<'_>> {
    let others = [Condition::Always, Condition::Version(version)];
    others.into_iter().chain(owner.map(Condition::Owner))
}

/// *Removes the live record under `key` and hands it out.*
pub async fn a_take_hands_out_the_record_and_removes_it<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let owner = any_owner(harness, "Anna");
    let owner = owner.as_ref();
    let key = key_for(&store, owner);
    put(&store, &key, &NewRecord { owner, ..NewRecord::new("data", hour()) }).await;
    store.replace(&key, &Write::new("new data")).await.unwrap();
    let before = look(&store, &key).await;
    tick(harness).await;
    let taken = store.take(&key).await.unwrap().unwrap();
    assert_eq!(taken.data, before.data);
    assert_eq!(super::facts(&taken.meta), super::facts(&before.meta));
    assert!(taken.meta.now > before.meta.now);
    assert!(!is_alive(&store, &key).await);
    assert_eq!(store.take(&key).await.unwrap(), None);
    assert_eq!(store.take(&random_key()).await.unwrap(), None);
}

/// *To one caller only.*
pub async fn of_racing_takes_one_gets_the_record<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
    let key = put_any(&store).await;
    let answers = race(harness.races(), |_| {
        let (store, key) = (store.clone(), key.clone());
        async move { store.take(&key).await.unwrap() }
    })
    .await;
    let taken: Vec<_> = answers.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].data, "data");
    assert!(!is_alive(&store, &key).await);
}

/// *Removes the live record under `key` if the condition holds.*
pub async fn a_removed_record_is_gone<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let owner = any_owner(harness, "Anna");
    let owner = owner.as_ref();
    let record = NewRecord { owner, ..NewRecord::new("data", hour()) };
    let stays = key_for(&store, owner);
    put(&store, &stays, &record).await;
    for condition in each_condition(owner, record.version) {
        let key = key_for(&store, owner);
        put(&store, &key, &record).await;
        let answer = store.remove(&key, condition).await;
        assert_eq!(answer.unwrap(), Removed::Done);
        assert!(!is_alive(&store, &key).await);
        let answer = store.remove(&key, condition).await;
        assert_eq!(answer.unwrap(), Removed::Missing);
    }
    assert!(is_alive(&store, &stays).await);
    assert_listed(&store, owner, &[stays]).await;
}

/// *The live record*: there is none, whatever the condition.
pub async fn a_missing_record_is_not_removed<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let owner = any_owner(harness, "Anna");
    let owner = owner.as_ref();
    let record = NewRecord { owner, ..NewRecord::new("data", hour()) };
    put(&store, &key_for(&store, owner), &record).await;
    for condition in each_condition(owner, record.version) {
        let answer = store.remove(&random_key(), condition).await;
        assert_eq!(answer.unwrap(), Removed::Missing);
    }
    assert_count(harness, &store, 1).await;
}

/// *If the condition holds*: the version.
pub async fn another_version_is_a_conflict_and_nothing_is_removed<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let key = put_any(&store).await;
    store.replace(&key, &Write::new("data 2")).await.unwrap();
    let before = look(&store, &key).await;
    for number in [0, 1, 3] {
        let condition = Condition::Version(Version::from_u64(number));
        let answer = store.remove(&key, condition).await;
        assert_eq!(answer.unwrap(), Removed::Conflict);
    }
    assert_unchanged(&store, &key, &before).await;
    let condition = Condition::Version(before.meta.version);
    let answer = store.remove(&key, condition).await;
    assert_eq!(answer.unwrap(), Removed::Done);
}

/// *If the condition holds*: the owner.
pub async fn another_owner_is_a_conflict_and_nothing_is_removed<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let (anna, bert) = (owner_named("Anna"), owner_named("Bert"));
    let (annas, nobodys) = (put_owned(&store, &anna).await, put_any(&store).await);
    put_owned(&store, &bert).await;
    for key in [&annas, &nobodys] {
        let before = look(&store, key).await;
        let answer = store.remove(key, Condition::Owner(&bert)).await;
        assert_eq!(answer.unwrap(), Removed::Conflict);
        assert_unchanged(&store, key, &before).await;
    }
    assert_eq!(listed(&store, &anna).await, [annas]);
}

/// *Only one of racing callers gets `Done`.*
pub async fn of_racing_removals_one_is_done<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
    let owner = owner_named("Anna");
    let key = put_owned(&store, &owner).await;
    let version = look(&store, &key).await.meta.version;
    let answers = race(harness.races(), |task| {
        let (store, owner, key) = (store.clone(), owner.clone(), key.clone());
        async move {
            let condition = match task % 3 {
                0 => Condition::Always,
                1 => Condition::Version(version),
                _ => Condition::Owner(&owner),
            };
            store.remove(&key, condition).await.unwrap()
        }
    })
    .await;
    assert_eq!(how_many(&answers, &Removed::Done), 1);
    assert_eq!(how_many(&answers, &Removed::Missing), answers.len() - 1);
    assert!(!is_alive(&store, &key).await);
}

/// *Of callers that race for one record exactly one wins*, though they ask in different words.
pub async fn of_a_racing_take_and_removal_one_wins<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
    for _ in 0..harness.races().div_ceil(10) {
        let key = put_any(&store).await;
        let wins = race(4, |task| {
            let (store, key) = (store.clone(), key.clone());
            async move {
                if task % 2 == 0 {
                    store.take(&key).await.unwrap().is_some()
                } else {
                    let answer = store.remove(&key, Condition::Always).await;
                    answer.unwrap() == Removed::Done
                }
            }
        })
        .await;
        assert_eq!(how_many(&wins, &true), 1);
        assert!(!is_alive(&store, &key).await);
    }
}
