//! What concerns all sessions of an owner: a thousand records a call, as more would hold up the calls
//! of others.

use std::collections::HashSet;

use redis::Value;

use super::error::unexpected;
use super::operations::{key_from, record_from};
use super::{Redis, script};
use crate::key::Key;
use crate::record::{Meta, Owner};
use crate::store::{Result, StoreError};

/// The time from which on to look at an index whose youngest places come first.
const NOW: &str = "+inf";

impl Redis {
    pub(super) async fn list_owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        let (mut sessions, mut from) = (Vec::<(Key, Meta)>::new(), NOW.to_owned());
        // Each call shows again the sessions of the millisecond at which the one before it stopped.
        let mut seen = HashSet::new();
        while !from.is_empty() && sessions.len() < limit {
            let again = from.parse().map_or(0, |millis: u64| {
                let began = |(_, meta): &&(Key, Meta)| meta.created_at.as_millis() == millis;
                sessions.iter().rev().take_while(began).count()
            });
            let left = (limit - sessions.len()).saturating_add(again).to_string();
            let args = [left.as_bytes(), from.as_bytes()];
            let (place, found) =
                place_from(self.run_on_owner(&script::OWNED, owner, &args).await?)?;
            let Value::Array(found) = found else {
                return Err(unexpected());
            };
            let found = found.into_iter().map(session_from);
            let (found, _) = self.0.presence.readable(found)?;
            for (key, meta) in found {
                if !seen.contains(&key) {
                    sessions.push((key, meta));
                }
            }
            if !place.is_empty() {
                seen.extend(sessions[seen.len()..].iter().map(|(key, _)| key.clone()));
            }
            from = place;
        }
        sessions.truncate(limit);
        Ok(sessions)
    }

    /// Takes the places of expired sessions out of an owner's index.
    pub(super) async fn prune(&self, owner: &Owner) -> Result<()> {
        let mut from = NOW.to_owned();
        while !from.is_empty() {
            let answer = self.run_on_owner(&script::PRUNE, owner, &[from.as_bytes()]).await?;
            (from, _) = place_from(answer)?;
        }
        Ok(())
    }
}

/// From where on the next call looks, and what this one has found.
fn place_from(value: Value) -> Result<(String, Value)> {
    let Value::Array(parts) = value else {
        return Err(unexpected());
    };
    let Ok([Value::BulkString(place), found]) = <[Value; 2]>::try_from(parts) else {
        return Err(unexpected());
    };
    Ok((String::from_utf8(place).map_err(|_| unexpected())?, found))
}

/// A session in a list: its key, and its record without the data, or what is wrong with that.
fn session_from(value: Value) -> Result<(Key, Meta)> {
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
    let meta = record_from(&key, record)?.meta;
    Ok((key, meta))
}
