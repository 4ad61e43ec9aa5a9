//! [`SignedCookie`]: the cookie that express-session gives to browsers.

use std::iter;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{HeaderValue, InvalidHeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::token::Token;

/// What `encodeURIComponent` leaves as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The longest value that is looked at: every byte of the longest one encoded as three.
const LONGEST: usize = 3 * ("s:.".len() + Token::MAX_LEN + SIGNATURE);

/// The length of a signature: 32 bytes in base64.
const SIGNATURE: usize = 43;

/// A cookie `s:<token>.<signature>`, as express-session and `cookie-signature` write it: the
/// signature is HMAC-SHA-256 in base64. For a client that still carries one from a Node service.
///
/// [`SessionLayerBuilder::signed_cookie`](super::SessionLayerBuilder::signed_cookie) reads it. A cookie
/// with no valid signature is ignored, as Express does. A guessable token in it, such as `undefined`, is
/// unknown, signed or not. A browser may have several with one name, for different paths or domains: of
/// the signed ones, the one with a live session counts, and two with live sessions are a 400.
///
/// Only your handler sets it. After [`Session::regenerate`](super::Session::regenerate)
/// or [`reauthenticate`](super::Session::reauthenticate) the browser holds a dead token and is logged out,
/// unless the handler sets the cookie again. Express does that by itself.
///
/// ```
/// use http::header::SET_COOKIE;
/// use token_session::Issued;
/// use token_session::http::{Rejection, Sessions, SignedCookie};
///
/// fn with_cookie(cookie: &SignedCookie, issued: &Issued) -> http::Response<()> {
///     let mut response = http::Response::new(());
///     if let Ok(cookie) = cookie.set(&issued.token, "Path=/; HttpOnly; Secure; SameSite=Lax") {
///         response.headers_mut().append(SET_COOKIE, cookie);
///     }
///     response
/// }
///
/// async fn login(
///     sessions: Sessions<u32>,
///     cookie: SignedCookie,
/// ) -> Result<http::Response<()>, Rejection> {
///     Ok(with_cookie(&cookie, &sessions.create(&0).await?))
/// }
///
/// async fn more_rights(
///     sessions: Sessions<u32>,
///     cookie: SignedCookie,
/// ) -> Result<http::Response<()>, Rejection> {
///     let issued = sessions.session().await?.regenerate().await?;
///     Ok(with_cookie(&cookie, &issued))
/// }
///
/// # fn main() -> Result<(), token_session::http::SignedCookieError> {
/// let cookie = SignedCookie::new("connect.sid", "the newest secret")?.older_secret("last year's")?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SignedCookie {
    name: String,
    /// Signs and verifies.
    secret: Zeroizing<Vec<u8>>,
    /// These only verify.
    older: Vec<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for SignedCookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedCookie").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SignedCookie {
    /// The cookie of this name, `connect.sid` by express-session's default, signed with the first of
    /// the Node service's secrets.
    ///
    /// # Errors
    /// An empty secret, or a name that is not a `cookie-name` of RFC 6265, section 4.1.1.
    pub fn new(
        name: impl Into<String>,
        secret: impl AsRef<[u8]>,
    ) -> Result<Self, SignedCookieError> {
        let name = name.into();
        if !is_cookie_name(&name) {
            return Err(SignedCookieError::Name { name });
        }
        Ok(Self { name, secret: checked(secret.as_ref())?, older: Vec::new() })
    }

    /// Another secret that cookies may have been signed with, as the further ones of Express's array.
    ///
    /// # Errors
    /// An empty secret.
    pub fn older_secret(mut self, secret: impl AsRef<[u8]>) -> Result<Self, SignedCookieError> {
        self.older.push(checked(secret.as_ref())?);
        Ok(self)
    }

    /// A `Set-Cookie` header that gives the client this token; `attributes` are what stands behind
    /// the value, such as `Path=/; HttpOnly; Secure; SameSite=Lax`.
    ///
    /// # Errors
    /// Attributes that cannot stand in a header.
    pub fn set(&self, token: &Token, attributes: &str) -> Result<HeaderValue, InvalidHeaderValue> {
        let cookie = self.written(token, attributes);
        let mut header = HeaderValue::from_str(cookie.trim_end_matches("; "))?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn written(&self, token: &Token, attributes: &str) -> Zeroizing<String> {
        let token = token.reveal();
        let signature = mac(&self.secret, token.as_bytes()).finalize().into_bytes();
        let signature = STANDARD_NO_PAD.encode(signature);
        let encoded = "s%3A.".len() + 3 * (token.len() + SIGNATURE);
        let size = self.name.len() + "=".len() + encoded + "; ".len() + attributes.len();
        // Sized at once: a growing buffer would leave copies of the secret behind.
        let mut cookie = Zeroizing::new(String::with_capacity(size));
        cookie.push_str(&self.name);
        cookie.push_str("=s%3A");
        cookie.extend(utf8_percent_encode(token, ENCODED));
        cookie.push('.');
        cookie.extend(utf8_percent_encode(&signature, ENCODED));
        cookie.push_str("; ");
        cookie.push_str(attributes);
        cookie
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The token in a cookie's value, if one of the secrets has signed it.
    pub(super) fn verify(&self, value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        if value.len() > LONGEST {
            return None;
        }
        // Sized at once: a growing buffer would leave copies of the secret behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(value.len()));
        bytes.extend(percent_decode(value));
        let value = &bytes;
        let signed = value.strip_prefix(b"s:")?;
        let dot = signed.iter().rposition(|&byte| byte == b'.')?;
        let (token, signature) = (&signed[..dot], &signed[dot + 1..]);
        let signature = STANDARD_NO_PAD.decode(signature).ok()?;
        let is_signed = |secret: &Zeroizing<Vec<u8>>| {
            // In constant time.
            mac(secret, token).verify_slice(&signature).is_ok()
        };
        iter::once(&self.secret)
            .chain(&self.older)
            .any(is_signed)
            .then(|| Zeroizing::new(token.to_vec()))
    }
}

/// Whether a name is a `token` of RFC 9110, section 5.6.2, as a cookie's name is (RFC 6265, section
/// 4.1.1).
pub(super) fn is_cookie_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

/// A secret that is not empty.
fn checked(secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, SignedCookieError> {
    if secret.is_empty() {
        return Err(SignedCookieError::EmptySecret);
    }
    Ok(Zeroizing::new(secret.to_vec()))
}

fn mac(secret: &[u8], token: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret)
        .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"))
        .chain_update(token)
}

/// The error for an invalid [`SignedCookie`].
///
/// ```
/// use token_session::http::SignedCookie;
///
/// let error = SignedCookie::new("connect.sid", "").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the secret for signed cookies is empty, so anybody could sign one; give a secret",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignedCookieError {
    /// A secret is empty.
    #[error("the secret for signed cookies is empty, so anybody could sign one; give a secret")]
    EmptySecret,
    /// A browser may not keep or send a cookie with this name.
    #[error(
        "{name:?} is no name of a cookie (RFC 6265); give letters, digits, or some of !#$%&'*+-.^_`|~"
    )]
    Name {
        /// The name.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From cookie-signature 1.0.7 and cookie 0.7, with the secret `keyboard cat`.
    const RECORDED: &str =
        "s%3AzcM2Gl1Bi74mNZtjVhHvdCqfXrqsTD6F.j0218p%2FfKkbnSfeCzraxfw7OGozLTTcXcRsqZsLnmGQ";
    const ID: &str = "zcM2Gl1Bi74mNZtjVhHvdCqfXrqsTD6F";

    fn signed_by(secret: &str) -> SignedCookie {
        SignedCookie::new("connect.sid", secret).unwrap()
    }

    fn verified(cookie: &SignedCookie, value: &str) -> Option<String> {
        let token = cookie.verify(value.as_bytes())?;
        Some(String::from_utf8(token.to_vec()).unwrap())
    }

    #[test]
    fn a_cookie_of_express_is_verified_encoded_or_not() {
        let cookie = signed_by("keyboard cat");
        assert_eq!(verified(&cookie, RECORDED).as_deref(), Some(ID));
        let plain = RECORDED.replace("%3A", ":").replace("%2F", "/");
        assert_eq!(verified(&cookie, &plain).as_deref(), Some(ID));
        let dotted = signed_by("ключ");
        let value = "s%3A-a.b~c.OaR0aCJBrmalbGCYtN9CMPBs3Sn%2FqRewVfPT59YiAoM";
        assert_eq!(verified(&dotted, value).as_deref(), Some("-a.b~c"));
    }

    #[test]
    fn an_older_secret_verifies_and_the_newest_signs() {
        let cookie = signed_by("new").older_secret("keyboard cat").unwrap();
        assert_eq!(verified(&cookie, RECORDED).as_deref(), Some(ID));
        let token = Token::parse(ID).unwrap();
        let header = cookie.set(&token, "Path=/; HttpOnly").unwrap();
        let value = header.to_str().unwrap().strip_prefix("connect.sid=").unwrap();
        let value = value.strip_suffix("; Path=/; HttpOnly").unwrap();
        assert_eq!(verified(&signed_by("new"), value).as_deref(), Some(ID));
        assert_eq!(verified(&signed_by("keyboard cat"), value), None);
    }

    #[test]
    fn a_cookie_is_set_as_express_sets_it() {
        let cookie = signed_by("keyboard cat");
        let header = cookie.set(&Token::parse(ID).unwrap(), "Path=/; HttpOnly").unwrap();
        assert_eq!(header, format!("connect.sid={RECORDED}; Path=/; HttpOnly"));
        assert!(header.is_sensitive());
        assert!(cookie.set(&Token::parse(ID).unwrap(), "Path=/\r\nX: y").is_err());
    }

    #[test]
    fn what_is_not_signed_is_none() {
        let cookie = signed_by("keyboard cat");
        let signature = RECORDED.split_once('.').unwrap().1;
        for value in [
            ID.to_owned(),
            format!("s:{ID}"),
            format!("s:{ID}."),
            format!("s:{ID}.{}", "A".repeat(43)),
            format!("s:other.{signature}"),
            format!("s:.{signature}"),
            RECORDED.trim_start_matches("s%3A").to_owned(),
            format!("{RECORDED}%3D"),
            RECORDED[..RECORDED.len() - 1].to_owned(),
            // The same 32 bytes, but for bits that base64 does not use.
            format!("{}R", &RECORDED[..RECORDED.len() - 1]),
            "s%3A%".to_owned(),
            format!("{RECORDED}{}", " ".repeat(LONGEST)),
            String::new(),
        ] {
            assert_eq!(verified(&cookie, &value), None, "{value}");
        }
    }

    #[test]
    fn a_secret_that_everybody_knows_and_a_name_that_no_cookie_has_are_refused() {
        let empty = Err(SignedCookieError::EmptySecret);
        assert_eq!(SignedCookie::new("connect.sid", "").map(drop), empty);
        assert_eq!(signed_by("new").older_secret(b"").map(drop), empty);
        for name in ["", "connect sid", "a=b", "a;", "a\r\n", "é", "a/b", "\u{7f}"] {
            let refused = Err(SignedCookieError::Name { name: name.to_owned() });
            assert_eq!(SignedCookie::new(name, "new").map(drop), refused);
        }
        assert!(SignedCookie::new("__Host-sid!#$%&'*+-.^_`|~", "new").is_ok());
    }

    #[test]
    fn a_cookie_is_written_without_growing() {
        let token = Token::parse(&"+".repeat(Token::MAX_LEN)).unwrap();
        let written = signed_by("keyboard cat").written(&token, "Path=/");
        let size = "connect.sid=s%3A.; Path=/".len() + 3 * (Token::MAX_LEN + SIGNATURE);
        assert_eq!(written.capacity(), size);
    }
}
