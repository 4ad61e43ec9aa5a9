//! What becomes of a session whose token changes, while the database fails.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::proof::Proof;
use crate::store::compat::Shape;
use crate::store::compat::backend::{Life, Listed};
use crate::store::{NewProof, Renamed, Renewal};

const HOUR: Duration = Duration::from_secs(3600);
const TEXT: &str = r#"{"cookie":{"maxAge":0},"data":{"a":1}}"#;

/// A database whose next calls of `add` fail.
#[derive(Clone)]
struct Faulty {
    format: Format,
    records: Arc<Mutex<HashMap<String, String>>>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It has no form for the record.
    Unfit,
    /// It says that it has not written.
    Refused,
    /// It cannot be reached, and has not written.
    Missed,
    /// It has written, and its answer is lost.
    Unheard,
    /// It says by this error that it has not written, or was not asked to.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    Denied(fn() -> StoreError),
    /// It has written, and a proxy that has lost it answers with this code.
    #[cfg(feature = "postgres")]
    Cut(&'static str),
}

/// The error of an SQL server, by its code alone.
#[cfg(feature = "postgres")]
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct SqlError(&'static str);

#[cfg(feature = "postgres")]
impl sqlx::error::DatabaseError for SqlError {
    fn message(&self) -> &str {
        self.0
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some(self.0.into())
    }

    fn kind(&self) -> sqlx::error::ErrorKind {
        sqlx::error::ErrorKind::Other
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }
}

#[cfg(feature = "postgres")]
fn sql_error(code: &'static str) -> StoreError {
    let error = sqlx::Error::Database(Box::new(SqlError(code)));
    crate::store::sql::store_error::<sqlx::Postgres>(error)
}

impl Faulty {
    /// With one session.
    fn new(faults: &[Fault]) -> Self {
        let records = HashMap::from([("old".to_owned(), TEXT.to_owned())]);
        Self {
            format: format::<Self>(Shape::token_session()),
            records: Arc::new(Mutex::new(records)),
            faults: Arc::new(Mutex::new(faults.iter().copied().collect())),
        }
    }

    async fn rename(&self) -> Result<Renamed> {
        let (from, to) = (Key::with_plain_id("old"), Key::with_plain_id("new"));
        rename(self, &from, &to, Renewal::Key).await
    }

    /// The ids that are there, each with the session that was there.
    fn ids(&self) -> Vec<String> {
        let records = self.records.lock().unwrap();
        assert!(records.values().all(|text| text == TEXT), "{records:?}");
        records.keys().cloned().collect()
    }
}

impl Place for Faulty {
    type Backend = Self;

    fn backend(&self) -> &Self {
        self
    }

    fn format(&self) -> &Format {
        &self.format
    }
}

impl Backend for Faulty {
    const PACKAGE: &'static str = "a database";
    const TTL: Duration = HOUR;

    type Old = String;
    type New = String;

    async fn fetch(&self, id: &str) -> Result<Option<(Stored, String)>> {
        let now = Timestamp::from_millis(1_795_486_653_816);
        let text = self.records.lock().unwrap().get(id).cloned();
        Ok(text.map(|text| {
            (Stored { text: text.clone().into(), expires: Some(now + HOUR), now }, text)
        }))
    }

    async fn fetch_all(&self, ids: &[&str]) -> Result<Vec<(String, Stored)>> {
        let mut found = Vec::new();
        for id in ids {
            found.extend(self.fetch(id).await?.map(|(stored, _)| ((*id).to_owned(), stored)));
        }
        Ok(found)
    }

    fn record(&self, text: &str, _: Option<&String>) -> Result<String> {
        let mut faults = self.faults.lock().unwrap();
        if let Some(Fault::Unfit) = faults.front() {
            faults.pop_front();
            return Err(refused("the database cannot keep it"));
        }
        Ok(text.to_owned())
    }

    fn again(old: &String) -> String {
        old.clone()
    }

    async fn add(
        &self,
        id: &str,
        text: &String,
        _: Option<Duration>,
        like: Option<&String>,
    ) -> Result<Option<String>> {
        assert_eq!(like.map(String::as_str), Some(TEXT));
        let fault = self.faults.lock().unwrap().pop_front();
        if let Some(Fault::Refused) = fault {
            return Err(StoreError::new(StoreErrorKind::Full, "it is full"));
        }
        let lost = || StoreError::new(StoreErrorKind::Unavailable, "it does not answer");
        if let Some(Fault::Missed) = fault {
            return Err(lost());
        }
        #[cfg(any(feature = "postgres", feature = "redis"))]
        if let Some(Fault::Denied(error)) = fault {
            return Err(error());
        }
        let mut records = self.records.lock().unwrap();
        if records.contains_key(id) {
            return Ok(None);
        }
        records.insert(id.to_owned(), text.to_owned());
        match fault {
            Some(Fault::Unheard) => Err(lost()),
            #[cfg(feature = "postgres")]
            Some(Fault::Cut(code)) => Err(sql_error(code)),
            _ => Ok(Some(text.to_owned())),
        }
    }

    async fn discard(&self, id: &str, old: &String) -> Result<bool> {
        let mut records = self.records.lock().unwrap();
        Ok(records.get(id) == Some(old) && records.remove(id).is_some())
    }

    async fn swap(&self, _: &str, _: &String, _: &str, _: Life) -> Result<Option<String>> {
        unreachable!("a rename swaps nothing")
    }

    async fn extend(&self, _: &str, _: &String, _: Duration) -> Result<bool> {
        unreachable!("a rename extends nothing")
    }

    async fn clock(&self, _: &str) -> Result<Timestamp> {
        unreachable!("a rename has the clock of what it fetched")
    }

    async fn page(&self, _: Option<&Cursor>, _: usize) -> Result<Listed> {
        unreachable!("a rename lists nothing")
    }

    async fn count(&self) -> Result<u64> {
        unreachable!("a rename counts nothing")
    }

    async fn clear(&self) -> Result<()> {
        unreachable!("a rename clears nothing")
    }

    async fn sweep(&self, _: usize) -> Result<usize> {
        unreachable!("a rename sweeps nothing")
    }
}

#[tokio::test]
async fn a_session_that_the_database_cannot_keep_is_not_removed() {
    // Once it was removed, it could not be put back.
    let faults = [Fault::Unfit, Fault::Missed, Fault::Missed, Fault::Missed];
    let database = Faulty::new(&faults);
    let error = database.rename().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert_eq!(database.ids(), ["old"]);
}

#[tokio::test]
async fn a_session_that_gets_no_new_token_keeps_its_old_one() {
    for faults in [&[Fault::Refused][..], &[Fault::Refused, Fault::Missed, Fault::Unheard]] {
        let database = Faulty::new(faults);
        let error = database.rename().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full);
        assert_eq!(database.ids(), ["old"], "{faults:?}");
    }
}

#[tokio::test]
async fn a_session_gets_its_new_token_though_the_database_fails_for_a_moment() {
    for faults in [
        &[Fault::Missed][..],
        &[Fault::Unheard],
        &[Fault::Missed, Fault::Missed],
        &[Fault::Missed, Fault::Unheard],
    ] {
        let database = Faulty::new(faults);
        assert!(matches!(database.rename().await.unwrap(), Renamed::Done(_)), "{faults:?}");
        assert_eq!(database.ids(), ["new"], "{faults:?}");
    }
}

/// It may be under the new one by then, or come to be.
#[tokio::test]
async fn a_session_that_may_have_got_a_new_token_is_not_put_under_its_old_one() {
    for (faults, left) in [
        (&[Fault::Missed, Fault::Missed, Fault::Missed][..], None),
        (&[Fault::Missed, Fault::Refused], None),
        (&[Fault::Missed, Fault::Missed, Fault::Unheard], Some("new")),
    ] {
        let database = Faulty::new(faults);
        assert!(database.rename().await.is_err(), "{faults:?}");
        assert_eq!(database.ids(), left.map_or(Vec::new(), |id| vec![id]), "{faults:?}");
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_session_whose_server_is_lost_behind_a_proxy_is_not_left_under_two_tokens() {
    for code in ["08006", "08P01", "57P01", "58000", "40003", "XX000", "1053", "2006", "2013"] {
        let database = Faulty::new(&[Fault::Cut(code)]);
        assert!(matches!(database.rename().await.unwrap(), Renamed::Done(_)), "{code}");
        assert_eq!(database.ids(), ["new"], "{code}");
        let database = Faulty::new(&[Fault::Missed, Fault::Missed, Fault::Cut(code)]);
        assert!(database.rename().await.is_err(), "{code}");
        assert_eq!(database.ids(), ["new"], "{code}");
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_session_keeps_its_token_where_the_sql_server_says_that_it_wrote_nothing() {
    let no_connection: fn() -> StoreError =
        || crate::store::sql::store_error::<sqlx::Postgres>(sqlx::Error::PoolTimedOut);
    for error in [no_connection, || sql_error("57014"), || sql_error("53300")] {
        let database = Faulty::new(&[Fault::Denied(error); 3]);
        let failure = database.rename().await.unwrap_err();
        assert_eq!(database.ids(), ["old"], "{failure}");
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_session_keeps_its_token_where_redis_says_that_it_ran_nothing() {
    use crate::store::redis::redis_error;
    use redis::{ErrorKind, ServerErrorKind as Kind};
    let of: [fn() -> StoreError; 4] = [
        || redis_error((ErrorKind::Server(Kind::ReadOnly), "READONLY").into()),
        || redis_error((ErrorKind::Server(Kind::ClusterDown), "CLUSTERDOWN").into()),
        || redis_error((ErrorKind::Server(Kind::TryAgain), "TRYAGAIN").into()),
        || redis_error((ErrorKind::Server(Kind::MasterDown), "MASTERDOWN").into()),
    ];
    for error in of {
        let database = Faulty::new(&[Fault::Denied(error); 3]);
        let failure = database.rename().await.unwrap_err();
        assert_eq!(failure.kind(), StoreErrorKind::Unavailable);
        assert_eq!(database.ids(), ["old"], "{failure}");
    }
}

#[tokio::test]
async fn data_that_is_refused_is_refused_by_the_name_of_its_session() {
    let (database, key) = (Faulty::new(&[]), Key::with_plain_id("old"));
    let error = replace(&database, &key, &Write::data("no JSON")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains(&key.to_string()), "{error}");
    assert_eq!(database.ids(), ["old"]);
}

#[tokio::test]
async fn a_new_secret_is_refused_where_the_id_is_the_token() {
    let (database, key) = (Faulty::new(&[]), Key::with_plain_id("old"));
    let proof = Some(NewProof::Regenerated(Proof::from_bytes([1; Proof::LEN])));
    let write = Write { proof, ..Write::data("1") };
    let error = replace(&database, &key, &write).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert_eq!(database.ids(), ["old"]);
}

#[tokio::test]
async fn sessions_are_alive_that_are_there() {
    let database = Faulty::new(&[]);
    let keys = ["none", "old", "none"].map(Key::with_plain_id);
    assert_eq!(alive(&database, &keys).await.unwrap(), [false, true, false]);
    let public = Key::from_bytes(*keys[1].as_bytes());
    assert_eq!(alive(&database, &[public]).await.unwrap(), [false]);
}

/// The stores of this crate's own have a migration; the tables of a package are made by Node.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn what_a_packages_table_refuses_is_no_matter_of_a_migration() {
    for code in ["23514", "42P01", "42501"] {
        let own = sql_error(code);
        assert!(own.to_string().contains("migrate()"), "{own}");
        let error = discreet(&Faulty::new(&[]), Err::<(), _>(own)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused);
        let shown = error.to_string();
        assert!(shown.contains("as the package makes it") && shown.contains(code), "{shown}");
    }
    // What is good advice for any table stays.
    let error = discreet(&Faulty::new(&[]), Err::<(), _>(sql_error("28P01"))).unwrap_err();
    assert!(error.to_string().contains("user, password and database"), "{error}");
}
