//! [`SessionLayer`].

use std::sync::Arc;

use tower_layer::Layer;

use super::builder::SessionLayerBuilder;
use super::request::LayerConfig;
use super::service::SessionService;
use super::transport::Transport;
use crate::manager::TokenSession;

/// A [tower layer](tower_layer::Layer), and with the feature `actix` an actix-web middleware, that gives
/// requests their sessions.
///
/// It looks for the token in these places:
///
/// 1. `Authorization: Bearer …`: on.
/// 2. The header `token-session`: on.
/// 3. A [cookie](SessionLayerBuilder::cookie): off. It is read, never set. A browser sends a cookie
///    with requests that other sites make too, so switch it on only behind a defence against CSRF.
///    The signed cookie of express-session has an [option of its
///    own](SessionLayerBuilder::signed_cookie).
/// 4. A [query parameter](SessionLayerBuilder::query): off. URLs end up in logs and in `Referer` (RFC
///    6750, section 5.3); the parameter is taken out of the URI before the handler, or a logging
///    layer further in, sees it.
///
/// All places that hold a token must agree. An empty value is no token. A value that cannot be a token is
/// an error in a header, which the client writes for this service. In a cookie or the query it is ignored
/// if there is a token elsewhere.
///
/// A browser client on another origin reads the response's header only if CORS exposes it
/// (`Access-Control-Expose-Headers: token-session`).
///
/// ```
/// use token_session::TokenSession;
/// use token_session::http::SessionLayer;
///
/// let sessions = TokenSession::<u32>::in_memory();
/// let layer = SessionLayer::new(sessions.clone());
/// let with_cookie = SessionLayer::builder(sessions).cookie("tks").build()?;
/// # Ok::<(), token_session::http::SessionLayerError>(())
/// ```
#[doc(alias = "express")]
pub struct SessionLayer<T> {
    manager: TokenSession<T>,
    transport: Transport,
}

impl<T> Clone for SessionLayer<T> {
    fn clone(&self) -> Self {
        Self { manager: self.manager.clone(), transport: self.transport.clone() }
    }
}

impl<T> std::fmt::Debug for SessionLayer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionLayer").field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> SessionLayer<T> {
    /// Serves this manager's sessions, by the tokens in `Authorization: Bearer` and the header
    /// `token-session`.
    pub fn new(sessions: TokenSession<T>) -> Self {
        Self::with(sessions, Transport::default())
    }

    /// Serves this manager's sessions, by the tokens in places of your choice.
    pub fn builder(sessions: TokenSession<T>) -> SessionLayerBuilder<T> {
        SessionLayerBuilder::new(sessions)
    }

    /// What all requests share.
    pub(super) fn config(&self) -> Arc<LayerConfig<T>> {
        let (manager, transport) = (self.manager.clone(), self.transport.clone());
        let vary = transport.vary();
        Arc::new(LayerConfig { manager, transport, vary })
    }
}

impl<T> SessionLayer<T> {
    pub(super) fn with(manager: TokenSession<T>, transport: Transport) -> Self {
        Self { manager, transport }
    }
}

impl<Inner, T: Send + Sync + 'static> Layer<Inner> for SessionLayer<T> {
    type Service = SessionService<Inner, T>;

    fn layer(&self, inner: Inner) -> Self::Service {
        SessionService { inner, layer: self.config() }
    }
}
