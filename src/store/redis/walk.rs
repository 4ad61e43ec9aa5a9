//! [`Walk`]: goes through the keys of all masters, with `SCAN`.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, RandomState};
use std::mem;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::cluster::Node;
use super::connection::Connection;
use super::error::{is_of_another_type, refused, store_error, unexpected};
use super::script::Script;
use super::slots::slot_of_name;
use crate::store::{Cursor, Result};

/// How many keys a step asks Redis to look at, at most. More would delay the calls of others.
pub(in crate::store) const STEP: usize = 500;

/// How many bytes of records a page holds, at most, if it holds more than one record. All other calls
/// on the connection wait for them.
const PAGE_BYTES: u64 = 1 << 20;

static SIZES: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local sizes = {}
         for number, key in ipairs(KEYS) do
           local size = redis.pcall('STRLEN', key)
           if type(size) == 'table' then
             if not string.find(size.err, 'WRONGTYPE', 1, true) then return size end
             size = 0
           end
           sizes[number] = size
         end
         return sizes",
    )
});

/// A walk through the keys of all masters.
pub(in crate::store) struct Walk {
    nodes: Vec<Node>,
    /// The number of the current node.
    at: usize,
    /// Where `SCAN` continues there.
    cursor: u64,
    /// Names that were found and did not fit on a page. The next step returns them.
    left: Vec<Vec<u8>>,
}

/// What a walk looks for: Redis keys of one type whose names match a pattern.
pub(in crate::store) struct Sought {
    pub(in crate::store) pattern: String,
    pub(in crate::store) kind: &'static str,
}

impl Walk {
    /// Begins, or continues another walk.
    pub(in crate::store) async fn begin(
        connection: &Connection,
        after: Option<&Cursor>,
        deadline: Instant,
    ) -> Result<Self> {
        let nodes = connection.nodes(deadline).await.map_err(store_error)?;
        match after {
            None => Ok(Self { nodes, at: 0, cursor: 0, left: Vec::new() }),
            Some(place) => Self::resume(nodes, place),
        }
    }

    /// The next names; there may be none this time.
    pub(in crate::store) async fn step(
        &mut self,
        connection: &Connection,
        sought: &Sought,
        count: usize,
        deadline: Instant,
    ) -> Result<Vec<Vec<u8>>> {
        if !self.left.is_empty() {
            return Ok(mem::take(&mut self.left));
        }
        let Some(node) = self.nodes.get(self.at) else {
            return Ok(Vec::new());
        };
        let mut command = redis::cmd("SCAN");
        command.arg(self.cursor).arg("MATCH").arg(&sought.pattern);
        command.arg("COUNT").arg(count.clamp(1, STEP)).arg("TYPE").arg(sought.kind);
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

    /// How many of these names, from the first on, have records that fit on one page. A page always has
    /// room for one. The others are left for the next step.
    pub(in crate::store) async fn fit(
        &mut self,
        connection: &Connection,
        mut names: Vec<Vec<u8>>,
        deadline: Instant,
    ) -> Result<usize> {
        if names.is_empty() {
            return Ok(0);
        }
        let sizes = sizes(connection, &names, deadline).await?;
        let mut total = 0;
        let fitting = sizes.iter().take_while(|&&size| {
            total += size;
            total <= PAGE_BYTES
        });
        let fitting = fitting.count().max(1).min(names.len());
        self.left = names.split_off(fitting);
        Ok(fitting)
    }

    pub(in crate::store) fn is_over(&self) -> bool {
        self.at >= self.nodes.len() && self.left.is_empty()
    }

    /// Where the walk continues: `<first slot> <cursor> <address>`, and the names that are left.
    pub(in crate::store) fn place(&self) -> Option<Cursor> {
        if self.is_over() {
            return None;
        }
        let mut place = match self.nodes.get(self.at) {
            Some(Node { first_slot, address }) => format!("{first_slot} {} {address}", self.cursor),
            // Behind the last of them.
            None => format!("{} 0 ", u16::MAX),
        };
        for name in &self.left {
            place.push(' ');
            URL_SAFE_NO_PAD.encode_string(name, &mut place);
        }
        Some(Cursor::new(place))
    }

    /// Continues another walk. A cursor of `SCAN` is valid only on its own server: if another server has
    /// taken over, its part begins again.
    fn resume(nodes: Vec<Node>, place: &Cursor) -> Result<Self> {
        let parse = || {
            let mut words = std::str::from_utf8(place.as_bytes()).ok()?.split(' ');
            let (first_slot, cursor, address) = (words.next()?, words.next()?, words.next()?);
            let left: Option<Vec<_>> =
                words.map(|name| URL_SAFE_NO_PAD.decode(name).ok()).collect();
            Some((first_slot.parse::<u16>().ok()?, cursor.parse::<u64>().ok()?, address, left?))
        };
        let Some((first_slot, cursor, address, left)) = parse() else {
            return Err(refused("the cursor is not one of a Redis store"));
        };
        let at = nodes.iter().take_while(|node| node.first_slot < first_slot).count();
        let is_same = nodes.get(at).is_some_and(|node| node.address == address);
        Ok(Self { nodes, at, cursor: if is_same { cursor } else { 0 }, left })
    }
}

/// How many bytes each key holds; 0 if it holds no string.
async fn sizes(connection: &Connection, names: &[Vec<u8>], deadline: Instant) -> Result<Vec<u64>> {
    if !connection.is_cluster() {
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let sizes = connection.run(&SIZES, 0, &names, &[], deadline).await.map_err(store_error)?;
        return redis::from_redis_value(sizes).map_err(|_| unexpected());
    }
    try_join_all(names.iter().map(async |name| {
        let mut command = redis::cmd("STRLEN");
        command.arg(name);
        match connection.send(&command, slot_of_name(name), deadline).await {
            Ok(size) => redis::from_redis_value(size).map_err(|_| unexpected()),
            Err(error) if is_of_another_type(&error) => Ok(0),
            Err(error) => Err(store_error(error)),
        }
    }))
    .await
}

/// How many names [`Recent`] remembers: from this number to twice as many.
const REMEMBERED: usize = 50_000;

/// The names of the last steps of a walk, so that a count counts each key once.
///
/// `SCAN` names a key again when Redis has shrunk its table meanwhile: all keys that share a place in
/// the smaller table were in places of the larger one that `SCAN` passes one after the other. So the
/// names come close together, and a count needs no memory of all of them.
#[derive(Default)]
pub(in crate::store) struct Recent {
    hasher: RandomState,
    newer: HashSet<u64>,
    older: HashSet<u64>,
}

impl Recent {
    /// Whether the name was not among the last ones. Only its hash is remembered: in one of a hundred
    /// million counts of a million names, two names have the same hash.
    pub(in crate::store) fn is_new(&mut self, name: &impl Hash) -> bool {
        let hash = self.hasher.hash_one(name);
        let is_new = !self.older.contains(&hash) && self.newer.insert(hash);
        if self.newer.len() == REMEMBERED {
            self.older = mem::take(&mut self.newer);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(left: &[&str]) -> Walk {
        let node = |first_slot, address: &str| Node { first_slot, address: address.to_owned() };
        let left = left.iter().map(|name| name.as_bytes().to_vec()).collect();
        Walk { nodes: vec![node(0, "a:1"), node(8192, "b:2")], at: 1, cursor: 17, left }
    }

    #[test]
    fn a_walk_goes_on_with_the_names_that_are_left() {
        for left in [&[][..], &["ts:{0}:s:x"], &["a b", "", "c"]] {
            let place = walk(left).place().unwrap();
            let resumed = Walk::resume(walk(&[]).nodes, &place).unwrap();
            assert_eq!((resumed.at, resumed.cursor), (1, 17));
            assert_eq!(resumed.left, walk(left).left);
        }
    }

    #[test]
    fn a_walk_that_has_names_left_at_its_end_is_not_over() {
        let end = Walk { at: 2, cursor: 0, ..walk(&["x"]) };
        let resumed = Walk::resume(walk(&[]).nodes, &end.place().unwrap()).unwrap();
        assert_eq!((resumed.at, resumed.left.len()), (2, 1));
        assert!(!resumed.is_over());
        assert!(Walk { left: Vec::new(), ..resumed }.is_over());
    }

    #[test]
    fn what_was_named_lately_is_not_new_and_what_was_long_ago_is_forgotten() {
        let mut recent = Recent::default();
        assert!(recent.is_new(&0));
        for name in 1..REMEMBERED {
            assert!(recent.is_new(&name));
            assert!(!recent.is_new(&0), "after {name}");
        }
        for name in 0..2 * REMEMBERED {
            recent.is_new(&(REMEMBERED + name));
        }
        assert!(recent.is_new(&0));
        assert!(recent.newer.len() + recent.older.len() <= 2 * REMEMBERED);
    }
}
