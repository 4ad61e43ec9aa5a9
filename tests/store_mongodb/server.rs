//! Stores on the shared server, each in a collection of its own, and the records that tests insert.

use std::time::Duration;

use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
pub use test_servers::fresh_name;
use token_session::store::{Inserted, Load, MongoDb, MongoDbBuilder, NewRecord, Store, Touch};
use token_session::{Claim, Key, Lifetime, Owner, Proof, Record};

pub const HOUR: Duration = Duration::from_secs(3_600);

pub fn random_key() -> Key {
    let mut bytes = [0; Key::LEN];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    Key::from_bytes(bytes)
}

/// The options of a client of the shared server.
pub async fn options() -> ClientOptions {
    ClientOptions::parse(test_servers::mongodb_url()).await.expect("the URL is one of MongoDB")
}

/// The tests' database, by a client of these options.
pub fn database(options: ClientOptions) -> Database {
    let client = Client::with_options(options).expect("the options are usable");
    client.database("token_session_tests")
}

/// The URL of a test's own server, with a database.
pub fn url(server: &test_servers::Server, options: &str) -> String {
    let port = server.port();
    format!("mongodb://127.0.0.1:{port}/token_session_tests?directConnection=true{options}")
}

/// An empty store on the shared server.
pub async fn fresh_store(builder: MongoDbBuilder) -> MongoDb {
    let store = builder
        .collection(fresh_name())
        // A thousand callers wait for ten connections, on a server that is slow.
        .timeout(Duration::from_secs(600))
        .database(&database(options().await))
        .expect("the settings are usable");
    store.migrate().await.expect("the collection can be made");
    store
}

pub fn record<'a>(data: &'static str, owner: Option<&'a Owner>) -> NewRecord<'a> {
    let lifetime = Lifetime::idle(HOUR).expect("an hour is a lifetime");
    NewRecord { owner, ..NewRecord::new(data, lifetime) }
}

/// Loads by the key alone, and always touches.
pub const TOUCH: Load<'_> = Load { touch: Touch::After(Duration::ZERO), ..Load::new() };

/// The proof of one of a session's secrets.
pub const fn proof(secret: u8) -> Proof {
    Proof::from_bytes([secret; Proof::LEN])
}

/// The claim of one of a session's secrets, with an hour of grace after a handover.
pub fn claim(secret: u8) -> Claim {
    Claim::new(proof(secret), HOUR)
}

/// The live record under a key.
pub async fn loaded(store: &MongoDb, key: &Key) -> Option<Record> {
    store.load(key, &Load::new()).await.expect("the server is there").live()
}

pub async fn put(store: &MongoDb, owner: Option<&Owner>) -> Key {
    let key = random_key();
    let inserted = store.insert(&key, &record("data", owner)).await.expect("the server is there");
    assert_eq!(inserted, Inserted::Done { evicted: vec![] });
    key
}
