//! How [`MongoDb`] lists, counts and clears its sessions.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};

use super::cursor;
use super::document::{binary, key, record};
use super::error::Failure;
use super::expression::{is_live, now};
use super::{BATCH, MongoDb};
use crate::store::patience::patience;
use crate::store::{Cursor, Listing, Page, Result};

/// An operation that looks at each document may take this many times the timeout.
const FULL_SCAN_FACTOR: u32 = 60;

/// The most records of a page.
const PAGE: usize = 1_000;

/// What a scan is ordered by, both upwards.
const ORDER: [&str; 2] = ["partition", "key"];

#[async_trait::async_trait]
impl Listing for MongoDb {
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let limit = limit.clamp(1, PAGE);
        let mut filter = doc! { "$expr": is_live() };
        if let Some(after) = after {
            let [partition, key] = cursor::place(after, ORDER)?;
            // A filter compares only values of one type, and values that are not binary come before
            // all keys.
            let partition = partition.as_i32().unwrap_or(-1);
            let key = if matches!(key, Bson::Binary(_)) { key } else { binary(&[]).into() };
            filter.insert(
                "$or",
                vec![
                    doc! { "partition": partition, "key": { "$gt": key } },
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
        let last = documents.last().filter(|_| documents.len() == limit);
        let next = last.map(|last| cursor::behind(last, ORDER)).transpose()?;
        let records = documents.into_iter().map(|document| {
            let key = key(&document)?;
            let record = record(&key, document, true)?;
            Ok((key, record))
        });
        let (records, damaged) = self.connectivity.listeners().readable(records)?;
        Ok(Page { records, damaged, next })
    }

    async fn count(&self) -> Result<u64> {
        let filter = doc! { "$expr": is_live() };
        let (limit, sessions) = (self.full_scan_timeout(), self.sessions.clone());
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
}

impl MongoDb {
    /// Removes a batch of all documents, and says whether there may be more. Documents that are
    /// inserted after the first batch was read stay, so that the call ends while new sessions begin:
    /// `until` is the last id at that time, for the batches that follow.
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

    /// How long an operation may take that looks at each document.
    fn full_scan_timeout(&self) -> Duration {
        // The server counts its milliseconds in 32 bits.
        patience(self.timeout.saturating_mul(FULL_SCAN_FACTOR))
    }
}
