//! How many commands an operation sends, counted by the driver's monitor.

use std::sync::{Arc, Mutex};

use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use token_session::store::{
    Condition, Found, Inserted, Listing, Load, MongoDb, NewProof, NewRecord, OwnerLimit, Owners,
    Removed, Replaced, Store, Touch, Write,
};
use token_session::{Key, Lifetime, Owner, Version};

use super::server::{
    HOUR, TOUCH, claim, database, fresh_name, loaded, options, proof, put, random_key, record,
};

const NOT_DUE: Load<'_> = Load { touch: Touch::After(HOUR), ..Load::new() };

/// A store, and the commands that it has sent since the last look.
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
    async fn put_new(&self) -> (Key, Version) {
        let key = self.put(None).await;
        let record = loaded(&self.store, &key).await.unwrap();
        self.sent();
        (key, record.meta.version)
    }

    /// A session with a secret.
    async fn put_with(&self, secret: u8) -> Key {
        let key = random_key();
        let record = NewRecord { proof: Some(proof(secret)), ..record("data", None) };
        self.store.insert(&key, &record).await.unwrap();
        self.sent();
        key
    }

    /// Inserts a session, and forgets the commands for it.
    async fn put(&self, owner: Option<&Owner>) -> Key {
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
    for load in [Load::new(), NOT_DUE, Load { with_data: false, ..NOT_DUE }] {
        assert!(watched.store.load(&key, &load).await.unwrap().live().is_some());
        assert_eq!(watched.sent(), ["aggregate"]);
    }
    let other_secret = Load { claim: Some(&claim(1)), ..TOUCH };
    for (key, load) in [(random_key(), TOUCH), (key, other_secret)] {
        assert_eq!(watched.store.load(&key, &load).await.unwrap(), Found::Missing);
        assert_eq!(watched.sent(), ["aggregate"]);
    }
}

#[tokio::test]
async fn a_due_touch_is_one_more_command() {
    let watched = Watched::new().await;
    let key = watched.put(None).await;
    for load in [TOUCH, Load { with_data: false, ..TOUCH }] {
        assert!(watched.store.load(&key, &load).await.unwrap().live().is_some());
        assert_eq!(watched.sent(), ["aggregate", "findAndModify"]);
    }
}

#[tokio::test]
async fn a_handover_is_one_command_and_its_confirmation_one_more() {
    let watched = Watched::new().await;
    let key = watched.put_with(1).await;
    let (old, new) = (claim(1), claim(2));
    let rotated = NewProof::Rotated { next: proof(2), sealed: "sealed".into() };
    let write = Write { claim: Some(&old), proof: Some(rotated), ..Write::default() };
    let done = watched.store.replace(&key, &write).await.unwrap();
    assert!(matches!(done, Replaced::Done(written) if written.times.is_some()));
    assert_eq!(watched.sent(), ["findAndModify"]);
    let previous = watched.store.load(&key, &Load { claim: Some(&old), ..NOT_DUE }).await.unwrap();
    assert!(matches!(previous, Found::Previous(_)));
    assert_eq!(watched.sent(), ["aggregate"]);
    for commands in [&["aggregate", "findAndModify"][..], &["aggregate"]] {
        let load = Load { claim: Some(&new), ..NOT_DUE };
        assert!(matches!(watched.store.load(&key, &load).await.unwrap(), Found::Current(_)));
        assert_eq!(watched.sent(), commands);
    }
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
        ..Write::data("new data")
    };
    let done = watched.store.replace(&key, &write).await.unwrap();
    assert!(matches!(done, Replaced::Done(written) if written.version == first.next()));
    assert_eq!(watched.sent(), ["findAndModify"]);
    let missing = watched.store.replace(&random_key(), &Write::data("data")).await.unwrap();
    assert_eq!(missing, Replaced::Missing);
    assert_eq!(watched.sent(), ["findAndModify"]);
}

#[tokio::test]
async fn a_write_over_another_version_or_with_another_secret_is_two_commands() {
    let watched = Watched::new().await;
    let (key, first) = watched.put_new().await;
    let write = Write { expected: Some(first.next()), ..Write::data("new data") };
    let conflict = watched.store.replace(&key, &write).await.unwrap();
    assert_eq!(conflict, Replaced::Conflict);
    assert_eq!(watched.sent(), ["findAndModify", "aggregate"]);
    let write = Write { claim: Some(&claim(1)), ..Write::data("new data") };
    let missing = watched.store.replace(&key, &write).await.unwrap();
    assert_eq!(missing, Replaced::Missing);
    assert_eq!(watched.sent(), ["findAndModify", "aggregate"]);
}

#[tokio::test]
async fn a_removal_with_hand_out_is_two_commands() {
    let watched = Watched::new().await;
    let key = watched.put(None).await;
    let removed = watched.store.remove(&key, Condition::Always, true).await.unwrap();
    assert_eq!(removed.record().unwrap().data, "data");
    assert_eq!(watched.sent(), ["aggregate", "findAndModify"]);
    let removed = watched.store.remove(&key, Condition::Always, true).await.unwrap();
    assert_eq!(removed, Removed::Missing);
    assert_eq!(watched.sent(), ["aggregate"]);
}

#[tokio::test]
async fn a_removal_is_one_command_and_one_more_if_its_condition_fails() {
    let watched = Watched::new().await;
    let (key, first) = watched.put_new().await;
    let other = Condition::Version(first.next());
    for condition in [other, Condition::Claim(&claim(1))] {
        let removed = watched.store.remove(&key, condition, false).await.unwrap();
        assert_eq!(removed, Removed::Conflict);
        assert_eq!(watched.sent(), ["delete", "aggregate"]);
    }
    for answer in [Removed::Done(None), Removed::Missing] {
        let removed = watched.store.remove(&key, Condition::Always, false).await.unwrap();
        assert_eq!(removed, answer);
        assert_eq!(watched.sent(), ["delete"]);
    }
}

#[tokio::test]
async fn a_batch_of_keys_is_one_command() {
    let watched = Watched::new().await;
    let mut keys = Vec::new();
    for _ in 0..150 {
        keys.push(put(&watched.store, None).await);
        keys.push(random_key());
    }
    watched.sent();
    let alive = watched.store.alive(&keys).await.unwrap();
    assert_eq!(alive, [true, false].repeat(150));
    assert_eq!(watched.sent(), ["find"]);
    assert!(watched.store.alive(&[]).await.unwrap().is_empty());
    assert!(watched.sent().is_empty());
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
        let page = watched.store.owned(&owner, None, limit, limit > 5).await.unwrap();
        assert_eq!(page.records.len(), limit.min(200));
        assert_eq!(watched.sent(), ["aggregate"]);
    }
    watched.store.remove_owned(&owner, None).await.unwrap();
    assert_eq!(watched.sent(), ["aggregate", "delete"]);
}

#[tokio::test]
async fn a_page_and_a_count_are_one_command_and_clear_is_two_for_a_thousand_sessions() {
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
