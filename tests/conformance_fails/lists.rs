//! The faults of owners, of lists and of moves.

use token_session::store::{
    AtomicStore, Cursor, Listing, Moves, NewRecord, Owners, Page, Renamed, Renewal, Result,
    StoreError, StoreErrorKind,
};
use token_session::{Details, Key, Owner};

use crate::fault::Fault::*;
use crate::faulty::{FaultyStore, a_day, round_trip};

#[async_trait::async_trait]
impl Owners for FaultyStore {
    async fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Result<Page> {
        let owner = &self.owner(owner);
        let owned = |after, limit, with_data| self.inner.owned(owner, after, limit, with_data);
        Ok(match self.fault {
            OwnedIgnoresTheLimit => owned(after, 1_000, with_data),
            OwnedIgnoresTheCursor => owned(None, limit, with_data),
            OwnedIsOldestFirst => {
                let mut page = owned(after, limit, with_data);
                page.records.reverse();
                page
            }
            OwnedSkipsByNumber => {
                let skip = after.map_or(0, |cursor| cursor.as_bytes().len());
                let mut page = owned(None, skip + limit, with_data);
                page.records.drain(..skip.min(page.records.len()));
                page.next = page.next.map(|_| Cursor::new(vec![0; skip + limit]));
                page
            }
            OwnedLeavesOutAfterTheLimit => {
                // As if every second one had expired.
                let mut page = owned(after, limit, with_data);
                page.records.truncate(limit.div_ceil(2));
                page
            }
            OwnedHidesTheDetails => {
                let mut page = owned(after, limit, with_data);
                for (_, record) in &mut page.records {
                    record.details = Details::new();
                }
                page
            }
            OwnedAlwaysHasData => owned(after, limit, true),
            _ => owned(after, limit, with_data),
        })
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let owner = &self.owner(owner);
        let owned = self.inner.all_owned(owner);
        match self.fault {
            RemoveOwnedEndsOnePage => {
                let page = owned.iter().take(10);
                for (key, _) in page.filter(|(key, _)| Some(key) != keep) {
                    self.inner.take(key);
                }
            }
            RemoveOwnedKeepsNothing => self.inner.remove_owned(owner, None),
            RemoveOwnedKeepsStrangers => {
                if keep.is_none_or(|key| owned.iter().any(|(owned, _)| owned == key)) {
                    self.inner.remove_owned(owner, keep);
                }
            }
            RemoveOwnedLeavesTheOldest => {
                self.inner.remove_owned(owner, owned.last().map(|(key, _)| key));
            }
            RemoveOwnedEndsOthers => self.inner.clear(),
            RemoveOwnedWaitsForNone => loop {
                self.inner.remove_owned(owner, keep);
                round_trip().await;
                if self.inner.all_owned(owner).is_empty() {
                    break;
                }
            },
            RemoveOwnedWithoutSessionsFails if owned.is_empty() => {
                return Err(StoreError::new(StoreErrorKind::Corrupt, "no such owner"));
            }
            _ => self.inner.remove_owned(owner, keep),
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Listing for FaultyStore {
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let mut page = self.inner.scan(after, limit);
        match self.fault {
            ScanEndsEarly => page.next = None,
            ScanListsTwice => page.records.extend(page.records.clone()),
            ScanNeverEnds => page.next = Some(Cursor::new([0; Key::LEN])),
            _ => {}
        }
        Ok(page)
    }

    async fn count(&self) -> Result<u64> {
        Ok(self.inner.all().len() as u64 + u64::from(self.fault == CountIsOneMore))
    }

    async fn clear(&self) -> Result<()> {
        let first = self.inner.all().into_iter().next();
        self.inner.clear();
        if let Some((key, record)) = first.filter(|_| self.fault == ClearLeavesOne) {
            self.inner.put(&key, record);
        }
        Ok(())
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        Ok(match self.fault {
            SweepEndsTheLiving => {
                self.inner.clear();
                0
            }
            SweepIgnoresTheLimit => self.inner.sweep(usize::MAX),
            _ => self.inner.sweep(limit),
        })
    }
}

/// So it says, or codes could not be built on it.
impl AtomicStore for FaultyStore {}

#[async_trait::async_trait]
impl Moves for FaultyStore {
    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        let mut renewal = renewal;
        match (self.fault, self.inner.get(from)) {
            (RenameCopiesFirst, Some(before)) => {
                self.copy(&before, to);
                round_trip().await;
                self.inner.take(from);
                return Ok(Renamed::Done(before.meta));
            }
            (RenameRemovesFirst, Some(before)) => {
                self.inner.take(from);
                round_trip().await;
                self.copy(&before, to);
                return Ok(Renamed::Done(before.meta));
            }
            (RenameOverwrites, _) => drop(self.inner.take(to)),
            (RenameKeepsTheDeadline, _) => renewal = Renewal::Key,
            (RenameRenewsTheDeadline, _) => renewal = Renewal::Authentication,
            (RenameInserts, None) => {
                self.inner.insert(to, &NewRecord::new("", a_day()));
                return Ok(Renamed::Missing);
            }
            (RenameBeginsAnew, Some(before)) => {
                self.inner.take(from);
                self.copy(&before, to);
                return Ok(Renamed::Done(before.meta));
            }
            _ => {}
        }
        Ok(self.inner.rename(from, to, renewal))
    }
}
