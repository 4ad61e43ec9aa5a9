//! An owner with thousands of sessions, and two touches of one session.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mongodb::bson::{Binary, DateTime, Document, doc, spec::BinarySubtype};
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::IndexOptions;
use mongodb::{Collection, IndexModel};
use token_session::store::{Inserted, MongoDb, NewRecord, OwnerLimit, Store, Touch};
use token_session::{Key, Owner};

use super::server::{HOUR, database, fresh_name, options, put, random_key, record};

const MANY: usize = 2_500;

/// What happens when a command is about to be sent, by its name.
type Before = Box<dyn FnMut(&str) + Send>;

/// A store that does something before a command, and its documents by another client.
struct Hooked {
    store: MongoDb,
    documents: Collection<Document>,
    before: Arc<Mutex<Option<Before>>>,
    sent: Arc<Mutex<Vec<String>>>,
    /// How many documents each answer to a question had.
    found: Arc<Mutex<Vec<usize>>>,
}

impl Hooked {
    /// Has a thousand sessions of an owner begin before each removal.
    fn log_in_at_each_removal(&self, owner: &Owner) {
        let (name, owner) = (self.documents.name().to_owned(), owner.clone());
        let mut removals = 0;
        *self.before.lock().unwrap() = Some(Box::new(move |command| {
            if command == "delete" {
                removals += 1;
                assert!(removals < 10, "it goes on and on");
                let (name, owner) = (name.clone(), owner.clone());
                on_a_thread(async move {
                    let documents = database(options().await).collection(&name);
                    fill(&documents, &owner, 1_000, DateTime::now().timestamp_millis()).await;
                });
            }
        }));
    }
}

async fn hooked() -> Hooked {
    let before = Arc::<Mutex<Option<Before>>>::default();
    let sent = Arc::<Mutex<Vec<String>>>::default();
    let found = Arc::<Mutex<Vec<usize>>>::default();
    let (hook, heard, counted) = (Arc::clone(&before), Arc::clone(&sent), Arc::clone(&found));
    let mut options = options().await;
    options.command_event_handler = Some(EventHandler::callback(move |event| match event {
        CommandEvent::Started(command) => {
            if let Some(before) = &mut *hook.lock().unwrap() {
                before(&command.command_name);
            }
            heard.lock().unwrap().push(command.command_name);
        }
        CommandEvent::Succeeded(answer) if answer.command_name == "aggregate" => {
            let batch = answer.reply.get_document("cursor").unwrap().get_array("firstBatch");
            counted.lock().unwrap().push(batch.unwrap().len());
        }
        _ => {}
    }));
    let name = fresh_name();
    let builder = MongoDb::builder().collection(&name).timeout(HOUR);
    let store = builder.database(&database(options)).unwrap();
    store.migrate().await.unwrap();
    sent.lock().unwrap().clear();
    let documents = database(super::server::options().await).collection(&name);
    Hooked { store, documents, before, sent, found }
}

/// Runs something to its end on a thread of its own, for what cannot wait by itself.
fn on_a_thread<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work)
    };
    std::thread::spawn(run).join().unwrap()
}

/// A live session of an owner as the store keeps it, which began at this time.
fn session(owner: &Owner, began: i64) -> (Key, Document) {
    let key = random_key();
    let bytes = key.as_bytes().to_vec();
    let began = DateTime::from_millis(began);
    let document = doc! {
        "partition": 0,
        "key": Binary { subtype: BinarySubtype::Generic, bytes },
        "version": 1_i64,
        "idle_ms": 3_600_000_i64,
        "created_at": began,
        "last_seen": began,
        "expires_at": DateTime::from_millis(DateTime::now().timestamp_millis() + 3_600_000),
        "data": Binary { subtype: BinarySubtype::Generic, bytes: b"data".to_vec() },
        "owner": owner.as_str(),
    };
    (key, document)
}

async fn fill(documents: &Collection<Document>, owner: &Owner, count: usize, began: i64) -> Key {
    let sessions: Vec<_> = (0..count).map(|_| session(owner, began)).collect();
    let key = sessions[count / 2].0.clone();
    documents.insert_many(sessions.into_iter().map(|(_, document)| document)).await.unwrap();
    key
}

#[tokio::test]
async fn an_owners_sessions_end_a_thousand_at_a_time() {
    let it = hooked().await;
    let (owner, other) = (Owner::new("guest").unwrap(), Owner::new("other").unwrap());
    let kept = fill(&it.documents, &owner, MANY, 1_700_000_000_000).await;
    let others = put(&it.store, Some(&other)).await;
    it.sent.lock().unwrap().clear();
    it.store.remove_owned(&owner, Some(&kept)).await.unwrap();
    let (look, end) = ("aggregate", "delete");
    // The second look asks how far the call has to go.
    assert_eq!(*it.sent.lock().unwrap(), [look, look, end, look, end, look, end]);
    let left = it.store.owned(&owner, 10).await.unwrap();
    assert_eq!(left.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), [kept]);
    assert!(it.store.load(&others, Touch::No).await.unwrap().is_some());
    it.store.remove_owned(&owner, None).await.unwrap();
    assert_eq!(it.documents.count_documents(doc! {}).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_an_owners_sessions_ends_though_a_thousand_log_in_meanwhile() {
    let it = hooked().await;
    let owner = Owner::new("guest").unwrap();
    let first = fill(&it.documents, &owner, MANY, 1_700_000_000_000).await;
    it.log_in_at_each_removal(&owner);
    it.store.remove_owned(&owner, None).await.unwrap();
    *it.before.lock().unwrap() = None;
    assert!(it.store.load(&first, Touch::No).await.unwrap().is_none());
    let old = doc! { "created_at": { "$lte": DateTime::from_millis(1_700_000_000_000) } };
    assert_eq!(it.documents.count_documents(old).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_sessions_end_a_thousand_at_a_time_though_others_begin_meanwhile() {
    let it = hooked().await;
    let owner = Owner::new("guest").unwrap();
    fill(&it.documents, &owner, MANY, 1_700_000_000_000).await;
    it.sent.lock().unwrap().clear();
    it.log_in_at_each_removal(&owner);
    it.store.clear().await.unwrap();
    *it.before.lock().unwrap() = None;
    let (look, end) = ("aggregate", "delete");
    // The second look asks how far the call has to go.
    assert_eq!(*it.sent.lock().unwrap(), [look, look, end, look, end, look, end]);
    let old = doc! { "created_at": { "$lte": DateTime::from_millis(1_700_000_000_000) } };
    assert_eq!(it.documents.count_documents(old).await.unwrap(), 0);
}

#[tokio::test]
async fn an_insert_looks_at_no_more_sessions_than_the_limit_and_a_hundred() {
    let it = hooked().await;
    let owner = Owner::new("guest").unwrap();
    fill(&it.documents, &owner, MANY, 1_700_000_000_000).await;
    let limit = Some(OwnerLimit::evict_oldest(3.try_into().unwrap()));
    let record = NewRecord { limit, ..record("data", Some(&owner)) };
    let inserted = it.store.insert(&random_key(), &record).await.unwrap();
    assert!(matches!(inserted, Inserted::Done { evicted } if evicted.len() == 100));
    assert_eq!(*it.found.lock().unwrap(), [103]);
}

#[tokio::test]
async fn an_insert_finds_the_living_behind_more_dead_ones_than_it_looks_at() {
    let it = hooked().await;
    let owner = Owner::new("guest").unwrap();
    let dead: Vec<_> = (0..150)
        .map(|_| {
            let (_, mut document) = session(&owner, 1_700_000_000_000);
            document.insert("expires_at", DateTime::from_millis(1_700_000_001_000));
            document
        })
        .collect();
    it.documents.insert_many(dead).await.unwrap();
    fill(&it.documents, &owner, 3, 1_700_000_002_000).await;
    let limit = Some(OwnerLimit::reject(3.try_into().unwrap()));
    let record = NewRecord { limit, ..record("data", Some(&owner)) };
    let inserted = it.store.insert(&random_key(), &record).await.unwrap();
    assert_eq!(inserted, Inserted::OwnerFull);
}

#[tokio::test]
async fn a_key_of_somebody_else_is_taken_whether_or_not_a_session_would_go_for_it() {
    let it = hooked().await;
    let (owner, other) = (Owner::new("guest").unwrap(), Owner::new("other").unwrap());
    fill(&it.documents, &owner, 3, 1_700_000_000_000).await;
    let taken = put(&it.store, Some(&other)).await;
    for max in [3, 10] {
        let limit = Some(OwnerLimit::evict_oldest(max.try_into().unwrap()));
        let record = NewRecord { limit, ..record("data", Some(&owner)) };
        assert_eq!(it.store.insert(&taken, &record).await.unwrap(), Inserted::KeyTaken);
    }
    assert_eq!(it.store.owned(&owner, 10).await.unwrap().len(), 3);
    let dead = doc! { "$set": { "expires_at": DateTime::from_millis(1_700_000_000_000) } };
    it.documents.update_one(doc! { "owner": "other" }, dead).await.unwrap();
    let limit = Some(OwnerLimit::evict_oldest(3.try_into().unwrap()));
    let record = NewRecord { limit, ..record("data", Some(&owner)) };
    let inserted = it.store.insert(&taken, &record).await.unwrap();
    assert!(matches!(inserted, Inserted::Done { evicted } if evicted.len() == 1));
}

#[tokio::test]
async fn an_owners_list_is_in_the_order_of_its_index() {
    let it = hooked().await;
    let mut indexes = it.documents.list_indexes().await.unwrap();
    let mut keys = Vec::new();
    while indexes.advance().await.unwrap() {
        keys.push(indexes.deserialize_current().unwrap().keys);
    }
    let owned = doc! { "partition": 1, "owner": 1, "created_at": -1, "_id": -1 };
    assert!(keys.contains(&owned), "{keys:?}");
}

#[tokio::test]
async fn the_index_of_an_earlier_version_is_no_hindrance() {
    let name = fresh_name();
    let database = database(options().await);
    let having = doc! { "owner": { "$exists": true } };
    let earlier = IndexOptions::builder().name("owner".to_owned());
    let earlier = IndexModel::builder()
        .keys(doc! { "partition": 1, "owner": 1, "created_at": -1 })
        .options(earlier.partial_filter_expression(having).build())
        .build();
    database.collection::<Document>(&name).create_index(earlier).await.unwrap();
    let store = MongoDb::builder().collection(&name).database(&database).unwrap();
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_touches_at_once_the_later_one_finds_the_session_touched() {
    let it = hooked().await;
    let key = put(&it.store, None).await;
    let an_hour_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 3_500_000);
    let change = doc! { "$set": { "last_seen": an_hour_ago } };
    it.documents.update_one(doc! {}, change).await.unwrap();
    let touch = Touch::After(Duration::from_secs(60));
    let (name, same, first) = (it.documents.name().to_owned(), key.clone(), Arc::default());
    let told: Arc<Mutex<Option<token_session::Timestamp>>> = first;
    let tell = Arc::clone(&told);
    *it.before.lock().unwrap() = Some(Box::new(move |command| {
        if command == "findAndModify" {
            let (name, key) = (name.clone(), same.clone());
            let touched = on_a_thread(async move {
                let builder = MongoDb::builder().collection(name);
                let store = builder.database(&database(options().await)).unwrap();
                let touched = store.touch(&key, touch).await.unwrap().unwrap();
                // So that the clock shows another time.
                tokio::time::sleep(Duration::from_millis(5)).await;
                touched.last_seen
            });
            *tell.lock().unwrap() = Some(touched);
        }
    }));
    let second = it.store.touch(&key, touch).await.unwrap().unwrap();
    assert_eq!(Some(second.last_seen), *told.lock().unwrap());
}
