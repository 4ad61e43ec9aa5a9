//! Listing, counting and clearing, which walk through all masters, and the look at many sessions at once.

use std::collections::BTreeMap;

use futures_util::future::{join_all, try_join_all};
use redis::{ErrorKind, RedisResult, ServerErrorKind};
use tokio::time::Instant;

use super::error::{store_error, unexpected};
use super::operations::flag;
use super::walk::{Recent, STEP, Sought, Walk};
use super::{Inner, Redis, script};
use crate::key::Key;
use crate::store::{Cursor, Listing, Load, Page, Result, Store, StoreErrorKind};

/// How many sessions one call judges. More would delay the calls of others.
const JUDGED: usize = 1_000;

/// What the script answers of a live session, and of one that it cannot judge.
const ALIVE: i64 = 1;
const UNSURE: i64 = -1;

#[async_trait::async_trait]
impl Listing for Redis {
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let mut walk = self.walk(after).await?;
        let mut keys = self.keys(&self.step(&mut walk, &self.sessions(), limit).await?);
        let names = keys.iter().map(|key| self.0.names.session(key).into_bytes());
        let fitting = walk.fit(&self.0.connection, names.collect(), self.deadline()).await?;
        keys.truncate(fitting);
        let loads = keys.into_iter().map(async |key| {
            let found = self.load(&key, &Load::new()).await?;
            Ok(found.live().map(|record| (key, record)))
        });
        let (records, damaged) = self.0.connectivity.readable(join_all(loads).await)?;
        let records = records.into_iter().flatten().collect();
        Ok(Page { records, damaged, next: walk.place() })
    }

    async fn count(&self) -> Result<u64> {
        let mut walk = self.walk(None).await?;
        let (sought, mut recent, mut count) = (self.sessions(), Recent::default(), 0);
        while !walk.is_over() {
            let mut keys = self.keys(&self.step(&mut walk, &sought, STEP).await?);
            keys.retain(|key| recent.is_new(key));
            let alive = self.judge(&keys).await?;
            count += alive.into_iter().map(u64::from).sum::<u64>();
        }
        Ok(count)
    }

    async fn clear(&self) -> Result<()> {
        self.clear_all().await
    }

    /// Redis drops expired sessions by itself.
    async fn sweep(&self, _limit: usize) -> Result<usize> {
        Ok(0)
    }
}

impl Redis {
    /// Whether each of these sessions lives.
    pub(super) async fn judge(&self, keys: &[Key]) -> Result<Vec<bool>> {
        let mut alive = vec![false; keys.len()];
        let batches = self.batches(keys);
        let judged = batches.iter().map(|(slot, numbers)| self.judge_batch(keys, numbers, *slot));
        for ((_, numbers), judged) in batches.iter().zip(try_join_all(judged).await?) {
            for (&number, is_alive) in numbers.iter().zip(judged) {
                alive[number] = is_alive;
            }
        }
        Ok(alive)
    }

    /// The numbers of the keys that one call may judge, and their slot: on a Cluster, of one partition.
    fn batches(&self, keys: &[Key]) -> Vec<(u16, Vec<usize>)> {
        let mut by_slot = BTreeMap::<u16, Vec<usize>>::new();
        for (number, key) in keys.iter().enumerate() {
            let is_cluster = self.0.connection.is_cluster();
            let partition = if is_cluster { key.partition(self.partitions()) } else { 0 };
            by_slot.entry(self.0.names.slot(partition)).or_default().push(number);
        }
        let batches = by_slot.iter().flat_map(|(&slot, numbers)| {
            numbers.chunks(JUDGED).map(move |numbers| (slot, numbers.to_vec()))
        });
        batches.collect()
    }

    async fn judge_batch(&self, keys: &[Key], numbers: &[usize], slot: u16) -> Result<Vec<bool>> {
        let Inner { connection, names, .. } = &*self.0;
        let named: Vec<String> =
            numbers.iter().map(|&number| names.session(&keys[number])).collect();
        let named: Vec<&[u8]> = named.iter().map(String::as_bytes).collect();
        // Only on a Cluster can an index that is missing be elsewhere.
        let args = [flag(!connection.is_cluster())];
        let judged = connection.run(&script::ALIVE, slot, &named, &args, self.deadline()).await;
        let answers = match judged {
            Ok(answers) => redis::from_redis_value(answers).map_err(|_| unexpected())?,
            // A Cluster is moving the slot, and some of them are elsewhere already.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::TryAgain) => {
                vec![UNSURE; numbers.len()]
            }
            Err(error) => return Err(store_error(error)),
        };
        let judged = numbers.iter().zip(answers).map(async |(&number, answer)| match answer {
            UNSURE => self.lives(&keys[number]).await,
            answer => Ok(answer == ALIVE),
        });
        try_join_all(judged).await
    }

    /// Whether a session lives, in a call of its own.
    async fn lives(&self, key: &Key) -> Result<bool> {
        match self.load(key, &Load { with_data: false, ..Load::new() }).await {
            Ok(found) => Ok(found.live().is_some()),
            Err(error) if error.kind() == StoreErrorKind::Corrupt => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the keys with exactly the name and the type of a session or of an index of this store. The
    /// indexes go first, and all sessions of owners end with them.
    async fn clear_all(&self) -> Result<()> {
        let (names, partitions) = (&self.0.names, self.partitions());
        let indexes = Sought { pattern: names.index_pattern(), kind: "zset" };
        self.remove_all(&indexes, |name| Some(names.parse_index(name)?.partition(partitions)))
            .await?;
        self.remove_all(&self.sessions(), |name| Some(names.parse(name)?.partition(partitions)))
            .await
    }

    /// Removes the keys that a walk finds and that are the store's own, as `partition_of` says.
    async fn remove_all(
        &self,
        sought: &Sought,
        partition_of: impl Fn(&[u8]) -> Option<u16>,
    ) -> Result<()> {
        let mut walk = self.walk(None).await?;
        while !walk.is_over() {
            let mut by_partition = BTreeMap::<u16, Vec<Vec<u8>>>::new();
            for name in self.step(&mut walk, sought, STEP).await? {
                if let Some(partition) = partition_of(&name) {
                    by_partition.entry(partition).or_default().push(name);
                }
            }
            let unlinks = by_partition.iter().map(|(&partition, names)| async move {
                let mut command = redis::cmd("UNLINK");
                command.arg(names);
                let slot = self.0.names.slot(partition);
                self.0.connection.send(&command, slot, self.deadline()).await
            });
            let unlinked: RedisResult<Vec<_>> = try_join_all(unlinks).await;
            unlinked.map_err(store_error)?;
        }
        Ok(())
    }

    fn sessions(&self) -> Sought {
        Sought { pattern: self.0.names.session_pattern(), kind: "string" }
    }

    /// The sessions among these names, each once.
    fn keys(&self, names: &[Vec<u8>]) -> Vec<Key> {
        let mut keys: Vec<Key> = names.iter().filter_map(|name| self.0.names.parse(name)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    async fn walk(&self, after: Option<&Cursor>) -> Result<Walk> {
        Walk::begin(&self.0.connection, after, self.deadline()).await
    }

    async fn step(&self, walk: &mut Walk, sought: &Sought, count: usize) -> Result<Vec<Vec<u8>>> {
        walk.step(&self.0.connection, sought, count, self.deadline()).await
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.0.timeout
    }
}
