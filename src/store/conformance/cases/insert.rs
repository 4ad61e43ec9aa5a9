//! [`Store::insert`](crate::store::Store::insert).

use std::time::Duration;

use crate::record::{Details, Lifetime, Proofs, Version};
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Inserted, NewRecord};

/// *Puts a new record under `key`, as `Record::begun` says*: with its version, created and last seen
/// now.
pub async fn a_new_record_is_of_its_version_created_and_seen_now<H: Harness>(harness: &H) {
    let store = store(harness).await;
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

/// A record comes back with everything that it was given.
pub async fn a_new_record_is_as_it_was_given<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (owner, details) = (any_owner(&store, "Anna"), long_details());
    let owner = owner.as_ref();
    let lifetimes = [
        hour(),
        valid(Lifetime::absolute(HOUR)),
        valid(Lifetime::idle(HOUR / 2).and_then(|idle| idle.and_absolute(HOUR))),
    ];
    let proof = random_proof();
    for lifetime in lifetimes {
        for authenticated in [false, true] {
            for (owner, details, proof) in [
                (None, Details::new(), None),
                (owner, Details::new(), Some(proof)),
                (owner, details.clone(), None),
                (None, details.clone(), Some(proof)),
            ] {
                let key = key_for(&store, owner);
                let record = NewRecord {
                    owner,
                    details: details.clone(),
                    proof,
                    authenticated,
                    ..NewRecord::new("data", lifetime)
                };
                put(&store, &key, &record).await;
                let found = look(&store, &key).await;
                let meta = found.meta;
                assert_eq!(found.data, "data");
                assert!(found.details == details);
                assert_eq!(found.proofs, proof.map_or_else(Proofs::default, Proofs::new));
                assert_eq!(meta.lifetime, lifetime);
                assert_eq!(meta.deadline, lifetime.deadline(meta.created_at));
                assert_eq!(meta.owner.as_ref(), owner);
                let authenticated_at = authenticated.then_some(meta.created_at);
                assert_eq!(meta.authenticated_at, authenticated_at);
            }
        }
    }
}

/// Data of no byte, of every byte and of a mebibyte.
pub async fn data_of_every_size_and_byte_is_kept<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for data in data_of_every_kind() {
        let key = random_key();
        put(&store, &key, &NewRecord::new(data.clone(), hour())).await;
        assert!(look(&store, &key).await.data == data);
    }
}

/// Each timeout that a [`Lifetime`] can hold.
pub async fn timeouts_from_a_millisecond_to_the_longest_are_kept<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let longest = Lifetime::idle(Lifetime::MAX).and_then(|idle| idle.and_absolute(Lifetime::MAX));
    let longest = valid(longest);
    let key = random_key();
    put(&store, &key, &NewRecord::new("data", longest)).await;
    let meta = look(&store, &key).await.meta;
    assert_eq!(meta.lifetime, longest);
    assert_eq!(meta.deadline, Some(meta.created_at + Lifetime::MAX));

    let shortest = valid(Lifetime::idle(Duration::from_millis(1)));
    let key = random_key();
    put(&store, &key, &NewRecord::new("data", shortest)).await;
    outlive_moment(harness).await;
    assert!(!is_alive(&store, &key).await);
}

/// *The key holds a live record: `KeyTaken`, and nothing changes.*
pub async fn a_taken_key_is_refused_and_nothing_changes<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (anna, bert) = (any_owner(&store, "Anna"), any_owner(&store, "Bert"));
    let (anna, bert) = (anna.as_ref(), bert.as_ref());
    let count = store.partitions();
    // A key that either owner may have; where their partitions differ, the newcomer has no owner.
    let key = key_for(&store, anna);
    put(&store, &key, &NewRecord { owner: anna, ..NewRecord::new("data", hour()) }).await;
    let newcomer = bert.filter(|bert| bert.partition(count) == key.partition(count));
    let before = look(&store, &key).await;
    let record = NewRecord {
        owner: newcomer,
        proof: Some(random_proof()),
        details: long_details(),
        ..NewRecord::new("other data", hour())
    };
    let insert = store.insert(&key, &record).await;
    assert_eq!(insert.unwrap(), Inserted::KeyTaken);
    assert_unchanged(&store, &key, &before).await;
    assert_listed(&store, anna, &[key]).await;
    assert_listed(&store, bert, &[]).await;
}

/// *An expired record there is no hindrance*, and leaves nothing of itself.
pub async fn an_expired_record_does_not_block_its_key<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let key = key_for(&store, owner);
    let old = NewRecord {
        owner,
        proof: Some(random_proof()),
        details: long_details(),
        authenticated: true,
        ..NewRecord::new("data", moment(harness))
    };
    put(&store, &key, &old).await;
    outlive_moment(harness).await;
    let new = NewRecord::new("new data", hour());
    put(&store, &key, &new).await;
    let found = look(&store, &key).await;
    assert_eq!(found.data, "new data");
    assert_eq!(found.details, Details::new());
    assert_eq!(found.proofs, Proofs::default());
    assert_eq!(found.meta.version, new.version);
    assert_eq!(found.meta.owner, None);
    assert_eq!(found.meta.authenticated_at, None);
    assert_listed(&store, owner, &[]).await;
    if let Some(owner) = owner {
        owners(&store).remove_owned(owner, None).await.unwrap();
    }
    assert!(is_alive(&store, &key).await, "it is another owner's record now");
}

/// *Of callers that race for one record exactly one wins.*
pub async fn one_of_racing_inserts_of_a_key_is_done<H: Harness>(harness: &H) {
    let store = store(harness).await;
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
    assert_count(&store, 1).await;
}
