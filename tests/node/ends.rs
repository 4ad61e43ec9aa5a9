//! When a session ends: by what the database holds, as it is read here, and by what the browser's
//! cookie says.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use token_session::store::compat::Shape;
use token_session::{Issued, Lifetime, NewSession, TokenSession};

use super::express::{begin, cookie_of};
use super::peer::{self, Peer};
use super::{Place, token};

const SECOND: Duration = Duration::from_secs(1);

/// What the service's store has as its default in these tests, in seconds.
const USUAL: u32 = 1000;

/// A lifetime of a session's own, in seconds.
const OWN: u32 = 300;

/// The clock of this machine, on which the database runs.
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

/// Between which times something was done.
type Span = (Duration, Duration);

async fn timed<T>(done: impl Future<Output = T>) -> (T, Span) {
    let before = now();
    let answer = done.await;
    (answer, (before, now()))
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// Asserts that what came of something done then ends so long after it, to the second.
fn assert_end(end: Duration, (before, after): Span, life: Duration) {
    assert!(end + SECOND >= before + life, "{end:?} is early for {before:?} + {life:?}");
    assert!(end <= after + life + SECOND, "{end:?} is late for {after:?} + {life:?}");
}

/// Asserts it of a session, as it is read here and as it stands there.
async fn assert_ends<P: Place>(
    place: &P,
    sessions: &TokenSession<Value>,
    id: &str,
    span: Span,
    life: Duration,
) {
    let meta = sessions.get_untouched(&token(id)).await.unwrap().expect("it is live").meta;
    assert_end(Duration::from_millis(meta.expires_at().as_millis()), span, life);
    assert_end(place.end(id).await, span, life);
}

/// Asserts it of a session of express-session, and of its cookie where that has an end.
async fn assert_ends_for_express<P: Place>(
    place: &P,
    sessions: &TokenSession<Value>,
    express: Peer,
    id: &str,
    span: Span,
    life: Duration,
) {
    assert_ends(place, sessions, id, span, life).await;
    let cookie = express.call_of("store", "get", json!([id])).await["cookie"].take();
    match cookie["expires"].as_str() {
        Some(date) => assert_end(peer::parse_date(date).await, span, life),
        None => assert!(cookie["originalMaxAge"].is_null(), "{cookie}"),
    }
}

/// `token-session` and this crate with one default.
async fn token_session<P: Place>(place: &P) -> (Peer, TokenSession<Value>) {
    let shape = Shape::token_session().ttl(seconds(USUAL)).unwrap();
    (place.node_with_ttl(USUAL).await, place.sessions(shape).await)
}

async fn create<P: Place>(sessions: &TokenSession<Value>, idle: Duration) -> Issued {
    let new = NewSession::new().lifetime(Lifetime::idle(idle).unwrap());
    sessions.create_with(&json!({"a": 1}), &new).await.unwrap()
}

pub async fn both_agree_when_a_session_ends<P: Place>(place: &P) {
    let (node, sessions) = token_session(place).await;
    let (data, own) = (json!({"a": 1}), Lifetime::idle(seconds(OWN)).unwrap());

    let (id, span) = timed(node.begin(&data, None)).await;
    assert_ends(place, &sessions, &id, span, seconds(USUAL)).await;

    let token = token(&id);
    let (written, span) = timed(sessions.set_with_lifetime(&token, &data, own)).await;
    written.unwrap();
    assert_ends(place, &sessions, &id, span, seconds(OWN)).await;

    // Node cannot keep that: it writes its own.
    let (_, span) = timed(node.call("set", json!([&id, &data]))).await;
    assert_ends(place, &sessions, &id, span, seconds(USUAL)).await;

    let (issued, span) = timed(create::<P>(&sessions, seconds(OWN))).await;
    assert_ends(place, &sessions, issued.token.reveal(), span, seconds(OWN)).await;

    // What lives for a moment is dead for both.
    let id = create::<P>(&sessions, SECOND).await.token;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if sessions.get_untouched(&id).await.unwrap().is_none() {
            break;
        }
    }
    assert!(sessions.get_untouched(&id).await.unwrap().is_none());
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(node.get(id.reveal()).await, Value::Null);
}

pub async fn both_agree_when_a_session_of_express_ends<P: Place>(place: &P) {
    let sessions = place.sessions::<Value>(Shape::express()).await;
    let max_age = seconds(USUAL);
    for (cookie, usual) in
        [(json!({"maxAge": max_age.as_millis() as u64}), max_age), (json!({}), place.default_ttl())]
    {
        let express = place.express(cookie).await;
        let ((cookie, id), span) = timed(begin(express, json!({"n": 1}))).await;
        assert_ends_for_express(place, &sessions, express, &id, span, usual).await;

        let token = token(&id);
        let (written, span) = timed(sessions.set(&token, &json!({"n": 2}))).await;
        written.unwrap();
        assert_ends_for_express(place, &sessions, express, &id, span, usual).await;

        let (answer, span) =
            timed(express.request(Some(&cookie), json!([["set", {"n": 3}]]))).await;
        assert_eq!(answer["found"]["n"], 2);
        assert_ends_for_express(place, &sessions, express, &id, span, usual).await;
    }
    // Which Node keeps, unlike `token-session`.
    let express = place.express(json!({})).await;
    let (issued, span) = timed(create::<P>(&sessions, seconds(OWN))).await;
    let id = issued.token.reveal();
    assert_ends_for_express(place, &sessions, express, id, span, seconds(OWN)).await;
    let cookie = cookie_of(&issued.token);
    let (_, span) = timed(express.request(Some(&cookie), json!([["set", {"n": 3}]]))).await;
    assert_ends_for_express(place, &sessions, express, id, span, seconds(OWN)).await;
}

/// Asserts that each way to touch a session here has its end moved, and nothing else.
async fn assert_touches<P: Place>(
    place: &P,
    sessions: &TokenSession<Value>,
    id: &str,
    life: Duration,
) {
    let (text, token, left) = (place.text(id).await, token(id), OWN / 2);
    let (_, span) = timed(place.leave(id, left)).await;
    assert_ends(place, sessions, id, span, seconds(left)).await;
    let (touched, span) = timed(sessions.touch(&token)).await;
    assert!(touched.unwrap() <= life);
    assert_ends(place, sessions, id, span, life).await;

    place.leave(id, left).await;
    let (loaded, span) = timed(sessions.get(&token)).await;
    assert!(loaded.unwrap().is_some());
    assert_ends(place, sessions, id, span, life).await;
    assert_eq!(place.text(id).await, text);
}

pub async fn a_touch_here_moves_the_end_of_a_session_of_node<P: Place>(place: &P) {
    let (node, sessions) = token_session(place).await;
    let id = node.begin(&json!({"a": 1}), None).await;
    assert_touches(place, &sessions, &id, seconds(USUAL)).await;
    assert_eq!(node.get(&id).await["data"], json!({"a": 1}));
}

pub async fn a_touch_here_moves_the_end_of_a_session_of_express<P: Place>(place: &P) {
    let sessions = place.sessions::<Value>(Shape::express()).await;
    let max_age = seconds(USUAL);
    for (cookie, life) in
        [(json!({"maxAge": max_age.as_millis() as u64}), max_age), (json!({}), place.default_ttl())]
    {
        let express = place.express(cookie).await;
        let (cookie, id) = begin(express, json!({"n": 1})).await;
        assert_touches(place, &sessions, &id, life).await;
        assert_eq!(express.request(Some(&cookie), json!([])).await["found"]["n"], 1);
    }
}

pub async fn a_touch_by_node_gives_the_life_of_its_store<P: Place>(place: &P) {
    let (node, sessions) = token_session(place).await;
    for own in [seconds(USUAL), seconds(OWN)] {
        let issued = create::<P>(&sessions, own).await;
        let id = issued.token.reveal();
        place.leave(id, OWN / 2).await;
        // Reading is touching for Node.
        let (found, looked) = timed(node.get(id)).await;
        assert_eq!(found["data"], json!({"a": 1}));
        assert_end(place.end(id).await, looked, seconds(USUAL));
        // Nobody here takes that for the session's own life, and the next touch mends it.
        let loaded = sessions.get_untouched(&issued.token).await.unwrap().unwrap();
        let end = Duration::from_millis(loaded.meta.expires_at().as_millis());
        assert_end(end, (looked.0, now()), own);
        sessions.touch(&issued.token).await.unwrap();
        assert_end(place.end(id).await, (looked.0, now()), own);
    }
}

pub async fn a_touch_by_express_gives_the_life_of_the_session<P: Place>(place: &P) {
    let sessions = place.sessions::<Value>(Shape::express()).await;
    let express = place.express(json!({"maxAge": 60_000})).await;
    let issued = create::<P>(&sessions, seconds(OWN)).await;
    let (id, cookie) = (issued.token.reveal(), cookie_of(&issued.token));
    let text = place.text(id).await;
    place.leave(id, OWN / 2).await;
    let (answer, span) = timed(express.request(Some(&cookie), json!([]))).await;
    assert_eq!((&answer["id"], &answer["found"]["a"]), (&json!(id), &json!(1)));
    assert_ends(place, &sessions, id, span, seconds(OWN)).await;
    assert_eq!(place.text(id).await, text);
}

pub async fn a_lifetime_of_its_own_survives_a_touch_by_node(place: &impl Place) {
    let (node, sessions) =
        (place.node().await, place.sessions::<Value>(Shape::token_session()).await);
    let lifetime =
        Lifetime::idle_secs(600).unwrap().and_absolute(Duration::from_secs(3000)).unwrap();
    let new = NewSession::new().lifetime(lifetime).authenticated(true);
    let issued = sessions.create_with(&json!({"a": 1}), &new).await.unwrap();
    let before = sessions.get_untouched(&issued.token).await.unwrap().unwrap().meta;
    // Its touch gives the store's own life.
    assert_eq!(node.get(issued.token.reveal()).await["data"], json!({"a": 1}));
    let meta = sessions.get_untouched(&issued.token).await.unwrap().unwrap().meta;
    assert_eq!((meta.lifetime, meta.deadline), (lifetime, before.deadline));
    assert_eq!(meta.authenticated_at, before.authenticated_at);
    assert!(meta.expires_in() <= Duration::from_secs(600));
    let left = sessions.touch(&issued.token).await.unwrap();
    assert!(left <= Duration::from_secs(600), "{left:?}");
    let meta = sessions.get_untouched(&issued.token).await.unwrap().unwrap().meta;
    assert!(meta.expires_in() <= Duration::from_secs(601), "{:?}", meta.expires_in());
}

pub async fn an_absolute_timeout_that_node_cut_short_is_mended<P: Place>(place: &P) {
    let node = place.node_with_ttl(USUAL).await;
    let sessions = place.sessions(Shape::token_session()).await;
    let life = Duration::from_secs(3000);
    let new = NewSession::new().lifetime(Lifetime::absolute(life).unwrap());
    let data = json!({"a": 1});
    let (issued, begun) = timed(sessions.create_with(&data, &new)).await;
    let token = issued.unwrap().token;
    let id = token.reveal();
    assert_ends(place, &sessions, id, begun, life).await;
    let (_, touched) = timed(node.get(id)).await;
    assert_end(place.end(id).await, touched, seconds(USUAL));
    let (mended, touching) = timed(sessions.touch(&token)).await;
    mended.unwrap();
    // A server may count what is left from when it writes.
    let begun = (begun.0, begun.1 + (touching.1 - touching.0));
    assert_ends(place, &sessions, id, begun, life).await;
}
