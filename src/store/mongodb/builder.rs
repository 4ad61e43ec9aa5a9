//! [`MongoDbBuilder`]: the settings of the store, and how it comes by its database.

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

use super::presence::Presence;
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
    /// The collection: `token_sessions` by default. It is the store's own, and has no collation.
    pub fn collection(mut self, name: impl Into<String>) -> Self {
        self.collection = name.into();
        self
    }

    /// In how many [partitions](crate::store::Store::partitions) sessions are kept, for a sharded
    /// cluster: 1 by default, at most 1024. It is the most shards that the store can use.
    ///
    /// A change makes the existing sessions unreachable.
    pub fn partitions(mut self, count: u16) -> Self {
        self.partitions = count;
        self
    }

    /// Whether a read waits until a majority of the replica set has confirmed that the primary still
    /// is one: no by default.
    ///
    /// It costs each read a round trip among the servers, and an entry in the oplog where there is
    /// nothing else to confirm. A server that is not in a replica set refuses it.
    pub fn linearizable_reads(mut self, linearizable: bool) -> Self {
        self.linearizable_reads = linearizable;
        self
    }

    /// How long an operation may take, the wait for a server and a connection included: 5 seconds by
    /// default. Past that it fails as [`Unavailable`](StoreErrorKind::Unavailable), so that no
    /// request hangs. [`count`](crate::store::Listing::count) and
    /// [`clear`](crate::store::Listing::clear), which look at each document, may take sixty times as
    /// long.
    ///
    /// From a millisecond to 24 days; what is outside is taken as the nearest of these.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = patience(timeout);
        self
    }

    /// How many connections the client has that is handed over with [`database`](Self::database):
    /// its `maxPoolSize`, 10 by default. No more operations run at once, and those that wait for
    /// their turn can be dropped at no cost. 0: any number. [`connect`](Self::connect) takes it from
    /// the URL.
    pub fn connections(mut self, most: u32) -> Self {
        self.connections = most;
        self
    }

    /// Opens a client of its own for a URL with a database, such as
    /// `mongodb://user:password@host:27017/database`, and waits until the server answers. Such a store
    /// tells [`Connected`](crate::Event::Connected) and
    /// [`Disconnected`](crate::Event::Disconnected).
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for a setting, a URL or an account that cannot be used,
    /// [`Unavailable`](StoreErrorKind::Unavailable) when no server is within reach.
    pub async fn connect(self, url: &str) -> Result<MongoDb> {
        let presence = Arc::<Presence>::default();
        let (database, connections) = self.reach(url, &presence).await?;
        self.connections(connections).build(&database, presence)
    }

    /// The database of the client that [`connect`](Self::connect) opens, for another store.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn open(&self, url: &str) -> Result<Database> {
        Ok(self.reach(url, &Arc::default()).await?.0)
    }

    async fn reach(&self, url: &str, presence: &Arc<Presence>) -> Result<(Database, u32)> {
        let mut options = ClientOptions::parse(url).await.map_err(error::in_the_url)?;
        let name = options.default_database.clone().ok_or_else(|| {
            let message = "the URL of MongoDB names no database; \
                           write mongodb://user:password@host:27017/database";
            StoreError::new(StoreErrorKind::Refused, message)
        })?;
        // The driver's own 30 seconds would outlive every operation.
        options.server_selection_timeout.get_or_insert(self.timeout);
        let heard = Arc::clone(presence);
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

    /// Uses a database of a client that is there already. Its own read and write concern do not
    /// matter: the store has the ones that its promises need.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) for a number of partitions that is out of range.
    pub fn database(self, database: &Database) -> Result<MongoDb> {
        self.build(database, Arc::default())
    }

    fn build(self, database: &Database, presence: Arc<Presence>) -> Result<MongoDb> {
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
            presence,
            turns: Arc::new(Semaphore::new(turns)),
        })
    }
}
