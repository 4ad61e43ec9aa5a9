//! [`BaseUrl`], where links lead, and [`Link`], one of them.

use std::fmt;

use zeroize::Zeroizing;

/// Where the links of one purpose lead: fixed when the service starts, never taken from a request.
///
/// ```
/// use token_session::links::BaseUrl;
///
/// // https://example.org/magic/<token>
/// let in_path = BaseUrl::path("https://example.org/magic/")?;
/// // https://example.org/magic#<token>: the browser keeps it to itself
/// let in_fragment = BaseUrl::fragment("https://example.org/magic")?;
/// assert!(BaseUrl::path("http://example.org/magic/").is_err());
///
/// // A configured address may end with a slash or not.
/// let configured = "https://example.org/";
/// assert_eq!(BaseUrl::path(&format!("{configured}/magic"))?, in_path);
/// # Ok::<(), token_session::links::BaseUrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Links with the token as the last part of the path. Repeated slashes become one.
    ///
    /// # Errors
    /// An address that is not `https` (this machine's own may be `http`), or one with a query, a fragment
    /// or a user.
    pub fn path(address: &str) -> Result<Self, BaseUrlError> {
        let mut address = checked(address)?;
        if !address.ends_with('/') {
            address.push('/');
        }
        Ok(Self(address))
    }

    /// Links with the token in the fragment. Repeated slashes become one.
    ///
    /// # Errors
    /// As [`path`](Self::path).
    pub fn fragment(address: &str) -> Result<Self, BaseUrlError> {
        Ok(Self(checked(address)? + "#"))
    }

    pub(super) fn link(&self, token: &str) -> Link {
        let mut url = Zeroizing::new(String::with_capacity(self.0.len() + token.len()));
        url.push_str(&self.0);
        url.push_str(token);
        Link { url, token_at: self.0.len() }
    }
}

/// The address, with one slash where there are several in a row.
fn checked(address: &str) -> Result<String, BaseUrlError> {
    let (scheme, rest) = ["https://", "http://"]
        .into_iter()
        .find_map(|scheme| Some((scheme, address.strip_prefix(scheme)?)))
        .ok_or(BaseUrlError::Scheme)?;
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Err(BaseUrlError::Host);
    }
    if scheme == "http://" && !is_loopback(host) {
        return Err(BaseUrlError::Scheme);
    }
    if let Some(character) =
        rest.chars().find(|c| !c.is_ascii_graphic() || "?#@\\\"<>".contains(*c))
    {
        return Err(BaseUrlError::Character { character });
    }
    let mut address = scheme.to_owned();
    for c in rest.chars() {
        if c != '/' || !address.ends_with('/') {
            address.push(c);
        }
    }
    Ok(address)
}

fn is_loopback(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| {
        host.strip_prefix(own).is_some_and(|port| port.is_empty() || port.starts_with(':'))
    })
}

/// The error for an address that links may not lead to.
///
/// ```
/// use token_session::links::BaseUrl;
///
/// let error = BaseUrl::path("https://example.org/magic?next=/").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the address of links has a '?'; give scheme, host and path alone"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaseUrlError {
    /// Neither `https`, nor `http` to this machine.
    #[error(
        "the address of links begins neither with https:// nor with http:// and this machine's name; \
         give one such as https://example.org/magic/"
    )]
    Scheme,
    /// No host.
    #[error("the address of links has no host; give one such as https://example.org/magic/")]
    Host,
    /// A character that has no place in it.
    #[error("the address of links has a {character:?}; give scheme, host and path alone")]
    Character {
        /// The character.
        character: char,
    },
}

/// An address with a token in it. It is a secret: anyone who has it can use it.
///
/// ```
/// use token_session::links::{BaseUrl, Links};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let base = BaseUrl::path("https://example.org/downloads/")?;
/// let links = Links::<String>::builder("download", base).build()?;
///
/// let link = links.create(&"report.pdf".to_owned()).await?.link;
/// assert_eq!(link.reveal(), format!("https://example.org/downloads/{}", link.token()));
/// assert_eq!(format!("{link:?}"), "Link(https://example.org/downloads/redacted)");
/// # Ok(()) }
/// ```
pub struct Link {
    url: Zeroizing<String>,
    token_at: usize,
}

impl Link {
    /// The address: to send it, and for nothing else.
    pub fn reveal(&self) -> &str {
        &self.url
    }

    /// The token in it: what the service gets back.
    pub fn token(&self) -> &str {
        &self.url[self.token_at..]
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({}redacted)", &self.url[..self.token_at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_reached_without_tls() {
        for own in ["http://localhost/a", "http://127.0.0.1:3000/", "http://[::1]:3000"] {
            assert!(BaseUrl::path(own).is_ok(), "{own}");
        }
        for other in [
            "http://example.org/",
            "http://localhost.example.org/",
            "http://127.0.0.10/",
            "ftp://example.org/",
            "//example.org/",
            "/magic/",
            "",
        ] {
            assert_eq!(BaseUrl::path(other), Err(BaseUrlError::Scheme), "{other}");
        }
    }

    #[test]
    fn nothing_but_scheme_host_and_path_is_taken() {
        for bad in [
            "https://example.org/?a",
            "https://example.org/#a",
            "https://example.org@evil.example/",
            "https://exa mple.org/",
            "https://example.org/\r\nHost: evil.example",
            "https://exämple.org/",
        ] {
            assert!(matches!(BaseUrl::path(bad), Err(BaseUrlError::Character { .. })), "{bad}");
        }
        assert_eq!(BaseUrl::path("https:///magic/"), Err(BaseUrlError::Host));
        assert_eq!(BaseUrl::path("https://:443/magic/"), Err(BaseUrlError::Host));
    }

    #[test]
    fn the_token_is_in_the_path_or_in_the_fragment() {
        let link = BaseUrl::path("https://example.org/magic").unwrap().link("abc");
        assert_eq!(link.reveal(), "https://example.org/magic/abc");
        assert_eq!(link.token(), "abc");
        let link = BaseUrl::fragment("https://example.org/magic").unwrap().link("abc");
        assert_eq!(link.reveal(), "https://example.org/magic#abc");
        assert_eq!(link.token(), "abc");
    }

    #[test]
    fn of_slashes_in_a_row_one_is_kept() {
        for (given, kept) in [
            ("https://example.org//magic/", "https://example.org/magic/"),
            ("https://example.org/", "https://example.org/"),
            ("https://example.org", "https://example.org/"),
            ("https://example.org///a//b//", "https://example.org/a/b/"),
            ("http://localhost:3000//magic", "http://localhost:3000/magic/"),
        ] {
            let link = BaseUrl::path(given).unwrap().link("abc");
            assert_eq!(link.reveal(), format!("{kept}abc"), "{given}");
        }
        let link = BaseUrl::fragment("https://example.org//magic/").unwrap().link("abc");
        assert_eq!(link.reveal(), "https://example.org/magic/#abc");
        assert_eq!(BaseUrl::path("https:////magic/"), Err(BaseUrlError::Host));
    }

    #[test]
    fn a_refused_address_is_answered_with_one_that_is_not() {
        for bad in ["http://example.org/", "https:///magic/"] {
            let sentence = BaseUrl::path(bad).unwrap_err().to_string();
            let (_, good) = sentence.rsplit_once(' ').unwrap();
            assert!(BaseUrl::path(good).is_ok(), "{sentence}");
        }
    }

    #[test]
    fn a_link_does_not_show_its_token() {
        let link = BaseUrl::path("https://example.org/magic/").unwrap().link("secret");
        assert_eq!(format!("{link:?}"), "Link(https://example.org/magic/redacted)");
    }
}
