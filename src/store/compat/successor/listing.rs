//! How a [`Successor`] goes through what the old store has.

use super::moving::can_be_presented;
use super::{NodeStore, Successor};
use crate::key::Key;
use crate::record::Record;
use crate::store::{AtomicStore, Cursor, Page, Result};

/// How many sessions of the old store are looked at in one go.
const PAGE: usize = 500;

impl<New: AtomicStore, Old: NodeStore> Successor<New, Old> {
    /// A page of what the old store has. What has but a note there leaves.
    pub(super) async fn page_of_old(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
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
}
