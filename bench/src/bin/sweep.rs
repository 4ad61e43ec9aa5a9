//! What a sweep of a million expired rows does to the latency of live traffic, on PostgreSQL.
//!
//! `cargo run --release --bin sweep [REQUESTS_PER_SECOND]`, on the server of `TEST_POSTGRES_URL`, or
//! on one of its own that waits for the disk at each commit. Requests are due at a fixed rate,
//! whether earlier ones have been answered or not, and their time counts from when they were due. A
//! tenth of them find their touch due, and write. The same traffic is measured before, beside and
//! after the sweep.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;
use token_session::Key;
use token_session::store::{Listing, Load, Postgres, Store, Touch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

const LIVE: usize = 100_000;
const EXPIRED: usize = 1_000_000;
/// As many as the manager's sweeper asks for.
const BATCH: usize = 1_000;
const IDLE: Duration = Duration::from_secs(15);

const FILL: &str = "
INSERT INTO token_sessions_bench (key, data, version, idle_ms, created_at, last_seen)
SELECT substr(sha256(int8send(n)), 1, 16), convert_to(repeat('x', 200), 'UTF8'), 1, 3600000, seen, seen
FROM generate_series({first}::bigint, {last}::bigint) AS n,
     (SELECT floor(extract(epoch FROM now()) * 1000)::bigint - {age} AS seen) AS moment";

#[tokio::main]
async fn main() {
    let rate = std::env::args().nth(1).map_or(400, |rate| rate.parse().expect("a number"));
    let server;
    let url = match std::env::var("TEST_POSTGRES_URL") {
        Ok(url) => url,
        Err(_) => {
            server = test_servers::Postgres::durable().expect("PostgreSQL starts");
            server.url().to_owned()
        }
    };
    let admin = PgPool::connect(&url).await.expect("the server is there");
    run(&admin, "DROP TABLE IF EXISTS token_sessions_bench").await;
    let builder = Postgres::builder().table("token_sessions_bench").max_connections(20);
    let store = builder.connect(&url).await.expect("the server is there");
    store.migrate().await.expect("the table can be made");
    fill(&admin, 1, LIVE, 0).await;
    fill(&admin, LIVE + 1, LIVE + EXPIRED, 2 * 3_600_000).await;
    run(&admin, "VACUUM ANALYZE token_sessions_bench").await;
    run(&admin, "CHECKPOINT").await;

    let requests = Traffic { store: store.clone(), rate };
    requests.during(sleep(Duration::from_secs(3))).await;
    let before = requests.during(sleep(IDLE)).await;
    let begun = Instant::now();
    let beside = requests.during(sweep(&store)).await;
    let took = begun.elapsed();
    let after = requests.during(sleep(IDLE)).await;
    run(&admin, "DROP TABLE token_sessions_bench").await;

    println!("get at {rate} requests per second, {LIVE} live sessions, PostgreSQL");
    println!("{EXPIRED} expired rows swept in {:.1} s", took.as_secs_f64());
    println!("{:<22} {:>9} {:>9} {:>9} {:>9}", "", "requests", "p50 ms", "p99 ms", "max ms");
    for (name, latencies) in
        [("before the sweep", &before), ("beside the sweep", &beside), ("after the sweep", &after)]
    {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| quantile(latencies, part));
        println!("{name:<22} {:>9} {p50:>9.2} {p99:>9.2} {max:>9.2}", latencies.len());
    }
    let idle = (quantile(&before, 0.99) + quantile(&after, 0.99)) / 2.0;
    println!("p99 beside the sweep / p99 idle: {:.2}", quantile(&beside, 0.99) / idle);
}

async fn run(admin: &PgPool, sql: impl Into<String>) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.into()));
    sql.execute(admin).await.expect("the statement is right");
}

async fn fill(admin: &PgPool, first: usize, last: usize, age: u64) {
    let numbers = [("{first}", first.to_string()), ("{last}", last.to_string())];
    let age = [("{age}", age.to_string())];
    let sql = numbers
        .iter()
        .chain(&age)
        .fold(FILL.to_owned(), |sql, (word, number)| sql.replace(word, number));
    run(admin, sql).await;
}

async fn sweep(store: &Postgres) {
    let mut swept = 0;
    loop {
        let batch = store.sweep(BATCH).await.expect("the sweep is done");
        swept += batch;
        if batch < BATCH {
            break;
        }
    }
    assert_eq!(swept, EXPIRED);
}

struct Traffic {
    store: Postgres,
    rate: u32,
}

impl Traffic {
    /// The latency of each request that fell due while the work was under way, in order of size.
    async fn during(&self, work: impl Future<Output = ()>) -> Vec<Duration> {
        let ended = Arc::new(AtomicBool::new(false));
        let requests = tokio::spawn(requests(self.store.clone(), self.rate, Arc::clone(&ended)));
        work.await;
        ended.store(true, Ordering::SeqCst);
        let mut latencies = requests.await.expect("no request panics");
        latencies.sort_unstable();
        latencies
    }
}

async fn requests(store: Postgres, rate: u32, ended: Arc<AtomicBool>) -> Vec<Duration> {
    let mut due = interval(Duration::from_secs(1) / rate);
    let mut running = JoinSet::new();
    let mut number = 0_usize;
    while !ended.load(Ordering::SeqCst) {
        let due = due.tick().await.into_std();
        // A step that is prime to the count comes to each of the sessions.
        number = (number + 7_919) % LIVE;
        let (store, key) = (store.clone(), key(number + 1));
        running.spawn(async move {
            let interval = if number % 10 == 0 { Duration::ZERO } else { Duration::from_secs(300) };
            let load = Load { touch: Touch::After(interval), ..Load::new() };
            let found = store.load(&key, &load).await.expect("the store answers");
            assert!(found.live().is_some());
            due.elapsed()
        });
    }
    running.join_all().await
}

/// As `FILL` makes it.
fn key(number: usize) -> Key {
    use sha2::{Digest, Sha256};
    let number = i64::try_from(number).expect("a small number");
    let digest = Sha256::digest(number.to_be_bytes());
    Key::from_bytes(digest[..Key::LEN].try_into().expect("a digest is longer than a key"))
}

fn quantile(sorted: &[Duration], part: f64) -> f64 {
    let last = sorted.len() - 1;
    sorted[(last as f64 * part).round() as usize].as_secs_f64() * 1_000.0
}
