//! Stores on the shared server, each on a collection of its own.

use std::time::Duration;

use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use token_session::store::{MongoDb, MongoDbBuilder};

/// A collection name that no other test has.
pub fn fresh_name() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    format!("t{:016x}", u64::from_ne_bytes(bytes))
}

/// What a client of the shared server is made of.
pub async fn options() -> ClientOptions {
    ClientOptions::parse(test_servers::mongodb_url()).await.expect("the URL is one of MongoDB")
}

/// The tests' database, by a client of these options.
pub fn database(options: ClientOptions) -> Database {
    let client = Client::with_options(options).expect("the options are usable");
    client.database("token_session_tests")
}

/// An empty store.
pub async fn fresh_store(builder: MongoDbBuilder) -> MongoDb {
    let store = builder
        .collection(fresh_name())
        .timeout(Duration::from_secs(60))
        .database(&database(options().await))
        .expect("the settings are usable");
    store.migrate().await.expect("the collection can be made");
    store
}
