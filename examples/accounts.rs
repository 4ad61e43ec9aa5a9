//! A small REST service that shows the job: log in, be known, see and end one's sessions.
//!
//! `cargo run --example accounts`, and try the lines that it prints.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use clap::Parser;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use token_session::http::{Rejection, Session, SessionLayer, Sessions};
use token_session::store::AnyStore;
use token_session::{Issued, Key, Label, Lifetime, NewSession, Owner, TokenSession};
use tokio::net::TcpListener;

#[derive(Parser)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where sessions are kept, as a URL.
    #[arg(long, default_value = "memory:")]
    store: String,
    /// Seconds after which an unused session ends.
    #[arg(long, default_value_t = 30 * 60, allow_negative_numbers = true)]
    ttl: i64,
}

/// What a session holds.
#[derive(Serialize, Deserialize)]
pub struct Account {
    user: String,
    device: String,
    visits: u64,
}

#[derive(Deserialize)]
struct Login {
    user: String,
    device: String,
}

/// The service on sessions that somebody else configured.
pub fn app(sessions: TokenSession<Account, AnyStore>) -> Router {
    Router::new()
        .route("/", get("log in with POST /login\n"))
        .route("/login", post(login))
        .route("/me", get(me))
        .route("/visits", post(visit))
        .route("/regenerate", post(regenerate))
        .route("/sessions", get(list))
        .route("/sessions/{id}", delete(end))
        .route("/logout-others", post(logout_others))
        .route("/logout", post(logout))
        .layer(SessionLayer::new(sessions))
}

/// A real service checks a password here.
async fn login(sessions: Sessions<Account>, Json(login): Json<Login>) -> Result<Response, Problem> {
    let new = NewSession::new()
        .owner(Owner::new(login.user.as_str()).map_err(bad_request)?)
        .label(Label::new(login.device.as_str()).map_err(bad_request)?);
    let account = Account { user: login.user, device: login.device, visits: 0 };
    let issued = sessions.create_with(&account, new).await?;
    Ok((StatusCode::CREATED, token(&issued)).into_response())
}

async fn me(session: Session<Account>) -> Json<Value> {
    let Account { user, device, visits } = &*session;
    Json(json!({ "user": user, "device": device, "visits": visits }))
}

async fn visit(mut session: Session<Account>) -> Result<Json<Value>, Rejection> {
    let visits = session
        .update(|account| {
            account.visits += 1;
            account.visits
        })
        .await?;
    Ok(Json(json!({ "visits": visits })))
}

async fn regenerate(mut session: Session<Account>) -> Result<Json<Value>, Rejection> {
    session.regenerate().await.map(|issued| token(&issued))
}

async fn list(session: Session<Account>, sessions: Sessions<Account>) -> Result<Response, Problem> {
    let owner = Owner::new(session.user.as_str()).map_err(bad_request)?;
    let listed = sessions.owned(&owner, 100).await?;
    let described = listed.iter().map(|(key, meta)| {
        json!({
            "id": key.to_string(),
            "device": meta.label.as_ref().map(Label::as_str),
            "created_at": meta.created_at.as_millis() / 1000,
            "last_seen": meta.last_seen.as_millis() / 1000,
            "expires_in": meta.expires_in().as_secs(),
            "current": key == session.key(),
        })
    });
    Ok(Json(described.collect::<Vec<_>>()).into_response())
}

async fn end(
    session: Session<Account>,
    sessions: Sessions<Account>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let owner = Owner::new(session.user.as_str()).map_err(bad_request)?;
    let key: Key = id.parse().map_err(bad_request)?;
    let ended = sessions.destroy_owned(&owner, &key).await?;
    Ok(if ended { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
}

async fn logout_others(session: Session<Account>) -> Result<StatusCode, Rejection> {
    session.destroy_others().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn logout(session: Session<Account>) -> Result<StatusCode, Rejection> {
    session.destroy().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn token(issued: &Issued) -> Json<Value> {
    let expires_in = issued.expires_in.as_secs();
    Json(json!({ "token": issued.token.reveal(), "expires_in": expires_in }))
}

/// What a handler answers when it cannot do its work.
enum Problem {
    Session(Rejection),
    BadRequest(String),
}

fn bad_request(error: impl ToString) -> Problem {
    Problem::BadRequest(error.to_string())
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        Self::Session(rejection)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        match self {
            Self::Session(rejection) => rejection.into_response(),
            Self::BadRequest(detail) => {
                (StatusCode::BAD_REQUEST, Json(json!({ "detail": detail }))).into_response()
            }
        }
    }
}

fn print_examples(address: SocketAddr) {
    println!(
        r#"listening on http://{address}

Try:
  curl -s -H 'Content-Type: application/json' -d '{{"user":"anna","device":"phone"}}' http://{address}/login
  TOKEN=…   # the token of the answer
  curl -s -H "Authorization: Bearer $TOKEN" http://{address}/me
  curl -s -H "Authorization: Bearer $TOKEN" -X POST http://{address}/visits
  curl -s -H "Authorization: Bearer $TOKEN" http://{address}/sessions
  curl -s -H "Authorization: Bearer $TOKEN" -X DELETE http://{address}/sessions/ID
  curl -s -H "Authorization: Bearer $TOKEN" -X POST http://{address}/regenerate
  curl -s -H "Authorization: Bearer $TOKEN" -X POST http://{address}/logout-others
  curl -s -H "Authorization: Bearer $TOKEN" -X POST http://{address}/logout

Stop with ctrl-c."#
    );
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("accounts: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let sessions = TokenSession::builder()
        .store(AnyStore::connect(&options.store).await?)
        .lifetime(Lifetime::idle_secs(options.ttl)?)
        .build()?;
    let _sweeper = sessions.spawn_sweeper(Duration::from_secs(60));
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
    print_examples(listener.local_addr()?);
    axum::serve(listener, app(sessions))
        .with_graceful_shutdown(async {
            if let Err(error) = tokio::signal::ctrl_c().await {
                eprintln!("ctrl-c cannot be awaited: {error}");
            }
        })
        .await?;
    println!("stopped");
    Ok(())
}
