//! [`Redis`]: sessions in Redis or Valkey.

mod abandoned;
mod builder;
mod cluster;
mod connection;
mod connectivity;
mod endpoint;
mod error;
#[cfg(feature = "tracing")]
mod eviction;
mod names;
mod operations;
mod owners;
mod reconnecting;
mod record;
mod scan;
mod script;
mod sentinel;
mod slots;
mod subscriber;
mod tls;
mod tracking;
mod url;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use self::connectivity::Connectivity;
use self::error::store_error;
use self::names::Names;
use self::subscriber::Endpoints;
use super::{Result, Store, StoreError};
use crate::key::Key;
use crate::record::Owner;

pub use self::builder::RedisBuilder;
pub(super) use self::connection::Connection;
pub use self::connection::RedisConnection;
pub(super) use self::error::{
    store_error as redis_error, unexpected as redis_unexpected, was_not_run as redis_was_not_run,
};
pub(super) use self::names::escape;
pub(super) use self::script::Script;
pub(super) use self::slots::slot_of_name;
pub(super) use self::url::answers_to;
pub(super) use self::walk::{Recent, STEP, Sought, Walk};

/// Keeps sessions in Redis 7.0 or later, or in Valkey: on one server, behind Sentinel, or on a
/// Cluster. A clone is the same store.
///
/// ```no_run
/// use token_session::TokenSession;
/// use token_session::store::Redis;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Redis::connect("redis://shop:secret@redis.example/0").await?;
/// let sessions = TokenSession::<String>::builder().store(store).build()?;
/// # Ok(()) }
/// ```
///
/// A service that has a connection hands it over with [`new`](Self::new) or
/// [`RedisBuilder::build`].
///
/// # What does an operation cost?
/// One command, which is one round trip: load, touch and confirm; insert and make room among the
/// owner's sessions; write, hand a secret over, end all sessions of an owner. Behind the command is a
/// script that the server knows by its digest. After a restart the server does not know it; the next
/// call then sends the script along, and takes one round trip more. These take other commands too:
///
/// | call | commands |
/// |---|---|
/// | `alive` | one for each 1,000 keys, all at once; on a Cluster, one for each partition among the keys |
/// | `scan` | `SCAN`, a look at how large the sessions are, and a load of each one on the page, all at once; on a Cluster one more |
/// | `count` | as many `SCAN` as it takes, 500 keys at a time, and a look at the sessions among them, without their data |
/// | `clear` | twice as many `SCAN` as a `count`, and an `UNLINK` for each slot that has some |
/// | `owned` | one for each 1,000 sessions; with the data, also one for each megabyte |
/// | `insert` with a limit, for an owner with more than 1,000 places in the index | one for each 1,000 places, and two more; one more for each 1,000 sessions that have to go |
/// | the first load of a session whose owner's index is lost | 2 |
///
/// No command looks at more than 1,000 sessions, so none delays the others for more than a few
/// milliseconds. A page of a `scan` holds at most a megabyte of records, or one record: it may be
/// shorter than its limit with more to come. A list of more than 1,000 sessions of an owner is not
/// of one moment: a session that ends meanwhile may be on it. Where more than 1,000 sessions have to
/// go for a new one, they go in several steps, the oldest first, and the new one comes with the last.
///
/// A load with a touch that is not due writes nothing: not to the server's memory, to its log or to
/// its replicas. A touch that is due is one `PEXPIREAT`, and at most one more for an owner's index. A
/// confirmation is one `SETRANGE` over the sealed secret. An `insert` with a limit looks at each
/// session of the owner only once the limit is reached.
///
/// On a machine where a `GETEX` by hand took 5.3 µs of the server's CPU, a load with a claim took
/// 11.9 µs, and 13 µs for the session of an owner; a due touch adds less than 1 µs. A session takes
/// about 270 bytes of the server's memory beside owner, details and data, and an owner's index about
/// 100 bytes for the first session.
///
/// # Which clock?
/// The server's, in milliseconds. The store sends spans, and no time of its own. The end of a session
/// is the expiry of its Redis key, so an expired one does not exist for anybody.
///
/// # How do an owner's sessions end together?
/// The owner has an index beside the sessions, in the same hash slot, and a session lives as long as
/// it has a place there. Ending all of them drops the index: one write, after which no load finds any
/// of them, whatever their number. Redis frees the memory of a large index in the background. The
/// records of the first thousand sessions are freed at once, others when their time is up, or when
/// somebody loads them.
///
/// An index lives as long as the longest-lived session that was ever in it, and no longer. Until then
/// an expired session keeps its place, about 100 bytes. Each new session of the owner removes up to
/// four such places, so in the long run they are at most a third of the live ones. A list of the
/// owner's sessions frees them all.
///
/// If an index is lost, its sessions end. No session outlives the place where "end all sessions" looks
/// for it.
///
/// # Does it work on a Cluster?
/// Yes, with the URL `redis-cluster://…` or a `ClusterConnection`. All keys of an operation lie in one
/// hash slot, so no command crosses slots. The store has [256 partitions] there, which lie evenly over
/// the slots; the first bits of a session's key name its owner's partition. On a single server the
/// store has one partition.
///
/// While a slot moves to another master, its sessions stay: a call that cannot be answered meanwhile
/// waits, and is [`Unavailable`](super::StoreErrorKind::Unavailable) when its time is up.
///
/// # What if clients hang up?
/// A server works on each call that it was sent, whether or not somebody still waits for the answer.
/// Once eight such calls are unanswered, further calls wait until there are fewer, so clients that
/// hang up and come back use no more of the server than those that wait. A dropped call costs one
/// `TIME` more; the others cost what they did.
///
/// # What does a scan list?
/// Each session that lives throughout, as `SCAN` does. Some are listed twice, on different pages, while
/// Redis resizes its table, or when a master of a Cluster fails over and its part is listed again. When
/// slots move between masters or a server restarts meanwhile, some may be missing.
///
/// # What if a server fails?
/// A call waits at most [two seconds](RedisBuilder::timeout), and fails as `Unavailable`; while the
/// server refuses connections it fails at once. A command that the server may have run is not sent
/// again, so a write is never done twice. When the server is back, service resumes by itself:
///
/// | what happens | service resumes |
/// |---|---|
/// | a server is restarted | within 0.1 s; a restart between two calls is not noticed |
/// | a server stalls | with its next answer |
/// | a machine disappears silently | after a timeout of a call, when there is a server again |
/// | Sentinel or the Cluster promotes a replica | within 1 s after that |
///
/// Replication is asynchronous: a replica that takes over may lack the last writes, and a logout
/// among them is undone. With `appendfsync everysec`, a crash undoes a logout of the last second. Where
/// that matters, keep sessions short, and see `min-replicas-to-write` and `appendfsync always`.
///
/// # What if its memory is full?
/// By `maxmemory-policy`:
///
/// * `noeviction`, which suits sessions best: new ones and writes fail as
///   [`Full`](super::StoreErrorKind::Full). Live sessions are still read, touched and ended; a new
///   secret is confirmed once there is memory again.
/// * `volatile-ttl`, `volatile-lru`, `volatile-lfu` and the `allkeys-` policies of these names: Redis
///   ends sessions early, those closest to their end or longest unused. When an index is evicted, its
///   owner's sessions end. Do not share the Redis with a cache.
/// * `volatile-random`, `allkeys-random`: any session ends at any time.
///
/// Codes and links need `noeviction`: the record that counts the guesses at a subject's codes can be
/// evicted like any other, and an attacker then has the whole budget of a day again. A store that
/// [connects](Self::connect) logs a warning when the server has a `maxmemory` and may evict, with the
/// feature `tracing` and where its user has the right to `INFO`.
///
/// # Which rights does it need?
/// These, and nothing more, for the default prefix:
///
/// ```text
#[doc = include_str!("rights.acl")]
/// ```
///
/// Beyond them: `+info` for the warning of a server that evicts, `+select` for a database number,
/// `+cluster|slots +ping +asking` on a Cluster, `+role`
/// behind Sentinel, and `+client|tracking` for a [`Cached`](super::Cached) store that watches this
/// one.
///
/// # Under which names?
/// `<prefix>{<tag>}:s:<key>` is a session, a string; `<prefix>{<tag>}:o:<owner>` is an owner's index,
/// a sorted set. The tag is that of the partition, `0` where there is one. Redis keys with another name,
/// or with such a name and another type, are not listed, counted or removed: other programs can keep
/// data under names that begin alike, and so can a store with another number of partitions. `KEYS` and
/// `FLUSHDB` are not used.
///
/// [256 partitions]: RedisBuilder::partitions
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    connection: Connection,
    names: Arc<Names>,
    connectivity: Arc<Connectivity>,
    timeout: Duration,
    /// Where the server pushes changes, if the store has connected by itself.
    endpoints: Option<Endpoints>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("names", &self.0.names).finish_non_exhaustive()
    }
}

impl Redis {
    /// Settings other than the defaults.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// Keeps sessions over an existing connection, a `ConnectionManager` or a `ClusterConnection` of
    /// the crate [`redis`]. Such a store has no [`watch`](super::Store::watch).
    ///
    /// A store that [connects](Self::connect) by itself handles outages better: it follows Sentinel,
    /// replaces a connection that has gone silent, and always connects again.
    pub fn new(connection: impl Into<RedisConnection>) -> Self {
        Self::builder()
            .build(connection)
            .unwrap_or_else(|_| unreachable!("the default settings can be used"))
    }

    /// Opens a connection for a URL, with the default settings; see [`RedisBuilder::connect`].
    ///
    /// # Errors
    /// As [`RedisBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder().connect(url).await
    }

    /// Runs a script on the server that has the partition.
    async fn run(
        &self,
        script: &Script,
        partition: u16,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Result<Value> {
        let Inner { connection, names, connectivity, timeout, .. } = &*self.0;
        let (slot, deadline) = (names.slot(partition), Instant::now() + *timeout);
        match connection.run(script, slot, keys, args, deadline).await {
            Ok(value) => {
                connectivity.succeeded();
                Ok(value)
            }
            Err(error) => {
                if error.is_io_error() {
                    connectivity.failed();
                }
                Err(store_error(error))
            }
        }
    }

    /// Runs a script on one session: first with its name alone, and with its owner's index when
    /// the script asks for that. `None` when there is no live session.
    async fn run_on(&self, script: &Script, key: &Key, args: &[&[u8]]) -> Result<Option<Value>> {
        let partition = key.partition(self.partitions());
        let name = self.0.names.session(key);
        let mut value = self.run(script, partition, &[name.as_bytes()], args).await?;
        if let Value::Array(parts) = &value
            && let [Value::BulkString(index)] = parts.as_slice()
        {
            let keys = [name.as_bytes(), index];
            value = self.run(script, partition, &keys, args).await?;
        }
        match value {
            Value::Nil => Ok(None),
            Value::SimpleString(what) => Err(StoreError::corrupt(key, what)),
            value => Ok(Some(value)),
        }
    }

    /// Runs a script on all sessions of an owner.
    async fn run_on_owner(&self, script: &Script, owner: &Owner, args: &[&[u8]]) -> Result<Value> {
        let partition = owner.partition(self.partitions());
        let names = [self.0.names.index(owner), self.0.names.slot_guard(partition)];
        let keys = [names[0].as_bytes(), names[1].as_bytes()];
        self.run(script, partition, &keys, args).await
    }
}
