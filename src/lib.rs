//! Sessions without cookies for REST services, and time-limited codes and links.
//!
//! A client holds an opaque random token and sends it with each request; everything else lives on
//! the server, in a store that you already run. [`TokenSession`] is what an application works with:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use token_session::TokenSession;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Account { user: String, visits: u32 }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sessions = TokenSession::<Account>::in_memory();
//!
//! // At login:
//! let issued = sessions.create(&Account { user: "anna".into(), visits: 0 }).await?;
//! println!("send this to the client, once: {}", issued.token.reveal());
//!
//! // At each request:
//! let visits = sessions.update(&issued.token, |account| { account.visits += 1; account.visits }).await?;
//! assert_eq!(visits, 1);
//!
//! // At logout:
//! sessions.destroy(&issued.token).await?;
//! assert!(sessions.get(&issued.token).await?.is_none());
//! # Ok(()) }
//! ```
//!
//! # Where is what?
//!
//! | | |
//! |---|---|
//! | [`TokenSession`], [`TokenSessionBuilder`] | what an application does with sessions, and how it is configured |
//! | [`codes`], [`links`] | one-time codes to type, and links to click |
//! | [`subjects`] | the one form of an e-mail address, for codes and links |
//! | `http` | the layer and the extractors for servers (features `http`, `axum`, `actix`) |
//! | [`store`] | the contract of stores, the memory store, and one store a feature |
//! | [`Token`], [`Key`], [`Proof`] | what a client holds, a session's identity, and what a store keeps of a token's secret |
//! | [`Record`], [`Meta`], [`Lifetime`], [`Details`] | what a store keeps |
//! | [`Codec`] | how data becomes bytes |
//! | [`Error`], [`store::StoreError`] | what may go wrong, and what to do then |
//! | [`Event`] | what happened to sessions, told by their keys |
//!
//! # How long does a session live?
//!
//! As long as it is used, and 30 minutes more, unless [`Lifetime`] says otherwise: each session has
//! an idle timeout, an absolute one, or both of its own. [`TokenSessionBuilder::touch_interval`] says how exact
//! that is.
//!
//! # What if the store is down?
//!
//! Every operation returns an error whose [`is_retryable`](Error::is_retryable) is true, and the
//! HTTP layer answers 503, never 401: a client must not drop a token that is good.

mod backoff;
mod codec;
pub mod codes;
mod compare_and_swap;
mod error;
mod event;
mod generator;
#[cfg(feature = "http")]
pub mod http;
mod invisible;
mod key;
mod key_ring;
pub mod links;
mod manager;
mod observe;
mod proof;
mod record;
mod record_json;
pub mod store;
pub mod subjects;
mod token;

#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
mod readme {}
#[cfg(all(doctest, feature = "axum", feature = "redis"))]
#[doc = include_str!("../docs/from-node.md")]
mod from_node {}

#[cfg(feature = "messagepack")]
pub use codec::MessagePack;
pub use codec::{Codec, CodecError, Json};
pub use error::{Error, Source};
pub use event::{Event, Events, Subscription};
pub use generator::{Origin, TokenGenerator};
pub use key::{Key, KeyError};
pub use key_ring::{KeyRing, KeyRingError};
pub use manager::{
    Issued, Loaded, NewSession, OwnedSession, SessionPage, Sweeper, TokenSession,
    TokenSessionBuilder,
};
pub use proof::{Claim, Proof, ProofScheme};
pub use record::{
    Details, Label, Lifetime, LifetimeError, Meta, Owner, Record, TextError, Timestamp, Version,
};
pub use token::{Token, TokenError};
