//! The MySQL store on a real server: the contract, and what is MySQL's own.

use std::time::Duration;

use token_session::store::MySql;
use token_session::store::conformance::Harness;

#[path = "store_mysql/server.rs"]
mod server;

struct OnMySql;

impl Harness for OnMySql {
    type Store = MySql;

    async fn store(&self) -> MySql {
        server::fresh_store(MySql::builder()).await
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

token_session::conformance_suite!(OnMySql);
