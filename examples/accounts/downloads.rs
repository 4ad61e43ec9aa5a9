//! Links to files, good for a number of downloads and for a time.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use token_session::http::Session;

use super::Service;
use super::problem::Problem;
use super::sessions::Account;

#[derive(Deserialize)]
pub struct Offer {
    file: String,
    uses: NonZeroU32,
    /// Seconds.
    ttl: u64,
}

pub async fn offer(
    State(service): State<Service>,
    session: Session<Account>,
    Json(offer): Json<Offer>,
) -> Result<Response, Problem> {
    let lifetime = Duration::from_secs(offer.ttl);
    let new = service.downloads.new_link(&offer.file).uses(offer.uses).lifetime(lifetime);
    let created = new.subject(&session.user).create().await?;
    Ok((StatusCode::CREATED, Json(json!({ "url": created.link.reveal() }))).into_response())
}

/// Ends all links of the person who is signed in, and nobody else's.
pub async fn withdraw(
    State(service): State<Service>,
    session: Session<Account>,
) -> Result<StatusCode, Problem> {
    service.downloads.revoke_subject(&session.user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Serves the file while uses remain.
pub async fn download(
    State(service): State<Service>,
    Path(link): Path<String>,
) -> Result<Response, Problem> {
    Ok(content(&service.downloads.redeem(&link).await?.payload))
}

/// `HEAD`: what a download would be answered with, at the cost of no use. A route of axum's `get`
/// would run [`download`] for it.
pub async fn look(
    State(service): State<Service>,
    Path(link): Path<String>,
) -> Result<Response, Problem> {
    Ok(content(&service.downloads.inspect(&link).await?.payload))
}

/// A real service reads it from where it keeps its files.
fn content(file: &str) -> Response {
    format!("the content of {file}\n").into_response()
}
