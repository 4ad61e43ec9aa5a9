//! Listing, counting and clearing: what walks through all masters with `SCAN`.

use std::collections::{BTreeMap, HashSet};

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::Redis;
use super::cluster::Node;
use super::connection::Connection;
use super::error::{refused, store_error};
use crate::store::{Cursor, Page, Result, Store, Touch};
use crate::token::Key;

/// How many keys a step asks Redis to look at, at most. More would hold up the calls of others.
const STEP: usize = 500;

/// A walk through the keys of all masters that match a pattern.
pub(in crate::store) struct Walk {
    nodes: Vec<Node>,
    /// Which node is being walked through.
    at: usize,
    /// Where `SCAN` goes on there.
    cursor: u64,
}

impl Redis {
    pub(super) async fn page(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let mut walk = self.walk(after).await?;
        let names = self.step(&mut walk, &self.0.names.session_pattern(), limit).await?;
        let keys = self.keys(&names);
        let loads = keys.iter().map(|key| self.load(key, Touch::No));
        let records = try_join_all(loads).await?;
        Ok(Page {
            records: keys
                .into_iter()
                .zip(records)
                .filter_map(|(key, record)| Some((key, record?)))
                .collect(),
            damaged: Vec::new(),
            next: walk.place(),
        })
    }

    pub(super) async fn count_all(&self) -> Result<u64> {
        let mut walk = self.walk(None).await?;
        let pattern = self.0.names.session_pattern();
        // Redis may name a key twice while it resizes its table.
        let mut live = HashSet::new();
        while !walk.is_over() {
            let keys = self.keys(&self.step(&mut walk, &pattern, STEP).await?);
            let looks = keys.iter().map(|key| self.touch(key, Touch::No));
            let metas = try_join_all(looks).await?;
            let living = keys.iter().zip(metas).filter(|(_, meta)| meta.is_some());
            live.extend(living.map(|(key, _)| key.clone()));
        }
        Ok(live.len() as u64)
    }

    pub(super) async fn clear_all(&self) -> Result<()> {
        let mut walk = self.walk(None).await?;
        let pattern = self.0.names.pattern();
        while !walk.is_over() {
            let mut by_slot = BTreeMap::<u16, Vec<Vec<u8>>>::new();
            for name in self.step(&mut walk, &pattern, STEP).await? {
                by_slot.entry(self.0.names.slot_of(&name)).or_default().push(name);
            }
            let unlinks = by_slot.iter().map(|(&slot, names)| async move {
                let mut command = redis::cmd("UNLINK");
                command.arg(names);
                self.0.connection.send(&command, slot, self.deadline()).await
            });
            try_join_all(unlinks).await.map_err(store_error)?;
        }
        Ok(())
    }

    /// The sessions among these names, each once. Names that a store with another number of
    /// partitions has left behind are none.
    fn keys(&self, names: &[Vec<u8>]) -> Vec<Key> {
        let own = |name: &Vec<u8>| {
            let key = self.0.names.parse(name)?;
            (self.0.names.session(&key).as_bytes() == name).then_some(key)
        };
        let mut keys: Vec<Key> = names.iter().filter_map(own).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    async fn walk(&self, after: Option<&Cursor>) -> Result<Walk> {
        Walk::begin(&self.0.connection, after, self.deadline()).await
    }

    async fn step(&self, walk: &mut Walk, pattern: &str, count: usize) -> Result<Vec<Vec<u8>>> {
        walk.step(&self.0.connection, pattern, count, self.deadline()).await
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.0.timeout
    }
}

impl Walk {
    /// Begins, or goes on where another walk was.
    pub(in crate::store) async fn begin(
        connection: &Connection,
        after: Option<&Cursor>,
        deadline: Instant,
    ) -> Result<Self> {
        let nodes = connection.nodes(deadline).await.map_err(store_error)?;
        match after {
            None => Ok(Self { nodes, at: 0, cursor: 0 }),
            Some(place) => Self::resume(nodes, place),
        }
    }

    /// The names on the next stretch, which may have none.
    pub(in crate::store) async fn step(
        &mut self,
        connection: &Connection,
        pattern: &str,
        count: usize,
        deadline: Instant,
    ) -> Result<Vec<Vec<u8>>> {
        let Some(node) = self.nodes.get(self.at) else {
            return Ok(Vec::new());
        };
        let mut command = redis::cmd("SCAN");
        command.arg(self.cursor).arg("MATCH").arg(pattern);
        command.arg("COUNT").arg(count.clamp(1, STEP));
        let answer = connection.send(&command, node.first_slot, deadline).await;
        let answer = answer.map_err(store_error)?;
        let (cursor, names) = redis::from_redis_value::<(u64, Vec<Vec<u8>>)>(answer)
            .map_err(|error| store_error(error.into()))?;
        self.cursor = cursor;
        if cursor == 0 {
            self.at += 1;
        }
        Ok(names)
    }

    pub(in crate::store) fn is_over(&self) -> bool {
        self.at >= self.nodes.len()
    }

    /// Where the walk goes on: `<first slot> <cursor> <address>`.
    pub(in crate::store) fn place(&self) -> Option<Cursor> {
        let node = self.nodes.get(self.at)?;
        let Node { first_slot, address } = node;
        Some(Cursor::new(format!("{first_slot} {} {address}", self.cursor)))
    }

    /// Goes on where another walk was, as far as the Cluster is still the same. The cursors of a
    /// server mean nothing to another one: where one has taken over, its part begins again.
    fn resume(nodes: Vec<Node>, place: &Cursor) -> Result<Self> {
        let parse = || {
            let text = std::str::from_utf8(place.as_bytes()).ok()?;
            let (first_slot, rest) = text.split_once(' ')?;
            let (cursor, address) = rest.split_once(' ')?;
            Some((first_slot.parse::<u16>().ok()?, cursor.parse::<u64>().ok()?, address))
        };
        let Some((first_slot, cursor, address)) = parse() else {
            return Err(refused("the cursor is not one of a Redis store"));
        };
        let at = nodes.iter().take_while(|node| node.first_slot < first_slot).count();
        let is_same = nodes.get(at).is_some_and(|node| node.address == address);
        Ok(Self { nodes, at, cursor: if is_same { cursor } else { 0 } })
    }
}
