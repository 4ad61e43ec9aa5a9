//! A session between BSON and JSON, for connect-mongo with `stringify: false`.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, Uuid};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use super::iso::iso_millis;

/// How deep a session may be nested: no deeper than MongoDB takes documents.
const DEPTH: usize = 200;

/// The JSON that `JSON.stringify` makes of what the driver hands out for it in Node. A whole number
/// has all of its digits, so that an integer of Rust reads it.
pub(super) fn to_json(document: &Document) -> String {
    let mut text = String::new();
    write_document(document, &mut text);
    text
}

/// The document of a JSON text, in the form of another one: what has not changed stays what it was, to
/// the bit, and a date that another date takes the place of stays one, as does `cookie.expires`, which
/// express-session has as a date. JSON has no dates and one kind of number.
pub(super) fn from_json(text: &str, like: Option<&Document>) -> serde_json::Result<Document> {
    let old = like.cloned().map(Bson::Document);
    let mut json = serde_json::Deserializer::from_str(text);
    json.disable_recursion_limit();
    let new = Shaped { old: old.as_ref(), depth: 0 }.deserialize(&mut json)?.bson;
    json.end()?;
    match new {
        Bson::Document(document) => Ok(with_date(document, like)),
        _ => Ok(Document::new()),
    }
}

/// Makes a date of the text in `cookie.expires`, unless a text is what stood there.
fn with_date(mut document: Document, like: Option<&Document>) -> Document {
    let old = like.and_then(|like| like.get_document("cookie").ok());
    let was_text = old.is_some_and(|cookie| cookie.get_str("expires").is_ok());
    if !was_text
        && let Ok(cookie) = document.get_document_mut("cookie")
        && let Some(date) = cookie.get_str("expires").ok().and_then(date)
    {
        cookie.insert("expires", date);
    }
    document
}

fn date(text: &str) -> Option<DateTime> {
    DateTime::parse_rfc3339_str(text).ok()
}

/// The last millisecond, either way from 1970, that JavaScript has a date for.
const LAST_DATE: u64 = 8_640_000_000_000_000;

/// What the driver has hyphens in, in its versions since 4.
fn uuid(binary: &Binary) -> Option<Uuid> {
    let bytes = binary.bytes.as_slice().try_into().ok()?;
    (binary.subtype == BinarySubtype::Uuid).then(|| Uuid::from_bytes(bytes))
}

fn write_document(document: &Document, text: &mut String) {
    text.push('{');
    for (index, (name, value)) in document.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&quoted(name));
        text.push(':');
        write_value(value, text);
    }
    text.push('}');
}

/// Writes BSON as JavaScript would write it in JSON.
fn write_value(value: &Bson, text: &mut String) {
    match value {
        Bson::Document(document) => write_document(document, text),
        Bson::Array(values) => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(value, text);
            }
            text.push(']');
        }
        Bson::String(value) => text.push_str(&quoted(value)),
        Bson::Boolean(value) => text.push_str(if *value { "true" } else { "false" }),
        Bson::Int32(number) => put(text, number),
        Bson::Int64(number) => put(text, number),
        Bson::Double(number) if number.is_finite() => write_double(*number, text),
        value if is_null(value) => text.push_str("null"),
        value => match as_text(value) {
            Some(value) => text.push_str(&quoted(&value)),
            None => put(text, value.clone().into_relaxed_extjson()),
        },
    }
}

fn put(text: &mut String, value: impl std::fmt::Display) {
    write!(text, "{value}").unwrap_or_else(|_| unreachable!("a String takes what is written"));
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_else(|_| unreachable!("a text can be written"))
}

/// A whole number as an integer, where Rust has one for it, and any other as JavaScript writes it.
fn write_double(number: f64, text: &mut String) {
    if let Some(whole) = whole(number) {
        // JavaScript writes -0 as 0 too.
        put(text, whole);
    } else if (1e-6..1e21).contains(&number.abs()) {
        put(text, number);
    } else {
        let exponential = format!("{number:e}");
        let is_large = number.abs() >= 1.0;
        text.push_str(&if is_large { exponential.replace('e', "e+") } else { exponential });
    }
}

/// The integer that a double is exactly.
fn whole(number: f64) -> Option<i128> {
    let is_within = number >= i64::MIN as f64 && number < u64::MAX as f64;
    (is_within && number.fract() == 0.0).then_some(number as i128)
}

fn is_null(value: &Bson) -> bool {
    match value {
        Bson::Null | Bson::Undefined => true,
        Bson::Double(number) => !number.is_finite(),
        Bson::DateTime(date) => date.timestamp_millis().unsigned_abs() > LAST_DATE,
        _ => false,
    }
}

/// What is a text in JSON, and none in BSON.
fn as_text(value: &Bson) -> Option<String> {
    match value {
        Bson::DateTime(date) => Some(iso_millis(date.timestamp_millis())),
        Bson::ObjectId(id) => Some(id.to_hex()),
        // What connect-mongo is handed is the driver's `Binary`, no `Buffer`.
        Bson::Binary(binary) => Some(match uuid(binary) {
            Some(uuid) => uuid.to_string(),
            None => STANDARD.encode(&binary.bytes),
        }),
        _ => None,
    }
}

/// Reads JSON as the driver takes it from Node, where an old value does not say it better: a number is
/// an int32 where it fits, else a double.
#[derive(Clone, Copy)]
struct Shaped<'o> {
    old: Option<&'o Bson>,
    depth: usize,
}

/// What was read.
struct Read {
    bson: Bson,
    /// Whether it is the old value.
    is_old: bool,
}

impl From<Bson> for Read {
    fn from(bson: Bson) -> Self {
        Self { bson, is_old: false }
    }
}

impl<'o> Shaped<'o> {
    /// The old value, if it is this one.
    fn kept(self, is_same: impl FnOnce(&Bson) -> bool) -> Option<Read> {
        let old = self.old.filter(|old| is_same(old))?;
        Some(Read { bson: old.clone(), is_old: true })
    }

    fn within<E: Error>(self, old: Option<&'o Bson>) -> Result<Self, E> {
        if self.depth == DEPTH {
            return Err(E::custom(format_args!("it is nested more than {DEPTH} levels deep")));
        }
        Ok(Self { old, depth: self.depth + 1 })
    }

    fn integer<E: Error>(self, number: i128) -> Result<Read, E> {
        let is_same = |old: &Bson| match old {
            Bson::Int32(old) => i128::from(*old) == number,
            Bson::Int64(old) => i128::from(*old) == number,
            Bson::Double(old) => whole(*old) == Some(number),
            _ => false,
        };
        if let Some(kept) = self.kept(is_same) {
            return Ok(kept);
        }
        let double = number as f64;
        if let Ok(number) = i32::try_from(number) {
            Ok(Bson::Int32(number).into())
        } else if whole(double) == Some(number) {
            Ok(Bson::Double(double).into())
        } else if let Ok(number) = i64::try_from(number) {
            // As JavaScript's bigint.
            Ok(Bson::Int64(number).into())
        } else {
            Err(E::custom("no number of MongoDB is this large and this exact; make it a text"))
        }
    }
}

impl<'de> DeserializeSeed<'de> for Shaped<'_> {
    type Value = Read;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Read, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shaped<'_> {
    type Value = Read;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Read, E> {
        Ok(self.kept(is_null).unwrap_or_else(|| Bson::Null.into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Read, E> {
        let new = Bson::Boolean(value);
        Ok(self.kept(|old| *old == new).unwrap_or(new.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Read, E> {
        self.integer(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Read, E> {
        self.integer(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Read, E> {
        let is_same = |old: &Bson| match old {
            Bson::Int32(old) => f64::from(*old) == number,
            // What no double holds exactly was read from that very number.
            Bson::Int64(old) => *old as f64 == number,
            Bson::Double(old) => *old == number,
            _ => false,
        };
        Ok(self.kept(is_same).unwrap_or(Bson::Double(number).into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Read, E> {
        let is_same = |old: &Bson| match old {
            Bson::String(old) => old == text,
            old => !is_null(old) && as_text(old).is_some_and(|old| old == text),
        };
        let new = || match self.old {
            Some(Bson::DateTime(_)) => date(text).map(Bson::DateTime),
            _ => None,
        };
        let kept = self.kept(is_same);
        Ok(kept.unwrap_or_else(|| new().unwrap_or_else(|| text.into()).into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Read, A::Error> {
        let old = self.old.and_then(Bson::as_array);
        let (mut values, mut are_old) = (Vec::new(), true);
        while let Some(read) =
            seq.next_element_seed(self.within(old.and_then(|old| old.get(values.len())))?)?
        {
            are_old &= read.is_old;
            values.push(read.bson);
        }
        let is_old = are_old && old.is_some_and(|old| old.len() == values.len());
        Ok(Read { bson: Bson::Array(values), is_old })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read, A::Error> {
        let old = self.old.and_then(Bson::as_document);
        let (mut document, mut are_old) = (Document::new(), true);
        while let Some(name) = map.next_key::<String>()? {
            let shape = self.within(old.and_then(|old| old.get(&name)))?;
            let read = map.next_value_seed(shape)?;
            are_old &= read.is_old;
            document.insert(name, read.bson);
        }
        if let Some(old) = old.filter(|old| are_old && old.len() == document.len()) {
            let is_ordered = document.keys().eq(old.keys());
            // In the old order too, which a map of Rust may not keep.
            let document = if is_ordered { document } else { old.clone() };
            return Ok(Read { bson: Bson::Document(document), is_old: true });
        }
        let kept = self.kept(|old| is_extended(old, &document));
        Ok(kept.unwrap_or_else(|| Bson::Document(document).into()))
    }
}

/// Whether a value that is an object in JSON, such as a decimal number, is the one of this object.
fn is_extended(old: &Bson, new: &Document) -> bool {
    let is_object = matches!(
        old,
        Bson::RegularExpression(_)
            | Bson::JavaScriptCode(_)
            | Bson::JavaScriptCodeWithScope(_)
            | Bson::Timestamp(_)
            | Bson::Symbol(_)
            | Bson::Decimal128(_)
            | Bson::MaxKey
            | Bson::MinKey
            | Bson::DbPointer(_)
    );
    // In whatever order.
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    is_object && json(&to_json(new)) == Some(old.clone().into_relaxed_extjson())
}

#[cfg(test)]
mod tests;
