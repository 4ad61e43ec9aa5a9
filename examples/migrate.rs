//! Moves live sessions from where a Node service kept them to a store of this crate's own, and logs
//! nobody out: every token works on, in services that run `store::compat::Successor` meanwhile.
//!
//! ```sh
//! cargo run --example migrate --features mongodb,mysql,postgres,redis -- \
//!     --from redis://127.0.0.1 --place tokensess: --shape token-session \
//!     --to postgres://app:password@127.0.0.1/shop --owner /user/id
//! ```
//!
//! URLs with a password are better given as `MIGRATE_FROM` and `MIGRATE_TO`, which nobody else on the machine sees.
//!
//! # Before you run it
//! * No Node service writes these sessions any more, and every service runs `Successor`, without `begin_in_old`. If sessions
//!   still begin there, the command moves them for as long as `--patience` says, and fails then.
//! * `--to`, `--to-place`, `--to-schema` and `--to-partitions` name the store that is the new one of these services. With
//!   another one, everybody whose session has moved is logged out until the services have the same. So the command refuses
//!   a store in which nobody has begun a session yet, unless it is told `--to-empty`.
//! * `--shape`, `--unwrap`, `--ttl` and `--owner` say what the services' `Shape` and `owner` say. What Node has not written
//!   in this shape stays where it is.
//! * `--place` holds these sessions and nothing else. Another service under a longer prefix, such as `sess:admin:` beside
//!   `sess:`, is known by the colon, which no token has: with `sess-admin-` beside `sess-`, its sessions would move too.
//! * When a session began, and whether its person proved who they are, does not come along: see `Successor`.
//!
//! Interrupted, it is begun again and goes on with what is left. What cannot be moved stays where it is; the first
//! hundred are named at the end, by their public ids. Where stderr is no terminal, lines take the place of the progress bar.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde_json::Value;
#[cfg(feature = "sqlite")]
use token_session::store::Sqlite;
use token_session::store::compat::{
    ConnectMongo, ConnectPgSimple, ConnectRedis, ExpressMysql, NodeStore, Shape, Successor,
};
use token_session::store::{self, AtomicStore, MongoDb, MySql, Postgres, Redis, StoreError};
use token_session::{Owner, Record};

#[path = "migrate/mover.rs"]
mod mover;

use mover::Mover;

const PAGE: usize = 100;

/// How long each call may take: nobody waits for a page of the web here.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Options {
    /// The Node service's database: redis://, mongodb://, mysql:// or postgres://
    #[arg(long, env = "MIGRATE_FROM", hide_env_values = true)]
    from: String,
    /// The prefix of connect-redis, the table or the collection, if it is not the package's default
    #[arg(long)]
    place: Option<String>,
    /// The keys of connect-redis have no prefix: every key of the database is looked at
    #[arg(long, conflicts_with = "place")]
    without_prefix: bool,
    /// The schema of the table, for PostgreSQL, or its database, for MySQL
    #[arg(long)]
    schema: Option<String>,
    /// The columns of the table, for MySQL: of the id, the expiry and the data, if they are not
    /// session_id,expires,data
    #[arg(long, value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// The time zone of the Node service's connections, for PostgreSQL: psql says it to SHOW TimeZone
    #[arg(long)]
    time_zone: Option<String>,
    /// Who wrote the sessions
    #[arg(long, value_enum)]
    shape: Writer,
    /// The services' shape has `unwrap_repeatedly`
    #[arg(long)]
    unwrap: bool,
    /// The Node store's time to live, in seconds, if it is not the package's default
    #[arg(long)]
    ttl: Option<u64>,
    /// The store to move to: redis://, postgres://, …
    #[arg(long, env = "MIGRATE_TO", hide_env_values = true)]
    to: String,
    /// Its prefix, table or collection, if it is not the store's default
    #[arg(long)]
    to_place: Option<String>,
    /// The schema of its table, for PostgreSQL, or its database, for MySQL
    #[arg(long)]
    to_schema: Option<String>,
    /// Its partitions, for Redis and MongoDB, if they are not the store's default
    #[arg(long)]
    to_partitions: Option<u16>,
    /// No session has begun in it yet
    #[arg(long)]
    to_empty: bool,
    /// Where in the data the account's id stands, as a JSON pointer; else sessions have no owner
    #[arg(long)]
    owner: Option<String>,
    /// How long it tries again while nothing can be moved, and how long it follows sessions that still
    /// begin in the Node service's database when those that were there have moved: in seconds
    #[arg(long, default_value = "300")]
    patience: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Writer {
    TokenSession,
    Express,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("migrate: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut shape = match options.shape {
        Writer::TokenSession => Shape::token_session(),
        Writer::Express => Shape::express(),
    };
    if options.unwrap {
        shape = shape.unwrap_repeatedly();
    }
    if let Some(seconds) = options.ttl {
        shape = shape.ttl(Duration::from_secs(seconds))?;
    }
    refuse_what_has_no_effect(options)?;
    let (from, place) = (&options.from, options.place.as_deref());
    match scheme(from) {
        "mongodb" | "mongodb+srv" => {
            let old = ConnectMongo::connect(from, shape).await?;
            let old = old.collection(place.unwrap_or("sessions"));
            migrate(old.timeout(TIMEOUT), options).await
        }
        "mysql" | "mariadb" => {
            let columns = options.columns.as_deref();
            if columns.is_some_and(|columns| columns.len() != 3) {
                return Err(
                    "--columns takes three names: of the id, the expiry and the data".into()
                );
            }
            let old = ExpressMysql::connect(from, shape).await?;
            let mut old = old.table(options.schema.as_deref(), place.unwrap_or("sessions"))?;
            if let Some([id, expires, data]) = columns {
                old = old.columns(id, expires, data)?;
            }
            migrate(old.timeout(TIMEOUT), options).await
        }
        "postgres" | "postgresql" => {
            let zone = options.time_zone.as_deref();
            let zone = zone.ok_or("PostgreSQL needs --time-zone, lest sessions end hours off")?;
            let old = ConnectPgSimple::connect(from, shape, zone).await?;
            let old = old.table(options.schema.as_deref(), place.unwrap_or("session"))?;
            migrate(old.timeout(TIMEOUT), options).await
        }
        _ if place == Some("") => Err("without a prefix, what else is in the database could be \
             taken for sessions; if theirs have none, say --without-prefix instead of --place"
            .into()),
        _ => {
            let prefix = if options.without_prefix { "" } else { place.unwrap_or("sess:") };
            let old = Redis::builder().connect_timeout(TIMEOUT).connection(from).await?;
            let old = ConnectRedis::new(old, shape).prefix(prefix);
            migrate(old.timeout(TIMEOUT), options).await
        }
    }
}

fn refuse_what_has_no_effect(options: &Options) -> Result<(), String> {
    let kind = match scheme(&options.from) {
        "mongodb" | "mongodb+srv" => "MongoDB",
        "mysql" | "mariadb" => "MySQL",
        "postgres" | "postgresql" => "PostgreSQL",
        _ => "Redis",
    };
    for (option, is_given, kinds) in [
        ("--schema", options.schema.is_some(), &["PostgreSQL", "MySQL"][..]),
        ("--columns", options.columns.is_some(), &["MySQL"]),
        ("--time-zone", options.time_zone.is_some(), &["PostgreSQL"]),
        ("--without-prefix", options.without_prefix, &["Redis"]),
    ] {
        if is_given && !kinds.contains(&kind) {
            return Err(format!("{option} has no effect with {kind}: leave it out"));
        }
    }
    Ok(())
}

fn scheme(url: &str) -> &str {
    url.split_once(':').map_or("", |(scheme, _)| scheme)
}

/// The store to move to.
async fn target(options: &Options) -> Result<Arc<dyn AtomicStore>, Box<dyn Error>> {
    let Options { to, to_place, to_schema, to_partitions, .. } = options;
    let kind = scheme(to);
    if to_schema.is_some() && !["mysql", "mariadb", "postgres", "postgresql"].contains(&kind) {
        return Err("--to-schema is for PostgreSQL and MySQL".into());
    }
    let has_partitions = ["mongodb", "redis", "valkey"].iter().any(|name| kind.starts_with(name));
    if to_partitions.is_some() && !has_partitions {
        return Err("--to-partitions is for Redis and MongoDB".into());
    }
    Ok(match kind {
        "memory" => {
            return Err("--to memory: ends with this command, and every session with it".into());
        }
        "mongodb" | "mongodb+srv" => {
            let mut new = MongoDb::builder().timeout(TIMEOUT);
            if let Some(collection) = to_place {
                new = new.collection(collection);
            }
            if let Some(partitions) = to_partitions {
                new = new.partitions(*partitions);
            }
            let new = new.connect(to).await?;
            new.migrate().await?;
            Arc::new(new)
        }
        "mysql" | "mariadb" => {
            let mut new = MySql::builder().timeout(TIMEOUT);
            if let Some(table) = to_place {
                new = new.table(table);
            }
            if let Some(database) = to_schema {
                new = new.schema(database);
            }
            let new = new.connect(to).await?;
            new.migrate().await?;
            Arc::new(new)
        }
        "postgres" | "postgresql" => {
            let mut new = Postgres::builder().timeout(TIMEOUT);
            if let Some(table) = to_place {
                new = new.table(table);
            }
            if let Some(schema) = to_schema {
                new = new.schema(schema);
            }
            let new = new.connect(to).await?;
            new.migrate().await?;
            Arc::new(new)
        }
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let mut new = Sqlite::builder().timeout(TIMEOUT);
            if let Some(table) = to_place {
                new = new.table(table);
            }
            let new = new.connect(to).await?;
            new.migrate().await?;
            Arc::new(new)
        }
        _ if has_partitions => {
            let mut new = Redis::builder().timeout(TIMEOUT).connect_timeout(TIMEOUT);
            if let Some(prefix) = to_place {
                new = new.prefix(prefix);
            }
            if let Some(partitions) = to_partitions {
                new = new.partitions(*partitions);
            }
            Arc::new(new.connect(to).await?)
        }
        // The error says that this is the URL of no store.
        _ => store::connect(to).await?,
    })
}

async fn migrate(old: impl NodeStore, options: &Options) -> Result<(), Box<dyn Error>> {
    let new = target(options).await?;
    if !options.to_empty && is_empty(&new).await? {
        return Err("the new store holds no session, so it is hardly the one in which the running \
             services begin theirs: look at its names; if nobody has logged in since, say --to-empty"
            .into());
    }
    let number = old.count().await;
    let mut store = Successor::new(new, old);
    if let Some(pointer) = options.owner.clone() {
        store = store.owner(move |record| owner(&pointer, record))?;
    }
    let patience = Duration::from_secs(options.patience);
    let mut mover = Mover::new(number.as_ref().ok().copied(), patience)?;
    if let Err(error) = number {
        mover.progress.say(format_args!("how many sessions there are is not known: {error}"));
    }
    let end = mover.move_all(&store).await;
    mover.progress.end();
    match end {
        Ok(()) => println!("{} sessions have moved, {} stay", mover.moved, mover.stay),
        Err(_) => println!("{} sessions have moved", mover.moved),
    }
    for (key, error) in &mover.named {
        println!("stays: {key}: {error}");
    }
    if mover.stay > mover.named.len() {
        println!("and {} more", mover.stay - mover.named.len());
    }
    end?;
    if mover.stay == 0 { Ok(()) } else { Err("not everything could be moved".into()) }
}

async fn is_empty(store: &Arc<dyn AtomicStore>) -> Result<bool, StoreError> {
    let mut after = None;
    loop {
        let page = store.scan(after.as_ref(), PAGE).await?;
        after = page.next;
        if !page.records.is_empty() || after.is_none() {
            return Ok(page.records.is_empty());
        }
    }
}

/// The account's id in the data: a text or a number.
fn owner(pointer: &str, record: &Record) -> Option<Owner> {
    let data: Value = serde_json::from_slice(&record.data).ok()?;
    let id = match data.pointer(pointer)? {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => return None,
    };
    Owner::new(id).ok()
}
