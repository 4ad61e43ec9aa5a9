//! One form for each name of a subject, so that one mailbox has one budget.
//!
//! Codes and links compare subjects byte by byte. Bring each address into the form of [`email`] before you
//! look it up, use it as a subject, or send mail to it:
//!
//! ```
//! use token_session::codes::Codes;
//! use token_session::subjects;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let codes = Codes::<String>::builder("confirm-address").build()?;
//! let address = subjects::email(" Anna@Example.ORG ")?;
//! assert_eq!(address, "anna@example.org");
//! let issued = codes.issue(&address, &address).await?;
//! # Ok(()) }
//! ```

use crate::invisible::is_invisible;

/// The longest local part and the longest domain label, in bytes (RFC 5321, section 4.5.3.1.1; RFC
/// 1035, section 2.3.4).
const LONGEST_LOCAL: usize = 64;
const LONGEST_LABEL: usize = 63;

/// The longest address, in bytes: a path of 256 less its angle brackets (RFC 5321, section
/// 4.5.3.1.3).
const LONGEST_ADDRESS: usize = 254;

/// The canonical form of an e-mail address.
///
/// Send mail to this form only. Then the person who redeems a code has read the mailbox that the budget
/// counts for.
///
/// # Which rules apply?
/// * White space and invisible characters around the address are removed. Anywhere else they are an
///   error.
/// * Exactly one bare address: no display name (`Anna <anna@example.org>`), no list, no comment. The
///   local part is a dot-atom (RFC 5322, section 3.4.1) and not a quoted string, which RFC 5321,
///   section 4.1.2, advises against.
/// * All letters become lower case, those of the local part too. RFC 5321, section 2.4, allows a server
///   to tell `Anna` from `anna`, and discourages it.
/// * The domain is a host name of ASCII letters, digits and hyphens, without a dot at its end. Address
///   literals (`[192.0.2.1]`) are an error.
/// * Characters beyond ASCII are an error. Write an internationalized domain in its ASCII form
///   (`xn--bcher-kva.example`), as a browser's `<input type="email">` sends it.
/// * At most 64 bytes before the `@` and 254 in all.
///
/// # What stays different?
/// `anna+shop@example.org` and `a.n.n.a@example.org` are subjects of their own: whether they lead to
/// Anna's mailbox is for the mail server to say. Where that matters, limit mail for each account or
/// each client too.
///
/// # Errors
/// [`EmailError`] says what is wrong, without the address.
///
/// ```
/// use token_session::subjects::{EmailError, email};
///
/// assert_eq!(email("Anna@Example.ORG")?, "anna@example.org");
/// assert_eq!(email("Anna <anna@example.org>"), Err(EmailError::Character { character: ' ' }));
/// # Ok::<(), EmailError>(())
/// ```
pub fn email(address: &str) -> Result<String, EmailError> {
    let address = address.trim_matches(|c: char| c.is_whitespace() || is_invisible(c));
    if address.len() > LONGEST_ADDRESS {
        return Err(EmailError::TooLong);
    }
    let (local, domain) = address.rsplit_once('@').ok_or(EmailError::NoAt)?;
    if local.is_empty() || domain.is_empty() {
        return Err(EmailError::NoAt);
    }
    if let Some(character) = local.chars().find(|c| !is_atom(*c) && *c != '.') {
        return Err(EmailError::Character { character });
    }
    if let Some(character) = domain.chars().find(|c| !is_label(*c) && *c != '.') {
        return Err(EmailError::Character { character });
    }
    if local.split('.').any(str::is_empty) {
        return Err(EmailError::Dots);
    }
    if local.len() > LONGEST_LOCAL {
        return Err(EmailError::TooLong);
    }
    for label in domain.split('.') {
        if label.is_empty() {
            return Err(EmailError::Dots);
        }
        if label.len() > LONGEST_LABEL {
            return Err(EmailError::TooLong);
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(EmailError::Hyphen);
        }
    }
    Ok(address.to_ascii_lowercase())
}

/// `atext` of RFC 5322, section 3.2.3.
fn is_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

/// A host name's letters, digits and hyphens (RFC 1123, section 2.1).
const fn is_label(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

/// The error for a text that is not an e-mail address with a canonical form. It never holds the address.
///
/// ```
/// use token_session::subjects::email;
///
/// let error = email("anna@example.org, eve@example.org").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the address has a '@' where none may be; give one bare address such as anna@example.org"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmailError {
    /// There is no `@` with text on both sides.
    #[error("the address has no name, no @ or no host; give one such as anna@example.org")]
    NoAt,
    /// A character that may not be there: in particular spaces, quotes, brackets, commas, a second
    /// `@`, and everything beyond ASCII.
    #[error(
        "the address has a {character:?} where none may be; \
         give one bare address such as anna@example.org"
    )]
    Character {
        /// The first such character.
        character: char,
    },
    /// A dot at the beginning or the end of the name or the host, or two in a row.
    #[error("the address has a dot at an end or two in a row; give one such as anna@example.org")]
    Dots,
    /// A part of the host begins or ends with a hyphen.
    #[error("a part of the address's host begins or ends with a hyphen; check the spelling")]
    Hyphen,
    /// More than 64 bytes before the `@`, 63 between two dots of the host, or 254 in all.
    #[error(
        "the address is too long; at most 64 bytes before the @, 63 between two dots of the host and \
         254 in all are accepted"
    )]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_mailbox_have_one_form() {
        for spelling in [
            "anna@example.org",
            "Anna@Example.ORG",
            "  anna@example.org\r\n",
            "\u{feff}anna@example.org\u{200b}",
            "\u{202a}ANNA@example.org\u{202c}",
            "\u{a0}anna@example.org\u{3000}",
        ] {
            assert_eq!(email(spelling).as_deref(), Ok("anna@example.org"), "{spelling:?}");
        }
    }

    #[test]
    fn the_form_of_a_form_is_itself() {
        for address in ["o'brien+shop@mail.example.org", "a@b", "{x}~|y@xn--bcher-kva.example"] {
            assert_eq!(email(address).as_deref(), Ok(address));
        }
    }

    #[test]
    fn what_is_not_one_bare_address_is_refused() {
        for (text, character) in [
            ("Anna <anna@example.org>", ' '),
            ("<anna@example.org>", '<'),
            ("anna@example.org, eve@example.org", '@'),
            ("anna@example.org,eve", ','),
            ("anna@example.org;", ';'),
            ("anna@eve.example@example.org", '@'),
            ("\"anna\"@example.org", '"'),
            ("anna(home)@example.org", '('),
            ("an na@example.org", ' '),
            ("an\u{200b}na@example.org", '\u{200b}'),
            ("anna@exam\u{ad}ple.org", '\u{ad}'),
            ("anna@example.org\0", '\0'),
            ("anna\r\nbcc:eve@example.org", '\r'),
            ("anna@[192.0.2.1]", '['),
            ("anna@b\u{fc}cher.example", '\u{fc}'),
            ("\u{430}nna@example.org", '\u{430}'),
            ("anna@ex_ample.org", '_'),
        ] {
            assert_eq!(email(text), Err(EmailError::Character { character }), "{text:?}");
        }
        for text in ["", "anna", "anna@", "@example.org", "@", "\u{200b}@\u{200b}"] {
            assert_eq!(email(text), Err(EmailError::NoAt), "{text:?}");
        }
        for text in [
            ".anna@a.org",
            "anna.@a.org",
            "an..na@a.org",
            "anna@a..org",
            "anna@.a.org",
            "anna@a.org.",
        ] {
            assert_eq!(email(text), Err(EmailError::Dots), "{text:?}");
        }
        for text in ["anna@-a.org", "anna@a-.org", "anna@a.-"] {
            assert_eq!(email(text), Err(EmailError::Hyphen), "{text:?}");
        }
    }

    #[test]
    fn the_longest_address_is_accepted_and_a_longer_one_is_not() {
        let (local, label) = ("l".repeat(64), "d".repeat(63));
        assert!(email(&format!("{local}@{label}.org")).is_ok());
        assert_eq!(email(&format!("{local}l@{label}.org")), Err(EmailError::TooLong));
        assert_eq!(email(&format!("{local}@{label}d.org")), Err(EmailError::TooLong));
        let domain = [&*label, &*label, &"d".repeat(61)].join(".");
        assert_eq!(format!("{local}@{domain}").len(), 254);
        assert!(email(&format!("{local}@{domain}")).is_ok());
        assert_eq!(email(&format!("{local}@{domain}d")), Err(EmailError::TooLong));
        assert_eq!(email(&"a".repeat(10_000_000)), Err(EmailError::TooLong));
    }
}
