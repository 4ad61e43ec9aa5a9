//! Changes a record only if nobody else has: the one loop of compare-and-swap.
//!
//! A change is decided on a [`Snapshot`] and written only over the version of that snapshot. A version
//! never comes back under a key, as each record begins with a random one. So of all changes that are
//! decided on the same snapshot exactly one is written, and the others are decided anew on what it
//! left. A change that is decided on no record is an insert, which a live record refuses.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backoff::Backoff;
use crate::error::StoreError;
use crate::key::Key;
use crate::record::{Lifetime, Version};
use crate::record_json::{self, Moment};
use crate::store::{AtomicStore, Condition, Inserted, Load, NewRecord, Replaced, Write};

/// How many races in a row a caller loses before it gives up. Each lost race is another caller's
/// change, and a day's budget allows few of them, so a caller that loses this often meets something
/// else.
pub(crate) const ATTEMPTS: u32 = 64;

/// A caller lost every race.
#[derive(Debug)]
pub(crate) struct Contended {
    /// How many races it lost.
    pub attempts: u32,
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot<V> {
    pub value: V,
    pub version: Version,
    /// When it was read.
    pub now: Moment,
    /// How long it had to live then.
    pub expires_in: Duration,
}

/// What to do with a record.
pub(crate) enum Step<V, L, W> {
    /// Nothing.
    Leave(L),
    /// Write this value.
    Write {
        value: V,
        /// How long the record lives from now on. `None`: an existing record keeps its lifetime, and
        /// a new one gets the longest.
        lifetime: Option<Duration>,
        answer: W,
    },
    /// Remove the record.
    Remove(L),
}

/// What was done with a record.
#[derive(Debug)]
pub(crate) enum Updated<V, L, W> {
    /// Nothing was written; or the record was removed.
    Left(L),
    /// This was written, under this version. The times are those of the snapshot that it was decided
    /// on.
    Written(W, Snapshot<V>),
}

impl<V> Snapshot<V> {
    /// The same record with another value.
    pub fn with<W>(&self, value: W) -> Snapshot<W> {
        let Self { version, now, expires_in, .. } = *self;
        Snapshot { value, version, now, expires_in }
    }
}

impl<V, A> Updated<V, A, A> {
    pub fn answer(self) -> A {
        match self {
            Self::Left(answer) | Self::Written(answer, _) => answer,
        }
    }
}

/// The record under `key`. One round trip.
pub(crate) async fn load<V: DeserializeOwned>(
    store: &dyn AtomicStore,
    key: &Key,
) -> Result<Option<Snapshot<V>>, StoreError> {
    let Some(record) = store.load(key, &Load::new()).await?.live() else {
        return Ok(None);
    };
    Ok(Some(Snapshot {
        value: record_json::read(key, &record.data)?,
        version: record.meta.version,
        now: Moment::now(&record.meta),
        expires_in: record.meta.expires_in(),
    }))
}

/// Decides what to do with the record under `key`, of which `seen` was read before, and does it: one
/// round trip if something is written, and 2 more for each lost race. `decide` is asked again after
/// each of them, with the record as it is by then.
pub(crate) async fn update<V, L, W, E>(
    store: &dyn AtomicStore,
    key: &Key,
    seen: Option<Snapshot<V>>,
    attempts: u32,
    mut decide: impl FnMut(Option<Snapshot<V>>) -> Result<Step<V, L, W>, E>,
) -> Result<Updated<V, L, W>, E>
where
    V: Serialize + DeserializeOwned,
    E: From<StoreError> + From<Contended>,
{
    let mut seen = seen;
    let mut races = Races::new(attempts);
    loop {
        let over = seen.as_ref().map(|seen| seen.with(()));
        match decide(seen)? {
            Step::Leave(answer) => return Ok(Updated::Left(answer)),
            Step::Write { value, lifetime, answer } => {
                if let Some(written) = swap(store, key, over, value, lifetime).await? {
                    return Ok(Updated::Written(answer, written));
                }
            }
            Step::Remove(answer) => {
                let Some(seen) = over else {
                    return Ok(Updated::Left(answer));
                };
                let condition = Condition::Version(seen.version);
                if store.remove(key, condition, false).await?.is_done() {
                    return Ok(Updated::Left(answer));
                }
            }
        }
        races.lost().await?;
        seen = load(store, key).await?;
    }
}

/// Writes `value` over the record that was seen, or inserts it where none was. `None`: another caller
/// came first. One round trip.
pub(crate) async fn swap<V: Serialize>(
    store: &dyn AtomicStore,
    key: &Key,
    over: Option<Snapshot<()>>,
    value: V,
    lifetime: Option<Duration>,
) -> Result<Option<Snapshot<V>>, StoreError> {
    let data = record_json::write(&value);
    match over {
        Some(seen) => {
            let lifetime = lifetime.map(absolute);
            let write = Write {
                expected: Some(seen.version),
                lifetime: lifetime.as_ref(),
                ..Write::data(data)
            };
            Ok(match store.replace(key, &write).await? {
                Replaced::Done(written) => {
                    Some(Snapshot { version: written.version, ..seen.with(value) })
                }
                Replaced::Conflict | Replaced::Missing => None,
            })
        }
        None => {
            let expires_in = lifetime.unwrap_or(Lifetime::MAX);
            let record = NewRecord::new(data, absolute(expires_in));
            let (version, now) = (record.version, Moment::START);
            Ok(match store.insert(key, &record).await? {
                Inserted::Done { .. } => Some(Snapshot { value, version, now, expires_in }),
                Inserted::KeyTaken | Inserted::OwnerFull => None,
            })
        }
    }
}

/// How many races a caller may lose, with a wait after each of them.
pub(crate) struct Races {
    attempts: u32,
    backoff: Backoff,
}

impl Races {
    pub fn new(attempts: u32) -> Self {
        Self { attempts, backoff: Backoff::new() }
    }

    /// Another caller came first. Waits before the next attempt; an error after the last one.
    pub async fn lost(&mut self) -> Result<(), Contended> {
        if self.backoff.wait_unless_last_of(self.attempts).await {
            Ok(())
        } else {
            Err(Contended { attempts: self.attempts })
        }
    }
}

/// A lifetime without touches, of a millisecond at least: a live record may have less left.
pub(crate) fn absolute(span: Duration) -> Lifetime {
    let span = span.clamp(Duration::from_millis(1), Lifetime::MAX);
    Lifetime::absolute(span)
        .unwrap_or_else(|_| unreachable!("between the shortest and the longest"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::CodeError;
    use crate::store::{Memory, Store};

    static KEY: Key = Key::from_bytes([7; 16]);
    const MINUTE: Duration = Duration::from_secs(60);

    /// A store with a one under the key, and that one as it was read.
    async fn one() -> (Memory, Snapshot<u32>) {
        let store = Memory::new();
        swap(&store, &KEY, None, 1, Some(MINUTE)).await.unwrap().expect("nothing was there");
        let one = load(&store, &KEY).await.unwrap().expect("it was just inserted");
        (store, one)
    }

    /// Adds one to what was seen. The answer is the sum.
    async fn add(
        store: &Memory,
        seen: Option<Snapshot<u32>>,
        attempts: u32,
    ) -> Result<u32, CodeError> {
        let updated = update(store, &KEY, seen, attempts, |seen| {
            let value = seen.map_or(0, |seen: Snapshot<u32>| seen.value) + 1;
            let lifetime = Some(MINUTE);
            Ok::<Step<u32, u32, u32>, CodeError>(Step::Write { value, lifetime, answer: value })
        });
        Ok(updated.await?.answer())
    }

    #[tokio::test]
    async fn a_change_of_what_was_read_too_early_is_decided_anew() {
        let (store, one) = one().await;
        assert_eq!(add(&store, Some(one.clone()), 2).await.unwrap(), 2);
        assert_eq!(add(&store, Some(one), 2).await.unwrap(), 3);
        assert_eq!(add(&store, None, 2).await.unwrap(), 4);
        store.remove(&KEY, Condition::Always, false).await.unwrap();
        assert_eq!(add(&store, None, 1).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_change_of_a_removed_record_is_decided_anew() {
        let (store, one) = one().await;
        store.remove(&KEY, Condition::Always, false).await.unwrap();
        assert_eq!(add(&store, Some(one), 2).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_caller_that_loses_every_race_gives_up() {
        let (store, one) = one().await;
        add(&store, Some(one.clone()), 1).await.unwrap();
        let error = add(&store, Some(one), 1).await.unwrap_err();
        assert!(matches!(error, CodeError::Contended { attempts: 1 }), "{error:?}");
    }

    #[tokio::test]
    async fn only_the_record_that_was_seen_is_removed() {
        let (store, one) = one().await;
        add(&store, Some(one.clone()), 1).await.unwrap();
        let mut seen = Vec::new();
        let updated = update(&store, &KEY, Some(one), 2, |now| {
            seen.push(now.map(|now: Snapshot<u32>| now.value));
            Ok::<Step<u32, (), ()>, CodeError>(Step::Remove(()))
        });
        updated.await.unwrap().answer();
        assert_eq!(seen, [Some(1), Some(2)]);
        assert!(load::<u32>(&store, &KEY).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_write_without_a_lifetime_leaves_it() {
        let (store, one) = one().await;
        swap(&store, &KEY, Some(one.with(())), 2, None).await.unwrap().expect("nobody else writes");
        let two = load::<u32>(&store, &KEY).await.unwrap().expect("it lives");
        assert!(two.value == 2 && two.expires_in <= MINUTE);
    }
}
