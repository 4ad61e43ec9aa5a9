//! [`SessionLayerBuilder`]: where a [`SessionLayer`] looks for the token.

use http::header::{AUTHORIZATION, HeaderName};

use super::layer::SessionLayer;
use super::signed_cookie::{SignedCookie, is_cookie_name};
use super::transport::Transport;
use crate::manager::TokenSession;

/// The options of a [`SessionLayer`]. A later call of the same option replaces the earlier one; the order
/// of different options does not matter.
///
/// ```
/// use token_session::TokenSession;
/// use token_session::http::{HeaderName, SessionLayer};
///
/// let layer = SessionLayer::builder(TokenSession::<u32>::in_memory())
///     .header(HeaderName::from_static("x-session"))
///     .cookie("tks")
///     .query("token-session")
///     .build()?;
/// # Ok::<(), token_session::http::SessionLayerError>(())
/// ```
#[must_use = "no layer is made before `build`"]
pub struct SessionLayerBuilder<T> {
    manager: TokenSession<T>,
    transport: Transport,
}

impl<T> std::fmt::Debug for SessionLayerBuilder<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("SessionLayerBuilder");
        debug.field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl<T> SessionLayerBuilder<T> {
    pub(super) fn new(manager: TokenSession<T>) -> Self {
        Self { manager, transport: Transport::default() }
    }

    fn with(mut self, change: impl FnOnce(&mut Transport)) -> Self {
        change(&mut self.transport);
        self
    }

    /// Whether to read `Authorization: Bearer`. Default: yes.
    pub fn bearer(self, yes: bool) -> Self {
        self.with(|transport| transport.bearer = yes)
    }

    /// Reads the token from this header, and sends new ones in it. Default: `token-session`.
    pub fn header(self, name: HeaderName) -> Self {
        self.with(|transport| transport.header = name)
    }

    /// Reads the token from no header but `Authorization`. New tokens still go out in the
    /// [`header`](Self::header).
    pub fn without_header(self) -> Self {
        self.with(|transport| transport.reads_header = false)
    }

    /// Reads the token from this cookie too. Default: no cookie.
    ///
    /// A browser may have several cookies with one name, for different paths or domains, and sends them
    /// all (RFC 6265, section 5.4). The request's session is the one that is alive. Each further cookie
    /// costs one more round trip, and the layer looks at four at most. Two live sessions are a 400: a
    /// neighbouring domain may have set one of the cookies to make the person act in its session. A
    /// value that cannot be a token is ignored.
    pub fn cookie(self, name: impl Into<String>) -> Self {
        self.with(|transport| transport.cookie = Some(name.into()))
    }

    /// Reads the token from the signed cookie of express-session too. Default: no cookie.
    ///
    /// A cookie with a wrong signature is ignored. Several valid ones are alternatives, as with
    /// [`cookie`](Self::cookie). A handler that changes the token must
    /// [set the cookie again](SignedCookie).
    pub fn signed_cookie(self, cookie: SignedCookie) -> Self {
        self.with(|transport| transport.signed_cookie = Some(cookie))
    }

    /// Reads the token from this query parameter too. Default: no parameter. A value that cannot be a
    /// token is ignored if there is a token elsewhere.
    ///
    /// The layer removes the parameter from every URI that it knows, before a handler or a layer further
    /// in sees it: the request's URI, the header `Referer` (a page whose own URI holds the token sends it
    /// with its requests), actix-web's copy for the router, and, with the feature `axum`, axum's
    /// `OriginalUri`. The token stays in these places:
    ///
    /// * Further out: the server, a proxy, a layer around this one. A proxy may also copy the URI into its
    ///   own header, such as `X-Original-URI`.
    /// * axum's `OriginalUri` where the feature `axum` is off and the layer is added by
    ///   `Router::layer` or `route_layer`: axum copies the URI before it calls such a layer. Switch
    ///   the feature on, or put the layer around the whole router.
    pub fn query(self, name: impl Into<String>) -> Self {
        self.with(|transport| transport.query = Some(name.into()))
    }

    /// Checks the options and makes the layer.
    ///
    /// # Errors
    /// An option that cannot work.
    pub fn build(self) -> Result<SessionLayer<T>, SessionLayerError> {
        self.transport.check()?;
        Ok(SessionLayer::with(self.manager, self.transport))
    }
}

/// The error for an invalid option of a [`SessionLayer`].
///
/// ```
/// use token_session::TokenSession;
/// use token_session::http::SessionLayer;
///
/// let error = SessionLayer::builder(TokenSession::<u32>::in_memory()).cookie("a b").build();
/// assert_eq!(
///     error.unwrap_err().to_string(),
///     "\"a b\" is not a cookie name (RFC 6265); use letters, digits and !#$%&'*+-.^_`|~",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionLayerError {
    /// The header has another purpose, or browsers do not let a client set it.
    #[error(
        "`{name}` already has a meaning in HTTP; use a header of your own, such as `x-session`"
    )]
    Header {
        /// The header.
        name: HeaderName,
    },
    /// The header is `Authorization`, which is read as `Authorization: Bearer` already.
    #[error("`authorization` is read for `Bearer`; switch `bearer` off, or use another header")]
    Authorization,
    /// A browser does not keep or send a cookie with this name.
    #[error("{name:?} is not a cookie name (RFC 6265); use letters, digits and !#$%&'*+-.^_`|~")]
    Cookie {
        /// The name.
        name: String,
    },
    /// One cookie cannot be both signed and not signed.
    #[error("the cookie {name:?} is both plain and signed; use one of the two, or two names")]
    CookieTwice {
        /// The name.
        name: String,
    },
    /// Clients encode a query parameter with this name differently.
    #[error("{name:?} is not a plain parameter name; use letters, digits and -._~ (RFC 3986, 2.3)")]
    Query {
        /// The name.
        name: String,
    },
    /// Every place for a token is off.
    #[error("the layer reads no token at all; switch on a header, a cookie or a query parameter")]
    NothingRead,
}

impl Transport {
    fn check(&self) -> Result<(), SessionLayerError> {
        let signed = self.signed_cookie.as_ref().map(SignedCookie::name);
        if self.bearer && self.header == AUTHORIZATION {
            return Err(SessionLayerError::Authorization);
        }
        if has_a_meaning(self.header.as_str()) {
            return Err(SessionLayerError::Header { name: self.header.clone() });
        }
        if let Some(name) = &self.cookie {
            if !is_cookie_name(name) {
                return Err(SessionLayerError::Cookie { name: name.clone() });
            }
            if signed == Some(name) {
                return Err(SessionLayerError::CookieTwice { name: name.clone() });
            }
        }
        if let Some(name) = self.query.as_ref().filter(|name| !is_plain(name)) {
            return Err(SessionLayerError::Query { name: name.clone() });
        }
        let cookies = self.cookie.is_some() || signed.is_some();
        if !self.bearer && !self.reads_header && !cookies && self.query.is_none() {
            return Err(SessionLayerError::NothingRead);
        }
        Ok(())
    }
}

/// Whether a name has unreserved characters alone (RFC 3986, section 2.3): those that no client has
/// to encode.
fn is_plain(name: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_unreserved)
}

/// Whether a header is one that clients cannot set (Fetch, "forbidden request-header"), or one that
/// a client, a proxy or a server fills for another purpose, in a request or in the response.
fn has_a_meaning(name: &str) -> bool {
    const PREFIXES: [&str; 10] = [
        "accept-",
        "access-control-",
        "content-",
        "cross-origin-",
        "grpc-",
        "if-",
        "proxy-",
        "sec-",
        "www-",
        "x-forwarded-",
    ];
    const NAMES: [&str; 50] = [
        "accept",
        "age",
        "allow",
        "alt-svc",
        "cache-control",
        "connection",
        "cookie",
        "cookie2",
        "date",
        "digest",
        "dnt",
        "etag",
        "expect",
        "expires",
        "forwarded",
        "from",
        "host",
        "keep-alive",
        "last-modified",
        "link",
        "location",
        "max-forwards",
        "origin",
        "pragma",
        "range",
        "referer",
        "referrer-policy",
        "refresh",
        "retry-after",
        "server",
        "set-cookie",
        "set-cookie2",
        "strict-transport-security",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "upgrade-insecure-requests",
        "user-agent",
        "vary",
        "via",
        "warning",
        "x-content-type-options",
        "x-frame-options",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-real-ip",
        "x-request-id",
        "x-xss-protection",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> SessionLayerBuilder<u32> {
        SessionLayer::builder(TokenSession::in_memory())
    }

    fn error(builder: SessionLayerBuilder<u32>) -> Option<SessionLayerError> {
        builder.build().err()
    }

    #[test]
    fn a_header_that_carries_something_else_is_refused() {
        for name in [
            "cookie",
            "set-cookie",
            "content-length",
            "content-type",
            "host",
            "cache-control",
            "www-authenticate",
            "transfer-encoding",
            "connection",
            "te",
            "sec-websocket-protocol",
            "proxy-authorization",
            "vary",
            "access-control-allow-origin",
            "grpc-status",
            "date",
        ] {
            let name = HeaderName::from_static(name);
            let refused = Some(SessionLayerError::Header { name: name.clone() });
            assert_eq!(error(builder().header(name.clone())), refused);
            assert_eq!(error(builder().header(name).without_header()), refused, "it is sent");
        }
        for name in ["token-session", "x-session", "x-auth-token", "token", "session-id", "secret"]
        {
            assert_eq!(error(builder().header(HeaderName::from_static(name))), None, "{name}");
        }
    }

    #[test]
    fn authorization_is_no_second_header_beside_bearer() {
        let refused = Some(SessionLayerError::Authorization);
        assert_eq!(error(builder().header(AUTHORIZATION)), refused);
        assert_eq!(error(builder().header(AUTHORIZATION).bearer(false)), None);
    }

    #[test]
    fn a_cookie_that_no_browser_sends_is_refused() {
        for name in ["", "a b", "a=b", "a;", "a,b", "a\r\n", "é", "\"a\"", "a\u{7f}", "a/b", " a"]
        {
            let refused = Some(SessionLayerError::Cookie { name: name.to_owned() });
            assert_eq!(error(builder().cookie(name)), refused);
        }
        assert_eq!(error(builder().cookie("__Host-tks!#$%&'*+-.^_`|~")), None);
    }

    #[test]
    fn one_cookie_is_not_both_plain_and_signed() {
        let signed = SignedCookie::new("sid", "secret").unwrap();
        let refused = Some(SessionLayerError::CookieTwice { name: "sid".to_owned() });
        assert_eq!(error(builder().cookie("sid").signed_cookie(signed.clone())), refused);
        assert_eq!(error(builder().signed_cookie(signed.clone()).cookie("sid")), refused);
        assert_eq!(error(builder().signed_cookie(signed).cookie("Sid")), None);
    }

    #[test]
    fn a_parameter_that_clients_write_in_several_ways_is_refused() {
        for name in ["", "a&b", "a=b", "a b", "a+b", "a%b", "a#b", "a?b", "é", "a\n", "a;b", "t[]"]
        {
            let refused = Some(SessionLayerError::Query { name: name.to_owned() });
            assert_eq!(error(builder().query(name)), refused);
        }
        assert_eq!(error(builder().query("access_token-1.~")), None);
    }

    #[test]
    fn a_layer_that_reads_nothing_is_refused() {
        let headerless = || builder().bearer(false).without_header();
        assert_eq!(error(headerless()), Some(SessionLayerError::NothingRead));
        assert_eq!(error(headerless().cookie("tks")), None);
        assert_eq!(error(headerless().query("token")), None);
        assert_eq!(error(builder().bearer(false)), None);
    }

    #[test]
    fn the_order_of_the_options_does_not_matter() {
        let name = HeaderName::from_static("x-session");
        for builder in [
            builder().without_header().header(name.clone()),
            builder().header(name.clone()).without_header(),
        ] {
            assert!(!builder.transport.reads_header);
            assert_eq!(builder.transport.header, name);
        }
    }
}
