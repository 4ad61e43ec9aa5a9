use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use token_session::Timestamp;
use token_session::store::compat::{Backend, Life, Listed, Stored};
use token_session::store::{Cursor, Result};

/// Sessions in the memory of this process: texts under their ids, each with its end.
#[derive(Clone, Default)]
pub struct InMemory(Arc<Mutex<BTreeMap<String, Entry>>>);

#[derive(Clone)]
struct Entry {
    text: String,
    expires: Option<Timestamp>,
}

fn now() -> Timestamp {
    Timestamp::from_millis(0) + SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

impl Entry {
    fn new(text: &str, life: Option<Duration>) -> Self {
        Self { text: text.to_owned(), expires: life.map(|life| now() + life) }
    }

    fn is_live(&self) -> bool {
        self.expires.is_none_or(|expires| now() < expires)
    }

    fn stored(&self) -> Stored {
        Stored { text: self.text.clone().into(), expires: self.expires, now: now() }
    }
}

impl InMemory {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the live entry of this id if its text is still the old one; whether it is.
    fn change(&self, id: &str, old: &str, change: impl FnOnce(&mut Entry)) -> bool {
        let mut entries = self.entries();
        let entry = entries.get_mut(id).filter(|entry| entry.is_live() && entry.text == old);
        entry.map(change).is_some()
    }
}

impl Backend for InMemory {
    const PACKAGE: &'static str = "a memory store";
    const TTL: Duration = Duration::from_secs(86_400);

    type Old = String;
    type New = String;

    async fn fetch(&self, id: &str) -> Result<Option<(Stored, String)>> {
        let entry = self.entries().get(id).filter(|entry| entry.is_live()).cloned();
        Ok(entry.map(|entry| (entry.stored(), entry.text)))
    }

    async fn fetch_all(&self, ids: &[&str]) -> Result<Vec<(String, Stored)>> {
        let entries = self.entries();
        let live = |id: &&str| {
            let entry = entries.get(*id).filter(|entry| entry.is_live())?;
            Some(((*id).to_owned(), entry.stored()))
        };
        Ok(ids.iter().filter_map(live).collect())
    }

    fn record(&self, text: &str, _: Option<&String>) -> Result<String> {
        Ok(text.to_owned())
    }

    fn again(old: &String) -> String {
        old.clone()
    }

    async fn add(
        &self,
        id: &str,
        text: &String,
        life: Option<Duration>,
        _: Option<&String>,
    ) -> Result<Option<String>> {
        let mut entries = self.entries();
        if entries.get(id).is_some_and(Entry::is_live) {
            return Ok(None);
        }
        entries.insert(id.to_owned(), Entry::new(text, life));
        Ok(Some(text.clone()))
    }

    async fn swap(&self, id: &str, old: &String, text: &str, life: Life) -> Result<Option<String>> {
        let is_swapped = self.change(id, old, |entry| match life {
            Life::Keep => text.clone_into(&mut entry.text),
            Life::For(life) => *entry = Entry::new(text, Some(life)),
        });
        Ok(is_swapped.then(|| text.to_owned()))
    }

    async fn extend(&self, id: &str, old: &String, life: Duration) -> Result<bool> {
        Ok(self.change(id, old, |entry| entry.expires = Some(now() + life)))
    }

    async fn discard(&self, id: &str, old: &String) -> Result<bool> {
        let mut entries = self.entries();
        let is_as_it_was = entries.get(id).is_some_and(|it| it.is_live() && it.text == *old);
        Ok(is_as_it_was && entries.remove(id).is_some())
    }

    async fn clock(&self, _: &str) -> Result<Timestamp> {
        Ok(now())
    }

    async fn page(&self, after: Option<&Cursor>, limit: usize) -> Result<Listed> {
        let after = after.map(|after| String::from_utf8_lossy(after.as_bytes()).into_owned());
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = self.entries();
        let live = entries.range((start, Bound::Unbounded)).filter(|(_, entry)| entry.is_live());
        let live = live.map(|(id, entry)| (id.clone(), entry.stored()));
        let found: Vec<_> = live.take(limit).collect();
        let last = found.last().filter(|_| found.len() == limit);
        Ok(Listed { next: last.map(|(id, _)| Cursor::new(id)), found })
    }

    async fn count(&self) -> Result<u64> {
        Ok(self.entries().values().filter(|entry| entry.is_live()).count() as u64)
    }

    async fn clear(&self) -> Result<()> {
        self.entries().clear();
        Ok(())
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        let mut entries = self.entries();
        let dead = entries.iter().filter(|(_, entry)| !entry.is_live()).take(limit);
        let dead: Vec<String> = dead.map(|(id, _)| id.clone()).collect();
        dead.iter().for_each(|id| drop(entries.remove(id)));
        Ok(dead.len())
    }
}
