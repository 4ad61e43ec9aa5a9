//! [`Entry`], what the map holds under a key, and [`Epoch`], which ends all entries of an owner at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::owners::Added;
use super::slots::Slot;
use crate::record::{Details, Owner, Record, Timestamp};
use crate::store::NewRecord;

/// A record. It never changes: a writer puts a changed copy in its place, so a reader sees all of a
/// write or nothing.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) record: Record,
    pub(super) epoch: Option<Arc<Epoch>>,
    /// Its time in the expiry queue. After a touch the record ends later than that.
    pub(super) queued: Timestamp,
    /// Its turn on its owner's list; `None` without an owner.
    pub(super) turn: u64,
    /// Its place in the expiry queue's shard.
    pub(super) slot: Slot,
}

/// An owner's sessions from one call of `remove_owned` to the next. Ending it ends them all in one
/// write.
pub(super) struct Epoch {
    ended: AtomicBool,
}

impl Epoch {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { ended: AtomicBool::new(false) })
    }

    pub(super) fn end(&self) {
        // Every load that starts after this call sees it, on any core.
        self.ended.store(true, Ordering::SeqCst);
    }
}

impl Entry {
    /// A record that begins now, or when its owner's list says. It has no slot yet.
    pub(super) fn new(record: &NewRecord<'_>, added: Option<Added>, now: Timestamp) -> Self {
        let (now, turn, epoch) = match added {
            Some(Added { epoch, turn, began }) => (began, turn, Some(epoch)),
            None => (now, 0, None),
        };
        let mut record = Record::begun(record, now);
        record.data = copied(&record.data);
        record.details = Details::from_stored(copied(record.details.as_bytes()));
        let queued = record.meta.expires_at();
        Self { record, epoch, queued, turn, slot: Slot::default() }
    }

    pub(super) fn owner(&self) -> Option<&Owner> {
        self.record.meta.owner.as_ref()
    }

    pub(super) fn is_in(&self, epoch: &Arc<Epoch>) -> bool {
        self.epoch.as_ref().is_some_and(|own| Arc::ptr_eq(own, epoch))
    }

    pub(super) fn expires_at(&self) -> Timestamp {
        self.record.meta.expires_at()
    }

    /// Whether its epoch was ended, with all sessions of its owner.
    pub(super) fn has_ended(&self) -> bool {
        self.epoch.as_ref().is_some_and(|epoch| epoch.ended.load(Ordering::SeqCst))
    }

    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.record.is_live(now) && !self.has_ended()
    }

    pub(super) fn requeued(self) -> Self {
        Self { queued: self.expires_at(), ..self }
    }

    pub(super) fn in_epoch(&self, epoch: &Arc<Epoch>) -> Self {
        Self { epoch: Some(epoch.clone()), ..self.clone() }
    }

    /// The record as an answer shows it now.
    pub(super) fn answered(&self, with_data: bool, now: Timestamp) -> Record {
        let mut record = self.record.clone();
        record.meta.now = now;
        if !with_data {
            record.data = Bytes::new();
        }
        record
    }
}

/// The same bytes in a buffer of their own, so a short slice does not keep a large buffer alive.
pub(super) fn copied(data: &Bytes) -> Bytes {
    Bytes::copy_from_slice(data)
}
