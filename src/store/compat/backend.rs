//! [`Backend`], what a database has to do so that its sessions can be shared, and [`Shared`], the store
//! on it.

use std::time::Duration;

use bytes::Bytes;

use super::Shape;
use super::operations::{Place, format, impl_store};
use super::session::Format;
use crate::record::Timestamp;
use crate::store::{Cursor, Result};

/// A database, or another store, in which an npm package keeps the sessions of express-session or of
/// `token-session`: as JSON text under the plain session id, with an end.
///
/// This crate implements it for four packages. For another one, implement it yourself and give it to
/// [`Shared`]. You have to know where the package keeps the text, how it keeps the end, and when a record
/// counts as expired. [`Shape`] knows what is in the text.
///
/// Each write is a compare-and-swap on the text that was read, so the database has to do one atomically.
/// The docs of the [module](super) say what is lost all the same.
///
/// # Errors
/// An error of kind [`Unavailable`](crate::store::StoreErrorKind::Unavailable) says that a write may have
/// taken place. Any other kind says that it has not, and will not.
///
/// # Example
/// A store in the memory of this process, as the memory store of express-session is one:
///
/// ```
#[doc = include_str!("../../../tests/own_format/in_memory.rs")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
/// use token_session::TokenSession;
/// use token_session::store::compat::{Shape, Shared};
///
/// let store = Shared::new(InMemory::default(), Shape::token_session());
/// let sessions = TokenSession::<String>::builder().store(store).build()?;
/// let token = sessions.create(&"Anna".to_owned()).await?.token;
/// assert_eq!(*sessions.get(&token).await?.expect("it is live"), "Anna");
/// # Ok(()) }
/// ```
///
/// The macro [`shared_format_suite!`](crate::shared_format_suite) (feature `conformance`) tests yours.
#[doc(alias = "hackttl")]
pub trait Backend: Clone + Send + Sync + 'static {
    /// The package's name, for errors.
    const PACKAGE: &'static str;

    /// How long a session lives if neither its record nor [`Shape::ttl`] says so.
    const TTL: Duration;

    /// The longest id that it holds, in bytes. A longer one is refused before it is asked.
    const LONGEST_ID: usize = usize::MAX;

    /// What is compared before a write: the text, or the whole record where more stands beside it.
    type Old: Send + Sync + 'static;

    /// A record as the database keeps it.
    type New: Send + Sync + 'static;

    /// What to do about the error of a server of sqlx or MongoDB with this code, where that is something
    /// else than with a store of this crate's own.
    fn advice(&self, code: &str) -> Option<String> {
        let _ = code;
        None
    }

    /// The record under an id, unless it has expired by the package's own rule.
    fn fetch(&self, id: &str) -> impl Future<Output = Result<Option<(Stored, Self::Old)>>> + Send;

    /// The records under these ids that have not expired, each with its id, in no order. One batch.
    fn fetch_all(&self, ids: &[&str])
    -> impl Future<Output = Result<Vec<(String, Stored)>>> + Send;

    /// The record of a text, in the form of another record if there is one.
    ///
    /// # Errors
    /// [`Refused`](crate::store::StoreErrorKind::Refused) for a text that the database cannot keep.
    fn record(&self, text: &str, like: Option<&Self::Old>) -> Result<Self::New>;

    /// A record that was read, as it is.
    fn again(old: &Self::Old) -> Self::New;

    /// Writes a record that lives this long (`None`: without an end) if no live one is there. Answers its text as
    /// the database keeps it, or `None` if there was one. `like` is the record whose place it takes under
    /// another id: what else stands beside the text stays.
    fn add(
        &self,
        id: &str,
        record: &Self::New,
        life: Option<Duration>,
        like: Option<&Self::Old>,
    ) -> impl Future<Output = Result<Option<String>>> + Send;

    /// Writes over a live record that is as it was. Answers its text as the database keeps it, or `None`
    /// if the record has changed.
    fn swap(
        &self,
        id: &str,
        old: &Self::Old,
        text: &str,
        life: Life,
    ) -> impl Future<Output = Result<Option<String>>> + Send;

    /// Moves the end of a live record that is as it was, to this long from now. Answers whether it is as
    /// it was.
    fn extend(
        &self,
        id: &str,
        old: &Self::Old,
        life: Duration,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Removes a live record that is as it was. Answers whether it was.
    fn discard(&self, id: &str, old: &Self::Old) -> impl Future<Output = Result<bool>> + Send;

    /// As [`discard`](Self::discard), for a record that is put under another id next: where the
    /// database has no room for it there, it fails and removes nothing.
    fn withdraw(&self, id: &str, old: &Self::Old) -> impl Future<Output = Result<bool>> + Send {
        self.discard(id, old)
    }

    /// The clock of the server that has the record.
    fn clock(&self, id: &str) -> impl Future<Output = Result<Timestamp>> + Send;

    /// A page of live records; see [`Listing::scan`](crate::store::Listing::scan).
    fn page(
        &self,
        after: Option<&Cursor>,
        limit: usize,
    ) -> impl Future<Output = Result<Listed>> + Send;

    /// See [`Listing::count`](crate::store::Listing::count).
    fn count(&self) -> impl Future<Output = Result<u64>> + Send;

    /// See [`Listing::clear`](crate::store::Listing::clear).
    fn clear(&self) -> impl Future<Output = Result<()>> + Send;

    /// See [`Listing::sweep`](crate::store::Listing::sweep).
    fn sweep(&self, limit: usize) -> impl Future<Output = Result<usize>> + Send;
}

/// What a [`Backend`] holds under an id.
///
/// ```
/// use std::time::Duration;
/// use token_session::Timestamp;
/// use token_session::store::compat::Stored;
///
/// let now = Timestamp::from_millis(1_795_486_653_816);
/// let text = r#"{"cookie":{"maxAge":0},"data":{"user":"anna"}}"#;
/// let stored = Stored { text: text.into(), expires: Some(now + Duration::from_secs(60)), now };
/// ```
#[derive(Clone, Debug)]
pub struct Stored {
    /// The JSON text, as it stands there.
    pub text: Bytes,
    /// When it ends; `None`: never.
    pub expires: Option<Timestamp>,
    /// The database's clock.
    pub now: Timestamp,
}

/// When a record that is written ends.
///
/// ```
/// use std::time::Duration;
/// use token_session::store::compat::Life;
///
/// assert_ne!(Life::For(Duration::from_secs(60)), Life::Keep);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// When it would have ended.
    Keep,
    /// This long after it is written.
    For(Duration),
}

/// A page of the live records of a [`Backend`].
///
/// ```
/// use token_session::store::compat::Listed;
///
/// let empty = Listed { found: Vec::new(), next: None };
/// ```
#[derive(Debug)]
pub struct Listed {
    /// The records, each under its id.
    pub found: Vec<(String, Stored)>,
    /// Where to go on; `None` on the last page.
    pub next: Option<Cursor>,
}

#[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres"))]
impl Listed {
    /// Those of a query in the order of the ids, with such a limit.
    pub(super) fn by_id(found: Vec<(String, Stored)>, limit: usize) -> Self {
        let last = found.last().filter(|_| found.len() == limit);
        Self { next: last.map(|(id, _)| Cursor::new(id)), found }
    }
}

/// Shares the sessions of any [`Backend`]: its docs have an example.
#[derive(Clone, Debug)]
pub struct Shared<B> {
    backend: B,
    format: Format,
}

impl<B: Backend> Shared<B> {
    /// The sessions of a backend, in the shape in which the Node service writes them.
    pub fn new(backend: B, shape: Shape) -> Self {
        Self { backend, format: format::<B>(shape) }
    }
}

impl<B: Backend> Place for Shared<B> {
    type Backend = B;

    fn backend(&self) -> &B {
        &self.backend
    }

    fn format(&self) -> &Format {
        &self.format
    }
}

impl_store!([B: Backend] Shared<B>);
