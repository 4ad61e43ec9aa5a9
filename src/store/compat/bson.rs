//! A session between BSON and JSON, for connect-mongo with `stringify: false`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, Uuid};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::iso::iso_millis;

/// The JSON that `JSON.stringify` makes of what the driver hands out for it in Node.
pub(super) fn to_json(document: &Document) -> String {
    let json = serde_json::to_string(&Rendered(&Bson::Document(document.clone())));
    json.unwrap_or_else(|_| unreachable!("what is rendered here has a text"))
}

/// The document of a JSON text, in the form of another one: what has not changed keeps its type, and
/// a date that another date takes the place of stays one, as does `cookie.expires`, which
/// express-session has as a date. JSON has no dates and one kind of number.
pub(super) fn from_json(text: &str, like: Option<&Document>) -> serde_json::Result<Document> {
    let Read(bson) = serde_json::from_str(text)?;
    match shaped(bson, like.cloned().map(Bson::Document).as_ref()) {
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

fn shaped(new: Bson, old: Option<&Bson>) -> Bson {
    let text = |bson| serde_json::to_string(&Rendered(bson)).ok();
    match (new, old) {
        (new, Some(old)) if text(&new) == text(old) => old.clone(),
        (Bson::Document(new), Some(Bson::Document(old))) => {
            let shape = |(name, value)| {
                let old = old.get(&name);
                (name, shaped(value, old))
            };
            Bson::Document(new.into_iter().map(shape).collect())
        }
        (Bson::Array(new), Some(Bson::Array(old))) => {
            let shape = |(index, value)| shaped(value, old.get(index));
            Bson::Array(new.into_iter().enumerate().map(shape).collect())
        }
        // What no double holds exactly was read from that very number.
        (Bson::Double(new), Some(Bson::Int64(old))) if new == *old as f64 => Bson::Int64(*old),
        (Bson::String(new), Some(Bson::DateTime(_))) => {
            date(&new).map_or(Bson::String(new), Bson::DateTime)
        }
        (new, _) => new,
    }
}

/// The last millisecond, either way from 1970, that JavaScript has a date for.
const LAST_DATE: u64 = 8_640_000_000_000_000;

/// What the driver has hyphens in, in its versions since 4.
fn uuid(binary: &Binary) -> Option<Uuid> {
    let bytes = binary.bytes.as_slice().try_into().ok()?;
    (binary.subtype == BinarySubtype::Uuid).then(|| Uuid::from_bytes(bytes))
}

/// Writes BSON as JavaScript would write it in JSON.
struct Rendered<'a>(&'a Bson);

impl Serialize for Rendered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Bson::Document(document) => {
                let mut map = serializer.serialize_map(Some(document.len()))?;
                for (name, value) in document {
                    map.serialize_entry(name, &Self(value))?;
                }
                map.end()
            }
            Bson::Array(values) => {
                let mut seq = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    seq.serialize_element(&Self(value))?;
                }
                seq.end()
            }
            Bson::String(text) => serializer.serialize_str(text),
            Bson::Boolean(value) => serializer.serialize_bool(*value),
            Bson::Int32(number) => serializer.serialize_i32(*number),
            Bson::Int64(number) => serializer.serialize_i64(*number),
            // JavaScript writes no `.0`.
            Bson::Double(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
                serializer.serialize_i64(*number as i64)
            }
            Bson::Double(number) if number.is_finite() => serializer.serialize_f64(*number),
            Bson::Double(_) | Bson::Null | Bson::Undefined => serializer.serialize_unit(),
            Bson::DateTime(date) => match date.timestamp_millis() {
                millis if millis.unsigned_abs() > LAST_DATE => serializer.serialize_unit(),
                millis => serializer.serialize_str(&iso_millis(millis)),
            },
            Bson::ObjectId(id) => serializer.serialize_str(&id.to_hex()),
            // What connect-mongo is handed is the driver's `Binary`, no `Buffer`.
            Bson::Binary(binary) => match uuid(binary) {
                Some(uuid) => serializer.serialize_str(&uuid.to_string()),
                None => serializer.serialize_str(&STANDARD.encode(&binary.bytes)),
            },
            other => other.clone().into_relaxed_extjson().serialize(serializer),
        }
    }
}

/// Reads JSON as the driver takes it from Node: a number is an int32 where it fits, else a double.
struct Read(Bson);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadVisitor)
    }
}

struct ReadVisitor;

impl<'de> Visitor<'de> for ReadVisitor {
    type Value = Read;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Read, E> {
        Ok(Read(Bson::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Read, E> {
        Ok(Read(Bson::Boolean(value)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Read, E> {
        Ok(Read(i32::try_from(number).map_or(Bson::Double(number as f64), Bson::Int32)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Read, E> {
        Ok(Read(i32::try_from(number).map_or(Bson::Double(number as f64), Bson::Int32)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Read, E> {
        Ok(Read(Bson::Double(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Read, E> {
        Ok(Read(Bson::String(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Read, A::Error> {
        let mut values = Vec::new();
        while let Some(Read(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Read(Bson::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read, A::Error> {
        let mut document = Document::new();
        while let Some((name, Read(value))) = map.next_entry::<String, _>()? {
            document.insert(name, value);
        }
        Ok(Read(Bson::Document(document)))
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;
    use mongodb::bson::oid::ObjectId;

    use super::*;

    fn recorded() -> Document {
        let date = DateTime::from_millis(1_795_486_743_816);
        doc! {
            "cookie": { "originalMaxAge": 90_000, "expires": date, "secure": null, "path": "/" },
            "int": 7, "long": 1_099_511_627_776_i64, "double": 1_099_511_627_776.0, "half": 0.5,
            "nan": f64::NAN, "nothing": Bson::Undefined, "when": date, "list": [1, { "a.b": "$c" }],
            "bytes": Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 255] },
            "uuid": Uuid::from_bytes([7; 16]), "id": ObjectId::from_bytes([1; 12]),
            "old": [DateTime::from_millis(-1), DateTime::MIN],
        }
    }

    const TEXT: &str = r#"{"cookie":{"originalMaxAge":90000,"expires":"2026-11-24T02:19:03.816Z","secure":null,"path":"/"},"int":7,"long":1099511627776,"double":1099511627776,"half":0.5,"nan":null,"nothing":null,"when":"2026-11-24T02:19:03.816Z","list":[1,{"a.b":"$c"}],"bytes":"Af8=","uuid":"07070707-0707-0707-0707-070707070707","id":"010101010101010101010101","old":["1969-12-31T23:59:59.999Z",null]}"#;

    #[test]
    fn a_document_is_the_json_that_node_makes_of_it() {
        assert_eq!(to_json(&recorded()), TEXT);
    }

    #[test]
    fn what_has_not_changed_keeps_its_type() {
        let same = from_json(TEXT, Some(&recorded())).unwrap();
        assert_eq!(format!("{same}"), format!("{}", recorded()));
        let text = TEXT.replace("\"int\":7", "\"int\":8").replace(":0.5", ":[]");
        let changed = from_json(&text, Some(&recorded())).unwrap();
        let mut expected = recorded();
        expected.insert("int", 8);
        expected.insert("half", Bson::Array(vec![]));
        assert_eq!(format!("{changed}"), format!("{expected}"));
    }

    #[test]
    fn what_has_not_changed_in_a_list_keeps_its_type() {
        let date = DateTime::from_millis(1_795_486_743_816);
        let (id, bytes) = (ObjectId::from_bytes([1; 12]), vec![1, 255]);
        let bytes = Binary { subtype: BinarySubtype::Generic, bytes };
        let old = doc! { "list": [date, id, [bytes.clone(), 9_007_199_254_740_993_i64], 1] };
        let text = to_json(&old).replace(",1]", r#",2,"new"]"#);
        let expected = doc! { "list": [date, id, [bytes, 9_007_199_254_740_993_i64], 2, "new"] };
        assert_eq!(from_json(&text, Some(&old)).unwrap(), expected);
    }

    #[test]
    fn a_date_stays_a_date() {
        let text = TEXT.replace("02:19:03.816Z", "03:00:00.000Z");
        let changed = from_json(&text, Some(&recorded())).unwrap();
        let date = DateTime::from_millis(1_795_489_200_000);
        assert_eq!(changed.get_document("cookie").unwrap().get_datetime("expires"), Ok(&date));
        assert_eq!(changed.get_datetime("when"), Ok(&date));
        let text = TEXT.replace("2026-11-24T02:19:03.816Z", "never");
        assert_eq!(from_json(&text, Some(&recorded())).unwrap().get_str("when"), Ok("never"));
    }

    #[test]
    fn new_json_is_typed_as_the_driver_does_for_node() {
        let text =
            r#"{"cookie":{"expires":"2026-11-24T02:19:03.816Z"},"a":1,"b":4294967296,"c":1.5}"#;
        let new = from_json(text, None).unwrap();
        let date = DateTime::from_millis(1_795_486_743_816);
        let expected =
            doc! { "cookie": { "expires": date }, "a": 1, "b": 4_294_967_296.0, "c": 1.5 };
        assert_eq!(new, expected);
    }

    #[test]
    fn a_cookie_that_ends_from_now_on_has_a_date() {
        let date = DateTime::from_millis(1_795_486_743_816);
        let text = r#"{"cookie":{"expires":"2026-11-24T02:19:03.816Z"}}"#;
        let like = |expires: Bson| Some(doc! { "cookie": { "expires": expires } });
        for (old, expected) in [
            (None, Bson::DateTime(date)),
            (like(Bson::Null), Bson::DateTime(date)),
            (like("2026-11-24T00:00:00.000Z".into()), "2026-11-24T02:19:03.816Z".into()),
        ] {
            let new = from_json(text, old.as_ref()).unwrap();
            assert_eq!(new.get_document("cookie").unwrap().get("expires"), Some(&expected));
        }
    }
}
