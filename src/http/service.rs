//! [`SessionService`]: what the layer makes of a service.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Request, Response};
use tower_service::Service;

use super::future::ResponseFuture;
use super::sessions::{Edge, RequestState, Sessions};

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
    pub(super) edge: Arc<Edge<T>>,
}

impl<Inner: Clone, T> Clone for SessionService<Inner, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), edge: Arc::clone(&self.edge) }
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let headers = request.headers();
        let (presented, rest) = self.edge.transport.find(
            |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes),
            request.uri().path_and_query().map_or("", PathAndQuery::as_str),
        );
        if let Some(uri) = rest.and_then(|rest| with_path_and_query(request.uri(), rest)) {
            *request.uri_mut() = uri;
        }
        let mut origin = None;
        if self.edge.manager.needs_origin() {
            let (parts, body) = request.into_parts();
            origin = Some(Box::new(parts.clone()));
            request = Request::from_parts(parts, body);
        }
        let state = RequestState::new(Arc::clone(&self.edge), presented, origin);
        let sessions = Sessions { request: Arc::new(state) };
        request.extensions_mut().insert(sessions.clone());
        ResponseFuture::new(self.inner.call(request), sessions)
    }
}

fn with_path_and_query(uri: &Uri, path_and_query: String) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_uri_keeps_its_scheme_and_host() {
        let uri = Uri::from_static("http://host:1/a?token=x");
        assert_eq!(with_path_and_query(&uri, "/a".to_owned()).unwrap(), "http://host:1/a");
    }
}
