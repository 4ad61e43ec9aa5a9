//! What a store's URL says beside where its server is.

use test_servers::fresh_name;
use token_session::store::{self, Condition, Inserted, Load, NewRecord, Store, StoreErrorKind};
use token_session::{Key, Lifetime};

/// A URL with one more parameter.
fn with(url: &str, parameter: &str) -> String {
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}{parameter}")
}

fn mongodb_url() -> String {
    test_servers::mongodb_url().replacen("/?", "/token_session_parameters?", 1)
}

async fn insert(store: &dyn Store, key: &Key) -> Inserted {
    let lifetime = Lifetime::idle_secs(60).unwrap();
    store.insert(key, &NewRecord::new("data", lifetime)).await.unwrap()
}

/// Two stores with other names of this parameter in one database know nothing of each other.
async fn are_apart(url: &str, parameter: &str) {
    let key = Key::from_bytes([7; 16]);
    let names = [fresh_name(), fresh_name()];
    for name in &names {
        let store = store::connect(&with(url, &format!("{parameter}={name}"))).await.unwrap();
        assert_eq!(insert(&store, &key).await, Inserted::Done { evicted: vec![] });
        assert_eq!(store.count().await.unwrap(), 1);
    }
    let cached = format!("{parameter}={}&cache=1s", names[0]);
    let cached = store::connect_sessions(&with(url, &cached)).await.unwrap();
    assert_eq!(cached.alive(std::slice::from_ref(&key)).await.unwrap(), [true]);
    cached.listing().unwrap().clear().await.unwrap();
    assert_eq!(cached.alive(std::slice::from_ref(&key)).await.unwrap(), [false]);
    for typo in ["tabel=x", "prefixx=x", "colection=x"] {
        for error in [
            store::connect(&with(url, typo)).await.map(drop).unwrap_err(),
            store::connect_sessions(&with(url, typo)).await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), StoreErrorKind::Refused, "{typo}: {error}");
        }
    }
}

#[tokio::test]
async fn a_redis_url_names_the_prefix() {
    are_apart(test_servers::redis_url(), "prefix").await;
}

#[tokio::test]
async fn a_postgresql_url_names_the_table() {
    are_apart(test_servers::postgres_url(), "table").await;
}

#[tokio::test]
async fn a_postgresql_url_has_the_store_tell_its_changes() {
    let url = with(test_servers::postgres_url(), &format!("table={}", fresh_name()));
    assert!(store::connect(&url).await.unwrap().watch().is_none());
    let telling = with(&url, "tell_changes=true");
    assert!(store::connect(&telling).await.unwrap().watch().is_some());
    let key = Key::from_bytes([7; 16]);
    let cached = store::connect_sessions(&with(&telling, "cache=60s")).await.unwrap();
    insert(&*cached, &key).await;
    assert!(cached.load(&key, &Load::new()).await.unwrap().live().is_some());
    // Another process ends the session. The cache hears of it long before its minute is over.
    let other = store::connect(&telling).await.unwrap();
    assert!(other.remove(&key, Condition::Always, false).await.unwrap().is_done());
    let ended = async {
        while cached.load(&key, &Load::new()).await.unwrap().live().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), ended).await.unwrap();
    let error = store::connect(&with(&url, "tell_changes=1")).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
}

#[tokio::test]
async fn a_mysql_url_names_the_table() {
    are_apart(test_servers::mysql_url(), "table").await;
}

#[tokio::test]
async fn a_mongodb_url_names_the_collection() {
    are_apart(&mongodb_url(), "collection").await;
}

#[tokio::test]
async fn an_sqlite_url_names_the_table() {
    let folder = tempfile::tempdir().unwrap();
    are_apart(&format!("sqlite:{}/sessions.db", folder.path().display()), "table").await;
}

#[tokio::test]
async fn a_url_names_the_format_of_a_node_package() {
    for (url, format) in [
        (test_servers::redis_url(), "format=connect-redis&prefix=sess:"),
        (test_servers::postgres_url(), "format=connect-pg-simple&table=public.session"),
        (test_servers::mysql_url(), "format=express-mysql-session&shape=token-session"),
        (&mongodb_url(), "format=connect-mongo&collection=sessions&cache=1s"),
    ] {
        let store = store::connect_sessions(&with(url, format)).await.unwrap();
        assert!(store.moves().is_some() && store.owners().is_none(), "{format}");
        assert!(store::connect(&with(url, format)).await.is_err(), "{format}");
        let wrong = with(url, &format!("{format}&time_zone=Mars"));
        let error = store::connect_sessions(&wrong).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{format}: {error}");
    }
}
