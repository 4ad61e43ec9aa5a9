//! The faults of inserts and of writes of data.

use token_session::store::{Inserted, NewRecord, OwnerLimit, Replaced, Write};
use token_session::{Details, Key, Record};

use crate::fault::Fault::*;
use crate::faulty::{FaultyStore, a_day, as_text, round_trip};

/// A record like this one, which begins now.
fn like<'a>(record: &'a Record) -> NewRecord<'a> {
    NewRecord {
        owner: record.meta.owner.as_ref(),
        ..NewRecord::new(record.data.clone(), record.meta.lifetime)
    }
}

impl FaultyStore {
    pub async fn faulty_insert(&self, key: &Key, record: &NewRecord<'_>) -> Inserted {
        let owner = record.owner.map(|owner| self.owner(owner));
        let mut record = NewRecord { owner: owner.as_ref(), ..record.clone() };
        let owned = owner.as_ref().map(|owner| self.inner.all_owned(owner)).unwrap_or_default();
        let oldest = owned.last().map(|(key, _)| key.clone());
        let max = record.limit.map_or(usize::MAX, |limit| limit.max().get() as usize);
        let full = owned.len() >= max;
        match self.fault {
            InsertWritesTwice => {
                let answer = self.inner.insert(key, &record);
                self.inner.replace(key, &Write::data(record.data.clone()));
                return answer;
            }
            InsertOverwrites => drop(self.inner.take(key)),
            InsertListsLater if owner.is_some() => {
                self.inner.insert(key, &NewRecord { owner: None, ..record.clone() });
                round_trip().await;
                self.inner.take(key);
            }
            InsertLooksThenWrites => {
                if self.inner.get(key).is_some() {
                    return Inserted::KeyTaken;
                }
                round_trip().await;
                self.inner.take(key);
            }
            InsertCountsThenWrites => {
                round_trip().await;
                if full && !record.limit.is_some_and(OwnerLimit::evicts) {
                    return Inserted::OwnerFull;
                }
                record.limit = None;
            }
            InsertEvictsTheYoungest if full => {
                self.inner.take(&owned[0].0);
                record.limit = None;
            }
            InsertEvictsOneAtMost if full => {
                let evicted: Vec<Key> = oldest.into_iter().collect();
                for key in &evicted {
                    self.inner.take(key);
                }
                record.limit = None;
                self.inner.insert(key, &record);
                return Inserted::Done { evicted };
            }
            InsertEvictsBeforeItLooks if full => {
                if let Some(key) = oldest {
                    self.inner.take(&key);
                }
            }
            InsertEvictsDespitePolicy => {
                record.limit = record.limit.map(|limit| OwnerLimit::evict_oldest(limit.max()));
            }
            InsertForgetsTheDetails => record.details = Details::new(),
            InsertCutsTheDetails => {
                let bytes = record.details.as_bytes();
                record.details = Details::from_stored(bytes.slice(..bytes.len().min(255)));
            }
            InsertForgetsTheProof => record.proof = None,
            InsertForgetsTheOwner => record.owner = None,
            InsertKeepsText => record.data = as_text(&record.data),
            InsertCapsTheLifetime if record.lifetime.first() > a_day().first() => {
                record.lifetime = a_day();
            }
            InsertKeepsTheOldProof => {
                let old = self.inner.get_any(key).and_then(|old| old.proofs.current);
                record.proof = record.proof.or(old);
            }
            _ => {}
        }
        self.inner.insert(key, &record)
    }

    pub async fn faulty_replace(
        &self,
        key: &Key,
        mut write: Write<'_>,
        before: Option<Record>,
    ) -> Replaced {
        let no_details = Details::new();
        match (self.fault, before) {
            (ReplaceLooksThenWrites, Some(before)) => {
                let mut after = before.clone();
                let answer = after.write(&write, self.inner.now());
                if matches!(answer, Replaced::Done(_)) {
                    round_trip().await;
                    self.inner.put(key, after);
                }
                return answer;
            }
            (ReplaceInserts, None) => {
                let data = write.data.unwrap_or_default();
                self.inner.insert(key, &NewRecord::new(data, a_day()));
                return Replaced::Missing;
            }
            (ReplaceKeepsText, _) => write.data = write.data.map(|data| as_text(&data)),
            (ReplaceTouches, _) => write.touch = true,
            (ReplaceNeverTouches, _) => write.touch = false,
            (ReplaceKeepsTheLifetime, _) => write.lifetime = None,
            (ReplaceKeepsTheDeadline, Some(before)) if write.authenticated => {
                let answer = self.inner.replace(key, &write);
                self.inner.change(key, |record| record.meta.deadline = before.meta.deadline);
                return answer;
            }
            (ReplaceForgetsTheAuthentication, _) => {
                write.touch |= write.authenticated;
                write.authenticated = false;
            }
            (ReplaceIgnoresTheVersion, _) => write.expected = None,
            (ReplaceForgetsTheDetails, _) => write.details = None,
            (ReplaceClearsTheDetails, _) => write.details = write.details.or(Some(&no_details)),
            (ReplaceClearsTheData, _) => write.data = write.data.or(Some("".into())),
            (ReplaceDeniesWhatItWrote, Some(_)) if write.expected.is_some() => {
                self.inner.replace(key, &write);
                return Replaced::Conflict;
            }
            (ReplaceTellsTheEndBefore, Some(before)) => {
                let mut answer = self.inner.replace(key, &write);
                if let Replaced::Done(written) = &mut answer
                    && let Some(times) = &mut written.times
                {
                    times.expires_at = before.meta.expires_at();
                }
                return answer;
            }
            (ChangesAreLost, Some(mut before)) => return before.write(&write, self.inner.now()),
            (ReplaceWritesDataLast, Some(before)) if write.data.is_some() => {
                let first = Write { data: Some(before.data), ..write.clone() };
                let answer = self.inner.replace(key, &first);
                round_trip().await;
                let data = write.data.unwrap_or_default();
                self.inner.change(key, |record| record.data = data);
                return answer;
            }
            _ => {}
        }
        self.inner.replace(key, &write)
    }

    /// Makes a copy of a record under another key.
    pub fn copy(&self, record: &Record, to: &Key) {
        self.inner.insert(to, &like(record));
    }
}
