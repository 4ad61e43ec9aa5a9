//! The routes on axum.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use token_session::http::Session;

use super::{Data, Setup, handlers};
use crate::client;

pub async fn serve(setup: Setup) -> SocketAddr {
    let Setup { layer, layered, sessions, both } = setup;
    let app = Router::new()
        .route("/public", get(handlers::public))
        .route("/uri", get(|uri: Uri| async move { uri.to_string() }))
        .route("/read", get(handlers::read))
        .route("/maybe", get(|session: Option<_>| async { handlers::maybe(session) }))
        .route("/add", post(handlers::add))
        .route("/add-slowly", post(move |session| handlers::add_slowly(both, session)))
        .route("/update", post(handlers::update))
        .route("/fail", post(handlers::fail))
        .route("/huge", post(handlers::huge))
        .route("/login", post(handlers::login))
        .route("/regenerate", post(handlers::regenerate))
        .route("/add-and-regenerate", post(handlers::add_and_regenerate))
        .route("/fresh", get(handlers::fresh))
        .route("/reauthenticate", post(handlers::reauthenticate))
        .route("/logout", post(handlers::logout))
        .route(
            "/logout-during-add",
            post(move |session| handlers::logout_during_add(sessions, session)),
        )
        .route("/guarded", post(handlers::add).layer(from_fn(guard)));
    client::serve(if layered { app.layer(layer) } else { app }).await
}

/// A middleware that holds the session while the handler, further in, asks for it too.
async fn guard(session: Session<Data>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    assert!(!session.contains(&"added".to_owned()), "it has the data as it was read");
    response
}
