//! [`Successor`]: a store that takes over from one of Node's while the service runs.

mod listing;
mod moving;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use super::NodeStore;
use super::operations::{Laps, refused};
use crate::event::Events;
use crate::key::Key;
use crate::record::{Meta, Owner, Record};
use crate::store::{
    AtomicStore, Condition, Cursor, Inserted, NewRecord, Page, Removed, Renamed, Renewal, Replaced,
    Result, Store, StoreErrorKind, Touch, Write,
};

pub use self::moving::Moved;

/// Two stores as one: the new one, in which sessions begin, and the old one, from which they move.
/// Nobody is logged out: a session's token and its public id stay what they are.
///
/// # How does a service move?
/// 1. While Node services share the sessions, use the old store alone.
/// 2. When the last of them is gone, deploy this store, as
///    [`begin_in_old`](Self::begin_in_old): instances of before and after, which run side by side for a
///    while, know the same sessions.
/// 3. Deploy it without that. From then on sessions begin in the new store; old ones live on in the
///    old one, and move when they get a new token.
/// 4. Run [`move_page`](Self::move_page) over the old store: the example `migrate` does, with a progress
///    bar. It may be interrupted and begun again, and run while the service does.
/// 5. When the old store is empty, deploy the new one alone.
///
/// A session whose id [anybody could guess](super#which-ids-are-tokens) stays in the old store, and no
/// token opens it.
///
/// The manager keeps its default [`KeyScheme`](crate::KeyScheme), SHA-256, has the codec
/// [`Json`](crate::Json), and no [`prefix`](crate::Builder::prefix), which the old tokens would lack.
///
/// # Which of the two counts?
/// The old one, as long as it has the session, so each operation asks it first. A session moves in
/// four steps: a copy is put into the new store, under a key that no token opens; the old record is
/// overwritten by a note of that key, on the condition that it has not changed since; the copy gets
/// its real key; the note is removed. With the note the session has moved, all at once. Whoever finds
/// one takes the last two steps before it does its own work. So no change is lost, nothing that
/// was ended comes back, and there is no moment without the session, wherever the move is
/// killed. What it leaves then is a copy that nobody can open, which ends as an unused session does.
///
/// While it is there it is listed and counted, and counts where its owner's sessions are limited.
///
/// A request that has read a session before it moved, and writes after, meets a conflict. A mover that
/// is stopped for longer than a session's idle timeout, and then goes on, may end the session: its copy
/// has expired. So kill one rather than suspend it.
///
/// **Whatever moves sessions has to know the same two stores**: the same names and partitions in the new
/// one, and for the old one the same [`Shape`](super::Shape) and [`owner`](Self::owner). Whoever has another
/// new store than the mover finds nothing of what has moved, as if all had logged out. It is
/// [`Refused`](StoreErrorKind::Refused) only for the moment in which the note is still there, and for what
/// a killed mover has left: then to run the mover again helps.
///
/// # What does a session lose?
/// * **Its proof**: [`authenticated_at`](Meta::authenticated_at) is `None` after the move, so that
///   `require_fresh` answers 401 until the person has proved again who they are, and a handler has called
///   [`reauthenticate`](crate::TokenSession::reauthenticate).
/// * **Its beginning**: [`created_at`](Meta::created_at) is when it moved.
/// * **Its absolute timeout**, but for the rest of it. A session with an hour left of 30 days ends in an
///   hour, and an hour is its absolute timeout from then on, after a `reauthenticate` too. Give it another
///   one with [`set_with_lifetime`](crate::TokenSession::set_with_lifetime), best where it is
///   reauthenticated.
/// * An idle timeout begins anew, as with a touch. A session that never ended gets the lifetime of the
///   old store's [`Shape`](super::Shape).
///
/// # What does it cost?
/// An operation on a session that is in the new store takes a round trip to the old one more; one that
/// writes or removes in the old store, one more too. A new token for a session in the old store moves
/// it: some eight round trips. An operation on all sessions of an owner, and one by a public id that was
/// read from text, looks at every session in the old store. A limit of an owner's sessions counts those in
/// the new one.
///
/// It is no [`AtomicStore`], so codes and links cannot use it: give them the new store itself while
/// the service moves.
///
/// ```no_run
/// use serde::{Deserialize, Serialize};
/// use token_session::store::compat::{NodeStore, Successor};
/// use token_session::store::Memory;
/// use token_session::{Lifetime, Owner, Record, TokenSession};
///
/// #[derive(Serialize, Deserialize)]
/// struct Account { user: String }
///
/// fn owner(record: &Record) -> Option<Owner> {
///     let account: Account = serde_json::from_slice(&record.data).ok()?;
///     Owner::new(account.user).ok()
/// }
///
/// # fn run(old: impl NodeStore) -> Result<(), Box<dyn std::error::Error>> {
/// let store = Successor::new(Memory::new(), old).owner(owner)?;
/// let lifetime = Lifetime::idle_secs(7200)?;
/// let sessions = TokenSession::<Account>::builder().store(store).lifetime(lifetime).build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Successor<New, Old> {
    new: New,
    old: Old,
    owner: Option<Arc<OwnerOf>>,
    begins_in_old: bool,
}

type OwnerOf = dyn Fn(&Record) -> Option<Owner> + Send + Sync;

impl<New: fmt::Debug, Old: fmt::Debug> fmt::Debug for Successor<New, Old> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Successor");
        shown.field("new", &self.new).field("old", &self.old);
        shown.field("begins_in_old", &self.begins_in_old).finish_non_exhaustive()
    }
}

impl<New: AtomicStore, Old: NodeStore> Successor<New, Old> {
    /// `new` takes over from `old`.
    pub fn new(new: New, old: Old) -> Self {
        Self { new, old, owner: None, begins_in_old: false }
    }

    /// Whose a session in the old store is, by its data: the old format knows no owners. Without this,
    /// a session that began there is nobody's, and stays so. So is what no client can present, because its
    /// id is no [`Token`](crate::Token): it may be another service's, under a longer prefix.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for a new store with
    /// [partitions](crate::store::Store::partitions), as on a Redis Cluster. There a session lies where
    /// its owner's others are, and a token that is there already does not.
    pub fn owner(
        mut self,
        owner: impl Fn(&Record) -> Option<Owner> + Send + Sync + 'static,
    ) -> Result<Self> {
        if self.new.partitions() > 1 {
            return Err(refused(
                "the new store has partitions, so it cannot give sessions that move there an owner; \
                 leave the owner out, or use a store without partitions",
            ));
        }
        self.owner = Some(Arc::new(owner));
        Ok(self)
    }

    /// Has sessions begin in the old store still, and stay there when they get a new token: while
    /// instances of the service run that know the old one alone. A session of an owner is refused, as
    /// there.
    #[must_use]
    pub fn begin_in_old(mut self) -> Self {
        self.begins_in_old = true;
        self
    }

    /// The store in which sessions begin.
    pub fn successor(&self) -> &New {
        &self.new
    }

    /// The store from which they move.
    pub fn predecessor(&self) -> &Old {
        &self.old
    }

    fn owner_of(&self, record: &Record) -> Option<Owner> {
        self.owner.as_ref().and_then(|owner| owner(record))
    }

    /// The session, if it is in the old store; if it is about to leave, it has left after this.
    async fn in_old(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        // Without the id, the key was listed by the new store.
        if key.plain_id().is_none() {
            return Ok(None);
        }
        let Some(mut record) = self.old.load(key, touch).await? else {
            return Ok(None);
        };
        match self.arrive(key, &record).await? {
            None => {
                record.meta.owner = self.owner_of(&record);
                Ok(Some(record))
            }
            Some(true) => Ok(None),
            Some(false) => self.accept_as_gone(key, &record.meta).await.map(|()| None),
        }
    }

    /// Fails for a note that still leads nowhere: to call the session ended would log out everybody
    /// who has moved, where this store's names are not the mover's.
    async fn accept_as_gone(&self, key: &Key, note: &Meta) -> Result<()> {
        // Who ends a session by its token removes its note first, which others have read by then.
        match self.old.touch(key, Touch::No).await? {
            Some(meta) if meta.version == note.version => Err(refused(format!(
                "the session {key} has moved to another store than this service's new one; give both \
                 the same names and partitions, or, if its move was interrupted, run the mover again"
            ))),
            _ => Ok(()),
        }
    }

    async fn remove_by_id(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        let mut laps = Laps::new();
        loop {
            let record = match self.in_old(key, Touch::No).await {
                // A record that nobody can read is removed whatever it is.
                Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                    return self.old.remove(key, condition).await;
                }
                record => record?,
            };
            let Some(Meta { version, owner, .. }) = record.map(|record| record.meta) else {
                break;
            };
            let holds = match condition {
                Condition::Always => true,
                Condition::Version(expected) => expected == version,
                Condition::Owner(expected) => owner.as_ref() == Some(expected),
            };
            if !holds {
                return Ok(Removed::Conflict);
            }
            if self.old.remove(key, Condition::Version(version)).await? == Removed::Done {
                return Ok(Removed::Done);
            }
            laps.wait().await?;
        }
        self.new.remove(&bare(key), condition).await
    }

    /// The key with the session's id, if the old store has the session.
    async fn with_id(&self, key: &Key) -> Result<Option<Key>> {
        let mut with_id = None;
        let find = |found: Key, _| {
            with_id = Some(found).filter(|found| found == key);
            with_id.is_none()
        };
        self.visit_old(find).await?;
        Ok(with_id)
    }

    /// Gives a session that stays in the old store a new key. `None`: it has moved.
    async fn rename_in_old(
        &self,
        from: &Key,
        to: &Key,
        renewal: Renewal,
    ) -> Result<Option<Renamed>> {
        let renamed = match self.old.rename(from, to, renewal).await? {
            Renamed::Missing => return Ok(None),
            renamed => renamed,
        };
        let Some(record) = self.old.load(to, Touch::No).await? else {
            return Ok(Some(renamed));
        };
        // It may have moved under its new key by now, or under the old one before: then what was
        // renamed is but the note.
        if let Some(false) = self.arrive(to, &record).await?
            && self.arrive(from, &record).await? == Some(true)
        {
            return Ok(None);
        }
        Ok(Some(renamed))
    }
}

/// The key without the token, which the new store must not see.
fn bare(key: &Key) -> Key {
    Key::from_bytes(*key.as_bytes())
}

#[async_trait::async_trait]
impl<New: AtomicStore, Old: NodeStore> Store for Successor<New, Old> {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        if self.begins_in_old {
            return self.old.insert(key, record).await;
        }
        if key.plain_id().is_some() && self.old.touch(key, Touch::No).await?.is_some() {
            return Ok(Inserted::KeyTaken);
        }
        self.new.insert(&bare(key), record).await
    }

    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        match self.in_old(key, touch).await? {
            Some(record) => Ok(Some(record)),
            None => self.new.load(&bare(key), touch).await,
        }
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
        match self.in_old(key, touch).await? {
            Some(record) => Ok(Some(record.meta)),
            None => self.new.touch(&bare(key), touch).await,
        }
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let mut laps = Laps::new();
        loop {
            let Some(record) = self.in_old(key, Touch::No).await? else {
                break;
            };
            let version = record.meta.version;
            if write.expected.is_some_and(|expected| expected != version) {
                return Ok(Replaced::Conflict);
            }
            // Over this version, lest it be written over the note that it has moved.
            let write = Write { expected: Some(version), ..write.clone() };
            if let done @ Replaced::Done(_) = self.old.replace(key, &write).await? {
                return Ok(done);
            }
            laps.wait().await?;
        }
        self.new.replace(&bare(key), write).await
    }

    /// Moves the session, since the new store can give it a new key in one step.
    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        if let Some(record) = self.in_old(from, Touch::No).await? {
            if !self.begins_in_old {
                self.move_one(from, record).await?;
            } else if let Some(renamed) = self.rename_in_old(from, to, renewal).await? {
                return Ok(renamed);
            }
        }
        self.new.rename(&bare(from), &bare(to), renewal).await
    }

    async fn take(&self, key: &Key) -> Result<Option<Record>> {
        let mut laps = Laps::new();
        loop {
            let Some(record) = self.in_old(key, Touch::No).await? else {
                break;
            };
            let unchanged = Condition::Version(record.meta.version);
            if self.old.remove(key, unchanged).await? == Removed::Done {
                return Ok(Some(record));
            }
            laps.wait().await?;
        }
        self.new.take(&bare(key)).await
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        if key.plain_id().is_some() {
            return self.remove_by_id(key, condition).await;
        }
        // The old store first: a note that a killed mover has left goes, which would lead nowhere.
        match self.with_id(key).await? {
            Some(key) => self.remove_by_id(&key, condition).await,
            None => self.new.remove(key, condition).await,
        }
    }

    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        let mut old = Vec::new();
        if self.owner.is_some() {
            let collect = |key, record: Option<Record>| {
                if let Some(Record { meta, .. }) = record
                    && meta.owner.as_ref() == Some(owner)
                {
                    old.push((key, meta));
                }
                true
            };
            self.visit_old(collect).await?;
        }
        // Last, for those that have moved meanwhile.
        let mut owned = self.new.owned(owner, limit).await?;
        old.retain(|(key, _)| owned.iter().all(|(moved, _)| moved != key));
        owned.append(&mut old);
        owned.sort_by_key(|(_, meta)| std::cmp::Reverse(meta.created_at));
        owned.truncate(limit);
        Ok(owned)
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        if self.owner.is_some() {
            // What is kept must not be on its way: a copy under another key would end.
            let kept = match keep {
                Some(keep) if keep.plain_id().is_none() => self.with_id(keep).await?,
                keep => keep.cloned(),
            };
            if let Some(kept) = kept.filter(|_| !self.begins_in_old)
                && let Some(record) = self.in_old(&kept, Touch::No).await?
            {
                self.move_one(&kept, record).await?;
            }
            let mut old = Vec::new();
            let collect = |key: Key, record: Option<Record>| {
                let of = record.and_then(|record| record.meta.owner);
                if of.as_ref() == Some(owner) && Some(&key) != keep {
                    old.push(key);
                }
                true
            };
            self.visit_old(collect).await?;
            for key in old {
                self.remove_by_id(&key, Condition::Owner(owner)).await?;
            }
        }
        // Last, for those that have moved meanwhile.
        self.new.remove_owned(owner, keep.map(bare).as_ref()).await
    }

    /// The old store's first. A session that moves meanwhile may be listed twice.
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let (store, place) = match after.map(|after| after.as_bytes().split_first()) {
            None => (OLD, None),
            Some(Some((store, []))) => (*store, None),
            Some(Some((store, place))) => (*store, Some(Cursor::new(place))),
            Some(None) => {
                let message = "the cursor is not one of this store; begin the scan without one";
                return Err(refused(message));
            }
        };
        let mut page = if store == OLD {
            self.page_of_old(place.as_ref(), limit).await?
        } else {
            self.new.scan(place.as_ref(), limit).await?
        };
        page.next = match page.next {
            Some(next) => Some(Cursor::new([&[store], next.as_bytes()].concat())),
            None if store == OLD => Some(Cursor::new([NEW])),
            None => None,
        };
        Ok(page)
    }

    async fn count(&self) -> Result<u64> {
        Ok(self.old.count().await? + self.new.count().await?)
    }

    async fn clear(&self) -> Result<()> {
        self.old.clear().await?;
        self.new.clear().await
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        let swept = self.old.sweep(limit).await?;
        Ok(swept + self.new.sweep(limit - swept.min(limit)).await?)
    }

    fn partitions(&self) -> u16 {
        self.new.partitions()
    }

    fn keeps_plain_ids(&self) -> bool {
        true
    }

    fn attach(&self, events: &Events) {
        self.old.attach(events);
        self.new.attach(events);
    }
}

/// Whose page a cursor goes on with, as its first byte.
const OLD: u8 = b'o';
const NEW: u8 = b'n';
