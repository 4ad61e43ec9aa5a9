//! Prove that an address is yours: register, sign in by a link, reset the password.
//!
//! What a client gets does not tell whether anybody has the address: it is the same handle, and the
//! mail alone differs.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use token_session::Owner;
use token_session::codes::OpenChallenge;
use token_session::http::Sessions;
use token_session::links::page_headers;

use super::Service;
use super::problem::{Problem, bad_request};
use super::sessions::{Account, begin};

#[derive(Deserialize)]
pub struct Address {
    email: String,
}

#[derive(Deserialize)]
pub struct Typed {
    handle: String,
    code: String,
    #[serde(default = "unnamed")]
    device: String,
}

#[derive(Deserialize)]
pub struct Clicked {
    handle: String,
    #[serde(default = "unnamed")]
    device: String,
}

fn unnamed() -> String {
    "unnamed device".to_owned()
}

impl Address {
    /// The one form of an address, so that it has one budget of guesses.
    fn normal(self) -> Result<String, Problem> {
        let email = self.email.trim().to_lowercase();
        let parts =
            email.split_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty());
        if parts.is_some() && Owner::new(email.as_str()).is_ok() {
            Ok(email)
        } else {
            Err(bad_request("that is no address; give one such as anna@example.org"))
        }
    }
}

fn accepted(challenge: &OpenChallenge) -> Response {
    let answer = json!({
        "handle": challenge.handle.reveal(),
        "expires_in": challenge.expires_in.as_secs(),
        "resend_in": challenge.resend_in.as_secs(),
    });
    (StatusCode::ACCEPTED, Json(answer)).into_response()
}

pub async fn register(
    State(service): State<Service>,
    Json(address): Json<Address>,
) -> Result<Response, Problem> {
    let email = address.normal()?;
    if service.is_known(&email) {
        let challenge = service.register.decoy(&email).await?;
        service.outbox.send(&email, "You have an account already: just sign in.".to_owned());
        return Ok(accepted(&challenge));
    }
    let issued = service.register.issue(&email, &email).await?;
    service.outbox.send(&email, format!("Your code is {}.", &*issued.code.grouped()));
    Ok(accepted(&issued.challenge))
}

pub async fn verify(
    State(service): State<Service>,
    sessions: Sessions<Account>,
    Json(typed): Json<Typed>,
) -> Result<Response, Problem> {
    let email = service.register.redeem(&typed.handle, &typed.code).await?.payload;
    service.add(&email);
    begin(&sessions, email, typed.device).await
}

pub async fn magic(
    State(service): State<Service>,
    Json(address): Json<Address>,
) -> Result<Response, Problem> {
    let email = address.normal()?;
    if !service.is_known(&email) {
        return Ok(accepted(&service.sign_in.codes().decoy(&email).await?));
    }
    let issued = service.sign_in.issue(&email, &email).await?;
    service.outbox.send(&email, format!("Sign in with {}", issued.link.reveal()));
    Ok(accepted(&issued.challenge))
}

/// What the link will do. It does nothing: a mail scanner may follow it, and press every button.
pub async fn magic_page(
    State(service): State<Service>,
    Path(link): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = service.sign_in.inspect(&link).await?;
    let accepts = headers.get(ACCEPT).and_then(|accepts| accepts.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/html") {
        return Ok((page_headers(), Html(SIGN_IN_PAGE)).into_response());
    }
    let answer = json!({
        "action": "sign in",
        "email": page.payload,
        "code": &*page.code.grouped(),
        "hint": "POST the handle here, or type the code where you asked for the link",
    });
    Ok((page_headers(), Json(answer)).into_response())
}

/// The button sends the handle that this browser was given when it asked for the link. Another
/// browser has none, and neither has a scanner.
const SIGN_IN_PAGE: &str = r#"<!doctype html>
<title>Sign in</title>
<button>Sign in</button>
<p id=answer></p>
<script>
document.querySelector('button').onclick = async () => {
    const body = JSON.stringify({ handle: localStorage.getItem('handle') ?? '' });
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(location.href, { method: 'POST', headers, body });
    answer.textContent = response.ok ? 'signed in' : 'refused: ' + response.status;
};
</script>
"#;

pub async fn magic_redeem(
    State(service): State<Service>,
    sessions: Sessions<Account>,
    Path(link): Path<String>,
    Json(clicked): Json<Clicked>,
) -> Result<Response, Problem> {
    let email = service.sign_in.redeem(&link, &clicked.handle).await?.payload;
    begin(&sessions, email, clicked.device).await
}

/// The link was opened on another device: its page shows a code, typed where the request began.
pub async fn magic_code(
    State(service): State<Service>,
    sessions: Sessions<Account>,
    Json(typed): Json<Typed>,
) -> Result<Response, Problem> {
    let email = service.sign_in.codes().redeem(&typed.handle, &typed.code).await?.payload;
    begin(&sessions, email, typed.device).await
}

pub async fn password_reset(
    State(service): State<Service>,
    Json(address): Json<Address>,
) -> Result<Response, Problem> {
    let email = address.normal()?;
    if !service.is_known(&email) {
        return Ok(accepted(&service.reset.decoy(&email).await?));
    }
    let issued = service.reset.issue(&email, &email).await?;
    let text = format!("To set a new password, type {}.", &*issued.code.grouped());
    service.outbox.send(&email, text);
    Ok(accepted(&issued.challenge))
}

/// A real service stores the new password here. Whoever knew the old one is signed out.
pub async fn password_reset_redeem(
    State(service): State<Service>,
    sessions: Sessions<Account>,
    Json(typed): Json<Typed>,
) -> Result<Response, Problem> {
    let email = service.reset.redeem(&typed.handle, &typed.code).await?.payload;
    sessions.destroy_all(&Owner::new(email.as_str()).map_err(bad_request)?).await?;
    begin(&sessions, email, typed.device).await
}
