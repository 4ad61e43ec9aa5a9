//! [`TokenSession`]: what an application does with sessions. Policy lives here and nowhere else.

mod admin;
mod answer;
mod builder;
#[cfg(feature = "http")]
mod by_key;
mod credential;
mod new_session;
mod owners;
mod regenerate;
mod sweeper;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::builder::Options;
use self::credential::Drawn;
use crate::backoff::Backoff;
use crate::codec::Codec;
use crate::error::Error;
use crate::event::{Event, Events, Subscription};
use crate::generator::TokenGenerator;
use crate::key::Key;
use crate::observe::observe;
use crate::record::{Lifetime, Meta, Record};
use crate::store::{Condition, Inserted, Load, NewRecord, Removed, Replaced, Store, Touch, Write};
use crate::token::Token;

pub use self::admin::SessionPage;
#[cfg(feature = "http")]
pub(crate) use self::answer::Unchanged;
pub use self::answer::{Issued, Loaded};
pub use self::builder::TokenSessionBuilder;
pub(crate) use self::credential::Credential;
pub use self::new_session::NewSession;
pub use self::owners::OwnedSession;
#[cfg(feature = "http")]
use self::regenerate::Renewed;
pub use self::sweeper::Sweeper;

/// The result of an operation of the manager.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How often an update is tried when other writers come first.
const MOST_ATTEMPTS: u32 = 64;

/// How often a new token is drawn when the last one was taken.
const DRAWS: u32 = 8;

/// Sessions with data of type `T`, kept in a store. Cheap to clone; clones are one manager.
///
/// Every operation is one round trip to the store, unless it says otherwise. It takes place as a whole or
/// not at all.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use serde::{Deserialize, Serialize};
/// use token_session::TokenSession;
///
/// #[derive(Serialize, Deserialize)]
/// struct Cart { items: Vec<String> }
///
/// let sessions = TokenSession::<Cart>::in_memory();
/// let issued = sessions.create(&Cart { items: vec![] }).await?;
/// sessions.update(&issued.token, |cart| cart.items.push("book".into())).await?;
/// let cart = sessions.get(&issued.token).await?.expect("it is live");
/// assert_eq!(cart.items, ["book"]);
/// assert!(sessions.destroy(&issued.token).await?);
/// # Ok(()) }
/// ```
pub struct TokenSession<T> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    store: Arc<dyn Store>,
    partitions: u16,
    plain_ids: bool,
    /// Whether a new token is a new key.
    moves: bool,
    codec: Box<dyn Codec<T>>,
    /// `None` for tokens of this crate's own form.
    generator: Option<Box<dyn TokenGenerator>>,
    options: Options,
    events: Events,
}

impl<T> Clone for TokenSession<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<T> std::fmt::Debug for TokenSession<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenSession")
    }
}

impl<T: Send + 'static> TokenSession<T> {
    /// Begins a session of no owner, with the manager's lifetime.
    ///
    /// # Errors
    /// [`TooLarge`](Error::TooLarge) or [`Encode`](Error::Encode) for the data, and what the token
    /// generator or the store says.
    #[doc(alias = "new")]
    #[doc(alias = "newSession")]
    pub async fn create(&self, data: &T) -> Result<Issued> {
        self.create_with(data, &NewSession::new()).await
    }

    /// Begins a session with a lifetime, an owner or a label of its own.
    ///
    /// # Errors
    /// As [`create`](Self::create), and [`TooManySessions`](Error::TooManySessions) when the owner
    /// has as many as [the limit](TokenSessionBuilder::owner_limit) allows.
    #[doc(alias = "newWttl")]
    pub async fn create_with(&self, data: &T, new: &NewSession<'_>) -> Result<Issued> {
        let data = self.encode(data)?;
        let work = self.insert(data, new);
        let (issued, evicted) = observe("create", None, work).await?;
        for key in evicted {
            self.inner.events.tell(|| Event::Destroyed { key });
        }
        self.inner.events.tell(|| Event::Created { key: issued.key.clone() });
        Ok(issued)
    }

    async fn insert(&self, data: Bytes, new: &NewSession<'_>) -> Result<(Issued, Vec<Key>)> {
        let inner = &*self.inner;
        let lifetime = new.lifetime.unwrap_or(inner.options.lifetime);
        if new.owner.is_some() {
            self.owners()?;
        }
        let mut record = NewRecord {
            owner: new.owner.as_ref(),
            details: new.details(),
            authenticated: new.is_authenticated(),
            limit: new.owner.as_ref().and(inner.options.owner_limit),
            ..NewRecord::new(data, lifetime)
        };
        let home = new.owner.as_ref().map(|owner| owner.partition(inner.partitions));
        for _ in 0..DRAWS {
            let Drawn { token, key, proof } = inner.draw(new.origin, home)?;
            record.proof = proof;
            match inner.store.insert(&key, &record).await? {
                Inserted::Done { evicted } => {
                    return Ok((Issued { token, key, expires_in: lifetime.first() }, evicted));
                }
                Inserted::KeyTaken => {}
                Inserted::OwnerFull => {
                    let max = record.limit.map_or(0, |limit| limit.max().get());
                    return Err(Error::TooManySessions { max });
                }
            }
        }
        Err(Error::NotRandom { attempts: DRAWS })
    }

    /// The session of a token; `None` when it is unknown, expired or destroyed. Restarts the idle
    /// timeout if [`auto_touch`](TokenSessionBuilder::auto_touch) is on.
    ///
    /// # Errors
    /// [`Decode`](Error::Decode), and what the store says.
    pub async fn get(&self, token: &Token) -> Result<Option<Loaded<T>>> {
        self.load("get", token, self.auto_touch()).await
    }

    /// As [`get`](Self::get), and restarts the idle timeout also if
    /// [`auto_touch`](TokenSessionBuilder::auto_touch) is off.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[doc(alias = "getAndTouch")]
    #[doc(alias = "getNtouch")]
    pub async fn get_and_touch(&self, token: &Token) -> Result<Option<Loaded<T>>> {
        self.load("get_and_touch", token, self.touch_after()).await
    }

    /// As [`get`](Self::get), and does not restart the idle timeout.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[doc(alias = "getNotTouch")]
    pub async fn get_untouched(&self, token: &Token) -> Result<Option<Loaded<T>>> {
        self.load("get_untouched", token, Touch::No).await
    }

    async fn load(
        &self,
        operation: &'static str,
        token: &Token,
        touch: Touch,
    ) -> Result<Option<Loaded<T>>> {
        let Some(credential) = self.credential(token) else {
            return Ok(None);
        };
        observe(operation, Some(&credential.key), self.load_by(&credential, touch)).await
    }

    async fn load_by(&self, credential: &Credential, touch: Touch) -> Result<Option<Loaded<T>>> {
        let load = Load { claim: credential.claim.as_ref(), touch, ..Load::new() };
        let found = self.inner.store.load(&credential.key, &load).await?;
        let Some(record) = found.live() else {
            return Ok(None);
        };
        self.tell_touched(&credential.key, touch, &record.meta);
        let mut loaded = self.decode(credential.key.clone(), record)?;
        loaded.claim = credential.claim;
        Ok(Some(loaded))
    }

    /// Overwrites the data. Of two concurrent calls the later one wins; use [`update`](Self::update) for
    /// changes that build on what was read. Restarts the idle timeout
    /// if [`auto_touch`](TokenSessionBuilder::auto_touch) is on.
    ///
    /// # Errors
    /// [`Gone`](Error::Gone) when there is no such session. `set` never creates one.
    /// [`TooLarge`](Error::TooLarge) or [`Encode`](Error::Encode) for the data, and what the store
    /// says.
    pub async fn set(&self, token: &Token, data: &T) -> Result<()> {
        let write =
            Write { touch: self.inner.options.auto_touch, ..Write::data(self.encode(data)?) };
        self.replace("set", token, write).await
    }

    /// Writes new data and gives the session a new lifetime, which begins now.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    #[doc(alias = "setWttl")]
    pub async fn set_with_lifetime(
        &self,
        token: &Token,
        data: &T,
        lifetime: Lifetime,
    ) -> Result<()> {
        let write = Write { lifetime: Some(&lifetime), ..Write::data(self.encode(data)?) };
        self.replace("set_with_lifetime", token, write).await
    }

    async fn replace(
        &self,
        operation: &'static str,
        token: &Token,
        write: Write<'_>,
    ) -> Result<()> {
        let Credential { key, claim } = self.credential(token).ok_or(Error::Gone)?;
        let write = Write { claim: claim.as_ref(), ..write };
        let work = async {
            match self.inner.store.replace(&key, &write).await? {
                Replaced::Done(_) => Ok(()),
                Replaced::Missing => Err(Error::Gone),
                Replaced::Conflict => Err(Error::Conflict { attempts: 1 }),
            }
        };
        observe(operation, Some(&key), work).await
    }

    /// Changes the data and returns what `change` returned. No other writer's change is lost: if another
    /// writer came in between, the data is read again and `change` runs again. `change` must have no other
    /// effects. Restarts the idle timeout if [`auto_touch`](TokenSessionBuilder::auto_touch) is on.
    ///
    /// Two round trips, and two more each time another writer came first, after a wait of at most a quarter
    /// of a second. One round trip if the data does not change.
    ///
    /// # Errors
    /// As [`set`](Self::set), and [`Conflict`](Error::Conflict) after 64 attempts.
    pub async fn update<R: Send>(
        &self,
        token: &Token,
        change: impl FnMut(&mut T) -> R + Send,
    ) -> Result<R> {
        let credential = self.credential(token).ok_or(Error::Gone)?;
        let work = async {
            let loaded = self.load_by(&credential, self.auto_touch()).await?;
            self.change_loaded(&mut loaded.ok_or(Error::Gone)?, change).await
        };
        observe("update", Some(&credential.key), work).await
    }

    /// Changes what was loaded and writes it; loads it again when another writer came first.
    async fn change_loaded<R>(
        &self,
        loaded: &mut Loaded<T>,
        mut change: impl FnMut(&mut T) -> R,
    ) -> Result<R> {
        let mut backoff = Backoff::new();
        loop {
            self.note_before(loaded);
            let result = change(&mut loaded.data);
            match self.write_back(loaded).await {
                Ok(_) => return Ok(result),
                Err(Error::Conflict { .. }) => {
                    if !backoff.wait_unless_last_of(MOST_ATTEMPTS).await {
                        return Err(Error::Conflict { attempts: MOST_ATTEMPTS });
                    }
                }
                Err(error) => return Err(error),
            }
            let credential = Credential { key: loaded.key.clone(), claim: loaded.claim };
            *loaded = self.load_by(&credential, Touch::No).await?.ok_or(Error::Gone)?;
        }
    }

    /// Encodes the data before it may change, to see later whether it did. Encoding the same value twice
    /// gives the same bytes, also for a map without an order.
    pub(crate) fn note_before(&self, loaded: &mut Loaded<T>) {
        loaded.before = self.inner.codec.encode(&loaded.data).ok();
    }

    /// Writes what was loaded if its data changed, over the version that was loaded.
    async fn write_back(&self, loaded: &mut Loaded<T>) -> Result<bool> {
        let data = self.encode(&loaded.data)?;
        if Some(&data) == loaded.before.as_ref() {
            return Ok(false);
        }
        let write = Write {
            expected: Some(loaded.meta.version),
            claim: loaded.claim.as_ref(),
            ..Write::data(data.clone())
        };
        match self.inner.store.replace(&loaded.key, &write).await? {
            Replaced::Done(written) => {
                loaded.meta.version = written.version;
                loaded.encoded = data;
                loaded.before = None;
                Ok(true)
            }
            Replaced::Missing => Err(Error::Gone),
            Replaced::Conflict => Err(Error::Conflict { attempts: 1 }),
        }
    }

    /// Restarts the idle timeout, and returns how long the session lives if it is not used. Within the
    /// [touch interval](TokenSessionBuilder::touch_interval) nothing is written.
    ///
    /// # Errors
    /// [`Gone`](Error::Gone) when there is no such session, and what the store says.
    pub async fn touch(&self, token: &Token) -> Result<Duration> {
        let Credential { key, claim } = self.credential(token).ok_or(Error::Gone)?;
        let touch = self.touch_after();
        let load = Load { claim: claim.as_ref(), touch, with_data: false };
        let work = async { self.inner.store.load(&key, &load).await?.live().ok_or(Error::Gone) };
        let meta = observe("touch", Some(&key), work).await?.meta;
        self.tell_touched(&key, touch, &meta);
        Ok(meta.expires_in())
    }

    /// Ends a session, and returns whether this call did it. A session that does not exist is not an error:
    /// logging out twice is fine.
    ///
    /// # Errors
    /// What the store says.
    pub async fn destroy(&self, token: &Token) -> Result<bool> {
        match self.credential(token) {
            Some(Credential { key, claim }) => {
                let condition = claim.as_ref().map_or(Condition::Always, Condition::Claim);
                observe("destroy", Some(&key), self.remove(&key, condition)).await
            }
            None => Ok(false),
        }
    }

    pub(crate) async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<bool> {
        let removed = self.inner.store.remove(key, condition, false).await?;
        self.tell_destroyed(key, &removed);
        Ok(removed.is_done())
    }

    /// Ends a session and returns its data, to one caller only.
    ///
    /// # Errors
    /// [`Decode`](Error::Decode), although the session has ended. What the store says.
    pub async fn take(&self, token: &Token) -> Result<Option<Loaded<T>>> {
        let Some(Credential { key, claim }) = self.credential(token) else {
            return Ok(None);
        };
        let condition = claim.as_ref().map_or(Condition::Always, Condition::Claim);
        let work = async {
            let removed = self.inner.store.remove(&key, condition, true).await?;
            self.tell_destroyed(&key, &removed);
            removed.record().map(|record| self.decode(key.clone(), record)).transpose()
        };
        observe("take", Some(&key), work).await
    }

    #[cfg(feature = "http")]
    pub(crate) fn generator_needs_origin(&self) -> bool {
        self.inner.generator.as_ref().is_some_and(|generator| generator.needs_origin())
    }

    fn auto_touch(&self) -> Touch {
        if self.inner.options.auto_touch { self.touch_after() } else { Touch::No }
    }

    fn touch_after(&self) -> Touch {
        Touch::After(self.inner.options.touch_interval)
    }

    fn tell_touched(&self, key: &Key, touch: Touch, meta: &Meta) {
        if touch != Touch::No && meta.last_seen == meta.now {
            self.inner.events.tell(|| Event::Touched { key: key.clone() });
        }
    }

    fn tell_destroyed(&self, key: &Key, removed: &Removed) {
        if removed.is_done() {
            self.inner.events.tell(|| Event::Destroyed { key: key.clone() });
        }
    }

    fn encode(&self, data: &T) -> Result<Bytes> {
        let bytes = self.inner.codec.encode(data).map_err(Error::Encode)?;
        let (size, max) = (bytes.len(), self.inner.options.max_size);
        if size > max { Err(Error::TooLarge { size, max }) } else { Ok(bytes) }
    }

    pub(crate) fn decode(&self, key: Key, record: Record) -> Result<Loaded<T>> {
        let Record { data: encoded, details, meta, .. } = record;
        match self.inner.codec.decode(&encoded) {
            Ok(data) => Ok(Loaded { data, key, meta, details, claim: None, encoded, before: None }),
            Err(source) => Err(Error::Decode { key, source }),
        }
    }
}

impl<T> TokenSession<T> {
    /// The events of this manager and its store, from now on.
    pub fn subscribe(&self) -> Subscription {
        self.inner.events.subscribe()
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }
}
