//! [`ConnectMongo`]: what connect-mongo keeps.

use std::future::{Future, IntoFuture};
use std::time::Duration;

use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::{
    Acknowledgment, CollectionOptions, ReadConcern, ReadPreference, ReturnDocument,
    SelectionCriteria, WriteConcern,
};
use mongodb::{Collection, Database};

use super::backend::{Backend, Life, Listed, Stored};
use super::bson::{from_json, to_json};
use super::operations::{self, impl_store, refused};
use super::session::Format;
use super::shape::Shape;
use crate::record::Timestamp;
use crate::store::mongodb::{MongoDbBuilder, in_time, is_duplicate, mongodb_error};
use crate::store::patience::patience;
use crate::store::{Cursor, Result, StoreError, StoreErrorKind};

/// Shares the sessions that connect-mongo 3 to 6 keeps in a collection of MongoDB. The
/// [module's docs](super) say what it lacks that [`MongoDb`](crate::store::MongoDb) has.
///
/// * A session is read whether it is a text or, with `stringify: false`, a document. A new one is a
///   text unless [`stringify(false)`](Self::stringify) says otherwise; one that is written over stays
///   what it was. Within a document, a value that has not changed keeps its type and its bits, and a
///   date stays a date; in a list, a value is known by its place. To Rust, as to JSON in Node, a date is its text, bytes are base64, and -0 is 0.
/// * In a document, a new integer is an int32 or a double, as the driver for Node writes it. Where no
///   double is that integer exactly, it is an int64. Beyond those, it is
///   [`Refused`](StoreErrorKind::Refused). So is a session that is nested more than 200 levels deep,
///   which is what MongoDB takes. A refused write changes nothing.
/// * Documents without `expires` are alive, and no touch ends them. One whose `expires` is not a date has
///   ended, as it has for the package.
/// * `lastModified` (option `touchAfter`), `createdAt` and `updatedAt` (`timestamps`) stay as they are.
/// * Sessions that Node encrypts (`crypto`, `cryptoAdapter`) are not read, nor are ids that
///   `transformId` changes.
/// * The collection and its TTL index are the Node service's: this store creates neither. With the
///   index (`autoRemove: 'native'`) [`sweep`](crate::store::Listing::sweep) finds nothing to do.
/// * It needs the actions `find`, `insert`, `update` and `remove` on the collection, and nothing more.
///
/// ```no_run
/// use token_session::store::compat::{ConnectMongo, Lossless, Shape};
/// use token_session::{Lifetime, TokenSession};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Account { user: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = ConnectMongo::connect("mongodb://db.example/shop", Shape::express()).await?;
/// let lifetime = Lifetime::idle_secs(14 * 86_400)?;
/// let sessions = TokenSession::<Lossless<Account>>::builder().store(store);
/// let sessions = sessions.lifetime(lifetime).build()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ConnectMongo {
    database: Database,
    sessions: Collection<Document>,
    stringify: bool,
    timeout: Duration,
    format: Format,
}

impl ConnectMongo {
    /// In the collection `sessions` of a database.
    ///
    /// Reads are from the primary, at read concern `majority`, and writes are acknowledged by a
    /// majority of the servers; the client's own settings have no effect.
    pub fn new(database: &Database, shape: Shape) -> Self {
        Self {
            sessions: collection(database, "sessions"),
            database: database.clone(),
            stringify: true,
            timeout: Duration::from_secs(5),
            format: operations::format::<Self>(shape),
        }
    }

    /// Over a client of its own, as [`MongoDb::connect`](crate::store::MongoDb::connect) opens one.
    ///
    /// # Errors
    /// As there.
    pub async fn connect(url: &str, shape: Shape) -> Result<Self> {
        let database = MongoDbBuilder::default().open(url).await;
        let database = database.map_err(|error| operations::advised(error, advice))?;
        Ok(Self::new(&database, shape))
    }

    /// The collection, the option `collectionName` of the package (`collection` in version 3).
    /// Default: `sessions`.
    #[must_use]
    pub fn collection(mut self, name: &str) -> Self {
        self.sessions = collection(&self.database, name);
        self
    }

    /// Whether a new session is kept as text, as the option `stringify` of the package. Default: yes.
    #[must_use]
    pub fn stringify(mut self, yes: bool) -> Self {
        self.stringify = yes;
        self
    }

    /// How long an operation may take. Default: 5 seconds.
    ///
    /// From a millisecond to 24 days; what is outside is taken as the nearest of these.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = patience(timeout);
        self
    }

    /// A command, within the time that it may take.
    async fn within<T>(
        &self,
        command: impl IntoFuture<Output = mongodb::error::Result<T>, IntoFuture: Send> + Send,
    ) -> Result<T> {
        self.try_within(command).await?.map_err(mongodb_error)
    }

    fn try_within<T>(
        &self,
        command: impl IntoFuture<Output = mongodb::error::Result<T>, IntoFuture: Send> + Send,
    ) -> impl Future<Output = Result<mongodb::error::Result<T>>> + Send {
        in_time(self.timeout, command.into_future())
    }

    /// What a pipeline finds.
    async fn list(&self, pipeline: Vec<Document>) -> Result<Vec<Document>> {
        let command = async {
            let mut cursor = self.sessions.aggregate(pipeline).await?;
            let mut found = Vec::new();
            while cursor.advance().await? {
                found.push(cursor.deserialize_current()?);
            }
            Ok(found)
        };
        self.within(std::pin::pin!(command)).await
    }

    /// The session's new value, in the form of the old one.
    fn session(&self, text: &str, old: Option<&Document>) -> Result<Bson> {
        let old = old.and_then(|old| old.get("session"));
        let is_text = old.map_or(self.stringify, |old| matches!(old, Bson::String(_)));
        if is_text {
            return Ok(Bson::String(text.to_owned()));
        }
        let document = from_json(text, old.and_then(Bson::as_document)).map_err(|error| {
            refused(format!("no document of MongoDB can hold the data: {error}")).with_source(error)
        })?;
        Ok(Bson::Document(document))
    }

    /// The server's clock, for what asks by an index, which `$$NOW` does not use.
    async fn server_date(&self) -> Result<DateTime> {
        let hello = self.within(self.database.run_command(doc! { "hello": 1 })).await?;
        hello.get_datetime("localTime").copied().map_err(|error| {
            let message = "MongoDB did not say what time it is";
            StoreError::new(StoreErrorKind::Unavailable, message).with_source(error)
        })
    }
}

/// A stale read of a secondary would show a session after its end, and one that loses a write over
/// and over.
fn collection(database: &Database, name: &str) -> Collection<Document> {
    let write_concern = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    let options = CollectionOptions::builder()
        .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
        .read_concern(ReadConcern::majority())
        .write_concern(write_concern)
        .build();
    database.collection_with_options(name, options)
}

/// The server's clock. By way of a number, because not every server that speaks MongoDB's protocol
/// compares the date with those in a document.
fn now() -> Document {
    doc! { "$toDate": { "$toLong": "$$NOW" } }
}

fn after(life: Duration) -> Document {
    doc! { "$add": [now(), i64::try_from(life.as_millis()).unwrap_or(i64::MAX / 2)] }
}

/// Alive by what the package asks for: a document without `expires` never ends.
fn is_live() -> Document {
    doc! { "$or": [
        { "$eq": [{ "$type": "$expires" }, "missing"] },
        // As the package asks: what is no date is not compared with one.
        { "$and": [{ "$eq": [{ "$type": "$expires" }, "date"] }, { "$gt": ["$expires", now()] }] },
    ] }
}

fn live(id: &str) -> Document {
    doc! { "_id": id, "session": { "$exists": true }, "$expr": is_live() }
}

/// The live document of this id whose session is this very value.
fn as_it_was(id: &str, old: &Document) -> Document {
    let session = old.get("session").cloned().unwrap_or(Bson::Null);
    doc! { "_id": id, "session": { "$eq": session }, "$expr": is_live() }
}

/// Hands out documents as they are, each beside the clock.
fn with_now() -> Document {
    doc! { "$replaceWith": { "document": "$$ROOT", "now": now() } }
}

/// The session of a document as JSON.
fn text(session: &Bson) -> String {
    match session {
        Bson::String(text) => text.clone(),
        Bson::Document(document) => to_json(document),
        // No object, which is what a damaged record reads as.
        other => other.to_string(),
    }
}

/// What [`with_now`] found, and the document.
fn stored(mut found: Document) -> (Stored, Document) {
    let document = match found.remove("document") {
        Some(Bson::Document(document)) => document,
        _ => Document::new(),
    };
    let date = |document: &Document, name| {
        let date = document.get_datetime(name).ok()?;
        Some(Timestamp::from_millis(date.timestamp_millis().try_into().unwrap_or_default()))
    };
    let text = text(document.get("session").unwrap_or(&Bson::Null));
    let now = date(&found, "now").unwrap_or(Timestamp::from_millis(0));
    (Stored { text: text.into(), expires: date(&document, "expires"), now }, document)
}

/// The same with its id; `None` for an id that is not text.
fn named(found: Document) -> Option<(String, Stored)> {
    let (stored, document) = stored(found);
    Some((document.get_str("_id").ok()?.to_owned(), stored))
}

fn advice(code: &str) -> Option<String> {
    (code == "13").then(|| {
        "MongoDB denies permission; grant the user find, insert, update and remove on the collection"
            .to_owned()
    })
}

impl Backend for ConnectMongo {
    const PACKAGE: &'static str = "connect-mongo";
    const TTL: Duration = Duration::from_secs(14 * 86_400);

    type Old = Document;
    type New = Bson;

    fn advice(&self, code: &str) -> Option<String> {
        advice(code)
    }

    async fn fetch(&self, id: &str) -> Result<Option<(Stored, Document)>> {
        let pipeline = vec![doc! { "$match": live(id) }, with_now()];
        Ok(self.list(pipeline).await?.pop().map(stored))
    }

    async fn fetch_all(&self, ids: &[&str]) -> Result<Vec<(String, Stored)>> {
        let matched = doc! {
            "_id": { "$in": ids }, "session": { "$exists": true }, "$expr": is_live(),
        };
        let documents = self.list(vec![doc! { "$match": matched }, with_now()]).await?;
        Ok(documents.into_iter().filter_map(named).collect())
    }

    fn record(&self, text: &str, like: Option<&Document>) -> Result<Bson> {
        self.session(text, like)
    }

    fn again(old: &Document) -> Bson {
        old.get("session").cloned().unwrap_or(Bson::Null)
    }

    /// A document of this id is left as it is, unless it is dead.
    async fn add(
        &self,
        id: &str,
        session: &Bson,
        life: Option<Duration>,
        like: Option<&Document>,
    ) -> Result<Option<String>> {
        let mut document = doc! { "_id": id, "session": session.clone() };
        for (name, value) in like.into_iter().flatten() {
            if !["_id", "session", "expires"].contains(&name.as_str()) {
                document.insert(name, value);
            }
        }
        // Taken as it is: what stands in a document may look like an expression.
        let mut new = doc! { "$literal": document };
        if let Some(life) = life {
            new = doc! { "$mergeObjects": [new, { "expires": after(life) }] };
        }
        let is_there =
            doc! { "$and": [{ "$ne": [{ "$type": "$session" }, "missing"] }, is_live()] };
        let update = vec![doc! { "$replaceWith": { "$cond": [is_there, "$$ROOT", new] } }];
        let update = self.sessions.update_one(doc! { "_id": id }, update).upsert(true);
        let is_added = match self.try_within(update).await? {
            Ok(done) => done.upserted_id.is_some() || done.modified_count > 0,
            // Another came first.
            Err(error) if is_duplicate(&error) => false,
            Err(error) => return Err(mongodb_error(error)),
        };
        Ok(is_added.then(|| self::text(session)))
    }

    async fn swap(
        &self,
        id: &str,
        old: &Document,
        text: &str,
        life: Life,
    ) -> Result<Option<String>> {
        let session = self.session(text, Some(old))?;
        let mut set = doc! { "session": { "$literal": session.clone() } };
        if let Life::For(life) = life {
            set.insert("expires", after(life));
        }
        let update = vec![doc! { "$set": set }];
        let written = self
            .sessions
            .find_one_and_update(as_it_was(id, old), update)
            .projection(doc! { "_id": 1 })
            .return_document(ReturnDocument::After);
        let written = self.within(written).await?;
        Ok(written.map(|_| self::text(&session)))
    }

    async fn extend(&self, id: &str, old: &Document, life: Duration) -> Result<bool> {
        let update = vec![doc! { "$set": { "expires": after(life) } }];
        let extend = self.sessions.update_one(as_it_was(id, old), update);
        Ok(self.within(extend).await?.matched_count == 1)
    }

    async fn discard(&self, id: &str, old: &Document) -> Result<bool> {
        let discard = self.sessions.delete_one(as_it_was(id, old));
        Ok(self.within(discard).await?.deleted_count == 1)
    }

    async fn clock(&self, _: &str) -> Result<Timestamp> {
        let now = self.server_date().await?.timestamp_millis();
        Ok(Timestamp::from_millis(now.try_into().unwrap_or_default()))
    }

    /// By id, and only ids that are text: Node may have left one of null.
    async fn page(&self, after: Option<&Cursor>, limit: usize) -> Result<Listed> {
        let after = after.map_or("", |after| str::from_utf8(after.as_bytes()).unwrap_or_default());
        let matched = doc! { "_id": { "$gt": after }, "$expr": is_live() };
        let documents = self
            .list(vec![
                doc! { "$match": matched },
                doc! { "$sort": { "_id": 1 } },
                doc! { "$limit": i64::try_from(limit).unwrap_or(i64::MAX) },
                with_now(),
            ])
            .await?;
        Ok(Listed::by_id(documents.into_iter().filter_map(named).collect(), limit))
    }

    async fn count(&self) -> Result<u64> {
        let live = doc! { "_id": { "$type": "string" }, "$expr": is_live() };
        self.within(self.sessions.count_documents(live)).await
    }

    /// Never drops the collection, and its index with it, as the package did before version 6.
    async fn clear(&self) -> Result<()> {
        self.within(self.sessions.delete_many(doc! {})).await.map(drop)
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        let is_dead = doc! { "expires": { "$lte": self.server_date().await? } };
        let dead = self
            .list(vec![
                doc! { "$match": is_dead.clone() },
                doc! { "$limit": i64::try_from(limit.max(1)).unwrap_or(i64::MAX) },
                doc! { "$project": { "_id": 1 } },
            ])
            .await?;
        let ids: Vec<Bson> =
            dead.iter().filter_map(|document| document.get("_id").cloned()).collect();
        if ids.is_empty() || limit == 0 {
            return Ok(0);
        }
        let mut swept = is_dead;
        swept.insert("_id", doc! { "$in": ids });
        let swept = self.within(self.sessions.delete_many(swept)).await?.deleted_count;
        Ok(swept.try_into().unwrap_or(usize::MAX))
    }
}

impl_store!(ConnectMongo);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_settings_of_the_client_weaken_nothing() {
        let url = "mongodb://127.0.0.1/shop?readPreference=secondaryPreferred\
                   &readConcernLevel=local&w=0";
        let client = mongodb::Client::with_uri_str(url).await.unwrap();
        let store = ConnectMongo::new(&client.database("shop"), Shape::express());
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        for store in [store.clone(), store.collection("others")] {
            assert_eq!(store.sessions.selection_criteria(), Some(&primary));
            assert_eq!(store.sessions.read_concern(), Some(&ReadConcern::majority()));
            let written = store.sessions.write_concern().unwrap();
            assert_eq!(
                (&written.w, written.journal),
                (&Some(Acknowledgment::Majority), Some(true))
            );
        }
    }
}
