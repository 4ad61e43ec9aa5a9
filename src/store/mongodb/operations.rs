//! What [`MongoDb`] does for each operation of a store.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;

use super::MongoDb;
use super::condition::Wanted;
use super::document::{binary, key, number, record, written};
use super::error::{Failure, is_duplicate};
use super::expression::{
    self, confirmed_by, expiry, is_current, is_live, is_open_to, new_session, now, seen_if_due,
};
use crate::event::Events;
use crate::key::Key;
use crate::record::Record;
use crate::store::{
    AtomicStore, Condition, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Removed,
    Replaced, Result, Store, Touch, Watch, Write,
};

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

    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        let (store, key) = (self.clone(), key.clone());
        let (claim, touch, with_data) = (load.claim.copied(), load.touch, load.with_data);
        self.run(self.timeout, async move {
            let load = Load { claim: claim.as_ref(), touch, with_data };
            loop {
                let Some(found) = store.read(&key, with_data).await? else {
                    return Ok(Found::Missing);
                };
                let found = record(&key, found, with_data)?;
                let now = found.meta.now;
                let mut changes = changes(&found, &load);
                if changes.is_empty() {
                    return Ok(found.found(&load, now));
                }
                changes.push(expiry());
                if let Some(changed) = store.change(&key, &load, changes).await? {
                    let changed = record(&key, changed, with_data)?;
                    let now = changed.meta.now;
                    return Ok(changed.found(&load, now));
                }
                // The session has ended meanwhile, or the claim is too late. The next read tells.
            }
        })
        .await
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let mut filter = self.live(key);
        if let Some(expected) = write.expected {
            filter.insert("version", number(expected));
        }
        if let Some(claim) = write.claim {
            let fits = if write.is_handover() { is_current(claim) } else { is_open_to(claim) };
            filter.extend(fits);
        }
        let update = expression::written(write);

        let (store, key) = (self.clone(), key.clone());
        let (expected, claim) = (write.expected, write.claim.copied());
        let proof = write.proof.clone();
        self.run(self.timeout, async move {
            let asked = Write { expected, claim: claim.as_ref(), proof, ..Write::default() };
            loop {
                let answer = store
                    .sessions
                    .find_one_and_update(filter.clone(), update.clone())
                    .projection(doc! { "version": 1, "written_at": 1, "expires_at": 1 })
                    .return_document(ReturnDocument::After)
                    .await?;
                if let Some(answer) = answer {
                    return Ok(Replaced::Done(written(&key, &answer)?));
                }
                if expected.is_none() && asked.claim.is_none() {
                    return Ok(Replaced::Missing);
                }
                let Some(found) = store.read(&key, false).await? else {
                    return Ok(Replaced::Missing);
                };
                let mut found = record(&key, found, false)?;
                let now = found.meta.now;
                match found.write(&asked, now) {
                    // Another write came between, and after it this one is possible.
                    Replaced::Done(_) => {}
                    refused => return Ok(refused),
                }
            }
        })
        .await
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        let (store, key, wanted) = (self.clone(), key.clone(), Wanted::from(condition));
        self.run(self.timeout, async move {
            let mut filter = store.live(&key);
            wanted.narrow(&mut filter);
            if hand_out {
                return store.take(&key, filter, &wanted).await;
            }
            loop {
                if store.sessions.delete_one(filter.clone()).await?.deleted_count > 0 {
                    return Ok(Removed::Done(None));
                }
                if wanted.is_always() {
                    return Ok(Removed::Missing);
                }
                let Some(found) = store.read(&key, false).await? else {
                    return Ok(Removed::Missing);
                };
                let found = record(&key, found, false)?;
                if !found.meets(wanted.condition(), found.meta.now) {
                    return Ok(Removed::Conflict);
                }
            }
        })
        .await
    }

    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut partitions = BTreeMap::<i32, Vec<_>>::new();
        for key in keys {
            let partition = key.partition(self.partitions).into();
            partitions.entry(partition).or_default().push(binary(key.as_bytes()));
        }
        // The index is read once for each key, and a sharded cluster asks only the shards that the keys
        // are on.
        let places: Vec<_> = partitions
            .into_iter()
            .map(|(partition, keys)| doc! { "partition": partition, "key": { "$in": keys } })
            .collect();
        let filter = doc! { "$or": places, "$expr": is_live() };
        let (store, limit) = (self.clone(), self.timeout);
        let found = self.run(self.timeout, async move {
            let find = store.sessions.find(filter).projection(doc! { "_id": 0, "key": 1 });
            // The answer is one batch, so there is no second question.
            let mut cursor = find.batch_size(BATCH_OF_KEYS).max_time(limit).await?;
            let mut alive = HashSet::new();
            while cursor.advance().await? {
                alive.extend(self::key(&cursor.deserialize_current()?));
            }
            Ok(alive)
        });
        let alive = found.await?;
        Ok(keys.iter().map(|key| alive.contains(key)).collect())
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
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
        self.partitions
    }

    fn keeps_plain_ids(&self) -> bool {
        false
    }

    fn attach(&self, events: &Events) {
        self.connectivity.attach(events);
    }
}

impl AtomicStore for MongoDb {}

/// More keys than one batch of documents can hold.
const BATCH_OF_KEYS: u32 = 1 << 20;

/// The stages by which a load changes a record. Most loads change nothing.
fn changes(found: &Record, load: &Load<'_>) -> Vec<Document> {
    let (now, mut changes) = (found.meta.now, Vec::new());
    if !found.standing(load.claim, now).is_live() {
        return changes;
    }
    if let Touch::After(interval) = load.touch
        && found.meta.touch_due(load.touch, now)
    {
        let tenth = found.meta.lifetime.idle_timeout().map_or(Duration::MAX, |idle| idle / 10);
        changes.push(seen_if_due(interval.min(tenth)));
    }
    if let Some(claim) = load.claim
        && found.proofs.is_confirmed_by(load.claim)
    {
        changes.push(confirmed_by(claim));
    }
    changes
}

impl MongoDb {
    /// The live session under a key.
    pub(super) fn live(&self, key: &Key) -> Document {
        let mut filter = self.under(key);
        filter.insert("$expr", is_live());
        filter
    }

    /// Puts a new session under a key that has no live one. The update creates the document if it is
    /// missing, replaces a dead one by the new one, and a live one by itself. `None` if another insert
    /// came between the server's read and its write, or has the same place.
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

    /// Changes a live session that the claim of a load opens, and answers with the changed document.
    async fn change(
        &self,
        key: &Key,
        load: &Load<'_>,
        stages: Vec<Document>,
    ) -> Result<Option<Document>, Failure> {
        let mut filter = self.live(key);
        if let Some(claim) = load.claim {
            filter.extend(is_open_to(claim));
        }
        let update = self.sessions.find_one_and_update(filter, stages);
        let update = update.return_document(ReturnDocument::After);
        let without = if load.with_data {
            Document::new()
        } else {
            doc! { "data": 0 }
        };
        Ok(update.projection(without).await?)
    }

    /// Removes a live session that meets a condition, and hands it out. A damaged one stays.
    async fn take(&self, key: &Key, filter: Document, wanted: &Wanted) -> Result<Removed, Failure> {
        loop {
            // The removal answers with the document alone, without the server's clock.
            let Some(found) = self.read(key, false).await? else {
                return Ok(Removed::Missing);
            };
            let now = found.get("now").cloned().unwrap_or(Bson::Null);
            let found = record(key, found, false)?;
            if !found.meets(wanted.condition(), found.meta.now) {
                return Ok(Removed::Conflict);
            }
            if let Some(mut taken) = self.sessions.find_one_and_delete(filter.clone()).await? {
                taken.insert("now", now);
                return Ok(Removed::Done(Some(record(key, taken, true)?)));
            }
        }
    }

    /// A live session and the server's clock.
    pub(super) async fn read(
        &self,
        key: &Key,
        with_data: bool,
    ) -> Result<Option<Document>, Failure> {
        let mut pipeline =
            vec![doc! { "$match": self.live(key) }, doc! { "$set": { "now": now() } }];
        if !with_data {
            pipeline.push(doc! { "$unset": "data" });
        }
        Ok(self.list(pipeline, 1).await?.pop())
    }

    /// The documents that a pipeline gives, which has this limit.
    pub(super) async fn list(
        &self,
        pipeline: Vec<Document>,
        limit: usize,
    ) -> Result<Vec<Document>, Failure> {
        // A batch that is not full is the last one, so there is no second question.
        let batch = u32::try_from(limit).unwrap_or(u32::MAX - 1).saturating_add(1).min(1 << 20);
        // The server gives up too. That matters when it waits for a majority before it reads.
        let aggregate = self.sessions.aggregate(pipeline).batch_size(batch).max_time(self.timeout);
        let mut cursor = aggregate.await?;
        let mut documents = Vec::new();
        while cursor.advance().await? {
            documents.push(cursor.deserialize_current()?);
        }
        Ok(documents)
    }

    /// As [`list`](Self::list), as an operation of its own.
    pub(super) async fn list_whole(
        &self,
        pipeline: Vec<Document>,
        limit: usize,
    ) -> Result<Vec<Document>> {
        let store = self.clone();
        self.run(self.timeout, async move { store.list(pipeline, limit).await }).await
    }
}
