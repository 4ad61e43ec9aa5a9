//! Sessions on actix-web: log in, be counted, log out.
//!
//! `cargo run --example actix --features actix`, and try the lines that it prints.

use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::web::{get, post};
use actix_web::{App, HttpServer};
use token_session::TokenSession;
use token_session::http::{OptionalSession, Rejection, Session, SessionLayer, Sessions};

/// The service on sessions that somebody else configured.
pub fn server(sessions: TokenSession<u64>, listener: TcpListener) -> std::io::Result<Server> {
    // Made once: each worker makes an app of its own.
    let layer = SessionLayer::new(sessions);
    let app = move || {
        App::new()
            .wrap(layer.clone())
            .route("/", get().to(greet))
            .route("/login", post().to(login))
            .route("/visits", post().to(visit))
            .route("/logout", post().to(logout))
    };
    Ok(HttpServer::new(app).listen(listener)?.run())
}

/// A real service checks a password here.
async fn login(sessions: Sessions<u64>) -> Result<String, Rejection> {
    Ok(sessions.create(&0).await?.token.reveal().to_owned())
}

/// Not `Option<Session<u64>>`, which would be `None` for everybody while the store is down.
async fn greet(OptionalSession(session): OptionalSession<u64>) -> String {
    match session {
        Some(visits) => format!("you were here {} times\n", *visits),
        None => "log in with POST /login\n".to_owned(),
    }
}

async fn visit(mut session: Session<u64>) -> Result<String, Rejection> {
    let count = |visits: &mut u64| {
        *visits += 1;
        *visits
    };
    Ok(format!("visit {}\n", session.update(count).await?))
}

async fn logout(session: Session<u64>) -> Result<&'static str, Rejection> {
    session.destroy().await?;
    Ok("goodbye\n")
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:8080")?;
    let address = listener.local_addr()?;
    println!(
        r#"listening on http://{address}

Try:
  TOKEN=$(curl -s -X POST http://{address}/login)
  curl -s -H "Authorization: Bearer $TOKEN" -X POST http://{address}/visits
  curl -s -H "Authorization: Bearer $TOKEN" http://{address}/
  curl -s -H "Authorization: Bearer $TOKEN" -X POST http://{address}/logout

Stop with ctrl-c."#
    );
    server(TokenSession::in_memory(), listener)?.await
}
