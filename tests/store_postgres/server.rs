//! Stores on the shared server, each on a table of its own.

use token_session::store::{Postgres, PostgresBuilder};

/// A table name that no other test has.
pub fn fresh_name() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    format!("t{:016x}", u64::from_ne_bytes(bytes))
}

/// An empty store.
pub async fn fresh_store(builder: PostgresBuilder) -> Postgres {
    let store = builder
        .table(fresh_name())
        .timeout(std::time::Duration::from_secs(60))
        .connect(test_servers::postgres_url())
        .await
        .expect("the server is there");
    store.migrate().await.expect("the table can be made");
    store
}
