//! [`NewLink`]: a link that is about to be made.

use std::num::NonZeroU32;
use std::time::Duration;

use super::engine::{LinkRecord, LinksEngine, id_of};
use super::error::LinkError;
use super::stored_links::CreatedLink;
use crate::record::Lifetime;
use crate::record_json::Moment;

/// A link that is about to be made. See [`Links::new_link`](super::Links::new_link).
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
    links: &'a LinksEngine<T>,
    payload: &'a T,
    uses: Option<NonZeroU32>,
    lifetime: Option<Duration>,
    opens_after: Duration,
    resource: Option<&'a str>,
    subject: Option<&'a str>,
}

impl<'a, T: 'static> NewLink<'a, T> {
    pub(super) fn new(links: &'a LinksEngine<T>, payload: &'a T) -> Self {
        Self {
            links,
            payload,
            uses: Some(NonZeroU32::MIN),
            lifetime: None,
            opens_after: Duration::ZERO,
            resource: None,
            subject: None,
        }
    }

    /// Good for this many uses. Default: one. The last call of this or [`unlimited`](Self::unlimited) counts.
    pub fn uses(mut self, uses: NonZeroU32) -> Self {
        self.uses = Some(uses);
        self
    }

    /// Good for any number of uses, until it expires.
    pub fn unlimited(mut self) -> Self {
        self.uses = None;
        self
    }

    /// Lives this long from now. Default: the [builder's](super::LinksBuilder::lifetime).
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Opens this long from now. Default: at once.
    pub fn not_before(mut self, wait: Duration) -> Self {
        self.opens_after = wait;
        self
    }

    /// Good for this resource only, such as a file: [`redeem_for`](super::Links::redeem_for) has to name it.
    pub fn resource(mut self, resource: &'a str) -> Self {
        self.resource = Some(resource);
        self
    }

    /// Whose link it is: [`revoke_subject`](super::Links::revoke_subject) ends all links of a subject. Kept
    /// as a digest.
    pub fn subject(mut self, subject: &'a str) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Makes the link. One round trip.
    ///
    /// # Errors
    /// An invalid lifetime or subject, a payload that is too large, or the store's.
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
        let payload = links.encode(self.payload)?;
        let owner = self.subject.map(|subject| links.owner(subject)).transpose()?;
        let (token, key) = links.draw(owner.as_ref())?;
        let record = LinkRecord {
            payload,
            resource: self.resource.map(|resource| links.resource(&key, resource)),
            uses: self.uses.map(NonZeroU32::get),
            opens: Moment::START + self.opens_after,
        };
        links.insert(&key, &record, owner.as_ref(), lifetime).await?;
        Ok(CreatedLink {
            link: links.base.link(token.reveal()),
            id: id_of(&token),
            expires_in: lifetime.first(),
        })
    }
}
