//! express-session and this crate on one place.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use token_session::http::SignedCookie;
use token_session::store::compat::{Lossless, Shape};
use token_session::{Error, Lifetime, Meta, NewSession, Token};

use super::peer::Peer;
use super::{Place, token};

/// What a Rust service knows of a session.
#[derive(Serialize, Deserialize)]
struct Account {
    user: String,
    visits: u32,
}

/// A session of an Express service: its `Cookie` header and its id.
async fn begin(express: Peer, fields: Value) -> (String, String) {
    let answer = express.request(None, json!([["set", fields]])).await;
    assert_eq!(answer["status"], 200, "{answer}");
    let cookie = answer["cookies"][0].as_str().unwrap().split(';').next().unwrap().to_owned();
    (cookie, answer["id"].as_str().unwrap().to_owned())
}

/// Asserts an idle timeout that Express wrote: it loses a millisecond now and then, between two looks
/// at the clock.
fn assert_idle(meta: &Meta, expected: Duration) {
    let idle = meta.lifetime.idle_timeout().unwrap();
    assert!(idle <= expected && idle + Duration::from_secs(1) > expected, "{idle:?}");
}

/// The `Cookie` header of a token.
fn cookie_of(token: &Token) -> String {
    let cookie = SignedCookie::new("connect.sid", "the newest secret").unwrap();
    let header = cookie.set(token, "").unwrap();
    header.to_str().unwrap().to_owned()
}

pub async fn a_session_of_express_is_read_with_its_fields_and_its_lifetime(place: &impl Place) {
    let sessions = place.sessions::<Value>(Shape::express()).await;
    for (cookie, seconds) in [(json!({"maxAge": 90_000}), 90), (json!({}), 0)] {
        let express = place.express(cookie).await;
        let fields = json!({"user": "é😀", "n": 1, "deep": {"list": [null, 1.5]}});
        let (_, id) = begin(express, fields.clone()).await;
        let loaded = sessions.get_untouched(&token(&id)).await.unwrap().unwrap();
        assert_eq!(loaded.data, fields);
        let own = Duration::from_secs(seconds);
        let ttl = if seconds > 0 { own } else { place.default_ttl() };
        assert_idle(&loaded.meta, ttl);
        let left = loaded.meta.expires_in();
        assert!(left <= ttl + Duration::from_secs(1), "{left:?}");
    }
}

pub async fn a_session_begun_here_is_one_of_express(place: &impl Place) {
    let shape = Shape::express().cookie("secure", false).cookie("sameSite", "lax");
    let sessions = place.sessions::<Value>(shape).await;
    let express = place.express(json!({})).await;
    let default = Lifetime::idle(place.default_ttl()).unwrap();
    for own in [default, Lifetime::idle_secs(600).unwrap()] {
        let new = NewSession::new().lifetime(own);
        let issued = sessions.create_with(&json!({"user": "anna"}), &new).await.unwrap();
        let cookie = cookie_of(&issued.token);
        let answer = express.request(Some(&cookie), json!([["set", {"seen": true}]])).await;
        assert_eq!(answer["status"], 200, "{answer}");
        assert_eq!(answer["id"], issued.token.reveal());
        assert_eq!(answer["found"]["user"], "anna");
        assert_eq!(answer["found"]["cookie"]["sameSite"], "lax");
        let loaded = sessions.get_untouched(&issued.token).await.unwrap().unwrap();
        assert_eq!(loaded.data, json!({"user": "anna", "seen": true}));
        // Express keeps a session's own idle timeout, unlike `token-session`.
        assert_idle(&loaded.meta, own.first());
        assert!(loaded.meta.expires_in() <= own.first() + Duration::from_secs(1));
    }
}

pub async fn a_browser_keeps_the_cookie_of_a_session_begun_here(place: &impl Place) {
    let max_age = Duration::from_secs(86_400);
    let shape = Shape::express().max_age(max_age).unwrap();
    let sessions = place.sessions::<Value>(shape).await;
    let express = place.express(json!({"maxAge": 86_400_000})).await;
    let (_, theirs) = begin(express, json!({"n": 1})).await;
    let new = NewSession::new().lifetime(Lifetime::idle(max_age).unwrap());
    let ours = sessions.create_with(&json!({"n": 1}), &new).await.unwrap().token;
    let cookie = async |id| {
        let text: Value = serde_json::from_str(&place.text(id).await.unwrap()).unwrap();
        (text["cookie"]["originalMaxAge"].as_f64().unwrap(), !text["cookie"]["expires"].is_null())
    };
    assert_eq!(cookie(ours.reveal()).await, (86_400_000.0, true));
    let (theirs, expires) = cookie(&theirs).await;
    // Express loses a millisecond now and then, between two looks at the clock.
    assert!(expires && (86_399_000.0..=86_400_000.0).contains(&theirs), "{theirs}");
    let changed = express.request(Some(&cookie_of(&ours)), json!([["set", {"n": 2}]])).await;
    assert!(changed["cookies"][0].as_str().unwrap().contains("Expires="), "{changed}");
}

pub async fn what_a_struct_does_not_know_survives(place: &impl Place) {
    let sessions = place.sessions::<Lossless<Account>>(Shape::express()).await;
    let express = place.express(json!({})).await;
    let fields = json!({"passport": {"id": [1, 2.5]}, "user": "anna", "visits": 3, "flash": "é"});
    let (cookie, id) = begin(express, fields).await;
    let before = place.text(&id).await.unwrap();

    let unchanged = sessions.update(&token(&id), |account| account.visits).await.unwrap();
    assert_eq!((unchanged, place.text(&id).await), (3, Some(before.clone())));

    sessions.update(&token(&id), |account| account.visits += 1).await.unwrap();
    assert_eq!(place.text(&id).await.unwrap(), before.replace("\"visits\":3", "\"visits\":4"));
    let answer = express.request(Some(&cookie), json!([["delete", "flash"]])).await;
    assert_eq!(answer["found"]["passport"], json!({"id": [1, 2.5]}));
    assert_eq!(answer["found"]["visits"], 4);

    sessions.update(&token(&id), |account| account.visits += 1).await.unwrap();
    let answer = express.request(Some(&cookie), json!([])).await;
    assert_eq!((&answer["found"]["visits"], answer["found"].get("flash")), (&json!(5), None));
}

pub async fn a_change_here_renews_the_cookie_as_express_does(place: &impl Place) {
    let sessions = place.sessions::<Value>(Shape::express()).await;
    let express = place.express(json!({"maxAge": 3_600_000, "sameSite": "lax"})).await;
    let (_, id) = begin(express, json!({"n": 1})).await;
    let cookie = async || {
        let text: Value = serde_json::from_str(&place.text(&id).await.unwrap()).unwrap();
        text["cookie"].clone()
    };
    let before = cookie().await;
    sessions.set(&token(&id), &json!({"n": 2})).await.unwrap();
    let after = cookie().await;
    let meta = sessions.get_untouched(&token(&id)).await.unwrap().unwrap().meta;
    assert_eq!(after["originalMaxAge"], before["originalMaxAge"]);
    assert_eq!(after["sameSite"], "lax");
    assert_ne!(after["expires"], before["expires"]);
    assert!(meta.expires_in() <= Duration::from_secs(3601));
}

pub async fn what_express_destroys_is_gone_and_the_reverse(place: &impl Place) {
    let sessions = place.sessions::<Value>(Shape::express()).await;
    let express = place.express(json!({})).await;
    let (cookie, id) = begin(express, json!({"n": 1})).await;
    express.request(Some(&cookie), json!([["destroy"]])).await;
    assert!(sessions.get(&token(&id)).await.unwrap().is_none());
    assert!(matches!(sessions.set(&token(&id), &json!({})).await, Err(Error::Gone)));

    let (cookie, id) = begin(express, json!({"n": 1})).await;
    assert!(sessions.destroy(&token(&id)).await.unwrap());
    let answer = express.request(Some(&cookie), json!([])).await;
    assert_eq!(answer["found"].get("n"), None);
    assert_ne!(answer["id"], id);
}

pub async fn a_session_of_token_session_1_0_is_flat(place: &impl Place) {
    let (node, sessions) = (place.node().await, place.sessions::<Value>(Shape::express()).await);
    let new = node.call_of("1.0", "new", json!([{"name": "jhon"}])).await;
    let id = new["sessionId"].as_str().unwrap();
    let loaded = sessions.get(&token(id)).await.unwrap().unwrap();
    assert_eq!(loaded.data, json!({"name": "jhon"}));
    sessions.set(&token(id), &json!({"name": "jim"})).await.unwrap();
    let found = node.call_of("1.0", "get", json!([id])).await;
    assert_eq!(found["name"], "jim");
}

pub async fn a_wrapped_session_that_express_saved_is_read(place: &impl Place) {
    let sessions = place.sessions::<Value>(Shape::token_session()).await;
    let express = place.express(json!({})).await;
    let issued = sessions.create(&json!({"a": 1})).await.unwrap();
    let cookie = cookie_of(&issued.token);
    let answer = express.request(Some(&cookie), json!([["set", {"v": "1"}]])).await;
    assert_eq!(answer["found"]["data"], json!({"a": 1}));
    sessions.update(&issued.token, |data| data["a"] = 2.into()).await.unwrap();
    let answer = express.request(Some(&cookie), json!([])).await;
    assert_eq!((&answer["found"]["data"], &answer["found"]["v"]), (&json!({"a": 2}), &json!("1")));
}
