//! Prove that an address is yours: register, sign in by a link, reset the password.
//!
//! What a client gets does not tell whether anybody has the address: it is always 202 and a handle,
//! and the mail alone differs. A right code is held while what it is good for is done, and used when
//! it is done: a failure in between costs nobody their code.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::header::{ACCEPT, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use token_session::codes::{CodeError, Codes, Lease, OpenChallenge};
use token_session::http::Sessions;
use token_session::{Label, Owner, Token, subjects};

use super::Service;
use super::pages;
use super::problem::{Problem, bad_request};
use super::sessions::{Account, begin, device};

/// How long a right code is held for what it is good for. Who hangs up before that is done can
/// type it again after so long.
const HOLD: Duration = Duration::from_secs(30);

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

#[derive(Deserialize)]
pub struct Waiting {
    handle: String,
}

/// What a link signs in, and what its page shows.
#[derive(Serialize, Deserialize)]
pub struct SignIn {
    pub(super) email: String,
    /// As the client said it and the network knows it, for the person to judge.
    pub(super) asked_from: String,
}

fn unnamed() -> String {
    "unnamed device".to_owned()
}

impl Address {
    /// The one form of an address, so that one mailbox has one budget of guesses.
    fn normal(self) -> Result<String, Problem> {
        subjects::email(&self.email).map_err(bad_request)
    }
}

/// The answer to who asks for a code: the same for every address.
///
/// An address that has had too many is not answered with 429. Its budget moves with what its person
/// does, so that would tell a stranger of the person. It is a decoy that is answered, for a subject
/// that is nobody; no mail goes out, and the codes of before stay good. That takes one round trip to
/// the store more, which a clock may notice; and who spends the guesses of four challenges can count
/// what the person has left of the day. A real service limits besides how often one client asks.
async fn accepted<T: 'static>(
    codes: &Codes<T>,
    payload: &T,
    opened: Result<OpenChallenge, CodeError>,
) -> Result<Response, Problem> {
    let challenge = match opened {
        Err(CodeError::TooSoon { .. }) => {
            let nobody = Token::random("").map_err(CodeError::from)?;
            codes.decoy(nobody.reveal(), payload).await?
        }
        opened => opened?,
    };
    let answer = json!({
        "handle": challenge.handle.reveal(),
        "expires_in": challenge.expires_in.as_secs(),
        "resend_in": challenge.resend_in.as_secs(),
    });
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Uses the code if what it is good for was done, and lets go of it if that failed.
async fn settle<T: 'static>(
    lease: Lease<T>,
    done: Result<Response, Problem>,
) -> Result<Response, Problem> {
    match done {
        Ok(_) => lease.commit().await?,
        // Where this fails too, the hold ends by itself.
        Err(_) => drop(lease.abort().await),
    }
    done
}

pub async fn register(
    State(service): State<Service>,
    Json(address): Json<Address>,
) -> Result<Response, Problem> {
    let email = address.normal()?;
    let opened = if service.is_known(&email) {
        service.register.decoy(&email, &email).await.inspect(|_| {
            service.outbox.send(&email, "You have an account already: just sign in.".to_owned());
        })
    } else {
        service.register.issue(&email, &email).await.map(|issued| {
            service.outbox.send(&email, format!("Your code is {}.", &*issued.code.grouped()));
            issued.challenge
        })
    };
    accepted(&service.register, &email, opened).await
}

/// Another code for the same handle. Too early: 429, and when to ask again.
pub async fn register_resend(
    State(service): State<Service>,
    Json(waiting): Json<Waiting>,
) -> Result<Response, Problem> {
    let resent = service.register.resend(&waiting.handle).await?;
    if let Some((code, email)) = resent.message {
        service.outbox.send(&email, format!("Your code is {}.", &*code.grouped()));
    }
    let answer = json!({
        "expires_in": resent.expires_in.as_secs(),
        "resend_in": resent.resend_in.as_secs(),
    });
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

pub async fn verify(
    State(service): State<Service>,
    sessions: Sessions<Account>,
    Json(typed): Json<Typed>,
) -> Result<Response, Problem> {
    let device = device(&typed.device)?;
    let lease = service.register.guess(&typed.handle, &typed.code).lease(HOLD).await?;
    service.add(&lease.payload);
    let done = begin(&sessions, lease.payload.clone(), device).await;
    settle(lease, done).await
}

pub async fn magic(
    State(service): State<Service>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Json(address): Json<Address>,
) -> Result<Response, Problem> {
    let email = address.normal()?;
    let codes = service.sign_in.codes();
    // Behind a proxy it is the proxy that knows the address.
    let program: String = text(&headers, USER_AGENT).chars().take(200).collect();
    let asked_from = format!("{} by {program}", client.ip());
    let sign_in = SignIn { email, asked_from };
    if !service.is_known(&sign_in.email) {
        let decoy = codes.decoy(&sign_in.email, &sign_in).await;
        return accepted(codes, &sign_in, decoy).await;
    }
    let opened = service.sign_in.issue(&sign_in.email, &sign_in).await.map(|issued| {
        service.outbox.send(&sign_in.email, format!("Sign in with {}", issued.link.reveal()));
        issued.challenge
    });
    accepted(codes, &sign_in, opened).await
}

/// A header's text; none where it has none.
fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What the link will do. It does nothing: a mail scanner may follow it, and press every button.
pub async fn magic_page(
    State(service): State<Service>,
    Path(link): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = service.sign_in.inspect(&link).await?;
    let code = page.code.grouped();
    if text(&headers, ACCEPT).contains("text/html") {
        return Ok(pages::confirm(&page.payload, &code).into_response());
    }
    let answer = json!({
        "action": "sign in",
        "email": page.payload.email,
        "asked_from": page.payload.asked_from,
        "code": *code,
        "hint": "POST the handle here, or type the code where you asked for the link",
    });
    Ok(Json(answer).into_response())
}

pub async fn magic_redeem(
    State(service): State<Service>,
    sessions: Sessions<Account>,
    Path(link): Path<String>,
    Json(clicked): Json<Clicked>,
) -> Result<Response, Problem> {
    let device = device(&clicked.device)?;
    let lease = service.sign_in.guess(&link, &clicked.handle).lease(HOLD).await?;
    sign_in(&sessions, lease, device).await
}

/// The link was opened on another device: its page shows a code, typed where the request began.
pub async fn magic_code(
    State(service): State<Service>,
    sessions: Sessions<Account>,
    Json(typed): Json<Typed>,
) -> Result<Response, Problem> {
    let device = device(&typed.device)?;
    let lease = service.sign_in.codes().guess(&typed.handle, &typed.code).lease(HOLD).await?;
    sign_in(&sessions, lease, device).await
}

async fn sign_in(
    sessions: &Sessions<Account>,
    lease: Lease<SignIn>,
    device: Label,
) -> Result<Response, Problem> {
    let done = begin(sessions, lease.payload.email.clone(), device).await;
    settle(lease, done).await
}

pub async fn password_reset(
    State(service): State<Service>,
    Json(address): Json<Address>,
) -> Result<Response, Problem> {
    let email = address.normal()?;
    if !service.is_known(&email) {
        return accepted(&service.reset, &email, service.reset.decoy(&email, &email).await).await;
    }
    let opened = service.reset.issue(&email, &email).await.map(|issued| {
        let text = format!("To set a new password, type {}.", &*issued.code.grouped());
        service.outbox.send(&email, text);
        issued.challenge
    });
    accepted(&service.reset, &email, opened).await
}

pub async fn password_reset_redeem(
    State(service): State<Service>,
    sessions: Sessions<Account>,
    Json(typed): Json<Typed>,
) -> Result<Response, Problem> {
    let device = device(&typed.device)?;
    let lease = service.reset.guess(&typed.handle, &typed.code).lease(HOLD).await?;
    let done = set_password(&sessions, lease.payload.clone(), device).await;
    settle(lease, done).await
}

/// A real service stores the new password here. Whoever knew the old one is signed out.
async fn set_password(
    sessions: &Sessions<Account>,
    email: String,
    device: Label,
) -> Result<Response, Problem> {
    sessions.destroy_all(&Owner::new(email.as_str()).map_err(bad_request)?).await?;
    begin(sessions, email, device).await
}
