//! What links do with a store: where their records are kept, and how a use is counted.

use std::future::Future;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::base_url::BaseUrl;
use super::error::LinkError;
use super::inspector::Inspection;
use super::stored_links::RedeemedLink;
use crate::codec::Codec;
use crate::compare_and_swap::{self as cas, ATTEMPTS, Snapshot, Step};
use crate::generator::draw;
use crate::key::Key;
use crate::key_ring::{mac, same};
use crate::observe::observe_for;
use crate::record::{Lifetime, Owner};
use crate::record_json::{self, Blob, Moment, whole_seconds};
use crate::store::{AtomicStore, Condition, Inserted, NewRecord};
use crate::token::Token;

pub(super) struct LinksEngine<T> {
    pub store: Arc<dyn AtomicStore>,
    pub codec: Box<dyn Codec<T>>,
    pub purpose: String,
    pub base: BaseUrl,
    pub lifetime: Lifetime,
    pub max_payload: usize,
}

/// What a store keeps of a link.
#[derive(Serialize, Deserialize)]
pub(super) struct LinkRecord {
    pub payload: Blob,
    /// The digest of what the link is bound to.
    pub resource: Option<Blob>,
    /// How many uses are left; `None`: any number.
    pub uses: Option<u32>,
    pub opens: Moment,
}

impl<T: 'static> LinksEngine<T> {
    /// Runs an operation where logs and metrics see it, and of which link.
    pub async fn observe<R>(
        &self,
        operation: &'static str,
        id: Option<&Key>,
        work: impl Future<Output = Result<R, LinkError>>,
    ) -> Result<R, LinkError> {
        observe_for(&self.purpose, operation, id, work).await
    }

    pub fn encode(&self, payload: &T) -> Result<Blob, LinkError> {
        let bytes = self.codec.encode(payload).map_err(LinkError::Encode)?;
        let (size, max) = (bytes.len(), self.max_payload);
        if size > max {
            return Err(LinkError::TooLarge { size, max });
        }
        Ok(Blob(bytes))
    }

    fn decode(&self, record: &LinkRecord) -> Result<T, LinkError> {
        self.codec.decode(&record.payload.0).map_err(LinkError::Decode)
    }

    /// A token for a new link, and the key that its record is kept under: in the partition of its owner.
    pub fn draw(&self, owner: Option<&Owner>) -> Result<(Token, Key), LinkError> {
        let partitions = self.store.partitions();
        let home = owner.map(|owner| owner.partition(partitions));
        let key = |token: &Token| self.key(&id_of(token));
        let drawn = draw(partitions, home, key, || Token::random(""))?;
        // Random tokens miss a partition 64 times its chance once in e^64 times.
        drawn.ok_or(LinkError::Contended { attempts: 64 })
    }

    /// Puts a new link under its key. One round trip.
    pub async fn insert(
        &self,
        key: &Key,
        record: &LinkRecord,
        owner: Option<&Owner>,
        lifetime: Lifetime,
    ) -> Result<(), LinkError> {
        let record = NewRecord { owner, ..NewRecord::new(record_json::write(record), lifetime) };
        match self.store.insert(key, &record).await? {
            Inserted::Done { .. } => Ok(()),
            // Of 192 random bits: the generator is broken.
            Inserted::KeyTaken | Inserted::OwnerFull => Err(LinkError::Contended { attempts: 1 }),
        }
    }

    pub async fn inspect(&self, token: &str) -> Result<Inspection<T>, LinkError> {
        let id = read_id(token);
        let work = async {
            let key = self.key(id.as_ref().ok_or(LinkError::Refused)?);
            let link = cas::load(&*self.store, &key).await?;
            let link: Snapshot<LinkRecord> = link.ok_or(LinkError::Refused)?;
            Ok(Inspection {
                payload: self.decode(&link.value)?,
                uses_left: link.value.uses,
                expires_in: link.expires_in,
                opens_in: link.value.opens.since(link.now),
            })
        };
        self.observe("inspect_link", id.as_ref(), work).await
    }

    pub async fn redeem(
        &self,
        token: &str,
        resource: Option<&str>,
    ) -> Result<RedeemedLink<T>, LinkError> {
        let id = read_id(token);
        let work = async {
            let key = self.key(id.as_ref().ok_or(LinkError::Refused)?);
            self.count_use(&key, resource).await
        };
        self.observe("redeem_link", id.as_ref(), work).await
    }

    /// Counts a use; the last one removes the link.
    async fn count_use(
        &self,
        key: &Key,
        resource: Option<&str>,
    ) -> Result<RedeemedLink<T>, LinkError> {
        let link: Option<Snapshot<LinkRecord>> = cas::load(&*self.store, key).await?;
        // Each lost race is another request's use, so nobody is turned away while uses are left.
        let uses = link.as_ref().and_then(|link| link.value.uses).unwrap_or(0);
        let attempts = uses.saturating_add(ATTEMPTS);
        let resource = resource.map(|resource| self.resource(key, resource));
        let updated = cas::update(&*self.store, key, link, attempts, |link| {
            let Snapshot { mut value, now, .. } = link.ok_or(LinkError::Refused)?;
            if !is_bound_to(value.resource.as_ref(), resource.as_ref()) {
                return Err(LinkError::Refused);
            }
            let opens_in = value.opens.since(now);
            if !opens_in.is_zero() {
                return Err(LinkError::NotYet { opens_in: whole_seconds(opens_in) });
            }
            // Before the write: what cannot be decoded is not used.
            let payload = self.decode(&value)?;
            let Some(uses) = value.uses else {
                return Ok(Step::Leave(RedeemedLink { payload, uses_left: None }));
            };
            let left = uses.checked_sub(1).ok_or(LinkError::Refused)?;
            let answer = RedeemedLink { payload, uses_left: Some(left) };
            if left == 0 {
                return Ok(Step::Remove(answer));
            }
            value.uses = Some(left);
            Ok(Step::Write { value, lifetime: None, answer })
        });
        Ok(updated.await?.answer())
    }

    /// Ends a link. False: there was none.
    pub async fn revoke(&self, id: &Key) -> Result<bool, LinkError> {
        let work = async {
            let removed = self.store.remove(&self.key(id), Condition::Always, false).await?;
            Ok(removed.is_done())
        };
        self.observe("revoke_link", Some(id), work).await
    }

    /// Ends all links of a subject.
    pub async fn revoke_subject(&self, subject: &str) -> Result<(), LinkError> {
        let work = async {
            let owner = self.owner(subject)?;
            Ok(self.store.remove_owned(&owner, None).await?)
        };
        self.observe("revoke_links", None, work).await
    }

    /// The key of the link with this id. It depends on the purpose, so a link is unknown to links of any
    /// other purpose. It is a digest, so no id leads to anything but a link.
    fn key(&self, id: &Key) -> Key {
        Key::of_digest(&mac(b"", "link", &[self.purpose.as_bytes(), id.as_bytes()]))
    }

    pub fn owner(&self, subject: &str) -> Result<Owner, LinkError> {
        if subject.is_empty() || subject.len() > 255 {
            return Err(LinkError::Subject { len: subject.len() });
        }
        let fields = [self.purpose.as_bytes(), subject.as_bytes()];
        let key = Key::of_digest(&mac(b"", "subject of links", &fields));
        Ok(Owner::of_digest(&key))
    }

    pub fn resource(&self, link: &Key, resource: &str) -> Blob {
        let fields = [link.as_bytes(), resource.as_bytes()];
        Blob::new(&mac(b"", "resource of a link", &fields))
    }
}

fn read_id(token: &str) -> Option<Key> {
    Some(id_of(&Token::parse(token).ok()?))
}

/// What names a link and is no secret.
pub(super) fn id_of(token: &Token) -> Key {
    Key::of_digest(&mac(b"", "id of a link", &[token.reveal().as_bytes()]))
}

/// A bound link is good for its resource alone, and an unbound one for no resource.
fn is_bound_to(bound: Option<&Blob>, named: Option<&Blob>) -> bool {
    match (bound, named) {
        (Some(bound), Some(named)) => same(&bound.0, &named.0),
        (bound, named) => bound == named,
    }
}
