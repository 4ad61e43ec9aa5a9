//! The edge: a tower layer that finds a request's token, hands its session to whoever asks, and
//! writes it back before the response leaves.
//!
//! ```text
//! request  → SessionLayer: finds the token, asks the store nothing
//!          → handler: asks for Session<T> (one round trip), Option<Session<T>> or Sessions<T>
//! response ← SessionLayer: writes changed data (one round trip), sends a new token
//! ```
//!
#![cfg_attr(feature = "axum", doc = "With axum:\n\n```")]
#![cfg_attr(not(feature = "axum"), doc = "With axum (feature `axum`):\n\n```ignore")]
//! use axum::{Router, routing::{get, post}};
//! use token_session::TokenSession;
//! use token_session::http::{Rejection, Session, SessionLayer, Sessions};
//!
//! async fn login(sessions: Sessions<u32>) -> Result<String, Rejection> {
//!     Ok(sessions.create(&0).await?.token.reveal().to_owned())
//! }
//!
//! async fn visit(mut session: Session<u32>) -> Result<String, Rejection> {
//!     let visits = session.update(|visits| { *visits += 1; *visits }).await?;
//!     Ok(visits.to_string())
//! }
//!
//! let app: Router = Router::new()
//!     .route("/login", post(login))
//!     .route("/visit", get(visit))
//!     .layer(SessionLayer::new(TokenSession::<u32>::in_memory()));
//! ```
//!
//! # What does a client get?
//!
//! | request | `Session<T>` | `Option<Session<T>>` |
//! |---|---|---|
//! | no token | 401 | `None` |
//! | an unknown, expired, destroyed or malformed token | 401, `error="invalid_token"` | `None` |
//! | two different tokens | 400, `error="invalid_request"` | 400 |
//! | the store is out of reach | 503 with `Retry-After` | 503 |
//! | the record is damaged, or of another type | 500 | 500 |
//!
//! Each 401 and 400 has a `WWW-Authenticate: Bearer` challenge (RFC 6750, section 3), each answer a
//! body of `application/problem+json` (RFC 9457) that says what to do. A 503 never costs a client
//! its token.
//!
//! # When is a session written?
//!
//! A [`Session`] that was changed through `&mut` is written once, after the handler and before the
//! response leaves, over the version that was read; unchanged data is not written. When the handler
//! answers 5xx, its changes are dropped. When another request changed the session in between, the
//! client gets 409 and the other's change stays; when the session was destroyed, 401. A counter that
//! many requests increment is better served by [`Session::update`], which retries.
//!
//! A session that is still held when the response leaves, such as by a streaming body, is not
//! written: call [`Session::save`] before.

#[cfg(feature = "axum")]
mod axum;
mod future;
mod layer;
mod rejection;
mod service;
mod session;
mod sessions;
mod transport;

pub use self::future::ResponseFuture;
pub use self::layer::SessionLayer;
pub use self::rejection::Rejection;
pub use self::service::SessionService;
pub use self::session::Session;
pub use self::sessions::Sessions;
