//! [`Store::insert`].

use std::num::NonZeroU32;
use std::time::Duration;

use super::{
    HOUR, Harness, any_owner, assert_listed, assert_unchanged, data_of_every_kind, fresh, hour,
    how_many, is_alive, key_for, key_of, listed, long_label, look, moment, outlive_moment,
    owner_named, put, put_any, put_owned, race, random_key, record_of, tick,
};
use crate::key::Key;
use crate::record::{Lifetime, Owner, Version};
use crate::store::{Inserted, NewRecord, OwnerLimit, Store};

const THREE: NonZeroU32 = NonZeroU32::new(3).unwrap();

const DONE: Inserted = Inserted::Done { evicted: Vec::new() };

fn limited(owner: &Owner, limit: OwnerLimit) -> NewRecord<'_> {
    NewRecord { limit: Some(limit), ..record_of(owner) }
}

/// Three sessions of an owner, the oldest first.
async fn three<H: Harness>(harness: &H, store: &H::Store, owner: &Owner) -> [Key; 3] {
    let first = put_owned(store, owner).await;
    tick(harness).await;
    let second = put_owned(store, owner).await;
    tick(harness).await;
    let third = put_owned(store, owner).await;
    tick(harness).await;
    [first, second, third]
}

/// *Puts a new record under `key`, with its version, created and last seen now.*
pub async fn a_new_record_is_of_its_version_created_and_seen_now<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let (one, largest) = (NewRecord::new("data", hour()), Version::from_u64((1 << 48) - 1));
    let other = NewRecord { version: largest, ..one.clone() };
    let keys = [random_key(), random_key()];
    put(&store, &keys[0], &one).await;
    let first = look(&store, &keys[0]).await.meta;
    tick(harness).await;
    put(&store, &keys[1], &other).await;
    let second = look(&store, &keys[1]).await.meta;
    for (meta, version) in [(&first, one.version), (&second, largest)] {
        assert_eq!(meta.version, version);
        assert_eq!(meta.last_seen, meta.created_at);
        assert!(meta.created_at <= meta.now);
    }
    assert!(first.now <= second.created_at && first.created_at < second.created_at);
}

/// A record comes back with all that it was given.
pub async fn a_new_record_is_as_it_was_given<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let (owner, label) = (any_owner(harness, "Anna"), long_label());
    let owner = owner.as_ref();
    let lifetimes = [
        hour(),
        super::lifetime(Lifetime::absolute(HOUR)),
        super::lifetime(Lifetime::idle(HOUR / 2).and_then(|idle| idle.and_absolute(HOUR))),
    ];
    for lifetime in lifetimes {
        for authenticated in [false, true] {
            for (owner, label) in [(None, None), (owner, None), (owner, Some(&label))] {
                let key = key_for(&store, owner);
                let record =
                    NewRecord { owner, label, authenticated, ..NewRecord::new("data", lifetime) };
                put(&store, &key, &record).await;
                let found = look(&store, &key).await;
                let meta = found.meta;
                assert_eq!(found.data, "data");
                assert_eq!(meta.lifetime, lifetime);
                assert_eq!(meta.deadline, lifetime.deadline(meta.created_at));
                assert_eq!(meta.owner.as_ref(), owner);
                assert_eq!(meta.label.as_ref(), label);
                let authenticated_at = authenticated.then_some(meta.created_at);
                assert_eq!(meta.authenticated_at, authenticated_at);
            }
        }
    }
}

/// Data of no byte, of every byte and of a mebibyte.
pub async fn data_of_every_size_and_byte_is_kept<H: Harness>(harness: &H) {
    let store = harness.store().await;
    for data in data_of_every_kind() {
        let key = random_key();
        put(&store, &key, &NewRecord::new(data.clone(), hour())).await;
        assert!(look(&store, &key).await.data == data);
    }
}

/// Each timeout that a [`Lifetime`] can hold.
pub async fn timeouts_from_a_millisecond_to_the_longest_are_kept<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let longest = Lifetime::idle(Lifetime::MAX).and_then(|idle| idle.and_absolute(Lifetime::MAX));
    let longest = super::lifetime(longest);
    let key = random_key();
    put(&store, &key, &NewRecord::new("data", longest)).await;
    let meta = look(&store, &key).await.meta;
    assert_eq!(meta.lifetime, longest);
    assert_eq!(meta.deadline, Some(meta.created_at + Lifetime::MAX));

    let shortest = super::lifetime(Lifetime::idle(Duration::from_millis(1)));
    let key = random_key();
    put(&store, &key, &NewRecord::new("data", shortest)).await;
    outlive_moment(harness).await;
    assert!(!is_alive(&store, &key).await);
}

/// *The key holds a live record: `KeyTaken`, and nothing changes.*
pub async fn a_taken_key_is_refused_and_nothing_changes<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let (anna, bert) = (any_owner(harness, "Anna"), any_owner(harness, "Bert"));
    let (anna, bert) = (anna.as_ref(), bert.as_ref());
    let count = store.partitions();
    // A key that either owner may have; where their partitions differ, the newcomer has no owner.
    let key = key_for(&store, anna);
    put(&store, &key, &NewRecord { owner: anna, ..NewRecord::new("data", hour()) }).await;
    let newcomer = bert.filter(|bert| bert.partition(count) == key.partition(count));
    let before = look(&store, &key).await;
    let record = NewRecord { owner: newcomer, ..NewRecord::new("other data", hour()) };
    let insert = store.insert(&key, &record).await;
    assert_eq!(insert.unwrap(), Inserted::KeyTaken);
    assert_unchanged(&store, &key, &before).await;
    assert_listed(&store, anna, &[key]).await;
    assert_listed(&store, bert, &[]).await;
}

/// *An expired record there is no hindrance.*
pub async fn an_expired_record_is_no_hindrance<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let owner = any_owner(harness, "Anna");
    let owner = owner.as_ref();
    let key = key_for(&store, owner);
    put(&store, &key, &NewRecord { owner, ..NewRecord::new("data", moment(harness)) }).await;
    outlive_moment(harness).await;
    let new = NewRecord::new("new data", hour());
    put(&store, &key, &new).await;
    let found = look(&store, &key).await;
    assert_eq!(found.data, "new data");
    assert_eq!(found.meta.version, new.version);
    assert_eq!(found.meta.owner, None);
    assert_listed(&store, owner, &[]).await;
    if let Some(owner) = owner {
        store.remove_owned(owner, None).await.unwrap();
    }
    assert!(is_alive(&store, &key).await, "it is another's by now");
}

/// *Of callers that race for one record exactly one wins.*
pub async fn of_racing_inserts_of_one_key_one_is_done<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
    let key = random_key();
    let answers = race(harness.races(), |task| {
        let (store, key) = (store.clone(), key.clone());
        async move {
            let record = NewRecord::new(task.to_string(), hour());
            (store.insert(&key, &record).await.unwrap(), record)
        }
    })
    .await;
    let (answers, records): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
    assert_eq!(how_many(&answers, &DONE), 1);
    assert_eq!(how_many(&answers, &Inserted::KeyTaken), answers.len() - 1);
    let winner = answers.iter().position(|answer| *answer == DONE).map(|at| &records[at]);
    assert_eq!(look(&store, &key).await.meta.version, winner.unwrap().version);
    assert_eq!(store.count().await.unwrap(), 1);
}

/// *By its policy the oldest go, and their keys are returned.*
pub async fn at_the_limit_the_oldest_goes_and_its_key_is_returned<H: Harness>(harness: &H) {
    let store = harness.store().await;
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
pub async fn as_many_go_as_a_lower_limit_asks_for<H: Harness>(harness: &H) {
    let store = harness.store().await;
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
    assert_eq!(store.count().await.unwrap(), 1);
}

/// *Or `OwnerFull`, and nothing changes.*
pub async fn at_the_limit_an_insert_is_refused_and_nothing_changes<H: Harness>(harness: &H) {
    let store = harness.store().await;
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
    let store = harness.store().await;
    let owner = owner_named("Anna");
    let [first, second, third] = three(harness, &store, &owner).await;
    let record = limited(&owner, OwnerLimit::evict_oldest(THREE));
    let insert = store.insert(&second, &record).await;
    assert_eq!(insert.unwrap(), Inserted::KeyTaken);
    assert_eq!(listed(&store, &owner).await, [third, second, first]);
}

/// *The owner has as many live sessions*: expired ones, ended ones and others' do not count.
pub async fn only_live_sessions_of_the_owner_count_for_the_limit<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let (anna, bert) = (owner_named("Anna"), owner_named("Bert"));
    put_owned(&store, &bert).await;
    put_any(&store).await;
    let expires = NewRecord { lifetime: moment(harness), ..record_of(&anna) };
    put(&store, &key_of(&store, &anna), &expires).await;
    outlive_moment(harness).await;
    let removed = put_owned(&store, &anna).await;
    assert!(store.take(&removed).await.unwrap().is_some());
    for limit in [OwnerLimit::reject(NonZeroU32::MIN), OwnerLimit::evict_oldest(NonZeroU32::MIN)] {
        let key = key_of(&store, &anna);
        put(&store, &key, &limited(&anna, limit)).await;
        assert!(store.take(&key).await.unwrap().is_some());
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
            panic!("{answer:?}, though the oldest goes");
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
    let store = fresh(harness).await;
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
    assert_eq!(store.count().await.unwrap(), 3);
    answers.into_iter().map(|(_, answer)| answer).collect()
}
