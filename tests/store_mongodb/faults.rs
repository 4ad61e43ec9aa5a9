//! The store on a server that fails.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mongodb::bson::{Binary, doc, spec::BinarySubtype};
use token_session::store::{
    Condition, Listing, Load, MongoDb, Owners, Removed, Replaced, Store, StoreErrorKind, Write,
};
use token_session::{Event, Events, Key, Version};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::server::{
    database, fresh_name, fresh_store, loaded, options, put, random_key, record, url,
};

/// The longest wait for something that has to happen.
const LONG: Duration = Duration::from_secs(120);

/// The store's last answer about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    /// It has this version.
    Alive(Version),
    /// It was removed.
    Removed,
    /// An operation on it failed. It may have taken place.
    Unknown,
}

/// Inserts sessions, writes to them and removes every third one, until `stop` is set.
async fn work(store: MongoDb, stop: Arc<AtomicBool>) -> HashMap<Key, Answered> {
    let mut answered = HashMap::new();
    while !stop.load(Ordering::Relaxed) {
        let key = random_key();
        let last = match step(&store, &key, answered.len() % 3 == 0).await {
            Ok(last) => last,
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
                sleep(Duration::from_millis(20)).await;
                Answered::Unknown
            }
        };
        answered.insert(key, last);
    }
    answered
}

async fn step(
    store: &MongoDb,
    key: &Key,
    end: bool,
) -> Result<Answered, token_session::store::StoreError> {
    let new = record("data", None);
    store.insert(key, &new).await?;
    let write = Write { expected: Some(new.version), ..Write::data("new data") };
    let Replaced::Done(written) = store.replace(key, &write).await? else {
        panic!("nobody else writes to it");
    };
    assert_eq!(written.version, new.version.next());
    if end {
        assert_eq!(store.remove(key, Condition::Always, false).await?, Removed::Done(None));
        return Ok(Answered::Removed);
    }
    Ok(Answered::Alive(new.version.next()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_server_loses_no_acknowledged_write() {
    let server = Arc::new(test_servers::MongoDb::durable().unwrap());
    let builder = MongoDb::builder().timeout(Duration::from_secs(10));
    // The driver repeats a write whose answer was lost. The stand-in forgets in a crash which ones it
    // has done, and does it twice; mongod keeps that on disk.
    let store = builder.connect(&url(&server, "&retryWrites=false")).await.unwrap();
    store.migrate().await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let mut workers: JoinSet<_> = (0..8).map(|_| work(store.clone(), Arc::clone(&stop))).collect();
    for _ in 0..3 {
        sleep(Duration::from_millis(700)).await;
        let server = Arc::clone(&server);
        tokio::task::spawn_blocking(move || {
            server.kill().unwrap();
            server.restart().unwrap();
        })
        .await
        .unwrap();
        resumes(&store).await;
    }
    sleep(Duration::from_millis(700)).await;
    stop.store(true, Ordering::Relaxed);

    let mut counts = [0; 3];
    while let Some(answered) = workers.join_next().await {
        for (key, answered) in answered.unwrap() {
            let found = loaded(&store, &key).await;
            match answered {
                Answered::Alive(version) => {
                    let found =
                        found.unwrap_or_else(|| panic!("{key} was acknowledged and is lost"));
                    assert_eq!(found.meta.version, version);
                    assert_eq!(found.data, "new data");
                    counts[0] += 1;
                }
                Answered::Removed => {
                    assert!(found.is_none(), "{key} was ended and is back");
                    counts[1] += 1;
                }
                Answered::Unknown => counts[2] += 1,
            }
        }
    }
    println!("alive {}, ended {}, unknown {}", counts[0], counts[1], counts[2]);
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
}

/// Waits until the store works again.
async fn resumes(store: &MongoDb) {
    let works = async {
        while store.load(&random_key(), &Load::new()).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LONG, works).await.expect("the store does not resume");
}

async fn kind_of_load(store: &MongoDb) -> Option<StoreErrorKind> {
    store.load(&random_key(), &Load::new()).await.err().map(|error| error.kind())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_of_a_paused_server_get_an_error_within_the_timeout_with_a_full_pool() {
    let server = test_servers::MongoDb::start().unwrap();
    let builder = MongoDb::builder().timeout(Duration::from_secs(3));
    let store = builder.connect(&url(&server, "&maxPoolSize=2")).await.unwrap();
    resumes(&store).await;
    server.pause().unwrap();
    let callers: JoinSet<_> = (0..50)
        .map(|_| {
            let store = store.clone();
            async move { kind_of_load(&store).await }
        })
        .collect();
    let kinds = timeout(LONG, callers.join_all()).await.expect("a caller hangs");
    assert_eq!(kinds, [Some(StoreErrorKind::Unavailable); 50]);
    server.resume().unwrap();
    resumes(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_operation_on_a_killed_server_is_unavailable() {
    let server = test_servers::MongoDb::start().unwrap();
    let builder = MongoDb::builder().timeout(Duration::from_secs(1));
    let store = builder.connect(&url(&server, "")).await.unwrap();
    server.kill().unwrap();
    let key = random_key();
    let owner = token_session::Owner::new("anna").unwrap();
    let errors = [
        store.migrate().await.err(),
        store.insert(&key, &record("data", None)).await.err(),
        store.load(&key, &Load::new()).await.err(),
        store.replace(&key, &Write::data("data")).await.err(),
        store.remove(&key, Condition::Always, false).await.err(),
        store.remove(&key, Condition::Always, true).await.err(),
        store.alive(std::slice::from_ref(&key)).await.err(),
        store.owned(&owner, None, 1, true).await.err(),
        store.remove_owned(&owner, None).await.err(),
        store.scan(None, 1).await.err(),
        store.count().await.err(),
        store.clear().await.err(),
    ];
    for error in errors {
        let error = error.expect("it has no server to do it");
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn a_lost_connection_and_its_return_are_events() {
    let server = test_servers::MongoDb::start().unwrap();
    let store = MongoDb::connect(&url(&server, "&heartbeatFrequencyMS=500")).await.unwrap();
    let events = Events::default();
    store.attach(&events);
    let mut told = events.subscribe();
    server.kill().unwrap();
    let event = timeout(LONG, told.next()).await.expect("nothing is told");
    assert_eq!(event, Some(Event::Disconnected));
    server.restart().unwrap();
    let event = timeout(LONG, told.next()).await.expect("nothing is told");
    assert_eq!(event, Some(Event::Connected));
}

#[tokio::test]
async fn connecting_to_a_killed_server_is_unavailable() {
    let server = test_servers::MongoDb::start().unwrap();
    server.kill().unwrap();
    let builder = MongoDb::builder().timeout(Duration::from_secs(1));
    let error = builder.connect(&url(&server, "")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
}

#[tokio::test]
async fn an_unusable_url_is_refused() {
    for url in [
        "mongodb://127.0.0.1:1/",
        "mongodb://127.0.0.1:port/database",
        "mongodb://127.0.0.1:1/database?w=nonsense&readConcernLevel",
        "http://127.0.0.1/database",
        "127.0.0.1",
        "",
    ] {
        let error = MongoDb::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{url}: {error:?}");
    }
}

#[tokio::test]
async fn partitions_out_of_range_are_refused() {
    let database = database(options().await);
    for count in [0, 1_025] {
        let error = MongoDb::builder().partitions(count).database(&database).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused);
    }
}

#[tokio::test]
async fn data_above_16_mib_is_refused() {
    let store = fresh_store(MongoDb::builder()).await;
    let key = put(&store, None).await;
    let write = Write::data(vec![7; 17 << 20]);
    let error = store.replace(&key, &write).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
    assert_eq!(loaded(&store, &key).await.unwrap().data, "data");
}

#[tokio::test]
async fn the_error_for_a_damaged_document_names_its_key() {
    let name = fresh_name();
    let database = database(options().await);
    let store = MongoDb::builder().collection(&name).database(&database).unwrap();
    store.migrate().await.unwrap();
    let documents = database.collection(&name);
    for change in [
        doc! { "$unset": { "data": 1 } },
        doc! { "$unset": { "version": 1 } },
        doc! { "$unset": { "idle_ms": 1 } },
        doc! { "$set": { "idle_ms": -1_i64 } },
        doc! { "$set": { "idle_ms": 0_i64 } },
        doc! { "$set": { "version": "one" } },
        doc! { "$set": { "last_seen": 7 } },
        doc! { "$set": { "owner": "" } },
        doc! { "$set": { "details": ["a"] } },
        doc! { "$set": { "proof": "secret" } },
        doc! { "$set": { "data": "text" } },
    ] {
        let key = put(&store, None).await;
        let bytes = Binary { subtype: BinarySubtype::Generic, bytes: key.as_bytes().to_vec() };
        documents.update_one(doc! { "key": bytes }, change.clone()).await.unwrap();
        let error = store.load(&key, &Load::new()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{change}");
        assert!(error.to_string().contains(&key.to_string()), "{error}");
        // It stays, and can be ended.
        let removed = store.remove(&key, Condition::Always, false).await.unwrap();
        assert_eq!(removed, Removed::Done(None));
    }
    let in_the_year_2100 = mongodb::bson::DateTime::from_millis(4_102_444_800_000);
    documents.insert_one(doc! { "expires_at": in_the_year_2100 }).await.unwrap();
    let page = store.scan(None, 10).await.unwrap();
    assert!(page.records.is_empty());
    let [error] = &page.damaged[..] else { panic!("{:?}", page.damaged) };
    assert_eq!((error.kind(), error.key()), (StoreErrorKind::Corrupt, None));
}

#[tokio::test]
async fn a_ttl_index_removes_expired_documents() {
    let name = fresh_name();
    let database = database(options().await);
    let store = MongoDb::builder().collection(&name).database(&database).unwrap();
    store.migrate().await.unwrap();
    store.migrate().await.expect("the indexes are there already");
    let mut indexes =
        database.collection::<mongodb::bson::Document>(&name).list_indexes().await.unwrap();
    let mut found = 0;
    while indexes.advance().await.unwrap() {
        let index = indexes.deserialize_current().unwrap();
        let options = index.options.unwrap_or_default();
        if options.expire_after == Some(Duration::ZERO) {
            assert_eq!(index.keys, doc! { "expires_at": 1 });
            found += 1;
        }
    }
    assert_eq!(found, 1);
}
