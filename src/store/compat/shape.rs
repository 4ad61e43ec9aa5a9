//! [`Shape`]: how the Node service lays out a session, and how it is configured.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::value::RawValue;

use super::members::{Members, raw};
use super::session::MAX_AGE;
use crate::record::{Lifetime, LifetimeError};

/// How the Node service lays out what it keeps, and what of its configuration matters here.
///
/// ```
/// use std::time::Duration;
/// use token_session::store::compat::Shape;
///
/// // Written by `token-session` 1.1, whose store has the option `ttl: 7200`:
/// let ours = Shape::token_session().ttl(Duration::from_secs(7200))?;
/// // Written by express-session, with `cookie: { maxAge: 3600000, secure: true, sameSite: 'lax' }`:
/// let express = Shape::express().max_age(Duration::from_secs(3600))?;
/// let express = express.cookie("secure", true).cookie("sameSite", "lax");
/// # Ok::<(), token_session::LifetimeError>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "express")]
pub struct Shape {
    pub(super) layout: Layout,
    pub(super) ttl: Option<Lifetime>,
    /// In place of the `ttl` for a session that begins.
    pub(super) max_age: Option<Lifetime>,
    /// The cookie object of a new session, which says nothing of its lifetime.
    pub(super) cookie: Members<'static>,
    pub(super) unwraps: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `{"cookie":{…},"data":<data>}`
    Wrapped,
    /// `{"cookie":{…},<the members of the data>}`
    Flat,
}

impl Shape {
    /// What the Node module `token-session` 1.1 writes: `{"cookie":{"maxAge":0},"data":…}`. The data
    /// may be any JSON except an object with a `cookie` that is `{}` or `{"maxAge":null}`: that is
    /// what Node's `setWttl` slips into the data. Reading leaves it out, and writing refuses it.
    pub fn token_session() -> Self {
        let mut cookie = Members::default();
        cookie.set("maxAge", raw(&0));
        Self { layout: Layout::Wrapped, ttl: None, max_age: None, cookie, unwraps: false }
    }

    /// What express-session writes, and `token-session` 1.0 did: the user's fields beside a
    /// `cookie`. The data is a struct or a map.
    ///
    /// **A plain struct deletes with its first write what Express and its middleware keep beside its
    /// own fields**, such as `passport` or `flash`. [`Lossless`](super::Lossless) around it keeps
    /// them, and so does a map:
    ///
    /// ```
    /// use token_session::store::compat::Lossless;
    /// use token_session::{Codec, Json};
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Account { user: String }
    ///
    /// let session = br#"{"passport":{"user":17},"user":"anna"}"#;
    /// let plain: Account = Json.decode(session)?;
    /// assert_eq!(Json.encode(&plain)?, r#"{"user":"anna"}"#);
    /// let kept: Lossless<Account> = Json.decode(session)?;
    /// assert_eq!(Json.encode(&kept)?, &session[..]);
    /// # Ok::<(), token_session::CodecError>(())
    /// ```
    pub fn express() -> Self {
        let mut cookie = Members::default();
        cookie.set(MAX_AGE, null());
        cookie.set("expires", null());
        cookie.set("httpOnly", raw(&true));
        cookie.set("path", raw("/"));
        Self { layout: Layout::Flat, ttl: None, max_age: None, cookie, unwraps: false }
    }

    /// How long a session lives whose record does not say so: what the Node service has set as its
    /// store's `ttl` (express-mysql-session: `expiration`). Default: the package's own, a day, or 14
    /// days for connect-mongo.
    ///
    /// # Errors
    /// The error for an invalid timeout.
    pub fn ttl(mut self, ttl: Duration) -> Result<Self, LifetimeError> {
        self.ttl = Some(Lifetime::idle(ttl)?);
        Ok(self)
    }

    /// The Node service's `cookie.maxAge`, which goes before its [`ttl`](Self::ttl), whichever is
    /// set first: give it to the manager as its lifetime too. The cookie of a session that begins
    /// here then says how long the browser keeps it, which is the session's own idle timeout.
    /// Without it, that stands there only where it is not the `ttl`; else, and where a session has
    /// no idle timeout, both services have the browser forget the cookie when it is closed. It has
    /// no effect on [`token_session`](Self::token_session).
    ///
    /// # Errors
    /// The error for an invalid timeout.
    pub fn max_age(mut self, max_age: Duration) -> Result<Self, LifetimeError> {
        let max_age = Lifetime::idle(max_age)?;
        self.max_age = Some(max_age).filter(|_| self.layout == Layout::Flat);
        Ok(self)
    }

    /// An attribute of the cookie of sessions that begin here, in express-session's words: `secure`,
    /// `httpOnly`, `domain`, `path`, `sameSite`. Give what the option `cookie` of the Node service
    /// has: it sends the browser a session's own attributes, not those of its configuration. Its
    /// `maxAge` goes to [`max_age`](Self::max_age): neither that nor `expires` has an effect here.
    /// Default: `httpOnly: true`, `path: "/"`.
    #[must_use]
    pub fn cookie(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        if !["maxAge", MAX_AGE, "expires"].contains(&name) {
            self.cookie.set(name.to_owned(), raw(&value.into()));
        }
        self
    }

    /// Looks for the data within data that is `{"cookie":{"maxAge":0},"data":…}` itself. Default:
    /// no, since a user's own data may look like that: with it, writing refuses such data, as reading
    /// would hand out what is within.
    ///
    /// `touch` of the Node module hands its store the wrapped data wrapped again. Only
    /// session-memory-store keeps that; a shared store may hold it when it was filled from one.
    #[must_use]
    pub fn unwrap_repeatedly(mut self) -> Self {
        self.unwraps = true;
        self
    }
}

pub(super) fn null() -> Cow<'static, RawValue> {
    Cow::Borrowed(RawValue::NULL)
}
