//! [`Codec`]: the user's data to bytes and back.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The error of a codec. It may quote the data, so log it and never send it to a client.
pub type CodecError = Box<dyn std::error::Error + Send + Sync>;

/// Turns the user's data into what a store keeps, and back.
///
/// Encoding the same value twice must give the same bytes: the manager compares them to see whether data
/// changed.
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
/// Every finite `f32` and `f64` is read back bit for bit.
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

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Price {
        Net { amount: f64, rate: f32 },
    }

    /// Every exponent, and the amounts of everyday life.
    fn floats() -> impl Iterator<Item = f64> {
        let bits = || getrandom::u64().expect("the operating system gives random bytes");
        let of_any_size = (0..20_000).map(move |_| f64::from_bits(bits()));
        let cents = (0..20_000).map(|cents| f64::from(cents) / 100.0);
        let sums = (0..20_000).scan(0.0, |sum, _| {
            *sum += 0.1;
            Some(*sum)
        });
        let edges = [-0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::MIN, 9957.400000000001];
        let singles = (0..10_000).map(move |_| f64::from(f32::from_bits(bits() as u32)));
        edges
            .into_iter()
            .chain(of_any_size)
            .chain(cents)
            .chain(sums)
            .chain(singles)
            .filter(|float| float.is_finite())
    }

    fn reread<T, C: Codec<T>>(codec: &C, data: &T) -> T {
        codec.decode(&codec.encode(data).unwrap()).unwrap()
    }

    fn floats_survive<C>(codec: &C)
    where
        C: Codec<f64> + Codec<f32> + Codec<Price> + Codec<serde_json::Value>,
    {
        for float in floats() {
            let single = float as f32;
            assert_eq!(reread(codec, &float).to_bits(), float.to_bits(), "{float:?}");
            if single.is_finite() {
                assert_eq!(reread(codec, &single).to_bits(), single.to_bits(), "{single:?}");
                let price = Price::Net { amount: float, rate: single };
                assert_eq!(reread(codec, &price), price);
            }
            let value = serde_json::json!({ "nested": [float] });
            assert_eq!(reread(codec, &value), value, "{float:?}");
        }
    }

    #[test]
    fn json_reads_every_finite_float_back_bit_for_bit() {
        floats_survive(&Json);
    }

    #[cfg(feature = "messagepack")]
    #[test]
    fn message_pack_reads_every_finite_float_back_bit_for_bit() {
        floats_survive(&MessagePack);
    }

    #[test]
    fn json_reads_integers_of_128_bits_back() {
        for integer in [u128::MAX, u128::from(u64::MAX) + 1, 9_007_199_254_740_993] {
            assert_eq!(reread(&Json, &integer), integer);
        }
        assert_eq!(reread(&Json, &i128::MIN), i128::MIN);
    }
}
