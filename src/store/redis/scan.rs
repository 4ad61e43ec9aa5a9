//! Listing, counting and clearing: what walks through all masters.

use std::collections::BTreeMap;

use futures_util::future::{join_all, try_join_all};
use redis::{ErrorKind, RedisResult, ServerErrorKind, Value};
use tokio::time::Instant;

use super::error::{store_error, unexpected};
use super::walk::{Recent, STEP, Sought, Walk};
use super::{Redis, script};
use crate::key::Key;
use crate::store::{Cursor, Page, Result, Store, StoreErrorKind, Touch};

impl Redis {
    pub(super) async fn page(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let mut walk = self.walk(after).await?;
        let mut keys = self.keys(&self.step(&mut walk, &self.sessions(), limit).await?);
        let names = keys.iter().map(|key| self.0.names.session(key).into_bytes());
        let fitting = walk.fit(&self.0.connection, names.collect(), self.deadline()).await?;
        keys.truncate(fitting);
        let loads = keys.into_iter().map(async |key| {
            let record = self.load(&key, Touch::No).await?;
            Ok(record.map(|record| (key, record)))
        });
        let (records, damaged) = self.0.presence.readable(join_all(loads).await)?;
        let records = records.into_iter().flatten().collect();
        Ok(Page { records, damaged, next: walk.place() })
    }

    pub(super) async fn count_all(&self) -> Result<u64> {
        let mut walk = self.walk(None).await?;
        let (sought, mut recent, mut count) = (self.sessions(), Recent::default(), 0);
        while !walk.is_over() {
            let keys = self.keys(&self.step(&mut walk, &sought, STEP).await?);
            let mut by_partition = BTreeMap::<u16, Vec<Key>>::new();
            for key in keys.into_iter().filter(|key| recent.is_new(key)) {
                by_partition.entry(key.partition(self.partitions())).or_default().push(key);
            }
            let counts =
                by_partition.iter().map(|(&partition, keys)| self.count_of(partition, keys));
            count += try_join_all(counts).await?.into_iter().sum::<u64>();
        }
        Ok(count)
    }

    /// How many of these sessions of one partition live.
    async fn count_of(&self, partition: u16, keys: &[Key]) -> Result<u64> {
        let names: Vec<String> = keys.iter().map(|key| self.0.names.session(key)).collect();
        let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        let slot = self.0.names.slot(partition);
        let counted =
            self.0.connection.run(&script::COUNT, slot, &names, &[], self.deadline()).await;
        let (live, unsure) = match counted {
            Ok(answer) => count_from(answer, keys)?,
            // A Cluster is moving the slot, and some of them are elsewhere already.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::TryAgain) => {
                (0, keys.iter().collect())
            }
            Err(error) => return Err(store_error(error)),
        };
        let mut count = live;
        for meta in join_all(unsure.into_iter().map(|key| self.touch(key, Touch::No))).await {
            match meta {
                Ok(meta) => count += u64::from(meta.is_some()),
                Err(error) if error.kind() == StoreErrorKind::Corrupt => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Removes what has exactly the name and the type of a session or of an index of this store. The
    /// indexes go first, and all sessions of owners end with them.
    pub(super) async fn clear_all(&self) -> Result<()> {
        let (names, partitions) = (&self.0.names, self.partitions());
        let indexes = Sought { pattern: names.index_pattern(), kind: "zset" };
        self.remove_all(&indexes, |name| Some(names.parse_index(name)?.partition(partitions)))
            .await?;
        self.remove_all(&self.sessions(), |name| Some(names.parse(name)?.partition(partitions)))
            .await
    }

    /// Removes what a walk finds and `partition_of` knows for the store's own.
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

/// How many the script has counted, and those of which it is not sure.
fn count_from(answer: Value, keys: &[Key]) -> Result<(u64, Vec<&Key>)> {
    let (live, unsure): (u64, Vec<usize>) =
        redis::from_redis_value(answer).map_err(|_| unexpected())?;
    let unsure: Option<Vec<_>> =
        unsure.into_iter().map(|number| keys.get(number.checked_sub(1)?)).collect();
    Ok((live, unsure.ok_or_else(unexpected)?))
}
