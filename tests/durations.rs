//! Every builder that takes a duration, at the limits of durations: it works, or it says why not.

use std::future::Future;
use std::time::Duration;

use sqlx::mysql::MySqlPoolOptions;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqlitePoolOptions;
use test_servers::fresh_name;
use token_session::codes::Codes;
use token_session::links::{BaseUrl, Links, SignedLinks};
use token_session::store::compat::{
    ConnectMongo, ConnectPgSimple, ConnectRedis, ExpressMysql, Shape,
};
use token_session::store::{
    Cached, Found, Listing, Load, Memory, MongoDb, MySql, NewProof, NewRecord, Postgres, Redis,
    Replaced, Result, Sqlite, Store, StoreErrorKind, Touch, Write,
};
use token_session::{Claim, Key, KeyRing, Lifetime, Proof, TokenSession};
use tokio::time::timeout;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Nobody is done in so little.
const SMALL: [Duration; 2] = [Duration::ZERO, Duration::from_nanos(1)];

/// As good as for ever.
const LARGE: [Duration; 4] =
    [Duration::from_secs(60), DAY.saturating_mul(25), DAY.saturating_mul(30), Duration::MAX];

/// Bounds what has to end.
const BOUND: Duration = Duration::from_secs(60);

fn random_key() -> Key {
    let mut bytes = [0; Key::LEN];
    getrandom::fill(&mut bytes).unwrap();
    Key::from_bytes(bytes)
}

/// The shared server of MongoDB, with a database.
fn mongodb_url(database: &str) -> String {
    test_servers::mongodb_url().replacen("/?", &format!("/{database}?"), 1)
}

/// A store that waits long works, with a touch of any interval too; one that hardly waits is an
/// error, or fast enough.
async fn at_the_limits<S: Store + Listing, F: Future<Output = Result<S>>>(
    store: impl Fn(Duration) -> F,
) {
    for long in LARGE {
        let store = timeout(BOUND, store(long)).await.unwrap();
        let store = store.unwrap_or_else(|error| panic!("{long:?}: {error:?}"));
        let hour = Lifetime::idle_secs(3_600).unwrap();
        // A store of another program's format takes its own keys alone.
        let key = random_key();
        if !store.keeps_plain_ids() {
            store.insert(&key, &NewRecord::new("data", hour)).await.unwrap();
            for interval in SMALL.into_iter().chain(LARGE) {
                let load = Load { touch: Touch::After(interval), ..Load::new() };
                let loaded = store.load(&key, &load).await;
                assert!(loaded.unwrap().live().is_some(), "{interval:?}");
            }
            a_grace_at_the_limits(&store).await;
        }
        store.scan(None, 10).await.unwrap();
        store.count().await.unwrap();
        store.sweep(10).await.unwrap();
    }
    for short in SMALL {
        let done = timeout(BOUND, async { store(short).await?.count().await });
        if let Err(error) = done.await.unwrap() {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{short:?}: {error:?}");
        }
    }
}

/// A secret that was handed over is good for any grace, also one that no clock reaches.
async fn a_grace_at_the_limits(store: &impl Store) {
    let key = random_key();
    let [old, new] = [1, 2].map(|secret| Proof::from_bytes([secret; Proof::LEN]));
    let hour = Lifetime::idle_secs(3_600).unwrap();
    let record = NewRecord { proof: Some(old), ..NewRecord::new("data", hour) };
    store.insert(&key, &record).await.unwrap();
    let claim = Claim::new(old, Duration::MAX);
    let proof = NewProof::Rotated { next: new, sealed: "sealed".into() };
    let write = Write { claim: Some(&claim), proof: Some(proof), ..Write::default() };
    assert!(matches!(store.replace(&key, &write).await.unwrap(), Replaced::Done(_)));
    let confirm = Claim::new(new, Duration::ZERO);
    let confirm = Load { claim: Some(&confirm), ..Load::new() };
    assert!(matches!(store.load(&key, &confirm).await.unwrap(), Found::Current(_)));
    for grace in LARGE {
        let claim = Claim::new(old, grace);
        let touch = Touch::After(Duration::ZERO);
        let load = Load { claim: Some(&claim), touch, ..Load::new() };
        let found = store.load(&key, &load).await.unwrap();
        assert!(matches!(found, Found::Previous(_)), "{grace:?}: {found:?}");
        let write = Write { claim: Some(&claim), ..Write::data("new data") };
        assert!(matches!(store.replace(&key, &write).await.unwrap(), Replaced::Done(_)));
    }
}

#[tokio::test]
async fn postgres_takes_any_timeout() {
    let url = test_servers::postgres_url();
    let table = fresh_name();
    let first = Postgres::builder().table(&table).connect(url).await.unwrap();
    first.migrate().await.unwrap();
    at_the_limits(|timeout| Postgres::builder().table(&table).timeout(timeout).connect(url)).await;
    at_the_limits(|timeout| {
        let builder = Postgres::builder().table(&table).prepared_statements(false);
        builder.timeout(timeout).connect(url)
    })
    .await;
}

#[tokio::test]
async fn mysql_takes_any_timeout() {
    let url = test_servers::mysql_url();
    let table = fresh_name();
    let first = MySql::builder().table(&table).connect(url).await.unwrap();
    first.migrate().await.unwrap();
    at_the_limits(|timeout| MySql::builder().table(&table).timeout(timeout).connect(url)).await;
}

#[tokio::test]
async fn sqlite_takes_any_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/sessions.db", folder.path().display());
    Sqlite::connect(&url).await.unwrap().migrate().await.unwrap();
    at_the_limits(|timeout| Sqlite::builder().timeout(timeout).connect(&url)).await;
}

/// A pool whose callers may wait without end is refused: the driver panics with it.
async fn on_an_endless_pool(store: &impl Listing) {
    let error = store.scan(None, 10).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("acquire_timeout"), "{error}");
}

#[tokio::test]
async fn a_pool_that_waits_longer_than_its_driver_can_is_refused() {
    let (folder, endless) = (tempfile::tempdir().unwrap(), Duration::MAX);
    let url = "postgres://nobody@127.0.0.1/none";
    let pool = PgPoolOptions::new().acquire_timeout(endless).connect_lazy(url).unwrap();
    on_an_endless_pool(&Postgres::new(pool.clone())).await;
    on_an_endless_pool(&ConnectPgSimple::new(pool, Shape::express(), "UTC")).await;
    let url = "mysql://nobody@127.0.0.1/none";
    let pool = MySqlPoolOptions::new().acquire_timeout(endless).connect_lazy(url).unwrap();
    on_an_endless_pool(&MySql::new(pool.clone())).await;
    on_an_endless_pool(&ExpressMysql::new(pool, Shape::express())).await;
    let url = format!("sqlite:{}/sessions.db", folder.path().display());
    let pool = SqlitePoolOptions::new().acquire_timeout(endless).connect_lazy(&url).unwrap();
    on_an_endless_pool(&Sqlite::new(pool)).await;
}

#[tokio::test]
async fn a_pool_may_wait_for_centuries() {
    let wait = DAY.saturating_mul(365_000);
    let pool = PgPoolOptions::new().acquire_timeout(wait);
    let pool = pool.connect(test_servers::postgres_url()).await.unwrap();
    let store = Postgres::builder().table(fresh_name()).build(pool).unwrap();
    store.migrate().await.unwrap();
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn redis_takes_any_timeout() {
    let (url, prefix) = (test_servers::redis_url(), fresh_name());
    at_the_limits(|timeout| Redis::builder().prefix(&prefix).timeout(timeout).connect(url)).await;
    at_the_limits(|timeout| {
        let builder = Redis::builder().prefix(&prefix);
        builder.timeout(timeout).connect_timeout(timeout).connect(url)
    })
    .await;
}

#[tokio::test]
async fn mongodb_takes_any_timeout() {
    let url = mongodb_url("token_session_durations");
    let collection = fresh_name();
    let builder = || MongoDb::builder().collection(&collection);
    builder().connect(&url).await.unwrap().migrate().await.unwrap();
    at_the_limits(|timeout| builder().timeout(timeout).connect(&url)).await;
}

#[tokio::test]
async fn the_stores_of_other_programs_take_any_timeout() {
    let admin = sqlx::PgPool::connect(test_servers::postgres_url()).await.unwrap();
    let (table, prefix) = (fresh_name(), fresh_name());
    let create =
        format!("CREATE TABLE {table} (sid varchar PRIMARY KEY, sess json, expire timestamp)");
    sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&admin).await.unwrap();
    let postgres = || async {
        let url = test_servers::postgres_url();
        ConnectPgSimple::connect(url, Shape::express(), "UTC").await?.table(None, &table)
    };
    at_the_limits(|timeout| async move { Ok(postgres().await?.timeout(timeout)) }).await;
    let redis = || ConnectRedis::connect(test_servers::redis_url(), Shape::express());
    let prefix = &prefix;
    at_the_limits(
        |timeout| async move { Ok(redis().await?.prefix(prefix.clone()).timeout(timeout)) },
    )
    .await;
    let url = &mongodb_url(&fresh_name());
    at_the_limits(|timeout| async move {
        Ok(ConnectMongo::connect(url, Shape::express()).await?.timeout(timeout))
    })
    .await;
    let url = test_servers::mysql_url();
    let mysql = ExpressMysql::connect(url, Shape::express()).await.unwrap();
    for limit in SMALL.into_iter().chain(LARGE) {
        // Whether there is such a table does not matter.
        let _ = mysql.clone().timeout(limit).count().await;
    }
}

#[tokio::test]
async fn a_staleness_is_a_minute_at_most() {
    for staleness in SMALL.into_iter().chain([LARGE[0]]) {
        let store = Cached::builder(Memory::new()).staleness(staleness).build().unwrap();
        assert!(store.load(&random_key(), &Load::new()).await.unwrap().live().is_none());
    }
    for staleness in &LARGE[1..] {
        let error = Cached::builder(Memory::new()).staleness(*staleness).build().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
    }
}

#[tokio::test]
async fn a_manager_takes_any_touch_interval_and_sweeps_as_seldom_as_one_likes() {
    for interval in SMALL.into_iter().chain(LARGE) {
        let sessions = TokenSession::<u8>::builder().touch_interval(interval).build().unwrap();
        let session = sessions.create(&7).await.unwrap();
        assert!(sessions.get(&session.token).await.unwrap().is_some());
        drop(sessions.spawn_sweeper(interval));
    }
}

#[test]
fn a_session_lives_a_millisecond_at_least_and_a_hundred_years_at_most() {
    for none in SMALL.into_iter().chain([Duration::MAX]) {
        assert!(Lifetime::idle(none).is_err());
        assert!(Lifetime::absolute(none).is_err());
        assert!(Shape::express().ttl(none).is_err());
        assert!(Shape::express().max_age(none).is_err());
    }
    assert!(Lifetime::idle(LARGE[2]).is_ok());
}

#[tokio::test]
async fn codes_refuse_a_lifetime_out_of_range_and_take_any_cool_down() {
    let builder = || Codes::<u8>::builder("a test");
    for lifetime in SMALL.into_iter().chain(LARGE.into_iter().skip(1)) {
        assert!(builder().lifetime(lifetime).build().is_err(), "{lifetime:?}");
        let confirms = builder().confirms_address().lifetime(lifetime);
        assert!(confirms.build().is_err(), "{lifetime:?}");
    }
    for cool_down in SMALL.into_iter().chain(LARGE) {
        let builder = builder().live_codes(1).resend_after(cool_down);
        if let Ok(codes) = builder.build() {
            let first = codes.issue("anna", &7).await.unwrap();
            let _ = codes.resend(first.challenge.handle.reveal()).await;
        }
    }
}

#[tokio::test]
async fn links_refuse_a_lifetime_out_of_range_and_one_that_never_opens() {
    let base = || BaseUrl::path("https://app.example/download").unwrap();
    let stored = || Links::<u8>::builder("a test", base());
    let ring = || KeyRing::new(1, b"0123456789abcdef0123456789abcdef").unwrap();
    let signed = || SignedLinks::<u8>::builder("a test", base(), ring());
    for none in SMALL.into_iter().chain([Duration::MAX]) {
        assert!(stored().lifetime(none).build().is_err(), "{none:?}");
        assert!(signed().lifetime(none).build().is_err(), "{none:?}");
        let (stored, signed) = (stored().build().unwrap(), signed().build().unwrap());
        assert!(stored.new_link(&7).lifetime(none).create().await.is_err(), "{none:?}");
        assert!(signed.new_link(&7).lifetime(none).sign().is_err(), "{none:?}");
    }
    let (stored, signed) = (stored().build().unwrap(), signed().build().unwrap());
    for never in &LARGE[1..] {
        assert!(stored.new_link(&7).not_before(*never).create().await.is_err(), "{never:?}");
        assert!(signed.new_link(&7).not_before(*never).sign().is_err(), "{never:?}");
    }
    for small in SMALL {
        stored.new_link(&7).not_before(small).create().await.unwrap();
        signed.new_link(&7).not_before(small).sign().unwrap();
    }
}
