//! How expired rows are found and freed, in a table that has no index for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::Row;

use super::{BATCH, ExpressMysql, query};
use crate::store::sql::{Call, Failure, store_error};
use crate::store::{Cursor, Result};

/// How many rows a transaction frees, each by a statement, as no other way to name them locks these
/// rows alone whatever the collation of their ids.
const FREED: usize = 100;

/// So that a row that is gone by now locks nothing.
const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION";

impl ExpressMysql {
    pub(super) async fn free_expired(&self, limit: usize) -> Result<usize> {
        let mut swept = 0;
        let mut after = lock(&self.swept_to).take();
        let mut from_the_beginning = after.is_none();
        while swept < limit {
            let (expired, last) = self.look(after.as_ref(), limit - swept).await?;
            for ids in expired.chunks(FREED) {
                swept += self.free(ids).await?;
            }
            after = last;
            if after.is_none() {
                if from_the_beginning {
                    break;
                }
                from_the_beginning = true;
            }
        }
        *lock(&self.swept_to) = after;
        Ok(swept)
    }

    /// Up to `limit` expired ids behind a place, and where to go on, if that is not the end.
    async fn look(
        &self,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<(Vec<String>, Option<Cursor>)> {
        let after = after.map_or("", |after| str::from_utf8(after.as_bytes()).unwrap_or_default());
        let rows = self.client.call().rows(|| query(&self.sql.look).bind(after.to_owned())).await?;
        let (mut expired, mut last) = (Vec::new(), None);
        for row in &rows {
            if expired.len() == limit {
                return Ok((expired, last));
            }
            let id: String = row.try_get(0).map_err(store_error::<sqlx::MySql>)?;
            last = Some(Cursor::new(&id));
            if row.try_get(1).map_err(store_error::<sqlx::MySql>)? {
                expired.push(id);
            }
        }
        Ok((expired, last.filter(|_| rows.len() == BATCH)))
    }

    /// Removes those of these ids that are still expired, in one transaction.
    async fn free(&self, ids: &[String]) -> Result<usize> {
        let mut call = self.client.call();
        loop {
            match self.try_free(&call, ids).await {
                Ok(freed) => return Ok(freed),
                Err(failure) => call.recover(failure).await?,
            }
        }
    }

    async fn try_free(
        &self,
        call: &Call<'_, sqlx::MySql>,
        ids: &[String],
    ) -> Result<usize, Failure> {
        let mut transaction = call.begin(BEGIN).await?;
        let mut freed = 0;
        for id in ids {
            let vacate = query(&self.sql.vacate).bind(id.clone()).bind(id.as_bytes().to_vec());
            freed += usize::from(transaction.done(vacate).await?.rows_affected() > 0);
        }
        transaction.end("COMMIT").await?;
        Ok(freed)
    }
}

/// What a panic leaves behind is a place, or none.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
