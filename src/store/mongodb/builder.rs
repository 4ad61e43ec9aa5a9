//! [`MongoDbBuilder`]: the settings of the store, and how it opens or takes its database.

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::doc;
use mongodb::event::EventHandler;
use mongodb::options::{
    Acknowledgment, ClientOptions, CollectionOptions, ReadConcern, ReadPreference,
    SelectionCriteria, WriteConcern,
};
use mongodb::{Client, Database};
use tokio::sync::Semaphore;

use super::connectivity::Connectivity;
use super::{MongoDb, error, within};
use crate::store::patience::patience;
use crate::store::{Result, StoreError, StoreErrorKind};

/// Settings of a [`MongoDb`] store.
///
/// ```no_run
/// use std::time::Duration;
/// use token_session::store::MongoDb;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MongoDb::builder()
///     .collection("sessions")
///     .timeout(Duration::from_secs(2))
///     .connect("mongodb://db1.example,db2.example,db3.example/shop?replicaSet=rs0")
///     .await?;
/// store.migrate().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct MongoDbBuilder {
    collection: String,
    partitions: u16,
    linearizable_reads: bool,
    timeout: Duration,
    connections: u32,
}

/// The driver's own default for `maxPoolSize`.
const CONNECTIONS: u32 = 10;

impl Default for MongoDbBuilder {
    fn default() -> Self {
        Self {
            collection: "token_sessions".to_owned(),
            partitions: 1,
            linearizable_reads: false,
            timeout: Duration::from_secs(5),
            connections: CONNECTIONS,
        }
    }
}

impl MongoDbBuilder {
    /// The collection: `token_sessions` by default. Give the store a collection of its own, without a
    /// collation.
    pub fn collection(mut self, name: impl Into<String>) -> Self {
        self.collection = name.into();
        self
    }

    /// The number of [partitions](crate::store::Store::partitions) that the sessions are kept in, for a
    /// sharded cluster: 1 by default, at most 1024. The store can use no more shards than that.
    ///
    /// A change makes the existing sessions unreachable.
    pub fn partitions(mut self, count: u16) -> Self {
        self.partitions = count;
        self
    }

    /// Whether a read waits until a majority of the replica set has confirmed that the primary is
    /// still the primary: no by default.
    ///
    /// It costs each read a round trip among the servers, and an entry in the oplog if there is nothing
    /// else to confirm. A server outside a replica set refuses it.
    pub fn linearizable_reads(mut self, linearizable: bool) -> Self {
        self.linearizable_reads = linearizable;
        self
    }

    /// How long an operation may take, including the wait for a server and a connection: 5 seconds by
    /// default. After that it fails as [`Unavailable`](StoreErrorKind::Unavailable), so no request
    /// hangs. [`count`](crate::store::Listing::count) and
    /// [`clear`](crate::store::Listing::clear), which look at each document, may take sixty times as
    /// long.
    ///
    /// From a millisecond to 24 days. A value outside this range is set to the nearest limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = patience(timeout);
        self
    }

    /// The number of connections of the client that you hand over with [`database`](Self::database):
    /// its `maxPoolSize`, 10 by default. No more operations than that run at once, and an operation
    /// that waits for its turn can be dropped at no cost. 0: no limit. [`connect`](Self::connect) takes
    /// the number from the URL.
    pub fn connections(mut self, most: u32) -> Self {
        self.connections = most;
        self
    }

    /// Opens a client for a URL with a database, such as
    /// `mongodb://user:password@host:27017/database`, and waits until the server answers. Such a store
    /// tells [`Connected`](crate::Event::Connected) and
    /// [`Disconnected`](crate::Event::Disconnected).
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for a setting, a URL or an account that cannot be used,
    /// [`Unavailable`](StoreErrorKind::Unavailable) when no server answers.
    pub async fn connect(self, url: &str) -> Result<MongoDb> {
        let connectivity = Arc::<Connectivity>::default();
        let (database, connections) = self.reach(url, &connectivity).await?;
        self.connections(connections).build(&database, connectivity)
    }

    /// The database of the client that [`connect`](Self::connect) opens, for another store.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn open(&self, url: &str) -> Result<Database> {
        Ok(self.reach(url, &Arc::default()).await?.0)
    }

    async fn reach(&self, url: &str, connectivity: &Arc<Connectivity>) -> Result<(Database, u32)> {
        let mut options = ClientOptions::parse(url).await.map_err(error::in_the_url)?;
        let name = options.default_database.clone().ok_or_else(|| {
            let message = "the URL of MongoDB names no database; \
                           write mongodb://user:password@host:27017/database";
            StoreError::new(StoreErrorKind::Refused, message)
        })?;
        // The driver's default of 30 seconds is longer than any operation may take.
        options.server_selection_timeout.get_or_insert(self.timeout);
        let heard = Arc::clone(connectivity);
        options.sdam_event_handler = Some(EventHandler::callback(move |event| heard.hear(&event)));
        let connections = options.max_pool_size.unwrap_or(CONNECTIONS);
        let client = Client::with_options(options).map_err(error::in_the_url)?;
        let database = client.database(&name);
        within(self.timeout, async {
            database.run_command(doc! { "ping": 1 }).await?;
            Ok(())
        })
        .await?;
        Ok((database, connections))
    }

    /// Uses a database of an existing client. The client's read and write concern do not matter: the
    /// store sets those that its promises need.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for a number of partitions that is out of range.
    pub fn database(self, database: &Database) -> Result<MongoDb> {
        self.build(database, Arc::default())
    }

    fn build(self, database: &Database, connectivity: Arc<Connectivity>) -> Result<MongoDb> {
        if !(1..=1024).contains(&self.partitions) {
            let message =
                format!("MongoDB was given {} partitions; give 1 to 1024", self.partitions);
            return Err(StoreError::new(StoreErrorKind::Refused, message));
        }
        let read_concern = if self.linearizable_reads {
            ReadConcern::linearizable()
        } else {
            ReadConcern::majority()
        };
        let write_concern = WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .journal(true)
            .w_timeout(self.timeout)
            .build();
        let options = CollectionOptions::builder()
            .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
            .read_concern(read_concern)
            .write_concern(write_concern)
            .build();
        let turns = match usize::try_from(self.connections) {
            Ok(most @ 1..) => most.min(Semaphore::MAX_PERMITS),
            _ => Semaphore::MAX_PERMITS,
        };
        Ok(MongoDb {
            sessions: database.collection_with_options(&self.collection, options),
            partitions: self.partitions,
            timeout: self.timeout,
            connectivity,
            turns: Arc::new(Semaphore::new(turns)),
        })
    }
}
