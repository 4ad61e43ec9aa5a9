//! Log in, be known, see and end one's sessions.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use token_session::http::{Rejection, Session, Sessions};
use token_session::{Issued, Key, Label, NewSession, OwnedSession, Owner};

use super::problem::{Problem, bad_request};

/// What a session holds.
#[derive(Serialize, Deserialize)]
pub struct Account {
    pub(super) user: String,
    pub(super) device: String,
    pub(super) visits: u64,
}

#[derive(Deserialize)]
pub struct Login {
    user: String,
    device: String,
}

/// A real service checks a password here.
pub async fn login(
    sessions: Sessions<Account>,
    Json(login): Json<Login>,
) -> Result<Response, Problem> {
    begin(&sessions, login.user, device(&login.device)?).await
}

/// The name of a device, as a list of sessions shows it.
pub fn device(name: &str) -> Result<Label, Problem> {
    Label::new(name).map_err(bad_request)
}

/// Begins a session of a person who has just proved who they are.
pub async fn begin(
    sessions: &Sessions<Account>,
    user: String,
    device: Label,
) -> Result<Response, Problem> {
    let owner = Owner::new(user.as_str()).map_err(bad_request)?;
    let account = Account { user, device: device.as_str().to_owned(), visits: 0 };
    let new = NewSession::new().owner(owner).label(device);
    let issued = sessions.create_with(&account, new).await?;
    Ok((StatusCode::CREATED, token(&issued)).into_response())
}

pub async fn me(session: Session<Account>) -> Json<Value> {
    let Account { user, device, visits } = &*session;
    Json(json!({ "user": user, "device": device, "visits": visits }))
}

pub async fn visit(mut session: Session<Account>) -> Result<Json<Value>, Rejection> {
    let visits = session
        .update(|account| {
            account.visits += 1;
            account.visits
        })
        .await?;
    Ok(Json(json!({ "visits": visits })))
}

pub async fn regenerate(mut session: Session<Account>) -> Result<Json<Value>, Rejection> {
    session.regenerate().await.map(|issued| token(&issued))
}

pub async fn list(
    session: Session<Account>,
    sessions: Sessions<Account>,
) -> Result<Response, Problem> {
    let owner = Owner::new(session.user.as_str()).map_err(bad_request)?;
    let listed = sessions.owned(&owner, 100).await?;
    let described = listed.iter().map(|OwnedSession { key, meta, details }| {
        json!({
            "id": key.to_string(),
            "device": details.label().as_ref().map(Label::as_str),
            "created_at": meta.created_at.as_millis() / 1000,
            "last_seen": meta.last_seen.as_millis() / 1000,
            "expires_in": meta.expires_in().as_secs(),
            "current": key == session.key(),
        })
    });
    Ok(Json(described.collect::<Vec<_>>()).into_response())
}

pub async fn end(
    session: Session<Account>,
    sessions: Sessions<Account>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let owner = Owner::new(session.user.as_str()).map_err(bad_request)?;
    let key: Key = id.parse().map_err(bad_request)?;
    let ended = sessions.destroy_owned(&owner, &key).await?;
    Ok(if ended { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
}

pub async fn logout_others(session: Session<Account>) -> Result<StatusCode, Rejection> {
    session.destroy_others().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn logout(session: Session<Account>) -> Result<StatusCode, Rejection> {
    session.destroy().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn token(issued: &Issued) -> Json<Value> {
    let expires_in = issued.expires_in.as_secs();
    Json(json!({ "token": issued.token.reveal(), "expires_in": expires_in }))
}
