//! Takes a token out of the URIs of a request.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

/// What is left of a URI without a query parameter, and the values that the parameter had.
pub(super) struct Cut {
    /// The URI, or the part of it that was looked at, without the parameter.
    pub(super) rest: String,
    pub(super) values: Vec<Zeroizing<String>>,
}

impl Cut {
    /// Cuts the parameter out of a URI, or of the path and query of one; `None` when it is not
    /// there. Names are compared as a server reads them: decoded, and with their case.
    pub(super) fn of(uri: &str, name: &str) -> Option<Self> {
        let is_ours = |pair: &&str| {
            let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
            percent_decode_str(key).eq(name.bytes())
        };
        let (path, query) = uri.split_once('?')?;
        let (ours, rest): (Vec<_>, Vec<_>) = query.split('&').partition(is_ours);
        if ours.is_empty() {
            return None;
        }
        let value = |pair: &str| {
            let (_, value) = pair.split_once('=')?;
            Some(Zeroizing::new(percent_decode_str(value).decode_utf8_lossy().into_owned()))
        };
        let rest = rest.join("&");
        let separator = if rest.is_empty() { "" } else { "?" };
        Some(Self {
            rest: format!("{path}{separator}{rest}"),
            values: ours.into_iter().filter_map(value).collect(),
        })
    }

    /// What is left, as a path and query: that of `http://host?token=…` is `/`.
    pub(super) fn path_and_query(&self) -> Cow<'_, str> {
        if self.rest.starts_with(['/', '*']) {
            Cow::Borrowed(&self.rest)
        } else {
            Cow::Owned(format!("/{}", self.rest))
        }
    }
}

/// The URI in a `Referer` header without the parameter; `None` when it is not there.
pub(super) fn referer_without(referer: &[u8], name: &str) -> Option<String> {
    Cut::of(&String::from_utf8_lossy(referer), name).map(|cut| cut.rest)
}

/// What layers further out took out of the URI. It goes along with the request, for a layer further
/// in that reads the same parameter; nobody else can name the type.
#[derive(Clone, Default)]
pub(super) struct Taken(Arc<Vec<(String, Zeroizing<String>)>>);

impl Taken {
    /// These values, and what was taken before.
    pub(super) fn and(&self, name: &str, values: &[Zeroizing<String>]) -> Self {
        let values = values.iter().map(|value| (name.to_owned(), value.clone()));
        Self(Arc::new(self.0.iter().cloned().chain(values).collect()))
    }

    /// The values that the parameter had.
    pub(super) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let ours = self.0.iter().filter(move |(taken, _)| taken == name);
        ours.map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_is_gone_and_the_rest_stays() {
        for (before, after) in [
            ("/a?token=x", Some("/a")),
            ("/a?b=%20&token=x&c", Some("/a?b=%20&c")),
            ("/a?token=x&token=x", Some("/a")),
            ("/a?token=x&b&token=y&%74oke%6E=z", Some("/a?b")),
            ("/a?b=?&token=x", Some("/a?b=?")),
            ("/a?token=x&", Some("/a")),
            ("/a?token", Some("/a")),
            ("/a?token=", Some("/a")),
            ("/a?b=1&token=x=y", Some("/a?b=1")),
            ("?token=x", Some("/")),
            ("?b&token=x", Some("/?b")),
            ("*?token=x", Some("*")),
            ("/a?tokens=1&a-token=2&Token=3&token%3D=4&b=token", None),
            ("/token=x?b", None),
            ("/a?", None),
            ("/a", None),
            ("*", None),
            ("", None),
        ] {
            let cut = Cut::of(before, "token");
            assert_eq!(cut.as_ref().map(Cut::path_and_query).as_deref(), after, "{before}");
        }
    }

    #[test]
    fn a_whole_uri_keeps_its_host() {
        let cut = Cut::of("https://example.org?token=x&b", "token").unwrap();
        assert_eq!(cut.rest, "https://example.org?b");
    }

    #[test]
    fn what_was_taken_is_told_by_its_name_alone() {
        let values = [Zeroizing::new("x".to_owned()), Zeroizing::new("y".to_owned())];
        let taken = Taken::default().and("token", &values[..1]).and("other", &values[1..]);
        assert_eq!(taken.of("token").collect::<Vec<_>>(), ["x"]);
        assert_eq!(taken.of("tokens").count(), 0);
    }
}
