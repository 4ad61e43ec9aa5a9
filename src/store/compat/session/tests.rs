//! Records as Node's packages were seen to write them.

use super::*;
use crate::record::Label;

pub(super) const DAY: Duration = Duration::from_secs(86_400);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_486_653_816);

pub(super) fn format(shape: Shape) -> Format {
    Format { shape, default: Lifetime::idle(DAY).unwrap(), listeners: Arc::default() }
}

fn wrapped() -> Format {
    format(Shape::token_session())
}

fn flat() -> Format {
    format(Shape::express())
}

/// A record that ends in an hour.
fn stored(text: &str) -> Stored {
    Stored { text: text.to_owned().into(), expires: Some(NOW + 60 * MINUTE), now: NOW }
}

fn data(format: &Format, text: &str) -> String {
    let stored = stored(text);
    let record = Session::read(format, &stored).unwrap().record();
    String::from_utf8(record.data.to_vec()).unwrap()
}

fn details_of(format: &Format, text: &str) -> Details {
    Session::read(format, &stored(text)).unwrap().record().details
}

fn meta(format: &Format, text: &str) -> Meta {
    Session::read(format, &stored(text)).unwrap().meta()
}

/// The record after new data was written.
fn written(format: &Format, text: &str, data: &str) -> String {
    let change = Change { data: Some(data.as_bytes()), ..Change::default() };
    changed(format, text, &change).text
}

fn changed(format: &Format, text: &str, change: &Change<'_>) -> Changed {
    Session::read(format, &stored(text)).unwrap().changed(change).unwrap()
}

fn begun(format: &Format, record: &NewRecord<'_>) -> String {
    format.begin(record, NOW).unwrap()
}

#[test]
fn what_token_session_writes_is_read_and_written() {
    let text = r#"{"cookie":{"maxAge":0},"data":{"name":"jhon","count":0}}"#;
    assert_eq!(data(&wrapped(), text), r#"{"name":"jhon","count":0}"#);
    let record = NewRecord::new(r#"{"name":"jhon","count":0}"#, wrapped().default);
    assert_eq!(begun(&wrapped(), &record), text);
    let after = written(&wrapped(), text, r#"{"name":"jhon","count":1}"#);
    assert_eq!(after, text.replace("0}}", "1}}"));
}

#[test]
fn data_of_every_json_type_is_wrapped() {
    for value in ["null", "[1,2]", "\"text\"", "0", "false", "1e+21", "\"\\ud800\""] {
        let text = format!(r#"{{"cookie":{{"maxAge":0}},"data":{value}}}"#);
        assert_eq!(data(&wrapped(), &text), value);
        assert_eq!(begun(&wrapped(), &NewRecord::new(value, wrapped().default)), text);
    }
}

#[test]
fn data_that_was_undefined_is_null() {
    assert_eq!(data(&wrapped(), r#"{"cookie":{"maxAge":0}}"#), "null");
    assert_eq!(data(&wrapped(), "{}"), "null");
}

#[test]
fn any_cookie_is_tolerated_and_kept() {
    for cookie in [
        "{}",
        r#"{"httpOnly":true,"path":"/"}"#,
        r#"{"originalMaxAge":90000,"expires":"2026-11-24T02:19:03.816Z","httpOnly":true,"path":"/"}"#,
    ] {
        let text = format!(r#"{{"cookie":{cookie},"data":{{"a":1}}}}"#);
        assert_eq!(data(&wrapped(), &text), r#"{"a":1}"#);
        assert_eq!(written(&wrapped(), &text, r#"{"a":2}"#), text.replace("1}}", "2}}"));
    }
}

#[test]
fn a_record_without_a_cookie_gets_one() {
    for text in [r#"{"data":{"a":1}}"#, r#"{"cookie":null,"data":{"a":1}}"#] {
        assert_eq!(data(&wrapped(), text), r#"{"a":1}"#);
        let after = written(&wrapped(), text, "2");
        assert!(after.contains(r#""cookie":{"maxAge":0}"#), "{after}");
    }
    let after = written(&flat(), r#"{"a":1}"#, r#"{"a":2}"#);
    let cookie = r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#;
    assert_eq!(after, format!(r#"{{"cookie":{cookie},"a":2}}"#));
}

#[test]
fn what_express_left_beside_the_data_stays() {
    let text = r#"{"cookie":{"httpOnly":true,"path":"/"},"data":{"a":1},"v":"1"}"#;
    assert_eq!(written(&wrapped(), text, "2"), text.replace(r#"{"a":1}"#, "2"));
}

#[test]
fn the_cookie_that_set_with_ttl_slips_into_the_data_is_not_handed_out() {
    for cookie in ["{}", r#"{"maxAge":null}"#, r#"{ "maxAge": null }"#] {
        let text = format!(
            r#"{{"cookie":{{"maxAge":0}},"data":{{"name":"jhon","count":0,"cookie":{cookie}}}}}"#
        );
        assert_eq!(data(&wrapped(), &text), r#"{"name":"jhon","count":0}"#);
    }
}

#[test]
fn a_cookie_in_the_data_that_is_the_users_is_handed_out() {
    for inner in [r#"{"cookie":{"maxAge":0}}"#, r#"{"cookie":"oat"}"#, r#"{"a":"\"cookie\":{}"}"#] {
        let text = format!(r#"{{"cookie":{{"maxAge":0}},"data":{inner}}}"#);
        assert_eq!(data(&wrapped(), &text), inner);
    }
}

#[test]
fn what_touch_has_wrapped_again_is_unwrapped_if_asked() {
    let twice = r#"{"cookie":{"maxAge":0},"data":{"cookie":{"maxAge":0},"data":{"a":1}}}"#;
    let nothing = r#"{"cookie":{"maxAge":0},"data":{"cookie":{"maxAge":0}}}"#;
    assert_eq!(data(&wrapped(), twice), r#"{"cookie":{"maxAge":0},"data":{"a":1}}"#);
    let asked = format(Shape::token_session().unwrap_repeatedly());
    assert_eq!(data(&asked, twice), r#"{"a":1}"#);
    assert_eq!(data(&asked, nothing), "null");
    let users = r#"{"cookie":{"maxAge":0},"data":1,"more":2}"#;
    assert_eq!(data(&asked, &format!(r#"{{"cookie":{{}},"data":{users}}}"#)), users);
}

#[test]
fn what_express_session_writes_is_read_and_written() {
    let text = r#"{"cookie":{"originalMaxAge":90000,"expires":"2026-11-24T02:19:03.816Z","httpOnly":true,"path":"/"},"user":"é😀","n":1}"#;
    assert_eq!(data(&flat(), text), r#"{"user":"é😀","n":1}"#);
    assert_eq!(meta(&flat(), text).lifetime, Lifetime::idle(90_000 * MINUTE / 60_000).unwrap());
    // The date is renewed whenever Express writes, and so here: the record ends in an hour.
    let after = written(&flat(), text, r#"{"user":"é😀","n":2}"#);
    let expected = text.replace("\"n\":1", "\"n\":2").replace("02:19:03.816Z", "03:17:33.816Z");
    assert_eq!(after, expected);
}

#[test]
fn a_browser_session_lives_as_the_store_says() {
    let text =
        r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"n":1}"#;
    assert_eq!(meta(&flat(), text).lifetime, flat().default);
    assert_eq!(written(&flat(), text, r#"{"n":2}"#), text.replace("1}", "2}"));
    assert_eq!(begun(&flat(), &NewRecord::new(r#"{"n":1}"#, flat().default)), text);
}

#[test]
fn what_token_session_1_0_wrote_is_flat() {
    let text = r#"{"name":"jhon","cookie":{"maxAge":0}}"#;
    assert_eq!(data(&flat(), text), r#"{"name":"jhon"}"#);
    assert_eq!(meta(&flat(), text).lifetime, flat().default);
    let after = written(&flat(), text, r#"{"name":"jim"}"#);
    assert_eq!(after, r#"{"cookie":{"maxAge":0},"name":"jim"}"#);
}

#[test]
fn what_is_wrapped_is_no_session_in_the_flat_shape() {
    let is_of_node = |text: &str| Session::read(&flat(), &stored(text)).unwrap().is_of_node();
    for text in [
        r#"{"cookie":{"maxAge":0},"data":{"u":1}}"#,
        r#"{"cookie":{"maxAge":0},"data":null}"#,
        r#"{"data": {"u": 1}, "cookie": {"maxAge": 0}}"#,
        r#"{"cookie":{"maxAge":0},"data":{"cookie":{"maxAge":0},"data":{"u":1}}}"#,
        r#"{"cookie":{"maxAge":0},"data":{"u":1,"cookie":{}}}"#,
    ] {
        assert!(!is_of_node(text), "{text}");
    }
    let lifetime = Lifetime::absolute(DAY).unwrap();
    let ours = begun(&wrapped(), &NewRecord::new(r#"{"u":1}"#, lifetime));
    assert!(ours.contains(OWN) && !is_of_node(&ours), "{ours}");
    for text in [
        r#"{"cookie":{"originalMaxAge":null,"expires":null},"data":{"u":1}}"#,
        r#"{"cookie":{"maxAge":0},"data":{"u":1},"user":"anna"}"#,
        r#"{"name":"jhon","cookie":{"maxAge":0}}"#,
        r#"{"cookie":{"maxAge":0}}"#,
    ] {
        assert!(is_of_node(text), "{text}");
    }
}

#[test]
fn a_session_begun_for_express_has_its_attributes_and_its_lifetime_in_the_cookie() {
    let format = format(Shape::express().cookie("secure", true).cookie("sameSite", "lax"));
    let record = NewRecord::new(r#"{"n":1}"#, Lifetime::idle(10 * MINUTE).unwrap());
    assert_eq!(
        begun(&format, &record),
        r#"{"cookie":{"originalMaxAge":600000,"expires":"2026-11-24T02:27:33.816Z","httpOnly":true,"path":"/","secure":true,"sameSite":"lax"},"n":1}"#
    );
}

#[test]
fn a_max_age_that_is_no_lifetime_counts_as_none() {
    for max_age in ["0", "-1", "\"1\"", "null", "true", "1e-3"] {
        let text = format!(r#"{{"cookie":{{"originalMaxAge":{max_age}}}}}"#);
        assert_eq!(meta(&flat(), &text).lifetime, flat().default, "{max_age}");
    }
    let text = r#"{"cookie":{"originalMaxAge":1e300}}"#;
    assert_eq!(meta(&flat(), text).lifetime, Lifetime::idle(Lifetime::MAX).unwrap());
}

#[test]
fn data_that_would_not_be_read_back_is_refused() {
    for (data, fault) in [
        ("1", Unfit::NoObject),
        ("[1]", Unfit::NoObject),
        (r#"{"cookie":1}"#, Unfit::Reserved),
        (r#"{"tokenSession":{"idle":1}}"#, Unfit::Reserved),
        ("\u{1}\u{2}", Unfit::NotJson),
        ("{\"a\":1", Unfit::NotJson),
    ] {
        let record = NewRecord::new(data.to_owned(), flat().default);
        assert_eq!(flat().begin(&record, NOW).unwrap_err(), fault, "{data}");
    }
    // What reading takes for Node's doing, it would not hand out.
    for data in [r#"{"n":1,"cookie":{}}"#, r#"{"cookie":{"maxAge":null}}"#] {
        let record = NewRecord::new(data, wrapped().default);
        assert_eq!(wrapped().begin(&record, NOW).unwrap_err(), Unfit::Slipped, "{data}");
    }
    let rewrapped = NewRecord::new(r#"{"cookie":{"maxAge":0},"data":1}"#, wrapped().default);
    let unwrapping = format(Shape::token_session().unwrap_repeatedly());
    assert_eq!(unwrapping.begin(&rewrapped, NOW).unwrap_err(), Unfit::Slipped);
    assert!(wrapped().begin(&rewrapped, NOW).is_ok());
    let record = NewRecord::new(vec![0x93, 1, 2, 3], wrapped().default);
    assert_eq!(wrapped().begin(&record, NOW).unwrap_err(), Unfit::NotJson);
    let details = Details::from_stored(vec![0xff].into());
    let record = NewRecord { details, ..NewRecord::new("1", wrapped().default) };
    assert_eq!(wrapped().begin(&record, NOW).unwrap_err(), Unfit::Details);
}

#[test]
fn what_is_no_record_is_told_so() {
    for text in ["", "null", "1", "\"a\"", "[]", "{", "{\"a\"}"] {
        assert!(Session::read(&wrapped(), &stored(text)).is_err(), "{text}");
        assert!(Session::read(&flat(), &stored(text)).is_err(), "{text}");
    }
    let bytes = Stored { text: vec![b'{', 0xff, b'}'].into(), ..stored("") };
    assert!(Session::read(&wrapped(), &bytes).is_err());
}

#[test]
fn a_lifetime_of_its_own_and_what_else_node_has_no_place_for_stand_in_a_member_of_ours() {
    let lifetime = Lifetime::idle(10 * MINUTE).unwrap().and_absolute(DAY).unwrap();
    let details = Details::new().with_label(Label::new("phone").unwrap());
    let record = NewRecord {
        details: details.clone(),
        authenticated: true,
        ..NewRecord::new(r#"{"n":1}"#, lifetime)
    };
    for format in [wrapped(), flat()] {
        let text = begun(&format, &record);
        let meta = meta(&format, &text);
        assert_eq!(meta.lifetime, lifetime, "{text}");
        assert_eq!(meta.deadline, Some(NOW + DAY));
        assert_eq!((meta.created_at, meta.authenticated_at), (NOW, Some(NOW)));
        assert_eq!(details_of(&format, &text), details);
        assert_eq!(data(&format, &text), r#"{"n":1}"#);
        assert!(text.contains(r#""tokenSession":{"#), "{text}");
        let after = written(&format, &text, r#"{"n":2}"#);
        assert_eq!(version_of(text.as_bytes()), meta.version);
        assert_eq!(Session::read(&format, &stored(&after)).unwrap().meta().lifetime, lifetime);
        assert_eq!(details_of(&format, &after), details);
        let change = Change { details: Some(&Details::new()), ..Change::default() };
        let after = changed(&format, &text, &change).text;
        assert_eq!(details_of(&format, &after), Details::new());
        assert_eq!(data(&format, &after), r#"{"n":1}"#);
    }
}

#[test]
fn an_absolute_timeout_alone_never_slides() {
    for format in [wrapped(), flat()] {
        let lifetime = Lifetime::absolute(120 * MINUTE).unwrap();
        let text = begun(&format, &NewRecord::new(r#"{"n":1}"#, lifetime));
        let due = |expires| {
            let stored = Stored { expires: Some(expires), now: NOW + 90 * MINUTE, ..stored(&text) };
            let session = Session::read(&format, &stored).unwrap();
            assert_eq!(session.meta().lifetime, lifetime);
            session.due(Touch::After(Duration::ZERO))
        };
        assert_eq!(due(NOW + 120 * MINUTE), None);
        // Stores keep whole seconds.
        assert_eq!(due(NOW + 120 * MINUTE + Duration::from_secs(1)), None);
        // Node has given it the life of its store, which a touch mends.
        for by_node in [NOW + 100 * MINUTE, NOW + DAY] {
            assert_eq!(due(by_node), Some(30 * MINUTE));
        }
        let later = Stored { now: NOW + 120 * MINUTE, expires: Some(NOW + DAY), ..stored(&text) };
        assert!(!Session::read(&format, &later).unwrap().is_live());
    }
}

#[test]
fn a_session_that_is_touched_near_its_deadline_was_seen_then() {
    let format = wrapped();
    let lifetime = Lifetime::idle(60 * MINUTE).unwrap().and_absolute(DAY).unwrap();
    let text = begun(&format, &NewRecord::new("1", lifetime));
    let now = NOW + (DAY - 5 * MINUTE);
    let stored = Stored { expires: Some(now + MINUTE), now, ..stored(&text) };
    let mut session = Session::read(&format, &stored).unwrap();
    assert_eq!(session.due(Touch::After(MINUTE)), Some(5 * MINUTE));
    session.see();
    assert_eq!(session.meta().last_seen, now);
}

#[test]
fn a_member_of_somebody_else_with_our_name_stays_theirs() {
    for theirs in ["1", "\"abc\"", "{}", "[1]", r#"{"idle":"x"}"#, r#"{"absolute":0}"#] {
        let text = format!(r#"{{"cookie":{{}},"n":1,"tokenSession":{theirs}}}"#);
        let seen = format!(r#"{{"n":1,"tokenSession":{theirs}}}"#);
        assert_eq!(data(&flat(), &text), seen);
        assert_eq!(meta(&flat(), &text).lifetime, flat().default);
        let after = written(&flat(), &text, &seen.replace('1', "2"));
        assert_eq!(data(&flat(), &after), seen.replace('1', "2"));

        let beside = format!(r#"{{"cookie":{{}},"data":1,"tokenSession":{theirs}}}"#);
        assert_eq!(written(&wrapped(), &beside, "2"), beside.replace("\"data\":1", "\"data\":2"));
        let lifetime = Lifetime::absolute(10 * MINUTE).unwrap();
        let change = Change { lifetime: Some(lifetime), ..Change::default() };
        for (format, text) in [(flat(), &text), (wrapped(), &beside)] {
            let stored = stored(text);
            let session = Session::read(&format, &stored).unwrap();
            assert_eq!(session.changed(&change).unwrap_err(), Unfit::Foreign);
        }
    }
}

#[test]
fn a_session_begun_for_express_lives_as_long_as_its_cookie() {
    let shape = Shape::express().max_age(DAY).unwrap();
    let format = format(shape.cookie("maxAge", 1).cookie("expires", 1));
    let cookie = r#"{"originalMaxAge":86400000,"expires":"2026-11-25T02:17:33.816Z","httpOnly":true,"path":"/"}"#;
    let record = NewRecord::new(r#"{"n":1}"#, format.default);
    assert!(format.needs_clock(&record));
    let text = begun(&format, &record);
    assert_eq!(text, format!(r#"{{"cookie":{cookie},"n":1}}"#));
    // Back from a lifetime of its own.
    let short = begun(&format, &NewRecord::new(r#"{"n":1}"#, Lifetime::idle(MINUTE).unwrap()));
    let change = Change { lifetime: Some(format.default), ..Change::default() };
    assert_eq!(changed(&format, &short, &change).text, text);
}

#[test]
fn a_session_that_does_not_slide_has_no_cookie_that_does() {
    let format = format(Shape::express().max_age(DAY).unwrap());
    let lifetime = Lifetime::absolute(30 * DAY).unwrap();
    let text = begun(&format, &NewRecord::new(r#"{"n":1}"#, lifetime));
    assert!(text.contains(r#""originalMaxAge":null,"expires":null"#), "{text}");
    let stored = Stored { expires: Some(NOW + 30 * DAY), ..stored(&text) };
    let session = Session::read(&format, &stored).unwrap();
    assert_eq!(session.meta().lifetime, lifetime);
    assert_eq!(session.due(Touch::After(Duration::ZERO)), None);
}

#[test]
fn a_session_lives_as_it_was_begun_whichever_of_ttl_and_max_age_is_set_first() {
    let (hour, two) = (60 * MINUTE, 120 * MINUTE);
    for shape in [
        Shape::express().max_age(hour).unwrap().ttl(two).unwrap(),
        Shape::express().ttl(two).unwrap().max_age(hour).unwrap(),
    ] {
        let format = Format { default: Lifetime::idle(two).unwrap(), ..format(shape) };
        for idle in [hour, two, DAY] {
            let lifetime = Lifetime::idle(idle).unwrap();
            let text = begun(&format, &NewRecord::new(r#"{"n":1}"#, lifetime));
            let max_age = format!(r#""originalMaxAge":{}"#, idle.as_millis());
            assert!(text.contains(&max_age), "{text}");
            assert_eq!(meta(&format, &text).lifetime, lifetime);
        }
        // Without a `maxAge` of its own, it is the store's `ttl` by which Node lets it live.
        let browser = r#"{"cookie":{"originalMaxAge":null,"expires":null},"n":1}"#;
        assert_eq!(meta(&format, browser).lifetime, format.default);
    }
}

#[test]
fn a_cookie_of_express_is_no_matter_of_token_session() {
    let format = format(Shape::token_session().max_age(MINUTE).unwrap());
    let text = begun(&format, &NewRecord::new("1", format.default));
    assert_eq!(text, r#"{"cookie":{"maxAge":0},"data":1}"#);
}

#[test]
fn a_new_lifetime_replaces_the_old_one_whatever_it_was() {
    let lifetimes = [
        wrapped().default,
        Lifetime::idle(10 * MINUTE).unwrap(),
        Lifetime::absolute(10 * MINUTE).unwrap(),
        Lifetime::idle(10 * MINUTE).unwrap().and_absolute(DAY).unwrap(),
    ];
    for format in [wrapped(), flat()] {
        for (old, new) in
            lifetimes.iter().flat_map(|old| lifetimes.iter().map(move |new| (old, new)))
        {
            let text = begun(&format, &NewRecord::new(r#"{"n":1}"#, *old));
            let change =
                Change { data: Some(br#"{"n":1}"#), lifetime: Some(*new), ..Change::default() };
            let Changed { text: after, life, expires_at } = changed(&format, &text, &change);
            assert_eq!(meta(&format, &after).lifetime, *new, "{after}");
            assert_eq!((life, expires_at), (Life::For(new.first()), NOW + new.first()));
            if *new == format.default {
                assert_eq!(after, begun(&format, &NewRecord::new(r#"{"n":1}"#, *new)));
            }
        }
    }
}

#[test]
fn the_end_that_node_gave_is_mended_by_a_touch() {
    let format = wrapped();
    let lifetime = Lifetime::idle(10 * MINUTE).unwrap();
    let text = begun(&format, &NewRecord::new("1", lifetime));
    let due = |left: Duration| {
        let stored = Stored { expires: Some(NOW + left), ..stored(&text) };
        Session::read(&format, &stored).unwrap().due(Touch::After(MINUTE))
    };
    assert_eq!(due(10 * MINUTE), None);
    assert_eq!(due(9 * MINUTE + MINUTE / 2), None);
    assert_eq!(due(9 * MINUTE), Some(10 * MINUTE));
    assert_eq!(due(DAY), Some(10 * MINUTE));
    let stored = Stored { expires: Some(NOW + DAY), ..stored(&text) };
    let meta = Session::read(&format, &stored).unwrap().meta();
    assert_eq!((meta.last_seen, meta.expires_in()), (NOW, 10 * MINUTE));
}

#[test]
fn a_record_that_never_ends_is_alive_and_no_touch_ends_it() {
    let text = r#"{"cookie":{"maxAge":0},"data":1}"#;
    let stored = Stored { expires: None, ..stored(text) };
    let format = wrapped();
    let session = Session::read(&format, &stored).unwrap();
    assert!(session.is_live());
    assert_eq!(session.due(Touch::After(Duration::ZERO)), None);
    let change = Change { data: Some(b"2"), seen: true, ..Change::default() };
    assert_eq!(session.changed(&change).unwrap().life, Life::Keep);
}

#[test]
fn every_write_makes_another_version_and_none_the_same() {
    let one = meta(&wrapped(), r#"{"cookie":{"maxAge":0},"data":1}"#).version;
    let two = meta(&wrapped(), r#"{"cookie":{"maxAge":0},"data":2}"#).version;
    assert_ne!(one, two);
    assert_eq!(one, meta(&wrapped(), r#"{"cookie":{"maxAge":0},"data":1}"#).version);
}
