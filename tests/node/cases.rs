//! `token-session` 1.1 and this crate on one place.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use token_session::store::compat::{Shape, Successor};
use token_session::store::{
    Condition, Load, Memory, NewRecord, Removed, Replaced, StoreErrorKind, Write, Written,
};
use token_session::{Error, Key, Lifetime, NewSession, Owner, Record, TokenSession};

use super::peer::Peer;
use super::{Place, token};

/// Node, and this crate with the wrapped shape.
async fn both<P: Place>(place: &P) -> (Peer, TokenSession<Value>) {
    (place.node().await, place.sessions(Shape::token_session()).await)
}

/// Whatever an application may keep, and JSON may hold.
fn values() -> Vec<Value> {
    vec![
        json!({"name": "jhon", "count": 0}),
        json!({"text": "é😀\u{2028}\u{7f}\u{0}\"\\/\n", "n": [1, -0.5, 1e21, 12345678901234567168_u64]}),
        json!({"deep": [[[{"a": {}}]]], "10": 1, "b": null, "a": true}),
        json!({}),
        json!([1, 2]),
        json!("text"),
        json!(0),
        json!(false),
        json!(null),
    ]
}

/// The value with the one kind of number that JavaScript has.
fn in_doubles(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(values) => values.iter().map(in_doubles).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), in_doubles(value))).collect()
        }
        other => other.clone(),
    }
}

pub async fn what_node_writes_is_read(place: &impl Place) {
    let (node, sessions) = both(place).await;
    for value in values() {
        let id = node.begin(&value, None).await;
        let loaded = sessions.get_untouched(&token(&id)).await.unwrap().unwrap();
        assert_eq!(in_doubles(&loaded.data), in_doubles(&value));
    }
    assert!(sessions.get(&token("unknown-zcM2Gl1Bi74mNZtj")).await.unwrap().is_none());
}

pub async fn what_is_written_here_is_read_by_node(place: &impl Place) {
    let (node, sessions) = both(place).await;
    for value in values() {
        let issued = sessions.create(&value).await.unwrap();
        let found = node.get(issued.token.reveal()).await;
        assert_eq!(in_doubles(&found["data"]), in_doubles(&value));
    }
}

pub async fn a_record_is_written_as_node_writes_it(place: &impl Place) {
    let (node, sessions) = both(place).await;
    let data = json!({"name": "é😀", "count": 0, "list": [true, null]});
    let theirs = node.begin(&data, None).await;
    let ours = sessions.create(&data).await.unwrap();
    let expected = place.text(&theirs).await;
    assert!(expected.is_some());
    assert_eq!(place.text(ours.token.reveal()).await, expected);

    sessions.set(&token(&theirs), &json!({"changed": 1})).await.unwrap();
    node.call("set", json!([ours.token.reveal(), {"changed": 1}])).await;
    assert_eq!(place.text(&theirs).await, place.text(ours.token.reveal()).await);
}

/// The samples of `tests/golden`, in the database itself.
pub async fn what_was_written_yesterday_is_written_and_read_today(place: &impl Place) {
    const BREAKS: &str = "this breaks what is stored or mailed";
    let samples = include_str!("../golden/node_sessions.json");
    let samples: Vec<Value> = serde_json::from_str(samples).unwrap();
    let value = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    for (name, shape) in [("token-session", Shape::token_session()), ("express", Shape::express())]
    {
        let sample = |record: &str| {
            let name = format!("{name}: {record}");
            samples.iter().find(|sample| sample["name"] == *name).unwrap()
        };
        let sessions = place.sessions::<Value>(shape).await;
        let usual = sample("default");
        let (text, data) = (usual["text"].as_str().unwrap(), usual["data"].as_str().unwrap());
        let issued = sessions.create(&value(data)).await.unwrap();
        let written = place.text(issued.token.reveal()).await.unwrap();
        assert_eq!(value(&written), value(text), "{BREAKS}");

        let id = format!("golden-zcM2Gl1Bi74mNZtj-{name}");
        for record in ["default", "idle"] {
            let (sample, usual) = (sample(record), place.default_ttl().as_millis());
            place.put(&id, sample["text"].as_str().unwrap()).await;
            let loaded = sessions.get_untouched(&token(&id)).await.unwrap().expect(BREAKS);
            assert_eq!(loaded.data, value(data), "{BREAKS}");
            let idle = loaded.meta.lifetime.idle_timeout().map(|idle| idle.as_millis());
            let expected = if record == "idle" { 600_000 } else { usual };
            assert_eq!(idle, Some(expected), "{BREAKS}");
        }
    }
}

pub async fn what_one_changes_the_other_sees(place: &impl Place) {
    let (node, sessions) = both(place).await;
    let id = node.begin(&json!({"by": "node"}), None).await;
    let mut version = None;
    for turn in 0..3 {
        sessions.update(&token(&id), |data: &mut Value| data["rust"] = turn.into()).await.unwrap();
        let data = node.get(&id).await["data"].take();
        assert_eq!((&data["by"], &data["rust"]), (&json!("node"), &json!(turn)));

        node.call("set", json!([&id, {"by": "node", "node": turn}])).await;
        let loaded = sessions.get(&token(&id)).await.unwrap().unwrap();
        assert_eq!(loaded.data, json!({"by": "node", "node": turn}));
        assert_ne!(version.replace(loaded.meta.version), Some(loaded.meta.version));
    }
}

pub async fn what_one_destroys_is_gone_for_the_other(place: &impl Place) {
    let (node, sessions) = both(place).await;
    let id = node.begin(&json!({"a": 1}), None).await;
    assert!(sessions.destroy(&token(&id)).await.unwrap());
    assert_eq!(node.get(&id).await, Value::Null);
    assert!(!sessions.destroy(&token(&id)).await.unwrap());

    let issued = sessions.create(&json!({"a": 1})).await.unwrap();
    node.call("destroy", json!([issued.token.reveal()])).await;
    assert!(sessions.get(&issued.token).await.unwrap().is_none());
    assert!(sessions.take(&issued.token).await.unwrap().is_none());
}

pub async fn a_session_that_node_destroyed_is_not_brought_back(place: &impl Place) {
    let (node, sessions) = both(place).await;
    let id = node.begin(&json!({"a": 1}), None).await;
    let key = sessions.get(&token(&id)).await.unwrap().unwrap().key;
    node.call("destroy", json!([&id])).await;
    assert!(matches!(sessions.set(&token(&id), &json!(1)).await, Err(Error::Gone)));
    assert!(matches!(sessions.touch(&token(&id)).await, Err(Error::Gone)));
    assert!(matches!(sessions.regenerate(&token(&id)).await, Err(Error::Gone)));
    let lifetime = Lifetime::idle_secs(60).unwrap();
    let revival = sessions.set_with_lifetime(&token(&id), &json!(1), lifetime).await;
    assert!(matches!(revival, Err(Error::Gone)));
    let removed = sessions.store().remove(&key, Condition::Always, false).await;
    assert_eq!(removed.unwrap(), Removed::Missing);
    assert_eq!(place.text(&id).await, None);
}

pub async fn a_regenerated_session_has_one_id_for_node(place: &impl Place) {
    let (node, sessions) = both(place).await;
    let id = node.begin(&json!({"a": 1}), None).await;
    let issued = sessions.regenerate(&token(&id)).await.unwrap();
    assert_eq!(node.get(&id).await, Value::Null);
    assert_eq!(node.get(issued.token.reveal()).await["data"], json!({"a": 1}));
    let before = sessions.get_untouched(&issued.token).await.unwrap().unwrap();
    let again = sessions.reauthenticate(&issued.token).await.unwrap();
    let after = sessions.get_untouched(&again.token).await.unwrap().unwrap();
    assert_eq!((before.meta.authenticated_at, before.data), (None, after.data));
    assert!(after.meta.is_fresh(Duration::from_secs(60)));
    assert_eq!(node.get(again.token.reveal()).await["data"], json!({"a": 1}));
}

pub async fn a_listing_has_what_node_wrote(place: &impl Place) {
    let (node, sessions) = both(place).await;
    let mut expected = Vec::new();
    for number in 0..25 {
        node.begin(&json!({"number": number}), None).await;
        expected.push(number);
    }
    place.put("damaged-zcM2Gl1Bi74mNZtj", "[1]").await;
    place.put("undefined", r#"{"cookie":{"maxAge":0},"data":{"number":25}}"#).await;
    expected.push(25);
    let (mut found, mut damaged, mut after) = (Vec::new(), HashSet::new(), None);
    loop {
        let page = sessions.all(after.as_ref(), 10).await.unwrap();
        for session in page.sessions {
            match session {
                Ok(loaded) => found.push(loaded.data["number"].as_u64().unwrap()),
                // Redis may list a key twice.
                Err(error) => drop(damaged.insert(error.key().expect("it is damaged").clone())),
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    found.sort_unstable();
    found.dedup();
    assert_eq!((found, damaged.len()), (expected, 1));
    assert_eq!(sessions.count().await.unwrap(), 27);
    // A listed session is found by its key, though that shows the digest alone.
    let page = sessions.all(None, 100).await.unwrap();
    for session in page.sessions.into_iter().flatten() {
        assert!(sessions.destroy_key(&session.key).await.unwrap());
    }
    let error = sessions.get(&token("damaged-zcM2Gl1Bi74mNZtj")).await.unwrap_err();
    assert!(matches!(&error, Error::Store(error) if error.kind() == StoreErrorKind::Corrupt));
    // A damaged one is ended by the key that the listing has told.
    assert!(sessions.destroy_key(damaged.iter().next().unwrap()).await.unwrap());
    assert!(sessions.get(&token("damaged-zcM2Gl1Bi74mNZtj")).await.unwrap().is_none());
    sessions.clear().await.unwrap();
    assert_eq!(sessions.count().await.unwrap(), 0);
}

pub async fn a_write_over_another_version_is_a_conflict(place: &impl Place) {
    let (node, sessions) = both(place).await;
    let id = node.begin(&json!({"a": 1}), None).await;
    let read = sessions.get(&token(&id)).await.unwrap().unwrap();
    node.call("set", json!([&id, {"a": 2}])).await;
    let before = place.text(&id).await;
    let store = sessions.store();
    let write = Write { expected: Some(read.meta.version), ..Write::data("3") };
    assert_eq!(store.replace(&read.key, &write).await.unwrap(), Replaced::Conflict);
    let removed = store.remove(&read.key, Condition::Version(read.meta.version), false).await;
    assert_eq!(removed.unwrap(), Removed::Conflict);
    assert_eq!(place.text(&id).await, before);

    let read = sessions.get(&token(&id)).await.unwrap().unwrap();
    let write = Write { expected: Some(read.meta.version), ..Write::data("3") };
    let Replaced::Done(Written { version, .. }) = store.replace(&read.key, &write).await.unwrap()
    else {
        panic!("nobody wrote in between");
    };
    assert_ne!(version, read.meta.version);
    let removed = store.remove(&read.key, Condition::Version(version), true).await;
    assert_eq!(removed.unwrap().record().unwrap().data, "3");
}

pub async fn a_damaged_record_can_be_ended(place: &impl Place) {
    let sessions = place.sessions::<Value>(Shape::token_session()).await;
    place.put("damaged-zcM2Gl1Bi74mNZtj", "[1]").await;
    assert!(sessions.take(&token("damaged-zcM2Gl1Bi74mNZtj")).await.is_err());
    assert!(sessions.destroy(&token("damaged-zcM2Gl1Bi74mNZtj")).await.unwrap());
    assert!(!sessions.destroy(&token("damaged-zcM2Gl1Bi74mNZtj")).await.unwrap());
    assert_eq!(place.text("damaged-zcM2Gl1Bi74mNZtj").await, None);
}

pub async fn a_token_that_anybody_could_guess_opens_no_session(place: &impl Place) {
    let sessions = place.sessions::<Value>(Shape::token_session()).await;
    let ids = ["undefined", "null", "NaN", "0"];
    for id in ids {
        // As `token-session` leaves it where a client sends no token that it can read.
        place.put(id, r#"{"cookie":{"maxAge":0},"data":{"user":"anna"}}"#).await;
        assert!(sessions.get_untouched(&token(id)).await.unwrap().is_none(), "{id}");
        assert!(sessions.take(&token(id)).await.unwrap().is_none(), "{id}");
        assert!(sessions.set(&token(id), &json!(1)).await.is_err(), "{id}");
        assert!(sessions.regenerate(&token(id)).await.is_err(), "{id}");
        assert!(!sessions.destroy(&token(id)).await.unwrap(), "{id}");
        assert!(place.text(id).await.unwrap().contains("anna"), "{id}");
    }
    // An operator can end what a listing shows.
    let (mut ended, mut after) = (HashSet::new(), None);
    loop {
        let page = sessions.all(after.as_ref(), 10).await.unwrap();
        for session in page.sessions {
            let key = session.unwrap().key;
            sessions.destroy_key(&key).await.unwrap();
            ended.insert(key);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((ended.len(), sessions.count().await.unwrap()), (ids.len(), 0));
}

/// A client that hangs up takes the handler's future with it, wherever that is.
pub async fn a_request_that_is_dropped_ends_no_session(place: &impl Place) {
    const SESSIONS: u64 = 40;
    let sessions = place.sessions::<Value>(Shape::token_session()).await;
    for round in 0..SESSIONS {
        let issued = sessions.create(&json!(round)).await.unwrap();
        let patience = Duration::from_micros(50 * round);
        let _ = tokio::time::timeout(patience, sessions.regenerate(&issued.token)).await;
    }
    let mut count = 0;
    for _ in 0..500 {
        count = sessions.count().await.unwrap();
        if count == SESSIONS {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(count, SESSIONS);
}

pub async fn the_bugs_of_node_are_tolerated(place: &impl Place) {
    let sessions = place.sessions::<Value>(Shape::token_session()).await;
    for (text, expected) in [
        (r#"{"cookie":{"maxAge":0}}"#, json!(null)),
        (r#"{"cookie":{},"data":{"a":1}}"#, json!({"a": 1})),
        (r#"{"data":{"a":1}}"#, json!({"a": 1})),
        (r#"{"cookie":{"maxAge":0},"data":{"a":1,"cookie":{}}}"#, json!({"a": 1})),
        (r#"{"cookie":{"maxAge":0},"data":{"a":1},"v":"1"}"#, json!({"a": 1})),
    ] {
        place.put("bug-zcM2Gl1Bi74mNZtj", text).await;
        let loaded = sessions.get(&token("bug-zcM2Gl1Bi74mNZtj")).await.unwrap().unwrap();
        assert_eq!(loaded.data, expected, "{text}");
        sessions.set(&token("bug-zcM2Gl1Bi74mNZtj"), &json!({"b": 2})).await.unwrap();
        let after: Value =
            serde_json::from_str(&place.text("bug-zcM2Gl1Bi74mNZtj").await.unwrap()).unwrap();
        assert!(after["cookie"].is_object(), "{after}");
        assert_eq!(after["data"], json!({"b": 2}));
        assert_eq!(after.get("v").is_some(), text.contains("\"v\""));
    }
    // What it lends the store is a number of the store's own unit.
    let hour = Duration::from_secs(3600).as_millis() / place.ttl_option().1.as_millis();
    let (node, lent) = (place.node_with_ttl(5000).await, json!({"a": 1}));
    let id = node.begin(&lent, Some(hour.try_into().unwrap())).await;
    assert_eq!(sessions.get(&token(&id)).await.unwrap().map(|loaded| loaded.data), Some(lent));
}

pub async fn a_session_of_an_owner_is_refused(place: &impl Place) {
    let sessions = place.sessions::<Value>(Shape::token_session()).await;
    let owner = Owner::new("anna").unwrap();
    let new = NewSession::new().owner(owner.clone());
    let refused = |error: Error| match error {
        Error::Store(error) => assert_eq!(error.kind(), StoreErrorKind::Refused),
        other => panic!("{other}"),
    };
    refused(sessions.create_with(&json!(1), &new).await.unwrap_err());
    refused(sessions.owned(&owner, 10).await.unwrap_err());
    refused(sessions.destroy_all(&owner).await.unwrap_err());
    let key = Key::from_bytes([7; 16]);
    let store = sessions.store();
    let stray = store.load(&key, &Load::new()).await.unwrap_err();
    assert_eq!(stray.kind(), StoreErrorKind::Refused);
    let issued = sessions.create(&json!(1)).await.unwrap();
    let binary = store.replace(&issued.key, &Write::data(vec![0x93, 1, 2, 3])).await.unwrap_err();
    assert_eq!(binary.kind(), StoreErrorKind::Refused);
    let record = NewRecord::new(vec![0xff], Lifetime::idle_secs(60).unwrap());
    assert!(sessions.destroy(&issued.token).await.unwrap());
    let binary = store.insert(&issued.key, &record).await.unwrap_err();
    assert_eq!(binary.kind(), StoreErrorKind::Refused);
    assert!(!sessions.destroy_owned(&owner, &issued.key).await.unwrap());
}

/// Requests go on while the sessions move: none finds itself logged out, no change is lost, and what
/// was destroyed stays dead.
pub async fn sessions_move_to_another_store_while_the_service_runs(place: &impl Place) {
    const SESSIONS: u32 = 30;
    let node = place.node().await;
    let mut ids = Vec::new();
    for number in 0..SESSIONS {
        ids.push(node.begin(&json!({"user": number, "count": 0}), None).await);
    }
    place.put("damaged-zcM2Gl1Bi74mNZtj", "[1]").await;
    let old = place.store(Shape::token_session()).await;
    let owner = |record: &Record| {
        let data: Value = serde_json::from_slice(&record.data).ok()?;
        Owner::new(data["user"].to_string()).ok()
    };
    let store = Successor::new(Memory::new(), old).owner(owner).unwrap();
    let sessions = TokenSession::<Value>::builder().store(store.clone()).build().unwrap();
    let keys: Vec<Key> = {
        let mut keys = Vec::new();
        for id in &ids {
            keys.push(sessions.get(&token(id)).await.unwrap().unwrap().key);
        }
        keys
    };

    let moved = Arc::new(AtomicBool::new(false));
    let mut requests = tokio::task::JoinSet::new();
    for id in &ids {
        let (sessions, moved, id) = (sessions.clone(), moved.clone(), token(id));
        requests.spawn(async move {
            let mut counted = 0;
            while !moved.load(Ordering::Relaxed) || counted == 0 {
                assert!(sessions.get(&id).await.unwrap().is_some(), "it was logged out");
                let add = |data: &mut Value| {
                    data["count"] = (data["count"].as_u64().unwrap() + 1).into();
                };
                sessions.update(&id, add).await.unwrap();
                counted += 1;
            }
            assert_eq!(sessions.get(&id).await.unwrap().unwrap().data["count"], json!(counted));
        });
    }
    let (mut after, mut done) = (None, 0);
    loop {
        let page = store.move_page(after.as_ref(), 10).await.unwrap();
        done += page.moved;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    moved.store(true, Ordering::Relaxed);
    requests.join_all().await;
    assert_eq!(done, SESSIONS as usize);
    assert_eq!(store.predecessor().count().await.unwrap(), 1);
    assert_eq!(store.successor().count().await.unwrap(), u64::from(SESSIONS));

    for (number, (id, key)) in ids.iter().zip(&keys).enumerate() {
        assert_eq!(node.get(id).await, Value::Null);
        let loaded = sessions.get(&token(id)).await.unwrap().unwrap();
        let owner = loaded.meta.owner.map(|owner| owner.as_str().to_owned());
        assert_eq!((&loaded.key, owner), (key, Some(number.to_string())));
        assert!(sessions.destroy(&token(id)).await.unwrap());
        assert!(sessions.get(&token(id)).await.unwrap().is_none());
    }
}
