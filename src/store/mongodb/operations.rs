//! What [`MongoDb`] does for each operation of a store.

use std::time::Duration;

use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::ReturnDocument;

use super::MongoDb;
use super::document::{binary, key, meta, number, record, version};
use super::error::{Failure, is_duplicate};
use super::expression::{
    deadline_from_last_seen, expiry, is_expired, is_live, moved, new_session, now, seen_if_due,
    seen_now, with_lifetime, written,
};
use crate::event::Events;
use crate::key::Key;
use crate::record::{Meta, Owner, Record};
use crate::store::patience::patience;
use crate::store::{
    AtomicStore, Condition, Cursor, Inserted, NewRecord, Page, Removed, Renamed, Renewal, Replaced,
    Result, Store, StoreError, StoreErrorKind, Touch, Write,
};

/// How much longer than others an operation may take that looks at each document.
const UNHURRIED: u32 = 60;

/// The most records of a page.
const PAGE: usize = 1_000;

/// The most sessions that one command ends.
const BATCH: usize = 1_000;

#[async_trait::async_trait]
impl Store for MongoDb {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        let new = new_session(self.under(key), record);
        let limited = record.owner.cloned().zip(record.limit);
        let (store, key) = (self.clone(), key.clone());
        self.run(self.timeout, async move {
            if let Some((owner, limit)) = limited {
                return store.insert_limited(&key, new, &owner, limit).await;
            }
            loop {
                if let Some(inserted) = store.try_insert(&key, new.clone()).await? {
                    return Ok(inserted);
                }
            }
        })
        .await
    }

    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        let found = self.look(key, touch, &[]).await?;
        found.map(|document| record(key, document)).transpose()
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
        let found = self.look(key, touch, &["data"]).await?;
        found.map(|document| meta(key, &document)).transpose()
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let mut filter = self.live(key);
        if let Some(expected) = write.expected {
            filter.insert("version", number(expected));
        }
        let mut update = vec![written(&write.data)];
        if write.touch || write.lifetime.is_some() {
            update.push(seen_now());
        }
        if let Some(lifetime) = write.lifetime {
            update.push(with_lifetime(lifetime));
            update.push(deadline_from_last_seen());
        }
        update.push(expiry());

        let (store, key, expected) = (self.clone(), key.clone(), write.expected);
        self.run(self.timeout, async move {
            loop {
                let written = store
                    .sessions
                    .find_one_and_update(filter.clone(), update.clone())
                    .projection(doc! { "version": 1 })
                    .return_document(ReturnDocument::After)
                    .await?;
                if let Some(written) = written {
                    return Ok(Replaced::Done(version(&key, &written)?));
                }
                if expected.is_none() {
                    return Ok(Replaced::Missing);
                }
                match store.read(&key, &["data"]).await? {
                    None => return Ok(Replaced::Missing),
                    // It was not there before, and has the version by now.
                    Some(found) if Some(version(&key, &found)?) == expected => {}
                    Some(_) => return Ok(Replaced::Conflict),
                }
            }
        })
        .await
    }

    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        let mut update = vec![moved(self.under(to)), seen_now()];
        if renewal == Renewal::Authentication {
            update.push(doc! { "$set": { "authenticated_at": "$last_seen" } });
            update.push(deadline_from_last_seen());
        }
        update.push(expiry());

        let (store, from, to) = (self.clone(), from.clone(), to.clone());
        self.run(self.timeout, async move {
            loop {
                let renamed = store
                    .sessions
                    .find_one_and_update(store.live(&from), update.clone())
                    .projection(doc! { "data": 0 })
                    .return_document(ReturnDocument::After)
                    .await;
                match renamed {
                    Ok(Some(renamed)) => return Ok(Renamed::Done(meta(&to, &renamed)?)),
                    Ok(None) => return Ok(Renamed::Missing),
                    Err(error) if is_duplicate(&error) => {}
                    Err(error) => return Err(error.into()),
                }
                if store.is_taken(&to).await? {
                    return Ok(Renamed::KeyTaken);
                }
            }
        })
        .await
    }

    async fn take(&self, key: &Key) -> Result<Option<Record>> {
        let (store, key) = (self.clone(), key.clone());
        self.run(self.timeout, async move {
            // The removal answers with the document alone, not with what time it is.
            let Some(found) = store.read(&key, &["data"]).await? else {
                return Ok(None);
            };
            let taken = store.sessions.find_one_and_delete(store.live(&key)).await?;
            let Some(mut taken) = taken else {
                return Ok(None);
            };
            taken.insert("now", found.get("now").unwrap_or(&Bson::Null));
            Ok(Some(record(&key, taken)?))
        })
        .await
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        let mut filter = self.live(key);
        let (expected, owner) = match condition {
            Condition::Always => (None, None),
            Condition::Version(version) => {
                filter.insert("version", number(version));
                (Some(version), None)
            }
            Condition::Owner(owner) => {
                filter.insert("owner", owner.as_str());
                (None, Some(owner.clone()))
            }
        };
        let (store, key) = (self.clone(), key.clone());
        self.run(self.timeout, async move {
            loop {
                if store.sessions.delete_one(filter.clone()).await?.deleted_count > 0 {
                    return Ok(Removed::Done);
                }
                if expected.is_none() && owner.is_none() {
                    return Ok(Removed::Missing);
                }
                let Some(found) = store.read(&key, &["data"]).await? else {
                    return Ok(Removed::Missing);
                };
                let found = meta(&key, &found)?;
                if expected.is_some_and(|expected| found.version != expected)
                    || owner.is_some() && found.owner != owner
                {
                    return Ok(Removed::Conflict);
                }
            }
        })
        .await
    }

    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut filter = self.of(owner);
        filter.insert("$expr", is_live());
        let pipeline = vec![
            doc! { "$match": filter },
            doc! { "$sort": { "created_at": -1, "_id": -1 } },
            doc! { "$limit": i64::try_from(limit).unwrap_or(i64::MAX) },
            doc! { "$unset": "data" },
            doc! { "$set": { "now": now() } },
        ];
        let documents = self.list_whole(pipeline, limit).await?;
        let sessions = documents.iter().map(|document| {
            let key = key(document)?;
            let meta = meta(&key, document)?;
            Ok((key, meta))
        });
        Ok(self.presence.listeners().readable(sessions)?.0)
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let mut filter = self.of(owner);
        if let Some(keep) = keep {
            filter.insert("key", doc! { "$ne": binary(keep.as_bytes()) });
        }
        let (mut until, mut more) = (None, true);
        while more {
            let (store, filter) = (self.clone(), filter.clone());
            // Each batch has the whole timeout, so that any number of sessions ends. A caller that
            // hangs up leaves the batch that is under way to end by itself, and begins no other.
            let batch = async move { store.remove_oldest(filter, until).await };
            (until, more) = self.run(self.timeout, batch).await?;
        }
        Ok(())
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let limit = limit.clamp(1, PAGE);
        let mut filter = doc! { "$expr": is_live() };
        if let Some(after) = after {
            let last = last_of(after)?;
            let partition = i32::from(last.partition(self.partitions));
            filter.insert(
                "$or",
                vec![
                    doc! { "partition": partition, "key": { "$gt": binary(last.as_bytes()) } },
                    doc! { "partition": { "$gt": partition } },
                ],
            );
        }
        let pipeline = vec![
            doc! { "$match": filter },
            doc! { "$sort": { "partition": 1, "key": 1 } },
            doc! { "$limit": i64::try_from(limit).unwrap_or(i64::MAX) },
            doc! { "$set": { "now": now() } },
        ];
        let documents = self.list_whole(pipeline, limit).await?;
        let next = (documents.len() == limit).then(|| {
            let last = documents.iter().rev().find_map(|document| key(document).ok());
            // Documents without a key come before all keys.
            Cursor::new(last.unwrap_or(Key::from_bytes([0; 16])).as_bytes())
        });
        let records = documents.into_iter().map(|document| {
            let key = key(&document)?;
            let record = record(&key, document)?;
            Ok((key, record))
        });
        let (records, damaged) = self.presence.listeners().readable(records)?;
        Ok(Page { records, damaged, next })
    }

    async fn count(&self) -> Result<u64> {
        let filter = doc! { "$expr": is_live() };
        let (limit, sessions) = (self.unhurried(), self.sessions.clone());
        self.run(limit, async move { Ok(sessions.count_documents(filter).max_time(limit).await?) })
            .await
    }

    async fn clear(&self) -> Result<()> {
        let (mut until, mut more) = (None, true);
        while more {
            let store = self.clone();
            let batch = async move { store.remove_first(until).await };
            (until, more) = self.run(self.timeout, batch).await?;
        }
        Ok(())
    }

    async fn sweep(&self, _limit: usize) -> Result<usize> {
        Ok(0)
    }

    fn partitions(&self) -> u16 {
        self.partitions
    }

    fn attach(&self, events: &Events) {
        self.presence.attach(events);
    }
}

impl AtomicStore for MongoDb {}

impl MongoDb {
    /// The live session under a key.
    pub(super) fn live(&self, key: &Key) -> Document {
        let mut filter = self.under(key);
        filter.insert("$expr", is_live());
        filter
    }

    /// Whether a live session has this key. A dead one is removed.
    pub(super) async fn is_taken(&self, key: &Key) -> Result<bool, Failure> {
        if self.read(key, &["data"]).await?.is_some() {
            return Ok(true);
        }
        let mut dead = self.under(key);
        dead.insert("$expr", is_expired());
        self.sessions.delete_one(dead).await?;
        Ok(false)
    }

    /// The sessions of an owner, dead or alive.
    pub(super) fn of(&self, owner: &Owner) -> Document {
        doc! { "partition": self.partition_of(owner), "owner": owner.as_str() }
    }

    /// Removes a batch of all documents, and says whether more may be there. What is inserted after
    /// the first batch was seen is left, so that the call ends though logins go on: `until` is the
    /// last of the ids by then, for the batches that follow.
    async fn remove_first(&self, until: Option<Bson>) -> Result<(Option<Bson>, bool), Failure> {
        let first = |order: i32, limit: usize| {
            let until = until.clone().map_or(doc! {}, |until| doc! { "_id": { "$lte": until } });
            vec![
                doc! { "$match": until },
                doc! { "$sort": { "_id": order } },
                doc! { "$limit": limit as i64 },
                doc! { "$project": { "_id": 1 } },
            ]
        };
        let id = |document: &Document| document.get("_id").cloned();
        let batch = self.list(first(1, BATCH), BATCH).await?;
        let more = batch.len() == BATCH;
        let until = match until {
            None if more => self.list(first(-1, 1), 1).await?.first().and_then(id),
            until => until,
        };
        if !batch.is_empty() {
            let ids: Vec<_> = batch.iter().filter_map(id).collect();
            self.sessions.delete_many(doc! { "_id": { "$in": ids } }).await?;
        }
        Ok((until, more))
    }

    /// Removes a batch of the oldest of these sessions of an owner, and says whether more may be
    /// there. What began after the first batch was seen is left, so that the call ends though logins
    /// go on: `until` is when the youngest had begun by then, for the batches that follow.
    async fn remove_oldest(
        &self,
        filter: Document,
        until: Option<DateTime>,
    ) -> Result<(Option<DateTime>, bool), Failure> {
        let began = |document: &Document| document.get_datetime("created_at").ok().copied();
        let first = |order: i32, limit: usize| {
            vec![
                doc! { "$match": filter.clone() },
                doc! { "$sort": { "created_at": order, "_id": order } },
                doc! { "$limit": limit as i64 },
                doc! { "$project": { "created_at": 1 } },
            ]
        };
        let batch = self.list(first(1, BATCH), BATCH).await?;
        let more = batch.len() == BATCH;
        let until = match until {
            None if more => self.list(first(-1, 1), 1).await?.first().and_then(began),
            until => until,
        };
        let (Some(oldest), Some(youngest)) = (batch.first(), batch.last()) else {
            return Ok((until, false));
        };
        if until.is_some_and(|until| began(oldest) > Some(until)) {
            return Ok((until, false));
        }
        let mut going = filter;
        match began(youngest).filter(|_| batch.iter().all(|document| began(document).is_some())) {
            Some(at) => {
                let id = youngest.get("_id").unwrap_or(&Bson::Null);
                let with_it = doc! { "created_at": at, "_id": { "$lte": id } };
                going.insert("$or", vec![doc! { "created_at": { "$lt": at } }, with_it]);
            }
            // A damaged one's beginning is no date, and is before all dates.
            None => {
                let ids: Vec<_> = batch.iter().filter_map(|it| it.get("_id").cloned()).collect();
                going.insert("_id", doc! { "$in": ids });
            }
        }
        self.sessions.delete_many(going).await?;
        Ok((until, more))
    }

    /// Puts a new session there, if no live one is: an update that makes the document where there
    /// is none, replaces it by the new one where it is dead, and by itself where it is alive. None
    /// where another insert was between the look and the write, or has the same place.
    pub(super) async fn try_insert(
        &self,
        key: &Key,
        new: Document,
    ) -> Result<Option<Inserted>, Failure> {
        let alive_or_new = doc! { "$cond": [is_live(), "$$ROOT", new] };
        let update = vec![doc! { "$replaceWith": alive_or_new }];
        match self.sessions.update_one(self.under(key), update).upsert(true).await {
            Ok(done) if done.upserted_id.is_some() || done.modified_count > 0 => {
                Ok(Some(Inserted::Done { evicted: Vec::new() }))
            }
            Ok(_) => Ok(Some(Inserted::KeyTaken)),
            Err(error) if is_duplicate(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A live session, without some of its fields, and the server's clock. It is touched if that is
    /// due.
    async fn look(
        &self,
        key: &Key,
        touch: Touch,
        without: &'static [&'static str],
    ) -> Result<Option<Document>> {
        let (store, key) = (self.clone(), key.clone());
        self.run(self.timeout, async move {
            let Some(found) = store.read(&key, without).await? else {
                return Ok(None);
            };
            let Touch::After(interval) = touch else {
                return Ok(Some(found));
            };
            let Meta { lifetime, last_seen, now, .. } = meta(&key, &found)?;
            if !lifetime.touch_due(last_seen, now, interval) {
                return Ok(Some(found));
            }
            let idle = lifetime.idle_timeout().unwrap_or(interval);
            let without: Document =
                without.iter().map(|&name| (name.to_owned(), 0.into())).collect();
            let touched = store
                .sessions
                .find_one_and_update(
                    store.live(&key),
                    vec![seen_if_due(interval.min(idle / 10)), expiry()],
                )
                .projection(without)
                .return_document(ReturnDocument::After)
                .await?;
            Ok(touched)
        })
        .await
    }

    /// A live session, without some of its fields, and the server's clock.
    async fn read(&self, key: &Key, without: &[&str]) -> Result<Option<Document>, Failure> {
        let mut pipeline =
            vec![doc! { "$match": self.live(key) }, doc! { "$set": { "now": now() } }];
        if !without.is_empty() {
            pipeline.push(doc! { "$unset": without });
        }
        Ok(self.list(pipeline, 1).await?.pop())
    }

    /// As [`list`](Self::list), as an operation of its own.
    async fn list_whole(&self, pipeline: Vec<Document>, limit: usize) -> Result<Vec<Document>> {
        let store = self.clone();
        self.run(self.timeout, async move { store.list(pipeline, limit).await }).await
    }

    /// How long an operation may take that looks at each document.
    fn unhurried(&self) -> Duration {
        // The server counts its milliseconds in 32 bits.
        patience(self.timeout.saturating_mul(UNHURRIED))
    }

    /// All that a pipeline gives, at most so much.
    pub(super) async fn list(
        &self,
        pipeline: Vec<Document>,
        limit: usize,
    ) -> Result<Vec<Document>, Failure> {
        // A batch that is not full is known to be the last one: that saves the question.
        let batch = u32::try_from(limit).unwrap_or(u32::MAX - 1).saturating_add(1).min(1 << 20);
        // The server gives up too, which matters where it waits for a majority to read.
        let aggregate = self.sessions.aggregate(pipeline).batch_size(batch).max_time(self.timeout);
        let mut cursor = aggregate.await?;
        let mut documents = Vec::new();
        while cursor.advance().await? {
            documents.push(cursor.deserialize_current()?);
        }
        Ok(documents)
    }
}

fn last_of(cursor: &Cursor) -> Result<Key> {
    <[u8; 32]>::try_from(cursor.as_bytes()).map(Key::from_bytes).map_err(|_| {
        let message = "the cursor is not one of a scan of MongoDB; begin the scan anew";
        StoreError::new(StoreErrorKind::Refused, message)
    })
}
