//! The URL of a store: what is for the driver, and what is for the store itself.

use std::time::Duration;

use super::refused;
use crate::store::Result;

/// The parameters that are the store's own.
const OWN: [&str; 8] =
    ["cache", "collection", "format", "prefix", "shape", "table", "tell_changes", "time_zone"];

/// Parameters that a driver knows and does not complain about others.
const OF_POSTGRES: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];
const OF_MYSQL: [&str; 13] = [
    "charset",
    "collation",
    "socket",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "sslca",
    "sslcert",
    "sslkey",
    "sslmode",
    "statement-cache-capacity",
    "timezone",
];

pub(super) struct StoreUrl {
    pub scheme: String,
    /// The URL without the store's own parameters.
    pub driver: String,
    pub parameters: Parameters,
}

/// The store's own parameters.
pub(super) struct Parameters(Vec<(String, String)>);

impl StoreUrl {
    /// Parts a URL. What it says is never repeated in an error, but for the names of parameters: it may
    /// hold a password.
    pub fn parse(url: &str) -> Result<Self> {
        let url = url.trim();
        let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme).to_ascii_lowercase();
        // A question mark may be a part of a password: parameters follow the last one.
        let (before, query) = url.rsplit_once('?').unwrap_or((url, ""));
        let (mut own, mut drivers) = (Vec::new(), Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            // SQLite has a parameter of this name too.
            let is_sqlites =
                scheme == "sqlite" && matches!((name, value), ("cache", "shared" | "private"));
            if OWN.contains(&name) && !is_sqlites {
                if own.iter().any(|(other, _)| other == name) {
                    return Err(refused(format!("the URL has two parameters `{name}`; give one")));
                }
                own.push((name.to_owned(), decoded(name, value)?));
                continue;
            }
            let known: Option<&[&str]> = match scheme.as_str() {
                "memory" => Some(&[]),
                "postgres" | "postgresql" => Some(&OF_POSTGRES),
                "mysql" | "mariadb" => Some(&OF_MYSQL),
                // These drivers refuse what they do not know.
                _ => None,
            };
            let is_known = |known: &[&str]| known.contains(&name) || name.starts_with("options[");
            if !known.is_none_or(is_known) {
                return Err(unknown(name, known.unwrap_or_default()));
            }
            drivers.push(parameter);
        }
        let driver = if drivers.is_empty() {
            before.to_owned()
        } else {
            format!("{before}?{}", drivers.join("&"))
        };
        Ok(Self { scheme, driver, parameters: Parameters(own) })
    }
}

impl Parameters {
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other == name)
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// A span such as `500ms` or `1s`.
    pub fn take_duration(&mut self, name: &str) -> Result<Option<Duration>> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        let number = |unit| text.strip_suffix(unit).and_then(|number: &str| number.parse().ok());
        let span = number("ms").map(Duration::from_millis);
        let span = span.or_else(|| number("s").map(Duration::from_secs));
        let wrong = || refused(format!("`?{name}=` is not a span; write it as `500ms` or `1s`"));
        span.ok_or_else(wrong).map(Some)
    }

    /// `true` or `false`.
    #[cfg(feature = "postgres")]
    pub fn take_flag(&mut self, name: &str) -> Result<bool> {
        match self.take(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(refused(format!("`?{name}=` is `true` or `false`"))),
        }
    }

    /// Fails for a parameter that this store does not have.
    pub fn none_is_left(&self, known: &[&str]) -> Result<()> {
        self.0.first().map_or(Ok(()), |(name, _)| Err(unknown(name, known)))
    }
}

fn unknown(name: &str, known: &[&str]) -> crate::store::StoreError {
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    // What looks like a parameter may be a part of a password, behind a `?` that is not written as %3F.
    let name = if name.len() <= 32
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    {
        name
    } else {
        "…"
    };
    refused(format!(
        "the URL has a parameter `{name}` that this store does not know; there are: {known}"
    ))
}

/// A value with its percent-encoded bytes decoded.
fn decoded(name: &str, value: &str) -> Result<String> {
    let text = percent_encoding::percent_decode_str(value).decode_utf8();
    text.map(Into::into).map_err(|_| refused(format!("the URL's parameter `{name}` is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (String, String, Vec<(String, String)>) {
        let StoreUrl { scheme, driver, parameters: Parameters(own) } =
            StoreUrl::parse(url).unwrap();
        (scheme, driver, own)
    }

    #[test]
    fn the_driver_gets_the_url_without_the_stores_own_parameters() {
        for (url, driver, own) in [
            (
                "redis://h/1?prefix=a%3Ab&protocol=3",
                "redis://h/1?protocol=3",
                vec![("prefix", "a:b")],
            ),
            (
                "Postgres://h/db?table=t&sslmode=require",
                "Postgres://h/db?sslmode=require",
                vec![("table", "t")],
            ),
            ("sqlite:f.db?cache=shared", "sqlite:f.db?cache=shared", vec![]),
            ("sqlite:f.db?cache=1s", "sqlite:f.db", vec![("cache", "1s")]),
            ("mysql://u:p?w@h/db?table=t", "mysql://u:p?w@h/db", vec![("table", "t")]),
            ("postgres://h?options[search_path]=a", "postgres://h?options[search_path]=a", vec![]),
        ] {
            let own: Vec<_> = own.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let (scheme, found, params) = parts(url);
            assert_eq!((found.as_str(), params), (driver, own), "{url}");
            assert!(scheme.chars().all(|c| !c.is_ascii_uppercase()));
        }
    }

    #[test]
    fn a_parameter_that_an_sql_driver_would_ignore_is_refused() {
        for url in
            ["postgres://h/db?sslmod=require", "mysql://h/db?tabel=t", "mariadb://h?prefix2=t"]
        {
            assert!(StoreUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn an_error_repeats_no_value() {
        let error = StoreUrl::parse("postgres://u:p?sec&ret@h/db").err().unwrap();
        assert!(!format!("{error} {error:?}").contains("ret@h"), "{error:?}");
    }

    #[test]
    fn a_parameter_that_is_given_twice_is_refused() {
        assert!(StoreUrl::parse("redis://h?prefix=a&prefix=b").is_err());
    }
}
