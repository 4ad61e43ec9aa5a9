//! Two application servers on one store, each a process with its own cache.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

use test_servers::fresh_name;
use token_session::store::{Cached, Condition, Load, NewRecord, Postgres, Redis, Sqlite, Store};
use token_session::{Key, Lifetime, Owner};

use super::told::random_key;

/// The environment variable that tells the other process what to do.
const VARIABLE: &str = "TOKEN_SESSION_OTHER_SERVER";

/// How far behind a cache may be. For a store that tells changes it is long, so a cache that was not told
/// would clearly fail.
const STALENESS: Duration = Duration::from_millis(500);
const STALENESS_IF_TOLD: Duration = Duration::from_secs(60);

/// Limits the wait for a change that is told, far below that.
const SOON: Duration = Duration::from_secs(30);

/// The other application server. It loads a session again and again, and prints when each load
/// began and what it found, until the session is gone.
struct Other {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Other {
    /// Runs the test again, which then does [`serve`].
    fn start(test: &str, place: &str, key: &Key) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(VARIABLE, format!("{key} {place}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// When the next load began, in milliseconds, and whether it found the session.
    fn next_load(&mut self) -> (u128, bool) {
        loop {
            let line = self.lines.next().expect("the other server ended").unwrap();
            // The test harness may print something before it on the same line.
            let load = line.rsplit_once("load ").and_then(|(_, load)| load.split_once(' '));
            if let Some((began, found)) = load {
                return (began.parse().unwrap(), found == "found");
            }
        }
    }

    /// When the last load began that still found the session.
    fn last_load(&mut self) -> u128 {
        let mut last = 0;
        loop {
            match self.next_load() {
                (began, true) => last = began,
                (_, false) => return last,
            }
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn now() -> u128 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()
}

/// The key and the place, in the process that is the other server.
fn other_server() -> Option<(Key, String)> {
    let told = std::env::var(VARIABLE).ok()?;
    let (key, place) = told.split_once(' ').unwrap();
    Some((key.parse().unwrap(), place.to_owned()))
}

async fn serve(store: &impl Store, key: &Key) {
    loop {
        let began = now();
        let found = store.load(key, &Load::new()).await.unwrap().live().is_some();
        println!("load {began} {}", if found { "found" } else { "none" });
        if !found {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn put(store: &impl Store, key: &Key, owner: Option<&Owner>) {
    let lifetime = Lifetime::idle(Duration::from_secs(3_600)).unwrap();
    let record = NewRecord { owner, ..NewRecord::new("data", lifetime) };
    store.insert(key, &record).await.unwrap();
}

/// The other server finds the session in its cache.
fn is_warm(other: &mut Other) {
    for _ in 0..20 {
        assert!(other.next_load().1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_ended_is_gone_on_every_server_within_the_bound() {
    if let Some((key, file)) = other_server() {
        let far = Sqlite::connect(&file).await.unwrap();
        let store = Cached::builder(far).staleness(STALENESS).build().unwrap();
        return serve(&store, &key).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("sessions.db").display());
    let far = Sqlite::connect(&file).await.unwrap();
    far.migrate().await.unwrap();
    let store = Cached::builder(far).staleness(STALENESS).build().unwrap();
    let key = random_key();
    put(&store, &key, None).await;
    let test = "processes::a_session_that_was_ended_is_gone_on_every_server_within_the_bound";
    let mut other = Other::start(test, &file, &key);
    is_warm(&mut other);

    assert!(store.remove(&key, Condition::Always, false).await.unwrap().is_done());
    let ended = now();
    assert!(
        store.load(&key, &Load::new()).await.unwrap().live().is_none(),
        "here it is gone at once"
    );
    // No load that began later than that found it, however slow this machine is.
    let last = other.last_load();
    assert!(last <= ended + STALENESS.as_millis(), "{} ms", last - ended);
    println!("the last load found it {} ms after its end", last.saturating_sub(ended));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_ended_is_gone_as_soon_as_redis_tells() {
    let store = async |place: &str| {
        let (prefix, url) = place.split_once(' ').unwrap();
        let far = Redis::builder().prefix(prefix).connect(url).await.unwrap();
        Cached::builder(far).staleness(STALENESS_IF_TOLD).watch().await.unwrap()
    };
    if let Some((key, place)) = other_server() {
        return serve(&store(&place).await, &key).await;
    }
    let place = format!("{} {}", fresh_name(), test_servers::redis_url());
    let store = store(&place).await;
    let key = random_key();
    put(&store, &key, None).await;
    let test = "processes::a_session_that_was_ended_is_gone_as_soon_as_redis_tells";
    let mut other = Other::start(test, &place, &key);
    is_warm(&mut other);

    assert!(store.remove(&key, Condition::Always, false).await.unwrap().is_done());
    let ended = now();
    let last = other.last_load();
    assert!(last <= ended + SOON.as_millis(), "{} ms", last - ended);
    println!("the last load found it {} ms after its end", last.saturating_sub(ended));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owners_sessions_that_were_ended_are_gone_as_soon_as_postgres_tells() {
    let store = async |place: &str| {
        let (table, url) = place.split_once(' ').unwrap();
        let far = Postgres::builder().table(table).tell_changes(true).connect(url).await.unwrap();
        far.migrate().await.unwrap();
        Cached::builder(far).staleness(STALENESS_IF_TOLD).watch().await.unwrap()
    };
    if let Some((key, place)) = other_server() {
        return serve(&store(&place).await, &key).await;
    }
    let place = format!("{} {}", fresh_name(), test_servers::postgres_url());
    let store = store(&place).await;
    let (key, owner) = (random_key(), Owner::new("anna").unwrap());
    put(&store, &key, Some(&owner)).await;
    let test = "processes::an_owners_sessions_that_were_ended_are_gone_as_soon_as_postgres_tells";
    let mut other = Other::start(test, &place, &key);
    is_warm(&mut other);

    store.owners().unwrap().remove_owned(&owner, None).await.unwrap();
    let ended = now();
    let last = other.last_load();
    assert!(last <= ended + SOON.as_millis(), "{} ms", last - ended);
    println!("the last load found it {} ms after its end", last.saturating_sub(ended));
}
