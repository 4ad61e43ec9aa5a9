//! Stores on the shared server, each on tables of its own.

use std::time::Duration;

use token_session::store::{MySql, MySqlBuilder};

/// A table name that no other test has.
pub fn fresh_name() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    format!("t{:016x}", u64::from_ne_bytes(bytes))
}

/// An empty store.
pub async fn fresh_store(builder: MySqlBuilder) -> MySql {
    let store = builder
        .table(fresh_name())
        .timeout(Duration::from_secs(60))
        .connect(test_servers::mysql_url())
        .await
        .expect("the server is there");
    store.migrate().await.expect("the tables can be made");
    store
}
