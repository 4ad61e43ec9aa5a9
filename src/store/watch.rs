//! [`Watch`]: how a store tells what was changed, by whomever.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::Result;
use crate::key::Key;
use crate::record::Owner;

/// What a store calls for each change. It is quick and never blocks.
pub type Tell = Arc<dyn Fn(Change) + Send + Sync>;

/// Tells that a record was written or ended, also by another application server, as soon as the store's
/// server says so. [`Cached`](super::Cached) forgets the record then.
///
/// ```
/// use std::sync::Arc;
/// use token_session::store::{Change, Store, Watching};
///
/// async fn print_changes(store: &dyn Store) -> token_session::store::Result<Option<Watching>> {
///     match store.watch() {
///         Some(watch) => watch.watch(Arc::new(|change| println!("{change:?}"))).await.map(Some),
///         None => Ok(None),
///     }
/// }
/// ```
#[async_trait]
pub trait Watch: Send + Sync {
    /// Calls `tell` for each change from now on, as long as what it returns lives.
    ///
    /// * What a caller was told to be done after this has returned is told here too, soon: a write, a
    ///   removal, the end of all of an owner's sessions. A touch need not be.
    /// * Where changes may go untold, because the connection is lost, [`Change::Any`] is told as
    ///   soon as that is noticed, and again when it is there: it stands for all that was not told.
    async fn watch(&self, tell: Tell) -> Result<Watching>;
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
/// let change = Change::Record(Key::from_bytes([7; 16]));
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
