//! Names: the store touches only its own Redis keys.

use token_session::store::{Condition, Cursor, Listing, Redis, Store, StoreErrorKind};

use crate::{LONG, Short, ask, fresh_key, hour, log_in, owner, patient};

/// Names that look like those of a store with this prefix, and are not.
fn lookalikes(prefix: &str) -> Vec<String> {
    let key = fresh_key().to_string();
    let names = [
        "other".to_owned(),
        format!("{prefix}config"),
        format!("{prefix}{{0}}:x:1"),
        format!("X{prefix}{{0}}:s:{key}"),
        format!("{prefix}{prefix}{{0}}:s:{key}"),
        format!("{prefix}{{sensor1}}:s:temperature"),
        format!("{prefix}{{sensor1}}:s:{key}"),
        format!("{prefix}{{17}}:s:{key}"),
        format!("{prefix}{{00}}:s:{key}"),
        format!("{prefix}{{}}:s:{key}"),
        format!("{prefix}{{0}}:s:"),
        format!("{prefix}{{0}}:s:temperature"),
        format!("{prefix}{{0}}:s:{key}="),
        format!("{prefix}{{0}}:s:{key}:1"),
        format!("{prefix}{{0}}:s:{{1}}:s:{key}"),
        format!("{prefix}{{0}}:s:{}", "\u{e9}".repeat(22)),
        format!("{prefix}{{0}}:S:{key}"),
        format!("{prefix}{{0}}:s:{}~", &key[..21]),
    ];
    names.into_iter().filter(|name| *name != format!("{prefix}{{0}}:s:{key}")).collect()
}

/// The same of indexes.
fn lookalike_indexes(prefix: &str) -> Vec<String> {
    let names = ["{sensor1}:o:outside", "{17}:o:anna", "{0}:o:", "{0}}:o:anna", "{0}:o:a\nb"];
    names.map(|name| format!("{prefix}{name}")).to_vec()
}

#[tokio::test]
async fn nothing_that_only_looks_like_a_session_is_listed_counted_or_removed() {
    let server = test_servers::Redis::start().unwrap();
    for prefix in ["ts:", "a*[b]?^-\\:", "\u{dc}\u{1f980}:", ""] {
        let builder = Redis::builder().prefix(prefix).timeout(LONG);
        let store = builder.connect(server.url()).await.unwrap();
        let anna = owner("anna");
        let (own, own_index) = (fresh_key(), format!("{prefix}{{0}}:o:berta"));
        let names = lookalikes(prefix);
        for name in &names {
            let _: String = ask(server.url(), &["SET", name, "1"]);
        }
        let indexes = lookalike_indexes(prefix);
        for name in &indexes {
            let _: usize = ask(server.url(), &["ZADD", name, "1", "1"]);
        }
        // These names are the store's own, and the values are not.
        let _: usize = ask(server.url(), &["RPUSH", &format!("{prefix}{{0}}:s:{own}"), "1"]);
        let _: String = ask(server.url(), &["SET", &own_index, "1"]);
        let key = log_in(&store, &anna).await;

        assert_eq!(store.count().await.unwrap(), 1, "{prefix:?}");
        let page = store.scan(None, 500).await.unwrap();
        let listed: Vec<_> = page.records.iter().map(|(key, _)| key).collect();
        assert_eq!(listed, [&key], "{prefix:?}");
        store.sweep(1_000).await.unwrap();
        store.clear().await.unwrap();
        assert_eq!(store.count().await.unwrap(), 0, "{prefix:?}");
        let left: usize = ask(server.url(), &["DBSIZE"]);
        assert_eq!(left, names.len() + indexes.len() + 2, "{prefix:?}");
        let _: String = ask(server.url(), &["FLUSHALL"]);
    }
}

#[tokio::test]
async fn a_clear_on_a_cluster_leaves_what_others_keep() {
    let urls = test_servers::redis_cluster_urls();
    let client = redis::cluster::ClusterClient::new(urls.clone()).unwrap();
    let hosts: Vec<_> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
    let url = format!("redis-cluster://{}", hosts.join(","));
    let prefix = format!("clear-{}:", std::process::id());
    let builder = Redis::builder().prefix(prefix.as_str()).timeout(LONG);
    let store = builder.clone().connect(&url).await.unwrap();
    let mut names = lookalikes(&prefix);
    names.retain(|name| name.starts_with(&prefix));
    let mut others = client.get_connection().unwrap();
    for name in &names {
        let () = redis::cmd("SET").arg(name).arg("1").query(&mut others).unwrap();
    }
    // A store with another number of partitions has other names.
    let few = builder.partitions(3).connect(&url).await.unwrap();
    let kept = log_in(&few, &owner("anna")).await;
    for number in 0..20 {
        log_in(&store, &owner(&format!("user-{number}"))).await;
    }
    assert_eq!(store.count().await.unwrap(), 20);
    store.clear().await.unwrap();
    assert_eq!(store.count().await.unwrap(), 0);
    for name in &names {
        let there: bool = redis::cmd("EXISTS").arg(name).query(&mut others).unwrap();
        assert!(there, "{name}");
    }
    assert!(few.get(&kept).await.unwrap().is_some());
    few.clear().await.unwrap();
}

#[tokio::test]
async fn a_store_leaves_stores_with_a_similar_prefix_untouched() {
    let server = test_servers::Redis::start().unwrap();
    let mut stores = Vec::new();
    for prefix in ["", "ts", "ts:", "ts:admin:", "ts:ts:"] {
        let store = Redis::builder().prefix(prefix).connect(server.url()).await.unwrap();
        log_in(&store, &owner("anna")).await;
        stores.push(store);
    }
    for number in 0..stores.len() {
        stores[number].clear().await.unwrap();
        for (other, store) in stores.iter().enumerate() {
            assert_eq!(store.count().await.unwrap(), u64::from(other > number));
        }
    }
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
    assert_eq!(other.get(&key).await.unwrap(), None);
    other.clear().await.unwrap();
    assert!(store.get(&key).await.unwrap().is_some());
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
    assert!(store.remove(&key, Condition::Always, true).await.unwrap().record().is_some());

    let nodes = test_servers::redis_cluster_urls();
    let client = redis::cluster::ClusterClient::builder(nodes).retries(0).build().unwrap();
    let store = Redis::new(client.get_async_connection().await.unwrap());
    assert_eq!(store.partitions(), 256);
    store.insert(&key, &hour("data")).await.unwrap();
    assert!(store.remove(&key, Condition::Always, true).await.unwrap().record().is_some());
}
