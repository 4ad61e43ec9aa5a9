//! [`Key`], a session's identity for its whole life.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A session's identity for its whole life: in lists, logs, events and URLs. It is public. A person who
/// knows it can do nothing with it alone, because a token also holds a secret.
///
/// 16 bytes; its text form has 22 characters of base64url.
///
/// ```
/// use token_session::Key;
///
/// let key = Key::from_bytes([7; 16]);
/// assert_eq!(key.to_string(), "BwcHBwcHBwcHBwcHBwcHBw");
/// assert_eq!(key.to_string().parse::<Key>()?, key);
/// # Ok::<(), token_session::KeyError>(())
/// ```
///
/// Cheap to clone.
#[derive(Clone)]
pub struct Key {
    bytes: [u8; Key::LEN],
    /// The token itself, for stores whose format keeps it; see
    /// [`Store::keeps_plain_ids`](crate::store::Store::keeps_plain_ids). Wiped with the last clone.
    #[cfg_attr(
        not(any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis")),
        expect(dead_code, reason = "only the stores of these features read it")
    )]
    plain: Option<Arc<Zeroizing<String>>>,
}

impl Key {
    /// How many bytes a key has.
    pub const LEN: usize = 16;

    /// How many characters its text form has.
    pub(crate) const TEXT_LEN: usize = 22;

    /// The key that a store kept as these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self { bytes, plain: None }
    }

    /// The key of what has this digest: a token in a form of somebody else's, a code, a link.
    pub(crate) fn of_digest(digest: &[u8; 32]) -> Self {
        let [bytes @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *digest;
        Self::from_bytes(bytes)
    }

    /// The key of a token in a store that keeps the token itself. It is the same as in a store that
    /// keeps digests, so a session keeps its key when it moves to one.
    pub(crate) fn with_plain_id(id: &str) -> Self {
        let plain = Some(Arc::new(Zeroizing::new(id.to_owned())));
        Self { plain, ..Self::of_digest(&Sha256::digest(id).into()) }
    }

    /// A new key, in this one of `count` partitions. Only the first bits name the partition, and all
    /// others are random.
    pub(crate) fn random(partition: Option<u16>, count: u16) -> Result<Self, getrandom::Error> {
        let mut bytes = [0; Self::LEN];
        getrandom::fill(&mut bytes)?;
        if let Some(partition) = partition {
            let drawn = u16::from_be_bytes([bytes[0], bytes[1]]);
            let first = drawn - drawn % count;
            let named = first.checked_add(partition).unwrap_or_else(|| first - count + partition);
            [bytes[0], bytes[1]] = named.to_be_bytes();
        }
        Ok(Self::from_bytes(bytes))
    }

    /// The token itself, where the key holds it.
    #[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis"))]
    pub(crate) fn plain_id(&self) -> Option<&str> {
        self.plain.as_deref().map(|id| id.as_str())
    }

    /// The bytes that a store keeps.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.bytes
    }

    /// Which of `count` partitions the key falls into; see
    /// [`Store::partitions`](crate::store::Store::partitions).
    pub const fn partition(&self, count: u16) -> u16 {
        u16::from_be_bytes([self.bytes[0], self.bytes[1]]) % count
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
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
        self.bytes.cmp(&other.bytes)
    }
}

impl std::hash::Hash for Key {
    /// Keys are uniform already: the last eight bytes tell them apart, and hash in one round.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let [.., a, b, c, d, e, f, g, h] = self.bytes;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::TEXT_LEN];
        let text = match URL_SAFE_NO_PAD.encode_slice(self.bytes, &mut text) {
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
        if text.len() != Self::TEXT_LEN {
            return Err(KeyError);
        }
        let mut bytes = [0; Self::LEN];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(Self::LEN) => Ok(Self::from_bytes(bytes)),
            _ => Err(KeyError),
        }
    }
}

/// The error for a text that is not a session key.
///
/// ```
/// use token_session::Key;
///
/// assert_eq!(
///     "17".parse::<Key>().unwrap_err().to_string(),
///     "a session key has 22 characters of base64url"
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session key has 22 characters of base64url")]
pub struct KeyError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_foreign_token_begins_its_sha_256() {
        // The one-block example of FIPS 180-4's test values.
        let key = Key::of_digest(&Sha256::digest("abc").into());
        assert_eq!(key.as_bytes()[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn a_key_that_holds_the_token_neither_shows_nor_counts_it() {
        let (key, plain) =
            (Key::of_digest(&Sha256::digest("abc").into()), Key::with_plain_id("abc"));
        assert_eq!(plain, key);
        assert_eq!(plain.cmp(&key), Ordering::Equal);
        assert_eq!(format!("{plain} {plain:?}"), format!("{key} {key:?}"));
        assert_eq!(std::collections::HashSet::from([plain, key]).len(), 1);
    }

    #[test]
    fn a_random_key_falls_into_the_partition_that_was_asked_for() {
        for count in [1, 2, 3, 1_000, 1_024] {
            for wanted in [0, count / 2, count - 1] {
                for _ in 0..100 {
                    let key = Key::random(Some(wanted), count).unwrap();
                    assert_eq!(key.partition(count), wanted);
                }
            }
        }
    }

    #[test]
    fn a_text_of_another_form_is_no_key() {
        let id = Key::from_bytes([7; 16]).to_string();
        for bad in [
            "",
            "abc",
            &id[1..],
            &format!("{id}A"),
            &id.replace('B', "!"),
            &format!("{}x", &id[1..]),
        ] {
            assert_eq!(bad.parse::<Key>(), Err(KeyError), "{bad}");
        }
    }
}
