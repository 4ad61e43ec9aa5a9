//! [`Owner`] and [`Label`], short texts that name an account and a session.

use std::fmt;
use std::sync::Arc;

use crate::key::Key;

/// The account that a session belongs to: an application's own user id.
///
/// Ids that start with `token-session:` are refused. Codes and links in the same store have owners with
/// that prefix, and no user may list or end them by taking such a name.
///
/// ```
/// use token_session::Owner;
///
/// let owner = Owner::new("user-17")?;
/// assert_eq!(owner.as_str(), "user-17");
/// assert!(Owner::new("").is_err());
/// assert!(Owner::new("token-session:anna").is_err());
/// # Ok::<(), token_session::TextError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Arc<str>);

impl Owner {
    /// The prefix of the owners of codes and links.
    const RESERVED: &str = "token-session:";

    /// An owner of 1 to 255 bytes without control characters.
    ///
    /// # Errors
    /// The id is empty, too long, has a control character or the reserved prefix.
    pub fn new(id: impl Into<Arc<str>>) -> Result<Self, TextError> {
        let owner = Self::from_stored(id)?;
        let is_reserved = owner.0.starts_with(Self::RESERVED);
        if is_reserved { Err(TextError::Reserved { prefix: Self::RESERVED }) } else { Ok(owner) }
    }

    /// For stores: the owner with this kept [id](Self::as_str). Unlike [`new`](Self::new), it accepts the
    /// owners of codes and links.
    ///
    /// # Errors
    /// The id is empty, too long or has a control character.
    pub fn from_stored(id: impl Into<Arc<str>>) -> Result<Self, TextError> {
        short_text("owner", id.into()).map(Self)
    }

    /// The owner of codes or links with this digest. No account can have its name.
    pub(crate) fn of_digest(digest: &Key) -> Self {
        Self(format!("{}{digest}", Self::RESERVED).into())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which of `count` partitions the owner falls into; see
    /// [`Store::partitions`](crate::store::Store::partitions).
    pub fn partition(&self, count: u16) -> u16 {
        use sha2::{Digest, Sha256};
        if count == 1 {
            return 0;
        }
        let digest = Sha256::digest(self.0.as_bytes());
        u16::from_be_bytes([digest[30], digest[31]]) % count
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({:?})", self.0)
    }
}

/// The name of a session in a list, such as the device.
///
/// ```
/// use token_session::Label;
///
/// assert_eq!(Label::new("Anna's phone")?.as_str(), "Anna's phone");
/// # Ok::<(), token_session::TextError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(Arc<str>);

impl Label {
    /// A label of 1 to 255 bytes without control characters.
    ///
    /// # Errors
    /// The text is empty, too long or has a control character.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, TextError> {
        short_text("label", text.into()).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn short_text(what: &'static str, text: Arc<str>) -> Result<Arc<str>, TextError> {
    if text.is_empty() || text.len() > 255 {
        Err(TextError::Length { what, len: text.len() })
    } else if text.chars().any(char::is_control) {
        Err(TextError::Control { what })
    } else {
        Ok(text)
    }
}

/// The error for a text that is not a valid owner or label.
///
/// ```
/// use token_session::Owner;
///
/// let error = Owner::new("").unwrap_err();
/// assert_eq!(error.to_string(), "the owner has 0 bytes; give 1 to 255");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Empty, or more than 255 bytes.
    #[error("the {what} has {len} bytes; give 1 to 255")]
    Length {
        /// What the text was meant for.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// It holds a control character.
    #[error("the {what} holds a control character; leave it out")]
    Control {
        /// What the text was meant for.
        what: &'static str,
    },
    /// It has the prefix of the owners of codes and links.
    #[error(
        "no owner may begin with {prefix:?}, which is kept for codes and links; choose another"
    )]
    Reserved {
        /// What it begins with.
        prefix: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_and_labels_are_short_and_printable() {
        assert_eq!(Owner::new("x".repeat(256)), Err(TextError::Length { what: "owner", len: 256 }));
        assert_eq!(Label::new("a\nb"), Err(TextError::Control { what: "label" }));
        assert!(Owner::new("ü".repeat(127)).is_ok());
    }

    #[test]
    fn an_account_cannot_have_the_name_of_the_owner_of_a_code() {
        let of_code = Owner::of_digest(&Key::from_bytes([7; 16]));
        let reserved = Err(TextError::Reserved { prefix: "token-session:" });
        for name in [of_code.as_str(), "token-session:", "token-session:anna"] {
            assert_eq!(Owner::new(name), reserved);
        }
        assert_eq!(Owner::from_stored(of_code.as_str()), Ok(of_code));
        assert!(Owner::new("token-session").is_ok());
        assert!(Owner::new("Token-session:anna").is_ok());
    }
}
