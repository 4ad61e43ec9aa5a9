//! Cursors: the place of a document in an index. It works for the values of damaged documents too.

use mongodb::bson::{self, Bson, Document};

use crate::store::{Cursor, Result, StoreError, StoreErrorKind};

/// Where a list goes on after a document: behind its values of the two fields that the list is
/// ordered by.
pub(super) fn behind(document: &Document, fields: [&str; 2]) -> Result<Cursor> {
    let value = |name| document.get(name).cloned().unwrap_or(Bson::Null);
    let place: Document = fields.map(|name| (name.to_owned(), value(name))).into_iter().collect();
    let bytes = bson::to_vec(&place).map_err(|error| {
        let message = "MongoDB has a document among the sessions that cannot be a place in a list";
        StoreError::new(StoreErrorKind::Corrupt, message).with_source(error)
    })?;
    Ok(Cursor::new(bytes))
}

/// The values that a cursor was made of.
pub(super) fn place(cursor: &Cursor, fields: [&str; 2]) -> Result<[Bson; 2]> {
    let place = bson::from_slice::<Document>(cursor.as_bytes()).ok();
    let value = |name| place.as_ref()?.get(name).cloned();
    match fields.map(value) {
        [Some(first), Some(second)] => Ok([first, second]),
        _ => {
            let message = "the cursor is not one of this list in MongoDB; begin the list anew";
            Err(StoreError::new(StoreErrorKind::Refused, message))
        }
    }
}
