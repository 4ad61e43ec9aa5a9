//! [`Successor`]: a store that takes over from one of Node's while the service runs.

mod landing;
mod listing;
mod moving;
mod owners;
mod renaming;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::NodeStore;
use super::operations::{Laps, refused};
use crate::event::Events;
use crate::key::Key;
use crate::proof::{Claim, Proof, ProofScheme};
use crate::record::{Meta, Owner, Record};
use crate::store::{
    AtomicStore, Condition, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Removed,
    Replaced, Result, Store, StoreErrorKind, Touch, Watch, Write,
};
use crate::token::Token;

pub use self::moving::Moved;

/// Two stores as one: the new one, in which sessions begin, and the old one, from which they move.
/// Nobody is logged out: a session's token and its key stay what they are.
///
/// # How does a service move?
/// 1. While Node services share the sessions, use the old store alone.
/// 2. When the last of them is gone, deploy this store, as
///    [`begin_in_old`](Self::begin_in_old): instances of before and after, which run side by side for a
///    while, know the same sessions.
/// 3. Deploy it without that. From then on sessions begin in the new store, with tokens of this crate's
///    own form. Old ones live on in the old store, and move when they get a new token.
/// 4. Run [`move_page`](Self::move_page) over the old store: the example `migrate` does, with a progress
///    bar. You may interrupt it and begin it again, and run it while the service runs.
/// 5. When the old store is empty, deploy the new one alone.
///
/// A session whose id [anybody could guess](super#which-ids-are-tokens) stays in the old store, and no
/// token opens it.
///
/// The manager has the codec [`Json`](crate::Json), and no [`prefix`](crate::TokenSessionBuilder::prefix), which the
/// old tokens would lack. If it has a [`ProofScheme`] of its own, give that to
/// [`proof_scheme`](Self::proof_scheme) too.
///
/// # Which of the two counts?
/// The old one, as long as it has the session, so each operation on an old token asks it first. A session
/// moves in these steps:
///
/// 1. A copy is put into the new store, under a key of its own and without a proof, so no token opens it.
/// 2. The old record is overwritten by a note of that copy, on the condition that it has not changed
///    since. With the note the session has moved, all at once.
/// 3. The copy lands under the session's own key, with the proof of its token. The copy is removed then.
/// 4. The note is removed.
///
/// A caller that finds a note takes the last two steps before it does its own work. So no change is lost,
/// nothing that was ended comes back, and there is no moment without the session, wherever the move is
/// killed. A killed move may leave a copy that nobody can open, which ends as an unused session does.
///
/// While it is there it is listed and counted, and counts where its owner's sessions are limited.
///
/// A request that has read a session before it moved, and writes after, meets a conflict. A mover that
/// is stopped for longer than a session's idle timeout, and then goes on, may end the session: its copy
/// has expired. So kill one rather than suspend it.
///
/// **Whatever moves sessions has to know the same two stores**: the same names and partitions in the new
/// one, and for the old one the same [`Shape`](super::Shape) and [`owner`](Self::owner). A service with
/// another new store than the mover's finds nothing of what has moved, as if all had logged out. It is
/// [`Refused`](StoreErrorKind::Refused) only for the moment in which the note is still there, and for what
/// a killed mover has left: then running the mover again helps.
///
/// # What does a session lose?
/// * **Its proof of who the person is**: [`authenticated_at`](Meta::authenticated_at) is `None` after the
///   move, so `require_fresh` answers 401 until the person has proved again who they are, and a handler has
///   called [`reauthenticate`](crate::TokenSession::reauthenticate).
/// * **Its beginning**: [`created_at`](Meta::created_at) is when it moved.
/// * **Its absolute timeout**, except for the rest of it. A session with an hour left of 30 days ends in an
///   hour, and an hour is its absolute timeout from then on, after a `reauthenticate` too. Give it another
///   one with [`set_with_lifetime`](crate::TokenSession::set_with_lifetime), best where it is
///   reauthenticated.
/// * An idle timeout begins anew, as with a touch. A session that never ended gets the lifetime of the
///   old store's [`Shape`](super::Shape).
///
/// # What does it cost?
/// An operation with a token of this crate's own form asks the new store alone. One with an old token takes
/// a round trip to the old store first, and one more if it writes or removes there. A new token for a
/// session in the old store moves it: some ten round trips. An operation on all sessions of an owner, and
/// one by a public id, looks at every session in the old store. A limit of an owner's sessions counts those
/// in the new one.
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
pub struct Successor {
    new: Arc<dyn AtomicStore>,
    old: Arc<dyn NodeStore>,
    owner: Option<Arc<OwnerOf>>,
    scheme: ProofScheme,
    begins_in_old: bool,
}

type OwnerOf = dyn Fn(&Record) -> Option<Owner> + Send + Sync;

/// How long a previous secret is good after a handover was confirmed, as the manager has it.
const GRACE: Duration = Duration::from_secs(10);

impl fmt::Debug for Successor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Successor");
        shown.field("begins_in_old", &self.begins_in_old).finish_non_exhaustive()
    }
}

impl Successor {
    /// `new` takes over from `old`.
    pub fn new(new: impl AtomicStore, old: impl NodeStore) -> Self {
        Self {
            new: Arc::new(new),
            old: Arc::new(old),
            owner: None,
            scheme: ProofScheme::default(),
            begins_in_old: false,
        }
    }

    /// Tells the owner of a session in the old store by its data: the old format knows no owners. Without
    /// this, a session that began there belongs to nobody, and stays so. So does a session that no client can
    /// present, because its id is no [`Token`]: it may be another service's, under a longer prefix.
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

    /// The [`ProofScheme`] of the manager, where that is not the default: sessions that move get their
    /// proofs in it. Whatever moves sessions has the same one.
    #[must_use]
    pub fn proof_scheme(mut self, scheme: ProofScheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// Has sessions begin in the old store still, and stay there when they get a new token: while
    /// instances of the service run that know the old one alone. A session of an owner is refused, as
    /// there.
    ///
    /// Until then each token is an id of the old store. A session that is in the new store already,
    /// because another instance has begun or moved it, gets a new key with a new token.
    #[must_use]
    pub fn begin_in_old(mut self) -> Self {
        self.begins_in_old = true;
        self
    }

    /// The store in which sessions begin.
    pub fn successor(&self) -> &dyn AtomicStore {
        &*self.new
    }

    /// The store from which they move.
    pub fn predecessor(&self) -> &dyn NodeStore {
        &*self.old
    }

    fn owner_of(&self, record: &Record) -> Option<Owner> {
        self.owner.as_ref().and_then(|owner| owner(record))
    }

    /// The proof in the new store of a token that is an id of the old one.
    fn proof_of(&self, key: &Key) -> Proof {
        let digest: [u8; 32] = Sha256::digest(key.plain_id().unwrap_or_default()).into();
        self.scheme.prove(&digest)
    }

    /// The key of a session in the new store, and what its token claims there. The manager says both. With
    /// [`begin_in_old`](Self::begin_in_old) it takes each token for an id, and the key and the claim are
    /// found here.
    fn in_new(&self, key: &Key, claim: Option<&Claim>) -> (Key, Option<Claim>) {
        let id = key.plain_id().filter(|_| self.begins_in_old && claim.is_none());
        let Some(token) = id.and_then(|id| Token::parse(id).ok()) else {
            return (bare(key), claim.copied());
        };
        match token.key_and_secret("") {
            Some((key, secret)) => (key, Some(self.scheme.claim(secret.as_bytes(), GRACE))),
            None => (bare(key), Some(self.scheme.claim(&token.digest(), GRACE))),
        }
    }

    /// The session, if it is in the old store; if it is about to leave, it has left after this.
    async fn in_old(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        // Without the id, the session began in the new store or was listed by it.
        if key.plain_id().is_none() {
            return Ok(None);
        }
        let load = Load { touch, ..Load::new() };
        let Some(mut record) = self.old.load(key, &load).await?.live() else {
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

    /// Fails for a note that still leads nowhere. If this store's names are not the mover's, calling the
    /// session ended would log out everybody whose session has moved.
    async fn accept_as_gone(&self, key: &Key, note: &Meta) -> Result<()> {
        // A caller that ends a session by its token removes its note first, which others have read by
        // then.
        let load = Load { with_data: false, ..Load::new() };
        match self.old.load(key, &load).await?.live() {
            Some(record) if record.meta.version == note.version => Err(refused(format!(
                "the session {key} has moved to another store than this service's new one; give both \
                 the same names and partitions, or, if its move was interrupted, run the mover again"
            ))),
            _ => Ok(()),
        }
    }

    async fn remove_by_id(
        &self,
        key: &Key,
        condition: Condition<'_>,
        hand_out: bool,
    ) -> Result<Removed> {
        let mut laps = Laps::new();
        loop {
            let record = match self.in_old(key, Touch::No).await {
                // A damaged record is removed unread.
                Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                    return self.old.remove(key, condition, hand_out).await;
                }
                record => record?,
            };
            let Some(record) = record else {
                break;
            };
            let Meta { version, owner, .. } = &record.meta;
            let holds = match condition {
                // The id is the token.
                Condition::Always | Condition::Claim(_) => true,
                Condition::Version(expected) => expected == *version,
                Condition::Owner(expected) => owner.as_ref() == Some(expected),
            };
            if !holds {
                return Ok(Removed::Conflict);
            }
            if self.old.remove(key, Condition::Version(*version), false).await?.is_done() {
                return Ok(Removed::Done(hand_out.then_some(record)));
            }
            laps.wait().await?;
        }
        let (key, claim) = self.in_new(key, None);
        let condition = match (condition, &claim) {
            (Condition::Always, Some(claim)) => Condition::Claim(claim),
            (condition, _) => condition,
        };
        self.new.remove(&key, condition, hand_out).await
    }

    /// Moves a session that is to get a new secret, which the old format has no place for, and writes
    /// it there.
    async fn move_and_replace(
        &self,
        key: &Key,
        record: Record,
        write: &Write<'_>,
    ) -> Result<Replaced> {
        let before = record.data.clone();
        self.move_one(key, record).await?;
        let mut write = write.clone();
        if write.expected.is_some() {
            // What was read has another version there, if nobody has changed it on the way.
            let Some(moved) = self.new.load(&bare(key), &Load::new()).await?.live() else {
                return Ok(Replaced::Missing);
            };
            if moved.data != before {
                return Ok(Replaced::Conflict);
            }
            write.expected = Some(moved.meta.version);
        }
        self.new.replace(&bare(key), &write).await
    }
}

/// The key without the token, which the new store must not see.
fn bare(key: &Key) -> Key {
    Key::from_bytes(*key.as_bytes())
}

#[async_trait::async_trait]
impl Store for Successor {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        if self.begins_in_old {
            return self.old.insert(key, record).await;
        }
        let load = Load { with_data: false, ..Load::new() };
        if key.plain_id().is_some() && self.old.load(key, &load).await?.live().is_some() {
            return Ok(Inserted::KeyTaken);
        }
        self.new.insert(&bare(key), record).await
    }

    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        if let Some(mut record) = self.in_old(key, load.touch).await? {
            if !load.with_data {
                record.data.clear();
            }
            return Ok(Found::Current(record));
        }
        let (key, claim) = self.in_new(key, load.claim);
        self.new.load(&key, &Load { claim: claim.as_ref(), ..*load }).await
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
            if write.proof.is_some() && !self.begins_in_old {
                return self.move_and_replace(key, record, write).await;
            }
            // Over this version, so that it is not written over the note that the session has moved.
            let write = Write { expected: Some(version), ..write.clone() };
            if let done @ Replaced::Done(_) = self.old.replace(key, &write).await? {
                return Ok(done);
            }
            laps.wait().await?;
        }
        let (key, claim) = self.in_new(key, write.claim);
        self.new.replace(&key, &Write { claim: claim.as_ref(), ..write.clone() }).await
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        // The secret of a key without an id belongs to a session of the new store.
        if key.plain_id().is_some() || matches!(condition, Condition::Claim(_)) {
            return self.remove_by_id(key, condition, hand_out).await;
        }
        // The old store first: a note that a killed mover has left goes, which would lead nowhere.
        match self.with_id(key).await? {
            Some(key) => self.remove_by_id(&key, condition, hand_out).await,
            None => self.new.remove(key, condition, hand_out).await,
        }
    }

    /// A session that is on its way is in the old store when that is asked, or in the new one by then.
    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        let in_old = self.old.alive(keys).await?;
        let keys: Vec<Key> = keys.iter().map(|key| self.in_new(key, None).0).collect();
        let in_new = self.new.alive(&keys).await?;
        Ok(in_old.into_iter().zip(in_new).map(|(old, new)| old || new).collect())
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    fn listing(&self) -> Option<&dyn Listing> {
        Some(self)
    }

    /// The old store tells nothing.
    fn watch(&self) -> Option<&dyn Watch> {
        None
    }

    fn moves(&self) -> Option<&dyn Moves> {
        if self.begins_in_old { Some(self) } else { None }
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
