//! [`Watch`]: stores that tell what was changed, by whomever.

use std::future::Future;

use super::{Result, Store};
use crate::record::Owner;
use crate::token::Key;

/// A store that can tell that a record was written or ended, also by another application server, as
/// soon as its server says so. [`Cached`](super::Cached) forgets the record then.
///
/// ```
/// use token_session::store::{Cached, Watch};
///
/// async fn cached<S: Watch>(far: S) -> token_session::store::Result<Cached<S>> {
///     Cached::builder(far).watch().await
/// }
/// ```
pub trait Watch: Store {
    /// Watches as long as it lives.
    type Watching: Send + Sync + 'static;

    /// Calls `tell` for each change from now on.
    ///
    /// * What a caller was told to be done after this has returned is told here too, soon: a write, a
    ///   rename (both keys), a removal, the end of all of an owner's sessions. A touch need not be.
    /// * Where changes may go untold, because the connection is lost, [`Change::Any`] is told at
    ///   once, and again when it is back.
    /// * `tell` is quick and never blocks.
    fn watch<F>(&self, tell: F) -> impl Future<Output = Result<Self::Watching>> + Send
    where
        F: Fn(Change) + Send + Sync + 'static;
}

/// What was changed.
///
/// ```
/// use token_session::Key;
/// use token_session::store::Change;
///
/// let change = Change::Record(Key::from_bytes([7; 32]));
/// assert_ne!(change, Change::Any);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The record under this key.
    Record(Key),
    /// Any of the owner's records.
    Owner(Owner),
    /// Any record at all.
    Any,
}
