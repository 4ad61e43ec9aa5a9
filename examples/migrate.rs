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
//! Begin it once no Node service writes any more, and all others run `Successor` and begin sessions in the
//! new store. Interrupted, it is begun again and goes on with what is left. What cannot be moved is
//! named at the end, and stays where it is. The shape, the ttl and the owner are those of the services' `Successor`, and
//! the new store has its default names, as `AnyStore` has them; for others, write these lines with your own store.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use token_session::store::compat::{
    ConnectMongo, ConnectPgSimple, ConnectRedis, ExpressMysql, Moved, NodeStore, Shape, Successor,
};
use token_session::store::{AnyStore, StoreError};
use token_session::{Owner, Record};

const PAGE: usize = 100;

/// How long it waits for stores that take nothing, at first and at last.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Options {
    /// The Node service's database: redis://, mongodb://, mysql:// or postgres://
    #[arg(long, env = "MIGRATE_FROM", hide_env_values = true)]
    from: String,
    /// The prefix of connect-redis, the table or the collection, if it is not the package's default
    #[arg(long)]
    place: Option<String>,
    /// The schema of the table, for PostgreSQL, or its database, for MySQL
    #[arg(long)]
    schema: Option<String>,
    /// The columns of the table, for MySQL: of the id, the expiry and the data
    #[arg(long, value_delimiter = ',', num_args = 3, default_value = "session_id,expires,data")]
    columns: Vec<String>,
    /// The time zone of the Node service's connections, for PostgreSQL: psql says it to SHOW TimeZone
    #[arg(long)]
    time_zone: Option<String>,
    /// Who wrote the sessions
    #[arg(long, value_enum)]
    shape: Writer,
    /// The Node store's time to live, in seconds, if it is not the package's default
    #[arg(long)]
    ttl: Option<u64>,
    /// The store to move to: redis://, postgres://, …
    #[arg(long, env = "MIGRATE_TO", hide_env_values = true)]
    to: String,
    /// Where in the data the account's id stands, as a JSON pointer; else sessions have no owner
    #[arg(long)]
    owner: Option<String>,
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
    if let Some(seconds) = options.ttl {
        shape = shape.ttl(Duration::from_secs(seconds))?;
    }
    let (from, place) = (&options.from, options.place.as_deref());
    match from.split_once(':').map_or("", |(scheme, _)| scheme) {
        "mongodb" | "mongodb+srv" => {
            let old = ConnectMongo::connect(from, shape).await?;
            migrate(old.collection(place.unwrap_or("sessions")), options).await
        }
        "mysql" | "mariadb" => {
            let old = ExpressMysql::connect(from, shape).await?;
            let old = old.table(options.schema.as_deref(), place.unwrap_or("sessions"))?;
            let [id, expires, data] = &options.columns[..] else {
                return Err("--columns takes three names".into());
            };
            migrate(old.columns(id, expires, data)?, options).await
        }
        "postgres" | "postgresql" => {
            let zone = options.time_zone.as_deref();
            let zone = zone.ok_or("PostgreSQL needs --time-zone, lest sessions end hours off")?;
            let old = ConnectPgSimple::connect(from, shape, zone).await?;
            let old = old.table(options.schema.as_deref(), place.unwrap_or("session"))?;
            migrate(old, options).await
        }
        _ => {
            let old = ConnectRedis::connect(from, shape).await?;
            migrate(old.prefix(place.unwrap_or("sess:")), options).await
        }
    }
}

async fn migrate(old: impl NodeStore, options: &Options) -> Result<(), Box<dyn Error>> {
    if options.to.starts_with("memory:") {
        return Err("--to memory: ends with this command, and every session with it".into());
    }
    let new = AnyStore::connect(&options.to).await?;
    let bar = ProgressBar::new(old.count().await?);
    bar.set_style(ProgressStyle::with_template(
        "{elapsed_precise} {wide_bar} {human_pos}/{human_len} sessions, {eta} to go",
    )?);
    let mut store = Successor::new(new, old);
    if let Some(pointer) = options.owner.clone() {
        store = store.owner(move |record| owner(&pointer, record))?;
    }
    let (mut moved, mut pause) = (0, PAUSE);
    // What gets another place in the old store's order during one pass is found by the next.
    let failed = loop {
        let pass = pass(&store, &bar).await?;
        moved += pass.moved;
        if pass.moved > 0 {
            pause = PAUSE;
            continue;
        }
        let is_hindered = pass.failed.iter().any(|(_, error)| error.is_retryable());
        if !is_hindered || pause > LONGEST_PAUSE {
            break pass.failed;
        }
        bar.println(format!("the stores take nothing just now: trying again in {pause:?}"));
        tokio::time::sleep(pause).await;
        pause *= 2;
    };
    bar.finish();
    println!("{moved} sessions have moved, {} stay", failed.len());
    for (_, error) in &failed {
        println!("stays: {error}");
    }
    if failed.is_empty() { Ok(()) } else { Err("not everything could be moved".into()) }
}

/// Goes through the old store once.
async fn pass(
    store: &Successor<AnyStore, impl NodeStore>,
    bar: &ProgressBar,
) -> Result<Moved, StoreError> {
    let mut pass = Moved::default();
    loop {
        let page = match store.move_page(pass.next.as_ref(), PAGE).await {
            Err(error) if error.is_retryable() => {
                bar.println(format!("trying again in {PAUSE:?}: {error}"));
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            page => page?,
        };
        bar.inc((page.moved + page.gone) as u64);
        pass.moved += page.moved;
        pass.failed.extend(page.failed);
        pass.next = page.next;
        if pass.next.is_none() {
            return Ok(pass);
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
