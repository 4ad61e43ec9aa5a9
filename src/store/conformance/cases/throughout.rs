//! What holds for every operation.

use crate::record::Lifetime;
use crate::record::Version;
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{
    Condition, Found, Load, NewProof, NewRecord, Removed, Replaced, Store, Touch, Write,
};

/// *An expired record does not exist, whether it was swept or not.*
pub async fn an_expired_record_does_not_exist<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let moment = moment(harness);
    let timeout = moment.first();
    let absolute = valid(Lifetime::absolute(timeout));
    let both = valid(hour().and_absolute(timeout));
    let proof = random_proof();
    let claim = claim(&proof);
    for lifetime in [moment, absolute, both] {
        let mut keys = Vec::new();
        let record = NewRecord { owner, proof: Some(proof), ..NewRecord::new("data", lifetime) };
        for _ in 0..10 {
            let key = key_for(&store, owner);
            put(&store, &key, &record).await;
            keys.push(key);
        }
        outlive_moment(harness).await;

        for (key, touch) in [(&keys[0], Touch::No), (&keys[1], ALWAYS)] {
            for claim in [None, Some(&claim)] {
                let load = Load { claim, touch, ..Load::new() };
                assert_eq!(store.load(key, &load).await.unwrap(), Found::Missing);
            }
        }
        assert_eq!(load_without_data(&store, &keys[2], ALWAYS).await, None);
        let proof = Some(NewProof::Regenerated(random_proof()));
        for (key, write) in [
            (&keys[3], Write::data("new data")),
            (&keys[4], Write { touch: true, lifetime: Some(&hour()), ..Write::data("new data") }),
            (
                &keys[5],
                Write { claim: Some(&claim), proof, authenticated: true, ..Write::default() },
            ),
            (&keys[6], handover(&claim, random_proof())),
        ] {
            assert_eq!(store.replace(key, &write).await.unwrap(), Replaced::Missing);
        }
        let owned = owner.map_or(Condition::Version(record.version), Condition::Owner);
        for (key, condition) in
            [(&keys[7], Condition::Always), (&keys[8], owned), (&keys[9], Condition::Claim(&claim))]
        {
            let removed = store.remove(key, condition, true).await.unwrap();
            assert_eq!(removed, Removed::Missing);
        }

        assert_eq!(store.alive(&keys).await.unwrap(), [false; 10]);
        assert_listed(&store, owner, &[]).await;
        assert_count(&store, 0).await;
        if let Some(listing) = store.listing() {
            let page = listing.scan(None, 100).await.unwrap();
            assert_eq!(page.records, []);
        }
        for key in keys {
            assert!(!is_alive(&store, &key).await, "an operation revived {key}");
        }
    }
}

/// *An expired record does not exist, whether it was swept or not*: the other half.
pub async fn a_sweep_changes_no_verdict<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let (alive, dead) = (key_for(&store, owner), key_for(&store, owner));
    put(&store, &alive, &NewRecord { owner, ..NewRecord::new("data", hour()) }).await;
    let before = look(&store, &alive).await;
    let expires = NewRecord { owner, ..NewRecord::new("data", moment(harness)) };
    put(&store, &dead, &expires).await;
    outlive_moment(harness).await;
    if let Some(listing) = store.listing() {
        listing.sweep(100).await.unwrap();
    }
    assert!(!is_alive(&store, &dead).await);
    assert_unchanged(&store, &alive, &before).await;
    assert_listed(&store, owner, &[alive]).await;
}

/// *Nobody sees half of it.*
pub async fn nobody_sees_half_of_a_write<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = random_key();
    let data = |version: Version| version.get().to_string().repeat(1_000);
    let first = Version::random();
    let record = NewRecord { version: first, ..NewRecord::new(data(first), hour()) };
    put(&store, &key, &record).await;
    race(harness.races().min(200), |task| {
        let (store, key) = (store.clone(), key.clone());
        async move {
            for _ in 0..5 {
                let record = look(&store, &key).await;
                assert!(
                    record.data == data(record.meta.version),
                    "the data of one version with the number of another"
                );
                if task % 4 == 0 {
                    let write = Write {
                        expected: Some(record.meta.version),
                        touch: true,
                        ..Write::data(data(record.meta.version.next()))
                    };
                    store.replace(&key, &write).await.unwrap();
                }
            }
        }
    })
    .await;
    assert!(look(&store, &key).await.meta.version > first);
}

/// *A dropped future leaves the operation done or not done*: an insert, with its place in the
/// owner's list.
pub async fn a_dropped_insert_is_done_or_not_done<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    race(harness.races().min(100), |task| {
        let (store, owner) = (store.clone(), owner.clone());
        async move {
            let owner = owner.as_ref();
            let key = key_for(&store, owner);
            let record = NewRecord { owner, ..NewRecord::new("data", hour()) };
            drop_after(task, store.insert(&key, &record)).await;
            // What was sent before the drop may reach the server now. Once two looks agree, the
            // look between them has to agree too.
            for _ in 0..1_000 {
                let before = is_alive(&store, &key).await;
                let listed = match owner {
                    Some(owner) => listed(&store, owner).await.contains(&key),
                    None => before,
                };
                if is_alive(&store, &key).await == before {
                    assert_eq!(listed, before, "alive and listed are not the same");
                    return;
                }
            }
            panic!("{key} comes and goes");
        }
    })
    .await;
}

/// *A dropped future leaves the operation done or not done*: a write.
pub async fn a_dropped_write_is_done_or_not_done<H: Harness>(harness: &H) {
    let store = store(harness).await;
    race(harness.races().min(100), |task| {
        let store = store.clone();
        async move {
            let key = put_any(&store).await;
            let first = look(&store, &key).await.meta.version;
            let write = Write::data("new data");
            drop_after(task, store.replace(&key, &write)).await;
            let record = look(&store, &key).await;
            if record.meta.version == first {
                assert_eq!(record.data, "data");
            } else {
                assert_eq!(record.meta.version, first.next());
                assert_eq!(record.data, "new data");
            }
        }
    })
    .await;
}

/// *A dropped future leaves the operation done or not done*: a handover. At every moment a secret opens the
/// session, and the client is told the next secret.
pub async fn a_dropped_handover_is_done_or_not_done<H: Harness>(harness: &H) {
    let store = store(harness).await;
    race(harness.races().min(100), |task| {
        let store = store.clone();
        async move {
            let (key, old) = put_proved(&store).await;
            let next = random_proof();
            let claim = claim(&old);
            drop_after(task, store.replace(&key, &handover(&claim, next))).await;
            match found(&store, &key, &claim).await {
                Found::Current(record) => assert_eq!(record.proofs.previous, None),
                Found::Previous(record) => {
                    assert_eq!(record.proofs.current, Some(next));
                    let sealed = record.proofs.previous.and_then(|previous| previous.sealed);
                    assert_eq!(sealed.as_deref(), Some(&b"the next secret"[..]));
                }
                lost => panic!("{lost:?} for a secret that was never replaced"),
            }
        }
    })
    .await;
}

/// *1 to 1024.*
pub async fn there_are_1_to_1024_partitions<H: Harness>(harness: &H) {
    let store = harness.store().await;
    assert!((1..=1_024).contains(&store.partitions()));
}
