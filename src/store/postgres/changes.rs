//! How PostgreSQL tells which sessions have changed: `LISTEN` and `NOTIFY`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sqlx::Row;
use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPool, PgPoolOptions};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::Postgres;
use super::statement::{Sending, Statement};
use crate::key::Key;
use crate::store::sql::{Failure, store_error};
use crate::store::{Change, Result, StoreError, StoreErrorKind, Tell, Watch, Watching};

/// How long to wait before a lost connection is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// The statements of a watch.
#[derive(Debug)]
pub(super) struct WatchStatements {
    is_told: Statement,
    tell: Statement,
}

impl WatchStatements {
    pub fn new(sending: &Sending) -> Self {
        let sql = |template| Statement::new(template, &[], sending);
        Self { is_told: sql(IS_TOLD), tell: sql(TELL) }
    }
}

#[async_trait::async_trait]
impl Watch for Postgres {
    /// Opens a connection beside the pool. Needs a table that was migrated with
    /// [`tell_changes`](super::PostgresBuilder::tell_changes). Behind PgBouncer in transaction mode it is
    /// [`Refused`](StoreErrorKind::Refused), because notifications do not arrive there.
    async fn watch(&self, tell: Tell) -> Result<Watching> {
        let (table, channel) = (&self.schema.table, &self.schema.channel);
        let mut call = self.client.call();
        let trigger = format!("{channel}_removed");
        let is_told = || self.watching.is_told.query().bind(table.as_str()).bind(trigger.as_str());
        let told = call.row(is_told).await?.map_or(Ok(false), |row| row.try_get(0));
        if !told.map_err(store_error::<sqlx::Postgres>)? {
            return Err(StoreError::new(
                StoreErrorKind::Refused,
                format!(
                    "the table {table} of PostgreSQL does not tell its changes; run migrate() with \
                     tell_changes, or the SQL file 0002_changes.sql"
                ),
            ));
        }
        let pool = self.pool_of_one();
        self.try_out(&pool).await?;
        let listener = listen(&pool, channel).await.map_err(store_error::<sqlx::Postgres>)?;
        let channel = channel.clone();
        let task = tokio::spawn(async move { hear(&pool, &channel, listener, tell).await });
        Ok(Watching::until_dropped(Task(task)))
    }
}

const IS_TOLD: &str = "
SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass($1) AND tgname = $2)
WHERE {own}";

const TELL: &str = "SELECT pg_notify($1, '') WHERE {own}";

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(pool: &PgPool, channel: &str) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    // A lost connection has to be told before the next one is open.
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    Ok(listener)
}

/// Tells what the listener receives, and each time that its connection is lost or open again.
async fn hear(pool: &PgPool, channel: &str, first: PgListener, tell: Tell) {
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
    match key.and_then(|key| <[u8; Key::LEN]>::try_from(key).ok()) {
        Some(key) => Change::Record(Key::from_bytes(key)),
        None => Change::Any,
    }
}

impl Postgres {
    /// The connection that listens does nothing else, so it must not occupy one of the store's pool.
    fn pool_of_one(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(self.client.timeout)
            .test_before_acquire(false)
            .connect_lazy_with(PgConnectOptions::clone(&self.client.pool.connect_options()))
    }

    /// Waits for a notification of our own. A pooler may accept `LISTEN` and then lend the listening
    /// server connection to another client, whose driver does not expect notifications. So the channel
    /// has a random name, which no other program notifies.
    async fn try_out(&self, pool: &PgPool) -> Result<()> {
        let channel = format!("token_session_{:016x}", getrandom::u64().unwrap_or_default());
        let heard = async {
            let mut listener = listen(pool, &channel).await?;
            let tell = self.watching.tell.query().bind(channel.as_str());
            self.client.call().try_rows(tell).await?;
            listener.try_recv().await?.ok_or(Failure::DeadlineExceeded)?;
            Ok(listener.unlisten(&channel).await?)
        };
        match timeout(self.client.timeout, heard).await.unwrap_or(Err(Failure::DeadlineExceeded)) {
            Ok(()) => Ok(()),
            Err(Failure::DeadlineExceeded | Failure::Driver(sqlx::Error::Protocol(_))) => {
                Err(StoreError::new(
                    StoreErrorKind::Refused,
                    "the notifications of PostgreSQL do not arrive here; watch the server itself, \
                     or through PgBouncer in session mode",
                ))
            }
            Err(Failure::Driver(error) | Failure::Useless { error, .. }) => {
                Err(store_error::<sqlx::Postgres>(error))
            }
            Err(Failure::Answer(error)) => Err(error),
        }
    }
}
