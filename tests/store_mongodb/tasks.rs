//! Only a dropped call runs in a task, on both stores that keep sessions in MongoDB.
//!
//! The driver spawns tasks of its own, so counting tasks proves nothing. Its monitor runs in the task
//! that sends the command. These tests call from outside any task, so if a task sends a command, the
//! store has spawned the call.

use std::sync::{Arc, Mutex};

use mongodb::Database;
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use token_session::store::compat::{ConnectMongo, Shape};
use token_session::store::{
    Condition, Listing, Load, MongoDb, NewRecord, OwnerLimit, Owners, Replaced, Store, Write,
};
use token_session::{Owner, TokenSession};
use tokio::task::{Id, try_id};

use super::server::{HOUR, TOUCH, database, fresh_name, options, put, random_key, record};

/// The name of a command, and the task that sent it.
type Sent = (String, Option<Id>);

/// The commands that were sent.
#[derive(Clone, Default)]
struct Senders(Arc<Mutex<Vec<Sent>>>);

impl Senders {
    async fn database(&self) -> Database {
        let heard = Arc::clone(&self.0);
        let mut options = options().await;
        options.command_event_handler = Some(EventHandler::callback(move |event| {
            if let CommandEvent::Started(command) = event {
                heard.lock().unwrap().push((command.command_name, try_id()));
            }
        }));
        database(options)
    }

    /// Asserts that commands were sent since the last call of this, and that no task sent one.
    #[track_caller]
    fn are_no_tasks(&self) {
        let sent = std::mem::take(&mut *self.0.lock().unwrap());
        assert!(!sent.is_empty(), "no command was sent");
        assert!(sent.iter().all(|(_, task)| task.is_none()), "{sent:?}");
    }
}

#[tokio::test]
async fn the_monitor_sees_the_task_of_a_spawned_call() {
    let senders = Senders::default();
    let store = MongoDb::builder().collection(fresh_name()).timeout(HOUR);
    let store = store.database(&senders.database().await).unwrap();
    tokio::spawn(async move { store.count().await }).await.unwrap().unwrap();
    let sent = senders.0.lock().unwrap();
    assert!(!sent.is_empty() && sent.iter().all(|(_, task)| task.is_some()), "{sent:?}");
}

#[tokio::test]
async fn no_call_runs_in_a_task_unless_it_is_dropped() {
    let senders = Senders::default();
    let store = MongoDb::builder().collection(fresh_name()).timeout(HOUR);
    let store = store.database(&senders.database().await).unwrap();
    store.migrate().await.unwrap();
    let owner = Owner::new("Anna").unwrap();

    let key = put(&store, Some(&owner)).await;
    senders.are_no_tasks();
    for limit in [OwnerLimit::evict_oldest, OwnerLimit::reject] {
        let limited =
            NewRecord { limit: Some(limit(1.try_into().unwrap())), ..record("data", Some(&owner)) };
        store.insert(&random_key(), &limited).await.unwrap();
        senders.are_no_tasks();
    }
    assert!(store.load(&key, &TOUCH).await.unwrap().live().is_none());
    senders.are_no_tasks();

    let key = put(&store, Some(&owner)).await;
    for load in [Load::new(), TOUCH] {
        assert!(store.load(&key, &load).await.unwrap().live().is_some());
        senders.are_no_tasks();
    }
    let replaced = store.replace(&key, &Write::data("new")).await.unwrap();
    assert!(matches!(replaced, Replaced::Done(_)));
    senders.are_no_tasks();
    assert_eq!(store.alive(std::slice::from_ref(&key)).await.unwrap(), [true]);
    senders.are_no_tasks();
    assert_eq!(store.owned(&owner, None, 10, true).await.unwrap().records.len(), 2);
    senders.are_no_tasks();
    assert_eq!(store.scan(None, 10).await.unwrap().records.len(), 2);
    senders.are_no_tasks();
    assert_eq!(store.count().await.unwrap(), 2);
    senders.are_no_tasks();
    for hand_out in [true, false] {
        let removed = store.remove(&key, Condition::Always, hand_out).await.unwrap();
        assert!(removed.is_done());
        senders.are_no_tasks();
        store.insert(&key, &record("data", Some(&owner))).await.unwrap();
        senders.are_no_tasks();
    }
    store.remove_owned(&owner, None).await.unwrap();
    senders.are_no_tasks();
    put(&store, None).await;
    store.clear().await.unwrap();
    senders.are_no_tasks();
}

#[tokio::test]
async fn no_call_of_the_store_shared_with_node_runs_in_a_task_unless_it_is_dropped() {
    let senders = Senders::default();
    let store = ConnectMongo::new(&senders.database().await, Shape::token_session());
    let store = store.collection(&fresh_name()).timeout(HOUR);
    let sessions = TokenSession::<u32>::builder().store(store).build().unwrap();

    let issued = sessions.create(&1).await.unwrap();
    senders.are_no_tasks();
    assert!(sessions.get(&issued.token).await.unwrap().is_some());
    senders.are_no_tasks();
    sessions.set(&issued.token, &2).await.unwrap();
    senders.are_no_tasks();
    let issued = sessions.regenerate(&issued.token).await.unwrap();
    senders.are_no_tasks();
    assert_eq!(sessions.count().await.unwrap(), 1);
    senders.are_no_tasks();
    assert_eq!(sessions.all(None, 10).await.unwrap().sessions.len(), 1);
    senders.are_no_tasks();
    assert!(sessions.take(&issued.token).await.unwrap().is_some());
    senders.are_no_tasks();
    sessions.store().listing().unwrap().sweep(10).await.unwrap();
    senders.are_no_tasks();
    sessions.clear().await.unwrap();
    senders.are_no_tasks();
}
