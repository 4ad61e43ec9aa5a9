//! [`LinkToken`]: the secret of a link that stands for a code.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::format::{Code, CodeFormat};
use crate::record_json::Blob;
use crate::token::TokenError;

/// Bytes of the challenge's locator. A link does not contain the key itself, which no client may choose.
const LOCATOR: usize = 32;

/// Random bytes in a link's secret: 192 bits, as in a token.
const SECRET: usize = 24;

/// Leads to a challenge, and holds the secret that one of its codes is made of. It shows that code, and
/// redeems nothing without the handle of the challenge.
pub(crate) struct LinkToken(Zeroizing<[u8; LOCATOR + SECRET]>);

impl LinkToken {
    pub fn random(locator: &[u8; LOCATOR]) -> Result<Self, TokenError> {
        let mut bytes = Zeroizing::new([0; LOCATOR + SECRET]);
        bytes[..LOCATOR].copy_from_slice(locator);
        getrandom::fill(&mut bytes[LOCATOR..]).map_err(TokenError::NoRandomness)?;
        Ok(Self(bytes))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; LOCATOR + SECRET]);
        match URL_SAFE_NO_PAD.decode_slice(text, &mut *bytes) {
            Ok(len) if len == bytes.len() => Some(Self(bytes)),
            _ => None,
        }
    }

    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }

    /// What leads to the challenge.
    pub fn locator(&self) -> [u8; LOCATOR] {
        let mut locator = [0; LOCATOR];
        locator.copy_from_slice(&self.0[..LOCATOR]);
        locator
    }

    /// What a store keeps of it. An unsalted digest is enough for 192 random bits (OWASP ASVS 5.0, 6.5.2).
    pub fn digest(&self) -> Blob {
        Blob::new(&Sha256::digest(&self.0[LOCATOR..]))
    }

    /// The code that it stands for.
    pub fn code(&self, format: CodeFormat) -> Code {
        format.derived(&self.0[LOCATOR..])
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
        let token = LinkToken::random(&[7; LOCATOR]).unwrap();
        let read = LinkToken::parse(&token.reveal()).unwrap();
        assert_eq!(read.locator(), [7; LOCATOR]);
        assert_eq!(read.digest(), token.digest());
        let format = CodeFormat::digits(8);
        assert_eq!(read.code(format).reveal(), token.code(format).reveal());
    }

    #[test]
    fn a_token_ends_in_a_letter_or_a_digit() {
        for _ in 0..10_000 {
            let text = LinkToken::random(&[7; LOCATOR]).unwrap().reveal();
            assert!(text.ends_with(|last: char| last.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn a_truncated_or_padded_token_is_none() {
        let text = LinkToken::random(&[7; LOCATOR]).unwrap().reveal();
        let million = "A".repeat(1_000_000);
        for bad in ["", &text[1..], &format!("{}A", *text), &format!("{}=", *text), &million] {
            assert!(LinkToken::parse(bad).is_none());
        }
    }
}
