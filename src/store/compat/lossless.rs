//! [`Lossless`]: data that keeps what it does not know.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::members::Members;

/// A struct, and the fields beside its own that another service keeps in the same session.
///
/// A plain struct takes from a session the fields that it has, and what it does not have is gone
/// when it is written. This keeps it, and writes each field that has not changed as it was read,
/// byte for byte. It is about the outermost fields: one that holds an object and has changed is
/// written as the struct has it. JSON alone; the data is written as an object. A field that is read
/// under one name and written under another (serde's `alias`) can be read, not changed.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use token_session::store::compat::Lossless;
/// use token_session::{Codec, Json};
///
/// #[derive(Serialize, Deserialize)]
/// struct Account { user: String, visits: u32 }
///
/// let bytes = br#"{"passport":{"id":1e2},"visits":3,"user":"anna"}"#;
/// let mut account: Lossless<Account> = Json.decode(bytes)?;
/// account.visits += 1;
/// let written = Json.encode(&account)?;
/// assert_eq!(written, r#"{"passport":{"id":1e2},"visits":4,"user":"anna"}"#);
/// # Ok::<(), token_session::CodecError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Lossless<T> {
    data: T,
    /// As it was read.
    read: Members<'static>,
    /// What the struct made of it.
    known: Members<'static>,
}

impl<T> Lossless<T> {
    /// Data with nothing beside it.
    pub fn new(data: T) -> Self {
        Self { data, read: Members::default(), known: Members::default() }
    }

    /// The data, without what was beside it.
    pub fn into_inner(self) -> T {
        self.data
    }
}

impl<T> Deref for Lossless<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T> DerefMut for Lossless<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.data
    }
}

impl<T: Serialize + DeserializeOwned> Lossless<T> {
    /// The members as they are written, and whether one has a name that was not read.
    fn merged<'a>(&'a self, now: &'a Members<'a>) -> (Members<'a>, bool) {
        let names = now.iter().enumerate().map(|(at, (name, _))| (name, at));
        let places: HashMap<&str, usize> = names.collect();
        let known: HashMap<&str, &str> =
            self.known.iter().map(|(name, value)| (name, value.get())).collect();
        let mut now: Vec<_> = now.iter().map(Some).collect();
        let mut merged = Members::default();
        for (name, read) in self.read.iter() {
            match places.get(name).and_then(|at| now[*at].take()) {
                Some((_, value)) if known.get(name) == Some(&value.get()) => {
                    merged.push(name, read)
                }
                Some((_, value)) => merged.push(name, value),
                None if known.contains_key(name) || places.contains_key(name) => {}
                None => merged.push(name, read),
            }
        }
        let mut has_new = false;
        // A default that the struct made up for a field that is not there stays unwritten.
        for (name, value) in now.into_iter().flatten() {
            if known.get(name) != Some(&value.get()) {
                merged.push(name, value);
                has_new = true;
            }
        }
        (merged, has_new)
    }
}

impl<T: Serialize + DeserializeOwned> Serialize for Lossless<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(&self.data).map_err(S::Error::custom)?;
        let now = Members::parse(&text).map_err(S::Error::custom)?;
        let (merged, has_new) = self.merged(&now);
        // A field that is read under another name than it is written under would stand there twice.
        if has_new {
            check::<T>(&text, &merged.to_text()).map_err(S::Error::custom)?;
        }
        merged.serialize(serializer)
    }
}

/// Checks that a text is read as what has this one.
fn check<T: Serialize + DeserializeOwned>(text: &str, merged: &str) -> Result<(), String> {
    let read = serde_json::from_str::<T>(merged);
    let read = read.map_err(|error| format!("it could not be read again: {error}"))?;
    let is_same = serde_json::to_value(&read).ok() == serde_json::from_str(text).ok();
    let fault = "it would be read as something else; is a field read under another name?";
    if is_same { Ok(()) } else { Err(fault.to_owned()) }
}

impl<'de, T: Serialize + DeserializeOwned> Deserialize<'de> for Lossless<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Box<RawValue>>::deserialize(deserializer)?;
        let data: T = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        let read = Members::parse(text.get()).map_err(D::Error::custom)?.into_owned();
        let known = serde_json::to_string(&data).map_err(D::Error::custom)?;
        let known = Members::parse(&known).map_err(D::Error::custom)?.into_owned();
        Ok(Self { data, read, known })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Aliased {
        #[serde(alias = "userName")]
        user: String,
        #[serde(default)]
        visits: u32,
    }

    #[derive(Serialize, Deserialize)]
    struct Renamed {
        #[serde(rename(serialize = "written", deserialize = "read"))]
        user: String,
    }

    #[test]
    fn a_field_that_would_stand_there_twice_is_not_written() {
        let text = r#"{"userName":"anna"}"#;
        let mut account: Lossless<Aliased> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&account).unwrap(), text);
        account.visits = 1;
        let written = serde_json::to_string(&account).unwrap();
        assert_eq!(written, r#"{"userName":"anna","visits":1}"#);
        account.user = "jim".to_owned();
        let error = serde_json::to_string(&account).unwrap_err();
        assert!(error.to_string().contains("duplicate field `user`"), "{error}");

        let mut renamed: Lossless<Renamed> = serde_json::from_str(r#"{"read":"anna"}"#).unwrap();
        renamed.user = "jim".to_owned();
        let error = serde_json::to_string(&renamed).unwrap_err();
        assert!(error.to_string().contains("something else"), "{error}");
    }
}
