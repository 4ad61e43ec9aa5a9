//! The store contract in terms of what every one of these databases can do: compare and swap.
//!
//! A record is read, changed here, and written back only if its text is still the one that was
//! read. So no write of a Rust service is lost, and Node's are noticed.

mod errors;
mod renaming;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

#[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres"))]
pub(super) use self::errors::advised;
#[cfg(feature = "postgres")]
pub(super) use self::errors::server_code;
pub(super) use self::errors::{discreet, no_owners, refused};
pub(super) use self::renaming::{LONGEST, rename};
use super::session::{Change, Changed, Format, Life, Session, Stored, Unfit, version_of};
use crate::backoff::Backoff;
use crate::key::Key;
use crate::record::{Lifetime, Timestamp};
use crate::store::{
    Condition, Cursor, Found, Inserted, Load, NewRecord, Page, Removed, Replaced, Result,
    StoreError, StoreErrorKind, Times, Write, Written,
};

/// A database with the records of one npm package.
pub(super) trait Backend: Clone + Send + Sync + 'static {
    /// The package.
    const PACKAGE: &'static str;
    /// How long its sessions live if nothing is said.
    const TTL: Duration;
    /// The longest id that it holds, in bytes.
    const LONGEST_ID: usize = usize::MAX;
    /// What is compared before a write.
    type Old: Send + Sync + 'static;
    /// A record as the database keeps it.
    type New: Send + Sync + 'static;

    fn format(&self) -> &Format;

    /// What to do about the server's error of this code, where that is another thing than with a
    /// store of this crate's own.
    fn advice(&self, code: &str) -> Option<String> {
        let _ = code;
        None
    }

    /// The record under an id, unless it has expired.
    fn fetch(&self, id: &str) -> impl Future<Output = Result<Option<(Stored, Self::Old)>>> + Send;

    /// The records under these ids that have not expired, each with its id, in no order.
    fn fetch_all(&self, ids: &[&str])
    -> impl Future<Output = Result<Vec<(String, Stored)>>> + Send;

    /// The record of a text, in the form of another record if there is one. An error: the database
    /// cannot keep it.
    fn record(&self, text: &str, like: Option<&Self::Old>) -> Result<Self::New>;

    /// A record that was read, as it is.
    fn again(old: &Self::Old) -> Self::New;

    /// Writes a record that lives so long, or for ever, where there is none; its text as it stands
    /// there then, or `None` if there was one. `like` is the record whose place it takes under
    /// another id: what else stands beside it stays.
    fn add(
        &self,
        id: &str,
        record: &Self::New,
        life: Option<Duration>,
        like: Option<&Self::Old>,
    ) -> impl Future<Output = Result<Option<String>>> + Send;

    /// Writes over a record that is as it was; its text as it stands there then, or `None` if the
    /// record is another one by now.
    fn swap(
        &self,
        id: &str,
        old: &Self::Old,
        text: &str,
        life: Life,
    ) -> impl Future<Output = Result<Option<String>>> + Send;

    /// Moves the end of a record that is as it was; whether it is.
    fn extend(
        &self,
        id: &str,
        old: &Self::Old,
        life: Duration,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Removes a record that is as it was; whether it was.
    fn discard(&self, id: &str, old: &Self::Old) -> impl Future<Output = Result<bool>> + Send;

    /// As [`discard`](Self::discard), for a record that is put under another id next: where the
    /// database has no room for it there, it is to fail, and to remove nothing.
    fn withdraw(&self, id: &str, old: &Self::Old) -> impl Future<Output = Result<bool>> + Send {
        self.discard(id, old)
    }

    /// The clock of the server that has the record.
    fn clock(&self, id: &str) -> impl Future<Output = Result<Timestamp>> + Send;

    /// Live records, and where to go on.
    fn page(
        &self,
        after: Option<&Cursor>,
        limit: usize,
    ) -> impl Future<Output = Result<Listed>> + Send;

    fn count(&self) -> impl Future<Output = Result<u64>> + Send;

    fn clear(&self) -> impl Future<Output = Result<()>> + Send;

    fn sweep(&self, limit: usize) -> impl Future<Output = Result<usize>> + Send;
}

/// Live records under their ids, and where to go on.
pub(super) struct Listed {
    pub(super) found: Vec<(String, Stored)>,
    pub(super) next: Option<Cursor>,
}

#[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres"))]
impl Listed {
    /// Those of a query in the order of the ids, with such a limit.
    pub(super) fn by_id(found: Vec<(String, Stored)>, limit: usize) -> Self {
        let last = found.last().filter(|_| found.len() == limit);
        Self { next: last.map(|(id, _)| Cursor::new(id)), found }
    }
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
fn open<'a, B: Backend>(
    backend: &'a B,
    key: &Key,
    stored: &'a Stored,
) -> Result<Option<Session<'a>>> {
    let session = Session::read(backend.format(), stored);
    let session = session.map_err(|what| StoreError::corrupt(key, what))?;
    Ok(session.is_live().then_some(session))
}

pub(super) async fn insert<B: Backend>(
    backend: &B,
    key: &Key,
    record: &NewRecord<'_>,
) -> Result<Inserted> {
    if record.owner.is_some() {
        return Err(no_owners::<B>());
    }
    let (id, format) = (id_of::<B>(key)?, backend.format());
    check_length::<B>(id)?;
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

pub(super) async fn load<B: Backend>(backend: &B, key: &Key, load: &Load<'_>) -> Result<Found> {
    let id = id_of::<B>(key)?;
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
        let Some(mut session) = open(backend, key, &stored)? else {
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

pub(super) async fn replace<B: Backend>(
    backend: &B,
    key: &Key,
    write: &Write<'_>,
) -> Result<Replaced> {
    let id = id_of::<B>(key)?;
    if write.proof.is_some() {
        return Err(refused(format!(
            "in {} the id is the token, so the session {key} gets a new token by a move to another \
             key; see `Store::moves`",
            B::PACKAGE
        )));
    }
    let change = Change::from(write);
    let mut laps = Laps::new();
    loop {
        let Some((stored, old)) = backend.fetch(id).await? else {
            return Ok(Replaced::Missing);
        };
        let Some(session) = open(backend, key, &stored)? else {
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

pub(super) async fn remove<B: Backend>(
    backend: &B,
    key: &Key,
    condition: Condition<'_>,
    hand_out: bool,
) -> Result<Removed> {
    let id = id_of::<B>(key)?;
    let mut laps = Laps::new();
    loop {
        let Some((stored, old)) = backend.fetch(id).await? else {
            return Ok(Removed::Missing);
        };
        let session = match open(backend, key, &stored) {
            Ok(None) => return Ok(Removed::Missing),
            Ok(Some(session)) => Some(session),
            // Also what is damaged, so that it can be got rid of.
            Err(_) if matches!(condition, Condition::Always) && !hand_out => None,
            Err(error) => return Err(error),
        };
        let holds = match condition {
            // Whoever has the id has the token.
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
pub(super) async fn alive<B: Backend>(backend: &B, keys: &[Key]) -> Result<Vec<bool>> {
    let ids: Vec<&str> = keys.iter().filter_map(Key::plain_id).collect();
    let found = if ids.is_empty() { Vec::new() } else { backend.fetch_all(&ids).await? };
    let is_live = |(_, stored): &(String, Stored)| {
        Session::read(backend.format(), stored).is_ok_and(|session| session.is_live())
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

/// What is not one of those asked for is among the damaged, and nobody is told of it.
pub(super) async fn scan<B: Backend>(
    backend: &B,
    after: Option<&Cursor>,
    limit: usize,
    is_asked_for: impl Fn(&Session<'_>) -> bool + Send + Sync,
) -> Result<Page> {
    let (format, listed) = (backend.format(), backend.page(after, limit.max(1)).await?);
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

/// Implements [`Store`](crate::store::Store) and what it offers for a [`Backend`].
macro_rules! impl_store {
    ($store:ty) => {
        const _: () = {
            use async_trait::async_trait;

            use crate::event::Events;
            use crate::key::Key;
            use crate::store::compat::operations::{self, Backend};
            use crate::store::{
                Condition, Cursor, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Page,
                Removed, Renamed, Renewal, Replaced, Result, Store, Watch, Write,
            };

            #[async_trait]
            impl crate::store::compat::sealed::Sealed for $store {
                async fn scan_for_mover(
                    &self,
                    after: Option<&Cursor>,
                    limit: usize,
                ) -> Result<Page> {
                    let page = operations::scan(self, after, limit, |session| session.is_of_node());
                    operations::discreet(self, page.await)
                }
            }

            impl crate::store::compat::NodeStore for $store {}

            #[async_trait]
            impl Store for $store {
                async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
                    operations::discreet(self, operations::insert(self, key, record).await)
                }
                async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
                    operations::discreet(self, operations::load(self, key, load).await)
                }
                async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
                    operations::discreet(self, operations::replace(self, key, write).await)
                }
                async fn remove(
                    &self,
                    key: &Key,
                    condition: Condition<'_>,
                    hand_out: bool,
                ) -> Result<Removed> {
                    let removed = operations::remove(self, key, condition, hand_out);
                    operations::discreet(self, removed.await)
                }
                async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
                    operations::discreet(self, operations::alive(self, keys).await)
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
                    self.format.listeners.attach(events);
                }
            }

            #[async_trait]
            impl Listing for $store {
                async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
                    operations::discreet(self, operations::scan(self, after, limit, |_| true).await)
                }
                async fn count(&self) -> Result<u64> {
                    operations::discreet(self, Backend::count(self).await)
                }
                async fn clear(&self) -> Result<()> {
                    operations::discreet(self, Backend::clear(self).await)
                }
                async fn sweep(&self, limit: usize) -> Result<usize> {
                    operations::discreet(self, Backend::sweep(self, limit).await)
                }
            }

            #[async_trait]
            impl Moves for $store {
                async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
                    operations::discreet(self, operations::rename(self, from, to, renewal).await)
                }
            }
        };
    };
}
pub(super) use impl_store;

#[cfg(test)]
mod tests;
