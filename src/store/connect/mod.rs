//! [`connect`] and [`connect_sessions`]: a store by its URL.

mod url;

use std::sync::Arc;

#[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis"))]
use self::url::Parameters;
use self::url::StoreUrl;
use super::{AtomicStore, Cached, Memory, Result, Store, StoreError, StoreErrorKind};

/// Opens the store that a URL names: `memory:`, and one for each feature that is on, such as
/// `redis://…`, `postgres://…`, `mysql://…`, `mongodb://…` or `sqlite:FILE`. Waits until the store
/// answers, and creates the tables or indexes of a database that has none yet.
///
/// | parameter | of | meaning |
/// |---|---|---|
/// | `?table=NAME` | PostgreSQL, MySQL, SQLite | the table; default: `token_sessions` |
/// | `?prefix=TEXT` | Redis | what the names of all keys begin with |
/// | `?collection=NAME` | MongoDB | the collection |
/// | `?tell_changes=true` | PostgreSQL | [tells changes](Store::watch) as they happen, by triggers; default: `false` |
///
/// So sessions, codes and links of one service have a place of their own each in one database. The other
/// parameters are the driver's. A parameter that nobody knows is an error.
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
/// [`Refused`](super::StoreErrorKind::Refused) for a URL with an unknown scheme or parameter; else what
/// the store says.
pub async fn connect(url: &str) -> Result<Arc<dyn AtomicStore>> {
    let url = StoreUrl::parse(url)?;
    for parameter in ["cache", "format", "shape", "time_zone"] {
        if url.parameters.has(parameter) {
            return Err(refused(format!(
                "`?{parameter}=` makes a store that cannot promise exactly one winner, as codes and \
                 links need; open sessions with `connect_sessions`"
            )));
        }
    }
    open(url).await
}

/// As [`connect`], for sessions alone: also a store behind a cache, or one that a Node service writes
/// too.
///
/// | parameter | meaning |
/// |---|---|
/// | `?cache=1s` | a [cache](Cached) in this process serves a session for this long (`ms` or `s`; at most 60s). Where the store [tells its changes](Store::watch), they are seen at once |
/// | `?format=connect-redis`, `connect-mongo`, `connect-pg-simple` or `express-mysql-session` | the format of this Node package (module `compat`) |
/// | `?shape=express` or `token-session` | with a format: what the records hold; default: `express` |
/// | `?time_zone=Europe/Berlin` | with `connect-pg-simple`: the time zone of the Node service's connections; default: `UTC` |
///
/// A format takes `table`, `prefix` and `collection` too; a schema stands before the table, with a dot.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use token_session::{TokenSession, store};
///
/// let store = store::connect_sessions("memory:?cache=500ms").await?;
/// let sessions = TokenSession::<String>::builder().store(store).build()?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// As [`connect`], and [`Refused`](super::StoreErrorKind::Refused) for a cache of more than a minute.
pub async fn connect_sessions(url: &str) -> Result<Arc<dyn Store>> {
    let mut url = StoreUrl::parse(url)?;
    let cache = url.parameters.take_duration("cache")?;
    let store: Arc<dyn Store> = match url.parameters.take("format") {
        Some(format) => open_format(&format, url).await?,
        None => open(url).await?,
    };
    let Some(staleness) = cache else {
        return Ok(store);
    };
    let tells = store.watch().is_some();
    let cached = Cached::builder(store).staleness(staleness);
    Ok(Arc::new(if tells { cached.watch().await? } else { cached.build()? }))
}

#[cfg_attr(
    not(any(
        feature = "mongodb",
        feature = "mysql",
        feature = "postgres",
        feature = "redis",
        feature = "sqlite"
    )),
    expect(clippy::unused_async, reason = "the memory store has nothing to wait for")
)]
async fn open(url: StoreUrl) -> Result<Arc<dyn AtomicStore>> {
    #[cfg_attr(
        not(any(
            feature = "mongodb",
            feature = "mysql",
            feature = "postgres",
            feature = "redis",
            feature = "sqlite"
        )),
        expect(unused_mut, unused_variables, reason = "the memory store has no parameters")
    )]
    let StoreUrl { scheme, driver, mut parameters } = url;
    match scheme.as_str() {
        "memory" => {
            parameters.none_is_left(&[])?;
            Ok(Arc::new(Memory::new()))
        }
        #[cfg(feature = "redis")]
        scheme if super::redis::answers_to(scheme) => {
            let mut builder = super::Redis::builder();
            if let Some(prefix) = parameters.take("prefix") {
                builder = builder.prefix(prefix);
            }
            parameters.none_is_left(&["prefix"])?;
            Ok(Arc::new(builder.connect(&driver).await?))
        }
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            let mut builder = super::Postgres::builder();
            if let Some(table) = parameters.take("table") {
                builder = builder.table(table);
            }
            let builder = builder.tell_changes(parameters.take_flag("tell_changes")?);
            parameters.none_is_left(&["table", "tell_changes"])?;
            let store = builder.connect(&driver).await?;
            store.migrate().await?;
            Ok(Arc::new(store))
        }
        #[cfg(feature = "mongodb")]
        "mongodb" | "mongodb+srv" => {
            let mut builder = super::MongoDb::builder();
            if let Some(collection) = parameters.take("collection") {
                builder = builder.collection(collection);
            }
            parameters.none_is_left(&["collection"])?;
            let store = builder.connect(&driver).await?;
            store.migrate().await?;
            Ok(Arc::new(store))
        }
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => {
            let mut builder = super::MySql::builder();
            if let Some(table) = parameters.take("table") {
                builder = builder.table(table);
            }
            parameters.none_is_left(&["table"])?;
            let store = builder.connect(&driver).await?;
            store.migrate().await?;
            Ok(Arc::new(store))
        }
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let mut builder = super::Sqlite::builder();
            if let Some(table) = parameters.take("table") {
                builder = builder.table(table);
            }
            parameters.none_is_left(&["table"])?;
            let store = builder.connect(&driver).await?;
            store.migrate().await?;
            Ok(Arc::new(store))
        }
        scheme => Err(refused(format!(
            "no store of this build answers to `{scheme}:`; is its feature on?"
        ))),
    }
}

/// The store of a Node package's format.
#[cfg_attr(
    not(any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis")),
    expect(clippy::unused_async, reason = "there is nothing to open")
)]
async fn open_format(format: &str, url: StoreUrl) -> Result<Arc<dyn Store>> {
    #[cfg_attr(
        not(any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis")),
        expect(unused_mut, unused_variables, reason = "there is nothing to open")
    )]
    let StoreUrl { driver, mut parameters, .. } = url;
    match format {
        #[cfg(feature = "redis")]
        "connect-redis" => {
            let mut store =
                super::compat::ConnectRedis::connect(&driver, shape(&mut parameters)?).await?;
            if let Some(prefix) = parameters.take("prefix") {
                store = store.prefix(prefix);
            }
            parameters.none_is_left(&["prefix", "shape"])?;
            Ok(Arc::new(store))
        }
        #[cfg(feature = "mongodb")]
        "connect-mongo" => {
            let mut store =
                super::compat::ConnectMongo::connect(&driver, shape(&mut parameters)?).await?;
            if let Some(collection) = parameters.take("collection") {
                store = store.collection(&collection);
            }
            parameters.none_is_left(&["collection", "shape"])?;
            Ok(Arc::new(store))
        }
        #[cfg(feature = "postgres")]
        "connect-pg-simple" => {
            let shape = shape(&mut parameters)?;
            let time_zone = parameters.take("time_zone").unwrap_or_else(|| "UTC".to_owned());
            let mut store =
                super::compat::ConnectPgSimple::connect(&driver, shape, time_zone).await?;
            if let Some(table) = parameters.take("table") {
                let (schema, name) = schema_and_name(&table);
                store = store.table(schema, name)?;
            }
            parameters.none_is_left(&["shape", "table", "time_zone"])?;
            Ok(Arc::new(store))
        }
        #[cfg(feature = "mysql")]
        "express-mysql-session" => {
            let mut store =
                super::compat::ExpressMysql::connect(&driver, shape(&mut parameters)?).await?;
            if let Some(table) = parameters.take("table") {
                let (schema, name) = schema_and_name(&table);
                store = store.table(schema, name)?;
            }
            parameters.none_is_left(&["shape", "table"])?;
            Ok(Arc::new(store))
        }
        format => Err(refused(format!(
            "this build knows no format `{format}`; there are connect-redis, connect-mongo, \
             connect-pg-simple and express-mysql-session, each with the feature of its server"
        ))),
    }
}

#[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis"))]
fn shape(parameters: &mut Parameters) -> Result<super::compat::Shape> {
    match parameters.take("shape").as_deref() {
        None | Some("express") => Ok(super::compat::Shape::express()),
        Some("token-session") => Ok(super::compat::Shape::token_session()),
        Some(other) => Err(refused(format!(
            "there is no shape `{other}`; there are `express` and `token-session`"
        ))),
    }
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
fn schema_and_name(table: &str) -> (Option<&str>, &str) {
    table.split_once('.').map_or((None, table), |(schema, name)| (Some(schema), name))
}

fn refused(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Refused, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_parameter_that_nobody_knows_is_an_error_that_names_it() {
        for url in ["memory:?tabel=x", "memory:?table=x", "memory:?prefix="] {
            let error = connect(url).await.map(drop).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Refused);
            let name = url.split(['?', '=']).nth(1).unwrap();
            assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
            assert!(connect_sessions(url).await.is_err());
        }
    }

    #[tokio::test]
    async fn what_codes_may_not_use_is_refused_and_says_what_to_call() {
        for url in ["memory:?cache=1s", "memory:?format=connect-redis", "memory:?shape=express"] {
            let error = connect(url).await.map(drop).unwrap_err();
            assert!(error.to_string().contains("connect_sessions"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_cache_stands_in_front_of_any_store() {
        let store = connect_sessions("memory:?cache=1s").await.unwrap();
        assert!(store.owners().is_some() && store.listing().is_some());
        for url in ["memory:?cache=61s", "memory:?cache=1", "memory:?cache=", "memory:?cache=1h"] {
            assert!(connect_sessions(url).await.is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn an_unknown_scheme_or_format_is_an_error_that_names_it() {
        let error = connect("carrier-pigeon://coop").await.map(drop).unwrap_err();
        assert!(error.to_string().contains("`carrier-pigeon:`"), "{error}");
        let error = connect_sessions("memory:?format=punch-card").await.map(drop).unwrap_err();
        assert!(error.to_string().contains("`punch-card`"), "{error}");
    }
}
