//! [`LinkToken`]: the secret of a link that stands for a code.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::format::{Code, CodeFormat};
use crate::stored::Blob;
use crate::token::{Key, TokenError};

/// Random bytes in a link's secret: 192 bits, as in a token.
const SECRET: usize = 24;

/// Where a challenge is kept, and the secret that one of its codes is made of. It shows which code it
/// is, and opens nothing without the handle of the challenge.
pub(crate) struct LinkToken(Zeroizing<[u8; 32 + SECRET]>);

impl LinkToken {
    pub fn random(challenge: &Key) -> Result<Self, TokenError> {
        let mut bytes = Zeroizing::new([0; 32 + SECRET]);
        bytes[..32].copy_from_slice(challenge.as_bytes());
        getrandom::fill(&mut bytes[32..]).map_err(TokenError::NoRandomness)?;
        Ok(Self(bytes))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32 + SECRET]);
        match URL_SAFE_NO_PAD.decode_slice(text, &mut *bytes) {
            Ok(len) if len == bytes.len() => Some(Self(bytes)),
            _ => None,
        }
    }

    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }

    /// The key of the challenge.
    pub fn challenge(&self) -> Key {
        let mut key = [0; 32];
        key.copy_from_slice(&self.0[..32]);
        Key::from_bytes(key)
    }

    /// What a store keeps of it: enough for 192 random bits (OWASP ASVS 5.0, 6.5.2).
    pub fn digest(&self) -> Blob {
        Blob::new(&Sha256::digest(&self.0[32..]))
    }

    /// The code that it stands for.
    pub fn code(&self, format: CodeFormat) -> Code {
        format.derived(&self.0[32..])
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkToken(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_as_it_was_made() {
        let key = Key::from_bytes([7; 32]);
        let token = LinkToken::random(&key).unwrap();
        let read = LinkToken::parse(&token.reveal()).unwrap();
        assert_eq!(read.challenge(), key);
        assert_eq!(read.digest(), token.digest());
        let format = CodeFormat::digits(8);
        assert_eq!(read.code(format).reveal(), token.code(format).reveal());
    }

    #[test]
    fn a_truncated_or_padded_token_is_none() {
        let text = LinkToken::random(&Key::from_bytes([7; 32])).unwrap().reveal();
        let million = "A".repeat(1_000_000);
        for bad in ["", &text[1..], &format!("{}A", *text), &format!("{}=", *text), &million] {
            assert!(LinkToken::parse(bad).is_none());
        }
    }
}
