//! gRPC behind the tower layer: it fails with HTTP status 200, and says so in `grpc-status`.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{HeaderName, Response};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::rejection::Rejection;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What a `grpc-message` may not hold as it is (gRPC over HTTP2, "Responses").
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Whether these are the headers of a gRPC response.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|value| value.starts_with(b"application/grpc"))
}

/// Whether the service failed as one does that answers 5xx: by google/rpc/code.proto, with UNKNOWN,
/// DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE or DATA_LOSS.
pub(super) fn is_server_error(headers: &HeaderMap) -> bool {
    let status = headers.get(STATUS).map(HeaderValue::as_bytes);
    matches!(status, Some(b"2" | b"4" | b"12" | b"13" | b"14" | b"15"))
}

impl Rejection {
    /// The gRPC status code that says the same, by the meanings in google/rpc/code.proto:
    ///
    /// | HTTP | gRPC |
    /// |---|---|
    /// | 401 | 16, UNAUTHENTICATED |
    /// | 400 | 3, INVALID_ARGUMENT |
    /// | 409, another request came first | 10, ABORTED |
    /// | 409, the owner has too many sessions | 8, RESOURCE_EXHAUSTED |
    /// | 503 | 14, UNAVAILABLE |
    /// | 500 | 13, INTERNAL |
    ///
    /// ```
    /// use token_session::Error;
    /// use token_session::http::Rejection;
    ///
    /// // With tonic: Status::new(rejection.grpc_code().into(), rejection.to_string())
    /// assert_eq!(Rejection::from(Error::Gone).grpc_code(), 16);
    /// ```
    pub fn grpc_code(&self) -> i32 {
        match self {
            Self::NoToken
            | Self::MalformedToken(_)
            | Self::InvalidToken
            | Self::NotFresh { .. } => 16,
            Self::AmbiguousToken => 3,
            Self::Conflict => 10,
            Self::TooManySessions { .. } => 8,
            Self::Unavailable(_) => 14,
            Self::Internal(_) | Self::NoLayer => 13,
        }
    }

    /// The response to a gRPC client: headers alone.
    pub(super) fn to_grpc_response<B: From<String>>(&self) -> Response<B> {
        let mut response = Response::new(B::from(String::new()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(STATUS, self.grpc_code().into());
        let message = utf8_percent_encode(&self.to_string(), ESCAPED).to_string();
        if let Ok(message) = HeaderValue::try_from(message) {
            headers.insert(MESSAGE, message);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_escaped() {
        let response = Rejection::NoToken.to_grpc_response::<String>();
        let message = response.headers()[MESSAGE].to_str().unwrap();
        assert!(message.contains("`Authorization: Bearer %E2%80%A6`"), "{message}");
        assert_eq!(response.headers()[STATUS], "16");
    }
}
