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
use token_session::links::page_headers;

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
    _: Session<Account>,
    Json(offer): Json<Offer>,
) -> Result<Response, Problem> {
    let lifetime = Duration::from_secs(offer.ttl);
    let new = service.downloads.new_link(&offer.file).uses(offer.uses).lifetime(lifetime);
    let created = new.create().await?;
    let answer = json!({ "url": created.link.reveal(), "id": created.id.to_string() });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Serves the file while uses remain. A real service reads it from where it keeps its files.
pub async fn download(
    State(service): State<Service>,
    Path(link): Path<String>,
) -> Result<Response, Problem> {
    let file = service.downloads.redeem(&link).await?.payload;
    Ok((page_headers(), format!("the content of {file}\n")).into_response())
}
