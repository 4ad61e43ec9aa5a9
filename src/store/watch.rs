//! [`Watch`]: stores that tell what was changed, by whomever.

use std::fmt;
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
    /// Calls `tell` for each change from now on, as long as what it returns lives.
    ///
    /// * What a caller was told to be done after this has returned is told here too, soon: a write, a
    ///   rename (the old key at least), a removal, the end of all of an owner's sessions. A touch
    ///   need not be.
    /// * Where changes may go untold, because the connection is lost, [`Change::Any`] is told as
    ///   soon as that is noticed, and again when it is there: it stands for all that was not told.
    /// * `tell` is quick and never blocks.
    fn watch<F>(&self, tell: F) -> impl Future<Output = Result<Watching>> + Send
    where
        F: Fn(Change) + Send + Sync + 'static;
}

/// Lets a store [watch](Watch) until this is dropped.
///
/// ```
/// use token_session::store::Watching;
///
/// struct Task;
///
/// impl Drop for Task {
///     fn drop(&mut self) {
///         println!("nobody listens any longer");
///     }
/// }
///
/// let watching = Watching::until_dropped(Task);
/// ```
pub struct Watching(
    #[expect(dead_code, reason = "what counts is when it is dropped")] Box<dyn Send + Sync>,
);

impl Watching {
    /// Drops the task, or whatever it is that watches, with itself.
    pub fn until_dropped(task: impl Send + Sync + 'static) -> Self {
        Self(Box::new(task))
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watching")
    }
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
