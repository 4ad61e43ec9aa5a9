//! A temporary folder for one test, and stores on files in it.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tempfile::TempDir;
use token_session::store::{Load, NewRecord, Sqlite, SqliteBuilder, Store};
use token_session::{Key, Lifetime, Record};

pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(TempDir::new().expect("there is a temporary folder"))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn url(&self, name: &str) -> String {
        format!("sqlite:{}", self.file(name).display())
    }

    /// A store on a new or an existing file.
    pub async fn store(&self, name: &str, builder: SqliteBuilder) -> Sqlite {
        let store = builder.connect(&self.url(name)).await;
        let store = store.expect("the file can be made");
        store.migrate().await.expect("the table can be made");
        store
    }

    /// A connection beside the store's, which stands for another process.
    pub async fn beside(&self, name: &str) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.file(name));
        let options = options.busy_timeout(Duration::from_secs(60));
        options.connect().await.expect("the file is there")
    }
}

/// Runs statements.
pub async fn run(connection: &mut SqliteConnection, sql: impl Into<String>) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.into()));
    sql.execute(connection).await.expect("the statement is right");
}

pub fn random_key() -> Key {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    Key::from_bytes(bytes)
}

pub fn record() -> NewRecord<'static> {
    let hour = Lifetime::idle_secs(3_600).expect("an hour is a timeout");
    NewRecord::new("data", hour)
}

/// Inserts a record and returns its key.
pub async fn put(store: &Sqlite) -> Key {
    let key = random_key();
    store.insert(&key, &record()).await.unwrap();
    key
}

/// The live record under a key.
pub async fn find(store: &Sqlite, key: &Key) -> Option<Record> {
    store.load(key, &Load::new()).await.unwrap().live()
}
