//! [`SessionLayer`] and its options.

use std::sync::Arc;

use http::header::HeaderName;
use tower_layer::Layer;

use super::service::SessionService;
use super::sessions::{Edge, Manager};
use super::signed_cookie::SignedCookie;
use super::transport::Transport;
use crate::codec::Codec;
use crate::manager::TokenSession;
use crate::store::Store;

/// A [tower layer](tower_layer::Layer), and with the feature `actix` a middleware of actix-web, that
/// gives the requests that pass it their sessions.
///
/// It looks for the token in these places, of which all that are on must agree:
///
/// 1. `Authorization: Bearer …`: on.
/// 2. The header `token-session`: on.
/// 3. A cookie: off. It is read, never set. A browser sends a cookie with requests that other sites
///    make too, so switch it on only behind a defence against CSRF. That of express-session, which
///    is signed, has an [option of its own](Self::signed_cookie).
/// 4. A query parameter: off. URLs end up in logs and in `Referer` (RFC 6750, section 5.3); it is
///    taken out of the URI before the handler, or a logging layer further in, sees it.
///
/// A browser client on another origin reads the response's header only if CORS exposes it
/// (`Access-Control-Expose-Headers: token-session`).
///
/// ```
/// use token_session::TokenSession;
/// use token_session::http::{HeaderName, SessionLayer};
///
/// let layer = SessionLayer::new(TokenSession::<u32>::in_memory())
///     .header(HeaderName::from_static("x-auth-token"))
///     .cookie("tks")
///     .query("token-session");
/// ```
pub struct SessionLayer<T> {
    manager: Arc<dyn Manager<T>>,
    transport: Transport,
}

impl<T> Clone for SessionLayer<T> {
    fn clone(&self) -> Self {
        Self { manager: Arc::clone(&self.manager), transport: self.transport.clone() }
    }
}

impl<T> std::fmt::Debug for SessionLayer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionLayer").field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> SessionLayer<T> {
    /// Serves this manager's sessions.
    pub fn new<S: Store, C: Codec<T>>(sessions: TokenSession<T, S, C>) -> Self {
        Self { manager: Arc::new(sessions), transport: Transport::default() }
    }

    /// What all requests that pass one copy of the layer share.
    pub(super) fn edge(&self) -> Arc<Edge<T>> {
        let (manager, transport) = (Arc::clone(&self.manager), self.transport.clone());
        Arc::new(Edge { manager, transport })
    }

    fn with(mut self, change: impl FnOnce(&mut Transport)) -> Self {
        change(&mut self.transport);
        self
    }

    /// Whether to read `Authorization: Bearer`. Default: yes.
    #[must_use]
    pub fn bearer(self, yes: bool) -> Self {
        self.with(|transport| transport.bearer = yes)
    }

    /// Reads the token from this header, and sends new ones in it. Default: `token-session`.
    #[must_use]
    pub fn header(self, name: HeaderName) -> Self {
        self.with(|transport| {
            transport.header = name;
            transport.reads_header = true;
        })
    }

    /// Reads the token from no header but `Authorization`; new ones go out in
    /// [`header`](Self::header) all the same.
    #[must_use]
    pub fn without_header(self) -> Self {
        self.with(|transport| transport.reads_header = false)
    }

    /// Reads the token from this cookie too.
    #[must_use]
    pub fn cookie(self, name: impl Into<String>) -> Self {
        self.with(|transport| transport.cookie = Some(name.into()))
    }

    /// Reads the token from the signed cookie of express-session too. The warning about cookies
    /// above is for it as well, and whoever changes the token [sets the cookie again](SignedCookie).
    #[must_use]
    pub fn signed_cookie(self, cookie: SignedCookie) -> Self {
        self.with(|transport| transport.signed_cookie = Some(cookie))
    }

    /// Reads the token from this query parameter too, and takes it out of the URI.
    #[must_use]
    pub fn query(self, name: impl Into<String>) -> Self {
        self.with(|transport| transport.query = Some(name.into()))
    }
}

impl<Inner, T: Send + Sync + 'static> Layer<Inner> for SessionLayer<T> {
    type Service = SessionService<Inner, T>;

    fn layer(&self, inner: Inner) -> Self::Service {
        SessionService { inner, edge: self.edge() }
    }
}
