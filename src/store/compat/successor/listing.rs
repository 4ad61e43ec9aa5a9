//! How a [`Successor`] goes through what the two stores have.

use super::moving::can_be_presented;
use super::{Successor, refused};
use crate::key::Key;
use crate::record::Record;
use crate::store::{Cursor, Listing, Page, Result};

/// How many sessions of the old store are looked at in one go.
const PAGE: usize = 500;

/// Whose page a cursor goes on with, as its first byte.
const OLD: u8 = b'o';
pub(super) const NEW: u8 = b'n';

#[async_trait::async_trait]
impl Listing for Successor {
    /// The old store's first. A session that moves meanwhile may be listed twice.
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let (store, place) = match after.map(|after| after.as_bytes().split_first()) {
            None => (OLD, None),
            Some(Some((store, []))) => (*store, None),
            Some(Some((store, place))) => (*store, Some(Cursor::new(place))),
            Some(None) => {
                let message = "the cursor is not one of this store; begin the scan without one";
                return Err(refused(message));
            }
        };
        let mut page = if store == OLD {
            self.page_of_old(place.as_ref(), limit).await?
        } else {
            self.new.scan(place.as_ref(), limit).await?
        };
        page.next = match page.next {
            Some(next) => Some(Cursor::new([&[store], next.as_bytes()].concat())),
            None if store == OLD => Some(Cursor::new([NEW])),
            None => None,
        };
        Ok(page)
    }

    async fn count(&self) -> Result<u64> {
        Ok(self.old.count().await? + self.new.count().await?)
    }

    async fn clear(&self) -> Result<()> {
        self.old.clear().await?;
        self.new.clear().await
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        let swept = self.old.sweep(limit).await?;
        Ok(swept + self.new.sweep(limit - swept.min(limit)).await?)
    }
}

impl Successor {
    /// A page of what the old store has. A session of which only a note is left there leaves.
    async fn page_of_old(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let page = self.old.scan(after, limit).await?;
        let mut records = Vec::with_capacity(page.records.len());
        for (key, mut record) in page.records {
            if self.arrive(&key, &record).await?.is_none() {
                if can_be_presented(&key) {
                    record.meta.owner = self.owner_of(&record);
                }
                records.push((key, record));
            }
        }
        Ok(Page { records, ..page })
    }

    /// What the old store has, a page at a time, until the visitor has seen enough. `None`: it is
    /// damaged.
    pub(super) async fn visit_old(
        &self,
        mut visit: impl FnMut(Key, Option<Record>) -> bool + Send,
    ) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.page_of_old(after.as_ref(), PAGE).await?;
            let damaged =
                page.damaged.iter().filter_map(|error| Some((error.key()?.clone(), None)));
            let sound = page.records.into_iter().map(|(key, record)| (key, Some(record)));
            for (key, record) in sound.chain(damaged) {
                if !visit(key, record) {
                    return Ok(());
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// The key with the session's id, if the old store has the session.
    pub(super) async fn with_id(&self, key: &Key) -> Result<Option<Key>> {
        let mut with_id = None;
        let find = |found: Key, _| {
            with_id = Some(found).filter(|found| found == key);
            with_id.is_none()
        };
        self.visit_old(find).await?;
        Ok(with_id)
    }
}
