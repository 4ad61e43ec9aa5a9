//! A store that runs a hook between the commands of a call.

use std::sync::{Arc, Mutex};

use mongodb::Collection;
use mongodb::bson::Document;
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use token_session::store::MongoDb;

use super::server::{HOUR, database, fresh_name, options};

/// The hook. It receives the name of a command that is about to be sent.
pub type Before = Box<dyn FnMut(&str) + Send>;

/// A store that runs a hook before each command, and its documents through another client.
pub struct Hooked {
    pub store: MongoDb,
    pub documents: Collection<Document>,
    pub before: Arc<Mutex<Option<Before>>>,
    pub sent: Arc<Mutex<Vec<String>>>,
    /// The number of documents in each answer to an `aggregate`.
    pub found: Arc<Mutex<Vec<usize>>>,
}

pub async fn hooked() -> Hooked {
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

/// Runs a future to its end on another thread. A hook cannot await.
pub fn on_a_thread<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work)
    };
    std::thread::spawn(run).join().unwrap()
}
