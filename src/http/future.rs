//! [`ResponseFuture`]: waits for the handler, then writes the session back.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http::header::{CACHE_CONTROL, HeaderValue, VARY};
use pin_project_lite::pin_project;

use super::grpc;
use super::rejection::Rejection;
use super::sessions::Sessions;

type Commit = Pin<Box<dyn Future<Output = Result<(), Rejection>> + Send>>;

pin_project! {
    /// The response of a [`SessionService`](super::SessionService).
    pub struct ResponseFuture<Inner, Body, T> {
        #[pin]
        inner: Inner,
        sessions: Sessions<T>,
        // There only while a changed session is written, so that no other request costs a box.
        commit: Option<(Commit, Response<Body>)>,
    }
}

impl<Inner, Body, T> ResponseFuture<Inner, Body, T> {
    pub(super) fn new(inner: Inner, sessions: Sessions<T>) -> Self {
        Self { inner, sessions, commit: None }
    }
}

impl<Inner, Body, T> std::fmt::Debug for ResponseFuture<Inner, Body, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResponseFuture")
    }
}

impl<Inner, Body, T, E> Future for ResponseFuture<Inner, Body, T>
where
    Inner: Future<Output = Result<Response<Body>, E>>,
    Body: From<String>,
    T: Send + Sync + 'static,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (mut commit, response) = match this.commit.take() {
            Some(pending) => pending,
            None => {
                let response = ready!(this.inner.poll(context))?;
                if !this.sessions.has_changes() || failed(&response) {
                    return Poll::Ready(Ok(with_headers(response, this.sessions)));
                }
                let commit: Commit = Box::pin(this.sessions.clone().commit());
                (commit, response)
            }
        };
        let response = match commit.as_mut().poll(context) {
            Poll::Pending => {
                *this.commit = Some((commit, response));
                return Poll::Pending;
            }
            Poll::Ready(Ok(())) => response,
            Poll::Ready(Err(rejection)) => rejection.in_place_of(response),
        };
        Poll::Ready(Ok(with_headers(response, this.sessions)))
    }
}

/// Whether the handler failed, so that what it changed is not written.
fn failed<Body>(response: &Response<Body>) -> bool {
    response.status().is_server_error() || grpc::is_server_error(response.headers())
}

/// With what caches are to know of the answer, and with a new token.
fn with_headers<Body, T>(mut response: Response<Body>, sessions: &Sessions<T>) -> Response<Body>
where
    T: Send + Sync + 'static,
{
    let for_caches = sessions.was_asked() && !grpc::is_grpc(response.headers());
    let headers = response.headers_mut();
    if for_caches {
        if let Some(vary) = &sessions.request.layer.vary {
            headers.append(VARY, vary.clone());
        }
        if !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
        }
    }
    for (name, value) in sessions.outgoing().into_iter().flatten() {
        headers.insert(name, value);
    }
    response
}
