//! [`SetUp`]: the settings of a new connection, and the error if they fail.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{Either, select};
use sqlx::{AssertSqlSafe, Executor, Pool, raw_sql};
use tokio::sync::Notify;

use super::call::{Server, store_error};
use crate::store::Result;

/// The statements that set up a connection. If they fail, the pool opens one connection after the other,
/// and in the end reports that none was free. So the reason is kept here.
#[derive(Clone, Debug)]
pub(in crate::store) struct SetUp(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sql: Arc<str>,
    failure: Mutex<Option<sqlx::Error>>,
    failed: Notify,
}

impl SetUp {
    pub fn new(sql: impl Into<Arc<str>>) -> Self {
        let (sql, failure, failed) = (sql.into(), Mutex::default(), Notify::new());
        Self(Arc::new(Inner { sql, failure, failed }))
    }

    /// Sets up a connection, for the pool.
    pub async fn run<DB: Server>(self, connection: &mut DB::Connection) -> Result<(), sqlx::Error>
    where
        for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    {
        let sql = raw_sql(AssertSqlSafe(Arc::clone(&self.0.sql)));
        let done = connection.execute(sql).await;
        done.map(drop).map_err(|error| {
            *self.0.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            self.0.failed.notify_one();
            sqlx::Error::Protocol("the connection could not be set up".to_owned())
        })
    }

    /// The pool that is being opened, or why its first connection could not be set up.
    pub async fn open<DB: Server>(
        &self,
        opening: impl Future<Output = Result<Pool<DB>, sqlx::Error>>,
    ) -> Result<Pool<DB>> {
        let opened = match select(pin!(opening), pin!(self.0.failed.notified())).await {
            Either::Left((opened, _)) => opened,
            Either::Right(_) => {
                let failure = self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(failure.unwrap_or(sqlx::Error::PoolTimedOut))
            }
        };
        opened.map_err(store_error::<DB>)
    }
}
