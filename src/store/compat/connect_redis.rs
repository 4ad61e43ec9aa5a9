//! [`ConnectRedis`]: what connect-redis keeps.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use redis::{RedisResult, Value};
use tokio::time::Instant;

use super::backend::{Backend, Life, Listed, Stored};
use super::operations::{self, impl_store, refused};
use super::session::Format;
use super::shape::Shape;
use crate::record::Timestamp;
use crate::store::patience::patience;
use crate::store::redis::{
    Connection, Recent, RedisBuilder, RedisConnection, STEP, Script, Sought, Walk, escape,
    redis_error, redis_unexpected, slot_of_name,
};
use crate::store::{Cursor, Result};

/// The text, the milliseconds that are left to it (-1: it does not end), the clock. connect-redis
/// takes an empty text for none.
static FETCH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local text = redis.call('GET', KEYS[1])
         if not text or text == '' then return false end
         return {text, redis.call('PTTL', KEYS[1]), redis.call('TIME')}",
    )
});

/// ARGV: the text that was read, the new one, its milliseconds or nothing for those that are left.
static SWAP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
         local life = tonumber(ARGV[3]) or redis.call('PTTL', KEYS[1])
         if life < 0 then
           redis.call('SET', KEYS[1], ARGV[2])
         else
           redis.call('SET', KEYS[1], ARGV[2], 'PX', math.max(life, 1))
         end
         return 1",
    )
});

/// ARGV: the text that was read, the milliseconds.
static EXTEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
         return redis.call('PEXPIRE', KEYS[1], ARGV[2])",
    )
});

/// ARGV: the text that was read.
static DISCARD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
         return redis.call('DEL', KEYS[1])",
    )
});

/// As [`DISCARD`]. A Redis that has reached its `maxmemory` refuses the first command, so the script ends
/// there: it would take the removal, and not the record's new place after it.
static WITHDRAW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
         redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL')
         return redis.call('DEL', KEYS[1])",
    )
});

/// Shares the sessions that connect-redis 3 to 10 keeps in Redis: under `sess:<id>`, or another
/// prefix, as JSON with a time to live. The
/// [module's docs](super) say what it lacks that [`Redis`](crate::store::Redis) has.
///
/// * Records without a time to live (`disableTTL`) are alive, and no touch gives them one.
/// * `token-session` on version 3 without its option `ttl` deletes what it reads: give such a peer its
///   `ttl`. With it, version 3 has a session of express-session live by the `ttl`, whatever its
///   cookie's `maxAge` says; later versions, and this store, go by the `maxAge`, so that a touch here
///   shortens such a session to it. Beside a `maxAge`, leave the `ttl` of version 3 away, or make both
///   the same.
/// * On a Redis Cluster all of it works. There, `all` and `clear` of connect-redis 9 fail, and its
///   versions 7 and 8 count one node or batches.
/// * It needs Redis 6.2 or newer, or Valkey.
/// * Every string under the prefix is a session to this store, as it is to connect-redis. Give the sessions
///   a prefix that nothing else has. A key of another type is not listed, counted or removed.
/// * Without a prefix, [`clear`](crate::store::Listing::clear) is refused: it would empty the database.
/// * The count is of keys: it includes strings that are not sessions, which a listing leaves out. It asks for 500
///   keys at a time.
/// * A page of a listing holds a megabyte at most, or one session.
/// * It needs these rights, and nothing more:
///   `~sess:* +evalsha +eval +get +strlen +pttl +time +set +pexpire +del +scan +unlink`. Beyond them, `+select`
///   for a database number, `+cluster|slots +ping +asking` on a Cluster, `+role` behind Sentinel.
///
/// ```no_run
/// use std::time::Duration;
/// use token_session::store::compat::{ConnectRedis, Shape};
/// use token_session::{Lifetime, TokenSession};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // The Node service: new TokenSession({ store: new Redis({ client, prefix: 'tokensess:' }) })
/// let store = ConnectRedis::connect("redis://10.0.0.7", Shape::token_session())
///     .await?
///     .prefix("tokensess:");
/// let lifetime = Lifetime::idle_secs(86_400)?;
/// let sessions = TokenSession::<String>::builder().store(store).lifetime(lifetime).build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ConnectRedis {
    connection: Connection,
    prefix: String,
    timeout: Duration,
    format: Format,
}

impl std::fmt::Debug for ConnectRedis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectRedis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl ConnectRedis {
    /// On a connection that the application has already, or one of
    /// [`RedisBuilder::connection`].
    pub fn new(connection: impl Into<RedisConnection>, shape: Shape) -> Self {
        Self {
            connection: connection.into().0,
            prefix: "sess:".to_owned(),
            timeout: Duration::from_secs(2),
            format: operations::format::<Self>(shape),
        }
    }

    /// On a connection of its own; the URL is as for
    /// [`Redis::connect`](crate::store::Redis::connect).
    ///
    /// # Errors
    /// As there.
    pub async fn connect(url: &str, shape: Shape) -> Result<Self> {
        Ok(Self::new(RedisBuilder::default().connection(url).await?, shape))
    }

    /// What the keys begin with. Default: `sess:`, as in connect-redis.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a command waits for its answer. Default: two seconds.
    ///
    /// From a millisecond to 24 days; what is outside is taken as the nearest of these.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = patience(timeout);
        self
    }

    fn name(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    async fn run(&self, script: &Script, id: &str, args: &[&[u8]]) -> RedisResult<Value> {
        let name = self.name(id);
        let slot = slot_of_name(name.as_bytes());
        self.connection.run(script, slot, &[name.as_bytes()], args, self.deadline()).await
    }

    /// Runs a script that says whether it found the record as it was.
    async fn run_if(&self, script: &Script, id: &str, args: &[&[u8]]) -> Result<bool> {
        match self.run(script, id, args).await.map_err(redis_error)? {
            Value::Int(found) => Ok(found == 1),
            _ => Err(redis_unexpected()),
        }
    }

    async fn send(&self, command: &redis::Cmd, slot: u16) -> Result<Value> {
        self.connection.send(command, slot, self.deadline()).await.map_err(redis_error)
    }

    /// The record under a name, one of many; none where something else lies there.
    async fn listed(&self, id: &str) -> Result<Option<Stored>> {
        match self.run(&FETCH, id, &[]).await {
            Ok(value) => stored(value),
            // Before version 7 it is within the error of the script.
            Err(error) if error.to_string().contains("WRONGTYPE") => Ok(None),
            Err(error) => Err(redis_error(error)),
        }
    }

    /// The ids on the next stretch of a walk.
    async fn step(&self, walk: &mut Walk, limit: usize) -> Result<HashSet<String>> {
        let pattern = format!("{}*", escape(&self.prefix));
        let sought = Sought { pattern, kind: "string" };
        let names = walk.step(&self.connection, &sought, limit, self.deadline()).await?;
        let ids = names.into_iter().filter_map(|name| {
            let name = String::from_utf8(name).ok()?;
            name.strip_prefix(&self.prefix).map(str::to_owned)
        });
        Ok(ids.collect())
    }
}

fn stored(value: Value) -> Result<Option<Stored>> {
    let parts = match value {
        Value::Nil => return Ok(None),
        Value::Array(parts) => <[Value; 3]>::try_from(parts).map_err(|_| redis_unexpected())?,
        _ => return Err(redis_unexpected()),
    };
    let [Value::BulkString(text), Value::Int(left), time] = parts else {
        return Err(redis_unexpected());
    };
    let now = clock(time)?;
    let expires = u64::try_from(left).ok().map(|left| now + Duration::from_millis(left));
    Ok(Some(Stored { text: text.into(), expires, now }))
}

/// What `TIME` answers.
fn clock(time: Value) -> Result<Timestamp> {
    let (seconds, micros): (u64, u64) =
        redis::from_redis_value(time).map_err(|_| redis_unexpected())?;
    Ok(Timestamp::from_millis(seconds * 1000 + micros / 1000))
}

/// Milliseconds that Redis takes: not zero.
fn millis(life: Duration) -> String {
    life.as_millis().max(1).to_string()
}

impl Backend for ConnectRedis {
    const PACKAGE: &'static str = "connect-redis";
    const TTL: Duration = Duration::from_secs(86_400);

    type Old = Bytes;
    type New = String;

    async fn fetch(&self, id: &str) -> Result<Option<(Stored, Bytes)>> {
        let found = stored(self.run(&FETCH, id, &[]).await.map_err(redis_error)?)?;
        Ok(found.map(|stored| (stored.clone(), stored.text)))
    }

    async fn fetch_all(&self, ids: &[&str]) -> Result<Vec<(String, Stored)>> {
        let found = try_join_all(ids.iter().map(|id| self.listed(id))).await?;
        let found = ids.iter().zip(found);
        Ok(found.filter_map(|(id, stored)| Some(((*id).to_owned(), stored?))).collect())
    }

    fn record(&self, text: &str, _: Option<&Bytes>) -> Result<String> {
        Ok(text.to_owned())
    }

    fn again(old: &Bytes) -> String {
        String::from_utf8_lossy(old).into_owned()
    }

    async fn add(
        &self,
        id: &str,
        text: &String,
        life: Option<Duration>,
        _: Option<&Bytes>,
    ) -> Result<Option<String>> {
        let name = self.name(id);
        let mut command = redis::cmd("SET");
        command.arg(&name).arg(text).arg("NX");
        if let Some(life) = life {
            command.arg("PX").arg(millis(life));
        }
        let answer = self.send(&command, slot_of_name(name.as_bytes())).await?;
        Ok((answer == Value::Okay).then(|| text.to_owned()))
    }

    async fn swap(&self, id: &str, old: &Bytes, text: &str, life: Life) -> Result<Option<String>> {
        let life = match life {
            Life::Keep => String::new(),
            Life::For(life) => millis(life),
        };
        let args = [old, text.as_bytes(), life.as_bytes()];
        Ok(self.run_if(&SWAP, id, &args).await?.then(|| text.to_owned()))
    }

    async fn extend(&self, id: &str, old: &Bytes, life: Duration) -> Result<bool> {
        self.run_if(&EXTEND, id, &[old, millis(life).as_bytes()]).await
    }

    async fn discard(&self, id: &str, old: &Bytes) -> Result<bool> {
        self.run_if(&DISCARD, id, &[old]).await
    }

    async fn withdraw(&self, id: &str, old: &Bytes) -> Result<bool> {
        self.run_if(&WITHDRAW, id, &[old]).await
    }

    async fn clock(&self, id: &str) -> Result<Timestamp> {
        clock(self.send(&redis::cmd("TIME"), slot_of_name(self.name(id).as_bytes())).await?)
    }

    async fn page(&self, after: Option<&Cursor>, limit: usize) -> Result<Listed> {
        let mut walk = Walk::begin(&self.connection, after, self.deadline()).await?;
        let mut ids: Vec<String> = self.step(&mut walk, limit).await?.into_iter().collect();
        let names = ids.iter().map(|id| self.name(id).into_bytes()).collect();
        ids.truncate(walk.fit(&self.connection, names, self.deadline()).await?);
        let found = try_join_all(ids.iter().map(|id| self.listed(id))).await?;
        let found = ids.into_iter().zip(found).filter_map(|(id, stored)| Some((id, stored?)));
        Ok(Listed { found: found.collect(), next: walk.place() })
    }

    async fn count(&self) -> Result<u64> {
        let mut walk = Walk::begin(&self.connection, None, self.deadline()).await?;
        let (mut recent, mut count) = (Recent::default(), 0);
        while !walk.is_over() {
            let step = self.step(&mut walk, STEP).await?;
            count += step.iter().filter(|id| recent.is_new(id)).count() as u64;
        }
        Ok(count)
    }

    async fn clear(&self) -> Result<()> {
        if self.prefix.is_empty() {
            return Err(refused(
                "connect-redis has no prefix here, so all keys of the database would be removed; use \
                 FLUSHDB if that is what you want",
            ));
        }
        let mut walk = Walk::begin(&self.connection, None, self.deadline()).await?;
        while !walk.is_over() {
            let ids = self.step(&mut walk, STEP).await?;
            let removals = ids.iter().map(|id| async move {
                let name = self.name(id);
                let slot = slot_of_name(name.as_bytes());
                self.send(redis::cmd("UNLINK").arg(name), slot).await
            });
            try_join_all(removals).await?;
        }
        Ok(())
    }

    /// Redis drops expired records by itself.
    async fn sweep(&self, _: usize) -> Result<usize> {
        Ok(0)
    }
}

impl_store!(ConnectRedis);
