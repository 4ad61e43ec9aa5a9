//! The token of a [signed link](super::SignedLinks): what is in it, and how it is written.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::record::Timestamp;

/// The form of what is signed; another form would have another number.
const VERSION: u8 = 1;

/// The version, the key's number, expiry and beginning.
pub(super) const HEAD: usize = 1 + 4 + 8 + 8;

/// The length of a MAC.
pub(super) const MAC: usize = 32;

/// The longest token, in bytes: what every browser and mail program carries.
pub(super) const MAX_LEN: usize = 2_000;

/// The longest payload. With one byte more the token would have [`MAX_LEN`] characters and [`LAST`].
pub(super) const MAX_PAYLOAD: usize = MAX_LEN / 4 * 3 - 1 - HEAD - 2 * MAC;

/// Ends a token whose base64url might end in `-` or `_`, which mail programs leave out of the links
/// that they make.
const LAST: char = '0';

/// What stands before the payload.
pub(super) struct Head {
    pub key: u32,
    pub expires: Timestamp,
    pub opens: Timestamp,
}

impl Head {
    pub fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.key.to_be_bytes());
        bytes.extend_from_slice(&self.expires.as_millis().to_be_bytes());
        bytes.extend_from_slice(&self.opens.as_millis().to_be_bytes());
    }

    pub fn read(bytes: &[u8; HEAD]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let opens = rest.try_into().ok()?;
        (*version == VERSION).then_some(Self {
            key: u32::from_be_bytes(*key),
            expires: Timestamp::from_millis(u64::from_be_bytes(*expires)),
            opens: Timestamp::from_millis(u64::from_be_bytes(opens)),
        })
    }
}

/// The token of these bytes. Only base64url of whole groups can end in `-` or `_`: elsewhere the last
/// character has bits that are zero.
pub(super) fn token_of(bytes: &[u8]) -> Zeroizing<String> {
    let mut token = Zeroizing::new(String::with_capacity(bytes.len() / 3 * 4 + 4));
    URL_SAFE_NO_PAD.encode_string(bytes, &mut token);
    if bytes.len().is_multiple_of(3) {
        token.push(LAST);
    }
    token
}

/// The bytes of a token, each of which has one token only.
pub(super) fn bytes_of(token: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = match token.len() % 4 {
        0 => return None,
        1 => token.strip_suffix(LAST)?,
        _ => token,
    };
    URL_SAFE_NO_PAD.decode(text).ok().map(Zeroizing::new)
}
