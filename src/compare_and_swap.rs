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
    let mut first = Some(seen);
    until_won(attempts, async || {
        let seen = match first.take() {
            Some(seen) => seen,
            None => load(store, key).await?,
        };
        let over = seen.as_ref().map(|seen| seen.with(()));
        match decide(seen)? {
            Step::Leave(answer) => Ok(Some(Updated::Left(answer))),
            Step::Write { value, lifetime, answer } => {
                let written = swap(store, key, over, value, lifetime).await?;
                Ok(written.map(|written| Updated::Written(answer, written)))
            }
            Step::Remove(answer) => {
                let is_gone = match over {
                    Some(seen) => {
                        let condition = Condition::Version(seen.version);
                        store.remove(key, condition, false).await?.is_done()
                    }
                    None => true,
                };
                Ok(is_gone.then_some(Updated::Left(answer)))
            }
        }
    })
    .await
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

/// Attempts something until no other caller comes first, at most so many times, with a wait after each
/// lost race. `None` is a lost race.
pub(crate) async fn until_won<R, E: From<Contended>>(
    attempts: u32,
    mut attempt: impl AsyncFnMut() -> Result<Option<R>, E>,
) -> Result<R, E> {
    let mut backoff = Backoff::new();
    loop {
        if let Some(won) = attempt().await? {
            return Ok(won);
        }
        if !backoff.wait_unless_last_of(attempts).await {
            return Err(Contended { attempts }.into());
        }
    }
}

/// A lifetime without touches, of a millisecond at least: a live record may have less left.
pub(crate) fn absolute(span: Duration) -> Lifetime {
    let span = span.clamp(Duration::from_millis(1), Lifetime::MAX);
    Lifetime::absolute(span)
        .unwrap_or_else(|_| unreachable!("between the shortest and the longest"))
}
