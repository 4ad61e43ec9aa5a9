//! Documents, as records.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document};

use crate::key::Key;
use crate::record::{Label, Lifetime, Meta, Owner, Record, Timestamp, Version};
use crate::store::{Result, StoreError, StoreErrorKind};

/// Bytes, as a document keeps them.
pub(super) fn binary(bytes: &[u8]) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() }
}

/// A timeout in milliseconds.
pub(super) fn millis(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX)
}

/// The version's bits, as a document keeps them.
pub(super) fn number(version: Version) -> i64 {
    version.get().cast_signed()
}

/// The key of a document in a list.
pub(super) fn key(document: &Document) -> Result<Key> {
    match document.get("key") {
        Some(Bson::Binary(Binary { bytes, .. })) => <[u8; 32]>::try_from(bytes.as_slice()).ok(),
        _ => None,
    }
    .map(Key::from_bytes)
    .ok_or_else(|| {
        let message = "MongoDB has a document without a key of 32 bytes among the sessions; give the \
                       store a collection of its own";
        StoreError::new(StoreErrorKind::Corrupt, message)
    })
}

/// The version in a document.
pub(super) fn version(key: &Key, document: &Document) -> Result<Version> {
    let number = Fields { key, document }.number("version")?;
    number
        .map(|number| Version::from_u64(number.cast_unsigned()))
        .ok_or_else(|| StoreError::corrupt(key, "it has no version"))
}

/// The record in a document.
pub(super) fn record(key: &Key, mut document: Document) -> Result<Record> {
    let meta = meta(key, &document)?;
    match document.remove("data") {
        Some(Bson::Binary(Binary { bytes, .. })) => Ok(Record { data: Bytes::from(bytes), meta }),
        _ => Err(StoreError::corrupt(key, "it has no data")),
    }
}

/// What goes with the data of a session. Where the answer has no `now`, the session was seen now.
pub(super) fn meta(key: &Key, document: &Document) -> Result<Meta> {
    let fields = Fields { key, document };
    let lifetime = match (fields.timeout("idle_ms")?, fields.timeout("absolute_ms")?) {
        (Some(idle), None) => Lifetime::idle(idle),
        (None, Some(absolute)) => Lifetime::absolute(absolute),
        (Some(idle), Some(absolute)) => {
            Lifetime::idle(idle).and_then(|lifetime| lifetime.and_absolute(absolute))
        }
        (None, None) => return Err(fields.damaged("it has no timeout")),
    };
    let last_seen = fields.some_time("last_seen")?;
    Ok(Meta {
        version: version(key, document)?,
        lifetime: lifetime.map_err(|error| fields.damaged(error))?,
        created_at: fields.some_time("created_at")?,
        last_seen,
        deadline: fields.time("deadline")?,
        authenticated_at: fields.time("authenticated_at")?,
        owner: fields
            .text("owner")?
            .map(Owner::from_stored)
            .transpose()
            .map_err(|error| fields.damaged(error))?,
        label: fields
            .text("label")?
            .map(Label::new)
            .transpose()
            .map_err(|error| fields.damaged(error))?,
        now: fields.time("now")?.map_or(last_seen, |now| now.max(last_seen)),
    })
}

struct Fields<'a> {
    key: &'a Key,
    document: &'a Document,
}

impl<'a> Fields<'a> {
    fn number(&self, name: &str) -> Result<Option<i64>> {
        self.field(name, Bson::as_i64)
    }

    fn timeout(&self, name: &str) -> Result<Option<Duration>> {
        let millis = self.number(name)?.map(u64::try_from).transpose();
        let millis = millis.map_err(|_| self.damaged(format_args!("its {name} is negative")))?;
        Ok(millis.map(Duration::from_millis))
    }

    fn time(&self, name: &str) -> Result<Option<Timestamp>> {
        let date: Option<&DateTime> = self.field(name, Bson::as_datetime)?;
        let millis = date.map(|date| u64::try_from(date.timestamp_millis())).transpose();
        let millis = millis.map_err(|_| self.damaged(format_args!("its {name} is before 1970")))?;
        Ok(millis.map(Timestamp::from_millis))
    }

    fn some_time(&self, name: &str) -> Result<Timestamp> {
        self.time(name)?.ok_or_else(|| self.damaged(format_args!("it has no {name}")))
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>> {
        self.field(name, Bson::as_str)
    }

    /// A field, as what it has to be: none where it is null, as a sum with nothing in it is.
    fn field<T>(&self, name: &str, read: impl Fn(&'a Bson) -> Option<T>) -> Result<Option<T>> {
        match self.document.get(name) {
            None | Some(Bson::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| {
                let kind = value.element_type();
                self.damaged(format_args!("its {name} is of type {kind:?}"))
            }),
        }
    }

    fn damaged(&self, what: impl fmt::Display) -> StoreError {
        StoreError::corrupt(self.key, what)
    }
}
