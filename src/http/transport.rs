//! Where in a request the token is.

use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use percent_encoding::percent_decode_str;

use super::signed_cookie::SignedCookie;
use crate::token::{Token, TokenError};

/// The carriers that are looked at.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    pub(super) bearer: bool,
    /// New tokens go out in it, whether it is read or not.
    pub(super) header: HeaderName,
    pub(super) reads_header: bool,
    pub(super) cookie: Option<String>,
    pub(super) signed_cookie: Option<SignedCookie>,
    pub(super) query: Option<String>,
}

/// What a request came with.
#[derive(Debug)]
pub(super) enum Presented {
    Nothing,
    Token(Token),
    Malformed(TokenError),
    /// Two different tokens, which RFC 6750, section 2, forbids.
    Ambiguous,
}

impl Presented {
    fn add(&mut self, text: &str) {
        let token = Token::parse(text);
        *self = match (std::mem::replace(self, Self::Ambiguous), token) {
            (Self::Nothing, Ok(token)) => Self::Token(token),
            (Self::Nothing, Err(error)) => Self::Malformed(error),
            (Self::Token(one), Ok(other)) if one.reveal() == other.reveal() => Self::Token(one),
            _ => Self::Ambiguous,
        };
    }

    fn add_bytes(&mut self, value: &[u8]) {
        // A lossy text still fails for its charset, as it must.
        self.add(&String::from_utf8_lossy(value));
    }
}

impl Default for Transport {
    fn default() -> Self {
        let header = HeaderName::from_static("token-session");
        Self {
            bearer: true,
            header,
            reads_header: true,
            cookie: None,
            signed_cookie: None,
            query: None,
        }
    }
}

impl Transport {
    /// Finds the token among the values that a request has for a header, and in its path and query;
    /// what is left of these where the token stood there.
    ///
    /// Servers differ in the types of headers and URIs, so it takes neither.
    pub(super) fn find<'r, Values: Iterator<Item = &'r [u8]>>(
        &self,
        values: impl Fn(&HeaderName) -> Values,
        path_and_query: &str,
    ) -> (Presented, Option<String>) {
        let mut presented = Presented::Nothing;
        if self.bearer {
            for credentials in values(&AUTHORIZATION).filter_map(bearer) {
                presented.add_bytes(credentials);
            }
        }
        if self.reads_header {
            for value in values(&self.header) {
                presented.add_bytes(value);
            }
        }
        if let Some(name) = &self.cookie {
            for value in values(&COOKIE) {
                cookies(value, name, |text| presented.add_bytes(text));
            }
        }
        if let Some(cookie) = &self.signed_cookie {
            let mut signed = None;
            for value in values(&COOKIE) {
                cookies(value, cookie.name(), |text| {
                    signed = signed.take().or_else(|| cookie.verify(text));
                });
            }
            if let Some(token) = signed {
                presented.add_bytes(&token);
            }
        }
        let mut rest = None;
        if let Some(name) = &self.query {
            rest = without_parameter(path_and_query, name, |text| presented.add(text));
        }
        (presented, rest)
    }
}

/// The credentials of a `Bearer` header; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, credentials) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| credentials.trim_ascii())
}

/// The values of a cookie in a `Cookie` header (RFC 6265, section 4.2.1).
fn cookies(header: &[u8], name: &str, mut found: impl FnMut(&[u8])) {
    for pair in header.split(|&byte| byte == b';') {
        let pair = pair.trim_ascii();
        let value = pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        if let Some(value) = value {
            let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
            found(bare.unwrap_or(value));
        }
    }
}

/// The path and query without a query parameter; `None` when it is not there.
fn without_parameter(
    path_and_query: &str,
    name: &str,
    mut found: impl FnMut(&str),
) -> Option<String> {
    let is_ours = |pair: &&str| {
        let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
        percent_decode_str(key).eq(name.bytes())
    };
    let (path, query) = path_and_query.split_once('?')?;
    let (ours, rest): (Vec<_>, Vec<_>) = query.split('&').partition(is_ours);
    if ours.is_empty() {
        return None;
    }
    for pair in ours {
        let value = pair.split_once('=').map_or("", |(_, value)| value);
        found(&percent_decode_str(value).decode_utf8_lossy());
    }
    let separator = if rest.is_empty() { "" } else { "?" };
    Some(format!("{path}{separator}{}", rest.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(headers: &[(&str, &str)], path_and_query: &str) -> (String, Option<String>) {
        let (cookie, query) = (Some("tks".to_owned()), Some("token".to_owned()));
        let signed_cookie = Some(SignedCookie::new("connect.sid", "keyboard cat").unwrap());
        let transport = Transport { cookie, signed_cookie, query, ..Transport::default() };
        let values = |name: &HeaderName| {
            let name = name.to_string();
            let of_name = headers.iter().filter(move |(key, _)| *key == name);
            of_name.map(|(_, value)| value.as_bytes())
        };
        let (presented, rest) = transport.find(values, path_and_query);
        let presented = match presented {
            Presented::Nothing => "nothing".to_owned(),
            Presented::Token(token) => token.reveal().to_owned(),
            Presented::Malformed(error) => error.to_string(),
            Presented::Ambiguous => "ambiguous".to_owned(),
        };
        (presented, rest)
    }

    fn found(headers: &[(&str, &str)]) -> String {
        find(headers, "/").0
    }

    #[test]
    fn each_carrier_is_read() {
        assert_eq!(found(&[("authorization", "Bearer abc")]), "abc");
        assert_eq!(found(&[("authorization", "bEARER  abc ")]), "abc");
        assert_eq!(found(&[("token-session", "abc")]), "abc");
        assert_eq!(found(&[("cookie", "a=b; tks=abc; tksx=no")]), "abc");
        assert_eq!(found(&[("cookie", "tks=\"abc\"")]), "abc");
        assert_eq!(find(&[], "/?token=abc").0, "abc");
        assert_eq!(find(&[], "/?%74oken=ab%2Fc%3D").0, "ab/c=");
    }

    #[test]
    fn other_credentials_are_nothing() {
        assert_eq!(found(&[]), "nothing");
        assert_eq!(found(&[("authorization", "Basic YTpi")]), "nothing");
        assert_eq!(found(&[("authorization", "Bearer")]), "nothing");
        assert_eq!(found(&[("cookie", "xtks=abc; tk=abc")]), "nothing");
    }

    #[test]
    fn a_signed_cookie_is_a_token_and_an_unsigned_one_is_nothing() {
        let id = "zcM2Gl1Bi74mNZtjVhHvdCqfXrqsTD6F";
        let signed = format!("connect.sid=s:{id}.j0218p/fKkbnSfeCzraxfw7OGozLTTcXcRsqZsLnmGQ");
        assert_eq!(found(&[("cookie", &format!("a=b; {signed}"))]), id);
        let other = signed.replace("j0218p", "AAAAAA");
        for unsigned in [&format!("connect.sid={id}"), &format!("connect.sid=s:{id}"), &other] {
            assert_eq!(found(&[("cookie", unsigned)]), "nothing");
            assert_eq!(found(&[("cookie", unsigned), ("token-session", "abc")]), "abc");
        }
        assert_eq!(found(&[("cookie", &format!("{other}; {signed}"))]), id);
        let second = SignedCookie::new("connect.sid", "keyboard cat").unwrap();
        let second = second.set(&Token::parse("abc").unwrap(), "").unwrap();
        let both = [("cookie", signed.as_str()), ("cookie", second.to_str().unwrap())];
        assert_eq!(found(&both), id);
        assert_eq!(found(&[("cookie", &signed), ("token-session", "abc")]), "ambiguous");
        assert_eq!(found(&[("cookie", &signed), ("token-session", id)]), id);
    }

    #[test]
    fn the_same_token_twice_is_one() {
        assert_eq!(found(&[("authorization", "Bearer abc"), ("token-session", "abc")]), "abc");
    }

    #[test]
    fn two_different_tokens_are_ambiguous() {
        for other in ["token-session", "authorization", "cookie"] {
            let value = if other == "cookie" { "tks=x" } else { "Bearer x" };
            assert_eq!(found(&[("authorization", "Bearer abc"), (other, value)]), "ambiguous");
        }
        assert_eq!(find(&[("token-session", "abc")], "/?token=x").0, "ambiguous");
        assert_eq!(find(&[], "/?token=x&token=y").0, "ambiguous");
    }

    #[test]
    fn a_malformed_token_is_told_by_its_fault() {
        assert_eq!(found(&[("authorization", "Bearer ")]), "the token is empty");
        assert_eq!(found(&[("token-session", "")]), "the token is empty");
        assert!(found(&[("token-session", "séance")]).contains("character"));
        assert!(found(&[("authorization", "Bearer a b")]).contains("character"));
        assert!(found(&[("token-session", &"a".repeat(1 << 20))]).contains("1048576 bytes"));
    }

    #[test]
    fn the_query_parameter_is_gone_and_the_rest_stays() {
        for (before, after) in [
            ("/a?token=x", Some("/a")),
            ("/a?b=%20&token=x&c", Some("/a?b=%20&c")),
            ("/a?token=x&token=x", Some("/a")),
            ("/a?b=?&token=x", Some("/a?b=?")),
            ("/a?tokens=1", None),
            ("/a", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(find(&[], before).1.as_deref(), after);
        }
    }
}
