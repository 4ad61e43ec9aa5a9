//! [`SessionService`]: a service behind the layer.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{HeaderValue, REFERER};
use http::uri::{PathAndQuery, Uri};
use http::{Request, Response};
use tower_service::Service;

use super::attempt::Copies;
use super::future::ResponseFuture;
use super::query::{Cut, Taken, referer_without};
use super::request::{LayerConfig, RequestSession};
use super::sessions::Sessions;

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
    pub(super) layer: Arc<LayerConfig<T>>,
}

impl<Inner: Clone, T> Clone for SessionService<Inner, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: Arc::clone(&self.layer) }
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
        let (credentials, cut) = self.layer.transport.find(
            |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes),
            request.uri().path_and_query().map_or("", PathAndQuery::as_str),
            request.extensions().get(),
        );
        if let Some(name) = &self.layer.transport.query {
            hide(&mut request, name, cut);
        }
        let mut origin = None;
        if self.layer.manager.generator_needs_origin() {
            let (parts, body) = request.into_parts();
            origin = Some(Box::new(parts.clone()));
            request = Request::from_parts(parts, body);
        }
        let state = RequestSession::new(Arc::clone(&self.layer), credentials, origin);
        let sessions = Sessions::of_request(state);
        let ours = sessions.share();
        request.extensions_mut().insert(Copies(Arc::clone(&ours.request)));
        request.extensions_mut().insert(sessions);
        ResponseFuture::new(self.inner.call(request), ours)
    }
}

/// Takes the token that was found in the query out of all that the service further in can read.
fn hide<Body>(request: &mut Request<Body>, name: &str, cut: Option<Cut>) {
    if let Some(cut) = cut {
        *request.uri_mut() = with_path_and_query(request.uri(), &cut.path_and_query());
        let extensions = request.extensions_mut();
        let taken = extensions.get::<Taken>().cloned().unwrap_or_default();
        extensions.insert(taken.and(name, &cut.values));
    }
    // The router copied the URI before it called a layer of its own.
    #[cfg(feature = "axum")]
    if let Some(original) = request.extensions_mut().get_mut::<axum::extract::OriginalUri>() {
        let path_and_query = original.path_and_query().map_or("", PathAndQuery::as_str);
        if let Some(cut) = Cut::of(path_and_query, name) {
            original.0 = with_path_and_query(original, &cut.path_and_query());
        }
    }
    let mut referers = request.headers().get_all(REFERER).iter().map(HeaderValue::as_bytes);
    if let Some(rest) = referers.find_map(|referer| referer_without(referer, name)) {
        let headers = request.headers_mut();
        match HeaderValue::from_bytes(rest.as_bytes()) {
            Ok(rest) => headers.insert(REFERER, rest),
            Err(_) => headers.remove(REFERER),
        };
    }
}

fn with_path_and_query(uri: &Uri, path_and_query: &str) -> Uri {
    let mut parts = uri.clone().into_parts();
    // A part of a valid URI is valid. If it were not, the token must still go.
    let rest = PathAndQuery::try_from(path_and_query);
    parts.path_and_query = Some(rest.unwrap_or_else(|_| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_uri_keeps_its_scheme_and_host() {
        for (before, after) in [
            ("http://host:1/a?token=x", "http://host:1/a"),
            ("http://host:1?token=x", "http://host:1/"),
            ("http://host:1?token=x&b", "http://host:1/?b"),
            ("/?token=x#token=x", "/"),
        ] {
            let uri = Uri::from_static(before);
            let cut = Cut::of(uri.path_and_query().unwrap().as_str(), "token").unwrap();
            assert_eq!(with_path_and_query(&uri, &cut.path_and_query()), after);
        }
    }
}
