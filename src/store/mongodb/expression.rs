//! What the server computes: its clock, what is alive, and when a session ends.

use std::time::Duration;

use mongodb::bson::{Document, doc};

use super::document::{binary, millis, number};
use crate::record::Lifetime;
use crate::store::NewRecord;

/// The server's clock. By way of a number, because not every server that speaks MongoDB's protocol
/// compares the date with those in a document; `mongod` makes one constant of it.
pub(super) fn now() -> Document {
    doc! { "$toDate": { "$toLong": "$$NOW" } }
}

/// Not expired.
pub(super) fn is_live() -> Document {
    doc! { "$gt": ["$expires_at", now()] }
}

/// Expired.
pub(super) fn is_expired() -> Document {
    doc! { "$lte": ["$expires_at", now()] }
}

/// The stage that makes a session seen now. The clock of a new primary may be behind that of the old
/// one.
pub(super) fn seen_now() -> Document {
    doc! { "$set": { "last_seen": { "$max": ["$last_seen", now()] } } }
}

/// The stage that makes a session seen now if its last touch is so long ago. The caller has found
/// that it is; but another touch may have come first.
pub(super) fn seen_if_due(interval: Duration) -> Document {
    let is_due = doc! { "$lte": [{ "$add": ["$last_seen", millis(interval)] }, now()] };
    doc! { "$set": { "last_seen": { "$cond": [is_due, now(), "$last_seen"] } } }
}

/// The stage that counts the deadline from when the session was last seen.
pub(super) fn deadline_from_last_seen() -> Document {
    doc! { "$set": { "deadline": { "$add": ["$last_seen", "$absolute_ms"] } } }
}

/// The stage that says when a session ends: the sum is null where there is no idle timeout, and the
/// least of a null and a date is the date.
pub(super) fn expiry() -> Document {
    doc! { "$set": {
        "expires_at": { "$min": [{ "$add": ["$last_seen", "$idle_ms"] }, "$deadline"] },
    } }
}

/// The stage that writes data over a session's, and counts it.
pub(super) fn written(data: &[u8]) -> Document {
    doc! { "$set": { "data": binary(data), "version": one_more_version() } }
}

/// The stage that gives a session another lifetime.
pub(super) fn with_lifetime(lifetime: &Lifetime) -> Document {
    doc! { "$set": {
        "idle_ms": lifetime.idle_timeout().map(millis),
        "absolute_ms": lifetime.absolute_timeout().map(millis),
    } }
}

/// The stage that moves a session to another key, and counts it.
pub(super) fn moved(to: Document) -> Document {
    let mut changes = to;
    changes.insert("version", one_more_version());
    doc! { "$set": changes }
}

/// A session that begins now, as an expression. The fields that a record has not are not there at
/// all, as the partial indexes want it.
pub(super) fn new_session(under: Document, record: &NewRecord<'_>) -> Document {
    let lifetime = record.lifetime;
    let mut session = under;
    session.extend(doc! {
        "version": number(record.version),
        "idle_ms": lifetime.idle_timeout().map(millis),
        "absolute_ms": lifetime.absolute_timeout().map(millis),
        "created_at": now(),
        "last_seen": now(),
        "deadline": { "$add": [now(), lifetime.absolute_timeout().map(millis)] },
        "expires_at": { "$add": [now(), millis(lifetime.first())] },
        "data": binary(&record.data),
    });
    if record.authenticated {
        session.insert("authenticated_at", now());
    }
    // Literally: a text that begins with `$` would be taken for a field.
    if let Some(owner) = record.owner {
        session.insert("owner", doc! { "$literal": owner.as_str() });
    }
    if let Some(label) = record.label {
        session.insert("label", doc! { "$literal": label.as_str() });
    }
    session
}

fn one_more_version() -> Document {
    doc! { "$add": ["$version", 1_i64] }
}
