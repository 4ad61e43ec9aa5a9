//! [`Token`], what a client holds.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::key::Key;

/// Random bytes in a token of [`Token::random`]: 192 bits, as the Node module makes them, and above
/// the 128 bits that OWASP ASVS 5.0 (7.2.3) asks for.
const RANDOM_BYTES: usize = 24;

/// Random bytes in the secret of a session's token: the 128 bits that OWASP ASVS 5.0 (7.2.3) asks for.
const SECRET_BYTES: usize = 16;

/// The fewest characters of the secret in a session's token: base64url of 16 bytes.
const SECRET_LEN: usize = 22;

/// A bearer secret: its holder has the session.
///
/// It has no `Display`, its `Debug` is redacted, and its memory is wiped on drop. The only way to its
/// text is [`reveal`](Self::reveal), which is easy to find in a review.
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
    /// The longest accepted text, in bytes. The length is checked before anything else.
    pub const MAX_LEN: usize = 256;

    /// A token for a [generator](crate::TokenGenerator): `prefix` and 32 characters of base64url from the
    /// operating system's random bytes. The last character is a letter or a digit, because mail programs
    /// leave a trailing `-` or `_` out of the links they make.
    ///
    /// # Errors
    /// [`TokenError::Charset`] or [`TokenError::TooLong`] for an invalid prefix,
    /// [`TokenError::NoRandomness`] when the operating system gives no random bytes.
    #[doc(alias = "newSessionId")]
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
    /// What is wrong with the text. The error never holds the text.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        check(text)?;
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// A token of this crate's own form: `prefix`, the session's key, a dot and 22 characters of a new
    /// secret. Its last character is always a letter or a digit.
    pub(crate) fn for_session(prefix: &str, key: &Key) -> Result<Self, TokenError> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        getrandom::fill(&mut *secret).map_err(TokenError::NoRandomness)?;
        let len = prefix.len() + Key::TEXT_LEN + 1 + SECRET_LEN;
        // Sized at once: a growing string would leave copies of the secret behind.
        let mut text = Zeroizing::new(String::with_capacity(len));
        text.push_str(prefix);
        URL_SAFE_NO_PAD.encode_string(key.as_bytes(), &mut text);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(secret.as_slice(), &mut text);
        check(&text)?;
        Ok(Self(text))
    }

    /// The key and the secret in a token of this crate's own form behind `prefix`; `None` for a token
    /// of another form.
    pub(crate) fn key_and_secret(&self, prefix: &str) -> Option<(Key, &str)> {
        let (key, rest) = self.0.strip_prefix(prefix)?.split_at_checked(Key::TEXT_LEN)?;
        let secret = rest.strip_prefix('.').filter(|secret| secret.len() >= SECRET_LEN)?;
        Some((key.parse().ok()?, secret))
    }

    /// SHA-256 of the text: the key of a token of another form begins it.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The secret text. Use it only to send it to the client.
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

/// The fewest characters of an id that another program made. 16 hexadecimal digits are 64 bits, the least
/// entropy that OWASP accepts for a session id.
const SHORTEST_ID: usize = 16;

/// The fewest different characters of such an id. A random id of 16 hexadecimal digits has fewer less
/// than once in two million.
const FEWEST_CHARACTERS: usize = 5;

/// Whether an id that another program made is guessable. JavaScript turns a missing token into
/// `undefined`, `null`, `NaN` or `0`.
pub(crate) fn is_guessable(id: &str) -> bool {
    let mut seen = [false; 256];
    for byte in id.bytes() {
        seen[usize::from(byte)] = true;
    }
    id.len() < SHORTEST_ID || seen.iter().filter(|seen| **seen).count() < FEWEST_CHARACTERS
}

/// The error for an invalid token. It never holds the text.
///
/// ```
/// use token_session::{Token, TokenError};
///
/// assert!(matches!(Token::parse("two words"), Err(TokenError::Charset)));
/// ```
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The text is empty.
    #[error("the token is empty")]
    Empty,
    /// More than [`Token::MAX_LEN`] bytes.
    #[error("the token has {len} bytes; at most {} are accepted", Token::MAX_LEN)]
    TooLong {
        /// The length, in bytes.
        len: usize,
    },
    /// A character outside the `b64token` set.
    #[error("the token has a character other than A-Z a-z 0-9 - . _ ~ + / and a trailing =")]
    Charset,
    /// A token generator left out the configured prefix. Such a token would be unknown here.
    #[error(
        "the generated token does not begin with the configured prefix; put the prefix before it"
    )]
    NoPrefix,
    /// A generator made a guessable token for a store that
    /// [keeps plain ids](crate::store::Store::keeps_plain_ids). Such a token from a client is unknown.
    #[error(
        "the token has fewer than {SHORTEST_ID} characters, or fewer than {FEWEST_CHARACTERS} \
         different ones, so anybody could guess it"
    )]
    Guessable,
    /// A generator made a token of the crate's own form: 22 characters, a dot and 22 more.
    #[error(
        "the generated token has the form of the library's own tokens, 22 characters, a dot and 22 \
         more; give it another form"
    )]
    OwnForm,
    /// A [`ProofScheme`](crate::ProofScheme) accepts more keys than a claim has room for.
    #[error("the proof scheme accepts {proofs} keys; accept at most 4, SHA-256 counted as one")]
    TooManySchemes {
        /// How many it accepts.
        proofs: usize,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes for a new token")]
    NoRandomness(#[source] getrandom::Error),
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
        let digests: std::collections::HashSet<[u8; 32]> =
            (0..100_000).map(|_| Token::random("").unwrap().digest()).collect();
        assert_eq!(digests.len(), 100_000);
    }

    #[test]
    fn a_sessions_token_is_its_prefix_its_key_and_a_secret() {
        let key = Key::from_bytes([7; 16]);
        let token = Token::for_session("acme_", &key).unwrap();
        assert_eq!(token.reveal().len(), 5 + 22 + 1 + 22);
        let (found, secret) = token.key_and_secret("acme_").unwrap();
        assert_eq!((found, secret), (key.clone(), &token.reveal()[28..]));
        assert!(secret.ends_with(|last: char| last.is_ascii_alphanumeric()));
        let another = Token::for_session("acme_", &key).unwrap();
        assert_ne!(another.reveal(), token.reveal());
        assert!(token.key_and_secret("").is_none());
    }

    #[test]
    fn a_token_of_another_form_has_no_key_in_it() {
        let own = Token::for_session("", &Key::from_bytes([7; 16])).unwrap();
        let own = own.reveal();
        let (key, secret) = own.split_at(22);
        for other in
            [key, &secret[1..], &own[1..], &own[..44], &own.replace('.', "~"), &"a".repeat(45)]
        {
            let token = Token::parse(other).unwrap();
            assert!(token.key_and_secret("").is_none(), "{other}");
        }
        assert!(Token::random("").unwrap().key_and_secret("").is_none());
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
}
