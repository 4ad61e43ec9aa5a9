//! What the server computes: its clock, what is alive, what a claim opens, and when a session ends.

use std::time::Duration;

use mongodb::bson::{Binary, Bson, Document, doc};

use super::document::{binary, millis, number};
use crate::proof::Claim;
use crate::store::{NewProof, NewRecord, Write};

/// The server's clock. It goes through a number because not every server that speaks MongoDB's protocol
/// can compare `$$NOW` with the dates in a document. `mongod` computes it once a command.
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

/// A filter: the claim is of the current secret.
pub(super) fn is_current(claim: &Claim) -> Document {
    doc! { "proof": { "$in": proofs(claim) } }
}

/// A filter: the claim is of the current secret, or of the previous one in time.
pub(super) fn is_open_to(claim: &Claim) -> Document {
    let until = doc! { "$add": ["$confirmed_at", millis(claim.grace())] };
    doc! { "$or": [
        is_current(claim),
        {
            "previous_proof": { "$in": proofs(claim) },
            "$or": [{ "confirmed_at": Bson::Null }, { "$expr": { "$gt": [until, now()] } }],
        },
    ] }
}

/// The stage that confirms a handover, if the claim is of the current secret and no other load has
/// confirmed it.
pub(super) fn confirmed_by(claim: &Claim) -> Document {
    let is_first = doc! { "$and": [
        { "$in": ["$proof", proofs(claim)] },
        { "$eq": [{ "$type": "$previous_proof" }, "binData"] },
        { "$ne": [{ "$type": "$confirmed_at" }, "date"] },
    ] };
    doc! { "$set": {
        "confirmed_at": { "$cond": [is_first.clone(), now(), "$confirmed_at"] },
        "sealed": { "$cond": [is_first, "$$REMOVE", "$sealed"] },
    } }
}

fn proofs(claim: &Claim) -> Vec<Binary> {
    claim.proofs().map(binary).collect()
}

/// The stage that sets `last_seen` to now if the last touch is at least this long ago. The caller has
/// seen that it is, but another touch may have come between.
pub(super) fn seen_if_due(interval: Duration) -> Document {
    let is_due = doc! { "$lte": [{ "$add": ["$last_seen", millis(interval)] }, now()] };
    doc! { "$set": { "last_seen": { "$cond": [is_due, now(), "$last_seen"] } } }
}

/// The last stage of every write sets the end of the session, and the time of the write: the answer to
/// a write is the document, without the server's clock. The sum is null if there is no idle timeout, and
/// the minimum of a null and a date is the date.
pub(super) fn expiry() -> Document {
    doc! { "$set": {
        "expires_at": { "$min": [{ "$add": ["$last_seen", "$idle_ms"] }, "$deadline"] },
        "written_at": now(),
    } }
}

/// The stages of a write: [`Record::write`](crate::Record::write) in MongoDB's language. Fields in one
/// stage are computed from what was there before it.
pub(super) fn written(write: &Write<'_>) -> Vec<Document> {
    let mut set = Document::new();
    if let Some(data) = &write.data {
        set.insert("data", binary(data));
    }
    if let Some(details) = write.details {
        let details = details.as_bytes();
        let kept = if details.is_empty() { "$$REMOVE".into() } else { binary(details).into() };
        set.insert::<_, Bson>("details", kept);
    }
    match &write.proof {
        None => {}
        Some(NewProof::Regenerated(next)) => {
            set.extend(doc! {
                "proof": binary(next.as_bytes()),
                "previous_proof": "$$REMOVE",
                "confirmed_at": "$$REMOVE",
                "sealed": "$$REMOVE",
            });
        }
        Some(NewProof::Rotated { next, sealed }) => {
            let has_proof = doc! { "$eq": [{ "$type": "$proof" }, "binData"] };
            set.extend(doc! {
                "proof": binary(next.as_bytes()),
                "previous_proof": "$proof",
                "confirmed_at": "$$REMOVE",
                "sealed": { "$cond": [has_proof, binary(sealed), "$$REMOVE"] },
            });
        }
    }
    if write.raises_version() {
        set.insert("version", doc! { "$add": ["$version", 1_i64] });
    }
    if write.restarts_idle_timeout() {
        // The clock of a new primary may be behind that of the old one.
        set.insert("last_seen", doc! { "$max": ["$last_seen", now()] });
    }
    if let Some(lifetime) = write.lifetime {
        set.insert("idle_ms", lifetime.idle_timeout().map(millis));
        set.insert("absolute_ms", lifetime.absolute_timeout().map(millis));
    }
    let mut stages = vec![doc! { "$set": set }];
    if write.restarts_absolute_timeout() {
        let mut set = doc! { "deadline": { "$add": ["$last_seen", "$absolute_ms"] } };
        if write.authenticated {
            set.insert("authenticated_at", "$last_seen");
        }
        stages.push(doc! { "$set": set });
    }
    stages.push(expiry());
    stages
}

/// A session that begins now, as an expression. It has no field for an owner or a proof that the record
/// lacks, because the partial indexes cover the documents that have the field.
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
    if let Some(proof) = &record.proof {
        session.insert("proof", binary(proof.as_bytes()));
    }
    if !record.details.as_bytes().is_empty() {
        session.insert("details", binary(record.details.as_bytes()));
    }
    if record.authenticated {
        session.insert("authenticated_at", now());
    }
    // Literally: a text that begins with `$` would be taken for a field.
    if let Some(owner) = record.owner {
        session.insert("owner", doc! { "$literal": owner.as_str() });
    }
    session
}
