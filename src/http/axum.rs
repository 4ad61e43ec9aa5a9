//! The extractors of axum: thin faces on [`Sessions`].

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
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
        parts.extensions.get::<Self>().cloned().ok_or(Rejection::NoLayer)
    }
}

impl<S: Sync, T: Send + Sync + 'static> FromRequestParts<S> for Session<T> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        parts.extensions.get::<Sessions<T>>().ok_or(Rejection::NoLayer)?.session().await
    }
}

impl<S: Sync, T: Send + Sync + 'static> OptionalFromRequestParts<S> for Session<T> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        parts.extensions.get::<Sessions<T>>().ok_or(Rejection::NoLayer)?.optional_session().await
    }
}
