//! The form in which codes and links keep their records: JSON, with bytes as base64url. Times are
//! counted from the record's own beginning, on the store's clock alone.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::StoreError;
use crate::key::Key;
use crate::record::Meta;

/// The bytes to keep.
pub(crate) fn write(record: &impl Serialize) -> Bytes {
    serde_json::to_vec(record)
        .unwrap_or_else(|_| unreachable!("numbers and texts have a JSON form"))
        .into()
}

/// What was kept under `key`.
pub(crate) fn read<R: DeserializeOwned>(key: &Key, data: &[u8]) -> Result<R, StoreError> {
    serde_json::from_slice(data).map_err(|error| {
        StoreError::corrupt(key, "it is no record of a code or a link").with_source(error)
    })
}

/// Bytes, written as base64url.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob(pub Bytes);

impl Blob {
    pub fn new(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        URL_SAFE_NO_PAD
            .decode(text.as_bytes())
            .map(|bytes| Self(bytes.into()))
            .map_err(serde::de::Error::custom)
    }
}

/// A key, written in its text form. For `#[serde(with = "record_json::key")]`.
pub(crate) mod key {
    use super::{Deserialize, Deserializer, Key, Serializer};

    pub fn serialize<S: Serializer>(key: &Key, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(key)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A point in a record's life: milliseconds since it was inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Moment(u64);

impl Moment {
    /// When the record is inserted.
    pub const START: Self = Self(0);

    /// When the store answered.
    pub fn now(meta: &Meta) -> Self {
        Self::START + meta.now.since(meta.created_at)
    }

    /// How long after `earlier` this is; zero when it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// As bytes for a MAC.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// Rounds up to whole seconds, at least one, so a client that waits this long never retries early.
pub(crate) fn whole_seconds(wait: Duration) -> Duration {
    let seconds = u64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX);
    Duration::from_secs(seconds.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_as_base64url() {
        let blob = Blob::new(&[0xfb, 0xff]);
        assert_eq!(write(&blob), r#""-_8""#);
        let key = Key::from_bytes([7; 16]);
        assert_eq!(read::<Blob>(&key, br#""-_8""#).unwrap(), blob);
    }

    #[test]
    fn damaged_bytes_are_an_error_that_names_the_key() {
        let key = Key::from_bytes([7; 16]);
        for damaged in [&b"\"+/\""[..], b"", b"{", b"17", b"\xff"] {
            let error = read::<Blob>(&key, damaged).unwrap_err();
            assert!(error.to_string().contains(&key.to_string()), "{error}");
        }
    }
}
