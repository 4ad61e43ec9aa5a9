//! [`LinkedCode`]: what a link that stands for a code shows, and how such links are made and redeemed.

use std::time::Duration;

use super::challenge::ChallengeSecret;
use super::redeem::{Guess, Lookup};
use super::{Code, CodeError, Codes, IssuedCode, LinkToken, ResentCode};
use crate::key::Key;
use crate::key_ring::same;

/// What the page of a [sign-in link](crate::links::SignInLinks) shows. Looking at it changes nothing.
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
/// let linked = sign_in.inspect(issued.link.token()).await?;
/// assert_eq!(linked.payload, "user-17");
/// assert_eq!(linked.code.reveal(), issued.code.reveal());
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct LinkedCode<T> {
    /// What was given when the link was issued.
    pub payload: T,
    /// The code that the link stands for: to be typed where the request began.
    pub code: Code,
    /// How long the link lives.
    pub expires_in: Duration,
}

impl<T: 'static> Codes<T> {
    /// As [`issue`](Self::issue), for a device if there is one, and with the link that the code was made
    /// from.
    pub(crate) async fn issue_linked(
        &self,
        device: Option<&str>,
        subject: &str,
        payload: &T,
    ) -> Result<(IssuedCode, LinkToken), CodeError> {
        let work = self.0.issue(device, subject, payload, false);
        let (challenge, new) = self.0.observe("issue_code", None, work).await?;
        Ok((IssuedCode { challenge, code: new.code }, new.link))
    }

    /// As [`resend`](Self::resend), with the link that the code was made from.
    pub(crate) async fn resend_linked(
        &self,
        handle: &str,
    ) -> Result<(ResentCode<T>, LinkToken), CodeError> {
        let engine = &self.0;
        let secret = self.secret(handle);
        let key = secret.as_ref().map(|secret| &secret.key);
        let work = async {
            let secret = secret.as_ref().ok_or(CodeError::Refused)?;
            let (challenge, new) = engine.resend(secret).await?;
            // Of a decoy too: a client must not see by the time that nothing is decoded.
            let payload = engine.decode(&secret.key, &challenge)?;
            let message = (!challenge.decoy).then_some((new.code, payload));
            let resent = ResentCode {
                message,
                expires_in: engine.policy.lifetime,
                resend_in: engine.policy.resend_after,
            };
            Ok((resent, new.link))
        };
        engine.observe("resend_code", key, work).await
    }

    /// A guess that the code is the one that a link stands for.
    pub(crate) fn guess_link<'a>(&'a self, handle: &'a str, link: &str) -> Guess<'a, T> {
        let secret = self.secret(handle);
        let is_of_handle = |link: &LinkToken| {
            secret.as_ref().is_some_and(|secret| secret.locator() == link.locator())
        };
        let link = LinkToken::parse(link).filter(is_of_handle);
        let code = link.map(|link| link.code(self.0.policy.format));
        Guess::new(&self.0, Lookup::Handle(secret), code)
    }

    /// The challenge whose code a link stands for, and the code, while it is good.
    pub(crate) async fn look(&self, link: &LinkToken) -> Result<LinkedCode<T>, CodeError> {
        let key = ChallengeSecret::key_at(&self.0.policy.purpose, &link.locator());
        self.0.observe("inspect_code", Some(&key), self.look_at(link, &key)).await
    }

    async fn look_at(&self, link: &LinkToken, key: &Key) -> Result<LinkedCode<T>, CodeError> {
        let engine = &self.0;
        let found = engine.load(key).await?.ok_or(CodeError::Refused)?;
        let digest = link.digest();
        let live = found.value.live(found.now);
        let sent = live.filter(|code| same(&code.link.0, &digest.0)).last();
        let until = sent.ok_or(CodeError::Refused)?.until;
        if found.value.is_used() || found.value.decoy {
            return Err(CodeError::Refused);
        }
        Ok(LinkedCode {
            payload: engine.decode(key, &found.value)?,
            code: link.code(engine.policy.format),
            expires_in: until.since(found.now),
        })
    }
}
