//! The store contract in terms of what every one of these databases can do: compare and swap.
//!
//! A record is read, changed here, and written back only if its text is still the one that was
//! read. So no write of a Rust service is lost, and Node's are noticed.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;

use super::session::{Change, Format, Life, Session, Stored, Unfit, version_of};
use crate::manager::retry::Backoff;
use crate::record::{Lifetime, Record, Timestamp};
#[cfg(feature = "mongodb")]
use crate::store::mongodb::mongodb_code;
#[cfg(feature = "redis")]
use crate::store::redis::redis_was_not_run;
use crate::store::to_the_end::to_the_end;
use crate::store::{
    Condition, Cursor, Inserted, NewRecord, Page, Removed, Renamed, Renewal, Replaced, Result,
    StoreError, StoreErrorKind, Touch, Write,
};
use crate::token::Key;

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

    fn format(&self) -> &Format;

    /// What to do about the server's error of this code, where that is another thing than with a
    /// store of this crate's own.
    fn advice(&self, code: &str) -> Option<String> {
        let _ = code;
        None
    }

    /// The record under an id, unless it has expired.
    fn fetch(&self, id: &str) -> impl Future<Output = Result<Option<(Stored, Self::Old)>>> + Send;

    /// Writes a record that lives so long, or for ever, where there is none; its text as it stands
    /// there then, or `None` if there was one. `like` is the record whose place it takes under
    /// another id: the text's form, and what else stands beside it, stay.
    fn add(
        &self,
        id: &str,
        text: &str,
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
    Format { shape, default }
}

pub(super) fn refused(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Refused, message)
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
    let added = backend.add(id, &text, Some(record.lifetime.first()), None).await?;
    Ok(added.map_or(Inserted::KeyTaken, |_| Inserted::Done { evicted: Vec::new() }))
}

pub(super) async fn load<B: Backend>(
    backend: &B,
    key: &Key,
    touch: Touch,
) -> Result<Option<Record>> {
    let id = id_of::<B>(key)?;
    let mut laps = Laps::new();
    loop {
        let Some((stored, old)) = backend.fetch(id).await? else {
            return Ok(None);
        };
        let Some(mut session) = open(backend, key, &stored)? else {
            return Ok(None);
        };
        let Some(life) = session.due(touch) else {
            return Ok(Some(session.record()));
        };
        if backend.extend(id, &old, life).await? {
            session.see();
            return Ok(Some(session.record()));
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
    let change = Change {
        data: Some(&write.data),
        seen: write.touch,
        lifetime: write.lifetime.copied(),
        ..Change::default()
    };
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
        let (text, life) = session.changed(&change).map_err(unfit(key))?;
        if let Some(text) = backend.swap(id, &old, &text, life).await? {
            return Ok(Replaced::Done(version_of(text.as_bytes())));
        }
        laps.wait().await?;
    }
}

/// Removes first: what breaks down in between ends the session, and never leaves it under two ids.
pub(super) async fn rename<B: Backend>(
    backend: &B,
    from: &Key,
    to: &Key,
    renewal: Renewal,
) -> Result<Renamed> {
    let (old_id, new_id) = (id_of::<B>(from)?, id_of::<B>(to)?);
    check_length::<B>(new_id)?;
    let change = Change {
        seen: true,
        authenticated: renewal == Renewal::Authentication,
        ..Change::default()
    };
    let mut laps = Laps::new();
    loop {
        let Some((stored, old)) = backend.fetch(old_id).await? else {
            return Ok(Renamed::Missing);
        };
        let Some(session) = open(backend, from, &stored)? else {
            return Ok(Renamed::Missing);
        };
        let (text, life) = session.changed(&change).map_err(unfit(from))?;
        if backend.fetch(new_id).await?.is_some() {
            return Ok(Renamed::KeyTaken);
        }
        let life = match life {
            Life::For(life) => Some(life),
            Life::Keep => None,
        };
        let text = match shift(backend, (old_id, old, &stored), (new_id, text, life)).await? {
            Shift::Done(text) => text,
            Shift::Outrun => {
                laps.wait().await?;
                continue;
            }
            Shift::Taken => return Ok(Renamed::KeyTaken),
        };
        let expires = life.map(|life| stored.now + life);
        let stored = Stored { text: text.into(), expires, now: stored.now };
        return Ok(match open(backend, to, &stored)? {
            Some(mut session) => {
                session.see();
                Renamed::Done(session.meta())
            }
            None => Renamed::Missing,
        });
    }
}

enum Shift {
    /// The text as it stands there.
    Done(String),
    Outrun,
    Taken,
}

/// Removes a record that is as it was, and adds one under another id.
async fn shift<B: Backend>(
    backend: &B,
    (old_id, old, stored): (&str, B::Old, &Stored),
    (new_id, text, life): (&str, String, Option<Duration>),
) -> Result<Shift> {
    let (backend, old_id, new_id) = (backend.clone(), old_id.to_owned(), new_id.to_owned());
    let stored = stored.clone();
    to_the_end(B::PACKAGE, async move {
        if !backend.discard(&old_id, &old).await? {
            return Ok(Shift::Outrun);
        }
        let failure = match put(&backend, &new_id, &text, life, &old).await {
            Put::Done(text) => return Ok(Shift::Done(text)),
            // Two sessions were to have one id, which random ones never are.
            Put::Taken => Ok(Shift::Taken),
            Put::Failed(error) => Err(error),
            // It may still come to stand under the new id, so it must not under the old one.
            Put::Unknown(error) => return Err(error),
        };
        let life = stored.expires.map(|expires| expires.since(stored.now));
        match put(&backend, &old_id, &String::from_utf8_lossy(&stored.text), life, &old).await {
            // If it is taken, Node has written it again.
            Put::Done(_) | Put::Taken => failure,
            Put::Failed(error) | Put::Unknown(error) => Err(error),
        }
    })
    .await
}

/// How often it is tried to put a removed record somewhere.
const PUTS: u32 = 3;

/// What became of a removed record.
enum Put {
    /// The text as it stands there.
    Done(String),
    Taken,
    /// It stands nowhere.
    Failed(StoreError),
    /// It stands nowhere, or it does, or it will.
    Unknown(StoreError),
}

/// Adds a record in the place of one that was removed. To give up is to end a session, so it tries
/// again what may have failed for a moment.
async fn put<B: Backend>(
    backend: &B,
    id: &str,
    text: &str,
    life: Option<Duration>,
    old: &B::Old,
) -> Put {
    let (mut backoff, mut made, mut is_unknown) = (Backoff::new(), 0, false);
    loop {
        let error = match backend.add(id, text, life, Some(old)).await {
            Ok(Some(text)) => return Put::Done(text),
            Ok(None) if !is_unknown => return Put::Taken,
            // An answer was lost, and the record is there.
            Ok(None) => match backend.fetch(id).await {
                Ok(found) => {
                    let found = found.map(|(stored, _)| stored.text);
                    let text = found.as_deref().unwrap_or(text.as_bytes());
                    return Put::Done(String::from_utf8_lossy(text).into_owned());
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        made += 1;
        let wrote_nothing = wrote_nothing(&error);
        is_unknown |= !wrote_nothing;
        if made == PUTS || (wrote_nothing && error.kind() != StoreErrorKind::Unavailable) {
            return if is_unknown { Put::Unknown(error) } else { Put::Failed(error) };
        }
        backoff.wait().await;
    }
}

/// Whether a write that failed like this has certainly not taken place, and will not.
fn wrote_nothing(error: &StoreError) -> bool {
    #[cfg(feature = "redis")]
    if error.source().and_then(|error| error.downcast_ref()).is_some_and(redis_was_not_run) {
        return true;
    }
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    match error.source().and_then(|error| error.downcast_ref()) {
        Some(sqlx::Error::PoolTimedOut) => return true,
        Some(sqlx::Error::Database(_)) => {
            return !server_code(error).is_some_and(|code| is_of_a_lost_server(&code));
        }
        _ => {}
    }
    error.kind() != StoreErrorKind::Unavailable
}

/// Whether SQL's code may come from a server that goes down, or from a proxy that has lost its
/// server: a statement under way may have been committed by then, and one that the proxy repeats
/// may yet be.
#[cfg(any(feature = "mysql", feature = "postgres"))]
fn is_of_a_lost_server(code: &str) -> bool {
    // MySQL's are four digits long, an SQLSTATE five. Among them are a failure that has no number of
    // its own, and one of the commit.
    let mysql = [
        "1053", "1077", "1078", "1079", "1105", "1152", "1158", "1159", "1160", "1161", "1180",
        "1184", "1927", "2006", "2013", "4031",
    ];
    // Connection trouble, an operator's intervention, trouble outside of the database, an unknown
    // outcome, a failure that has no code of its own.
    let states = ["08", "57P", "58", "40003", "XX000"];
    mysql.contains(&code) || (code.len() == 5 && states.iter().any(|lost| code.starts_with(lost)))
}

pub(super) async fn take<B: Backend>(backend: &B, key: &Key) -> Result<Option<Record>> {
    let id = id_of::<B>(key)?;
    let mut laps = Laps::new();
    loop {
        let Some((stored, old)) = backend.fetch(id).await? else {
            return Ok(None);
        };
        let Some(session) = open(backend, key, &stored)? else {
            return Ok(None);
        };
        if backend.discard(id, &old).await? {
            return Ok(Some(session.record()));
        }
        laps.wait().await?;
    }
}

pub(super) async fn remove<B: Backend>(
    backend: &B,
    key: &Key,
    condition: Condition<'_>,
) -> Result<Removed> {
    let id = id_of::<B>(key)?;
    let mut laps = Laps::new();
    loop {
        let Some((stored, old)) = backend.fetch(id).await? else {
            return Ok(Removed::Missing);
        };
        let holds = match (condition, open(backend, key, &stored)) {
            (_, Ok(None)) => return Ok(Removed::Missing),
            // Also what is damaged, so that it can be got rid of.
            (Condition::Always, _) => true,
            (Condition::Version(version), session) => {
                session?.is_some_and(|session| version == session.version())
            }
            (Condition::Owner(_), session) => session.map(|_| false)?,
        };
        if !holds {
            return Ok(Removed::Conflict);
        }
        if backend.discard(id, &old).await? {
            return Ok(Removed::Done);
        }
        laps.wait().await?;
    }
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

/// What is no record, or not one of those asked for, is listed with data that is no JSON: so one
/// damaged record is an error in its place, and hides no other.
pub(super) async fn scan<B: Backend>(
    backend: &B,
    after: Option<&Cursor>,
    limit: usize,
    is_asked_for: impl Fn(&Session<'_>) -> bool + Send + Sync,
) -> Result<Page> {
    let listed = backend.page(after, limit.max(1)).await?;
    let mut records = Vec::with_capacity(listed.found.len());
    for (id, stored) in listed.found {
        let key = Key::with_plain_id(&id);
        match Session::read(backend.format(), &stored) {
            Ok(session) if !session.is_live() => {}
            Ok(session) if is_asked_for(&session) => records.push((key, session.record())),
            _ => {
                let empty = Stored { text: Bytes::from_static(b"{}"), ..stored };
                if let Ok(session) = Session::read(backend.format(), &empty) {
                    let data = Bytes::from_static(b"\xff");
                    records.push((key, Record { data, meta: session.meta() }));
                }
            }
        }
    }
    Ok(Page { records, damaged: Vec::new(), next: listed.next })
}

pub(super) fn no_owners<B: Backend>() -> StoreError {
    refused(format!(
        "{} knows no owners of sessions, so none can be listed or ended by owner; leave out the \
         owner, or move to a store of this crate's own",
        B::PACKAGE
    ))
}

/// Without what the server says of a row, for that may be its id, which is the token.
pub(super) fn discreet<B: Backend, T>(backend: &B, result: Result<T>) -> Result<T> {
    result.map_err(|error| advised(error, |code| backend.advice(code)))
}

/// As [`discreet`], where there is no store yet.
pub(super) fn advised(
    error: StoreError,
    advice: impl FnOnce(&str) -> Option<String>,
) -> StoreError {
    let Some(code) = server_code(&error) else {
        return error;
    };
    let message = advice(&code).unwrap_or_else(|| match error.to_string() {
        // It speaks of the tables that this crate makes for itself.
        message if message.contains("migrate()") => {
            "the database does not take the statement; is the table as the package makes it?"
                .to_owned()
        }
        message => message,
    });
    StoreError::new(error.kind(), format!("{message} (its code: {code})"))
}

/// The code of an error that comes from the server and not from the driver.
fn server_code(error: &StoreError) -> Option<String> {
    let source = error.source()?;
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    if let Some(sqlx::Error::Database(error)) = source.downcast_ref() {
        #[cfg(feature = "mysql")]
        if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
            return Some(error.number().to_string());
        }
        return Some(error.code().unwrap_or_default().into_owned());
    }
    #[cfg(feature = "mongodb")]
    if let Some(error) = source.downcast_ref::<mongodb::error::Error>()
        && let Some(code) = mongodb_code(error)
    {
        return Some(code.to_string());
    }
    let _ = source;
    None
}

/// Implements [`Store`](crate::store::Store) for a [`Backend`].
macro_rules! impl_store {
    ($store:ty) => {
        impl super::sealed::Sealed for $store {
            async fn scan_for_mover(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
                let page = operations::scan(self, after, limit, |session| session.is_of_node());
                operations::discreet(self, page.await)
            }
        }
        impl super::NodeStore for $store {}

        impl crate::store::Store for $store {
            async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
                operations::discreet(self, operations::insert(self, key, record).await)
            }
            async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
                operations::discreet(self, operations::load(self, key, touch).await)
            }
            async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
                Ok(self.load(key, touch).await?.map(|record| record.meta))
            }
            async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
                operations::discreet(self, operations::replace(self, key, write).await)
            }
            async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
                operations::discreet(self, operations::rename(self, from, to, renewal).await)
            }
            async fn take(&self, key: &Key) -> Result<Option<Record>> {
                operations::discreet(self, operations::take(self, key).await)
            }
            async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
                operations::discreet(self, operations::remove(self, key, condition).await)
            }
            async fn owned(&self, _: &Owner, _: usize) -> Result<Vec<(Key, Meta)>> {
                Err(operations::no_owners::<Self>())
            }
            async fn remove_owned(&self, _: &Owner, _: Option<&Key>) -> Result<()> {
                Err(operations::no_owners::<Self>())
            }
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
            fn keeps_plain_ids(&self) -> bool {
                true
            }
        }
    };
}
pub(super) use impl_store;

#[cfg(test)]
mod tests;
