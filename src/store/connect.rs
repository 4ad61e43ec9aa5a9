//! [`connect`]: a store by its URL.

use std::sync::Arc;

use super::{AtomicStore, Memory, Result, StoreError, StoreErrorKind};

/// Opens the store that a URL names: `memory:`, and one for each feature that is on, such as
/// `redis://…`, `postgres://…`, `mysql://…`, `mongodb://…` or `sqlite:FILE`. Waits until the store
/// answers, and creates the tables or indexes of a database that has none yet.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use token_session::{TokenSession, store};
///
/// let url = std::env::var("SESSION_STORE").unwrap_or_else(|_| "memory:".to_owned());
/// let store = store::connect(&url).await?;
/// let sessions = TokenSession::<String>::builder().store(store).build()?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Refused`](super::StoreErrorKind::Refused) for a URL that names no store here; else what the
/// store says.
pub async fn connect(url: &str) -> Result<Arc<dyn AtomicStore>> {
    let scheme = url.trim().split_once(':').map_or(url, |(scheme, _)| scheme);
    match scheme.to_ascii_lowercase().as_str() {
        "memory" => Ok(Arc::new(Memory::new())),
        #[cfg(feature = "redis")]
        scheme if super::redis::answers_to(scheme) => {
            Ok(Arc::new(super::Redis::connect(url).await?))
        }
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            let store = super::Postgres::connect(url).await?;
            store.migrate().await?;
            Ok(Arc::new(store))
        }
        #[cfg(feature = "mongodb")]
        "mongodb" | "mongodb+srv" => {
            let store = super::MongoDb::connect(url).await?;
            store.migrate().await?;
            Ok(Arc::new(store))
        }
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => {
            let store = super::MySql::connect(url).await?;
            store.migrate().await?;
            Ok(Arc::new(store))
        }
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let store = super::Sqlite::connect(url).await?;
            store.migrate().await?;
            Ok(Arc::new(store))
        }
        scheme => Err(StoreError::new(
            StoreErrorKind::Refused,
            format!("no store of this build answers to `{scheme}:`; is its feature on?"),
        )),
    }
}
