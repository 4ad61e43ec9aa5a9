//! [`KeyRing`], the application's own keys, and the MAC that codes and links are made of.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Secrets of the application, each under a number. The first one signs; all of them verify.
///
/// Keep them in the configuration, not in the database: a stolen dump must not hold them.
///
/// # How is a key changed?
/// In three steps. Each step must reach every process before the next one begins.
///
/// 1. The new key verifies.
/// 2. The new key signs, and the old one still verifies.
/// 3. When the last code or link that the old key signed has expired, leave the old key out. What it
///    signed is refused from then on.
///
/// ```
/// use token_session::KeyRing;
///
/// let (old, new) = (b"32 random bytes, made last autumn", b"32 random bytes, made this spring");
/// let before = KeyRing::new(1, old)?;
/// let first = KeyRing::new(1, old)?.and_verify(2, new)?;
/// let second = KeyRing::new(2, new)?.and_verify(1, old)?;
/// let third = KeyRing::new(2, new)?;
/// assert_eq!(format!("{first:?}"), "KeyRing { signs: 1, verifies: [1, 2] }");
/// assert_eq!(format!("{second:?}"), "KeyRing { signs: 2, verifies: [2, 1] }");
/// # Ok::<(), token_session::KeyRingError>(())
/// ```
///
/// If you skip step 1, a process that does not know the new key yet will see values signed with it. It
/// rejects valid codes (and charges a guess), rejects valid links, and `revoke` misses what the new key
/// signed.
///
/// Guesses are counted under the signing key. In step 2 each subject's day therefore starts anew. While
/// some processes sign with one key and some with the other, there are two counts, so a subject may get
/// up to twice the guesses of a day.
#[derive(Clone)]
pub struct KeyRing(Arc<Vec<(u32, Zeroizing<Vec<u8>>)>>);

impl KeyRing {
    /// The fewest bytes of a key: the output length of HMAC-SHA-256 (RFC 2104, section 3, discourages
    /// shorter keys).
    pub const MIN_BYTES: usize = 32;

    /// A ring of one key, which signs and verifies.
    ///
    /// # Errors
    /// Fewer than [`MIN_BYTES`](Self::MIN_BYTES) bytes.
    pub fn new(id: u32, secret: &[u8]) -> Result<Self, KeyRingError> {
        Self(Arc::default()).and_verify(id, secret)
    }

    /// Adds a key that only verifies: an older one, or one that will sign soon.
    ///
    /// # Errors
    /// Fewer than [`MIN_BYTES`](Self::MIN_BYTES) bytes, or a number that the ring already has.
    pub fn and_verify(self, id: u32, secret: &[u8]) -> Result<Self, KeyRingError> {
        if secret.len() < Self::MIN_BYTES {
            return Err(KeyRingError::TooShort { id, len: secret.len() });
        }
        if self.secret(id).is_some() {
            return Err(KeyRingError::Twice { id });
        }
        let mut keys = Arc::unwrap_or_clone(self.0);
        keys.push((id, Zeroizing::new(secret.to_vec())));
        Ok(Self(Arc::new(keys)))
    }

    /// The key that signs.
    pub(crate) fn signing(&self) -> (u32, &[u8]) {
        let (id, secret) = &self.0[0];
        (*id, secret)
    }

    /// The key with this number, if the ring has it.
    pub(crate) fn secret(&self, id: u32) -> Option<&[u8]> {
        self.iter().find(|(key, _)| *key == id).map(|(_, key)| key)
    }

    /// All keys, the signing one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.0.iter().map(|(id, secret)| (*id, secret.as_slice()))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u32> = self.iter().map(|(id, _)| id).collect();
        f.debug_struct("KeyRing").field("signs", &ids[0]).field("verifies", &ids).finish()
    }
}

/// The error for a key that a [`KeyRing`] does not accept.
///
/// ```
/// use token_session::KeyRing;
///
/// assert_eq!(
///     KeyRing::new(1, b"secret").unwrap_err().to_string(),
///     "key 1 has 6 bytes; give at least 32 random ones"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// Fewer than [`KeyRing::MIN_BYTES`] bytes.
    #[error("key {id} has {len} bytes; give at least {} random ones", KeyRing::MIN_BYTES)]
    TooShort {
        /// The key's number.
        id: u32,
        /// How many bytes it has.
        len: usize,
    },
    /// Two keys under one number.
    #[error("the ring has a key {id} already; give each key a number of its own")]
    Twice {
        /// The number.
        id: u32,
    },
}

/// HMAC-SHA-256 over fields, each prefixed with its length, so that different lists of fields never have
/// the same bytes. `what` separates the uses of a key.
pub(crate) fn mac(secret: &[u8], what: &str, fields: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)
        .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
    for field in std::iter::once(&what.as_bytes()).chain(fields) {
        mac.update(&(field.len() as u64).to_be_bytes());
        mac.update(field);
    }
    mac.finalize().into_bytes().into()
}

/// Whether two digests are equal, in constant time.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &[u8] = b"the old key, thirty-two bytes long";
    const NEW: &[u8] = b"the new key, thirty-two bytes long";

    #[test]
    fn the_first_key_signs_and_all_verify() {
        let ring = KeyRing::new(2, NEW).unwrap().and_verify(1, OLD).unwrap();
        assert_eq!(ring.signing(), (2, NEW));
        assert_eq!(ring.secret(1), Some(OLD));
        assert_eq!(ring.secret(3), None);
    }

    #[test]
    fn a_short_key_and_a_second_key_of_one_number_are_refused() {
        assert_eq!(
            KeyRing::new(1, &NEW[..31]).unwrap_err(),
            KeyRingError::TooShort { id: 1, len: 31 }
        );
        assert_eq!(
            KeyRing::new(1, NEW).unwrap().and_verify(1, OLD).unwrap_err(),
            KeyRingError::Twice { id: 1 }
        );
    }

    #[test]
    fn a_ring_does_not_show_its_secrets() {
        let ring = KeyRing::new(1, NEW).unwrap();
        assert!(!format!("{ring:?}").contains("new key"));
    }

    #[test]
    fn what_ends_one_field_cannot_begin_the_next() {
        let of = |fields: &[&[u8]]| mac(NEW, "test", fields);
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"ab"]), of(&[b"ab", b""]));
        assert_ne!(of(&[b"ab"]), mac(NEW, "tes", &[b"tab"]));
        assert_ne!(of(&[b"ab"]), mac(OLD, "test", &[b"ab"]));
    }

    #[test]
    fn the_mac_is_hmac_sha_256_of_the_length_prefixed_fields() {
        // Computed with Python's hmac module over the same bytes.
        let expected = [143, 72, 31, 33];
        assert_eq!(mac(&[7; 32], "w", &[b"ab"])[..4], expected);
    }
}
