//! [`MongoDb`]: sessions in MongoDB.

mod administration;
mod builder;
mod condition;
mod cursor;
mod document;
mod error;
mod expression;
mod limit;
mod operations;
mod owners;
mod presence;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, Database, IndexModel};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use self::document::binary;
use self::error::Failure;
use self::presence::Presence;
use super::to_the_end::RunsOn;
use super::{Result, StoreError, StoreErrorKind};
use crate::key::Key;
use crate::record::Owner;

pub use self::builder::MongoDbBuilder;
pub(super) use self::error::{code as mongodb_code, is_duplicate, of_driver as mongodb_error};

/// Keeps sessions in a collection of MongoDB 6.0 or later, one document a session, over the
/// [driver](::mongodb) of its makers.
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
/// A service that has a client hands its database over with [`new`](Self::new) or
/// [`MongoDbBuilder::database`]. `mongodb+srv://` URLs need the feature `mongodb-srv`.
///
/// # What does an operation cost?
/// One round trip of one command, with these exceptions:
///
/// | call | round trips |
/// |---|---|
/// | load that restarts the idle timeout, or confirms a handover | 2: a read, and the write when it is due |
/// | remove that hands the record out | 2: a read, and the removal |
/// | insert with an [`OwnerLimit`](super::OwnerLimit) | 2: a look at the owner's sessions, and the write; 1 more to clear away what has expired among them; 1 more for each session beyond the first that goes |
/// | replace or remove whose condition or claim does not hold | 2: the second tells why |
/// | end of all of an owner's sessions | 2 for each 1,000: a look at the oldest, and their removal; 1 more where there are more than that, and at the end |
/// | one that another operation on the same record outran | the same again |
///
/// A load that writes nothing is a read. That is why a load is not one `findAndModify`: with nothing to
/// write that leaves nothing in the oplog either, but it takes a write ticket and waits for a majority
/// of the servers, at each request, for the one write in a touch interval. The read finds the document
/// by its key; the store compares the proofs itself. The write names the proofs once more, so a claim
/// that was good at the read and is not any more writes nothing.
///
/// The driver sends a command once more when its connection broke before the answer came. A replica
/// set remembers what it has done and answers that, rather than do it twice.
///
/// # What if a client hangs up?
/// The driver closes a connection when its command is dropped. So an operation that has begun runs on
/// in a task, within its [timeout](MongoDbBuilder::timeout), and the connection goes back to the pool.
/// One that works in batches begins no other batch. One that waits for a connection is dropped. No more
/// operations run at once than the client has connections; a store on a client that it did not open has
/// to be told [how many](MongoDbBuilder::connections) that are, where it is not the driver's default of
/// 10.
///
/// # What holds when operations race?
/// Everything changes one document by one command, which MongoDB does atomically, with no
/// transaction: it works on a single server as on a replica set. The command's filter holds the
/// version and the proofs that the operation asks for.
///
/// * **All sessions of an owner** end in batches of up to 1,000, the oldest first, over an index on
///   what never changes of a session, its owner and its beginning. One that is written meanwhile stays
///   where the next look finds it. After an error some sessions may live on: repeat
///   the call, and it ends the rest. Sessions that begin after the call do not keep it from ending.
///   `clear` works alike.
/// * **The owner's limit** is kept by numbered places, unique for each owner: of two logins that see
///   the same free place one gets it, and the other looks again. Where the oldest session goes, the
///   newcomer takes over its document in one update. When a limit was lowered and several go at
///   once, the newcomer takes the place of one and then the others are removed; a crash between
///   leaves them alive until the next login.
///
/// # Which clock?
/// The server's, as `$$NOW` within the command, in milliseconds.
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
/// Writes are acknowledged when a majority of the replica set has them in its journal, whatever the
/// client's own settings say: nothing acknowledged is lost, neither by a crash nor by a failover.
///
/// Reads are from the primary, at read concern `majority`, so that none shows what a failover would
/// take back. A primary that was cut off and does not know it yet may go on serving a session that
/// its successor has ended, until it steps down (10 seconds by default);
/// [`linearizable_reads`](MongoDbBuilder::linearizable_reads) closes that window.
///
/// # Who removes expired documents?
/// The server, by a TTL index, once a minute. No verdict hangs on it, and
/// [`sweep`](super::Listing::sweep) does nothing.
///
/// # Which rights does it need?
/// `migrate` needs `createIndex` on the collection, and `createCollection` where it is not there
/// yet. All else needs this, and nothing more:
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
/// One replica set does as much as its primary. Beyond that, set
/// [`partitions`](MongoDbBuilder::partitions) from the start, and shard the collection by
/// `{partition: 1}` (`sh.shardCollection("shop.token_sessions", {partition: 1})`): all sessions of
/// an owner are on one shard, each command but those of `scan`, `count` and `clear` goes to one shard
/// only, and everything above holds.
///
/// * Shard by the partition alone. A unique index of a sharded collection has to begin with the shard
///   key, and the one of the owners' places does not hold the session's key.
/// * While the balancer moves a chunk, a `deleteMany` may miss documents in it. MongoDB 8.0 prevents
///   it with the cluster parameter `pauseMigrationsDuringMultiUpdates`; for older ones, set the
///   balancer's window to quiet hours.
///
/// # Against what was it tested?
/// Against SecantusDB 0.7, a single-node server of MongoDB's protocol, unless `TEST_MONGODB_URL`
/// names another one. Failover and sharding were not.
#[derive(Clone, Debug)]
pub struct MongoDb {
    sessions: Collection<Document>,
    partitions: u16,
    timeout: Duration,
    presence: Arc<Presence>,
    /// One for each connection of the client. An operation that waits for a turn can be dropped
    /// without a trace; with a turn, it has a connection or is about to, and runs on.
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

    /// Creates the collection and its indexes, where they are not there yet. Any number of servers
    /// may do so at once.
    ///
    /// # Errors
    /// [`Refused`](StoreErrorKind::Refused) when the user may not, or when indexes of the same names
    /// are there that are others.
    pub async fn migrate(&self) -> Result<()> {
        let named = |name: &str| IndexOptions::builder().name(name.to_owned());
        let having = |field: &str| doc! { field: { "$exists": true } };
        let indexes = [
            (doc! { "partition": 1, "key": 1 }, named("key").unique(true).build()),
            (doc! { "expires_at": 1 }, named("expires_at").expire_after(Duration::ZERO).build()),
            // Of fields that are written once, with the document: `remove_owned` relies on it.
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

    /// Runs an operation, for so long at most. If its caller drops it once its commands have begun,
    /// it runs on in a task: the driver closes a connection whose command was dropped, and a new one
    /// costs far more than the rest of the operation.
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

/// Waits for MongoDB, for so long at most.
pub(super) async fn in_time<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T> {
    until(Instant::now().checked_add(limit), limit, work).await
}

/// As [`in_time`], where the time has been running.
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

/// Runs the commands of an operation, for so long at most.
async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T> {
    in_time(limit, work).await?.map_err(StoreError::from)
}
