//! The sessions that Node services hold, in the place and the form in which their npm packages keep
//! them, so that a team moves from Express to Rust one service at a time.
//!
//! | package | store | feature | tested with |
//! |---|---|---|---|
//! | connect-redis 3 to 10 | [`ConnectRedis`] | `redis` | 3.4, 6.1, 7.1, 8.1, 9.0 |
//! | connect-mongo 3 to 6 | [`ConnectMongo`] | `mongodb` | 3.2, 4.5, 5.1, 6.0 |
//! | express-mysql-session 1 to 3 | [`ExpressMysql`] | `mysql` | 2.1, 3.0, on MariaDB |
//! | connect-pg-simple 6 to 10 | [`ConnectPgSimple`] | `postgres` | 9.0, 10.0 |
//!
//! The other versions in between are known to write the same. [`Shared`] shares those of any other
//! package, by a [`Backend`] of your own.
//!
//! [`Shape`] says who writes the sessions there: the Node module `token-session`, or express-session. A
//! browser's signed cookie is read by
//! [`SessionLayerBuilder::signed_cookie`](crate::http::SessionLayerBuilder::signed_cookie). When the last Node service
//! is gone, [`Successor`] moves the sessions to a store of this crate's own while the service runs.
//!
//! # What do these stores lack?
//! The formats have no place for what this crate's own stores promise, and Node overwrites what it does not
//! know:
//!
//! * **The plain session id is kept**, so a person who reads a backup of the database can use the sessions
//!   in it. This crate's own stores keep a digest. Keys still show and log the digest alone.
//! * **No version.** A digest of the record's text takes its place, and each write is a
//!   compare-and-swap on the text that was read. So no write of a Rust service undoes another's or
//!   Node's. But **Node compares nothing**: its write undoes what was written since it read, and brings a
//!   session back that was destroyed meanwhile. A record that was changed, and changed back, has the
//!   version that it had.
//! * **No owners.** A session of an owner is refused, and so are the operations on an owner's sessions:
//!   there is no "sign out everywhere".
//! * **No proofs.** The id is the whole token, so a new token is a new key
//!   ([`moves`](crate::store::Store::moves)), and no secret can be handed over gracefully.
//! * **Node resets the end of a session.** Each read by `token-session` in Node gives the session the
//!   store's own lifetime, even if it had another one; express-session keeps a session's own idle timeout. A
//!   touch here corrects it. A member `tokenSession` of the record holds an idle timeout of its own, the
//!   absolute timeout, when the session began, when its person proved who they are, and the details (its
//!   label). Node ignores that member; Rust services keep to the absolute timeout even if Node does not.
//!   express-session writes the member back. `token-session` drops it when it writes, and the absolute
//!   timeout with it. If that must not happen, no Node service may write such sessions.
//! * **A new token is not one step.** A session is removed under the old id, and then put under the new
//!   one. A crash in between ends it, and so does a database that stops answering; it never stands under
//!   both. A dropped request does not end it. Nor does an error by which the database says that it wrote
//!   nothing: the session is put back.
//! * They tell no [`Connected`](crate::Event::Connected) or [`Disconnected`](crate::Event::Disconnected).
//! * When a session began is known only if that member says so; otherwise the time when the session was
//!   last seen stands in for it.
//!
//! So these stores are not [`AtomicStore`](crate::store::AtomicStore)s, and what needs one, such as
//! one-time codes, does not compile on them:
//!
//! ```compile_fail,E0277
//! use token_session::codes::Codes;
//! use token_session::store::compat::NodeStore;
//!
//! fn codes(store: impl NodeStore) {
//!     let _codes = Codes::<String>::builder("confirm-address").store(store).build();
//! }
//! ```
//!
//! # How long does a session live?
//! As long as the service says that wrote last: the manager here, or the Node service. So give both the
//! same lifetime: [`TokenSessionBuilder::lifetime`](crate::TokenSessionBuilder::lifetime) what the Node service's store has as its `ttl`,
//! and [`Shape::ttl`] too where that is not the package's default. A session with another lifetime
//! costs a round trip more when it begins, and a member in its record.
//!
//! # What does an operation cost?
//! | call | round trips |
//! |---|---|
//! | load: no touch is due; alive | 1 |
//! | load: a touch is due; replace, remove | 2 |
//! | insert | 1; 2 with a lifetime other than [`Shape::ttl`], a label or `authenticated`, and with [`Shape::max_age`] |
//! | rename: a new token | 4 |
//! | one that another write outran | as many again |
//!
//! # Which ids are tokens?
//! An id of at least 16 characters, of which at least 5 differ. The manager takes a shorter one for
//! unknown, and does not ask the store. A broken client of Node leaves a session under an id such as
//! `undefined`, `null` or `NaN`, and anybody can send that. The rule is the same on each store of this
//! module, behind [`Successor`], and for a token from a
//! [signed cookie](crate::http::SignedCookie). A [listing](crate::TokenSession::all) shows such a
//! session, [`destroy_key`](crate::TokenSession::destroy_key) ends it, and [`Successor`] does not move
//! it. A generator here that makes such a token is an [error](crate::TokenError::Guessable). If the
//! `genid` of a Node service makes shorter ids, their sessions end here: have it make longer ones first.
//!
//! # Which data?
//! JSON, so the manager has the codec [`Json`](crate::Json), the default; other data is refused.
//! For [`Shape::express`] it is a struct or a map; a plain struct deletes the fields that it does not
//! know, and [`Lossless`] around it keeps them. A JavaScript number is a double. A lone surrogate
//! (`"\ud800"`), and nesting of more than 128 levels, cannot be decoded; within a field that the type
//! does not have they survive. In the name of a field, a lone surrogate makes the record damaged.
//!
//! # Which sessions are listed?
//! Those whose ids are text, in no order, also if an id [is not a token](self#which-ids-are-tokens). A
//! record that is damaged is an error beside them. The count is of what the database holds live: it
//! includes damaged records, and those past their absolute timeout that Node keeps alive. A session whose id
//! a `genid` of one's own made of other characters than a [`Token`](crate::Token) may have is listed, but
//! no client can present it, and [`Successor`] does not move it. A [`Cursor`](crate::store::Cursor) holds an id: keep it on the
//! server.

mod backend;
#[cfg(feature = "mongodb")]
mod bson;
#[cfg(feature = "mongodb")]
mod connect_mongo;
#[cfg(feature = "postgres")]
mod connect_pg_simple;
#[cfg(feature = "redis")]
mod connect_redis;
#[cfg(feature = "mysql")]
mod express_mysql;
mod iso;
mod lossless;
mod members;
mod operations;
mod own;
mod session;
mod shape;
mod successor;
#[cfg(feature = "conformance")]
mod suite;

pub use self::backend::{Backend, Life, Listed, Shared, Stored};
#[cfg(feature = "mongodb")]
pub use self::connect_mongo::ConnectMongo;
#[cfg(feature = "postgres")]
pub use self::connect_pg_simple::ConnectPgSimple;
#[cfg(feature = "redis")]
pub use self::connect_redis::ConnectRedis;
#[cfg(feature = "mysql")]
pub use self::express_mysql::ExpressMysql;
pub use self::lossless::Lossless;
pub use self::shape::Shape;
pub use self::successor::{Moved, Successor};
#[cfg(feature = "conformance")]
pub use self::suite::AnyBytes;
use crate::store::{Listing, Moves, Store};

/// A store of this module: it keeps plain session ids, and knows no owners.
///
/// ```
/// use token_session::store::compat::{NodeStore, Successor};
/// use token_session::store::{AtomicStore, Memory};
///
/// fn take_over(old: impl NodeStore, new: impl AtomicStore) {
///     let _store = Successor::new(new, old);
/// }
/// ```
///
/// Nobody else implements it: it takes keys that hold plain ids, which this crate alone makes.
pub trait NodeStore: Store + Listing + Moves + sealed::Sealed {}

mod sealed {
    use crate::store::{Cursor, Page, Result};

    #[async_trait::async_trait]
    pub trait Sealed {
        /// As a [scan](crate::store::Listing::scan). A record that no Node service has written in this
        /// [`Shape`](super::Shape) counts as damaged too: a mover must not take other records.
        async fn scan_for_mover(&self, after: Option<&Cursor>, limit: usize) -> Result<Page>;
    }
}
