//! [`Members`]: a JSON object whose values are left as they were written.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The members of an object in their order, each value as its text: numbers keep their digits, and
/// what no Rust string can hold stays what it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, Cow<'a, RawValue>)>);

impl<'a> Members<'a> {
    /// Reads the text of an object.
    pub(super) fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    pub(super) fn get(&self, name: &str) -> Option<&RawValue> {
        self.find(name).map(|value| &**value)
    }

    /// As [`get`](Self::get), with the lifetime of the text, where it still stands there.
    pub(super) fn borrowed(&self, name: &str) -> Option<&'a RawValue> {
        self.find(name).and_then(|value| match value {
            Cow::Borrowed(value) => Some(*value),
            Cow::Owned(_) => None,
        })
    }

    /// The last one of a name counts, as in JavaScript.
    fn find(&self, name: &str) -> Option<&Cow<'a, RawValue>> {
        self.0.iter().rfind(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Puts a value in the place of the one of this name, or at the end.
    pub(super) fn set(&mut self, name: impl Into<Cow<'a, str>>, value: Cow<'a, RawValue>) {
        let name = name.into();
        match self.0.iter_mut().rfind(|(other, _)| *other == name) {
            Some((_, place)) => *place = value,
            None => self.0.push((name, value)),
        }
    }

    /// Puts a member at the end, where none of this name is.
    pub(super) fn push(&mut self, name: &'a str, value: &'a RawValue) {
        self.0.push((Cow::Borrowed(name), Cow::Borrowed(value)));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(other, _)| other != name);
    }

    /// Puts the members of another object at the end.
    pub(super) fn append(&mut self, other: Members<'a>) {
        self.0.extend(other.0);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The object as text, as `JSON.stringify` puts it.
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| unreachable!("texts have a text"))
    }

    pub(super) fn into_owned(self) -> Members<'static> {
        let owned = self
            .0
            .into_iter()
            .map(|(name, value)| (Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned())));
        Members(owned.collect())
    }
}

/// The text of a value that has one whatever it is.
pub(super) fn raw<'a>(value: &(impl Serialize + ?Sized)) -> Cow<'a, RawValue> {
    let raw = serde_json::value::to_raw_value(value);
    Cow::Owned(raw.unwrap_or_else(|_| unreachable!("numbers and strings have a text")))
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(Name(name)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            members.0.push((name, Cow::Borrowed(value)));
        }
        Ok(members)
    }
}

/// A name that is borrowed unless it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_written_as_it_was_read() {
        for text in [
            "{}",
            r#"{"10":1e+21,"b":-0.0,"a":"\ud800","c":{"x":[1,{}]},"é😀":"\u2028","d":"\u0000"}"#,
        ] {
            assert_eq!(Members::parse(text).unwrap().to_text(), text);
        }
    }

    #[test]
    fn nesting_of_any_depth_is_read() {
        let text = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(Members::parse(&text).unwrap().to_text(), text);
    }

    #[test]
    fn the_last_member_of_a_name_counts() {
        let mut members = Members::parse(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(members.get("a").unwrap().get(), "3");
        members.set("a", raw(&4));
        assert_eq!(members.get("a").unwrap().get(), "4");
        members.remove("a");
        assert_eq!(members.to_text(), r#"{"b":2}"#);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "null", "[]", "1", "{", "{\"a\":1}x", "{a:1}"] {
            assert!(Members::parse(text).is_err(), "{text}");
        }
    }
}
