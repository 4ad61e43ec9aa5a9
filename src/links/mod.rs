//! Links: long, sent to a person or handed on, and clicked.
//!
//! ```
//! use std::time::Duration;
//! use token_session::links::{BaseUrl, Links};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let base = BaseUrl::path("https://example.org/downloads/")?;
//! let downloads = Links::<String>::builder("download", base).build()?;
//!
//! let link = downloads.new_link(&"report.pdf".to_owned())
//!     .uses(3.try_into()?)
//!     .lifetime(Duration::from_secs(3_600))
//!     .create()
//!     .await?
//!     .link;
//! assert!(link.reveal().starts_with("https://example.org/downloads/"));
//!
//! // GET, HEAD, a mail scanner, a preview: looking changes nothing.
//! let seen = downloads.inspect(link.token()).await?;
//! assert_eq!((seen.payload.as_str(), seen.uses_left), ("report.pdf", Some(3)));
//!
//! // POST, or the GET that serves the file: a use.
//! let redeemed = downloads.redeem(link.token()).await?;
//! assert_eq!((redeemed.payload.as_str(), redeemed.uses_left), ("report.pdf", Some(2)));
//! # Ok(()) }
//! ```
//!
//! # Which type do I want?
//! | | [`Links`] | [`SignInLinks`] | [`SignedLinks`] |
//! |---|---|---|---|
//! | for | downloads, invitations, confirmations | signing in by mail | much, cheaply: unsubscribe, password resets |
//! | kept in | the store | the store | nothing |
//! | good for | 1, N or any number of uses | one use, by the browser that asked | any number, until it expires or what it is bound to changes |
//! | ends by | expiry, uses, revocation | expiry, use, revocation | expiry, a change of the bound state or epoch, a retired key |
//! | guards against scanners | looking is not redeeming | and redeeming needs a handle that they do not have | looking is not accepting |
//!
//! # What does a scanner do to a link?
//! Mail providers open the links in a mail, run the page's scripts and press its buttons. So a `GET`
//! must change nothing ([`inspect`](Links::inspect)); and where a click signs somebody in or confirms
//! something, a `POST` is not enough either: use [`SignInLinks`], which a scanner cannot complete.
//!
//! # What keeps a `GET` from redeeming?
//! A type that cannot: [`LinkInspector`], of [`Links`], and [`SignInInspector`], of [`SignInLinks`]. Give
//! them to the routes of a `GET`, and what redeems to those of a `POST`. With axum:
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # fn app() -> Result<axum::Router, Box<dyn std::error::Error>> {
//! use axum::Router;
//! use axum::extract::{Path, State};
//! use axum::http::StatusCode;
//! use axum::routing::{get, post};
//! use token_session::links::{BaseUrl, LinkInspector, Links};
//!
//! async fn look(
//!     State(links): State<LinkInspector<String>>,
//!     Path(token): Path<String>,
//! ) -> Result<String, StatusCode> {
//!     let seen = links.inspect(&token).await.map_err(|_| StatusCode::GONE)?;
//!     Ok(format!("Join {}?", seen.payload))
//! }
//!
//! async fn join(
//!     State(links): State<Links<String>>,
//!     Path(token): Path<String>,
//! ) -> Result<String, StatusCode> {
//!     let redeemed = links.redeem(&token).await.map_err(|_| StatusCode::GONE)?;
//!     Ok(format!("Welcome to {}.", redeemed.payload))
//! }
//!
//! let base = BaseUrl::path("https://example.org/invitations/")?;
//! let links = Links::builder("invitation", base).build()?;
//! let app = Router::new().route(
//!     "/invitations/{token}",
//!     get(look).with_state(links.inspector()).merge(post(join).with_state(links)),
//! );
//! # Ok(app) }
//! # #[cfg(feature = "axum")]
//! # app().unwrap();
//! ```
//!
//! # Does a `HEAD` use a link up?
//! Where a `GET` is the use itself, as when it serves a file, a `HEAD` must not be one: mail programs,
//! download managers and previews send it first. axum's `get(serve)` runs its handler for `HEAD` as well,
//! and drops the body; so do other routers. Give `HEAD` a handler of its own, which looks:
//! `get(serve).head(look)`.
//!
//! # Where does the token go?
//! Into the path, or into the fragment, which a browser does not send: then neither a server's log
//! nor a `Referer` header has it, and a script on the page sends it in a `POST`. The address before
//! it is fixed when the links are built, so no `Host` header has a part in it (OWASP, Forgot Password
//! Cheat Sheet). Answer a page that was reached by a link with `page_headers` (feature `http`).
//!
//! # What do logs and metrics tell?
//! Of links that a store keeps, the [same as of codes](crate::codes): `redeem_link` by purpose and
//! outcome, with the link's [id](CreatedLink::id) as the key, and no token. Signed links ask no store,
//! and tell nothing.

mod base_url;
mod builder;
mod engine;
mod error;
mod inspector;
mod new_link;
#[cfg(feature = "http")]
mod page;
mod sign_in;
mod signed;
mod stored_links;

pub use self::base_url::{BaseUrl, BaseUrlError, Link};
pub use self::builder::LinksBuilder;
pub use self::error::{LinkError, LinkPolicyError};
pub use self::inspector::{Inspection, LinkInspector, SignInInspector};
pub use self::new_link::NewLink;
#[cfg(feature = "http")]
pub use self::page::page_headers;
pub use self::sign_in::{IssuedSignIn, ResentSignIn, SignInLinks};
pub use self::signed::{Binding, Claim, NewSignedLink, SignedLinks, SignedLinksBuilder};
pub use self::stored_links::{CreatedLink, Links, RedeemedLink};
