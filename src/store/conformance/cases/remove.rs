//! [`Store::remove`](crate::store::Store::remove).

use crate::record::{Owner, Version};
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Condition, NewRecord, Removed, Write};

/// Those that hold for a new record of this version.
fn each_condition(owner: Option<&Owner>, version: Version) -> impl Iterator<Item = Condition<'_>> {
    let others = [Condition::Always, Condition::Version(version)];
    others.into_iter().chain(owner.map(Condition::Owner))
}

/// *Removes the live record under `key`*, *with the record if `hand_out` asks for it.*
pub async fn a_take_hands_out_the_record_and_removes_it<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let key = key_for(&store, owner);
    let record = NewRecord {
        owner,
        details: long_details(),
        proof: Some(random_proof()),
        ..NewRecord::new("data", hour())
    };
    put(&store, &key, &record).await;
    write(&store, &key, &Write::data("new data")).await;
    let before = look(&store, &key).await;
    tick(harness).await;
    let taken = take(&store, &key).await.unwrap();
    assert_eq!(facts(&taken), facts(&before));
    assert!(taken.meta.now > before.meta.now);
    assert!(!is_alive(&store, &key).await);
    assert_eq!(take(&store, &key).await, None);
    assert_eq!(take(&store, &random_key()).await, None);
}

/// *Only one of racing callers gets `Done`*, with the record.
pub async fn one_of_racing_takes_gets_the_record<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    let answers = race(harness.races(), |_| {
        let (store, key) = (store.clone(), key.clone());
        async move { take(&store, &key).await }
    })
    .await;
    let taken: Vec<_> = answers.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].data, "data");
    assert!(!is_alive(&store, &key).await);
}

/// *Removes the live record under `key` if the condition holds.*
pub async fn a_removed_record_is_gone<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let record = NewRecord { owner, ..NewRecord::new("data", hour()) };
    let stays = key_for(&store, owner);
    put(&store, &stays, &record).await;
    for condition in each_condition(owner, record.version) {
        let key = key_for(&store, owner);
        put(&store, &key, &record).await;
        let answer = store.remove(&key, condition, false).await;
        assert_eq!(answer.unwrap(), Removed::Done(None));
        assert!(!is_alive(&store, &key).await);
        let answer = store.remove(&key, condition, true).await;
        assert_eq!(answer.unwrap(), Removed::Missing);
    }
    assert!(is_alive(&store, &stays).await);
    assert_listed(&store, owner, &[stays]).await;
}

/// *The live record*: where none is, no condition finds one.
pub async fn a_missing_record_is_not_removed<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let record = NewRecord { owner, ..NewRecord::new("data", hour()) };
    put(&store, &key_for(&store, owner), &record).await;
    for condition in each_condition(owner, record.version) {
        let answer = store.remove(&random_key(), condition, false).await;
        assert_eq!(answer.unwrap(), Removed::Missing);
    }
    assert_count(&store, 1).await;
}

/// *If the condition holds*: the version.
pub async fn another_version_is_a_conflict_and_nothing_is_removed<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    write(&store, &key, &Write::data("data 2")).await;
    let before = look(&store, &key).await;
    for number in [0, 1, 3] {
        let condition = Condition::Version(Version::from_u64(number));
        let answer = store.remove(&key, condition, false).await;
        assert_eq!(answer.unwrap(), Removed::Conflict);
    }
    assert_unchanged(&store, &key, &before).await;
    let condition = Condition::Version(before.meta.version);
    let answer = store.remove(&key, condition, false).await;
    assert_eq!(answer.unwrap(), Removed::Done(None));
}

/// *If the condition holds*: the claim. A secret opens the session for a removal as long as it does for
/// a load.
pub async fn another_claim_is_a_conflict_and_nothing_is_removed<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, first) = put_proved(&store).await;
    let second = hand_over(&store, &key, &first).await;
    found(&store, &key, &claim(&second)).await;
    let before = look(&store, &key).await;
    for wrong in [claim(&random_proof()), without_grace(&first)] {
        let answer = store.remove(&key, Condition::Claim(&wrong), true).await;
        assert_eq!(answer.unwrap(), Removed::Conflict);
        assert_unchanged(&store, &key, &before).await;
    }
    let unproved = put_any(&store).await;
    let answer = store.remove(&unproved, Condition::Claim(&claim(&first)), false).await;
    assert_eq!(answer.unwrap(), Removed::Conflict);
    let taken = store.remove(&key, Condition::Claim(&claim(&second)), true).await.unwrap();
    assert_eq!(taken.record().as_ref().map(facts), Some(facts(&before)));
    assert!(!is_alive(&store, &key).await && is_alive(&store, &unproved).await);
}

/// *Only one of racing callers gets `Done`.*
pub async fn one_of_racing_removals_is_done<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let (key, proof) = (key_for(&store, owner.as_ref()), random_proof());
    let record =
        NewRecord { owner: owner.as_ref(), proof: Some(proof), ..NewRecord::new("data", hour()) };
    put(&store, &key, &record).await;
    let version = look(&store, &key).await.meta.version;
    let answers = race(harness.races(), |task| {
        let (store, owner, key) = (store.clone(), owner.clone(), key.clone());
        async move {
            let claim = claim(&proof);
            let condition = match (task % 4, &owner) {
                (0, _) => Condition::Always,
                (1, _) => Condition::Version(version),
                (2, Some(owner)) => Condition::Owner(owner),
                _ => Condition::Claim(&claim),
            };
            store.remove(&key, condition, false).await.unwrap()
        }
    })
    .await;
    assert_eq!(how_many(&answers, &Removed::Done(None)), 1);
    assert_eq!(how_many(&answers, &Removed::Missing), answers.len() - 1);
    assert!(!is_alive(&store, &key).await);
}

/// *Of callers that race for one record exactly one wins*, also if they use different operations.
pub async fn either_a_racing_take_or_a_removal_wins<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for _ in 0..harness.races().div_ceil(10) {
        let key = put_any(&store).await;
        let wins = race(4, |task| {
            let (store, key) = (store.clone(), key.clone());
            async move {
                if task % 2 == 0 {
                    take(&store, &key).await.is_some()
                } else {
                    let answer = store.remove(&key, Condition::Always, false).await;
                    answer.unwrap().is_done()
                }
            }
        })
        .await;
        assert_eq!(how_many(&wins, &true), 1);
        assert!(!is_alive(&store, &key).await);
    }
}
