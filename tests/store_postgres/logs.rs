//! What the driver writes into the log.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use test_servers::fresh_name;
use token_session::store::{NewRecord, Postgres, Store};
use token_session::{Key, Lifetime};

use crate::sql_server::found;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_statement_that_holds_its_values_is_not_logged() {
    // If this were the only subscriber, a thread without one could switch the log off for all threads.
    let _other = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let subscriber = subscriber.with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let url = test_servers::postgres_url();
    let store = Postgres::builder().table(fresh_name()).prepared_statements(false);
    let store = store.connect(url).await.unwrap();
    store.migrate().await.unwrap();
    let lifetime = Lifetime::idle(Duration::from_secs(60)).unwrap();
    let key = Key::from_bytes([0xab; Key::LEN]);
    store.insert(&key, &NewRecord::new("session data", lifetime)).await.unwrap();
    assert_eq!(found(&store, &key).await.unwrap().data, "session data");

    let admin = sqlx::PgPool::connect(url).await.unwrap();
    sqlx::query("SELECT 'of another pool'").execute(&admin).await.unwrap();
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("of another pool"), "statements are logged here");
    let in_digits: String = "session data".bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!log.contains(&in_digits), "{log}");
    assert!(!log.contains("abababab"), "{log}");
}
