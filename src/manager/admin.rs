//! What an operator needs: list, count and end any session.

use super::{Loaded, Result, TokenSession};
use crate::error::{StoreError, StoreErrorKind};
use crate::key::Key;
use crate::observe::observe;
use crate::store::{Condition, Cursor, Listing};

/// A page of all sessions.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sessions = token_session::TokenSession::<u32>::in_memory();
/// sessions.create(&1).await?;
/// let (mut total, mut after) = (0, None);
/// loop {
///     let page = sessions.all(after.as_ref(), 100).await?;
///     total += page.sessions.iter().filter_map(|session| session.as_ref().ok()).count();
///     after = page.next;
///     if after.is_none() { break }
/// }
/// assert_eq!(total, 1);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct SessionPage<T> {
    /// The sessions. A session whose data cannot be decoded, or whose record is damaged, is an error and
    /// hides no other. [`Error::key`](crate::Error::key) names it, and
    /// [`destroy_key`](TokenSession::destroy_key) removes it.
    pub sessions: Vec<Result<Loaded<T>>>,
    /// Where to go on; `None` when this was the last page.
    pub next: Option<Cursor>,
}

impl<T: Send + 'static> TokenSession<T> {
    /// A page of all live sessions, in no order and untouched. `after` is the
    /// [`next`](SessionPage::next) of the page before. A session that comes or goes meanwhile may be
    /// missing. `limit` is a hint, and should stay in the hundreds.
    ///
    /// # Errors
    /// What the store says.
    pub async fn all(&self, after: Option<&Cursor>, limit: usize) -> Result<SessionPage<T>> {
        let work = async { Ok(self.listing()?.scan(after, limit).await?) };
        let page = observe("all", None, work).await?;
        let readable = page.records.into_iter().map(|(key, record)| self.decode(key, record));
        let damaged = page.damaged.into_iter().map(|error| Err(error.into()));
        Ok(SessionPage { sessions: readable.chain(damaged).collect(), next: page.next })
    }

    /// How many live sessions there are. May take a look at each.
    ///
    /// # Errors
    /// What the store says.
    #[doc(alias = "length")]
    #[doc(alias = "len")]
    pub async fn count(&self) -> Result<u64> {
        observe("count", None, async { Ok(self.listing()?.count().await?) }).await
    }

    /// Ends every session in the store.
    ///
    /// # Errors
    /// What the store says.
    pub async fn clear(&self) -> Result<()> {
        observe("clear", None, async { Ok(self.listing()?.clear().await?) }).await
    }

    /// Ends a session of any owner by its key, and returns whether this call did it.
    ///
    /// # Errors
    /// What the store says.
    pub async fn destroy_key(&self, key: &Key) -> Result<bool> {
        observe("destroy", Some(key), self.remove(key, Condition::Always)).await
    }

    /// How the store lists its sessions.
    pub(super) fn listing(&self) -> Result<&dyn Listing> {
        self.inner.store.listing().ok_or_else(|| {
            let message = "the store cannot list its sessions; use one that can";
            StoreError::new(StoreErrorKind::Refused, message).into()
        })
    }
}
