//! [`AnyStore`]: a store that is picked at run time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{
    AtomicStore, Condition, Cursor, Inserted, Memory, NewRecord, Page, Removed, Renamed, Renewal,
    Replaced, Result, Store, StoreError, StoreErrorKind, Touch, Write,
};
use crate::event::Events;
use crate::record::{Meta, Owner, Record};
use crate::token::Key;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// One store or another, picked at run time. Each call costs one allocation more than on the store
/// itself.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use token_session::TokenSession;
/// use token_session::store::AnyStore;
///
/// let url = std::env::var("SESSION_STORE").unwrap_or_else(|_| "memory:".to_owned());
/// let store = AnyStore::connect(&url).await?;
/// let sessions = TokenSession::<String>::builder().store(store).build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AnyStore(Arc<dyn DynStore>);

impl AnyStore {
    /// Hides which store it is.
    pub fn new(store: impl AtomicStore) -> Self {
        Self(Arc::new(store))
    }

    /// Opens the store that a URL names: `memory:`, and one for each feature that is on, such as
    /// `redis://…`, `postgres://…`, `mysql://…`, `mongodb://…` or `sqlite:FILE`. Waits until the store
    /// answers, and creates the tables or indexes of a database that has none yet.
    ///
    /// # Errors
    /// [`Refused`](super::StoreErrorKind::Refused) for a URL that names no store here; else what the
    /// store says.
    pub async fn connect(url: &str) -> Result<Self> {
        let scheme = url.trim().split_once(':').map_or(url, |(scheme, _)| scheme);
        match scheme.to_ascii_lowercase().as_str() {
            "memory" => Ok(Self::new(Memory::new())),
            #[cfg(feature = "redis")]
            scheme if super::redis::answers_to(scheme) => {
                Ok(Self::new(super::Redis::connect(url).await?))
            }
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => {
                let store = super::Postgres::connect(url).await?;
                store.migrate().await?;
                Ok(Self::new(store))
            }
            #[cfg(feature = "mongodb")]
            "mongodb" | "mongodb+srv" => {
                let store = super::MongoDb::connect(url).await?;
                store.migrate().await?;
                Ok(Self::new(store))
            }
            #[cfg(feature = "mysql")]
            "mysql" | "mariadb" => {
                let store = super::MySql::connect(url).await?;
                store.migrate().await?;
                Ok(Self::new(store))
            }
            #[cfg(feature = "sqlite")]
            "sqlite" => {
                let store = super::Sqlite::connect(url).await?;
                store.migrate().await?;
                Ok(Self::new(store))
            }
            scheme => Err(StoreError::new(
                StoreErrorKind::Refused,
                format!("no store of this build answers to `{scheme}:`; is its feature on?"),
            )),
        }
    }

    fn inner(&self) -> &dyn DynStore {
        &*self.0
    }
}

impl std::fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnyStore")
    }
}

/// [`Store`] in the form that a trait object can have.
trait DynStore: Send + Sync {
    fn insert<'a>(&'a self, key: &'a Key, record: &'a NewRecord<'a>) -> Boxed<'a, Inserted>;
    fn load<'a>(&'a self, key: &'a Key, touch: Touch) -> Boxed<'a, Option<Record>>;
    fn touch<'a>(&'a self, key: &'a Key, touch: Touch) -> Boxed<'a, Option<Meta>>;
    fn replace<'a>(&'a self, key: &'a Key, write: &'a Write<'a>) -> Boxed<'a, Replaced>;
    fn rename<'a>(&'a self, from: &'a Key, to: &'a Key, renewal: Renewal) -> Boxed<'a, Renamed>;
    fn take<'a>(&'a self, key: &'a Key) -> Boxed<'a, Option<Record>>;
    fn remove<'a>(&'a self, key: &'a Key, condition: Condition<'a>) -> Boxed<'a, Removed>;
    fn owned<'a>(&'a self, owner: &'a Owner, limit: usize) -> Boxed<'a, Vec<(Key, Meta)>>;
    fn remove_owned<'a>(&'a self, owner: &'a Owner, keep: Option<&'a Key>) -> Boxed<'a, ()>;
    fn scan<'a>(&'a self, after: Option<&'a Cursor>, limit: usize) -> Boxed<'a, Page>;
    fn count<'a>(&'a self) -> Boxed<'a, u64>;
    fn clear<'a>(&'a self) -> Boxed<'a, ()>;
    fn sweep<'a>(&'a self, limit: usize) -> Boxed<'a, usize>;
    fn partitions(&self) -> u16;
    fn keeps_plain_ids(&self) -> bool;
    fn attach(&self, events: &Events);
}

impl<S: Store> DynStore for S {
    fn insert<'a>(&'a self, key: &'a Key, record: &'a NewRecord<'a>) -> Boxed<'a, Inserted> {
        Box::pin(Store::insert(self, key, record))
    }
    fn load<'a>(&'a self, key: &'a Key, touch: Touch) -> Boxed<'a, Option<Record>> {
        Box::pin(Store::load(self, key, touch))
    }
    fn touch<'a>(&'a self, key: &'a Key, touch: Touch) -> Boxed<'a, Option<Meta>> {
        Box::pin(Store::touch(self, key, touch))
    }
    fn replace<'a>(&'a self, key: &'a Key, write: &'a Write<'a>) -> Boxed<'a, Replaced> {
        Box::pin(Store::replace(self, key, write))
    }
    fn rename<'a>(&'a self, from: &'a Key, to: &'a Key, renewal: Renewal) -> Boxed<'a, Renamed> {
        Box::pin(Store::rename(self, from, to, renewal))
    }
    fn take<'a>(&'a self, key: &'a Key) -> Boxed<'a, Option<Record>> {
        Box::pin(Store::take(self, key))
    }
    fn remove<'a>(&'a self, key: &'a Key, condition: Condition<'a>) -> Boxed<'a, Removed> {
        Box::pin(Store::remove(self, key, condition))
    }
    fn owned<'a>(&'a self, owner: &'a Owner, limit: usize) -> Boxed<'a, Vec<(Key, Meta)>> {
        Box::pin(Store::owned(self, owner, limit))
    }
    fn remove_owned<'a>(&'a self, owner: &'a Owner, keep: Option<&'a Key>) -> Boxed<'a, ()> {
        Box::pin(Store::remove_owned(self, owner, keep))
    }
    fn scan<'a>(&'a self, after: Option<&'a Cursor>, limit: usize) -> Boxed<'a, Page> {
        Box::pin(Store::scan(self, after, limit))
    }
    fn count<'a>(&'a self) -> Boxed<'a, u64> {
        Box::pin(Store::count(self))
    }
    fn clear<'a>(&'a self) -> Boxed<'a, ()> {
        Box::pin(Store::clear(self))
    }
    fn sweep<'a>(&'a self, limit: usize) -> Boxed<'a, usize> {
        Box::pin(Store::sweep(self, limit))
    }
    fn partitions(&self) -> u16 {
        Store::partitions(self)
    }
    fn keeps_plain_ids(&self) -> bool {
        Store::keeps_plain_ids(self)
    }
    fn attach(&self, events: &Events) {
        Store::attach(self, events);
    }
}

/// The methods of [`Store`] for a type whose method `$inner` gives one.
macro_rules! forward_to_inner {
    ($inner:ident) => {
        async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
            self.$inner().insert(key, record).await
        }
        async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
            self.$inner().load(key, touch).await
        }
        async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
            self.$inner().touch(key, touch).await
        }
        async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
            self.$inner().replace(key, write).await
        }
        async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
            self.$inner().rename(from, to, renewal).await
        }
        async fn take(&self, key: &Key) -> Result<Option<Record>> {
            self.$inner().take(key).await
        }
        async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
            self.$inner().remove(key, condition).await
        }
        async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
            self.$inner().owned(owner, limit).await
        }
        async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
            self.$inner().remove_owned(owner, keep).await
        }
        async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
            self.$inner().scan(after, limit).await
        }
        async fn count(&self) -> Result<u64> {
            self.$inner().count().await
        }
        async fn clear(&self) -> Result<()> {
            self.$inner().clear().await
        }
        async fn sweep(&self, limit: usize) -> Result<usize> {
            self.$inner().sweep(limit).await
        }
        fn partitions(&self) -> u16 {
            self.$inner().partitions()
        }
        fn keeps_plain_ids(&self) -> bool {
            self.$inner().keeps_plain_ids()
        }
        fn attach(&self, events: &Events) {
            self.$inner().attach(events);
        }
    };
}

impl Store for AnyStore {
    forward_to_inner!(inner);
}

impl AtomicStore for AnyStore {}

impl<S: Store> Store for Arc<S> {
    forward_to_inner!(as_ref);
}

impl<S: AtomicStore> AtomicStore for Arc<S> {}
