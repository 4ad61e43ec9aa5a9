//! The MongoDB store on a real server: the contract, and what is MongoDB's own.

use std::time::Duration;

use token_session::store::MongoDb;
use token_session::store::conformance::Harness;

#[path = "store_mongodb/server.rs"]
mod server;

struct OnMongoDb;

impl Harness for OnMongoDb {
    type Store = MongoDb;

    async fn store(&self) -> MongoDb {
        server::fresh_store(MongoDb::builder()).await
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

mod conformance {
    use super::OnMongoDb;

    token_session::conformance_suite!(OnMongoDb);
}
