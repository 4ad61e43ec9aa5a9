//! A whole store for sessions: one file each. It knows no owners, so it is for plain sessions, and for
//! one process at a time, as its lock lies in memory.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use token_session::store::{
    Condition, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Removed, Replaced, Result,
    Store, StoreError, StoreErrorKind, Watch, Write,
};
use token_session::{Events, Key, Record, Timestamp};

use super::format::{decode, encode};

/// Keeps each session in a file of a folder, named by its key.
pub struct FileStore {
    pub folder: PathBuf,
    /// Held from the look at a file to its replacement, so that of racing callers one wins. The files
    /// are small and local, so nothing waits long for it, and no `.await` is under it.
    lock: Mutex<()>,
}

impl FileStore {
    /// Opens a folder, which is made if it is missing. No other process may write to it.
    pub fn open(folder: impl Into<PathBuf>) -> std::io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, lock: Mutex::default() })
    }

    /// No panic leaves anything half done under the lock, so a poisoned one is good.
    pub fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.to_string())
    }

    /// The record under a key, alive or expired.
    pub fn read(&self, key: &Key, now: Timestamp) -> Result<Option<Record>> {
        match fs::read(self.path(key)) {
            Ok(bytes) => match decode(&bytes, now) {
                Some(record) => Ok(Some(record)),
                None => Err(StoreError::corrupt(key, "the file is not a session")),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Replaces the file as a whole: a reader, or a crash, meets the old record or the new one.
    fn write(&self, key: &Key, record: &Record) -> Result<()> {
        let new = self.folder.join("new.tmp");
        fs::write(&new, encode(record)).map_err(failed)?;
        fs::rename(&new, self.path(key)).map_err(failed)
    }

    pub fn delete(&self, key: &Key) -> Result<()> {
        fs::remove_file(self.path(key)).map_err(failed)
    }
}

/// What a record does at each operation is the reference's to say: [`Record`] has a method for each.
#[async_trait]
impl Store for FileStore {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        let (_lock, now) = (self.lock(), now());
        if self.read(key, now)?.is_some_and(|old| old.is_live(now)) {
            return Ok(Inserted::KeyTaken);
        }
        self.write(key, &Record::begun(record, now))?;
        Ok(Inserted::Done { evicted: Vec::new() })
    }

    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        let (_lock, now) = (self.lock(), now());
        let Some(mut record) = self.read(key, now)? else {
            return Ok(Found::Missing);
        };
        if record.load(load, now) {
            self.write(key, &record)?;
        }
        Ok(record.found(load, now))
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let (_lock, now) = (self.lock(), now());
        let Some(mut record) = self.read(key, now)? else {
            return Ok(Replaced::Missing);
        };
        let answer = record.write(write, now);
        if matches!(answer, Replaced::Done(_)) {
            self.write(key, &record)?;
        }
        Ok(answer)
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        let (_lock, now) = (self.lock(), now());
        let record = match self.read(key, now) {
            Ok(Some(record)) if record.is_live(now) => record,
            Ok(_) => return Ok(Removed::Missing),
            // `Always` includes a damaged record.
            Err(error)
                if error.kind() == StoreErrorKind::Corrupt
                    && matches!(condition, Condition::Always) =>
            {
                return self.delete(key).map(|()| Removed::Done(None));
            }
            Err(error) => return Err(error),
        };
        if !record.meets(condition, now) {
            return Ok(Removed::Conflict);
        }
        self.delete(key)?;
        Ok(Removed::Done(hand_out.then_some(record)))
    }

    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        let (_lock, now) = (self.lock(), now());
        let alive = |key| Ok(self.read(key, now)?.is_some_and(|record| record.is_live(now)));
        keys.iter().map(alive).collect()
    }

    fn owners(&self) -> Option<&dyn Owners> {
        None
    }

    fn listing(&self) -> Option<&dyn Listing> {
        Some(self)
    }

    fn watch(&self) -> Option<&dyn Watch> {
        None
    }

    fn moves(&self) -> Option<&dyn Moves> {
        None
    }

    fn partitions(&self) -> u16 {
        1
    }

    fn keeps_plain_ids(&self) -> bool {
        false
    }

    fn attach(&self, _: &Events) {}
}

pub fn now() -> Timestamp {
    let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp::from_millis(0) + since_epoch
}

pub fn failed(error: Error) -> StoreError {
    let message = "the folder of the sessions cannot be used; look at its rights and its space";
    StoreError::new(StoreErrorKind::Unavailable, message).with_source(error)
}
