//! [`Insert`], with the limit of an owner.

use bytes::Bytes;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::{Outcome, Work, WriteStatements, is_alive};
use crate::key::Key;
use crate::proof::Proof;
use crate::record::{Details, Lifetime, Owner, Version};
use crate::store::sql::timeouts;
use crate::store::sqlite::statement::query;
use crate::store::{Inserted, NewRecord, OwnerLimit};

pub(in crate::store::sqlite) struct Insert {
    key: Key,
    data: Bytes,
    details: Details,
    version: Version,
    proof: Option<Proof>,
    lifetime: Lifetime,
    owner: Option<Owner>,
    authenticated: bool,
    limit: Option<OwnerLimit>,
}

impl Insert {
    pub fn new(key: &Key, record: &NewRecord<'_>) -> Self {
        Self {
            key: key.clone(),
            data: record.data.clone(),
            details: record.details.clone(),
            version: record.version,
            proof: record.proof,
            lifetime: record.lifetime,
            owner: record.owner.cloned(),
            authenticated: record.authenticated,
            limit: record.limit,
        }
    }

    /// The owner's sessions that exceed the limit with the new one: up to 1,000, the oldest first.
    async fn surplus(
        &self,
        sql: &WriteStatements,
        connection: &mut SqliteConnection,
        owner: &Owner,
        limit: OwnerLimit,
    ) -> Outcome<Vec<Vec<u8>>> {
        let surplus: i64 = query(&sql.surplus)
            .bind(owner.as_str())
            .bind(i64::from(limit.max().get()) - 1)
            .fetch_one(&mut *connection)
            .await?
            .try_get(0)?;
        if surplus == 0 {
            return Ok(Vec::new());
        }
        query(&sql.oldest)
            .bind(owner.as_str())
            .bind(surplus)
            .fetch_all(connection)
            .await?
            .iter()
            .map(|row| row.try_get(0))
            .collect()
    }
}

/// Overwrites an expired row.
pub(super) const INSERT: &str = "
INSERT INTO {sessions}
    (key, version, idle_ms, absolute_ms, created_at, last_seen, deadline, authenticated_at, owner,
     proof, details, data)
VALUES (?2, ?3, ?4, ?5, ?1, ?1, ?1 + ?5, iif(?6, ?1, NULL), ?7, ?8, ?9, ?10)
ON CONFLICT (key) DO UPDATE SET
    (version, idle_ms, absolute_ms, created_at, last_seen, deadline, authenticated_at, owner,
     proof, previous_proof, confirmed_at, sealed, details, data) =
    (excluded.version, excluded.idle_ms, excluded.absolute_ms, excluded.created_at,
     excluded.last_seen, excluded.deadline, excluded.authenticated_at, excluded.owner,
     excluded.proof, NULL, NULL, NULL, excluded.details, excluded.data)
WHERE expires_at <= ?1";

/// Reads at most 1,000 sessions beyond the limit.
pub(super) const SURPLUS: &str = "
SELECT count(*) FROM (
    SELECT 1 FROM {sessions} WHERE owner = ?2 AND expires_at > ?1
    ORDER BY created_at DESC LIMIT 1000 OFFSET ?3
)";

pub(super) const OLDEST: &str = "
SELECT key FROM {sessions} WHERE owner = ?2 AND expires_at > ?1 ORDER BY created_at LIMIT ?3";

pub(super) const EVICT: &str = "DELETE FROM {sessions} WHERE key = ?2";

impl Work for Insert {
    type Answer = Inserted;

    async fn run(
        &self,
        sql: &WriteStatements,
        connection: &mut SqliteConnection,
    ) -> Outcome<Inserted> {
        let mut evicted = Vec::new();
        if let (Some(owner), Some(limit)) = (&self.owner, self.limit) {
            if is_alive(sql, connection, &self.key, None).await? {
                return Ok(Inserted::KeyTaken);
            }
            let surplus = self.surplus(sql, connection, owner, limit).await?;
            if !surplus.is_empty() && !limit.evicts() {
                return Ok(Inserted::OwnerFull);
            }
            for bytes in surplus {
                query(&sql.evict).bind(bytes.as_slice()).execute(&mut *connection).await?;
                evicted.extend(bytes.as_slice().try_into().ok().map(Key::from_bytes));
            }
        }
        let (idle, absolute) = timeouts(&self.lifetime);
        let done = query(&sql.insert)
            .bind(self.key.as_bytes().as_slice())
            .bind(self.version.get().cast_signed())
            .bind(idle)
            .bind(absolute)
            .bind(self.authenticated)
            .bind(self.owner.as_ref().map(Owner::as_str))
            .bind(self.proof.as_ref().map(|proof| proof.as_bytes().as_slice()))
            .bind(&**self.details.as_bytes())
            .bind(&*self.data)
            .execute(connection)
            .await?;
        Ok(match done.rows_affected() {
            0 => Inserted::KeyTaken,
            _ => Inserted::Done { evicted },
        })
    }
}
