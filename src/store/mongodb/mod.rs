//! [`MongoDb`]: sessions in MongoDB.

mod administration;
mod builder;
mod condition;
mod connectivity;
mod cursor;
mod document;
mod error;
mod expression;
mod limit;
mod operations;
mod owners;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, Database, IndexModel};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use self::connectivity::Connectivity;
use self::document::binary;
use self::error::Failure;
use super::to_the_end::RunsOn;
use super::{Result, StoreError, StoreErrorKind};
use crate::key::Key;
use crate::record::Owner;

pub use self::builder::MongoDbBuilder;
pub(super) use self::error::{code as mongodb_code, is_duplicate, of_driver as mongodb_error};

/// Keeps sessions in a collection of MongoDB 6.0 or later, one document a session, over MongoDB's own
/// [driver](::mongodb).
///
/// ```no_run
/// use token_session::TokenSession;
/// use token_session::store::MongoDb;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MongoDb::connect("mongodb://db.example/shop").await?;
/// store.migrate().await?;
/// let sessions = TokenSession::<String>::builder().store(store).build()?;
/// # Ok(()) }
/// ```
///
/// If your service has a client already, hand its database over with [`new`](Self::new) or
/// [`MongoDbBuilder::database`]. `mongodb+srv://` URLs need the feature `mongodb-srv`.
///
/// # What does an operation cost?
/// One round trip of one command, with these exceptions:
///
/// | call | round trips |
/// |---|---|
/// | load that restarts the idle timeout, or confirms a handover | 2: a read, and the write when it is due |
/// | remove that hands the record out | 2: a read, and the removal |
/// | insert with an [`OwnerLimit`](super::OwnerLimit) | 2: a read of the owner's sessions, and the write; 1 more to remove expired ones among them; 1 more for each evicted session after the first |
/// | replace or remove whose condition or claim does not hold | 2: the second tells why |
/// | end of all of an owner's sessions | 2 for each 1,000: a read of the oldest, and their removal; 1 more if there are more than 1,000, and 1 more at the end |
/// | a call that loses a race for the record | the same again |
///
/// A load that writes nothing is a read. One `findAndModify` would save the second round trip of a load
/// that writes, but it takes a write ticket and waits for a majority of the servers even if it changes
/// nothing, and most loads change nothing. The read finds the document by its key, and the store
/// compares the proofs. The write has the proofs in its filter, so a claim that has become invalid since
/// the read writes nothing.
///
/// If a connection breaks before the answer comes, the driver sends the command once more. A replica set
/// remembers what it has done and repeats the answer; it does not do it twice.
///
/// # What if a client hangs up?
/// The driver closes a connection when its command is dropped. So an operation that has begun runs on
/// in a task, within its [timeout](MongoDbBuilder::timeout), and the connection goes back to the pool.
/// An operation that works in batches begins no other batch. An operation that waits for a connection is
/// dropped. No more operations run at once than the client has connections. If you hand over a client
/// whose pool does not have the driver's default of 10 connections, tell the store
/// [how many](MongoDbBuilder::connections) it has.
///
/// # What holds when operations race?
/// Each change is one command on one document. MongoDB does that atomically without a transaction, so
/// it works on a single server too. The command's filter holds the version and the proofs that the
/// operation asks for.
///
/// * **All sessions of an owner** end in batches of up to 1,000, the oldest first, over an index of the
///   owner and the beginning, which never change. The next batch finds a session that is written
///   meanwhile. After an error some sessions may live on: repeat the call, and it ends the rest. The
///   call ends even while new sessions begin. `clear` works the same way.
/// * **The owner's limit** is kept by numbered places, which are unique for each owner. If two logins
///   see the same free place, one gets it, and the other reads again. If the oldest session has to end,
///   the new one takes over its document in one update. If a limit was lowered and several sessions have
///   to end at once, the new one takes the place of one of them, and then the others are removed. A
///   crash between these commands leaves them alive until the next login.
///
/// # Which clock?
/// The server's: `$$NOW` in each command, in milliseconds.
///
/// # What is in a document?
/// | field | type | |
/// |---|---|---|
/// | `partition` | int | see [`partitions`](MongoDbBuilder::partitions) |
/// | `key` | binary, 16 bytes | the session's key |
/// | `proof`, `previous_proof` | binary, 33 bytes | of the current secret, and of the one before it in a handover |
/// | `confirmed_at`, `sealed` | date, binary | of a handover: when the current secret was first used; until then, that secret sealed |
/// | `version` | long | |
/// | `idle_ms`, `absolute_ms` | long or null | the two timeouts |
/// | `created_at`, `last_seen`, `deadline`, `expires_at`, `authenticated_at`, `written_at` | date | `written_at`: when the document was last changed |
/// | `owner`, `place` | string, long | `place`: where the owner's limit counts it |
/// | `details`, `data` | binary | |
///
/// A field without a value is missing or null.
///
/// # What survives a crash?
/// A write is acknowledged when a majority of the replica set has it in the journal, whatever the
/// settings of the client are. An acknowledged write survives a crash and a failover.
///
/// Reads are from the primary, at read concern `majority`, so a read never shows a write that a failover
/// can undo. A primary that is cut off and does not know it yet may still serve a session that its
/// successor has ended, until it steps down (10 seconds by default);
/// [`linearizable_reads`](MongoDbBuilder::linearizable_reads) closes that window.
///
/// # Who removes expired documents?
/// The server, by a TTL index, once a minute. An expired session is invisible before that, and
/// [`sweep`](super::Listing::sweep) does nothing.
///
/// # Which rights does it need?
/// `migrate` needs `createIndex` on the collection, and `createCollection` if it does not exist yet. All
/// other operations need these rights alone:
///
/// ```js
/// db.createRole({
///   role: "sessions",
///   privileges: [{
///     resource: { db: "shop", collection: "token_sessions" },
///     actions: ["find", "insert", "update", "remove"],
///   }],
///   roles: [],
/// })
/// ```
///
/// # How does it grow?
/// A replica set does as much as its primary. To go beyond that, set
/// [`partitions`](MongoDbBuilder::partitions) from the start, and shard the collection by
/// `{partition: 1}` (`sh.shardCollection("shop.token_sessions", {partition: 1})`). All sessions of an
/// owner are then on one shard. Each command goes to one shard, except those of `alive`, `scan`, `count`
/// and `clear`. Everything above still holds.
///
/// * Shard by the partition alone. A unique index of a sharded collection has to begin with the shard
///   key, and the index of the owners' places does not contain the session's key.
/// * While the balancer moves a chunk, a `deleteMany` may miss documents in it. MongoDB 8.0 prevents
///   it with the cluster parameter `pauseMigrationsDuringMultiUpdates`; for older ones, set the
///   balancer's window to quiet hours.
///
/// # What was it tested on?
/// On SecantusDB 0.7, a single-node server that speaks MongoDB's protocol, unless `TEST_MONGODB_URL`
/// names another server. `mongod` itself, failover and sharding were not tested.
#[derive(Clone, Debug)]
pub struct MongoDb {
    sessions: Collection<Document>,
    partitions: u16,
    timeout: Duration,
    connectivity: Arc<Connectivity>,
    /// One permit for each connection of the client. An operation that waits for a permit can be
    /// dropped at no cost. With a permit it has a connection or soon gets one, and runs on.
    turns: Arc<Semaphore>,
}

/// The most sessions that one command ends.
const BATCH: usize = 1_000;

impl MongoDb {
    /// Settings other than the defaults.
    pub fn builder() -> MongoDbBuilder {
        MongoDbBuilder::default()
    }

    /// Keeps sessions in the collection `token_sessions` of a database.
    pub fn new(database: &Database) -> Self {
        Self::builder()
            .database(database)
            .unwrap_or_else(|_| unreachable!("the defaults are in range"))
    }

    /// Opens a client for a URL, with the default settings; see [`MongoDbBuilder::connect`].
    ///
    /// # Errors
    /// As [`MongoDbBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder().connect(url).await
    }

    /// Creates the collection and its indexes if they do not exist yet. Any number of servers may do so
    /// at once.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) if the user lacks the right, or if the collection has other
    /// indexes of the same names.
    pub async fn migrate(&self) -> Result<()> {
        let named = |name: &str| IndexOptions::builder().name(name.to_owned());
        let having = |field: &str| doc! { field: { "$exists": true } };
        let indexes = [
            (doc! { "partition": 1, "key": 1 }, named("key").unique(true).build()),
            (doc! { "expires_at": 1 }, named("expires_at").expire_after(Duration::ZERO).build()),
            // These fields never change after the insert: `remove_owned` relies on it.
            (
                doc! { "partition": 1, "owner": 1, "created_at": -1, "_id": -1 },
                named("owned").partial_filter_expression(having("owner")).build(),
            ),
            (
                doc! { "partition": 1, "owner": 1, "place": 1 },
                named("place").unique(true).partial_filter_expression(having("place")).build(),
            ),
        ];
        let indexes = indexes
            .map(|(keys, options)| IndexModel::builder().keys(keys).options(options).build());
        within(self.timeout, async {
            self.sessions.create_indexes(indexes).await?;
            Ok(())
        })
        .await
    }

    /// Runs an operation within a time limit. If its caller drops it after its commands have begun, it
    /// runs on in a task: the driver closes a connection whose command was dropped, and a new one costs
    /// far more than the rest of the operation.
    async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T> {
        let deadline = Instant::now().checked_add(limit);
        let turn = until(deadline, limit, Arc::clone(&self.turns).acquire_owned()).await?;
        RunsOn::new(limit, async move {
            let _turn = turn;
            until(deadline, limit, work).await?.map_err(StoreError::from)
        })
        .await
    }

    /// The partition that all sessions of an owner are in.
    fn partition_of(&self, owner: &Owner) -> i32 {
        owner.partition(self.partitions).into()
    }

    /// The document under a key, dead or alive.
    fn under(&self, key: &Key) -> Document {
        doc! { "partition": i32::from(key.partition(self.partitions)), "key": binary(key.as_bytes()) }
    }
}

/// Waits for MongoDB within a time limit.
pub(super) async fn in_time<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T> {
    until(Instant::now().checked_add(limit), limit, work).await
}

/// As [`in_time`], with a deadline that was set before.
async fn until<T>(
    deadline: Option<Instant>,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T> {
    let Some(deadline) = deadline else {
        return Ok(work.await);
    };
    timeout_at(deadline, work).await.map_err(|_| {
        let message = format!("MongoDB did not answer within {limit:?}");
        StoreError::new(StoreErrorKind::Unavailable, message)
    })
}

/// Runs the commands of an operation within a time limit.
async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T> {
    in_time(limit, work).await?.map_err(StoreError::from)
}
