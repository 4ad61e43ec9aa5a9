//! The answer that takes the place of a handler's, when what the handler did was not written.

use http::Response;

use super::grpc;
use super::rejection::Rejection;

/// Whether a header of the replaced answer goes out with the new one: yes, unless it is about the
/// body, the status or the connection. So what layers further in added stays (CORS, `Vary`, security
/// headers), and so do the handler's cookies.
pub(super) fn is_kept(name: &str) -> bool {
    const DROPPED: [&str; 31] = [
        "accept-ranges",
        "age",
        "authentication-info",
        "cache-control",
        "connection",
        "content-digest",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-md5",
        "content-range",
        "content-type",
        "digest",
        "etag",
        "expires",
        "keep-alive",
        "last-modified",
        "link",
        "location",
        "pragma",
        "proxy-authenticate",
        "refresh",
        "repr-digest",
        "retry-after",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "warning",
        "www-authenticate",
    ];
    !DROPPED.contains(&name) && !name.starts_with("grpc-") && !name.starts_with("sec-websocket-")
}

impl Rejection {
    /// This, in the place of an answer that was ready to leave: its headers that are [kept](is_kept),
    /// and all that is in its extensions.
    pub(super) fn in_place_of<Body: From<String>>(
        &self,
        replaced: Response<Body>,
    ) -> Response<Body> {
        let (mut parts, _) = replaced.into_parts();
        let response = if grpc::is_grpc(&parts.headers) {
            self.to_grpc_response()
        } else {
            self.to_response()
        };
        let (own, body) = response.into_parts();
        let dropped: Vec<_> =
            parts.headers.keys().filter(|name| !is_kept(name.as_str())).cloned().collect();
        for name in dropped {
            parts.headers.remove(name);
        }
        parts.headers.extend(own.headers);
        parts.status = own.status;
        Response::from_parts(parts, body)
    }
}
