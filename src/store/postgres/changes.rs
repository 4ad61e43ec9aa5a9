//! What PostgreSQL tells of changed sessions: `LISTEN` and `NOTIFY`.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPool, PgPoolOptions};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Postgres;
use crate::store::sql::store_error;
use crate::store::{Change, Result, StoreError, StoreErrorKind, Watch, Watching};
use crate::token::Key;

/// How long until a lost connection is made again.
const PAUSE: Duration = Duration::from_secs(1);

/// The names of what tells the changes of one table.
#[derive(Debug)]
pub(super) struct Changes {
    /// Whether migrating makes it so.
    pub(super) are_told: bool,
    /// The table, as a statement has it.
    pub(super) table: String,
    /// The channel, which has the table's name.
    pub(super) channel: String,
    /// What creates the triggers.
    pub(super) migration: Arc<str>,
}

impl Watch for Postgres {
    /// Opens a connection of its own, beside those of the pool, and needs a table that was migrated
    /// with [`tell_changes`](super::PostgresBuilder::tell_changes). It does not work through PgBouncer
    /// in transaction mode.
    async fn watch<F>(&self, tell: F) -> Result<Watching>
    where
        F: Fn(Change) + Send + Sync + 'static,
    {
        let Changes { table, channel, .. } = &*self.changes;
        // A connection that listens serves nothing else: from a pool of one, it would leave none.
        let options = PgConnectOptions::clone(&self.client.pool.connect_options());
        let own = PgPoolOptions::new().max_connections(1).acquire_timeout(self.client.timeout);
        let own = own.connect_lazy_with(options);
        let listener = listen(&own, channel).await.map_err(store_error::<sqlx::Postgres>)?;
        let told: bool = sqlx::query_scalar(IS_TOLD)
            .bind(table)
            .bind(format!("{channel}_removed"))
            .fetch_one(&self.client.pool)
            .await
            .map_err(store_error::<sqlx::Postgres>)?;
        if !told {
            return Err(StoreError::new(
                StoreErrorKind::Refused,
                format!(
                    "the table {table} of PostgreSQL does not tell its changes; run migrate() with \
                     tell_changes, or the SQL file 0002_changes.sql"
                ),
            ));
        }
        let channel = channel.clone();
        let task = tokio::spawn(async move { hear(&own, &channel, listener, tell).await });
        Ok(Watching::until_dropped(Task(task)))
    }
}

const IS_TOLD: &str = "
SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass($1) AND tgname = $2)";

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(pool: &PgPool, channel: &str) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    // A loss has to be told before the next connection is there.
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    Ok(listener)
}

/// Tells what the listener hears, and each time that it is lost or found again.
async fn hear(pool: &PgPool, channel: &str, first: PgListener, tell: impl Fn(Change)) {
    let mut listener = Some(first);
    loop {
        if let Some(mut listener) = listener {
            while let Ok(Some(notification)) = listener.try_recv().await {
                tell(change(&notification));
            }
            tell(Change::Any);
        }
        sleep(PAUSE).await;
        listener = listen(pool, channel).await.ok();
        if listener.is_some() {
            tell(Change::Any);
        }
    }
}

fn change(notification: &PgNotification) -> Change {
    let key = STANDARD.decode(notification.payload()).ok();
    match key.and_then(|key| <[u8; 32]>::try_from(key).ok()) {
        Some(key) => Change::Record(Key::from_bytes(key)),
        None => Change::Any,
    }
}

impl Postgres {
    /// Creates the triggers, where that is wanted.
    pub(super) async fn create_triggers(&self) -> Result<()> {
        if !self.changes.are_told {
            return Ok(());
        }
        let mut call = self.client.unhurried();
        loop {
            match call.run(&self.changes.migration).await {
                Ok(()) => return Ok(()),
                Err(failure) => call.recover(failure).await?,
            }
        }
    }
}
