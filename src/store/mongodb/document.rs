//! How a document holds a record.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document};

use crate::key::Key;
use crate::proof::Proof;
use crate::record::{Details, Lifetime, Meta, Owner, Record, Timestamp, Version};
use crate::store::{Previous, Proofs, Result, StoreError, StoreErrorKind, Times, Written};

/// Bytes, as a document keeps them.
pub(super) fn binary(bytes: &[u8]) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() }
}

/// A timeout in milliseconds, at most the longest lifetime: the server can add that to its clock.
pub(super) fn millis(timeout: Duration) -> i64 {
    i64::try_from(timeout.min(Lifetime::MAX).as_millis()).unwrap_or(i64::MAX)
}

/// The version's bits, as a document keeps them.
pub(super) fn number(version: Version) -> i64 {
    version.get().cast_signed()
}

/// The key of a document in a list.
pub(super) fn key(document: &Document) -> Result<Key> {
    match document.get("key") {
        Some(Bson::Binary(Binary { bytes, .. })) => bytes.as_slice().try_into().ok(),
        _ => None,
    }
    .map(Key::from_bytes)
    .ok_or_else(|| {
        let message = "MongoDB has a document without a key of 16 bytes among the sessions; give the \
                       store a collection of its own";
        StoreError::new(StoreErrorKind::Corrupt, message)
    })
}

/// The record in a document. Its data is empty where it was not asked for.
pub(super) fn record(key: &Key, mut document: Document, with_data: bool) -> Result<Record> {
    let meta = meta(key, &document)?;
    let proofs = proofs(key, &mut document)?;
    let details = bytes(key, &mut document, "details")?.map(Details::from_stored);
    let data = if with_data {
        bytes(key, &mut document, "data")?
            .ok_or_else(|| StoreError::corrupt(key, "it has no data"))?
    } else {
        Bytes::new()
    };
    Ok(Record { data, details: details.unwrap_or_default(), proofs, meta })
}

/// The version and the times in the answer to a write.
pub(super) fn written(key: &Key, document: &Document) -> Result<Written> {
    let fields = Fields { key, document };
    let (now, expires_at) = (fields.some_time("written_at")?, fields.some_time("expires_at")?);
    Ok(Written { version: fields.version()?, times: Some(Times { now, expires_at }) })
}

/// What goes with the data of a session. An answer to a read has the clock in `now`. The answer to a
/// write is the document itself, and has the time of the write.
fn meta(key: &Key, document: &Document) -> Result<Meta> {
    let fields = Fields { key, document };
    let lifetime = Lifetime::of(fields.timeout("idle_ms")?, fields.timeout("absolute_ms")?);
    let last_seen = fields.some_time("last_seen")?;
    let now = match fields.time("now")? {
        None => fields.time("written_at")?,
        now => now,
    };
    Ok(Meta {
        version: fields.version()?,
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
        now: now.map_or(last_seen, |now| now.max(last_seen)),
    })
}

fn proofs(key: &Key, document: &mut Document) -> Result<Proofs> {
    let current = proof(key, document, "proof")?;
    let previous = match proof(key, document, "previous_proof")? {
        Some(proof) => {
            let sealed = bytes(key, document, "sealed")?;
            let confirmed_at = Fields { key, document }.time("confirmed_at")?;
            Some(Previous { proof, confirmed_at, sealed })
        }
        None => None,
    };
    Ok(Proofs { current, previous })
}

fn proof(key: &Key, document: &mut Document, name: &str) -> Result<Option<Proof>> {
    let Some(bytes) = bytes(key, document, name)? else {
        return Ok(None);
    };
    let proof = <[u8; Proof::LEN]>::try_from(&bytes[..]).map(Proof::from_bytes);
    proof.map(Some).map_err(|_| {
        let len = bytes.len();
        StoreError::corrupt(key, format_args!("its {name} has {len} bytes, not {}", Proof::LEN))
    })
}

/// Moves bytes out of a document. Only of the generic subtype: to the server, the same bytes of another
/// subtype are not equal.
fn bytes(key: &Key, document: &mut Document, name: &str) -> Result<Option<Bytes>> {
    match document.remove(name) {
        None | Some(Bson::Null) => Ok(None),
        Some(Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes })) => {
            Ok(Some(bytes.into()))
        }
        Some(_) => {
            let what = format_args!("its {name} is not binary data of the generic subtype");
            Err(StoreError::corrupt(key, what))
        }
    }
}

struct Fields<'a> {
    key: &'a Key,
    document: &'a Document,
}

impl<'a> Fields<'a> {
    fn version(&self) -> Result<Version> {
        let number = self.number("version")?.ok_or_else(|| self.damaged("it has no version"))?;
        Ok(Version::from_u64(number.cast_unsigned()))
    }

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

    /// A field, in the type that it has to be of. `None` where it is null, as a sum of nothing is.
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
