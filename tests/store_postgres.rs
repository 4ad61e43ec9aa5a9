//! The PostgreSQL store on a real server: the contract, and what is PostgreSQL's own.

use std::time::Duration;

use token_session::store::Postgres;
use token_session::store::conformance::Harness;

#[path = "store_postgres/server.rs"]
mod server;

struct OnPostgres;

impl Harness for OnPostgres {
    type Store = Postgres;

    async fn store(&self) -> Postgres {
        server::fresh_store(Postgres::builder()).await
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

token_session::conformance_suite!(OnPostgres);
