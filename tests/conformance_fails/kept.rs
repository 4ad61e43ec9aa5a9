//! [`Kept`]: records in a map, and the reference arithmetic of the contract. What is right of a faulty
//! store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use token_session::store::{
    Clock, Condition, Cursor, Found, Inserted, Load, ManualClock, NewRecord, Page, Removed,
    Renamed, Renewal, Replaced, Write,
};
use token_session::{Key, Meta, Owner, Record, Timestamp, Version};

/// A store without a fault, whose records can be read and written past the contract too.
pub struct Kept {
    clock: ManualClock,
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    /// How many were inserted: what began later has a higher number, within one moment too.
    inserted: u64,
    kept: BTreeMap<Key, (u64, Record)>,
}

impl Records {
    fn owned(&self, owner: &Owner, now: Timestamp) -> Vec<(u64, Key, Record)> {
        let mut owned: Vec<_> = self
            .kept
            .iter()
            .filter(|(_, (_, record))| record.meta.owner.as_ref() == Some(owner))
            .filter(|(_, (_, record))| record.is_live(now))
            .map(|(key, (number, record))| (*number, key.clone(), record.clone()))
            .collect();
        owned.sort_by_key(|(number, ..)| std::cmp::Reverse(*number));
        owned
    }
}

impl Kept {
    pub fn new(clock: ManualClock) -> Self {
        Self { clock, records: Mutex::default() }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().expect("no test has failed under the lock")
    }

    /// The record, also one that has expired.
    pub fn get_any(&self, key: &Key) -> Option<Record> {
        self.lock().kept.get(key).map(|(_, record)| record.clone())
    }

    pub fn get(&self, key: &Key) -> Option<Record> {
        let now = self.now();
        let record = self.get_any(key).filter(|record| record.is_live(now))?;
        Some(Record { meta: Meta { now, ..record.meta }, ..record })
    }

    pub fn put(&self, key: &Key, record: Record) {
        let mut records = self.lock();
        records.inserted += 1;
        let number = records.inserted;
        records.kept.insert(key.clone(), (number, record));
    }

    pub fn take(&self, key: &Key) -> Option<Record> {
        self.remove(key, Condition::Always, true).record()
    }

    /// Changes a live record in place.
    pub fn change<T>(&self, key: &Key, change: impl FnOnce(&mut Record) -> T) -> Option<T> {
        let (mut records, now) = (self.lock(), self.now());
        let (_, record) = records.kept.get_mut(key).filter(|(_, record)| record.is_live(now))?;
        Some(change(record))
    }

    pub fn insert(&self, key: &Key, new: &NewRecord<'_>) -> Inserted {
        let (mut records, now) = (self.lock(), self.now());
        if records.kept.get(key).is_some_and(|(_, record)| record.is_live(now)) {
            return Inserted::KeyTaken;
        }
        let mut evicted = Vec::new();
        if let (Some(owner), Some(limit)) = (new.owner, new.limit) {
            let owned = records.owned(owner, now);
            let others = limit.max().get() as usize - 1;
            if owned.len() > others && !limit.evicts() {
                return Inserted::OwnerFull;
            }
            evicted.extend(owned.into_iter().skip(others).map(|(_, key, _)| key));
        }
        for key in &evicted {
            records.kept.remove(key);
        }
        records.inserted += 1;
        let number = records.inserted;
        records.kept.insert(key.clone(), (number, Record::begun(new, now)));
        Inserted::Done { evicted }
    }

    pub fn load(&self, key: &Key, load: &Load<'_>) -> Found {
        let (mut records, now) = (self.lock(), self.now());
        let Some((_, record)) = records.kept.get_mut(key) else {
            return Found::Missing;
        };
        record.load(load, now);
        record.clone().found(load, now)
    }

    pub fn replace(&self, key: &Key, write: &Write<'_>) -> Replaced {
        let (mut records, now) = (self.lock(), self.now());
        match records.kept.get_mut(key) {
            Some((_, record)) => record.write(write, now),
            None => Replaced::Missing,
        }
    }

    pub fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Removed {
        let (mut records, now) = (self.lock(), self.now());
        match records.kept.get(key) {
            Some((_, record)) if record.is_live(now) => {
                if !record.meets(condition, now) {
                    return Removed::Conflict;
                }
                let removed = records.kept.remove(key).filter(|_| hand_out);
                let record = removed
                    .map(|(_, record)| Record { meta: Meta { now, ..record.meta }, ..record });
                Removed::Done(record)
            }
            _ => Removed::Missing,
        }
    }

    /// All live records of an owner, the youngest first.
    pub fn all_owned(&self, owner: &Owner) -> Vec<(Key, Record)> {
        let (records, now) = (self.lock(), self.now());
        records.owned(owner, now).into_iter().map(|(_, key, record)| (key, record)).collect()
    }

    pub fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Page {
        let (records, now) = (self.lock(), self.now());
        let before = after.map_or(u64::MAX, |cursor| {
            u64::from_be_bytes(cursor.as_bytes().try_into().expect("a cursor of this store"))
        });
        let mut owned = records.owned(owner, now);
        owned.retain(|(number, ..)| *number < before);
        let is_last = owned.len() <= limit;
        owned.truncate(limit);
        let last = owned.last().map_or(before, |(number, ..)| *number);
        let records = owned.into_iter().map(|(_, key, mut record)| {
            record.meta.now = now;
            if !with_data {
                record.data.clear();
            }
            (key, record)
        });
        let next = (!is_last).then(|| Cursor::new(last.to_be_bytes()));
        Page { records: records.collect(), next, ..Page::default() }
    }

    pub fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) {
        let mut records = self.lock();
        records.kept.retain(|key, (_, record)| {
            record.meta.owner.as_ref() != Some(owner) || Some(key) == keep
        });
    }

    /// All live records, in the order of their keys.
    pub fn all(&self) -> Vec<(Key, Record)> {
        let (records, now) = (self.lock(), self.now());
        let live = records.kept.iter().filter(|(_, (_, record))| record.is_live(now));
        live.map(|(key, (_, record))| {
            let meta = Meta { now, ..record.meta.clone() };
            (key.clone(), Record { meta, ..record.clone() })
        })
        .collect()
    }

    pub fn scan(&self, after: Option<&Cursor>, limit: usize) -> Page {
        let mut all = self.all();
        if let Some(cursor) = after {
            all.retain(|(key, _)| key.as_bytes()[..] > *cursor.as_bytes());
        }
        let is_last = all.len() <= limit;
        all.truncate(limit);
        let next = all.last().filter(|_| !is_last).map(|(key, _)| Cursor::new(key.as_bytes()));
        Page { records: all, next, ..Page::default() }
    }

    pub fn clear(&self) {
        self.lock().kept.clear();
    }

    pub fn sweep(&self, limit: usize) -> usize {
        let (mut records, now) = (self.lock(), self.now());
        let expired = records.kept.iter().filter(|(_, (_, record))| !record.is_live(now));
        let expired: Vec<Key> = expired.take(limit).map(|(key, _)| key.clone()).collect();
        for key in &expired {
            records.kept.remove(key);
        }
        expired.len()
    }

    pub fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Renamed {
        let (mut records, now) = (self.lock(), self.now());
        let is_live = |records: &Records, key| {
            records.kept.get(key).is_some_and(|(_, record): &(_, Record)| record.is_live(now))
        };
        if !is_live(&records, from) {
            return Renamed::Missing;
        }
        if is_live(&records, to) {
            return Renamed::KeyTaken;
        }
        let Some((number, mut record)) = records.kept.remove(from) else {
            return Renamed::Missing;
        };
        let authenticated = renewal == Renewal::Authentication;
        record.write(&Write { touch: true, authenticated, ..Write::default() }, now);
        record.meta.version = Version::random();
        let meta = record.meta.clone();
        records.kept.insert(to.clone(), (number, record));
        Renamed::Done(meta)
    }
}
