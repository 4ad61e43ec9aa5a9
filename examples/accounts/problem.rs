//! What a handler answers when it cannot do its work.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use token_session::codes::CodeError;
use token_session::http::Rejection;
use token_session::links::LinkError;

pub enum Problem {
    Session(Rejection),
    Other { status: StatusCode, detail: String, retry_after: Option<Duration> },
}

pub fn bad_request(error: impl ToString) -> Problem {
    problem(StatusCode::BAD_REQUEST, error)
}

fn problem(status: StatusCode, error: impl ToString) -> Problem {
    Problem::Other { status, detail: error.to_string(), retry_after: None }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        Self::Session(rejection)
    }
}

impl From<CodeError> for Problem {
    fn from(error: CodeError) -> Self {
        let status = match &error {
            CodeError::Refused | CodeError::Exhausted => StatusCode::UNAUTHORIZED,
            CodeError::TooSoon { .. } => StatusCode::TOO_MANY_REQUESTS,
            CodeError::Subject { .. } | CodeError::TooLarge { .. } => StatusCode::BAD_REQUEST,
            error if error.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
            _ => return unexpected(&error),
        };
        let retry_after = error.retry_after();
        Self::Other { status, detail: error.to_string(), retry_after }
    }
}

impl From<LinkError> for Problem {
    fn from(error: LinkError) -> Self {
        match &error {
            LinkError::Refused => problem(StatusCode::GONE, error),
            LinkError::Lifetime(_) | LinkError::TooLarge { .. } => bad_request(error),
            error if error.is_retryable() => problem(StatusCode::SERVICE_UNAVAILABLE, error),
            _ => unexpected(&error),
        }
    }
}

/// A fault of the service: its log has the reason, the client has not.
fn unexpected(error: &dyn std::error::Error) -> Problem {
    eprintln!("accounts: {error}");
    problem(StatusCode::INTERNAL_SERVER_ERROR, "the service cannot do this now")
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        match self {
            Self::Session(rejection) => rejection.into_response(),
            Self::Other { status, detail, retry_after } => {
                let mut response = (status, Json(json!({ "detail": detail }))).into_response();
                if status == StatusCode::UNAUTHORIZED {
                    // RFC 9110, section 15.5.2.
                    let challenge = HeaderValue::from_static("Bearer");
                    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                }
                if let Some(wait) = retry_after {
                    response.headers_mut().insert(RETRY_AFTER, wait.as_secs().into());
                }
                response
            }
        }
    }
}
