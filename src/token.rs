//! [`Token`], the secret that a client holds, and [`Key`], what a store sees of it.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Random bytes in a token: 192 bits, as the Node module makes them, and above the 128 bits that
/// OWASP ASVS 5.0 (7.2.3) asks for.
const RANDOM_BYTES: usize = 24;

/// A bearer secret: whoever holds it has the session.
///
/// It has no `Display`, its `Debug` says nothing of it, and its memory is wiped on drop. The one
/// way to its text is [`reveal`](Self::reveal), easy to find in a review.
///
/// ```
/// use token_session::Token;
///
/// let token = Token::random("acme_").unwrap();
/// assert_eq!(token.reveal().len(), 5 + 32);
/// assert_eq!(format!("{token:?}"), "Token(redacted)");
/// assert!(Token::parse(token.reveal()).is_ok());
/// ```
pub struct Token(Zeroizing<String>);

impl Token {
    /// The longest text that is looked at, in bytes. Longer input is refused before anything else
    /// is done with it.
    pub const MAX_LEN: usize = 256;

    /// A new token: `prefix` and 32 characters of base64url, from the operating system's
    /// generator. The last one is a letter or a digit: mail programs leave a trailing `-` or `_`
    /// out of the links that they make.
    ///
    /// # Errors
    /// [`TokenError::Charset`] or [`TokenError::TooLong`] for a prefix that no token may have,
    /// [`TokenError::NoRandomness`] when the operating system gives no random bytes.
    pub fn random(prefix: &str) -> Result<Self, TokenError> {
        let mut bytes = Zeroizing::new([0; RANDOM_BYTES]);
        // Sized at once: a growing string would leave copies of the secret behind.
        let mut text = Zeroizing::new(String::with_capacity(prefix.len() + 4 * RANDOM_BYTES / 3));
        loop {
            getrandom::fill(&mut *bytes).map_err(TokenError::NoRandomness)?;
            text.push_str(prefix);
            URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
            // One in 32 is drawn again.
            if text.ends_with(|last: char| last.is_ascii_alphanumeric()) {
                break;
            }
            text.clear();
        }
        check(&text)?;
        Ok(Self(text))
    }

    /// Takes a token as a client sent it: 1 to [`MAX_LEN`](Self::MAX_LEN) characters of the
    /// `b64token` set of RFC 6750, section 2.1.
    ///
    /// # Errors
    /// What is wrong with the text, without the text.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        check(text)?;
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The secret itself: to hand it to the client, and for nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

fn check(text: &str) -> Result<(), TokenError> {
    if text.len() > Token::MAX_LEN {
        return Err(TokenError::TooLong { len: text.len() });
    }
    let body = text.trim_end_matches('=');
    if text.is_empty() {
        Err(TokenError::Empty)
    } else if body.is_empty()
        || !body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
    {
        Err(TokenError::Charset)
    } else {
        Ok(())
    }
}

/// The fewest characters of an id that another program has made. 16 hexadecimal digits are 64 bits, the
/// least entropy that OWASP accepts of a session id.
const SHORTEST_ID: usize = 16;

/// The fewest different characters in one. A random id of 16 hexadecimal digits has less than once in
/// two million.
const FEWEST_CHARACTERS: usize = 5;

/// Whether anybody could guess an id that another program has made. JavaScript makes `undefined`,
/// `null`, `NaN` or `0` of a token that it does not have.
pub(crate) fn is_guessable(id: &str) -> bool {
    let mut seen = [false; 256];
    for byte in id.bytes() {
        seen[usize::from(byte)] = true;
    }
    id.len() < SHORTEST_ID || seen.iter().filter(|seen| **seen).count() < FEWEST_CHARACTERS
}

/// Why a text is no token. It never holds the text.
///
/// ```
/// use token_session::{Token, TokenError};
///
/// assert!(matches!(Token::parse("two words"), Err(TokenError::Charset)));
/// ```
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Nothing was sent.
    #[error("the token is empty")]
    Empty,
    /// More than [`Token::MAX_LEN`] bytes.
    #[error("the token has {len} bytes; at most {} are accepted", Token::MAX_LEN)]
    TooLong {
        /// The length that was sent, in bytes.
        len: usize,
    },
    /// A character outside the `b64token` set.
    #[error("the token has a character other than A-Z a-z 0-9 - . _ ~ + / and a trailing =")]
    Charset,
    /// A token generator made a token without the configured prefix, which would be unknown here.
    #[error(
        "the generated token does not begin with the configured prefix; put the prefix before it"
    )]
    NoPrefix,
    /// A generator has made a token that anybody could guess, for a store that
    /// [keeps plain ids](crate::store::Store::keeps_plain_ids). Such a token from a client is unknown.
    #[error(
        "the token has fewer than {SHORTEST_ID} characters, or fewer than {FEWEST_CHARACTERS} \
         different ones, so anybody could guess it"
    )]
    Guessable,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes for a new token")]
    NoRandomness(#[source] getrandom::Error),
}

/// What a store sees of a token: a digest that cannot be turned back, so that a leaked backup logs
/// nobody in.
///
/// It is also a session's public `id`: safe to log, to list and to put in a URL. Text form: 43
/// characters of base64url.
///
/// ```
/// use token_session::{Key, KeyScheme, Token};
///
/// let token = Token::random("").unwrap();
/// let key = KeyScheme::Sha256.key(&token);
/// assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
/// ```
///
/// Cheap to clone. Keys are equal, ordered and shown by their digests alone.
#[derive(Clone)]
pub struct Key {
    digest: [u8; 32],
    /// The token itself, for stores whose format keeps it; see
    /// [`Store::keeps_plain_ids`](crate::store::Store::keeps_plain_ids). Wiped with the last clone.
    #[cfg_attr(
        not(any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis")),
        expect(dead_code, reason = "only the stores of these features read it")
    )]
    plain: Option<Arc<Zeroizing<String>>>,
}

impl Key {
    /// The key that a store kept as these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { digest: bytes, plain: None }
    }

    /// The key of a token in a store that keeps the token itself: the same digest as
    /// [`KeyScheme::Sha256`] makes, so that a session keeps its public id when it moves to a store
    /// that keeps digests.
    pub(crate) fn with_plain_id(id: &str) -> Self {
        Self {
            digest: Sha256::digest(id).into(),
            plain: Some(Arc::new(Zeroizing::new(id.to_owned()))),
        }
    }

    /// The token itself, where the key holds it.
    #[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis"))]
    pub(crate) fn plain_id(&self) -> Option<&str> {
        self.plain.as_deref().map(|id| id.as_str())
    }

    /// The bytes that a store keeps.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Which of `count` partitions the key falls into; see
    /// [`Store::partitions`](crate::store::Store::partitions).
    pub fn partition(&self, count: u16) -> u16 {
        u16::from_be_bytes([self.digest[30], self.digest[31]]) % count
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.digest.cmp(&other.digest)
    }
}

impl std::hash::Hash for Key {
    /// A digest is uniform already: eight bytes of it tell keys apart, and hash in one round.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.digest;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 43];
        let text = match URL_SAFE_NO_PAD.encode_slice(self.digest, &mut text) {
            Ok(len) => str::from_utf8(&text[..len]).unwrap_or_default(),
            Err(_) => "",
        };
        f.pad(text)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.len() != 43 {
            return Err(KeyError);
        }
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Ok(Self::from_bytes(bytes)),
            _ => Err(KeyError),
        }
    }
}

/// A text that is no session id.
///
/// ```
/// use token_session::Key;
///
/// assert_eq!(
///     "17".parse::<Key>().unwrap_err().to_string(),
///     "a session id has 43 characters of base64url"
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session id has 43 characters of base64url")]
pub struct KeyError;

/// How a token becomes a key.
///
/// SHA-256 is enough for tokens of 128 random bits and more (ASVS 5.0, 6.5.2). A secret adds one
/// thing: who can write to the store, but does not know the secret, cannot plant a session either.
/// Changing the scheme or the secret ends every session.
///
/// ```
/// use token_session::{KeyScheme, Token};
///
/// let token = Token::random("").unwrap();
/// let keyed = KeyScheme::hmac_sha256(b"32 bytes from the configuration").key(&token);
/// assert_ne!(keyed, KeyScheme::Sha256.key(&token));
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum KeyScheme {
    /// SHA-256 of the token. The default.
    #[default]
    Sha256,
    /// HMAC-SHA-256 of the token under a secret of the application.
    HmacSha256(Zeroizing<Vec<u8>>),
}

impl KeyScheme {
    /// HMAC-SHA-256 under `secret`; give it 32 random bytes.
    pub fn hmac_sha256(secret: &[u8]) -> Self {
        Self::HmacSha256(Zeroizing::new(secret.to_vec()))
    }

    /// The key of a token.
    pub fn key(&self, token: &Token) -> Key {
        let text = token.reveal().as_bytes();
        Key::from_bytes(match self {
            Self::Sha256 => Sha256::digest(text).into(),
            Self::HmacSha256(secret) => Hmac::<Sha256>::new_from_slice(secret)
                .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"))
                .chain_update(text)
                .finalize()
                .into_bytes()
                .into(),
        })
    }
}

impl fmt::Debug for KeyScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "Sha256",
            Self::HmacSha256(_) => "HmacSha256(redacted)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_token_is_192_bits_of_base64url() {
        let token = Token::random("").unwrap();
        assert_eq!(token.reveal().len(), 32);
        assert_eq!(URL_SAFE_NO_PAD.decode(token.reveal()).unwrap().len(), RANDOM_BYTES);
    }

    #[test]
    fn a_random_token_ends_in_a_letter_or_a_digit() {
        for _ in 0..10_000 {
            let token = Token::random("acme_").unwrap();
            assert!(token.reveal().ends_with(|last: char| last.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn a_hundred_thousand_tokens_have_no_twin() {
        let keys: std::collections::HashSet<Key> =
            (0..100_000).map(|_| KeyScheme::Sha256.key(&Token::random("").unwrap())).collect();
        assert_eq!(keys.len(), 100_000);
    }

    #[test]
    fn bad_tokens_are_refused_without_being_repeated() {
        let long = "secret".repeat(200_000);
        for bad in ["", "=", "secret token", "secret\u{0}", "sécret", "a=b", "\u{2028}", &long] {
            let error = Token::parse(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
        assert!(matches!(Token::parse(&long), Err(TokenError::TooLong { len: 1_200_000 })));
    }

    #[test]
    fn a_prefix_that_no_client_could_send_back_is_refused() {
        assert!(matches!(Token::random("acme|"), Err(TokenError::Charset)));
        assert!(matches!(Token::random(&"a".repeat(230)), Err(TokenError::TooLong { .. })));
    }

    #[test]
    fn the_key_is_the_sha_256_of_the_text() {
        // The one-block example of FIPS 180-4's test values.
        let key = KeyScheme::Sha256.key(&Token::parse("abc").unwrap());
        assert_eq!(key.as_bytes()[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn a_key_that_holds_the_token_neither_shows_nor_counts_it() {
        let token = Token::parse("abc").unwrap();
        let (key, plain) = (KeyScheme::Sha256.key(&token), Key::with_plain_id("abc"));
        assert_eq!(plain, key);
        assert_eq!(plain.cmp(&key), Ordering::Equal);
        assert_eq!(format!("{plain} {plain:?}"), format!("{key} {key:?}"));
        assert_eq!(std::collections::HashSet::from([plain, key]).len(), 1);
    }

    #[test]
    fn what_javascript_makes_of_a_missing_token_is_guessable() {
        for id in [
            "",
            "undefined",
            "null",
            "NaN",
            "false",
            "true",
            "0",
            "-Infinity",
            "[object Object]",
            "1795486653.816",
            "0000000000000000",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert!(is_guessable(id), "{id}");
        }
    }

    #[test]
    fn an_id_that_a_program_has_drawn_is_not_guessable() {
        for id in [
            "zcM2Gl1Bi74mNZtjVhHvdCqfXrqsTD6F",
            "0123456789abcdef",
            "67e55044-10b1-426f-9247-bb680e5fe0c8",
            "V1StGXR8_Z5jdHi6B-myT",
            "65f0c2a4e4b0a1b2c3d4e5f6",
        ] {
            assert!(!is_guessable(id), "{id}");
        }
    }

    #[test]
    fn an_id_of_another_length_is_no_key() {
        let id = KeyScheme::Sha256.key(&Token::parse("abc").unwrap()).to_string();
        for bad in ["", "abc", &id[1..], &format!("{id}A"), &id.replace('u', "!")] {
            assert_eq!(bad.parse::<Key>(), Err(KeyError), "{bad}");
        }
    }
}
