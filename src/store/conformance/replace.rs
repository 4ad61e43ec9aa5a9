//! [`Store::replace`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{
    HOUR, Harness, any_owner, assert_count, assert_unchanged, data_of_every_kind, facts, fresh,
    hour, how_many, is_alive, key_beside, key_for, long_label, look, moment, outlive_moment, put,
    put_any, race, random_below, random_key, tick,
};
use crate::record::{Lifetime, Version};
use crate::store::{
    Condition, NewRecord, Removed, Renamed, Renewal, Replaced, Store, Touch, Write,
};

/// *Writes new data, and what else `Write` says*: nothing else.
pub async fn a_write_changes_the_data_and_the_version_alone<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let (owner, label) = (any_owner(harness, "Anna"), long_label());
    let owner = owner.as_ref();
    let key = key_for(&store, owner);
    let record = NewRecord {
        owner,
        label: Some(&label),
        authenticated: true,
        ..NewRecord::new("data", super::lifetime(hour().and_absolute(2 * HOUR)))
    };
    put(&store, &key, &record).await;
    let mut expected = look(&store, &key).await.meta;
    for (turn, expects) in [None, Some(expected.version.next())].into_iter().enumerate() {
        tick(harness).await;
        let data = format!("data {turn}");
        let write = Write { expected: expects, ..Write::new(data.clone()) };
        expected.version = expected.version.next();
        let answer = store.replace(&key, &write).await;
        assert_eq!(answer.unwrap(), Replaced::Done(expected.version));
        let after = look(&store, &key).await;
        assert_eq!(after.data, data);
        assert_eq!(facts(&after.meta), facts(&expected));
    }
}

/// *And what else `Write` says*: restart the idle timeout, with no regard to the touch interval.
pub async fn a_write_may_touch<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let key = put_any(&store).await;
    let before = look(&store, &key).await.meta;
    tick(harness).await;
    let write = Write { touch: true, ..Write::new("new data") };
    let answer = store.replace(&key, &write).await;
    assert_eq!(answer.unwrap(), Replaced::Done(before.version.next()));
    let after = look(&store, &key).await;
    assert_eq!(after.data, "new data");
    assert!(after.meta.last_seen >= before.now);
    assert!(after.meta.last_seen > before.last_seen);
    assert!(after.meta.last_seen <= after.meta.now);
}

/// *And what else `Write` says*: a new lifetime, which begins now.
pub async fn a_write_may_begin_a_new_lifetime<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let owner = any_owner(harness, "Anna");
    let owner = owner.as_ref();
    let key = key_for(&store, owner);
    put(&store, &key, &NewRecord { owner, ..NewRecord::new("data", hour()) }).await;
    let lifetimes = [
        super::lifetime(Lifetime::absolute(3 * HOUR)),
        super::lifetime(Lifetime::idle(2 * HOUR)),
        super::lifetime(hour().and_absolute(3 * HOUR)),
        super::lifetime(hour().and_absolute(2 * HOUR)),
    ];
    for lifetime in lifetimes {
        let before = look(&store, &key).await.meta;
        tick(harness).await;
        let write = Write { lifetime: Some(&lifetime), ..Write::new("new data") };
        let answer = store.replace(&key, &write).await;
        assert_eq!(answer.unwrap(), Replaced::Done(before.version.next()));
        let meta = look(&store, &key).await.meta;
        assert!(meta.last_seen > before.last_seen);
        assert_eq!(meta.lifetime, lifetime);
        assert_eq!(meta.deadline, lifetime.deadline(meta.last_seen));
        assert_eq!(meta.created_at, before.created_at);
        assert_eq!(meta.owner, before.owner);
    }
}

/// *And what else `Write` says*: a new lifetime, at whose end the record dies.
pub async fn a_new_lifetime_may_be_shorter<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let key = put_any(&store).await;
    let first = look(&store, &key).await.meta.version;
    let write = Write { lifetime: Some(&moment(harness)), ..Write::new("new data") };
    let answer = store.replace(&key, &write).await;
    assert_eq!(answer.unwrap(), Replaced::Done(first.next()));
    outlive_moment(harness).await;
    assert!(!is_alive(&store, &key).await);
}

/// Data of no byte, of every byte and of a mebibyte.
pub async fn data_of_every_size_and_byte_is_written<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let key = put_any(&store).await;
    for data in data_of_every_kind() {
        let answer = store.replace(&key, &Write::new(data.clone())).await;
        assert!(matches!(answer.unwrap(), Replaced::Done(_)));
        assert!(look(&store, &key).await.data == data);
    }
}

/// *Missing …: `Missing`, and nothing is written.*
pub async fn a_missing_record_is_not_written<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let key = random_key();
    for expected in [None, Some(Version::random())] {
        for lifetime in [None, Some(&hour())] {
            let write = Write { expected, lifetime, touch: true, ..Write::new("data") };
            let answer = store.replace(&key, &write).await;
            assert_eq!(answer.unwrap(), Replaced::Missing);
            assert!(!is_alive(&store, &key).await);
        }
    }
    assert_count(harness, &store, 0).await;
}

/// *So that no write brings a removed record back*: load, remove elsewhere, then any write.
pub async fn no_write_brings_a_removed_record_back<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
    race(harness.races(), |task| {
        let store = store.clone();
        let owner = any_owner(harness, &format!("user-{task}"));
        async move {
            let owner = owner.as_ref();
            let key = key_for(&store, owner);
            put(&store, &key, &NewRecord { owner, ..NewRecord::new("data", hour()) }).await;
            let record = look(&store, &key).await;

            match (random_below(4), owner) {
                (0, Some(owner)) => store.remove_owned(owner, None).await.unwrap(),
                (0 | 1, _) => {
                    let answer = store.remove(&key, Condition::Always).await;
                    assert_eq!(answer.unwrap(), Removed::Done);
                }
                (2, _) => assert!(store.take(&key).await.unwrap().is_some()),
                _ => {
                    let to = key_beside(&store, &key);
                    let answer = store.rename(&key, &to, Renewal::Key).await;
                    assert!(matches!(answer.unwrap(), Renamed::Done(_)));
                }
            }

            match random_below(4) {
                0 => {
                    let meta = store.touch(&key, Touch::After(Duration::ZERO)).await;
                    assert_eq!(meta.unwrap(), None);
                }
                1 => {
                    let load = store.load(&key, Touch::After(Duration::ZERO)).await;
                    assert_eq!(load.unwrap(), None);
                }
                2 => {
                    let to = key_beside(&store, &key);
                    let answer = store.rename(&key, &to, Renewal::Authentication).await;
                    assert_eq!(answer.unwrap(), Renamed::Missing);
                    assert!(!is_alive(&store, &to).await);
                }
                _ => {
                    let expected = (random_below(2) == 0).then_some(record.meta.version);
                    let lifetime = (random_below(2) == 0).then_some(&record.meta.lifetime);
                    let write = Write {
                        expected,
                        lifetime,
                        touch: random_below(2) == 0,
                        ..Write::new("new data")
                    };
                    let answer = store.replace(&key, &write).await;
                    assert_eq!(answer.unwrap(), Replaced::Missing);
                }
            }
            assert!(!is_alive(&store, &key).await, "a write revived {key}");
        }
    })
    .await;
}

/// *So that no write brings a removed record back*, though both are under way at once.
pub async fn a_write_that_races_a_removal_does_not_undo_it<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
    for _ in 0..harness.races().div_ceil(10) {
        let key = put_any(&store).await;
        race(6, |task| {
            let (store, key) = (store.clone(), key.clone());
            async move {
                match task {
                    0..3 => {
                        let lifetime = hour();
                        let write = Write {
                            touch: task == 0,
                            lifetime: (task == 1).then_some(&lifetime),
                            ..Write::new("new data")
                        };
                        let answer = store.replace(&key, &write).await.unwrap();
                        assert_ne!(answer, Replaced::Conflict);
                    }
                    3 => {
                        let touch = Touch::After(Duration::ZERO);
                        store.touch(&key, touch).await.unwrap();
                    }
                    4 => {
                        let touch = Touch::After(Duration::ZERO);
                        store.load(&key, touch).await.unwrap();
                    }
                    _ => {
                        let answer = store.remove(&key, Condition::Always).await;
                        assert_eq!(answer.unwrap(), Removed::Done);
                        assert!(!is_alive(&store, &key).await, "a write revived {key}");
                    }
                }
            }
        })
        .await;
        assert!(!is_alive(&store, &key).await, "a write revived {key}");
    }
    assert_eq!(store.count().await.unwrap(), 0);
}

/// *Of another version than `Write::expected`: `Conflict`, and nothing is written.*
pub async fn another_version_is_a_conflict_and_nothing_is_written<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let key = put_any(&store).await;
    store.replace(&key, &Write::new("data 2")).await.unwrap();
    let before = look(&store, &key).await;
    tick(harness).await;
    let number = before.meta.version.get();
    for other in [0, 1, number.wrapping_sub(1), number + 1, number ^ (1 << 47), u64::from(u32::MAX)]
    {
        let write = Write {
            expected: Some(Version::from_u64(other)),
            touch: true,
            lifetime: Some(&moment(harness)),
            ..Write::new("new data")
        };
        let answer = store.replace(&key, &write).await;
        assert_eq!(answer.unwrap(), Replaced::Conflict);
    }
    assert_unchanged(&store, &key, &before).await;
}

/// *Of writers that expect the same version, one wins.*
pub async fn of_racing_writes_that_expect_one_version_one_is_done<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
    let key = put_any(&store).await;
    let first = look(&store, &key).await.meta.version;
    let answers = race(harness.races(), |task| {
        let (store, key) = (store.clone(), key.clone());
        async move {
            let write = Write { expected: Some(first), ..Write::new(task.to_string()) };
            (task, store.replace(&key, &write).await.unwrap())
        }
    })
    .await;
    let (winners, losers): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(_, answer)| *answer == Replaced::Done(first.next()));
    let [(winner, _)] = winners[..] else {
        panic!("{} writers won", winners.len());
    };
    let losers: Vec<_> = losers.into_iter().map(|(_, answer)| answer).collect();
    assert_eq!(how_many(&losers, &Replaced::Conflict), losers.len());
    let record = look(&store, &key).await;
    assert_eq!(record.data, winner.to_string());
    assert_eq!(record.meta.version, first.next());
}

/// *Of writers that expect the same version, one wins*: so no increment is lost.
pub async fn racing_increments_are_all_counted<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
    let key = random_key();
    let new = NewRecord::new("0", hour());
    put(&store, &key, &new).await;
    let races = harness.races();
    // Were all of them under way at once, each success would cost as many failures.
    let under_way = Arc::new(Semaphore::new(16));
    race(races, |_| {
        let (store, key, under_way) = (store.clone(), key.clone(), under_way.clone());
        async move {
            let _permit = under_way.acquire().await.unwrap();
            loop {
                let record = look(&store, &key).await;
                let number: usize = str::from_utf8(&record.data).unwrap().parse().unwrap();
                let write = Write {
                    expected: Some(record.meta.version),
                    ..Write::new((number + 1).to_string())
                };
                match store.replace(&key, &write).await.unwrap() {
                    Replaced::Done(_) => break,
                    Replaced::Conflict => {}
                    Replaced::Missing => panic!("the record is gone"),
                }
            }
        }
    })
    .await;
    let record = look(&store, &key).await;
    assert_eq!(record.data, races.to_string());
    assert_eq!(record.meta.version.get(), new.version.get() + races as u64);
}
