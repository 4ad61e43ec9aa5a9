//! What holds for every operation.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::{
    Harness, any_owner, assert_count, assert_listed, assert_unchanged, fresh, hour, is_alive,
    key_beside, key_for, key_of, listed, look, moment, outlive_moment, owner_named, put, put_any,
    put_owned, race, random_below, random_key, record_of,
};
use crate::record::{Lifetime, Version};
use crate::store::{
    Condition, NewRecord, Removed, Renamed, Renewal, Replaced, Store, Touch, Write,
};

/// *An expired record does not exist, whether it was swept or not.*
pub async fn an_expired_record_does_not_exist<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let owner = any_owner(harness, "Anna");
    let owner = owner.as_ref();
    let moment = moment(harness);
    let timeout = moment.first();
    let absolute = super::lifetime(Lifetime::absolute(timeout));
    let both = super::lifetime(hour().and_absolute(timeout));
    for lifetime in [moment, absolute, both] {
        let mut keys = Vec::new();
        let record = NewRecord { owner, ..NewRecord::new("data", lifetime) };
        for _ in 0..9 {
            let key = key_for(&store, owner);
            put(&store, &key, &record).await;
            keys.push(key);
        }
        outlive_moment(harness).await;

        let load = store.load(&keys[0], Touch::No).await.unwrap();
        assert_eq!(load, None);
        let load = store.load(&keys[1], Touch::After(Duration::ZERO));
        assert_eq!(load.await.unwrap(), None);
        let touch = store.touch(&keys[2], Touch::After(Duration::ZERO));
        assert_eq!(touch.await.unwrap(), None);
        let replace = store.replace(&keys[3], &Write::new("new data")).await;
        assert_eq!(replace.unwrap(), Replaced::Missing);
        let write = Write { touch: true, lifetime: Some(&hour()), ..Write::new("new data") };
        let replace = store.replace(&keys[4], &write).await;
        assert_eq!(replace.unwrap(), Replaced::Missing);
        let to = key_for(&store, owner);
        let rename = store.rename(&keys[5], &to, Renewal::Authentication).await;
        assert_eq!(rename.unwrap(), Renamed::Missing);
        assert_eq!(store.take(&keys[6]).await.unwrap(), None);
        let remove = store.remove(&keys[7], Condition::Always).await;
        assert_eq!(remove.unwrap(), Removed::Missing);
        let condition = owner.map_or(Condition::Version(record.version), Condition::Owner);
        let remove = store.remove(&keys[8], condition).await;
        assert_eq!(remove.unwrap(), Removed::Missing);

        assert_listed(&store, owner, &[]).await;
        assert_count(harness, &store, 0).await;
        if harness.knows_all_records() {
            let page = store.scan(None, 100).await.unwrap();
            assert_eq!(page.records, []);
        }
        for key in keys {
            assert!(!is_alive(&store, &key).await, "an operation revived {key}");
        }
    }
}

/// *An expired record does not exist, whether it was swept or not*: the other half.
pub async fn a_sweep_changes_no_verdict<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let owner = owner_named("Anna");
    let alive = put_owned(&store, &owner).await;
    let before = look(&store, &alive).await;
    let dead = key_of(&store, &owner);
    let record = NewRecord { lifetime: moment(harness), ..record_of(&owner) };
    put(&store, &dead, &record).await;
    outlive_moment(harness).await;
    store.sweep(100).await.unwrap();
    assert!(!is_alive(&store, &dead).await);
    assert_unchanged(&store, &alive, &before).await;
    assert_eq!(listed(&store, &owner).await, [alive]);
}

/// *Nobody sees half of it.*
pub async fn nobody_sees_half_of_a_write<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
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
                        ..Write::new(data(record.meta.version.next()))
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
    let store = fresh(harness).await;
    let owner = owner_named("Anna");
    race(harness.races().min(100), |task| {
        let (store, owner) = (store.clone(), owner.clone());
        async move {
            let key = key_of(&store, &owner);
            let record = record_of(&owner);
            drop_after(task, store.insert(&key, &record)).await;
            // What was sent before the drop may reach the server now. Once two looks agree, the
            // look between them has to agree too.
            for _ in 0..1_000 {
                let before = is_alive(&store, &key).await;
                let listed = listed(&store, &owner).await.contains(&key);
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
    let store = fresh(harness).await;
    race(harness.races().min(100), |task| {
        let store = store.clone();
        async move {
            let key = put_any(&store).await;
            let first = look(&store, &key).await.meta.version;
            let write = Write::new("new data");
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

/// *A dropped future leaves the operation done or not done*: a rename, which never loses the
/// record and never has it twice.
pub async fn a_dropped_rename_is_done_or_not_done<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
    let tasks = harness.races().min(100);
    race(tasks, |task| {
        let store = store.clone();
        async move {
            let from = put_any(&store).await;
            let to = key_beside(&store, &from);
            drop_after(task, store.rename(&from, &to, Renewal::Key)).await;
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
    assert_eq!(store.count().await.unwrap(), tasks as u64);
}

/// Lets a future run a little, then drops it: after a few polls, so that one which stops between two
/// steps is surely met there, or after a time that chance chooses, in which a server gets further.
/// Every eighth task lets it end, so that both outcomes are seen.
pub(super) async fn drop_after<T>(task: usize, future: impl Future<Output = T>) {
    match task % 8 {
        0 => drop(future.await),
        1 | 3 | 5 | 7 => {
            let mut future = pin!(future);
            let mut polls = 1 + random_below(4);
            poll_fn(|context| {
                polls -= 1;
                match future.as_mut().poll(context) {
                    Poll::Pending if polls > 0 => Poll::Pending,
                    _ => Poll::Ready(()),
                }
            })
            .await;
        }
        _ => {
            let micros = random_below(2_000) as u64;
            let _ = timeout(Duration::from_micros(micros), future).await;
        }
    }
}
