//! All sessions of an owner: a thousand records a call, as more would delay the calls of others.

use redis::Value;

use super::error::{refused, unexpected};
use super::operations::{flag, key_from, record_from};
use super::{Redis, script};
use crate::key::Key;
use crate::record::{Owner, Record};
use crate::store::{Cursor, Owners, Page, Result, StoreError};

#[async_trait::async_trait]
impl Owners for Redis {
    async fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Result<Page> {
        let mut place = after.map_or_else(|| Ok(Place::start()), Place::parse)?;
        let mut page = Page { next: after.cloned(), ..Page::default() };
        while page.records.len() < limit {
            let left = (limit - page.records.len()).to_string();
            let args = [left.as_bytes(), &place.score, &place.member, flag(with_data)];
            let answer = self.run_on_owner(&script::OWNED, owner, &args).await?;
            let (next, Value::Array(found)) = place_from(answer)? else {
                return Err(unexpected());
            };
            let (records, damaged) =
                self.0.connectivity.readable(found.into_iter().map(session_from))?;
            page.records.extend(records);
            page.damaged.extend(damaged);
            page.next = next.as_ref().map(Place::cursor);
            match next {
                Some(next) => place = next,
                None => break,
            }
        }
        Ok(page)
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let keep = keep.map_or(String::new(), Key::to_string);
        self.run_on_owner(&script::REMOVE_OWNED, owner, &[keep.as_bytes()]).await?;
        Ok(())
    }
}

impl Redis {
    /// Takes the places of expired sessions out of an owner's index.
    pub(super) async fn prune(&self, owner: &Owner) -> Result<()> {
        let mut next = Some(Place::start());
        while let Some(place) = next {
            let args: [&[u8]; 2] = [&place.score, &place.member];
            let answer = self.run_on_owner(&script::PRUNE, owner, &args).await?;
            (next, _) = place_from(answer)?;
        }
        Ok(())
    }
}

/// A place in an owner's index, whose youngest places come first: when the session began, in
/// milliseconds, and its key.
struct Place {
    score: Vec<u8>,
    member: Vec<u8>,
}

impl Place {
    /// Before the first one.
    fn start() -> Self {
        Self { score: b"+inf".to_vec(), member: Vec::new() }
    }

    fn parse(cursor: &Cursor) -> Result<Self> {
        let parse = || {
            let (score, member) = std::str::from_utf8(cursor.as_bytes()).ok()?.split_once(' ')?;
            let is_place = score.parse::<f64>().is_ok_and(f64::is_finite) && !member.is_empty();
            is_place.then(|| Self { score: score.into(), member: member.into() })
        };
        parse().ok_or_else(|| refused("the cursor is not one of an owner's sessions in Redis"))
    }

    fn cursor(&self) -> Cursor {
        Cursor::new([self.score.as_slice(), b" ", &self.member].concat())
    }
}

/// The place from which the next call goes on, if there is more, and what this call has found.
fn place_from(value: Value) -> Result<(Option<Place>, Value)> {
    let Value::Array(parts) = value else {
        return Err(unexpected());
    };
    let Ok([Value::BulkString(score), Value::BulkString(member), found]) =
        <[Value; 3]>::try_from(parts)
    else {
        return Err(unexpected());
    };
    let is_over = score.is_empty();
    Ok(((!is_over).then_some(Place { score, member }), found))
}

/// A session in a list: its key, and its record, or what is wrong with that.
fn session_from(value: Value) -> Result<(Key, Record)> {
    let Value::Array(parts) = value else {
        return Err(unexpected());
    };
    let Ok([key, record]) = <[Value; 2]>::try_from(parts) else {
        return Err(unexpected());
    };
    let key = key_from(key)?;
    if let Value::SimpleString(what) = record {
        return Err(StoreError::corrupt(&key, what));
    }
    let record = record_from(&key, record)?;
    Ok((key, record))
}
