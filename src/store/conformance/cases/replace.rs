//! [`Store::replace`](crate::store::Store::replace) by the key alone.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::record::{Details, Lifetime, Version};
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Condition, NewProof, NewRecord, Removed, Replaced, Write};

/// *Writes what `Write` says*: nothing else.
pub async fn a_write_changes_the_data_and_the_version_alone<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let key = key_for(&store, owner);
    let record = NewRecord {
        owner,
        details: long_details(),
        proof: Some(random_proof()),
        authenticated: true,
        ..NewRecord::new("data", valid(hour().and_absolute(2 * HOUR)))
    };
    put(&store, &key, &record).await;
    let mut expected = look(&store, &key).await;
    for (turn, expects) in [None, Some(expected.meta.version.next())].into_iter().enumerate() {
        tick(harness).await;
        let data = format!("data {turn}");
        let written =
            write(&store, &key, &Write { expected: expects, ..Write::data(data.clone()) }).await;
        expected.data = data.into();
        expected.meta.version = expected.meta.version.next();
        assert_eq!(written.version, expected.meta.version);
        let after = look(&store, &key).await;
        assert_eq!(facts(&after), facts(&expected));
        assert_times(&written, &after);
    }
}

/// *Writes what `Write` says*: the data only where there are some.
pub async fn a_write_without_data_leaves_the_data<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for data in data_of_every_kind() {
        let key = random_key();
        put(&store, &key, &NewRecord::new(data, hour())).await;
        let mut expected = look(&store, &key).await;
        tick(harness).await;
        write(&store, &key, &Write { touch: true, ..Write::default() }).await;
        let after = look(&store, &key).await;
        expected.meta.version = expected.meta.version.next();
        expected.meta.last_seen = after.meta.last_seen;
        assert!(after.data == expected.data);
        assert_eq!(facts(&after).meta, facts(&expected).meta);
    }
}

/// *Writes what `Write` says*: details beside the data, of every size.
pub async fn a_write_of_details_leaves_the_data<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    let mut expected = look(&store, &key).await;
    for details in [long_details(), Details::new(), Details::from_stored("1{}".into())] {
        write(&store, &key, &Write { details: Some(&details), ..Write::default() }).await;
        expected.meta.version = expected.meta.version.next();
        expected.details = details;
        assert_unchanged(&store, &key, &expected).await;
    }
    write(&store, &key, &Write::data("new data")).await;
    let after = look(&store, &key).await;
    assert_eq!((&after.data[..], after.details), (&b"new data"[..], expected.details));
}

/// *Writes what `Write` says*: restarts the idle timeout, with no regard to the touch interval.
pub async fn a_write_may_touch<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    let before = look(&store, &key).await.meta;
    tick(harness).await;
    let written = write(&store, &key, &Write { touch: true, ..Write::data("new data") }).await;
    assert_eq!(written.version, before.version.next());
    let after = look(&store, &key).await;
    assert_eq!(after.data, "new data");
    assert!(after.meta.last_seen >= before.now);
    assert!(after.meta.last_seen > before.last_seen);
    assert!(after.meta.last_seen <= after.meta.now);
    assert_times(&written, &after);
}

/// *Writes what `Write` says*: a new lifetime, which begins now.
pub async fn a_write_may_begin_a_new_lifetime<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let key = key_for(&store, owner);
    put(&store, &key, &NewRecord { owner, ..NewRecord::new("data", hour()) }).await;
    let lifetimes = [
        valid(Lifetime::absolute(3 * HOUR)),
        valid(Lifetime::idle(2 * HOUR)),
        valid(hour().and_absolute(3 * HOUR)),
        valid(hour().and_absolute(2 * HOUR)),
    ];
    for lifetime in lifetimes {
        let before = look(&store, &key).await.meta;
        tick(harness).await;
        let new = Write { lifetime: Some(&lifetime), ..Write::data("new data") };
        let written = write(&store, &key, &new).await;
        assert_eq!(written.version, before.version.next());
        let after = look(&store, &key).await;
        assert_times(&written, &after);
        let meta = after.meta;
        assert!(meta.last_seen > before.last_seen);
        assert_eq!(meta.lifetime, lifetime);
        assert_eq!(meta.deadline, lifetime.deadline(meta.last_seen));
        assert_eq!(meta.created_at, before.created_at);
        assert_eq!(meta.authenticated_at, None);
        assert_eq!(meta.owner, before.owner);
    }
}

/// *Writes what `Write` says*: the person has proved who they are, so both timeouts restart.
pub async fn an_authentication_restarts_both_timeouts<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for lifetime in [hour(), valid(hour().and_absolute(2 * HOUR))] {
        let key = random_key();
        put(&store, &key, &NewRecord::new("data", lifetime)).await;
        let mut expected = look(&store, &key).await;
        tick(harness).await;
        let proven = Write { authenticated: true, ..Write::default() };
        let written = write(&store, &key, &proven).await;
        let after = look(&store, &key).await;
        let seen = after.meta.last_seen;
        assert!(expected.meta.now < seen && seen <= after.meta.now);
        expected.meta.version = expected.meta.version.next();
        expected.meta.last_seen = seen;
        expected.meta.authenticated_at = Some(seen);
        expected.meta.deadline = lifetime.deadline(seen);
        assert_eq!(facts(&after), facts(&expected));
        assert_times(&written, &after);
    }
}

/// *Writes what `Write` says*: a new lifetime, at whose end the record dies.
pub async fn a_new_lifetime_may_be_shorter<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    let shorter = moment(harness);
    write(&store, &key, &Write { lifetime: Some(&shorter), ..Write::data("new data") }).await;
    outlive_moment(harness).await;
    assert!(!is_alive(&store, &key).await);
}

/// Data of no byte, of every byte and of a mebibyte.
pub async fn data_of_every_size_and_byte_is_written<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    for data in data_of_every_kind() {
        write(&store, &key, &Write::data(data.clone())).await;
        assert!(look(&store, &key).await.data == data);
    }
}

/// *Missing …: `Missing`, and nothing is written.*
pub async fn a_missing_record_is_not_written<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = random_key();
    for expected in [None, Some(Version::random())] {
        for lifetime in [None, Some(&hour())] {
            let write = Write { expected, lifetime, touch: true, ..Write::data("data") };
            let answer = store.replace(&key, &write).await;
            assert_eq!(answer.unwrap(), Replaced::Missing);
            assert!(!is_alive(&store, &key).await);
        }
    }
    assert_count(&store, 0).await;
}

/// *So that no write brings a removed record back*: load, remove elsewhere, then any write.
pub async fn no_write_brings_a_removed_record_back<H: Harness>(harness: &H) {
    let store = store(harness).await;
    race(harness.races(), |task| {
        let store = store.clone();
        let owner = any_owner(&store, &format!("user-{task}"));
        async move {
            let owner = owner.as_ref();
            let key = key_for(&store, owner);
            put(&store, &key, &NewRecord { owner, ..NewRecord::new("data", hour()) }).await;
            let record = look(&store, &key).await;

            match (random_below(3), owner) {
                (0, Some(owner)) => owners(&store).remove_owned(owner, None).await.unwrap(),
                (0 | 1, _) => {
                    let answer = store.remove(&key, Condition::Always, false).await;
                    assert_eq!(answer.unwrap(), Removed::Done(None));
                }
                _ => assert!(take(&store, &key).await.is_some()),
            }

            match random_below(4) {
                0 => assert_eq!(load_without_data(&store, &key, ALWAYS).await, None),
                1 => assert_eq!(load_with_data(&store, &key, ALWAYS).await, None),
                2 => {
                    let proof = Some(NewProof::Regenerated(random_proof()));
                    let write = Write { proof, authenticated: true, ..Write::default() };
                    let answer = store.replace(&key, &write).await;
                    assert_eq!(answer.unwrap(), Replaced::Missing);
                }
                _ => {
                    let expected = (random_below(2) == 0).then_some(record.meta.version);
                    let lifetime = (random_below(2) == 0).then_some(&record.meta.lifetime);
                    let write = Write {
                        expected,
                        lifetime,
                        touch: random_below(2) == 0,
                        ..Write::data("new data")
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

/// *So that no write brings a removed record back*, also if both run at once.
pub async fn a_write_that_races_a_removal_does_not_undo_it<H: Harness>(harness: &H) {
    let store = store(harness).await;
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
                            ..Write::data("new data")
                        };
                        let answer = store.replace(&key, &write).await.unwrap();
                        assert_ne!(answer, Replaced::Conflict);
                    }
                    3 => drop(load_without_data(&store, &key, ALWAYS).await),
                    4 => drop(load_with_data(&store, &key, ALWAYS).await),
                    _ => {
                        let answer = store.remove(&key, Condition::Always, false).await;
                        assert_eq!(answer.unwrap(), Removed::Done(None));
                        assert!(!is_alive(&store, &key).await, "a write revived {key}");
                    }
                }
            }
        })
        .await;
        assert!(!is_alive(&store, &key).await, "a write revived {key}");
    }
    assert_count(&store, 0).await;
}

/// *Of another version than `Write::expected`: `Conflict`, and nothing is written.*
pub async fn another_version_is_a_conflict_and_nothing_is_written<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    write(&store, &key, &Write::data("data 2")).await;
    let before = look(&store, &key).await;
    tick(harness).await;
    let number = before.meta.version.get();
    for other in [0, 1, number.wrapping_sub(1), number + 1, number ^ (1 << 47), u64::from(u32::MAX)]
    {
        let write = Write {
            expected: Some(Version::from_u64(other)),
            touch: true,
            lifetime: Some(&moment(harness)),
            ..Write::data("new data")
        };
        let answer = store.replace(&key, &write).await;
        assert_eq!(answer.unwrap(), Replaced::Conflict);
    }
    assert_unchanged(&store, &key, &before).await;
}

/// *Of writers that expect the same version, one wins.*
pub async fn one_of_racing_writes_that_expect_a_version_is_done<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    let first = look(&store, &key).await.meta.version;
    let answers = race(harness.races(), |task| {
        let (store, key) = (store.clone(), key.clone());
        async move {
            let write = Write { expected: Some(first), ..Write::data(task.to_string()) };
            (task, store.replace(&key, &write).await.unwrap())
        }
    })
    .await;
    let (winners, losers): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(_, answer)| matches!(answer, Replaced::Done(_)));
    let [(winner, Replaced::Done(written))] = winners[..] else {
        panic!("{} writers won", winners.len());
    };
    assert_eq!(written.version, first.next());
    let losers: Vec<_> = losers.into_iter().map(|(_, answer)| answer).collect();
    assert_eq!(how_many(&losers, &Replaced::Conflict), losers.len());
    let record = look(&store, &key).await;
    assert_eq!(record.data, winner.to_string());
    assert_eq!(record.meta.version, first.next());
}

/// *Of writers that expect the same version, one wins*: so no increment is lost.
pub async fn racing_increments_are_all_counted<H: Harness>(harness: &H) {
    let store = store(harness).await;
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
                    ..Write::data((number + 1).to_string())
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
