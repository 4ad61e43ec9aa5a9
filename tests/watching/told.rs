//! Stores that tell changes: they tell every watcher each change, and a lost connection too.

use std::sync::Arc;
use std::time::Duration;

use test_servers::fresh_name;
use token_session::store::{
    AtomicStore, Change, Condition, Inserted, Listing, Load, NewProof, NewRecord, OwnerLimit,
    Postgres, Redis, Replaced, Store, StoreErrorKind, Touch, Watch, Watching, Write,
};
use token_session::{Claim, Key, Lifetime, Owner, Proof};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// Limits each wait for something that has to happen.
const LONG: Duration = Duration::from_secs(60);

/// The proofs of a session's secrets, one after the other.
const FIRST: Proof = Proof::from_bytes([1; Proof::LEN]);
const SECOND: Proof = Proof::from_bytes([2; Proof::LEN]);

/// Hands the first secret over.
fn handover() -> Write<'static> {
    let proof = NewProof::Rotated { next: SECOND, sealed: "the next secret".into() };
    Write { proof: Some(proof), ..Write::default() }
}

pub fn random_key() -> Key {
    let mut bytes = [0; Key::LEN];
    getrandom::fill(&mut bytes).unwrap();
    Key::from_bytes(bytes)
}

async fn postgres(url: &str, schema: Option<&str>, table: &str) -> Postgres {
    let builder = Postgres::builder().table(table).tell_changes(true);
    let builder = schema.into_iter().fold(builder, |builder, schema| builder.schema(schema));
    let store = builder.connect(url).await.unwrap();
    store.migrate().await.unwrap();
    store.migrate().await.expect("nothing is missing");
    store
}

const TOUCHING: Load<'_> = Load { touch: Touch::After(Duration::ZERO), ..Load::new() };

/// What a store tells.
struct Heard {
    changes: UnboundedReceiver<Change>,
    _watching: Watching,
}

impl Heard {
    async fn of(store: &impl Watch) -> Self {
        let (sender, changes) = unbounded_channel();
        let tell = Arc::new(move |change| sender.send(change).unwrap());
        Self { changes, _watching: store.watch(tell).await.unwrap() }
    }

    async fn wait_for(&mut self, is_it: impl Fn(&Change) -> bool) {
        let wait = async { while !is_it(&self.changes.recv().await.expect("it watches")) {} };
        timeout(LONG, wait).await.expect("it is not told");
    }

    /// Waits for a change of this session, or of all of its owner's. `Change::Any` would prove nothing.
    async fn wait_for_session(&mut self, key: &Key, owner: &Owner) {
        let (record, owned) = (Change::Record(key.clone()), Change::Owner(owner.clone()));
        self.wait_for(|change| *change == record || *change == owned).await;
    }
}

fn record<'a>(owner: &'a Owner, limit: Option<OwnerLimit>) -> NewRecord<'a> {
    let lifetime = Lifetime::idle(Duration::from_secs(3_600)).unwrap();
    let proof = Some(FIRST);
    NewRecord { owner: Some(owner), limit, proof, ..NewRecord::new("data", lifetime) }
}

/// Redis listens on a connection of its own, and tells `Any` when that is open, which covers all earlier
/// changes.
async fn hear_redis(store: &Redis, masters: usize) -> Heard {
    let mut heard = Heard::of(store).await;
    for _ in 0..masters {
        heard.wait_for(|change| *change == Change::Any).await;
    }
    heard
}

/// Changes and ends sessions in each way on one store, and waits until another one is told.
async fn each_change_is_told(there: &impl AtomicStore, hear: impl AsyncFnOnce() -> Heard) {
    let partitions = there.partitions();
    let owner = Owner::new("anna").unwrap();
    let key_of_owner = || {
        std::iter::repeat_with(random_key)
            .find(|key| key.partition(partitions) == owner.partition(partitions))
            .unwrap()
    };
    let put = async || {
        let key = key_of_owner();
        let inserted = there.insert(&key, &record(&owner, None)).await.unwrap();
        assert!(matches!(inserted, Inserted::Done { .. }));
        key
    };
    let [replaced, rotated, taken, removed] = [put().await, put().await, put().await, put().await];
    let mut heard = hear().await;

    let answer = there.replace(&replaced, &Write::data("new data")).await.unwrap();
    assert!(matches!(answer, Replaced::Done(_)));
    heard.wait_for_session(&replaced, &owner).await;

    let answer = there.replace(&rotated, &handover()).await.unwrap();
    assert!(matches!(answer, Replaced::Done(_)));
    heard.wait_for_session(&rotated, &owner).await;

    assert!(there.remove(&taken, Condition::Always, true).await.unwrap().record().is_some());
    heard.wait_for_session(&taken, &owner).await;

    assert!(there.remove(&removed, Condition::Always, false).await.unwrap().is_done());
    heard.wait_for_session(&removed, &owner).await;

    let evicted = put().await;
    let one = OwnerLimit::evict_oldest(1.try_into().unwrap());
    there.insert(&key_of_owner(), &record(&owner, Some(one))).await.unwrap();
    heard.wait_for_session(&evicted, &owner).await;

    let ended = put().await;
    there.remove_owned(&owner, None).await.unwrap();
    heard.wait_for_session(&ended, &owner).await;

    let cleared = put().await;
    there.clear().await.unwrap();
    heard
        .wait_for(|change| *change == Change::Record(cleared.clone()) || *change == Change::Any)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_tells_each_change() {
    let prefix = fresh_name();
    let store = || Redis::builder().prefix(&prefix).connect(test_servers::redis_url());
    let (here, there) = (store().await.unwrap(), store().await.unwrap());
    each_change_is_told(&there, async || hear_redis(&here, 1).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_cluster_tells_each_change() {
    let urls = test_servers::redis_cluster_urls();
    let hosts: Vec<_> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
    let url = format!("redis-cluster://{}", hosts.join(","));
    let prefix = fresh_name();
    let store = || Redis::builder().prefix(&prefix).connect(&url);
    let (here, there) = (store().await.unwrap(), store().await.unwrap());
    // Half of them are replicas.
    each_change_is_told(&there, async || hear_redis(&here, urls.len() / 2).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_tells_each_change() {
    let (url, table) = (test_servers::postgres_url(), fresh_name());
    let (here, there) = (postgres(url, None, &table).await, postgres(url, None, &table).await);
    each_change_is_told(&there, async || Heard::of(&here).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_any_name_tells_its_changes() {
    let url = test_servers::postgres_url();
    let (schema, table) = (format!("{} \"'s\\", fresh_name()), "it's \"the\" $$ table\\");
    let admin = sqlx::PgPool::connect(url).await.unwrap();
    let create = format!("CREATE SCHEMA \"{}\"", schema.replace('"', "\"\""));
    sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&admin).await.unwrap();
    let (here, there) =
        (postgres(url, Some(&schema), table).await, postgres(url, Some(&schema), table).await);
    each_change_is_told(&there, async || Heard::of(&here).await).await;
}

#[tokio::test]
async fn postgres_tells_neither_a_touch_nor_a_sweep() {
    let store = postgres(test_servers::postgres_url(), None, &fresh_name()).await;
    let owner = Owner::new("anna").unwrap();
    let (key, dead) = (random_key(), random_key());
    store.insert(&key, &record(&owner, None)).await.unwrap();
    let moment = Lifetime::idle(Duration::from_millis(1)).unwrap();
    store.insert(&dead, &NewRecord::new("data", moment)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut heard = Heard::of(&store).await;
    assert!(store.load(&key, &TOUCHING).await.unwrap().live().is_some());
    assert_eq!(store.sweep(10).await.unwrap(), 1);
    assert!(store.remove(&key, Condition::Always, false).await.unwrap().is_done());
    let first = timeout(LONG, heard.changes.recv()).await.expect("it is not told");
    assert_eq!(first, Some(Change::Record(key)));
}

#[tokio::test]
async fn postgres_tells_a_confirmation_once() {
    let store = postgres(test_servers::postgres_url(), None, &fresh_name()).await;
    let owner = Owner::new("anna").unwrap();
    let (key, last) = (random_key(), random_key());
    for key in [&key, &last] {
        store.insert(key, &record(&owner, None)).await.unwrap();
    }
    store.replace(&key, &handover()).await.unwrap();
    let mut heard = Heard::of(&store).await;
    let claim = Claim::new(SECOND, Duration::from_secs(10));
    let confirming = Load { claim: Some(&claim), ..TOUCHING };
    for load in [TOUCHING, confirming, confirming, TOUCHING] {
        assert!(store.load(&key, &load).await.unwrap().live().is_some());
    }
    assert!(store.remove(&last, Condition::Always, false).await.unwrap().is_done());
    for told in [key, last] {
        let next = timeout(LONG, heard.changes.recv()).await.expect("it is not told");
        assert_eq!(next, Some(Change::Record(told)));
    }
}

#[tokio::test]
async fn postgres_tells_the_end_of_a_thousand_sessions_as_one_change() {
    let store = postgres(test_servers::postgres_url(), None, &fresh_name()).await;
    let owner = Owner::new("anna").unwrap();
    for _ in 0..1_001 {
        store.insert(&random_key(), &record(&owner, None)).await.unwrap();
    }
    let mut heard = Heard::of(&store).await;
    store.owners().unwrap().remove_owned(&owner, None).await.unwrap();
    let first = timeout(LONG, heard.changes.recv()).await.expect("it is not told");
    assert_eq!(first, Some(Change::Any));
}

/// Kills the server and starts it again: the store tells that the connection is lost, and that it is back.
async fn a_lost_connection_is_told(
    server: &test_servers::Server,
    store: &impl Store,
    mut heard: Heard,
) {
    server.kill().unwrap();
    heard.wait_for(|change| *change == Change::Any).await;
    server.restart().unwrap();
    heard.wait_for(|change| *change == Change::Any).await;
    // Changes are told again.
    let heard_again = async {
        let owner = Owner::new("anna").unwrap();
        loop {
            let key = random_key();
            if store.insert(&key, &record(&owner, None)).await.is_ok()
                && store.remove(&key, Condition::Always, false).await.is_ok()
            {
                break key;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let key = timeout(LONG, heard_again).await.expect("the store does not resume");
    heard.wait_for(|change| *change == Change::Record(key.clone())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_to_redis_is_told() {
    let server = test_servers::Redis::start().unwrap();
    let store = Redis::connect(server.url()).await.unwrap();
    let heard = hear_redis(&store, 1).await;
    a_lost_connection_is_told(&server, &store, heard).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_to_postgres_is_told() {
    let server = test_servers::Postgres::start().unwrap();
    let store = postgres(server.url(), None, &fresh_name()).await;
    let heard = Heard::of(&store).await;
    a_lost_connection_is_told(&server, &store, heard).await;
}

#[tokio::test]
async fn a_dropped_watch_ends() {
    let store = postgres(test_servers::postgres_url(), None, &fresh_name()).await;
    let (sender, mut changes) = unbounded_channel();
    let tell = Arc::new(move |change| sender.send(change).unwrap());
    let watching = Watch::watch(&store, tell).await.unwrap();
    drop(watching);
    let end = timeout(LONG, changes.recv()).await.expect("it still watches");
    assert_eq!(end, None);
}

async fn refused(store: &impl Watch) -> String {
    let error = store.watch(Arc::new(|_| {})).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_table_without_triggers_is_refused() {
    let builder = Postgres::builder().table(fresh_name());
    let store = builder.connect(test_servers::postgres_url()).await.unwrap();
    store.migrate().await.unwrap();
    assert!(refused(&store).await.contains("tell_changes"));
}

#[tokio::test]
async fn a_connection_of_the_applications_own_is_refused_by_redis() {
    let client = redis::Client::open(test_servers::redis_url()).unwrap();
    let manager = client.get_connection_manager().await.unwrap();
    assert!(refused(&Redis::new(manager)).await.contains("with a URL"));
}

#[tokio::test]
async fn a_redis_user_without_the_right_is_refused() {
    let rights = include_str!("../../src/store/redis/rights.acl");
    let server = test_servers::Redis::with_user("service", "secret", rights).unwrap();
    let store = Redis::connect(&server.url_as("service", "secret")).await.unwrap();
    assert!(refused(&store).await.contains("right"));
    let rights = format!("{rights} +client|tracking");
    let server = test_servers::Redis::with_user("service", "secret", &rights).unwrap();
    let store = Redis::connect(&server.url_as("service", "secret")).await.unwrap();
    assert!(Watch::watch(&store, Arc::new(|_| {})).await.is_ok());
}
