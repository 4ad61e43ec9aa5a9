//! How the store lists its records, counts them and frees space. A store may leave this out: then its
//! `listing()` is `None`, and sessions cannot be listed.

use std::fs;

use async_trait::async_trait;
use token_session::Key;
use token_session::store::{Cursor, Listing, Page, Result, StoreErrorKind};

use super::store::{FileStore, failed, now};

impl FileStore {
    /// The keys of all files, in order. The name of any other file is not a key.
    fn keys(&self) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            keys.extend(name.to_str().and_then(|name| name.parse::<Key>().ok()));
        }
        keys.sort();
        Ok(keys)
    }
}

#[async_trait]
impl Listing for FileStore {
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let (_lock, now) = (self.lock(), now());
        let mut keys = self.keys()?;
        keys.retain(|key| after.is_none_or(|after| key.as_bytes()[..] > *after.as_bytes()));
        let rest = keys.split_off(keys.len().min(limit.max(1)));
        let last = keys.last().filter(|_| !rest.is_empty());
        let mut page =
            Page { next: last.map(|key| Cursor::new(key.as_bytes())), ..Page::default() };
        for key in keys {
            match self.read(&key, now) {
                Ok(record) => page.records.extend(
                    record.filter(|record| record.is_live(now)).map(|record| (key, record)),
                ),
                Err(error) if error.kind() == StoreErrorKind::Corrupt => page.damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }

    async fn count(&self) -> Result<u64> {
        Ok(self.scan(None, usize::MAX).await?.records.len() as u64)
    }

    async fn clear(&self) -> Result<()> {
        let _lock = self.lock();
        self.keys()?.iter().try_for_each(|key| self.delete(key))
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        let (_lock, now) = (self.lock(), now());
        let mut swept = 0;
        for key in self.keys()? {
            let record = self.read(&key, now).unwrap_or_default();
            if swept < limit && record.is_some_and(|record| !record.is_live(now)) {
                self.delete(&key)?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}
