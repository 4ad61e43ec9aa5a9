//! [`TokenSession`]: what an application does with sessions. Policy lives here and nowhere else.

mod admin;
mod answer;
mod builder;
#[cfg(feature = "http")]
mod by_key;
mod new_session;
mod owners;
mod sweeper;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::builder::Options;
use crate::backoff::Backoff;
use crate::codec::Codec;
use crate::error::Error;
use crate::event::{Event, Events, Subscription};
use crate::generator::{Origin, TokenGenerator, draw};
use crate::observe::observe;
use crate::record::{Lifetime, Meta, Record};
use crate::store::{
    Condition, Inserted, NewRecord, Removed, Renamed, Renewal, Replaced, Store, Touch, Write,
};
use crate::token::{Key, Token, TokenError, is_guessable};

pub use self::admin::SessionPage;
pub use self::answer::{Issued, Loaded};
pub use self::builder::Builder;
pub use self::new_session::NewSession;
pub use self::sweeper::Sweeper;

/// What an operation of the manager answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How often a change is tried that other writers come before.
const MOST_ATTEMPTS: u32 = 64;

/// How often a new token is drawn when the one before was taken.
const DRAWS: u32 = 8;

/// Sessions with data of type `T`, kept in a store. Cheap to clone; clones are one manager.
///
/// Every operation is one round trip to the store, unless it says otherwise, and so lives or fails
/// as a whole.
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
    codec: Box<dyn Codec<T>>,
    generator: Box<dyn TokenGenerator>,
    options: Options,
    events: Events,
}

impl<T> Inner<T> {
    fn key(&self, token: &Token) -> Key {
        if self.plain_ids {
            Key::with_plain_id(token.reveal())
        } else {
            self.options.key_scheme.key(token)
        }
    }
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
    /// has as many as [the limit](Builder::owner_limit) allows.
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
        let record = NewRecord {
            owner: new.owner.as_ref(),
            label: new.label.as_ref(),
            authenticated: new.is_authenticated(),
            limit: new.owner.as_ref().and(inner.options.owner_limit),
            ..NewRecord::new(data, lifetime)
        };
        let home = new.owner.as_ref().map(|owner| owner.partition(inner.partitions));
        for _ in 0..DRAWS {
            let (token, key) = self.draw(new.origin, home)?;
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
    /// timeout if [`auto_touch`](Builder::auto_touch) is on.
    ///
    /// # Errors
    /// [`Decode`](Error::Decode), and what the store says.
    pub async fn get(&self, token: &Token) -> Result<Option<Loaded<T>>> {
        self.load("get", token, self.auto_touch()).await
    }

    /// As [`get`](Self::get), and restarts the idle timeout whatever
    /// [`auto_touch`](Builder::auto_touch) says.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[doc(alias = "getAndTouch")]
    #[doc(alias = "getNtouch")]
    pub async fn get_and_touch(&self, token: &Token) -> Result<Option<Loaded<T>>> {
        self.load("get_and_touch", token, self.touch_after()).await
    }

    /// As [`get`](Self::get), and leaves the idle timeout alone.
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
        let Some(key) = self.key(token) else {
            return Ok(None);
        };
        observe(operation, Some(&key), self.load_key(&key, touch)).await
    }

    async fn load_key(&self, key: &Key, touch: Touch) -> Result<Option<Loaded<T>>> {
        let Some(record) = self.inner.store.load(key, touch).await? else {
            return Ok(None);
        };
        self.tell_touched(key, touch, &record.meta);
        self.decode(key.clone(), record).map(Some)
    }

    /// Writes new data over whatever is there. Two that do so at once: the later one stays; see
    /// [`update`](Self::update) for changes that build on what was read. Restarts the idle timeout
    /// if [`auto_touch`](Builder::auto_touch) is on.
    ///
    /// # Errors
    /// [`Gone`](Error::Gone) when there is no such session: it is not made.
    /// [`TooLarge`](Error::TooLarge) or [`Encode`](Error::Encode) for the data, and what the store
    /// says.
    pub async fn set(&self, token: &Token, data: &T) -> Result<()> {
        let write =
            Write { touch: self.inner.options.auto_touch, ..Write::new(self.encode(data)?) };
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
        let write = Write { lifetime: Some(&lifetime), ..Write::new(self.encode(data)?) };
        self.replace("set_with_lifetime", token, write).await
    }

    async fn replace(
        &self,
        operation: &'static str,
        token: &Token,
        write: Write<'_>,
    ) -> Result<()> {
        let key = self.key(token).ok_or(Error::Gone)?;
        let work = async {
            match self.inner.store.replace(&key, &write).await? {
                Replaced::Done(_) => Ok(()),
                Replaced::Missing => Err(Error::Gone),
                Replaced::Conflict => Err(Error::Conflict { attempts: 1 }),
            }
        };
        observe(operation, Some(&key), work).await
    }

    /// Changes the data and hands out what `change` returned. No other writer's change is lost: when
    /// one came in between, the data is read anew and `change` runs again, so it must not have
    /// effects elsewhere. Restarts the idle timeout if [`auto_touch`](Builder::auto_touch) is on.
    ///
    /// Two round trips, and two more for each time that another writer came first, after a wait of a
    /// quarter of a second at most; one if the data stays as it is.
    ///
    /// # Errors
    /// As [`set`](Self::set), and [`Conflict`](Error::Conflict) after 64 attempts.
    pub async fn update<R: Send>(
        &self,
        token: &Token,
        change: impl FnMut(&mut T) -> R + Send,
    ) -> Result<R> {
        let key = self.key(token).ok_or(Error::Gone)?;
        let work = async {
            let mut loaded = self.load_key(&key, self.auto_touch()).await?.ok_or(Error::Gone)?;
            self.change_loaded(&mut loaded, change).await
        };
        observe("update", Some(&key), work).await
    }

    /// Changes what was loaded, and writes it; loads it anew when another writer came first.
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
            *loaded = self.load_key(&loaded.key, Touch::No).await?.ok_or(Error::Gone)?;
        }
    }

    /// Notes the data that is about to change, to see later whether it did. The same value is written
    /// in the same way twice, a map that has no order of its own included.
    pub(crate) fn note_before(&self, loaded: &mut Loaded<T>) {
        loaded.before = self.inner.codec.encode(&loaded.data).ok();
    }

    /// Writes what was loaded if its data changed, over the version that was loaded.
    async fn write_back(&self, loaded: &mut Loaded<T>) -> Result<bool> {
        let data = self.encode(&loaded.data)?;
        if Some(&data) == loaded.before.as_ref() {
            return Ok(false);
        }
        let write = Write { expected: Some(loaded.meta.version), ..Write::new(data.clone()) };
        match self.inner.store.replace(&loaded.key, &write).await? {
            Replaced::Done(version) => {
                loaded.meta.version = version;
                loaded.encoded = data;
                loaded.before = None;
                Ok(true)
            }
            Replaced::Missing => Err(Error::Gone),
            Replaced::Conflict => Err(Error::Conflict { attempts: 1 }),
        }
    }

    /// Restarts the idle timeout, and says how long the session has now if it is not used. Within
    /// the [touch interval](Builder::touch_interval) nothing is written.
    ///
    /// # Errors
    /// [`Gone`](Error::Gone) when there is no such session, and what the store says.
    pub async fn touch(&self, token: &Token) -> Result<Duration> {
        let key = self.key(token).ok_or(Error::Gone)?;
        let touch = self.touch_after();
        let work = async { self.inner.store.touch(&key, touch).await?.ok_or(Error::Gone) };
        let meta = observe("touch", Some(&key), work).await?;
        self.tell_touched(&key, touch, &meta);
        Ok(meta.expires_in())
    }

    /// Gives the session a new token; the old one is dead from then on, and a crash in between
    /// leaves at most one of them alive. Data, owner, lifetime and absolute deadline stay; the idle
    /// timeout restarts. To be done when a session's rights change (OWASP Session Management Cheat
    /// Sheet, "Renew the Session ID After Any Privilege Level Change").
    ///
    /// # Errors
    /// [`Gone`](Error::Gone) when there is no such session, and what the token generator or the
    /// store says.
    pub async fn regenerate(&self, token: &Token) -> Result<Issued> {
        let key = self.key(token).ok_or(Error::Gone)?;
        let renewed = self.regenerate_by_key(&key, Renewal::Key, Origin::unknown());
        renewed.await.map(|(issued, _)| issued)
    }

    /// As [`regenerate`](Self::regenerate), for a person who has just proved again who they are:
    /// the session is fresh ([`Meta::is_fresh`]), and both its timeouts start anew (NIST SP
    /// 800-63B-4, section 5.2).
    ///
    /// # Errors
    /// As [`regenerate`](Self::regenerate).
    pub async fn reauthenticate(&self, token: &Token) -> Result<Issued> {
        let key = self.key(token).ok_or(Error::Gone)?;
        let renewed = self.regenerate_by_key(&key, Renewal::Authentication, Origin::unknown());
        renewed.await.map(|(issued, _)| issued)
    }

    /// As [`regenerate`](Self::regenerate) or [`reauthenticate`](Self::reauthenticate), on behalf of
    /// a request.
    pub(crate) async fn regenerate_by_key(
        &self,
        old: &Key,
        renewal: Renewal,
        origin: Origin<'_>,
    ) -> Result<(Issued, Meta)> {
        let operation = match renewal {
            Renewal::Key => "regenerate",
            Renewal::Authentication => "reauthenticate",
        };
        let work = async {
            let inner = &*self.inner;
            for _ in 0..DRAWS {
                let (token, key) = self.draw(origin, Some(old.partition(inner.partitions)))?;
                match inner.store.rename(old, &key, renewal).await? {
                    Renamed::Done(meta) => {
                        let event = || Event::Regenerated { old: old.clone(), new: key.clone() };
                        inner.events.tell(event);
                        return Ok((Issued { token, key, expires_in: meta.expires_in() }, meta));
                    }
                    Renamed::Missing => return Err(Error::Gone),
                    Renamed::KeyTaken => {}
                }
            }
            Err(Error::NotRandom { attempts: DRAWS })
        };
        observe(operation, Some(old), work).await
    }

    /// Ends a session; whether this call did it. A session that is not there is no error: logging
    /// out twice is fine.
    ///
    /// # Errors
    /// What the store says.
    pub async fn destroy(&self, token: &Token) -> Result<bool> {
        match self.key(token) {
            Some(key) => self.destroy_key(&key).await,
            None => Ok(false),
        }
    }

    pub(crate) async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<bool> {
        let done = self.inner.store.remove(key, condition).await? == Removed::Done;
        if done {
            self.inner.events.tell(|| Event::Destroyed { key: key.clone() });
        }
        Ok(done)
    }

    /// Ends a session and hands out its data, to one caller only.
    ///
    /// # Errors
    /// [`Decode`](Error::Decode): the session has ended all the same. What the store says.
    pub async fn take(&self, token: &Token) -> Result<Option<Loaded<T>>> {
        let Some(key) = self.key(token) else {
            return Ok(None);
        };
        let work = async {
            let Some(record) = self.inner.store.take(&key).await? else {
                return Ok(None);
            };
            self.inner.events.tell(|| Event::Destroyed { key: key.clone() });
            self.decode(key.clone(), record).map(Some)
        };
        observe("take", Some(&key), work).await
    }

    /// The key of a token, if it can be one of ours.
    pub(crate) fn key(&self, token: &Token) -> Option<Key> {
        let inner = &*self.inner;
        // Where another program makes ids too, it may have left a session under one that it did not draw.
        let is_drawn = !(inner.plain_ids && is_guessable(token.reveal()));
        (is_drawn && inner.options.is_ours(token)).then(|| inner.key(token))
    }

    #[cfg(feature = "http")]
    pub(crate) fn generator_needs_origin(&self) -> bool {
        self.inner.generator.needs_origin()
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

    fn draw(&self, origin: Origin<'_>, partition: Option<u16>) -> Result<(Token, Key)> {
        let inner = &*self.inner;
        let generate = || match inner.options.checked(inner.generator.generate(origin)?)? {
            token if inner.plain_ids && is_guessable(token.reveal()) => Err(TokenError::Guessable),
            token => Ok(token),
        };
        draw(inner.partitions, partition, |token| inner.key(token), generate)?
            .ok_or(Error::NotRandom { attempts: 64 * u32::from(inner.partitions) })
    }

    fn encode(&self, data: &T) -> Result<Bytes> {
        let bytes = self.inner.codec.encode(data).map_err(Error::Encode)?;
        let (size, max) = (bytes.len(), self.inner.options.max_size);
        if size > max { Err(Error::TooLarge { size, max }) } else { Ok(bytes) }
    }

    pub(crate) fn decode(&self, key: Key, record: Record) -> Result<Loaded<T>> {
        let Record { data: encoded, meta } = record;
        match self.inner.codec.decode(&encoded) {
            Ok(data) => Ok(Loaded { data, key, meta, encoded, before: None }),
            Err(source) => Err(Error::Decode { key, source }),
        }
    }
}

impl<T> TokenSession<T> {
    /// What happens to sessions through this manager, from now on, and what its store tells.
    pub fn subscribe(&self) -> Subscription {
        self.inner.events.subscribe()
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }
}
