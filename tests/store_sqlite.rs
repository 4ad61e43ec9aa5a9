//! The SQLite store on a real file: the contract, and what is SQLite's own.

use std::time::Duration;

use tempfile::TempDir;
use token_session::store::Sqlite;
use token_session::store::conformance::Harness;

/// A folder of the test's own, for the files of its stores.
struct InFolder(TempDir);

impl InFolder {
    fn new() -> Self {
        Self(TempDir::new().expect("there is a temporary folder"))
    }
}

impl Harness for InFolder {
    type Store = Sqlite;

    async fn store(&self) -> Sqlite {
        let mut name = [0; 8];
        getrandom::fill(&mut name).expect("the operating system gives random bytes");
        let name = u64::from_ne_bytes(name);
        let url = format!("sqlite:{}/{name:016x}.db", self.0.path().display());
        let timeout = Duration::from_secs(60);
        let store = Sqlite::builder().timeout(timeout).connect(&url).await;
        let store = store.expect("the file can be made");
        store.migrate().await.expect("the table can be made");
        store
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

token_session::conformance_suite!(InFolder::new());
