//! [`Page`], a part of a list of records, and [`Cursor`], where the next one begins.

use std::fmt;

use bytes::Bytes;

use super::StoreError;
#[cfg(doc)]
use super::{Listing, Owners, StoreErrorKind};
use crate::key::Key;
use crate::record::Record;

/// Where a [scan](Listing::scan) or an [owner's list](Owners::owned) goes on. Only the store that made it
/// understands its bytes.
///
/// Never give it to a client: a store of `compat` may have put a session's id in it, which is its
/// token. That is why `Debug` shows none of the bytes.
///
/// ```
/// use token_session::store::Cursor;
///
/// let cursor = Cursor::new(*b"17");
/// assert_eq!(cursor.as_bytes(), b"17");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(Bytes);

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursor(…)")
    }
}

impl Cursor {
    /// A place that the store finds again by these bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(Bytes::copy_from_slice(bytes.as_ref()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A part of a list of records.
#[derive(Debug, Default)]
pub struct Page {
    /// The records.
    pub records: Vec<(Key, Record)>,
    /// One error of kind [`Corrupt`](StoreErrorKind::Corrupt) for each damaged record on this part;
    /// [`StoreError::key`] names it.
    pub damaged: Vec<StoreError>,
    /// Where to go on; `None` when this was the last page.
    pub next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_id_that_a_cursor_holds() {
        let next = Some(Cursor::new("zcM2Gl1Bi74mNZtjVhHvdCqfXrqsTD6F"));
        let page = Page { next, ..Page::default() };
        let shown = "Page { records: [], damaged: [], next: Some(Cursor(…)) }";
        assert_eq!(format!("{page:?}"), shown);
    }
}
