//! [`Rejection`]: the answer when a request cannot have its session.

use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

use crate::error::Error;
use crate::key::Key;
use crate::token::TokenError;

/// Seconds after which a client may try again.
const RETRY_SECONDS: u16 = 1;

/// Why a request cannot have its session, or why its change was not kept.
///
/// With axum it is a response, with actix-web an error with a response; elsewhere
/// [`to_response`](Self::to_response) makes one. The response says nothing that a client must not know.
///
/// With the feature `tracing`, the log has one event for each error that is a 500 or a 503: the field
/// `error` has the reason, and `key` the public id of the session, if there is one. The reason may
/// quote data that cannot be encoded or decoded. It never holds a token. Without the feature, log
/// [`source`](std::error::Error::source).
///
/// ```
/// use token_session::Error;
/// use token_session::http::Rejection;
///
/// let response = Rejection::from(Error::Gone).to_response::<String>();
/// assert_eq!(response.status(), 401);
/// assert!(response.headers()["www-authenticate"].to_str().unwrap().contains("invalid_token"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// 401: the request has no token.
    #[error("this needs a session; log in, and send the token as `Authorization: Bearer …`")]
    NoToken,
    /// 401: the text cannot be a token (RFC 6750, section 3.1, calls it invalid).
    #[error("{0}; log in again")]
    MalformedToken(TokenError),
    /// 401: the token is unknown, expired or destroyed.
    #[error("the session has ended, or the token was not made here; log in again")]
    InvalidToken,
    /// 400: the request has two different tokens (RFC 6750, section 2).
    #[error("the request carries more than one token; send one, in one place")]
    AmbiguousToken,
    /// 401: the person last proved who they are too long ago (RFC 9470).
    #[error("this needs proof of who you are from the last {} seconds; log in again", max_age.as_secs())]
    NotFresh {
        /// How long ago it may be.
        max_age: Duration,
    },
    /// 409: another request changed the session first. This one's changes were not kept.
    #[error("another request changed the session at the same time; try again")]
    Conflict,
    /// 409: the owner has as many sessions as the limit allows.
    #[error("there are {max} sessions of this account already; end one of them first")]
    TooManySessions {
        /// The limit.
        max: u32,
    },
    /// 503: the store is out of reach. The token stays valid.
    #[error("sessions are out of reach for a moment; try again with the same token")]
    Unavailable(#[source] Error),
    /// 500: a fault of the service.
    #[error("the service cannot handle its sessions")]
    Internal(#[source] Error),
    /// 500: no [`SessionLayer`](super::SessionLayer) for this type of data is around the handler.
    #[error("the service lacks the SessionLayer for this type of data")]
    NoLayer,
}

impl From<Error> for Rejection {
    /// With the feature `tracing`, the reason of an [`Internal`](Self::Internal) goes to the log,
    /// since no client is told. What a store says is there already.
    fn from(error: Error) -> Self {
        Self::of(error, None)
    }
}

impl Rejection {
    /// As `From<Error>`, where it is known whose session it is.
    pub(super) fn of(error: Error, key: Option<&Key>) -> Self {
        match error {
            Error::Gone => Self::InvalidToken,
            Error::Conflict { .. } => Self::Conflict,
            Error::TooManySessions { max } => Self::TooManySessions { max },
            error if error.is_retryable() => Self::Unavailable(error),
            error => {
                if !matches!(error, Error::Store(_)) {
                    log_internal(&error, key);
                }
                Self::Internal(error)
            }
        }
    }

    /// There is no layer for this type of data.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(super) fn no_layer<T>() -> Self {
        let data = std::any::type_name::<T>();
        #[cfg(feature = "tracing")]
        tracing::error!(data, "{}", Self::NoLayer);
        #[cfg(not(feature = "tracing"))]
        let _ = data;
        Self::NoLayer
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoToken
            | Self::MalformedToken(_)
            | Self::InvalidToken
            | Self::NotFresh { .. } => StatusCode::UNAUTHORIZED,
            Self::AmbiguousToken => StatusCode::BAD_REQUEST,
            Self::Conflict | Self::TooManySessions { .. } => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) | Self::NoLayer => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The response: a challenge where the client is to authenticate, `Retry-After` where it is to
    /// wait, and a body of `application/problem+json`.
    pub fn to_response<B: From<String>>(&self) -> Response<B> {
        let status = self.status();
        let title = status.canonical_reason().unwrap_or_default();
        let detail = self.to_string();
        let body =
            serde_json::json!({ "title": title, "status": status.as_u16(), "detail": detail });
        let mut response = Response::new(B::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if matches!(self, Self::Unavailable(_)) {
            headers.insert(RETRY_AFTER, RETRY_SECONDS.into());
        }
        response
    }

    /// RFC 6750, section 3: no error code where there was no token.
    fn challenge(&self) -> Option<HeaderValue> {
        Some(match self {
            Self::NoToken => HeaderValue::from_static(r#"Bearer realm="session""#),
            Self::MalformedToken(_) | Self::InvalidToken => {
                HeaderValue::from_static(r#"Bearer realm="session", error="invalid_token""#)
            }
            Self::AmbiguousToken => {
                HeaderValue::from_static(r#"Bearer realm="session", error="invalid_request""#)
            }
            Self::NotFresh { max_age } => HeaderValue::try_from(format!(
                r#"Bearer realm="session", error="insufficient_user_authentication", max_age="{}""#,
                max_age.as_secs()
            ))
            .ok()?,
            _ => return None,
        })
    }
}

#[cfg(not(feature = "tracing"))]
fn log_internal(_: &Error, _: Option<&Key>) {}

#[cfg(feature = "tracing")]
fn log_internal(error: &Error, key: Option<&Key>) {
    let key = error.key().or(key).map(tracing::field::display);
    tracing::error!(key, error = %Reason(error), "a request was refused with status 500");
}

/// An error and all that is behind it.
#[cfg(feature = "tracing")]
struct Reason<'a>(&'a dyn std::error::Error);

#[cfg(feature = "tracing")]
impl std::fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        self.0.source().map_or(Ok(()), |source| write!(f, ": {}", Reason(source)))
    }
}
