//! Full disks, damaged files, and files without the right to use them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use token_session::store::{
    Condition, Listing, Load, NewRecord, Sqlite, Store, StoreErrorKind, Touch,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::folder::{Folder, find, put, random_key, record, run};

/// A store whose file has at most this many pages of 4 KiB.
async fn of_pages(folder: &Folder, pages: u32) -> Sqlite {
    let options = SqliteConnectOptions::new()
        .filename(folder.file("sessions.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("max_page_count", pages.to_string());
    let store = Sqlite::new(SqlitePool::connect_with(options).await.unwrap());
    store.migrate().await.unwrap();
    store
}

fn large() -> NewRecord<'static> {
    NewRecord { data: vec![7; 3_000].into(), ..record() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_refuses_inserts_and_loses_nothing() {
    let folder = Folder::new();
    let store = of_pages(&folder, 100).await;
    let inserts: JoinSet<_> = (0..500)
        .map(|_| {
            let store = store.clone();
            async move {
                let key = random_key();
                store.insert(&key, &large()).await.map(|_| key)
            }
        })
        .collect();
    let (stored, refused): (Vec<_>, Vec<_>) =
        inserts.join_all().await.into_iter().partition(Result::is_ok);
    assert!(stored.len() > 20 && refused.len() > 20);
    for error in refused.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    }
    let stored: Vec<_> = stored.into_iter().filter_map(Result::ok).collect();
    for key in &stored {
        assert_eq!(find(&store, key).await.unwrap().data.len(), 3_000);
    }
    assert_eq!(store.count().await.unwrap(), stored.len() as u64);

    // Logouts still work, also in one commit with logins that find no space.
    let both: JoinSet<_> = stored
        .iter()
        .take(10)
        .cloned()
        .map(|key| {
            let store = store.clone();
            async move {
                let removed = store.remove(&key, Condition::Always, false);
                let (taken, new) = (random_key(), large());
                let (removed, _) = tokio::join!(removed, store.insert(&taken, &new));
                removed.unwrap().is_done()
            }
        })
        .collect();
    assert_eq!(both.join_all().await, [true; 10]);

    // With free space, logins work again.
    store.clear().await.unwrap();
    store.insert(&random_key(), &large()).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_corrupt() {
    let folder = Folder::new();
    fs::write(folder.file("sessions.db"), "sessions ".repeat(1_000)).unwrap();
    let error = Sqlite::connect(&folder.url("sessions.db")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_damaged_row_is_an_error_that_names_it() {
    let folder = Folder::new();
    let store = folder.store("sessions.db", Sqlite::builder()).await;
    for damage in
        ["owner = char(10)", "owner = ''", "idle_ms = 9000000000000000", "created_at = -1"]
    {
        let key = put(&store).await;
        let mut beside = folder.beside("sessions.db").await;
        run(&mut beside, format!("UPDATE token_sessions SET {damage}")).await;
        for touch in [Touch::No, Touch::After(Duration::ZERO)] {
            let error = store.load(&key, &Load { touch, ..Load::new() }).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{damage}: {error}");
            assert!(error.to_string().contains(&key.to_string()), "{error}");
        }
        store.clear().await.unwrap();
    }
}

#[tokio::test]
async fn an_invalid_path_is_refused() {
    let folder = Folder::new();
    fs::create_dir(folder.file("folder")).unwrap();
    for url in [
        folder.url("missing/sessions.db"),
        folder.url("folder"),
        "sqlite::memory:".to_owned(),
        "postgres://host".to_owned(),
    ] {
        let error = Sqlite::connect(&url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{url}: {error}");
    }
}

#[tokio::test]
async fn a_write_to_a_read_only_file_is_refused() {
    let folder = Folder::new();
    let store = folder.store("sessions.db", Sqlite::builder()).await;
    let key = put(&store).await;
    let options = SqliteConnectOptions::new().filename(folder.file("sessions.db"));
    let pool = SqlitePool::connect_with(options.read_only(true)).await.unwrap();
    let reader = Sqlite::new(pool);
    assert!(find(&reader, &key).await.is_some());
    let error = reader.insert(&random_key(), &record()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
}

#[tokio::test]
async fn a_missing_table_says_to_migrate() {
    let folder = Folder::new();
    let store = Sqlite::connect(&folder.url("sessions.db")).await.unwrap();
    let read = store.load(&random_key(), &Load::new()).await.map(drop);
    let write = store.insert(&random_key(), &record()).await.map(drop);
    for error in [read.unwrap_err(), write.unwrap_err()] {
        assert_eq!(error.kind(), StoreErrorKind::Refused);
        assert!(error.to_string().contains("migrate()"), "{error}");
    }
}

#[tokio::test]
async fn only_the_owner_of_the_file_may_read_it() {
    let folder = Folder::new();
    let store = folder.store("sessions.db", Sqlite::builder()).await;
    put(&store).await;
    for name in ["sessions.db", "sessions.db-wal", "sessions.db-shm"] {
        let mode = fs::metadata(folder.file(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn an_existing_file_keeps_its_mode() {
    let folder = Folder::new();
    fs::write(folder.file("sessions.db"), "").unwrap();
    let mode = fs::Permissions::from_mode(0o640);
    fs::set_permissions(folder.file("sessions.db"), mode).unwrap();
    folder.store("sessions.db", Sqlite::builder()).await;
    let mode = fs::metadata(folder.file("sessions.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_hang_up_cost_no_connections() {
    const MOST: usize = 2;
    let folder = Folder::new();
    let key = put(&folder.store("sessions.db", Sqlite::builder()).await).await;
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&opened);
    let pool = SqlitePoolOptions::new().max_connections(MOST as u32).after_connect(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    });
    let pool = pool.test_before_acquire(false);
    let options = SqliteConnectOptions::new().filename(folder.file("sessions.db"));
    let store = Sqlite::new(pool.connect_with(options).await.unwrap());
    let clients: JoinSet<_> = (0..20)
        .map(|client| {
            let (store, key) = (store.clone(), key.clone());
            async move {
                for call in 0..30 {
                    let given_up = Duration::from_micros(20 * ((client + call) % 10));
                    let _ = timeout(given_up, store.load(&key, &Load::new())).await;
                }
            }
        })
        .collect();
    clients.join_all().await;
    assert!(find(&store, &key).await.is_some());
    let opened = opened.load(Ordering::SeqCst);
    assert!(opened <= MOST, "{opened} were made");
}
