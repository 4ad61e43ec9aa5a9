//! Rows of a query, as records.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sqlx::{Column, ColumnIndex, Decode, Row, Type};

use crate::event::Listeners;
use crate::key::Key;
use crate::proof::Proof;
use crate::record::{Details, Lifetime, Meta, Owner, Record, Timestamp, Version};
use crate::store::{Cursor, Page, Previous, Proofs, Result, StoreError, StoreErrorKind};

/// The columns of a row, in the few types that a record has.
pub(in crate::store) trait Columns {
    fn number(&self, column: usize) -> Result<i64, Unreadable>;
    fn optional_number(&self, column: usize) -> Result<Option<i64>, Unreadable>;
    fn text(&self, column: usize) -> Result<Option<String>, Unreadable>;
    fn bytes(&self, column: usize) -> Result<Option<Vec<u8>>, Unreadable>;
}

/// The error for a column without a value of the expected type.
#[derive(Debug)]
pub(in crate::store) enum Unreadable {
    /// The table is not as the migration made it.
    Column(sqlx::Error),
    /// This row is damaged.
    Value(sqlx::Error),
}

impl<R: Row> Columns for R
where
    usize: ColumnIndex<R>,
    i64: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    String: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    Vec<u8>: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    Option<i64>: Type<R::Database>,
    Option<String>: Type<R::Database>,
    Option<Vec<u8>>: Type<R::Database>,
{
    fn number(&self, column: usize) -> Result<i64, Unreadable> {
        value(self, column)
    }

    fn optional_number(&self, column: usize) -> Result<Option<i64>, Unreadable> {
        value(self, column)
    }

    fn text(&self, column: usize) -> Result<Option<String>, Unreadable> {
        value(self, column)
    }

    fn bytes(&self, column: usize) -> Result<Option<Vec<u8>>, Unreadable> {
        value(self, column)
    }
}

/// SQLite lets a column of one type hold a value of another. So the type of the column tells whether the
/// table or the row is wrong.
fn value<R, T>(row: &R, column: usize) -> Result<T, Unreadable>
where
    R: Row,
    usize: ColumnIndex<R>,
    T: for<'r> Decode<'r, R::Database> + Type<R::Database>,
{
    row.try_get(column).map_err(|error| {
        let ours = row.columns().get(column).map(Column::type_info);
        match error {
            sqlx::Error::ColumnDecode { .. } if ours.is_some_and(|ours| T::compatible(ours)) => {
                Unreadable::Value(error)
            }
            error => Unreadable::Column(error),
        }
    })
}

impl Unreadable {
    /// As an error about the record under `key`.
    fn of(self, key: &Key) -> StoreError {
        match self {
            Self::Column(error) => not_ours(error),
            Self::Value(error) => {
                StoreError::corrupt(key, "a column holds no value of its type").with_source(error)
            }
        }
    }
}

impl From<Unreadable> for StoreError {
    fn from((Unreadable::Column(error) | Unreadable::Value(error)): Unreadable) -> Self {
        not_ours(error)
    }
}

/// The idle and the absolute timeout, in the milliseconds of their columns.
pub(in crate::store) fn timeouts(lifetime: &Lifetime) -> (Option<i64>, Option<i64>) {
    (lifetime.idle_timeout().map(millis), lifetime.absolute_timeout().map(millis))
}

/// Ten times a touch interval in milliseconds. A statement compares ten times the time since the last touch
/// with it, and with the idle timeout ([`Lifetime::touch_due`]), so nothing is rounded.
pub(in crate::store) fn ten_intervals(interval: Duration) -> i64 {
    i64::try_from(interval.saturating_mul(10).as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

/// The `LIMIT` of a query.
pub(in crate::store) fn row_limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// A span of time in the milliseconds of a column.
pub(in crate::store) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// The key in a column.
pub(in crate::store) fn key(row: &impl Columns, column: usize) -> Result<Key> {
    let bytes = row.bytes(column)?.unwrap_or_default();
    let bytes = <[u8; Key::LEN]>::try_from(bytes.as_slice()).map_err(|_| {
        StoreError::new(
            StoreErrorKind::Corrupt,
            format!("the sessions table has a key of {} bytes; a key has 16", bytes.len()),
        )
    })?;
    Ok(Key::from_bytes(bytes))
}

/// The version in a column: the bits of its signed number.
pub(in crate::store) fn version(row: &impl Columns, column: usize) -> Result<Version> {
    Ok(Version::from_u64(number(row, column)?.cast_unsigned()))
}

/// The number in a column.
pub(in crate::store) fn number(row: &impl Columns, column: usize) -> Result<i64> {
    Ok(row.number(column)?)
}

/// How many columns there are between the first of a [`record`] and its data.
pub(in crate::store) const COLUMNS_BEFORE_DATA: usize = 14;

/// The record in the columns from `first`: version, idle_ms, absolute_ms, created_at, last_seen,
/// deadline, authenticated_at, owner, proof, previous_proof, confirmed_at, sealed, details, the server's
/// clock, and, if `with_data`, the data.
pub(in crate::store) fn record(
    row: &impl Columns,
    first: usize,
    key: &Key,
    with_data: bool,
) -> Result<Record> {
    let bytes = |column| row.bytes(first + column).map_err(|unreadable| unreadable.of(key));
    let data = if with_data { bytes(COLUMNS_BEFORE_DATA)?.unwrap_or_default() } else { Vec::new() };
    Ok(Record {
        data: Bytes::from(data),
        details: Details::from_stored(bytes(12)?.unwrap_or_default().into()),
        proofs: proofs(row, first + 8, key)?,
        meta: meta(row, first, key)?,
    })
}

/// The proofs in the four columns from `first`.
fn proofs(row: &impl Columns, first: usize, key: &Key) -> Result<Proofs> {
    let bytes = |column| row.bytes(first + column).map_err(|unreadable| unreadable.of(key));
    let proof = |column| -> Result<Option<Proof>> {
        let proof = bytes(column)?.map(<[u8; Proof::LEN]>::try_from).transpose();
        let damaged = |_| StoreError::corrupt(key, "a proof does not have 33 bytes");
        Ok(proof.map_err(damaged)?.map(Proof::from_bytes))
    };
    let previous = match proof(1)? {
        Some(proof) => {
            let confirmed_at = row.optional_number(first + 2).map_err(|found| found.of(key))?;
            let confirmed_at = confirmed_at.map(|millis| time(millis, key)).transpose()?;
            Some(Previous { proof, confirmed_at, sealed: bytes(3)?.map(Bytes::from) })
        }
        None => None,
    };
    Ok(Proofs { current: proof(0)?, previous })
}

/// A page of a list, from rows of a key and a [`record`]. Fewer rows than `limit` are the last ones;
/// otherwise the next page begins after the last row, whose place `cursor` gives.
pub(in crate::store) fn page<C: Columns>(
    rows: &[C],
    limit: usize,
    with_data: bool,
    listeners: &Listeners,
    cursor: impl Fn(&C) -> Result<Cursor>,
) -> Result<Page> {
    let read = rows.iter().map(|row| {
        let key = key(row, 0)?;
        let record = record(row, 1, &key, with_data)?;
        Ok((key, record))
    });
    let (records, damaged) = listeners.readable(read)?;
    // The last row counts even if it is damaged, so the list goes on after it.
    let last = rows.last().filter(|_| rows.len() == limit);
    Ok(Page { records, damaged, next: last.map(cursor).transpose()? })
}

/// The cursor of a list in the order of the keys.
pub(in crate::store) fn key_cursor(row: &impl Columns) -> Result<Cursor> {
    Ok(Cursor::new(row.bytes(0)?.unwrap_or_default()))
}

/// The cursor of a list in the order of `created_at` and the keys.
pub(in crate::store) fn age_cursor(row: &impl Columns) -> Result<Cursor> {
    let mut bytes = number(row, 1 + 3)?.to_be_bytes().to_vec();
    bytes.extend(row.bytes(0)?.unwrap_or_default());
    Ok(Cursor::new(bytes))
}

/// The parts of an [`age_cursor`]: `created_at`, and the bytes of the key.
pub(in crate::store) fn age_of(cursor: &Cursor) -> Result<(i64, &[u8])> {
    let (age, key) = cursor.as_bytes().split_first_chunk().ok_or_else(|| {
        let message = "the cursor is not one of an owner's list; begin the list without one";
        StoreError::new(StoreErrorKind::Refused, message)
    })?;
    Ok((i64::from_be_bytes(*age), key))
}

/// What goes with the data: the columns of a [`record`] from `first`.
fn meta(row: &impl Columns, first: usize, key: &Key) -> Result<Meta> {
    let damaged = |what: &dyn fmt::Display| StoreError::corrupt(key, what);
    let number = |column| row.number(first + column).map_err(|unreadable| unreadable.of(key));
    let optional =
        |column| row.optional_number(first + column).map_err(|unreadable| unreadable.of(key));
    let text = |column| row.text(first + column).map_err(|unreadable| unreadable.of(key));
    let time = |millis| time(millis, key);
    let timeout = |millis: Option<i64>| {
        millis
            .map(|millis| u64::try_from(millis).map(Duration::from_millis))
            .transpose()
            .map_err(|_| damaged(&"a negative timeout"))
    };
    let lifetime = Lifetime::of(timeout(optional(1)?)?, timeout(optional(2)?)?);
    Ok(Meta {
        version: Version::from_u64(number(0)?.cast_unsigned()),
        lifetime: lifetime.map_err(|error| damaged(&error))?,
        created_at: time(number(3)?)?,
        last_seen: time(number(4)?)?,
        deadline: optional(5)?.map(time).transpose()?,
        authenticated_at: optional(6)?.map(time).transpose()?,
        owner: text(7)?.map(Owner::from_stored).transpose().map_err(|error| damaged(&error))?,
        now: time(number(13)?)?,
    })
}

/// The time that a column of the record under `key` has.
pub(in crate::store) fn time(millis: i64, key: &Key) -> Result<Timestamp> {
    u64::try_from(millis)
        .map(Timestamp::from_millis)
        .map_err(|_| StoreError::corrupt(key, "a time before 1970"))
}

/// A column that is missing or has another type: the table is not as the migration made it.
fn not_ours(error: sqlx::Error) -> StoreError {
    StoreError::new(
        StoreErrorKind::Refused,
        "the sessions table does not have the columns of this version; run migrate(), or the SQL files \
         that come with this crate, on a table of its own",
    )
    .with_source(error)
}
