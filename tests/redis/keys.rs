//! Names: what is under the prefix is the store's, and nothing else.

use token_session::store::{Cursor, Redis, Store, StoreErrorKind, Touch};

use crate::{ask, fresh_key, hour, log_in, owner, patient};

#[tokio::test]
async fn a_clear_leaves_what_others_keep() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let longer = Redis::builder().prefix("ts:admin:").connect(server.url()).await.unwrap();
    for name in ["other", "ts:config", "ts:{0}:x:1", "Xts:{0}:s:1"] {
        let _: String = ask(server.url(), &["SET", name, "1"]);
    }
    let kept = log_in(&longer, &owner("anna")).await;
    log_in(&store, &owner("anna")).await;

    store.clear().await.unwrap();
    assert_eq!(store.count().await.unwrap(), 0);
    assert_eq!(ask::<usize>(server.url(), &["DBSIZE"]), 4 + 2);
    assert!(longer.load(&kept, Touch::No).await.unwrap().is_some());
}

#[tokio::test]
async fn a_prefix_is_no_pattern() {
    let server = test_servers::Redis::start().unwrap();
    let open = |prefix: &str| Redis::builder().prefix(prefix).connect(server.url());
    let (store, other) = (open("a[b]*?").await.unwrap(), open("ab1x").await.unwrap());
    let key = fresh_key();
    store.insert(&key, &hour("data")).await.unwrap();
    other.insert(&key, &hour("data")).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 1);
    store.clear().await.unwrap();
    assert_eq!((store.count().await.unwrap(), other.count().await.unwrap()), (0, 1));
}

#[tokio::test]
async fn database_numbers_keep_stores_apart() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(&format!("{}/3", server.url())).await;
    let other = patient(server.url()).await;
    let key = fresh_key();
    store.insert(&key, &hour("data")).await.unwrap();
    assert_eq!(other.load(&key, Touch::No).await.unwrap(), None);
    other.clear().await.unwrap();
    assert!(store.load(&key, Touch::No).await.unwrap().is_some());
}

#[tokio::test]
async fn a_cursor_of_something_else_is_refused() {
    let server = test_servers::redis_url();
    let store = patient(server).await;
    for bytes in ["", "x", "0", "0 x y", "-1 0 ", "\u{0}"] {
        let cursor = Cursor::new(bytes);
        let error = store.scan(Some(&cursor), 10).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_connection_that_the_application_holds_serves_as_well() {
    let client = redis::Client::open(test_servers::redis_url()).unwrap();
    let store = Redis::new(redis::aio::ConnectionManager::new(client).await.unwrap());
    let key = fresh_key();
    store.insert(&key, &hour("data")).await.unwrap();
    assert!(store.take(&key).await.unwrap().is_some());

    let nodes = test_servers::redis_cluster_urls();
    let client = redis::cluster::ClusterClient::builder(nodes).retries(0).build().unwrap();
    let store = Redis::new(client.get_async_connection().await.unwrap());
    assert_eq!(store.partitions(), 256);
    store.insert(&key, &hour("data")).await.unwrap();
    assert!(store.take(&key).await.unwrap().is_some());
}
