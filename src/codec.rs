//! [`Codec`]: the user's data to bytes and back.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a codec says when it fails. It may quote the data, so it goes to logs, never to clients.
pub type CodecError = Box<dyn std::error::Error + Send + Sync>;

/// Turns the user's data into what a store keeps, and back.
///
/// Must be deterministic: the HTTP layer compares encoded bytes to see whether data changed.
///
/// ```
/// use bytes::Bytes;
/// use token_session::{Codec, CodecError, TokenSession};
///
/// #[derive(Clone, Default)]
/// struct Utf8;
///
/// impl Codec<String> for Utf8 {
///     fn encode(&self, data: &String) -> Result<Bytes, CodecError> {
///         Ok(Bytes::copy_from_slice(data.as_bytes()))
///     }
///     fn decode(&self, bytes: &[u8]) -> Result<String, CodecError> {
///         Ok(str::from_utf8(bytes)?.to_owned())
///     }
/// }
///
/// let sessions = TokenSession::<String>::builder().codec(Utf8).build()?;
/// # Ok::<(), token_session::TokenError>(())
/// ```
pub trait Codec<T>: Send + Sync + 'static {
    /// The bytes to keep.
    ///
    /// # Errors
    /// The data has no encoding, such as a JSON map whose keys are not text.
    fn encode(&self, data: &T) -> Result<Bytes, CodecError>;

    /// The data that was kept as these bytes.
    ///
    /// # Errors
    /// The bytes are not what this codec writes for this type.
    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError>;
}

/// JSON, the default: readable in the store by every language.
///
/// ```
/// use token_session::{Codec, Json};
///
/// assert_eq!(Json.encode(&("Anna".to_owned(), 3)).unwrap(), r#"["Anna",3]"#);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn encode(&self, data: &T) -> Result<Bytes, CodecError> {
        Ok(serde_json::to_vec(data)?.into())
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// MessagePack, with field names: smaller than JSON, and a type may gain fields as with JSON.
///
/// ```
/// use token_session::{Codec, MessagePack};
///
/// let bytes = MessagePack.encode(&vec![1, 2, 3]).unwrap();
/// assert_eq!(bytes.len(), 4);
/// assert_eq!(Codec::<Vec<i32>>::decode(&MessagePack, &bytes).unwrap(), [1, 2, 3]);
/// ```
#[cfg(feature = "messagepack")]
#[derive(Clone, Copy, Debug, Default)]
pub struct MessagePack;

#[cfg(feature = "messagepack")]
impl<T: Serialize + DeserializeOwned> Codec<T> for MessagePack {
    fn encode(&self, data: &T) -> Result<Bytes, CodecError> {
        Ok(rmp_serde::to_vec_named(data)?.into())
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError> {
        Ok(rmp_serde::from_slice(bytes)?)
    }
}
