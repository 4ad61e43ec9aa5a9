//! [`Links`]: kept in a store, good for so many uses.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::base_url::{BaseUrl, Link};
use super::builder::LinksBuilder;
use super::error::LinkError;
use super::inspector::{Inspection, LinkInspector};
use crate::backoff::Backoff;
use crate::codec::Codec;
use crate::generator::draw;
use crate::key::Key;
use crate::key_ring::{mac, same};
use crate::observe::observe_for;
use crate::record::{Lifetime, Owner, Version};
use crate::store::{AtomicStore, Condition, Inserted, Load, NewRecord, Removed, Replaced, Write};
use crate::stored::{self, Blob, Moment, whole_seconds};
use crate::token::Token;

/// How often a use is tried to be counted beyond the uses that are left. Each lost race is another
/// request's use, so nobody is turned away while uses are left.
const RETRIES: u32 = 64;

/// Makes links of one purpose, and redeems them. Cheap to clone: a handle on shared state.
///
/// The store keeps the digest of a token, never the token. The payload is kept as the codec writes
/// it. As with [`Codes`](crate::codes::Codes), keep links in a store of their own.
///
/// # What do a thousand clicks at once cost?
/// A use is counted by compare-and-swap: 2 round trips, and 2 more for each other request that came
/// first. Of `k` requests that race for a link of `n` uses exactly `n` succeed, and all of them
/// together take about `2·k·min(k, n)` round trips at the worst. Links that thousands open within the
/// same moment should be [unlimited](NewLink::unlimited): those take one round trip, and no write.
///
/// ```
/// use token_session::links::{BaseUrl, Links};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let base = BaseUrl::path("https://example.org/downloads/")?;
/// let links = Links::<String>::builder("download", base).build()?;
///
/// let link = links.create(&"report.pdf".to_owned()).await?.link;
/// assert_eq!(links.redeem(link.token()).await?.payload, "report.pdf");
/// assert!(links.redeem(link.token()).await.is_err());
/// # Ok(()) }
/// ```
pub struct Links<T>(pub(super) Arc<Inner<T>>);

pub(super) struct Inner<T> {
    pub store: Arc<dyn AtomicStore>,
    pub codec: Box<dyn Codec<T>>,
    pub purpose: String,
    pub base: BaseUrl,
    pub lifetime: Lifetime,
    pub max_payload: usize,
}

/// What a store keeps of a link.
#[derive(Serialize, Deserialize)]
struct Stored {
    payload: Blob,
    /// The digest of what the link is bound to.
    resource: Option<Blob>,
    /// How many uses are left; `None`: any number.
    uses: Option<u32>,
    opens: Moment,
}

/// A link as it was found.
struct Found<T> {
    stored: Stored,
    payload: T,
    version: Version,
    expires_in: Duration,
    opens_in: Duration,
}

/// A link that was made, and what it is known by.
///
/// ```
/// use token_session::links::{BaseUrl, Links};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let base = BaseUrl::path("https://example.org/downloads/")?;
/// let links = Links::<String>::builder("download", base).build()?;
///
/// let created = links.create(&"report.pdf".to_owned()).await?;
/// println!("link {} goes out", created.id);
/// assert!(links.revoke(&created.id).await?);
/// assert!(links.inspect(created.link.token()).await.is_err());
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct CreatedLink {
    /// The link: for whom it is meant.
    pub link: Link,
    /// Names the link in logs and lists, and [revokes](Links::revoke) it. Not a secret, and nothing
    /// that a store keeps is under it.
    pub id: Key,
    /// How long it lives.
    pub expires_in: Duration,
}

/// What a use of a link is good for. It is counted.
///
/// ```
/// use token_session::links::{BaseUrl, Links};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let base = BaseUrl::path("https://example.org/downloads/")?;
/// let links = Links::<String>::builder("download", base).build()?;
///
/// let payload = "report.pdf".to_owned();
/// let link = links.new_link(&payload).unlimited().create().await?.link;
/// assert_eq!(links.redeem(link.token()).await?.uses_left, None);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redeemed<T> {
    /// What was given when the link was made.
    pub payload: T,
    /// How many uses are left; `None`: any number.
    pub uses_left: Option<u32>,
}

impl<T: 'static> Links<T> {
    /// Links of one purpose, such as `"download"`, that lead to `base`. No link of one purpose is
    /// good for another. It is in logs and a label of metrics: one of few fixed words, never made from
    /// a request.
    pub fn builder(purpose: impl Into<String>, base: BaseUrl) -> LinksBuilder<T> {
        LinksBuilder::new(purpose.into(), base)
    }
}

impl<T: 'static> Links<T> {
    /// Makes a link of one use: [`new_link`](Self::new_link) and [`create`](NewLink::create) in one.
    ///
    /// # Errors
    /// As [`NewLink::create`].
    pub async fn create(&self, payload: &T) -> Result<CreatedLink, LinkError> {
        self.new_link(payload).create().await
    }

    /// A link that is about to be made: with so many uses, until then, for something.
    pub fn new_link<'a>(&'a self, payload: &'a T) -> NewLink<'a, T> {
        NewLink {
            links: &self.0,
            payload,
            uses: Some(NonZeroU32::MIN),
            lifetime: None,
            opens_after: Duration::ZERO,
            resource: None,
            subject: None,
        }
    }

    /// What a link would do, as for a `GET` or a `HEAD`: changes nothing, however often it is asked.
    /// One round trip.
    ///
    /// # Errors
    /// [`Refused`](LinkError::Refused) for a link that is good for nothing.
    pub async fn inspect(&self, token: &str) -> Result<Inspection<T>, LinkError> {
        self.0.inspect(token).await
    }

    /// What can look at these links, and cannot redeem them: for the routes of a `GET`.
    pub fn inspector(&self) -> LinkInspector<T> {
        LinkInspector(Arc::clone(&self.0))
    }

    /// Uses a link that is bound to no resource. 2 round trips where uses are counted, and 2 more for
    /// each other request that came first; one where they are not.
    ///
    /// # Errors
    /// [`Refused`](LinkError::Refused), [`NotYet`](LinkError::NotYet); or the store's, and then a use
    /// may have been counted.
    pub async fn redeem(&self, token: &str) -> Result<Redeemed<T>, LinkError> {
        self.0.redeem(token, None).await
    }

    /// Uses a link that is bound to this resource. For another one it is refused, and no use is
    /// counted.
    ///
    /// # Errors
    /// As [`redeem`](Self::redeem).
    pub async fn redeem_for(&self, token: &str, resource: &str) -> Result<Redeemed<T>, LinkError> {
        self.0.redeem(token, Some(resource)).await
    }

    /// Ends a link, by its [id](CreatedLink::id). False: it had ended, or the id is none of a link of
    /// this purpose; whatever else the store keeps, no id ends it. Whether the caller may end this link
    /// is for the service to know. One round trip.
    ///
    /// # Errors
    /// The store's.
    ///
    /// ```
    /// use token_session::links::{BaseUrl, Links};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let base = BaseUrl::path("https://example.org/downloads/")?;
    /// let links = Links::<String>::builder("download", base).build()?;
    /// let id = links.create(&"report.pdf".to_owned()).await?.id.to_string(); // for the client
    ///
    /// // DELETE /downloads/{id}
    /// assert!(links.revoke(&id.parse()?).await?);
    /// assert!(!links.revoke(&id.parse()?).await?);
    /// # Ok(()) }
    /// ```
    pub async fn revoke(&self, id: &Key) -> Result<bool, LinkError> {
        let key = self.0.key(id);
        let work = async { Ok(self.0.store.remove(&key, Condition::Always, false).await?) };
        let removed = self.0.observe("revoke_link", Some(id), work).await?;
        Ok(removed.is_done())
    }

    /// Ends all links of a [subject](NewLink::subject). One round trip.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke_subject(&self, subject: &str) -> Result<(), LinkError> {
        let work = async {
            let owner = self.0.owner(subject)?;
            Ok(self.0.store.remove_owned(&owner, None).await?)
        };
        self.0.observe("revoke_links", None, work).await
    }
}

/// A link that is about to be made. See [`Links::new_link`].
///
/// ```
/// use std::time::Duration;
/// use token_session::links::{BaseUrl, Links};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let base = BaseUrl::path("https://example.org/downloads/")?;
/// let links = Links::<String>::builder("download", base).build()?;
///
/// let hours = |n: u64| Duration::from_secs(n * 60 * 60);
/// let payload = "report.pdf".to_owned();
/// let link = links
///     .new_link(&payload)
///     .uses(3.try_into()?)
///     .not_before(hours(1))
///     .lifetime(hours(24))
///     .resource("file-17")
///     .subject("user-17")
///     .create()
///     .await?
///     .link;
/// assert!(links.redeem_for(link.token(), "file-17").await.is_err()); // not for an hour
/// links.revoke_subject("user-17").await?;
/// # Ok(()) }
/// ```
#[must_use = "a link is not made until `create`"]
pub struct NewLink<'a, T> {
    links: &'a Inner<T>,
    payload: &'a T,
    uses: Option<NonZeroU32>,
    lifetime: Option<Duration>,
    opens_after: Duration,
    resource: Option<&'a str>,
    subject: Option<&'a str>,
}

impl<'a, T: 'static> NewLink<'a, T> {
    /// Good for so many uses. Default: one. Of this and [`unlimited`](Self::unlimited) the last counts.
    pub fn uses(mut self, uses: NonZeroU32) -> Self {
        self.uses = Some(uses);
        self
    }

    /// Good for any number of uses, until it expires.
    pub fn unlimited(mut self) -> Self {
        self.uses = None;
        self
    }

    /// Lives so long from now. Default: the [builder's](LinksBuilder::lifetime).
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Opens so long from now. Default: at once.
    pub fn not_before(mut self, wait: Duration) -> Self {
        self.opens_after = wait;
        self
    }

    /// Good for this resource only, such as a file: [`redeem_for`](Links::redeem_for) has to name it.
    pub fn resource(mut self, resource: &'a str) -> Self {
        self.resource = Some(resource);
        self
    }

    /// Whose link it is: [`revoke_subject`](Links::revoke_subject) ends all of a subject's. Kept as a
    /// digest.
    pub fn subject(mut self, subject: &'a str) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Makes the link. One round trip.
    ///
    /// # Errors
    /// A lifetime or a subject that is none, a payload that is too large, or the store's.
    pub async fn create(self) -> Result<CreatedLink, LinkError> {
        self.links.observe("create_link", None, self.insert()).await
    }

    async fn insert(&self) -> Result<CreatedLink, LinkError> {
        let links = self.links;
        let lifetime = match self.lifetime {
            Some(lifetime) => Lifetime::absolute(lifetime)?,
            None => links.lifetime,
        };
        if self.opens_after >= lifetime.first() {
            let opens_after = self.opens_after;
            return Err(LinkError::NeverOpen { opens_after });
        }
        let payload = links.codec.encode(self.payload).map_err(LinkError::Encode)?;
        let (size, max) = (payload.len(), links.max_payload);
        if size > max {
            return Err(LinkError::TooLarge { size, max });
        }
        let owner = self.subject.map(|subject| links.owner(subject)).transpose()?;
        let partitions = links.store.partitions();
        let home = owner.as_ref().map(|owner| owner.partition(partitions));
        let key = |token: &Token| links.key(&id_of(token));
        let drawn = draw(partitions, home, key, || Token::random(""))?;
        // Random tokens miss a partition 64 times its chance once in e^64 times.
        let (token, key) = drawn.ok_or(LinkError::Contended { attempts: 64 })?;
        let stored = Stored {
            payload: Blob(payload),
            resource: self.resource.map(|resource| links.resource(&key, resource)),
            uses: self.uses.map(NonZeroU32::get),
            opens: Moment::START + self.opens_after,
        };
        let record =
            NewRecord { owner: owner.as_ref(), ..NewRecord::new(stored::write(&stored), lifetime) };
        match links.store.insert(&key, &record).await? {
            Inserted::Done { .. } => Ok(CreatedLink {
                link: links.base.link(token.reveal()),
                id: id_of(&token),
                expires_in: lifetime.first(),
            }),
            // Of 192 random bits: some other generator is at work.
            Inserted::KeyTaken | Inserted::OwnerFull => Err(LinkError::Contended { attempts: 1 }),
        }
    }
}

impl<T: 'static> Inner<T> {
    /// Runs an operation where logs and metrics see it, and of which link.
    async fn observe<R>(
        &self,
        operation: &'static str,
        id: Option<&Key>,
        work: impl Future<Output = Result<R, LinkError>>,
    ) -> Result<R, LinkError> {
        observe_for(&self.purpose, operation, id, work).await
    }

    pub async fn inspect(&self, token: &str) -> Result<Inspection<T>, LinkError> {
        let id = read_id(token);
        let work = async { self.find(&self.key(id.as_ref().ok_or(LinkError::Refused)?)).await };
        let found = self.observe("inspect_link", id.as_ref(), work).await?;
        Ok(Inspection {
            payload: found.payload,
            uses_left: found.stored.uses,
            expires_in: found.expires_in,
            opens_in: found.opens_in,
        })
    }

    async fn redeem(&self, token: &str, resource: Option<&str>) -> Result<Redeemed<T>, LinkError> {
        let id = read_id(token);
        let work = async {
            let key = self.key(id.as_ref().ok_or(LinkError::Refused)?);
            self.redeem_key(&key, resource).await
        };
        self.observe("redeem_link", id.as_ref(), work).await
    }

    async fn redeem_key(
        &self,
        key: &Key,
        resource: Option<&str>,
    ) -> Result<Redeemed<T>, LinkError> {
        let mut found = self.find(key).await?;
        let attempts = found.stored.uses.unwrap_or(0).saturating_add(RETRIES);
        let mut backoff = Backoff::new();
        for _ in 0..attempts {
            let resource = resource.map(|resource| self.resource(key, resource));
            if !is_bound_to(found.stored.resource.as_ref(), resource.as_ref()) {
                return Err(LinkError::Refused);
            }
            if !found.opens_in.is_zero() {
                return Err(LinkError::NotYet { opens_in: whole_seconds(found.opens_in) });
            }
            let uses_left = match found.stored.uses {
                None => None,
                Some(0) => return Err(LinkError::Refused),
                Some(uses) => Some(uses - 1),
            };
            if uses_left.is_none() || self.count(key, &mut found, uses_left).await? {
                return Ok(Redeemed { payload: found.payload, uses_left });
            }
            backoff.wait().await;
            found = self.find(key).await?;
        }
        Err(LinkError::Contended { attempts })
    }

    /// Writes how many uses are left; the last one ends the link. False: another request came first.
    async fn count(
        &self,
        key: &Key,
        found: &mut Found<T>,
        left: Option<u32>,
    ) -> Result<bool, LinkError> {
        let expected = found.version;
        if left == Some(0) {
            let condition = Condition::Version(expected);
            return match self.store.remove(key, condition, false).await? {
                Removed::Done(_) => Ok(true),
                Removed::Conflict => Ok(false),
                Removed::Missing => Err(LinkError::Refused),
            };
        }
        found.stored.uses = left;
        let write = Write { expected: Some(expected), ..Write::data(stored::write(&found.stored)) };
        match self.store.replace(key, &write).await? {
            Replaced::Done(_) => Ok(true),
            Replaced::Conflict => Ok(false),
            Replaced::Missing => Err(LinkError::Refused),
        }
    }

    async fn find(&self, key: &Key) -> Result<Found<T>, LinkError> {
        let record = self.store.load(key, &Load::new()).await?.live();
        let record = record.ok_or(LinkError::Refused)?;
        let stored: Stored = stored::read(key, &record.data)?;
        let payload = self.codec.decode(&stored.payload.0).map_err(LinkError::Decode)?;
        Ok(Found {
            opens_in: stored.opens.since(Moment::now(&record.meta)),
            stored,
            payload,
            version: record.meta.version,
            expires_in: record.meta.expires_in(),
        })
    }

    /// The key of the link with this id. The purpose is in it, so a link is unknown to links of any
    /// other purpose; and it is a digest, so no id leads to anything but a link.
    fn key(&self, id: &Key) -> Key {
        Key::of_digest(&mac(b"", "link", &[self.purpose.as_bytes(), id.as_bytes()]))
    }

    fn owner(&self, subject: &str) -> Result<Owner, LinkError> {
        if subject.is_empty() || subject.len() > 255 {
            return Err(LinkError::Subject { len: subject.len() });
        }
        let fields = [self.purpose.as_bytes(), subject.as_bytes()];
        let key = Key::of_digest(&mac(b"", "subject of links", &fields));
        Ok(Owner::of_digest(&key))
    }

    fn resource(&self, link: &Key, resource: &str) -> Blob {
        let fields = [link.as_bytes(), resource.as_bytes()];
        Blob::new(&mac(b"", "resource of a link", &fields))
    }
}

fn read_id(token: &str) -> Option<Key> {
    Some(id_of(&Token::parse(token).ok()?))
}

fn id_of(token: &Token) -> Key {
    Key::of_digest(&mac(b"", "id of a link", &[token.reveal().as_bytes()]))
}

/// A link that is bound is good for its resource alone, and one that is not is good for none.
fn is_bound_to(bound: Option<&Blob>, named: Option<&Blob>) -> bool {
    match (bound, named) {
        (Some(bound), Some(named)) => same(&bound.0, &named.0),
        (bound, named) => bound == named,
    }
}

impl<T> Clone for Links<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Links<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links")
            .field("purpose", &self.0.purpose)
            .field("base", &self.0.base)
            .finish_non_exhaustive()
    }
}
