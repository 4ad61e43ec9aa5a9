//! What [`MongoDb`] does with all sessions of an owner.

use mongodb::bson::{Bson, DateTime, Document, doc};

use super::cursor;
use super::document::{binary, key, record};
use super::error::Failure;
use super::expression::{is_live, now};
use super::{BATCH, MongoDb};
use crate::key::Key;
use crate::record::Owner;
use crate::store::{Cursor, Owners, Page, Result};

/// What the list of an owner's sessions is ordered by, both downwards.
const ORDER: [&str; 2] = ["created_at", "_id"];

#[async_trait::async_trait]
impl Owners for MongoDb {
    async fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Result<Page> {
        if limit == 0 {
            return Ok(Page { next: after.cloned(), ..Page::default() });
        }
        let mut filter = self.of_owner(owner);
        filter.insert("$expr", after.map(beyond).transpose()?.unwrap_or_else(is_live));
        let mut pipeline = vec![
            doc! { "$match": filter },
            doc! { "$sort": { "created_at": -1, "_id": -1 } },
            doc! { "$limit": i64::try_from(limit).unwrap_or(i64::MAX) },
            doc! { "$set": { "now": now() } },
        ];
        if !with_data {
            pipeline.push(doc! { "$unset": "data" });
        }
        let documents = self.list_whole(pipeline, limit).await?;
        let last = documents.last().filter(|_| documents.len() == limit);
        let next = last.map(|last| cursor::behind(last, ORDER)).transpose()?;
        let records = documents.into_iter().map(|document| {
            let key = key(&document)?;
            let record = record(&key, document, with_data)?;
            Ok((key, record))
        });
        let (records, damaged) = self.connectivity.listeners().readable(records)?;
        Ok(Page { records, damaged, next })
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let mut filter = self.of_owner(owner);
        if let Some(keep) = keep {
            filter.insert("key", doc! { "$ne": binary(keep.as_bytes()) });
        }
        let (mut until, mut more) = (None, true);
        while more {
            let (store, filter) = (self.clone(), filter.clone());
            // Each batch has the whole timeout, so that any number of sessions can end. If the caller
            // hangs up, the current batch ends in a task, and no other begins.
            let batch = async move { store.remove_oldest(filter, until).await };
            (until, more) = self.run(self.timeout, batch).await?;
        }
        Ok(())
    }
}

/// The live sessions behind this place. It is an expression because a filter compares only values of
/// one type. The index serves the first comparison.
fn beyond(after: &Cursor) -> Result<Document> {
    let [began, id] = cursor::place(after, ORDER)?;
    let of_lower_id = doc! { "$lt": ["$_id", { "$literal": id }] };
    // A missing value is less than null here, but has the same place in the index.
    let behind = if began == Bson::Null {
        of_lower_id
    } else {
        doc! { "$or": [{ "$lt": ["$created_at", { "$literal": began.clone() }] }, of_lower_id] }
    };
    Ok(doc! { "$and": [
        { "$lte": ["$created_at", { "$literal": began }] },
        behind,
        is_live(),
    ] })
}

impl MongoDb {
    /// The sessions of an owner, dead or alive.
    pub(super) fn of_owner(&self, owner: &Owner) -> Document {
        doc! { "partition": self.partition_of(owner), "owner": owner.as_str() }
    }

    /// Removes a batch of the oldest of these sessions of an owner, and says whether there may be more.
    /// Sessions that begin after the first batch was read stay, so that the call ends while new ones
    /// begin: `until` is when the youngest began at that time, for the batches that follow.
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
            // The beginning of a damaged session is not a date, and sorts before all dates.
            None => {
                let ids: Vec<_> = batch.iter().filter_map(|it| it.get("_id").cloned()).collect();
                going.insert("_id", doc! { "$in": ids });
            }
        }
        self.sessions.delete_many(going).await?;
        Ok((until, more))
    }
}
