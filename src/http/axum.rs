//! The extractors of axum: thin faces on [`Sessions`].

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;

use super::rejection::Rejection;
use super::session::Session;
use super::sessions::Sessions;

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        self.to_response()
    }
}

impl<S: Sync, T: Send + Sync + 'static> FromRequestParts<S> for Sessions<T> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let sessions = parts.extensions.get::<Self>().ok_or_else(Rejection::no_layer::<T>)?;
        sessions.enter();
        Ok(sessions.share())
    }
}

impl<S: Sync, T: Send + Sync + 'static> FromRequestParts<S> for Session<T> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let sessions = parts.extensions.get::<Sessions<T>>();
        sessions.ok_or_else(Rejection::no_layer::<T>)?.session().await
    }
}

impl<S: Sync, T: Send + Sync + 'static> OptionalFromRequestParts<S> for Session<T> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        let sessions = parts.extensions.get::<Sessions<T>>();
        sessions.ok_or_else(Rejection::no_layer::<T>)?.optional_session().await
    }
}
