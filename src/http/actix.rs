//! The face of actix-web: [`SessionLayer`] as its middleware, and the extractors, thin on
//! [`Sessions`].

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;

use actix_web::body::EitherBody;
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, REFERER, VARY};
use actix_web::http::uri::{PathAndQuery, Uri};
use actix_web::http::{StatusCode, Version};
use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError,
};

use super::layer::SessionLayer;
use super::query::{Cut, Taken, referer_without};
use super::rejection::Rejection;
use super::replaced::is_kept;
use super::request::{LayerConfig, RequestSession};
use super::session::Session;
use super::sessions::Sessions;

type Local<R> = Pin<Box<dyn Future<Output = R>>>;

impl<Inner, Body, T> Transform<Inner, ServiceRequest> for SessionLayer<T>
where
    Inner: Service<ServiceRequest, Response = ServiceResponse<Body>, Error = Error>,
    Inner::Future: 'static,
    T: Send + Sync + 'static,
{
    type Response = ServiceResponse<EitherBody<Body>>;
    type Error = Error;
    type Transform = SessionMiddleware<Inner, T>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: Inner) -> Self::Future {
        ready(Ok(SessionMiddleware { inner, layer: self.config() }))
    }
}

/// An actix-web service behind a [`SessionLayer`]: its requests have [`Sessions`] in their extensions.
///
/// ```
/// use actix_web::{App, web};
/// use token_session::TokenSession;
/// use token_session::http::{Session, SessionLayer};
///
/// async fn visit(mut session: Session<u32>) -> String {
///     *session += 1;
///     session.to_string()
/// }
///
/// // Made once, so that all workers share the sessions.
/// let layer = SessionLayer::new(TokenSession::<u32>::in_memory());
/// let app = move || App::new().wrap(layer.clone()).route("/visit", web::get().to(visit));
/// # app();
/// ```
pub struct SessionMiddleware<Inner, T> {
    inner: Inner,
    layer: Arc<LayerConfig<T>>,
}

impl<Inner: std::fmt::Debug, T> std::fmt::Debug for SessionMiddleware<Inner, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionMiddleware").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<Inner, Body, T> Service<ServiceRequest> for SessionMiddleware<Inner, T>
where
    Inner: Service<ServiceRequest, Response = ServiceResponse<Body>, Error = Error>,
    Inner::Future: 'static,
    T: Send + Sync + 'static,
{
    type Response = ServiceResponse<EitherBody<Body>>;
    type Error = Error;
    type Future = Local<Result<Self::Response, Error>>;

    forward_ready!(inner);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let sessions = begin(&self.layer, &mut request);
        let answer = self.inner.call(request);
        Box::pin(async move {
            match answer.await {
                Ok(response) => Ok(end(&sessions, response).await),
                Err(error) => Err(end_with_error(&sessions, error).await),
            }
        })
    }
}

/// Finds the request's token, and has the request carry its sessions.
fn begin<T: Send + Sync + 'static>(
    layer: &Arc<LayerConfig<T>>,
    request: &mut ServiceRequest,
) -> Sessions<T> {
    let headers = request.headers();
    let (credentials, cut) = layer.transport.find(
        |name| headers.get_all(name.as_str()).map(HeaderValue::as_bytes),
        request.uri().path_and_query().map_or("", PathAndQuery::as_str),
        request.extensions().get(),
    );
    if let Some(name) = &layer.transport.query {
        hide(request, name, cut);
    }
    let origin =
        if layer.manager.generator_needs_origin() { parts(request).map(Box::new) } else { None };
    let state = RequestSession::new(Arc::clone(layer), credentials, origin);
    let sessions = Sessions::of_request(state);
    request.extensions_mut().insert(sessions.share());
    sessions
}

/// Takes the token that was found in the query out of all that the service further in can read.
fn hide(request: &mut ServiceRequest, name: &str, cut: Option<Cut>) {
    if let Some(cut) = cut {
        let uri = with_path_and_query(request.uri(), &cut.path_and_query());
        // The router has a copy of its own.
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
        let mut extensions = request.extensions_mut();
        let taken = extensions.get::<Taken>().cloned().unwrap_or_default();
        extensions.insert(taken.and(name, &cut.values));
    }
    let mut referers = request.headers().get_all(REFERER).map(HeaderValue::as_bytes);
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

/// The request's head in the types that a token generator knows from every other server.
fn parts(request: &ServiceRequest) -> Option<http::request::Parts> {
    let version = match request.version() {
        Version::HTTP_10 => http::Version::HTTP_10,
        Version::HTTP_2 => http::Version::HTTP_2,
        _ => http::Version::HTTP_11,
    };
    let mut builder = http::Request::builder()
        .method(request.method().as_str())
        .uri(request.uri().to_string())
        .version(version);
    for (name, value) in request.headers() {
        builder = builder.header(name.as_str(), value.as_bytes());
    }
    builder.body(()).ok().map(|request| request.into_parts().0)
}

/// Writes what the handlers changed, before the response leaves.
async fn end<Body, T: Send + Sync + 'static>(
    sessions: &Sessions<T>,
    response: ServiceResponse<Body>,
) -> ServiceResponse<EitherBody<Body>> {
    let mut response = match commit(sessions, response.status()).await {
        Ok(()) => response.map_into_left_body(),
        Err(rejection) => {
            let (request, replaced) = response.into_parts();
            let mut response = HttpResponse::from_error(rejection);
            keep(replaced.headers(), response.headers_mut());
            ServiceResponse::new(request, response).map_into_right_body()
        }
    };
    Additions::of(sessions).add_to(response.headers_mut());
    response
}

/// As [`end`], when a middleware further in answers with an error: actix-web makes the response of
/// it later on, and some errors give theirs away only once.
async fn end_with_error<T: Send + Sync + 'static>(sessions: &Sessions<T>, error: Error) -> Error {
    let mut kept = HeaderMap::new();
    let status = error.as_response_error().status_code();
    let error = match commit(sessions, status).await {
        Ok(()) => error,
        Err(rejection) => {
            keep(error.error_response().headers(), &mut kept);
            rejection.into()
        }
    };
    let additions = Additions { kept, ..Additions::of(sessions) };
    if additions.are_none() { error } else { WithAdditions { error, additions }.into() }
}

async fn commit<T: Send + Sync + 'static>(
    sessions: &Sessions<T>,
    status: StatusCode,
) -> Result<(), Rejection> {
    if status.is_server_error() || !sessions.has_changes() {
        return Ok(());
    }
    sessions.clone().commit().await
}

/// Has an answer keep of the one that it replaces what [`is_kept`] says.
fn keep(replaced: &HeaderMap, headers: &mut HeaderMap) {
    for (name, value) in replaced.iter().filter(|(name, _)| is_kept(name.as_str())) {
        headers.append(name.clone(), value.clone());
    }
}

/// The headers that the layer adds to an answer.
#[derive(Debug)]
struct Additions {
    /// Those of an answer that this one replaces.
    kept: HeaderMap,
    is_private: bool,
    vary: Option<http::HeaderValue>,
    token: Option<[(http::HeaderName, http::HeaderValue); 2]>,
}

impl Additions {
    fn of<T: Send + Sync + 'static>(sessions: &Sessions<T>) -> Self {
        let (is_private, vary) = (sessions.was_asked(), sessions.request.layer.vary.clone());
        Self { kept: HeaderMap::new(), is_private, vary, token: sessions.outgoing() }
    }

    fn are_none(&self) -> bool {
        self.kept.is_empty() && !self.is_private && self.token.is_none()
    }

    fn add_to(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.kept {
            headers.append(name.clone(), value.clone());
        }
        if self.is_private {
            let vary = self.vary.as_ref().map(|vary| HeaderValue::from_bytes(vary.as_bytes()));
            if let Some(Ok(vary)) = vary {
                headers.append(VARY, vary);
            }
            if !headers.contains_key(CACHE_CONTROL) {
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
            }
        }
        for (name, value) in self.token.iter().flatten() {
            insert(headers, name, value);
        }
    }
}

/// An error whose response gets more headers.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct WithAdditions {
    error: Error,
    additions: Additions,
}

impl ResponseError for WithAdditions {
    fn status_code(&self) -> StatusCode {
        self.error.as_response_error().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.error.error_response();
        self.additions.add_to(response.headers_mut());
        response
    }
}

fn insert(headers: &mut HeaderMap, name: &http::HeaderName, value: &http::HeaderValue) {
    let copy = HeaderValue::from_bytes(value.as_bytes());
    // Never fails: both crates take the same names and values.
    if let (Ok(name), Ok(mut copy)) = (HeaderName::from_bytes(name.as_ref()), copy) {
        copy.set_sensitive(value.is_sensitive());
        headers.insert(name, copy);
    }
}

impl ResponseError for Rejection {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status().as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let (parts, body) = self.to_response::<String>().into_parts();
        let mut response = HttpResponseBuilder::new(self.status_code()).body(body);
        for (name, value) in &parts.headers {
            insert(response.headers_mut(), name, value);
        }
        response
    }
}

impl<T: Send + Sync + 'static> FromRequest for Sessions<T> {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(Rejection::no_layer::<T>))
    }
}

impl<T: Send + Sync + 'static> FromRequest for Session<T> {
    type Error = Rejection;
    type Future = Local<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let sessions = Sessions::extract(request);
        Box::pin(async move { sessions.await?.session().await })
    }
}

/// A handler's session or `None`, as `Option<Session<T>>` with axum.
///
/// actix-web turns every error behind an `Option` into `None`: a client with a valid token would be a
/// stranger while the store is out of reach. This extractor is `None` where [`Session`] says 401, and
/// rejects the request with 400, 500 or 503 as [`Session`] does.
///
/// ```
/// use token_session::http::OptionalSession;
///
/// async fn greet(OptionalSession(session): OptionalSession<String>) -> String {
///     session.map_or("hello, stranger".to_owned(), |name| format!("hello, {}", *name))
/// }
/// ```
#[derive(Debug)]
pub struct OptionalSession<T: Send + Sync + 'static>(pub Option<Session<T>>);

impl<T: Send + Sync + 'static> FromRequest for OptionalSession<T> {
    type Error = Rejection;
    type Future = Local<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let sessions = Sessions::extract(request);
        Box::pin(async move { sessions.await?.optional_session().await.map(Self) })
    }
}
