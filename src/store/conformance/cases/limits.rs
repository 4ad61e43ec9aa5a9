//! [`NewRecord::limit`](crate::store::NewRecord::limit): how many sessions an owner may have.

use std::num::NonZeroU32;

use crate::key::Key;
use crate::record::Owner;
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Inserted, NewRecord, OwnerLimit, Store};

const THREE: NonZeroU32 = NonZeroU32::new(3).unwrap();

fn limited(owner: &Owner, limit: OwnerLimit) -> NewRecord<'_> {
    NewRecord { limit: Some(limit), ..record_of(owner) }
}

/// Three sessions of an owner, the oldest first.
async fn three<H: Harness>(harness: &H, store: &dyn Store, owner: &Owner) -> [Key; 3] {
    let first = put_owned(store, owner).await;
    tick(harness).await;
    let second = put_owned(store, owner).await;
    tick(harness).await;
    let third = put_owned(store, owner).await;
    tick(harness).await;
    [first, second, third]
}

/// *By its policy the oldest go, and their keys are returned.*
pub async fn the_oldest_ends_at_the_limit_and_its_key_is_returned<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let [first, second, third] = three(harness, &store, &owner).await;
    let fourth = key_of(&store, &owner);
    let record = limited(&owner, OwnerLimit::evict_oldest(THREE));
    let insert = store.insert(&fourth, &record).await.unwrap();
    let evicted = vec![first.clone()];
    assert_eq!(insert, Inserted::Done { evicted });
    assert!(!is_alive(&store, &first).await);
    assert_eq!(listed(&store, &owner).await, [fourth, third, second]);
}

/// *The oldest go*, as many as it takes.
pub async fn a_lower_limit_ends_as_many_as_it_has_to<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let three = three(harness, &store, &owner).await;
    let key = key_of(&store, &owner);
    let record = limited(&owner, OwnerLimit::evict_oldest(NonZeroU32::MIN));
    let Inserted::Done { mut evicted } = store.insert(&key, &record).await.unwrap() else {
        panic!("the newcomer was refused");
    };
    evicted.sort_by_key(|key| three.iter().position(|old| old == key));
    assert_eq!(evicted, three);
    assert_eq!(listed(&store, &owner).await, [key]);
    assert_count(&store, 1).await;
}

/// *Or `OwnerFull`, and nothing changes.*
pub async fn an_insert_at_the_limit_is_refused_and_changes_nothing<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let [first, second, third] = three(harness, &store, &owner).await;
    let fourth = key_of(&store, &owner);
    for max in [THREE, NonZeroU32::MIN] {
        let record = limited(&owner, OwnerLimit::reject(max));
        let insert = store.insert(&fourth, &record).await;
        assert_eq!(insert.unwrap(), Inserted::OwnerFull);
    }
    assert!(!is_alive(&store, &fourth).await);
    assert_eq!(listed(&store, &owner).await, [third, second, first]);
}

/// *`KeyTaken`, and nothing changes*: not among the owner's sessions either.
pub async fn a_taken_key_ends_none_of_the_owners_sessions<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let [first, second, third] = three(harness, &store, &owner).await;
    let record = limited(&owner, OwnerLimit::evict_oldest(THREE));
    let insert = store.insert(&second, &record).await;
    assert_eq!(insert.unwrap(), Inserted::KeyTaken);
    assert_eq!(listed(&store, &owner).await, [third, second, first]);
}

/// *The owner has as many live sessions*: expired ones, ended ones and others' do not count.
pub async fn only_live_sessions_of_the_owner_count_for_the_limit<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (anna, bert) = (owner_named("Anna"), owner_named("Bert"));
    put_owned(&store, &bert).await;
    put_any(&store).await;
    let expires = NewRecord { lifetime: moment(harness), ..record_of(&anna) };
    put(&store, &key_of(&store, &anna), &expires).await;
    outlive_moment(harness).await;
    let removed = put_owned(&store, &anna).await;
    assert!(take(&store, &removed).await.is_some());
    for limit in [OwnerLimit::reject(NonZeroU32::MIN), OwnerLimit::evict_oldest(NonZeroU32::MIN)] {
        let key = key_of(&store, &anna);
        put(&store, &key, &limited(&anna, limit)).await;
        assert!(take(&store, &key).await.is_some());
    }
}

/// *Of any number of racing inserts no more than the limit live on*: the first three.
pub async fn racing_inserts_that_are_refused_leave_no_more_than_the_limit<H: Harness>(harness: &H) {
    let answers = race_for_three_places(harness, OwnerLimit::reject(THREE)).await;
    assert_eq!(how_many(&answers, &DONE), 3);
    assert_eq!(how_many(&answers, &Inserted::OwnerFull), answers.len() - 3);
}

/// *Of any number of racing inserts no more than the limit live on*: the last three.
pub async fn racing_inserts_that_evict_leave_no_more_than_the_limit<H: Harness>(harness: &H) {
    let answers = race_for_three_places(harness, OwnerLimit::evict_oldest(THREE)).await;
    let mut evicted: Vec<Key> = Vec::new();
    for answer in &answers {
        let Inserted::Done { evicted: keys } = answer else {
            panic!("{answer:?}, but the oldest has to go");
        };
        evicted.extend_from_slice(keys);
    }
    let told = evicted.len();
    evicted.sort();
    evicted.dedup();
    assert_eq!(evicted.len(), told, "a session was evicted twice");
    assert_eq!(told, answers.len() - 3);
}

/// A hundred logins at once, after which three sessions live, and are listed.
async fn race_for_three_places<H: Harness>(harness: &H, limit: OwnerLimit) -> Vec<Inserted> {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let answers = race(harness.races().min(100), |_| {
        let (store, owner) = (store.clone(), owner.clone());
        async move {
            let key = key_of(&store, &owner);
            let record = limited(&owner, limit);
            let answer = store.insert(&key, &record).await.unwrap();
            (key, answer)
        }
    })
    .await;
    let mut alive = Vec::new();
    for (key, _) in &answers {
        if is_alive(&store, key).await {
            alive.push(key.clone());
        }
    }
    let mut listed = listed(&store, &owner).await;
    alive.sort();
    listed.sort();
    assert_eq!(alive.len(), 3);
    assert_eq!(alive, listed);
    assert_count(&store, 3).await;
    answers.into_iter().map(|(_, answer)| answer).collect()
}
