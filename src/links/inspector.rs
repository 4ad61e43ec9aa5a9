//! [`LinkInspector`] and [`SignInInspector`]: they look at links, and can do nothing else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::engine::LinksEngine;
use super::error::LinkError;
use crate::codes::{CodeError, Codes, LinkToken, LinkedCode};

/// Looks at [`Links`](super::Links), and cannot redeem them: give it to the routes that answer a `GET`
/// or a `HEAD`, and what a mail scanner opens changes nothing, whatever their handlers do.
/// [`Links::inspector`](super::Links::inspector) makes it; it is cheap to clone.
///
/// ```
/// use token_session::links::{BaseUrl, Links};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let base = BaseUrl::path("https://example.org/invitations/")?;
/// let invitations = Links::<String>::builder("invitation", base).build()?;
/// let inspector = invitations.inspector();
///
/// let link = invitations.create(&"the choir".to_owned()).await?.link;
/// assert_eq!(inspector.inspect(link.token()).await?.payload, "the choir");
/// # Ok(()) }
/// ```
///
/// To redeem with it does not compile:
///
/// ```compile_fail,E0599
/// # async fn get(inspector: token_session::links::LinkInspector<String>, token: &str) {
/// inspector.redeem(token).await;
/// # }
/// ```
pub struct LinkInspector<T>(pub(super) Arc<LinksEngine<T>>);

/// What a link would do. Nothing was done.
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
/// let seen = links.inspect(link.token()).await?;
/// assert_eq!((seen.payload.as_str(), seen.uses_left), ("report.pdf", Some(1)));
/// assert_eq!(seen.opens_in.as_secs(), 0);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection<T> {
    /// What was given when the link was made.
    pub payload: T,
    /// How many uses are left; `None`: any number.
    pub uses_left: Option<u32>,
    /// How long it lives.
    pub expires_in: Duration,
    /// How long until it can be used; zero: now.
    pub opens_in: Duration,
}

impl<T: 'static> LinkInspector<T> {
    /// As [`Links::inspect`](super::Links::inspect). One round trip.
    ///
    /// # Errors
    /// [`Refused`](LinkError::Refused) for a link that is good for nothing.
    pub async fn inspect(&self, token: &str) -> Result<Inspection<T>, LinkError> {
        self.0.inspect(token).await
    }
}

/// Looks at [`SignInLinks`](super::SignInLinks), and neither redeems nor sends any: for the page that
/// such a link leads to. [`SignInLinks::inspector`](super::SignInLinks::inspector) makes it; it is cheap
/// to clone.
///
/// ```
/// use token_session::codes::Codes;
/// use token_session::links::BaseUrl;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let base = BaseUrl::path("https://example.org/magic/")?;
/// let sign_in = Codes::<String>::builder("sign-in").build_with_links(base)?;
/// let inspector = sign_in.inspector();
///
/// let issued = sign_in.issue("anna@example.org", &"user-17".to_owned()).await?;
/// assert_eq!(inspector.inspect(issued.link.token()).await?.payload, "user-17");
/// # Ok(()) }
/// ```
pub struct SignInInspector<T>(pub(super) Codes<T>);

impl<T: 'static> SignInInspector<T> {
    /// As [`SignInLinks::inspect`](super::SignInLinks::inspect). One round trip.
    ///
    /// # Errors
    /// [`Refused`](CodeError::Refused) for a link that is good for nothing.
    pub async fn inspect(&self, token: &str) -> Result<LinkedCode<T>, CodeError> {
        let link = LinkToken::parse(token).ok_or(CodeError::Refused)?;
        self.0.look(&link).await
    }
}

impl<T> Clone for LinkInspector<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for SignInInspector<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for LinkInspector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkInspector").field("purpose", &self.0.purpose).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SignInInspector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SignInInspector").field(&self.0).finish()
    }
}
