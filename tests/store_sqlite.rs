//! The SQLite store on a real file: the contract, and the facts that only SQLite has.

use std::time::Duration;

use token_session::store::Sqlite;
use token_session::store::conformance::Harness;

#[path = "store_sqlite/clock.rs"]
mod clock;
#[path = "store_sqlite/damaged.rs"]
mod damaged;
#[path = "store_sqlite/faults.rs"]
mod faults;
#[path = "store_sqlite/folder.rs"]
mod folder;
#[path = "store_sqlite/golden.rs"]
mod golden;
#[path = "store_sqlite/owners.rs"]
mod many_owned;
#[path = "on_every_store/mod.rs"]
mod on_every_store;
#[path = "store_sqlite/tables.rs"]
mod tables;
#[path = "store_sqlite/writing.rs"]
mod writing;

impl Harness for folder::Folder {
    type Store = Sqlite;

    async fn store(&self) -> Sqlite {
        let name = format!("{}.db", folder::random_key());
        let builder = Sqlite::builder().timeout(Duration::from_secs(60));
        folder::Folder::store(self, &name, builder).await
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

mod conformance {
    use crate::folder::Folder;

    token_session::conformance_suite!(Folder::new());
}

mod with_codes {
    use crate::folder::Folder;

    crate::on_every_store::codes_on_store!(Folder::new());
}
