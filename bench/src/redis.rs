//! Sessions in Redis.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::aio::ConnectionManager;
use sha2::{Digest, Sha256};
use token_session::http::{Session, SessionLayer};
use token_session::store::Redis;
use token_session::{Lifetime, NewSession, Owner, TokenSession};

use crate::candidate::Running;
use crate::memory::{Me, TTL, floor, me};

pub fn candidates(url: &str) -> Vec<Running> {
    let (by_hand, plain, owned) = (url.to_owned(), url.to_owned(), url.to_owned());
    vec![
        Running::start("no session", floor),
        Running::start("hand-written GETEX", || hand_written(by_hand)),
        Running::start("token-session", || ours(plain, NewSession::new())),
        Running::start("token-session, with owner", || {
            ours(owned, NewSession::new().owner(Owner::new("anna").expect("it is short")))
        }),
    ]
}

/// What a careful person writes by hand: SHA-256, one GETEX, JSON.
async fn hand_written(url: String) -> (Router, String) {
    async fn handler(
        State(mut redis): State<ConnectionManager>,
        headers: HeaderMap,
    ) -> Result<Json<Me>, StatusCode> {
        let token = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or(StatusCode::UNAUTHORIZED)?;
        let json: Option<Vec<u8>> = redis::cmd("GETEX")
            .arg(name(token))
            .arg("PX")
            .arg(TTL.as_millis() as u64)
            .query_async(&mut redis)
            .await
            .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let json = json.ok_or(StatusCode::UNAUTHORIZED)?;
        serde_json::from_slice(&json).map(Json).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    }
    fn name(token: &str) -> String {
        format!("session:{}", URL_SAFE_NO_PAD.encode(Sha256::digest(token)))
    }
    let client = redis::Client::open(url).expect("the URL is right");
    let mut redis = ConnectionManager::new(client).await.expect("the server runs");
    let token = "bW9zdC1jYXJlZnVsbHktd3JpdHRlbi1i";
    let json = serde_json::to_vec(&me()).expect("it is plain");
    let () = redis::cmd("SET")
        .arg(name(token))
        .arg(json)
        .arg("PX")
        .arg(TTL.as_millis() as u64)
        .query_async(&mut redis)
        .await
        .expect("the server takes it");
    let app = Router::new().route("/me", get(handler)).with_state(redis);
    (app, format!("authorization: Bearer {token}\r\n"))
}

async fn ours(url: String, new: NewSession<'static>) -> (Router, String) {
    async fn handler(session: Session<Me>) -> Json<Me> {
        Json(session.clone())
    }
    let store = Redis::connect(&url).await.expect("the server runs");
    let lifetime = Lifetime::idle(TTL).expect("it is long enough");
    let sessions = TokenSession::<Me>::builder().store(store).lifetime(lifetime).build();
    let sessions = sessions.expect("the settings are right");
    let issued = sessions.create_with(&me(), &new).await.expect("the server takes it");
    let app = Router::new().route("/me", get(handler)).layer(SessionLayer::new(sessions));
    (app, format!("authorization: Bearer {}\r\n", issued.token.reveal()))
}
