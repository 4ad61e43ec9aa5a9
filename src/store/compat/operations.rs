//! The store contract in terms of what every one of these databases can do: compare and swap.
//!
//! A record is read, changed here, and written back only if its text is still the one that was
//! read. So no write of a Rust service is lost, and Node's are noticed.

mod errors;
mod renaming;

use std::collections::HashSet;
use std::sync::Arc;

#[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres"))]
pub(super) use self::errors::advised;
#[cfg(feature = "postgres")]
pub(super) use self::errors::server_code;
pub(super) use self::errors::{discreet, no_owners, refused};
pub(super) use self::renaming::{LONGEST, rename};
use super::backend::{Backend, Stored};
use super::session::{Change, Changed, Format, Session, Unfit, version_of};
use crate::backoff::Backoff;
use crate::key::Key;
use crate::record::{Lifetime, Timestamp};
use crate::store::{
    Condition, Cursor, Found, Inserted, Load, NewRecord, Page, Removed, Replaced, Result,
    StoreError, StoreErrorKind, Times, Write, Written,
};

/// A store on a backend.
pub(super) trait Place: Send + Sync + 'static {
    type Backend: Backend;

    fn backend(&self) -> &Self::Backend;

    fn format(&self) -> &Format;
}

pub(super) fn format<B: Backend>(shape: super::Shape) -> Format {
    let default = shape.ttl.unwrap_or_else(|| {
        Lifetime::idle(B::TTL).unwrap_or_else(|_| unreachable!("a package's default is a timeout"))
    });
    Format { shape, default, listeners: Arc::default() }
}

fn unfit(key: &Key) -> impl Fn(Unfit) -> StoreError {
    move |what| refused(format!("the session {key} cannot be written: {what}"))
}

/// The id that the database keeps.
fn id_of<B: Backend>(key: &Key) -> Result<&str> {
    key.plain_id().ok_or_else(|| {
        refused(format!(
            "{} keeps plain tokens, and the key {key} was made of a public id alone; use the token, \
             or a key that the store has listed",
            B::PACKAGE
        ))
    })
}

fn check_length<B: Backend>(id: &str) -> Result<()> {
    if id.len() > B::LONGEST_ID {
        return Err(refused(format!(
            "the token has {} bytes, and {} keeps {}; make shorter ones",
            id.len(),
            B::PACKAGE,
            B::LONGEST_ID
        )));
    }
    Ok(())
}

/// Reads what was fetched; `None` if it is past its own deadline.
fn open<'a>(format: &'a Format, key: &Key, stored: &'a Stored) -> Result<Option<Session<'a>>> {
    let session = Session::read(format, stored);
    let session = session.map_err(|what| StoreError::corrupt(key, what))?;
    Ok(session.is_live().then_some(session))
}

pub(super) async fn insert<P: Place>(
    place: &P,
    key: &Key,
    record: &NewRecord<'_>,
) -> Result<Inserted> {
    if record.owner.is_some() {
        return Err(no_owners::<P::Backend>());
    }
    let (backend, format, id) = (place.backend(), place.format(), id_of::<P::Backend>(key)?);
    check_length::<P::Backend>(id)?;
    let now = if format.needs_clock(record) {
        backend.clock(id).await?
    } else {
        Timestamp::from_millis(0)
    };
    let text = format.begin(record, now).map_err(unfit(key))?;
    let new = backend.record(&text, None)?;
    let added = backend.add(id, &new, Some(record.lifetime.first()), None).await?;
    Ok(added.map_or(Inserted::KeyTaken, |_| Inserted::Done { evicted: Vec::new() }))
}

pub(super) async fn load<P: Place>(place: &P, key: &Key, load: &Load<'_>) -> Result<Found> {
    let (backend, id) = (place.backend(), id_of::<P::Backend>(key)?);
    let found = |session: Session<'_>| {
        let mut record = session.record();
        if !load.with_data {
            record.data.clear();
        }
        Found::Current(record)
    };
    let mut laps = Laps::new();
    loop {
        let Some((stored, old)) = backend.fetch(id).await? else {
            return Ok(Found::Missing);
        };
        let Some(mut session) = open(place.format(), key, &stored)? else {
            return Ok(Found::Missing);
        };
        let Some(life) = session.due(load.touch) else {
            return Ok(found(session));
        };
        if backend.extend(id, &old, life).await? {
            session.see();
            return Ok(found(session));
        }
        laps.wait().await?;
    }
}

pub(super) async fn replace<P: Place>(place: &P, key: &Key, write: &Write<'_>) -> Result<Replaced> {
    let (backend, id) = (place.backend(), id_of::<P::Backend>(key)?);
    if write.proof.is_some() {
        return Err(refused(format!(
            "in {} the id is the token, so the session {key} gets a new token by a move to another \
             key; see `Store::moves`",
            P::Backend::PACKAGE
        )));
    }
    let change = Change::from(write);
    let mut laps = Laps::new();
    loop {
        let Some((stored, old)) = backend.fetch(id).await? else {
            return Ok(Replaced::Missing);
        };
        let Some(session) = open(place.format(), key, &stored)? else {
            return Ok(Replaced::Missing);
        };
        if write.expected.is_some_and(|version| version != session.version()) {
            return Ok(Replaced::Conflict);
        }
        let Changed { text, life, expires_at } = session.changed(&change).map_err(unfit(key))?;
        if let Some(text) = backend.swap(id, &old, &text, life).await? {
            let version = version_of(text.as_bytes());
            let times = Some(Times { now: stored.now, expires_at });
            return Ok(Replaced::Done(Written { version, times }));
        }
        laps.wait().await?;
    }
}

pub(super) async fn remove<P: Place>(
    place: &P,
    key: &Key,
    condition: Condition<'_>,
    hand_out: bool,
) -> Result<Removed> {
    let (backend, id) = (place.backend(), id_of::<P::Backend>(key)?);
    let mut laps = Laps::new();
    loop {
        let Some((stored, old)) = backend.fetch(id).await? else {
            return Ok(Removed::Missing);
        };
        let session = match open(place.format(), key, &stored) {
            Ok(None) => return Ok(Removed::Missing),
            Ok(Some(session)) => Some(session),
            // Also what is damaged, so that it can be got rid of.
            Err(_) if matches!(condition, Condition::Always) && !hand_out => None,
            Err(error) => return Err(error),
        };
        let holds = match condition {
            // The id is the token.
            Condition::Always | Condition::Claim(_) => true,
            Condition::Version(version) => {
                session.as_ref().is_some_and(|session| version == session.version())
            }
            Condition::Owner(_) => false,
        };
        if !holds {
            return Ok(Removed::Conflict);
        }
        if backend.discard(id, &old).await? {
            let record = session.filter(|_| hand_out).map(|session| session.record());
            return Ok(Removed::Done(record));
        }
        laps.wait().await?;
    }
}

/// A damaged record is nobody's session, so it counts as none.
pub(super) async fn alive<P: Place>(place: &P, keys: &[Key]) -> Result<Vec<bool>> {
    let ids: Vec<&str> = keys.iter().filter_map(Key::plain_id).collect();
    let found = if ids.is_empty() { Vec::new() } else { place.backend().fetch_all(&ids).await? };
    let is_live = |(_, stored): &(String, Stored)| {
        Session::read(place.format(), stored).is_ok_and(|session| session.is_live())
    };
    let live: HashSet<String> = found.into_iter().filter(is_live).map(|(id, _)| id).collect();
    Ok(keys.iter().map(|key| key.plain_id().is_some_and(|id| live.contains(id))).collect())
}

/// How often an operation tries to get at a session that others are at.
const LAPS: u32 = 64;

/// The tries of an operation.
pub(super) struct Laps {
    made: u32,
    backoff: Backoff,
}

impl Laps {
    pub(super) fn new() -> Self {
        Self { made: 0, backoff: Backoff::new() }
    }

    /// Waits until others may be done with the session.
    pub(super) async fn wait(&mut self) -> Result<()> {
        self.made += 1;
        if self.made >= LAPS {
            let message = format!("others came first {LAPS} times; try again");
            return Err(StoreError::new(StoreErrorKind::Unavailable, message));
        }
        self.backoff.wait().await;
        Ok(())
    }
}

/// A record that was not asked for is among the damaged, and no event tells of it.
pub(super) async fn scan<P: Place>(
    place: &P,
    after: Option<&Cursor>,
    limit: usize,
    is_asked_for: impl Fn(&Session<'_>) -> bool + Send + Sync,
) -> Result<Page> {
    let (format, listed) = (place.format(), place.backend().page(after, limit.max(1)).await?);
    let mut others = Vec::new();
    let read = |(id, stored): (String, Stored)| {
        let key = Key::with_plain_id(&id);
        match Session::read(format, &stored) {
            Ok(session) if !session.is_live() => Ok(None),
            Ok(session) if is_asked_for(&session) => Ok(Some((key, session.record()))),
            Ok(_) => {
                others.push(StoreError::corrupt(&key, "no Node service of this shape wrote it"));
                Ok(None)
            }
            Err(what) => Err(StoreError::corrupt(&key, what)),
        }
    };
    let found = listed.found.into_iter().map(read);
    let (records, mut damaged) = format.listeners.readable(found)?;
    damaged.append(&mut others);
    Ok(Page { records: records.into_iter().flatten().collect(), damaged, next: listed.next })
}

/// Implements [`Store`](crate::store::Store) and what it offers for a [`Place`].
macro_rules! impl_store {
    ([$($generics:tt)*] $store:ty) => {
        const _: () = {
            use async_trait::async_trait;

            use crate::event::Events;
            use crate::key::Key;
            use crate::store::compat::backend::Backend;
            use crate::store::compat::operations::{self, Place};
            use crate::store::{
                Condition, Cursor, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Page,
                Removed, Renamed, Renewal, Replaced, Result, Store, Watch, Write,
            };

            #[async_trait]
            impl<$($generics)*> crate::store::compat::sealed::Sealed for $store {
                async fn scan_for_mover(
                    &self,
                    after: Option<&Cursor>,
                    limit: usize,
                ) -> Result<Page> {
                    let page = operations::scan(self, after, limit, |session| session.is_of_node());
                    operations::discreet(self.backend(), page.await)
                }
            }

            impl<$($generics)*> crate::store::compat::NodeStore for $store {}

            #[async_trait]
            impl<$($generics)*> Store for $store {
                async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
                    operations::discreet(self.backend(), operations::insert(self, key, record).await)
                }
                async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
                    operations::discreet(self.backend(), operations::load(self, key, load).await)
                }
                async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
                    operations::discreet(self.backend(), operations::replace(self, key, write).await)
                }
                async fn remove(
                    &self,
                    key: &Key,
                    condition: Condition<'_>,
                    hand_out: bool,
                ) -> Result<Removed> {
                    let removed = operations::remove(self, key, condition, hand_out);
                    operations::discreet(self.backend(), removed.await)
                }
                async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
                    operations::discreet(self.backend(), operations::alive(self, keys).await)
                }
                fn owners(&self) -> Option<&dyn Owners> {
                    None
                }
                fn listing(&self) -> Option<&dyn Listing> {
                    Some(self)
                }
                fn watch(&self) -> Option<&dyn Watch> {
                    None
                }
                fn moves(&self) -> Option<&dyn Moves> {
                    Some(self)
                }
                fn partitions(&self) -> u16 {
                    1
                }
                fn keeps_plain_ids(&self) -> bool {
                    true
                }
                fn attach(&self, events: &Events) {
                    self.format().listeners.attach(events);
                }
            }

            #[async_trait]
            impl<$($generics)*> Listing for $store {
                async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
                    operations::discreet(self.backend(), operations::scan(self, after, limit, |_| true).await)
                }
                async fn count(&self) -> Result<u64> {
                    operations::discreet(self.backend(), Backend::count(self.backend()).await)
                }
                async fn clear(&self) -> Result<()> {
                    operations::discreet(self.backend(), Backend::clear(self.backend()).await)
                }
                async fn sweep(&self, limit: usize) -> Result<usize> {
                    operations::discreet(self.backend(), Backend::sweep(self.backend(), limit).await)
                }
            }

            #[async_trait]
            impl<$($generics)*> Moves for $store {
                async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
                    operations::discreet(self.backend(), operations::rename(self, from, to, renewal).await)
                }
            }
        };
    };
    ($store:ty) => {
        impl crate::store::compat::operations::Place for $store {
            type Backend = Self;

            fn backend(&self) -> &Self {
                self
            }

            fn format(&self) -> &crate::store::compat::session::Format {
                &self.format
            }
        }

        crate::store::compat::operations::impl_store!([] $store);
    };
}
pub(super) use impl_store;

#[cfg(test)]
mod tests;
