//! [`SignInLinks`]: links that sign somebody in, and that no scanner can complete.

use std::fmt;
use std::time::Duration;

use super::base_url::{BaseUrl, Link};
use super::inspector::SignInInspector;
use crate::codec::Codec;
use crate::codes::{
    Code, CodeError, Codes, CodesBuilder, Guess, LinkedCode, OpenChallenge, PolicyError,
    RedeemedCode,
};

/// Links that stand for a code: clicked in the browser that asked, they complete at once; opened
/// anywhere else, they show a short code to type where the request began.
/// [`CodesBuilder::build_with_links`] makes them.
///
/// 1. The client asks; [`issue`](Self::issue) gives it a handle, and the mail a link.
/// 2. The link's page [inspects](Self::inspect). Opening it, or pressing anything there, changes nothing.
/// 3. With the handle, which only the browser that asked has, the page [redeems](Self::redeem).
/// 4. Without it, as on another device, the page shows the [code](LinkedCode::code), to be typed into
///    the tab that waits: [`codes`](Self::codes) redeem it.
///
/// A link is good for what its code is good for, on the same budget; using one uses up both. Guessing a
/// link is no easier than guessing its code, as neither does anything without the handle.
///
/// ```
/// use token_session::codes::Codes;
/// use token_session::links::BaseUrl;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let base = BaseUrl::path("https://example.org/magic/")?;
/// let sign_in = Codes::<String>::builder("sign-in").build_with_links(base)?;
///
/// // POST /magic {"email": …} → 202 {"handle": …}
/// let issued = sign_in.issue("anna@example.org", &"user-17".to_owned()).await?;
/// let handle = issued.challenge.handle.reveal();
/// let mail = format!("Sign in: {}", issued.link.reveal());
///
/// // GET /magic/{link}, here or elsewhere, once or often
/// let page = sign_in.inspect(issued.link.token()).await?;
/// println!("Sign in as {}? Or type {} where you asked.", page.payload, &*page.code.grouped());
///
/// // POST /magic/{link} {"handle": …} → 201
/// let redeemed = sign_in.redeem(issued.link.token(), handle).await?;
/// assert_eq!(redeemed.payload, "user-17");
/// # Ok(()) }
/// ```
pub struct SignInLinks<T> {
    codes: Codes<T>,
    base: BaseUrl,
}

/// A link to send, and the challenge that it answers.
///
/// ```
/// use token_session::codes::Codes;
/// use token_session::links::BaseUrl;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let base = BaseUrl::path("https://example.org/magic/")?;
/// let sign_in = Codes::<String>::builder("sign-in").build_with_links(base)?;
/// let issued = sign_in.issue("anna@example.org", &"user-17".to_owned()).await?;
///
/// let handle = issued.challenge.handle.reveal(); // for the client
/// let mail = format!("{} or {}", issued.link.reveal(), &*issued.code.grouped()); // for Anna
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuedSignIn {
    /// For the client that asked.
    pub challenge: OpenChallenge,
    /// For the person, by mail. Never for the client.
    pub link: Link,
    /// The code that the link stands for, where the mail shows it too. Never for the client.
    pub code: Code,
}

/// Another link of a challenge.
///
/// ```
/// use token_session::codes::{CodeError, Codes};
/// use token_session::links::BaseUrl;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let base = BaseUrl::path("https://example.org/magic/")?;
/// let sign_in = Codes::<String>::builder("sign-in").build_with_links(base)?;
/// let issued = sign_in.issue("anna@example.org", &"user-17".to_owned()).await?;
///
/// match sign_in.resend(issued.challenge.handle.reveal()).await {
///     Ok(again) => {
///         if let Some((link, code, user)) = again.message {
///             // Send them to the user.
///         }
///         // Answer the same with a message and without.
///     }
///     Err(CodeError::TooSoon { retry_after }) => assert!(retry_after.as_secs() <= 60),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct ResentSignIn<T> {
    /// The link and the code to send, and the payload of the challenge. `None`: the challenge is a
    /// decoy, so nobody is sent anything.
    pub message: Option<(Link, Code, T)>,
    /// How long the new link lives.
    pub expires_in: Duration,
    /// When another one may be sent.
    pub resend_in: Duration,
}

impl<T: 'static, C: Codec<T>> CodesBuilder<T, C> {
    /// Links that stand for codes, and lead to `base`.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_with_links(self, base: BaseUrl) -> Result<SignInLinks<T>, PolicyError> {
        Ok(SignInLinks { codes: self.build()?, base })
    }
}

impl<T: 'static> SignInLinks<T> {
    /// Opens a challenge: a link to send to the person, and a handle for the client that asked.
    /// Costs as [`Codes::issue`].
    ///
    /// # Errors
    /// As [`Codes::issue`].
    pub async fn issue(&self, subject: &str, payload: &T) -> Result<IssuedSignIn, CodeError> {
        self.issue_to(None, subject, payload).await
    }

    /// As [`issue`](Self::issue), for a [known device](Codes::issue_from_device).
    ///
    /// # Errors
    /// As [`Codes::issue`].
    pub async fn issue_from_device(
        &self,
        device: &str,
        subject: &str,
        payload: &T,
    ) -> Result<IssuedSignIn, CodeError> {
        self.issue_to(Some(device), subject, payload).await
    }

    async fn issue_to(
        &self,
        device: Option<&str>,
        subject: &str,
        payload: &T,
    ) -> Result<IssuedSignIn, CodeError> {
        let (issued, link) = self.codes.issue_linked(device, subject, payload).await?;
        Ok(IssuedSignIn {
            challenge: issued.challenge,
            link: self.base.link(&link.reveal()),
            code: issued.code,
        })
    }

    /// Another link for a challenge; the earlier ones stay good, as with [`Codes::resend`].
    ///
    /// # Errors
    /// As [`Codes::resend`].
    pub async fn resend(&self, handle: &str) -> Result<ResentSignIn<T>, CodeError> {
        let (resent, link) = self.codes.resend_linked(handle).await?;
        let link = self.base.link(&link.reveal());
        Ok(ResentSignIn {
            message: resent.message.map(|(code, payload)| (link, code, payload)),
            expires_in: resent.expires_in,
            resend_in: resent.resend_in,
        })
    }

    /// What a link would do: changes nothing, however often it is asked. One round trip.
    ///
    /// # Errors
    /// [`Refused`](CodeError::Refused) for a link that is good for nothing.
    pub async fn inspect(&self, token: &str) -> Result<LinkedCode<T>, CodeError> {
        self.inspector().inspect(token).await
    }

    /// What can look at these links, and cannot redeem them: for the routes of a `GET`.
    pub fn inspector(&self) -> SignInInspector<T> {
        SignInInspector(self.codes.clone())
    }

    /// Uses a link, with the handle of the browser that asked. Costs as [`Codes::redeem`]; a link of
    /// another challenge than the handle's costs nothing, and no guess.
    ///
    /// # Errors
    /// As [`Guess::redeem`].
    pub async fn redeem(&self, token: &str, handle: &str) -> Result<RedeemedCode<T>, CodeError> {
        self.guess(token, handle).redeem().await
    }

    /// As [`redeem`](Self::redeem), with an attempt key, or as a lease.
    ///
    /// ```
    /// use token_session::codes::Codes;
    /// use token_session::links::BaseUrl;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let base = BaseUrl::path("https://example.org/magic/")?;
    /// let sign_in = Codes::<String>::builder("sign-in").build_with_links(base)?;
    /// let issued = sign_in.issue("anna@example.org", &"user-17".to_owned()).await?;
    /// let (link, handle) = (issued.link.token(), issued.challenge.handle.reveal());
    ///
    /// let submit = || sign_in.guess(link, handle).attempt("a random text of the page");
    /// assert!(!submit().redeem().await?.repeated);
    /// assert!(submit().redeem().await?.repeated); // a double click
    /// # Ok(()) }
    /// ```
    pub fn guess<'a>(&'a self, token: &str, handle: &'a str) -> Guess<'a, T> {
        self.codes.guess_link(handle, token)
    }

    /// The codes that the links stand for: to redeem one that was typed, to open a decoy, to cancel,
    /// to revoke.
    pub fn codes(&self) -> &Codes<T> {
        &self.codes
    }
}

impl<T> Clone for SignInLinks<T> {
    fn clone(&self) -> Self {
        Self { codes: self.codes.clone(), base: self.base.clone() }
    }
}

impl<T> fmt::Debug for SignInLinks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInLinks").field("codes", &self.codes).field("base", &self.base).finish()
    }
}
