//! The store of the example `file_store`, which CONTRIBUTING shows, keeps the contract.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use token_session::store::conformance::Harness;
use token_session::store::{Condition, Inserted, Listing, Load, NewRecord, Store, StoreErrorKind};
use token_session::{Key, Lifetime};

#[path = "../examples/file_store/format.rs"]
mod format;
#[path = "../examples/file_store/listing.rs"]
mod listing;
#[path = "../examples/file_store/store.rs"]
mod store;

use store::FileStore;

/// Each store has a folder of its own, and all are deleted at the end.
struct InFiles {
    folder: TempDir,
    stores: AtomicU32,
}

impl InFiles {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), stores: AtomicU32::default() }
    }
}

impl Harness for InFiles {
    type Store = FileStore;

    async fn store(&self) -> FileStore {
        let number = self.stores.fetch_add(1, Ordering::Relaxed);
        FileStore::open(self.folder.path().join(number.to_string())).unwrap()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

mod conformance {
    use super::InFiles;

    token_session::conformance_suite!(without owners: InFiles::new());
}

#[tokio::test]
async fn a_damaged_file_hides_no_other_and_can_be_removed() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let [damaged, whole] = [1, 2].map(|byte| Key::from_bytes([byte; Key::LEN]));
    let record = NewRecord::new("data", Lifetime::idle_secs(60).unwrap());
    for key in [&damaged, &whole] {
        let inserted = store.insert(key, &record).await.unwrap();
        assert_eq!(inserted, Inserted::Done { evicted: vec![] });
    }
    std::fs::write(folder.path().join(damaged.to_string()), "{").unwrap();
    let error = store.load(&damaged, &Load::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (StoreErrorKind::Corrupt, Some(&damaged)));
    let page = store.scan(None, 10).await.unwrap();
    assert_eq!((page.records.len(), page.damaged.len()), (1, 1));
    assert!(store.remove(&damaged, Condition::Always, false).await.unwrap().is_done());
    assert_eq!(store.alive(&[damaged, whole]).await.unwrap(), [false, true]);
}
