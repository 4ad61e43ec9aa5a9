//! The edge: a layer that finds a request's token, gives its session to the handler that asks, and writes
//! it back before the response leaves. It is a tower layer and an actix-web middleware.
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
//! # Which servers?
//!
//! | server | how |
//! |---|---|
//! | axum 0.8 | feature `axum`: [`SessionLayer`] is a layer, [`Session`], `Option<Session>` and [`Sessions`] are extractors |
//! | actix-web 4 | feature `actix`: the same layer is a middleware, and there are the same extractors, with `OptionalSession` for `Option<Session>`; `examples/actix.rs` |
//! | tonic 0.14 | the layer around `Routes::into_axum_router`; [`Sessions`] are in a request's extensions; `examples/tonic` |
//! | salvo 1 | the layer as a hoop, by `compat()` of salvo's feature `tower-compat`; [`Sessions`] are in a request's extensions |
//! | anything that takes tower layers | the layer, where response bodies are `From<String>`; [`Sessions`] are in a request's extensions |
//! | poem 3 | a whole tower service with the layer around it is an endpoint, by `compat()` of poem's feature `tower-compat`, if its response body is `Sync`. The layer around poem's own endpoints is not possible: they take poem's requests |
//! | rocket 0.5 | no tower there: ask [`TokenSession`](crate::TokenSession) in a request guard |
//!
//! # What does a client get?
//!
//! | request | `Session<T>` | `Option<Session<T>>` |
//! |---|---|---|
//! | no token | 401 | `None` |
//! | an unknown, expired, destroyed or malformed token | 401, `error="invalid_token"` | `None` |
//! | two different tokens, except in cookies of one name | 400, `error="invalid_request"` | 400 |
//! | the store is out of reach | 503 with `Retry-After` | 503 |
//! | the record is damaged, or of another type | 500 | 500 |
//!
//! Each 401 and 400 has a `WWW-Authenticate: Bearer` challenge (RFC 6750, section 3). Each answer has an
//! `application/problem+json` body (RFC 9457) that says what to do. After a 503 the client keeps its
//! token. For gRPC there is [`Rejection::grpc_code`].
//!
//! # What do caches keep?
//!
//! If a handler asked for the session, the answer has a `Vary` with the headers that the token is read
//! from, and `Cache-Control: private` unless it has its own `Cache-Control`. An answer with a
//! new token has `no-store`. Answers of gRPC have neither `Vary` nor `private`.
//!
//! # When is a session written?
//!
//! A [`Session`] that was changed through `&mut` is written once, after the handler and before the
//! response leaves, over the version that was read; unchanged data is not written. When the handler
//! answers 5xx, or a `grpc-status` that means the same, its changes are dropped. If another request
//! changed the session in between, the client gets 409 and the other change stays. If the session was
//! destroyed, it gets 401. For a counter that many requests increment, use [`Session::update`], which
//! retries.
//!
//! If the session could not be written, an error answer replaces the handler's answer. It keeps the
//! headers that are not about the body, the status or the connection: CORS, cookies, `Vary`, security
//! headers, your own.
//!
//! A layer further in may repeat a request, as tower's `Retry` does. Changes of one attempt through
//! `&mut` are dropped when the next attempt asks for its session. The layer recognises a new attempt by
//! the copied extensions of the request. If a service clones [`Sessions`] out of the extensions, put the
//! repeating layer around this one.
//!
//! A session that is still held when the response leaves, for example by a streaming body, is not
//! written. Call [`Session::save`] before.

#[cfg(feature = "actix")]
mod actix;
mod attempt;
#[cfg(feature = "axum")]
mod axum;
mod builder;
mod commit;
mod future;
mod grpc;
mod layer;
mod query;
mod rejection;
mod replaced;
mod request;
mod service;
mod session;
mod sessions;
mod signed_cookie;
mod transport;

pub use ::http::HeaderName;

#[cfg(feature = "actix")]
pub use self::actix::{OptionalSession, SessionMiddleware};
pub use self::builder::{SessionLayerBuilder, SessionLayerError};
pub use self::future::ResponseFuture;
pub use self::layer::SessionLayer;
pub use self::rejection::Rejection;
pub use self::service::SessionService;
pub use self::session::Session;
pub use self::sessions::Sessions;
pub use self::signed_cookie::{SignedCookie, SignedCookieError};
