//! Where in a request the token is.

use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue};

use super::query::{Cut, Taken};
use super::signed_cookie::SignedCookie;
use crate::token::{Token, TokenError};

/// The most cookies of one name that are looked at, so that a header full of them costs the store
/// no more look-ups than this.
const COOKIES: usize = 4;

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
pub(super) enum Credentials {
    Nothing,
    Tokens(Tokens),
    Malformed(TokenError),
    /// Two different tokens, which RFC 6750, section 2, forbids.
    Ambiguous,
}

/// The tokens that the request's session may have: more than one only where a browser has several
/// cookies of one name. The one that a session lives under is the request's.
#[derive(Debug)]
pub(super) struct Tokens {
    first: Token,
    others: Vec<Token>,
}

impl Tokens {
    fn one(token: Token) -> Self {
        Self { first: token, others: Vec::new() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Token> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn has(&self, token: &Token) -> bool {
        self.iter().any(|other| other.reveal() == token.reveal())
    }

    fn push(&mut self, token: Token) {
        if 1 + self.others.len() < COOKIES && !self.has(&token) {
            self.others.push(token);
        }
    }

    /// Those that are among the others too, in the order of the others.
    fn and(&self, others: Self) -> Option<Self> {
        let Self { first, others } = others;
        let mut both = std::iter::once(first).chain(others).filter(|token| self.has(token));
        let first = both.next()?;
        Some(Self { first, others: both.collect() })
    }
}

/// Gathers what the carriers hold. An empty value is no token, wherever it stands.
struct Gathered {
    credentials: Credentials,
    /// What is wrong with a value that a client may have sent without meaning it as a token.
    fault: Option<TokenError>,
}

impl Gathered {
    /// A header is written by the client itself, for this service: what is no token there is a
    /// fault of it, and goes with no token elsewhere.
    fn header(&mut self, value: &[u8]) {
        match parse(value) {
            Some(Ok(token)) => self.agree(Tokens::one(token)),
            Some(Err(error)) => {
                self.credentials = match self.take() {
                    Credentials::Nothing => Credentials::Malformed(error),
                    Credentials::Malformed(first) => Credentials::Malformed(first),
                    Credentials::Tokens(_) | Credentials::Ambiguous => Credentials::Ambiguous,
                };
            }
            None => {}
        }
    }

    /// A parameter may be meant for another service that the URI passed.
    fn query(&mut self, value: &str) {
        match parse(value.as_bytes()) {
            Some(Ok(token)) => self.agree(Tokens::one(token)),
            Some(Err(error)) => self.fault = self.fault.or(Some(error)),
            None => {}
        }
    }

    /// Cookies of one name. A browser sends all that it has, whoever set them for whatever path or
    /// domain, and a client cannot choose. So what is no token counts as none, and several are
    /// alternatives. (RFC 6265, section 5.4, has a browser send the one of the longest path first,
    /// but section 4.2.2 says that a server should not rely on their order.)
    fn cookies<V: AsRef<[u8]>>(&mut self, values: impl Iterator<Item = V>) {
        let mut found: Option<Tokens> = None;
        for value in values {
            match (parse(value.as_ref()), &mut found) {
                (Some(Ok(token)), None) => found = Some(Tokens::one(token)),
                (Some(Ok(token)), Some(found)) => found.push(token),
                (Some(Err(error)), _) => self.fault = self.fault.or(Some(error)),
                (None, _) => {}
            }
        }
        if let Some(found) = found {
            self.agree(found);
        }
    }

    /// All carriers that hold tokens must have one in common.
    fn agree(&mut self, tokens: Tokens) {
        self.credentials = match self.take() {
            Credentials::Nothing => Credentials::Tokens(tokens),
            Credentials::Tokens(others) => {
                others.and(tokens).map_or(Credentials::Ambiguous, Credentials::Tokens)
            }
            Credentials::Malformed(_) | Credentials::Ambiguous => Credentials::Ambiguous,
        };
    }

    fn take(&mut self) -> Credentials {
        std::mem::replace(&mut self.credentials, Credentials::Ambiguous)
    }

    fn finish(self) -> Credentials {
        match (self.credentials, self.fault) {
            (Credentials::Nothing, Some(error)) => Credentials::Malformed(error),
            (credentials, _) => credentials,
        }
    }
}

/// A value as a token; `None` when it is empty.
fn parse(value: &[u8]) -> Option<Result<Token, TokenError>> {
    // A lossy text still fails for its charset, as it must.
    (!value.is_empty()).then(|| Token::parse(&String::from_utf8_lossy(value)))
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
    /// The headers that are looked at, as a `Vary` names them.
    pub(super) fn vary(&self) -> Option<HeaderValue> {
        let cookies = self.cookie.is_some() || self.signed_cookie.is_some();
        let read = [(self.bearer, AUTHORIZATION), (cookies, COOKIE)].into_iter();
        let read = read.chain([(self.reads_header, self.header.clone())]);
        let names = read.filter(|(is_read, _)| *is_read).map(|(_, name)| name.to_string());
        let names = names.collect::<Vec<_>>().join(", ");
        if names.is_empty() { None } else { HeaderValue::try_from(names).ok() }
    }

    /// Finds the token among the values that a request has for a header, in its path and query, and
    /// in what a layer further out has taken from there. Returns what is left of the path and query
    /// too, if the parameter stood there.
    ///
    /// Servers differ in the types of headers and URIs, so it takes neither.
    pub(super) fn find<'r, Values: Iterator<Item = &'r [u8]>>(
        &self,
        values: impl Fn(&HeaderName) -> Values,
        path_and_query: &str,
        taken: Option<&Taken>,
    ) -> (Credentials, Option<Cut>) {
        let mut gathered = Gathered { credentials: Credentials::Nothing, fault: None };
        if self.bearer {
            values(&AUTHORIZATION).filter_map(bearer).for_each(|value| gathered.header(value));
        }
        if self.reads_header {
            values(&self.header).for_each(|value| gathered.header(value));
        }
        if let Some(name) = &self.cookie {
            gathered.cookies(values(&COOKIE).flat_map(|header| cookies(header, name)));
        }
        if let Some(cookie) = &self.signed_cookie {
            let named = values(&COOKIE).flat_map(|header| cookies(header, cookie.name()));
            // Another's signature, or none, makes it no token.
            let signed = named.filter_map(|value| cookie.verify(value));
            gathered.cookies(signed.take(COOKIES));
        }
        let mut cut = None;
        if let Some(name) = &self.query {
            cut = Cut::of(path_and_query, name);
            for value in cut.iter().flat_map(|cut| &cut.values) {
                gathered.query(value);
            }
            taken.into_iter().flat_map(|taken| taken.of(name)).for_each(|v| gathered.query(v));
        }
        (gathered.finish(), cut)
    }
}

/// The credentials of a `Bearer` header; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, credentials) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| credentials.trim_ascii())
}

/// The values of a cookie in a `Cookie` header (RFC 6265, section 4.2.1).
fn cookies<'r>(header: &'r [u8], name: &str) -> impl Iterator<Item = &'r [u8]> {
    header.split(|&byte| byte == b';').filter_map(move |pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some(bare.unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(headers: &[(&str, &str)], path_and_query: &str) -> (String, Option<Cut>) {
        let (cookie, query) = (Some("tks".to_owned()), Some("token".to_owned()));
        let signed_cookie = Some(SignedCookie::new("connect.sid", "keyboard cat").unwrap());
        let transport = Transport { cookie, signed_cookie, query, ..Transport::default() };
        let values = |name: &HeaderName| {
            let name = name.to_string();
            let of_name = headers.iter().filter(move |(key, _)| *key == name);
            of_name.map(|(_, value)| value.as_bytes())
        };
        let (credentials, cut) = transport.find(values, path_and_query, None);
        let credentials = match credentials {
            Credentials::Nothing => "nothing".to_owned(),
            Credentials::Tokens(tokens) => {
                tokens.iter().map(Token::reveal).collect::<Vec<_>>().join(" or ")
            }
            Credentials::Malformed(error) => error.to_string(),
            Credentials::Ambiguous => "ambiguous".to_owned(),
        };
        (credentials, cut)
    }

    fn found(headers: &[(&str, &str)]) -> String {
        find(headers, "/").0
    }

    #[test]
    fn an_answer_varies_by_the_headers_that_are_read() {
        let vary = |transport: Transport| transport.vary();
        let all = Transport { cookie: Some("tks".to_owned()), ..Transport::default() };
        assert_eq!(vary(all).unwrap(), "authorization, cookie, token-session");
        let one = Transport { bearer: false, ..Transport::default() };
        assert_eq!(vary(one).unwrap(), "token-session");
        assert_eq!(
            vary(Transport { bearer: false, reads_header: false, ..Transport::default() }),
            None
        );
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
    fn an_empty_value_is_no_token() {
        let empty =
            [("authorization", "Bearer "), ("token-session", ""), ("cookie", "tks=; tks=\"\"")];
        for (name, value) in empty {
            assert_eq!(found(&[(name, value)]), "nothing", "{name}");
            let (good, token) = if name == "cookie" {
                ("token-session", "abc")
            } else {
                ("cookie", "a=b; tks=abc")
            };
            assert_eq!(found(&[(name, value), (good, token)]), "abc", "{name}");
            assert_eq!(find(&[(name, value)], "/?token=abc").0, "abc", "{name}");
        }
        for query in ["/?token", "/?token=", "/?token=&token="] {
            assert_eq!(find(&[], query).0, "nothing", "{query}");
            assert_eq!(find(&[("token-session", "abc")], query).0, "abc", "{query}");
        }
        assert_eq!(find(&[], "/?token=&token=abc").0, "abc");
    }

    #[test]
    fn cookies_of_one_name_are_alternatives() {
        assert_eq!(found(&[("cookie", "tks=a; tks=b"), ("cookie", "tks=a; tks=c")]), "a or b or c");
        assert_eq!(found(&[("cookie", "tks=; tks=é; tks=b; tks=a b")]), "b");
        assert_eq!(found(&[("cookie", "tks=a; tks=b"), ("token-session", "b")]), "b");
        assert_eq!(find(&[("cookie", "tks=a; tks=b")], "/?token=b").0, "b");
        assert_eq!(found(&[("cookie", "tks=a; tks=b"), ("token-session", "c")]), "ambiguous");
        let many = (0..100).map(|n| format!("tks=t{n}")).collect::<Vec<_>>().join("; ");
        assert_eq!(found(&[("cookie", &many)]), "t0 or t1 or t2 or t3");
    }

    #[test]
    fn signed_cookies_of_one_name_are_alternatives() {
        let cookie = SignedCookie::new("connect.sid", "keyboard cat").unwrap();
        let signed = |token: &str| cookie.set(&Token::parse(token).unwrap(), "").unwrap();
        let both = [signed("abc"), signed("xyz")];
        let both = both.each_ref().map(|value| ("cookie", value.to_str().unwrap()));
        assert_eq!(found(&both), "abc or xyz");
        assert_eq!(found(&[both[0], both[1], ("token-session", "xyz")]), "xyz");
        assert_eq!(found(&[both[0], both[1], ("cookie", "tks=xyz; tks=a")]), "xyz");
        assert_eq!(found(&[both[0], ("cookie", "tks=xyz")]), "ambiguous");
    }

    #[test]
    fn what_can_be_no_token_stands_in_nobodys_way_in_a_cookie_or_the_query() {
        for cookie in ["tks=a b", "tks=%", "tks=é", &format!("tks={}", "a".repeat(257))] {
            assert_eq!(found(&[("cookie", cookie), ("token-session", "abc")]), "abc");
            assert_eq!(find(&[("cookie", cookie)], "/?token=abc").0, "abc");
            assert_ne!(found(&[("cookie", cookie)]), "nothing");
        }
        assert_eq!(find(&[("token-session", "abc")], "/?token=a%20b").0, "abc");
        assert_eq!(find(&[("cookie", "tks=abc")], "/?token=%ff").0, "abc");
        assert!(find(&[], "/?token=a%20b").0.contains("character"));
    }

    #[test]
    fn what_can_be_no_token_in_a_header_goes_with_no_token() {
        let header = ("token-session", "a b");
        assert_eq!(found(&[header, ("authorization", "Bearer abc")]), "ambiguous");
        assert_eq!(
            found(&[("authorization", "Bearer a b"), ("token-session", "abc")]),
            "ambiguous"
        );
        assert_eq!(found(&[header, ("cookie", "tks=abc")]), "ambiguous");
        assert_eq!(find(&[header], "/?token=abc").0, "ambiguous");
        assert!(found(&[header, ("authorization", "Bearer a b")]).contains("character"));
    }

    #[test]
    fn what_a_layer_further_out_took_from_the_query_is_read() {
        let transport = Transport { query: Some("token".to_owned()), ..Transport::default() };
        let values = [zeroize::Zeroizing::new("abc".to_owned())];
        for (name, is_read) in [("token", true), ("tokens", false)] {
            let taken = Taken::default().and(name, &values);
            let (credentials, _) = transport.find(|_| std::iter::empty(), "/", Some(&taken));
            assert_eq!(matches!(credentials, Credentials::Tokens(_)), is_read);
        }
    }

    #[test]
    fn a_malformed_token_is_told_by_its_fault() {
        assert!(found(&[("token-session", "séance")]).contains("character"));
        assert!(found(&[("authorization", "Bearer a b")]).contains("character"));
        assert!(found(&[("token-session", &"a".repeat(1 << 20))]).contains("1048576 bytes"));
    }
}
