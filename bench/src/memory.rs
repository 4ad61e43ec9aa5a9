//! Sessions in the process' memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use token_session::TokenSession;
use token_session::http::{Session, SessionLayer};
use tower_sessions::session::{Id, Record};
use tower_sessions::{Expiry, MemoryStore, SessionManagerLayer, SessionStore};

use crate::candidate::Running;

pub const TTL: Duration = Duration::from_secs(1800);

/// What each of them keeps in a session, and answers.
#[derive(Clone, Serialize, Deserialize)]
pub struct Me {
    user: String,
    device: String,
    visits: u64,
}

pub fn me() -> Me {
    Me { user: "anna".to_owned(), device: "phone".to_owned(), visits: 17 }
}

pub fn candidates() -> Vec<Running> {
    vec![
        Running::start("no session", floor),
        Running::start("hand-written", hand_written),
        Running::start("token-session", ours),
        Running::start("tower-sessions", tower),
    ]
}

pub async fn floor() -> (Router, String) {
    (Router::new().route("/me", get(|| async { Json(me()) })), String::new())
}

struct Kept {
    expires: AtomicU64,
    json: Vec<u8>,
}

type Map = Arc<papaya::HashMap<[u8; 32], Kept>>;

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// What a careful person writes by hand: a map, SHA-256, JSON, and an expiry that slides.
async fn hand_written() -> (Router, String) {
    async fn handler(State(map): State<Map>, headers: HeaderMap) -> Result<Json<Me>, StatusCode> {
        let token = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or(StatusCode::UNAUTHORIZED)?;
        let key: [u8; 32] = Sha256::digest(token).into();
        let map = map.pin();
        let kept = map.get(&key).ok_or(StatusCode::UNAUTHORIZED)?;
        let now = now();
        if kept.expires.load(Ordering::Relaxed) <= now {
            return Err(StatusCode::UNAUTHORIZED);
        }
        kept.expires.store(now + TTL.as_millis() as u64, Ordering::Relaxed);
        serde_json::from_slice(&kept.json).map(Json).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    }
    let token = "bW9zdC1jYXJlZnVsbHktd3JpdHRlbi1i";
    let map = Map::default();
    let json = serde_json::to_vec(&me()).expect("it is plain");
    let expires = AtomicU64::new(now() + TTL.as_millis() as u64);
    map.pin().insert(Sha256::digest(token).into(), Kept { expires, json });
    let app = Router::new().route("/me", get(handler)).with_state(map);
    (app, format!("authorization: Bearer {token}\r\n"))
}

async fn ours() -> (Router, String) {
    async fn handler(session: Session<Me>) -> Json<Me> {
        Json(session.clone())
    }
    let sessions = TokenSession::<Me>::in_memory();
    let issued = sessions.create(&me()).await.expect("memory has room");
    let app = Router::new().route("/me", get(handler)).layer(SessionLayer::new(sessions));
    (app, format!("authorization: Bearer {}\r\n", issued.token.reveal()))
}

async fn tower() -> (Router, String) {
    async fn handler(session: tower_sessions::Session) -> Result<Json<Me>, StatusCode> {
        let me = session.get("me").await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        me.map(Json).ok_or(StatusCode::UNAUTHORIZED)
    }
    let store = MemoryStore::default();
    let mut record = Record {
        id: Id::default(),
        data: [("me".to_owned(), serde_json::to_value(me()).expect("it is plain"))].into(),
        expiry_date: time::OffsetDateTime::now_utc() + TTL,
    };
    store.create(&mut record).await.expect("memory has room");
    // Its middleware slides the expiry only when it saves, hence `always_save`.
    let layer = SessionManagerLayer::new(store)
        .with_secure(false)
        .with_always_save(true)
        .with_expiry(Expiry::OnInactivity(time::Duration::seconds(TTL.as_secs() as i64)));
    let app = Router::new().route("/me", get(handler)).layer(layer);
    (app, format!("cookie: id={}\r\n", record.id))
}
