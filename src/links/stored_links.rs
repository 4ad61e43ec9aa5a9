//! [`Links`]: kept in a store, good for a number of uses.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::base_url::{BaseUrl, Link};
use super::builder::LinksBuilder;
use super::engine::LinksEngine;
use super::error::LinkError;
use super::inspector::{Inspection, LinkInspector};
use super::new_link::NewLink;
use crate::key::Key;

/// Makes links of one purpose, and redeems them. Cheap to clone: a handle on shared state.
///
/// The store keeps the digest of a token, never the token. The payload is kept as the codec writes
/// it. As with [`Codes`](crate::codes::Codes), keep links in a store of their own.
///
/// # What do a thousand clicks at once cost?
/// A use is counted by compare-and-swap: 2 round trips, and 2 more for each other request that came
/// first. Of `k` requests that race for a link of `n` uses exactly `n` succeed, and all of them
/// together take about `2·k·min(k, n)` round trips at the worst. Make links that thousands open at the
/// same moment [unlimited](NewLink::unlimited): those take one round trip, and no write.
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
pub struct Links<T>(pub(super) Arc<LinksEngine<T>>);

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
    /// The link, for the person it is meant for.
    pub link: Link,
    /// Names the link in logs and lists, and [revokes](Links::revoke) it. Not a secret, and not the key
    /// of the record that the store keeps.
    pub id: Key,
    /// How long it lives.
    pub expires_in: Duration,
}

/// What a link was good for. The use is counted.
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
pub struct RedeemedLink<T> {
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

    /// Makes a link of one use: [`new_link`](Self::new_link) and [`create`](NewLink::create) in one.
    ///
    /// # Errors
    /// As [`NewLink::create`].
    pub async fn create(&self, payload: &T) -> Result<CreatedLink, LinkError> {
        self.new_link(payload).create().await
    }

    /// A link that is about to be made, to set its uses, its lifetime and what it is bound to.
    pub fn new_link<'a>(&'a self, payload: &'a T) -> NewLink<'a, T> {
        NewLink::new(&self.0, payload)
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
    pub async fn redeem(&self, token: &str) -> Result<RedeemedLink<T>, LinkError> {
        self.0.redeem(token, None).await
    }

    /// Uses a link that is bound to this resource. For another one it is refused, and no use is
    /// counted.
    ///
    /// # Errors
    /// As [`redeem`](Self::redeem).
    pub async fn redeem_for(
        &self,
        token: &str,
        resource: &str,
    ) -> Result<RedeemedLink<T>, LinkError> {
        self.0.redeem(token, Some(resource)).await
    }

    /// Ends a link, by its [id](CreatedLink::id). False: it had ended, or no link of this purpose has the
    /// id. No id ends anything else in the store. The service decides whether the caller may end this
    /// link. One round trip.
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
        self.0.revoke(id).await
    }

    /// Ends all links of a [subject](NewLink::subject). One round trip.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke_subject(&self, subject: &str) -> Result<(), LinkError> {
        self.0.revoke_subject(subject).await
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
