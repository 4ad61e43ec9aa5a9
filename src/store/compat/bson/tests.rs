//! Documents to the text that Node makes of them, and back.

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
    let text = r#"{"cookie":{"expires":"2026-11-24T02:19:03.816Z"},"a":1,"b":4294967296,"c":1.5}"#;
    let new = from_json(text, None).unwrap();
    let date = DateTime::from_millis(1_795_486_743_816);
    let expected = doc! { "cookie": { "expires": date }, "a": 1, "b": 4_294_967_296.0, "c": 1.5 };
    assert_eq!(new, expected);
}

/// Numbers at the edges of each type, and of what JavaScript and JSON write.
fn numbers() -> Vec<Bson> {
    let mut numbers = Vec::new();
    for bits in 0..64 {
        for near in [-1, 0, 1] {
            let integer = (1_i128 << bits) + near;
            for integer in [integer, -integer] {
                numbers.extend(i32::try_from(integer).ok().map(Bson::Int32));
                numbers.extend(i64::try_from(integer).ok().map(Bson::Int64));
                numbers.push(Bson::Double(integer as f64));
                numbers.push(Bson::Double(integer as f64 / 3.0));
            }
        }
    }
    for exponent in -324..=308 {
        let number: f64 = format!("1.2345678901234567e{exponent}").parse().unwrap();
        numbers.extend([number, -number, number.next_up()].map(Bson::Double));
    }
    let others = [
        0.0,
        -0.0,
        9_957.400_000_000_001,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::NAN,
        f64::INFINITY,
    ];
    numbers.extend(others.map(Bson::Double));
    numbers.extend([i64::MIN, i64::MAX].map(Bson::Int64));
    numbers
}

/// The bytes that the server would keep.
fn bytes(document: &Document) -> Vec<u8> {
    mongodb::bson::to_vec(document).unwrap()
}

fn everything() -> Document {
    use mongodb::bson::{Decimal128, JavaScriptCodeWithScope, Regex, Timestamp};
    let regex = Regex { pattern: "^a".to_owned(), options: "i".to_owned() };
    let scope = doc! { "a": 1_i64, "b": 0.5 };
    let code = JavaScriptCodeWithScope { code: "f()".to_owned(), scope };
    let mut document = recorded();
    document.extend(doc! {
        "numbers": numbers(),
        "decimal": "1.50".parse::<Decimal128>().unwrap(), "regex": regex, "code": code,
        "symbol": Bson::Symbol("s".to_owned()), "script": Bson::JavaScriptCode("g()".to_owned()),
        "stamp": Timestamp { time: u32::MAX, increment: 1 },
        "ends": [Bson::MinKey, Bson::MaxKey, DateTime::MAX, Bson::Null],
        "$date": { "$oid": "no id", "$numberLong": 1 }, "": [[], {}, [{}]],
    });
    document
}

#[test]
fn a_document_that_nobody_changed_stays_what_it_is_to_the_bit() {
    let old = everything();
    let same = from_json(&to_json(&old), Some(&old)).unwrap();
    assert_eq!(bytes(&same), bytes(&old));
    for number in numbers() {
        let old = doc! { "n": number.clone(), "in": [{ "n": number }] };
        let same = from_json(&to_json(&old), Some(&old)).unwrap();
        assert_eq!(bytes(&same), bytes(&old), "{old}");
    }
}

/// As a map of Rust reads and writes it, which orders the names.
#[test]
fn what_was_read_and_written_unchanged_stays_what_it_is_to_the_bit() {
    let old = everything();
    let value: serde_json::Value = serde_json::from_str(&to_json(&old)).unwrap();
    let mut same = from_json(&value.to_string(), Some(&old)).unwrap();
    assert_eq!(bytes(&same), bytes(&old));
    let text = to_json(&old).replacen("\"half\":0.5", "\"half\":0.25", 1);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let changed = from_json(&value.to_string(), Some(&old)).unwrap();
    assert_eq!(changed.get_f64("half"), Ok(0.25));
    same.insert("half", 0.25);
    for (name, value) in &changed {
        let (value, expected) = (doc! { "v": value }, doc! { "v": same.get(name) });
        assert_eq!(bytes(&value), bytes(&expected), "{name}");
    }
}

#[test]
fn a_number_that_is_written_is_read_again() {
    for number in [0, 1, u64::from(u32::MAX), (1 << 53) - 1, 1 << 53, (1 << 53) + 1, 1 << 63] {
        for sign in ["", "-"] {
            let text = format!("{{\"n\":{sign}{number}}}");
            let new = from_json(&text, None).unwrap();
            assert_eq!(to_json(&new).replace(":0", ":-0"), text.replace(":0", ":-0"));
        }
    }
    for number in [0.1, 1e21, 1.5e300, 5e-324, 1e-7, 9_957.400_000_000_001, f64::MAX, 1e15] {
        let text = serde_json::to_string(&serde_json::json!({ "n": number })).unwrap();
        let read = to_json(&from_json(&text, None).unwrap());
        let read: serde_json::Value = serde_json::from_str(&read).unwrap();
        assert_eq!(read["n"].as_f64().unwrap().to_bits(), number.to_bits());
    }
}

#[test]
fn a_number_that_mongodb_does_not_have_is_refused() {
    let error = from_json("{\"n\":18446744073709551615}", None).unwrap_err();
    assert!(error.to_string().contains("make it a text"), "{error}");
}

#[test]
fn a_change_of_a_number_by_one_is_one() {
    let old = doc! { "d": 9_007_199_254_740_992.0, "l": 9_007_199_254_740_993_i64, "i": 1 };
    let text = r#"{"d":9007199254740993,"l":9007199254740994,"i":2}"#;
    let new = from_json(text, Some(&old)).unwrap();
    assert_eq!(to_json(&new), text);
}

#[test]
fn numbers_are_written_as_javascript_does() {
    for (number, text) in [
        (-0.0, "0"),
        (9_007_199_254_740_991.0, "9007199254740991"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.5e300, "-1.5e+300"),
        (0.000_001, "0.000001"),
        (1.5e-7, "1.5e-7"),
        (0.1, "0.1"),
    ] {
        assert_eq!(to_json(&doc! { "n": number }), format!("{{\"n\":{text}}}"));
    }
    // An integer of Rust reads every digit, where JavaScript writes zeros.
    assert_eq!(to_json(&doc! { "n": 2_f64.powi(63) }), r#"{"n":9223372036854775808}"#);
}

fn nested(depth: usize, inner: Bson) -> Document {
    let wrapped = (1..depth).fold(inner, |inner, level| match level % 2 {
        0 => Bson::Array(vec![inner]),
        _ => Bson::Document(doc! { "in": inner }),
    });
    doc! { "in": wrapped }
}

#[test]
fn what_is_nested_deep_is_kept_and_changed() {
    let old = nested(199, Bson::Int64(7));
    let same = from_json(&to_json(&old), Some(&old)).unwrap();
    assert_eq!(bytes(&same), bytes(&old));
    let mut text = to_json(&old);
    text.insert_str(1, "\"new\":1,");
    let mut changed = from_json(&text, Some(&old)).unwrap();
    assert_eq!(changed.remove("new"), Some(Bson::Int32(1)));
    assert_eq!(bytes(&changed), bytes(&old));
}

#[test]
fn what_is_nested_too_deep_is_refused() {
    let text = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    // On half of the stack that a thread has.
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let read = small.spawn(move || from_json(&text, None)).unwrap().join();
    let error = read.unwrap().unwrap_err();
    assert!(error.to_string().contains("200 levels"), "{error}");
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
