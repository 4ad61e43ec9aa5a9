//! [`SessionService`]: what the layer makes of a service.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::HeaderName;
use http::{Request, Response};
use tower_service::Service;

use super::future::ResponseFuture;
use super::sessions::{Manager, RequestState, Sessions};
use super::transport::Transport;

/// A service whose requests have [`Sessions`] in their extensions. Made by
/// [`SessionLayer`](super::SessionLayer).
///
/// ```
/// use http::{Request, Response};
/// use token_session::TokenSession;
/// use token_session::http::{SessionLayer, Sessions};
/// use tower::{ServiceBuilder, service_fn};
///
/// async fn hello(request: Request<String>) -> Result<Response<String>, std::convert::Infallible> {
///     let sessions = request.extensions().get::<Sessions<u32>>().expect("the layer is there");
///     Ok(match sessions.session().await {
///         Ok(session) => Response::new(format!("hello, {}", *session)),
///         Err(rejection) => rejection.to_response(),
///     })
/// }
///
/// let service = ServiceBuilder::new()
///     .layer(SessionLayer::new(TokenSession::<u32>::in_memory()))
///     .service(service_fn(hello));
/// ```
pub struct SessionService<Inner, T> {
    pub(super) inner: Inner,
    pub(super) manager: Arc<dyn Manager<T>>,
    pub(super) transport: Arc<Transport>,
    pub(super) response_header: HeaderName,
}

impl<Inner: Clone, T> Clone for SessionService<Inner, T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            manager: Arc::clone(&self.manager),
            transport: Arc::clone(&self.transport),
            response_header: self.response_header.clone(),
        }
    }
}

impl<Inner: std::fmt::Debug, T> std::fmt::Debug for SessionService<Inner, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<Inner, T, Body, ResponseBody> Service<Request<Body>> for SessionService<Inner, T>
where
    Inner: Service<Request<Body>, Response = Response<ResponseBody>>,
    ResponseBody: From<String>,
    T: Send + Sync + 'static,
{
    type Response = Inner::Response;
    type Error = Inner::Error;
    type Future = ResponseFuture<Inner::Future, ResponseBody, T>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let presented = self.transport.find(&parts.headers, &mut parts.uri);
        let origin = self.manager.needs_origin().then(|| parts.clone());
        let state = RequestState::new(Arc::clone(&self.manager), presented, origin);
        let sessions = Sessions { request: Arc::new(state) };
        parts.extensions.insert(sessions.clone());
        let inner = self.inner.call(Request::from_parts(parts, body));
        ResponseFuture::new(inner, sessions, self.response_header.clone())
    }
}
