//! How many commands an operation sends, told by the driver's monitor.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use token_session::store::{
    Condition, Inserted, MongoDb, NewRecord, OwnerLimit, Removed, Renamed, Renewal, Replaced,
    Store, Touch, Write,
};
use token_session::{Lifetime, Owner, Version};

use super::server::{HOUR, database, fresh_name, options, put, random_key, record};

const ALWAYS: Touch = Touch::After(Duration::ZERO);

const NOT_DUE: Touch = Touch::After(HOUR);

/// A store, and the commands that it has sent since they were last asked for.
struct Watched {
    store: MongoDb,
    sent: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    async fn new() -> Self {
        let sent = Arc::<Mutex<Vec<String>>>::default();
        let heard = Arc::clone(&sent);
        let mut options = options().await;
        options.command_event_handler = Some(EventHandler::callback(move |event| {
            if let CommandEvent::Started(command) = event {
                heard.lock().unwrap().push(command.command_name);
            }
        }));
        let builder = MongoDb::builder().collection(fresh_name()).timeout(HOUR);
        let store = builder.database(&database(options)).unwrap();
        store.migrate().await.unwrap();
        let watched = Self { store, sent };
        watched.sent();
        watched
    }

    fn sent(&self) -> Vec<String> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }

    /// A session of no owner, and its version.
    async fn put_new(&self) -> (token_session::Key, Version) {
        let key = self.put(None).await;
        let record = self.store.load(&key, Touch::No).await.unwrap().unwrap();
        self.sent();
        (key, record.meta.version)
    }

    /// The session is there, and what it took to make it is forgotten.
    async fn put(&self, owner: Option<&Owner>) -> token_session::Key {
        let key = put(&self.store, owner).await;
        self.sent();
        key
    }
}

#[tokio::test]
async fn an_insert_is_one_command() {
    let watched = Watched::new().await;
    let owner = Owner::new("anna").unwrap();
    put(&watched.store, None).await;
    assert_eq!(watched.sent(), ["update"]);
    put(&watched.store, Some(&owner)).await;
    assert_eq!(watched.sent(), ["update"]);
}

#[tokio::test]
async fn an_insert_with_a_limit_is_two_commands() {
    let watched = Watched::new().await;
    let owner = Owner::new("anna").unwrap();
    let limit = |limit| NewRecord { limit: Some(limit), ..record("data", Some(&owner)) };
    let two = 2.try_into().unwrap();
    for _ in 0..2 {
        let evicts = limit(OwnerLimit::evict_oldest(two));
        watched.store.insert(&random_key(), &evicts).await.unwrap();
        assert_eq!(watched.sent(), ["aggregate", "update"]);
    }
    let evicts = limit(OwnerLimit::evict_oldest(two));
    let inserted = watched.store.insert(&random_key(), &evicts).await.unwrap();
    assert!(matches!(inserted, Inserted::Done { evicted } if evicted.len() == 1));
    assert_eq!(watched.sent(), ["aggregate", "update"]);
    let rejects = limit(OwnerLimit::reject(two));
    let inserted = watched.store.insert(&random_key(), &rejects).await.unwrap();
    assert_eq!(inserted, Inserted::OwnerFull);
    assert_eq!(watched.sent(), ["aggregate"]);
}

#[tokio::test]
async fn a_load_is_one_command() {
    let watched = Watched::new().await;
    let key = watched.put(None).await;
    for touch in [Touch::No, NOT_DUE] {
        assert!(watched.store.load(&key, touch).await.unwrap().is_some());
        assert_eq!(watched.sent(), ["aggregate"]);
        assert!(watched.store.touch(&key, touch).await.unwrap().is_some());
        assert_eq!(watched.sent(), ["aggregate"]);
    }
    assert!(watched.store.load(&random_key(), ALWAYS).await.unwrap().is_none());
    assert_eq!(watched.sent(), ["aggregate"]);
}

#[tokio::test]
async fn a_touch_that_is_due_is_one_command_more() {
    let watched = Watched::new().await;
    let key = watched.put(None).await;
    assert!(watched.store.load(&key, ALWAYS).await.unwrap().is_some());
    assert_eq!(watched.sent(), ["aggregate", "findAndModify"]);
    assert!(watched.store.touch(&key, ALWAYS).await.unwrap().is_some());
    assert_eq!(watched.sent(), ["aggregate", "findAndModify"]);
}

#[tokio::test]
async fn a_write_is_one_command() {
    let watched = Watched::new().await;
    let (key, first) = watched.put_new().await;
    let lifetime = Lifetime::absolute(HOUR).unwrap();
    let write = Write {
        expected: Some(first),
        touch: true,
        lifetime: Some(&lifetime),
        ..Write::new("new data")
    };
    let done = watched.store.replace(&key, &write).await.unwrap();
    assert_eq!(done, Replaced::Done(first.next()));
    assert_eq!(watched.sent(), ["findAndModify"]);
    let missing = watched.store.replace(&random_key(), &Write::new("data")).await.unwrap();
    assert_eq!(missing, Replaced::Missing);
    assert_eq!(watched.sent(), ["findAndModify"]);
}

#[tokio::test]
async fn a_write_over_another_version_is_two_commands() {
    let watched = Watched::new().await;
    let (key, first) = watched.put_new().await;
    let write = Write { expected: Some(first.next()), ..Write::new("new data") };
    let conflict = watched.store.replace(&key, &write).await.unwrap();
    assert_eq!(conflict, Replaced::Conflict);
    assert_eq!(watched.sent(), ["findAndModify", "aggregate"]);
}

#[tokio::test]
async fn a_rename_is_one_command() {
    let watched = Watched::new().await;
    let key = watched.put(None).await;
    let renamed = watched.store.rename(&key, &random_key(), Renewal::Authentication).await.unwrap();
    assert!(matches!(renamed, Renamed::Done(_)));
    assert_eq!(watched.sent(), ["findAndModify"]);
}

#[tokio::test]
async fn a_rename_to_a_taken_key_is_two_commands() {
    let watched = Watched::new().await;
    let (from, to) = (watched.put(None).await, watched.put(None).await);
    let renamed = watched.store.rename(&from, &to, Renewal::Key).await.unwrap();
    assert_eq!(renamed, Renamed::KeyTaken);
    assert_eq!(watched.sent(), ["findAndModify", "aggregate"]);
}

#[tokio::test]
async fn a_take_is_two_commands() {
    let watched = Watched::new().await;
    let key = watched.put(None).await;
    assert!(watched.store.take(&key).await.unwrap().is_some());
    assert_eq!(watched.sent(), ["aggregate", "findAndModify"]);
    assert!(watched.store.take(&key).await.unwrap().is_none());
    assert_eq!(watched.sent(), ["aggregate"]);
}

#[tokio::test]
async fn a_removal_is_one_command_and_one_more_where_its_condition_fails() {
    let watched = Watched::new().await;
    let (key, first) = watched.put_new().await;
    let other = Condition::Version(first.next());
    assert_eq!(watched.store.remove(&key, other).await.unwrap(), Removed::Conflict);
    assert_eq!(watched.sent(), ["delete", "aggregate"]);
    assert_eq!(watched.store.remove(&key, Condition::Always).await.unwrap(), Removed::Done);
    assert_eq!(watched.sent(), ["delete"]);
    assert_eq!(watched.store.remove(&key, Condition::Always).await.unwrap(), Removed::Missing);
    assert_eq!(watched.sent(), ["delete"]);
}

#[tokio::test]
async fn an_owners_sessions_are_listed_by_one_command_and_ended_by_two() {
    let watched = Watched::new().await;
    let owner = Owner::new("anna").unwrap();
    for _ in 0..200 {
        put(&watched.store, Some(&owner)).await;
    }
    watched.sent();
    for limit in [5, 200, 500] {
        let owned = watched.store.owned(&owner, limit).await.unwrap();
        assert_eq!(owned.len(), limit.min(200));
        assert_eq!(watched.sent(), ["aggregate"]);
    }
    watched.store.remove_owned(&owner, None).await.unwrap();
    assert_eq!(watched.sent(), ["aggregate", "delete"]);
}

#[tokio::test]
async fn a_page_and_a_count_are_one_command_and_a_clearance_two_for_a_thousand_sessions() {
    let watched = Watched::new().await;
    for _ in 0..200 {
        put(&watched.store, None).await;
    }
    watched.sent();
    let page = watched.store.scan(None, 150).await.unwrap();
    assert_eq!(page.records.len(), 150);
    assert_eq!(watched.sent(), ["aggregate"]);
    let page = watched.store.scan(page.next.as_ref(), 150).await.unwrap();
    assert_eq!(page.records.len(), 50);
    assert!(page.next.is_none());
    assert_eq!(watched.sent(), ["aggregate"]);
    assert_eq!(watched.store.count().await.unwrap(), 200);
    assert_eq!(watched.sent(), ["aggregate"]);
    watched.store.clear().await.unwrap();
    assert_eq!(watched.sent(), ["aggregate", "delete"]);
    assert_eq!(watched.store.sweep(100).await.unwrap(), 0);
    assert!(watched.sent().is_empty());
}
