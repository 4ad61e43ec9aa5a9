//! What Redis refuses, and what it holds that is no session: errors that say what to do.

use std::time::Duration;

use token_session::Key;
use token_session::store::{
    Condition, Owners, Redis, Removed, Store, StoreError, StoreErrorKind, Write,
};

use crate::{Short, ask, fresh_key, hour, log_in, owner};

fn name(key: &Key) -> String {
    format!("ts:{{0}}:s:{key}")
}

fn assert_says(error: &StoreError, kind: StoreErrorKind, words: &str) {
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.to_string().contains(words), "{error:?}");
}

#[tokio::test]
async fn a_full_server_refuses_new_sessions_and_keeps_the_others() {
    let server = test_servers::Redis::start().unwrap();
    let store = Redis::connect(server.url()).await.unwrap();
    let anna = owner("anna");
    let (key, other) = (log_in(&store, &anna).await, log_in(&store, &anna).await);
    let before = store.get(&key).await.unwrap().unwrap();
    let _: String = ask(server.url(), &["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let _: String = ask(server.url(), &["CONFIG", "SET", "maxmemory", "1"]);

    let full = StoreErrorKind::Full;
    let error = store.insert(&fresh_key(), &hour("data")).await.unwrap_err();
    assert_says(&error, full, "has reached its maxmemory and takes no new data; live sessions");
    assert_says(&store.replace(&key, &Write::data("new")).await.unwrap_err(), full, "maxmemory");

    tokio::time::sleep(Duration::from_millis(2)).await;
    let after = store.touch(&key).await.unwrap().unwrap();
    assert_eq!(after.data, before.data);
    assert_eq!(after.meta.version, before.meta.version);
    assert!(after.meta.last_seen > before.meta.last_seen, "it is touched all the same");
    assert_eq!(store.list(&anna, 10).await.unwrap().len(), 2);
    store.remove_owned(&anna, Some(&key)).await.unwrap();
    assert!(store.get(&key).await.unwrap().is_some());
    assert_eq!(store.get(&other).await.unwrap(), None);
    assert!(store.remove(&key, Condition::Always, true).await.unwrap().record().is_some());
}

#[tokio::test]
async fn a_full_server_still_lets_a_session_near_its_deadline_live() {
    let server = test_servers::Redis::start().unwrap();
    let store = Redis::connect(server.url()).await.unwrap();
    let key = fresh_key();
    let mut record = hour("data");
    record.lifetime = record.lifetime.and_absolute(Duration::from_secs(600)).unwrap();
    store.insert(&key, &record).await.unwrap();
    let _: String = ask(server.url(), &["CONFIG", "SET", "maxmemory", "1"]);
    let loaded = store.touch(&key).await.unwrap().unwrap();
    assert_eq!(Some(loaded.meta.expires_at()), loaded.meta.deadline);
}

#[tokio::test]
async fn a_right_that_is_missing_is_refused() {
    let rights = include_str!("../../src/store/redis/rights.acl").replace("+zscore", "-zscore");
    let server = test_servers::Redis::with_user("service", "secret", &rights).unwrap();
    let store = Redis::connect(&server.url_as("service", "secret")).await.unwrap();
    let anna = owner("anna");
    let key = log_in(&store, &anna).await;
    let error = store.get(&key).await.unwrap_err();
    assert_says(&error, StoreErrorKind::Refused, "lacks a right that the store needs");
}

#[tokio::test]
async fn a_prefix_outside_the_users_rights_is_refused() {
    let rights = include_str!("../../src/store/redis/rights.acl");
    let server = test_servers::Redis::with_user("service", "secret", rights).unwrap();
    let builder = Redis::builder().prefix("other:");
    let store = builder.connect(&server.url_as("service", "secret")).await.unwrap();
    let error = store.get(&fresh_key()).await.unwrap_err();
    assert_says(&error, StoreErrorKind::Refused, "lacks a right");
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let server = test_servers::Redis::with_user("service", "secret", "~*").unwrap();
    let error = Redis::connect(&server.url_as("service", "wrong")).await.unwrap_err();
    assert_says(&error, StoreErrorKind::Refused, "check the user and the password");
    let shown = format!("{error:?}");
    assert!(!shown.contains("wrong"), "{shown}");
}

#[tokio::test]
async fn a_login_that_is_missing_is_refused() {
    let server = test_servers::Redis::start().unwrap();
    let _: String = ask(server.url(), &["CONFIG", "SET", "requirepass", "secret"]);
    let error = Redis::connect(server.url()).await;
    let error = match error {
        Err(error) => error,
        Ok(store) => store.get(&fresh_key()).await.unwrap_err(),
    };
    assert_says(&error, StoreErrorKind::Refused, "login");
}

#[tokio::test]
async fn a_node_of_a_cluster_is_no_server() {
    let mut refused = 0;
    for url in test_servers::redis_cluster_urls() {
        let store = Redis::connect(url).await.unwrap();
        // The master of the one slot that the store would use has no objection.
        if let Err(error) = store.get(&fresh_key()).await {
            assert_says(&error, StoreErrorKind::Refused, "redis-cluster");
            refused += 1;
        }
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn something_else_under_a_sessions_name_is_refused() {
    let server = test_servers::Redis::start().unwrap();
    let store = Redis::connect(server.url()).await.unwrap();
    let key = fresh_key();
    let _: usize = ask(server.url(), &["RPUSH", &name(&key), "item"]);
    let error = store.get(&key).await.unwrap_err();
    assert_says(&error, StoreErrorKind::Refused, "give the store a prefix of its own");
}

#[tokio::test]
async fn damaged_bytes_are_an_error_that_names_the_session_and_can_be_removed() {
    let server = test_servers::Redis::start().unwrap();
    let store = Redis::connect(server.url()).await.unwrap();
    let anna = owner("anna");
    let key = log_in(&store, &anna).await;
    let whole: Vec<u8> = ask(server.url(), &["GET", &name(&key)]);
    let set = |bytes: &[u8]| {
        let client = redis::Client::open(server.url()).unwrap();
        let mut command = redis::cmd("SET");
        command.arg(name(&key)).arg(bytes).arg("PX").arg(100_000);
        let () = command.query(&mut client.get_connection().unwrap()).unwrap();
    };
    // Format, lifetime, and the lengths of owner, details and sealed secret.
    let spoilt = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    let mut damages: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].into()).collect();
    damages.retain(|bytes| bytes.len() < 136 + 4);
    damages.extend([spoilt(0, 2), spoilt(33, 0xff)]);
    damages.extend([spoilt(131, 200), spoilt(132, 200), spoilt(134, 200)]);
    damages.push(vec![0xff; 200]);
    for bytes in &damages {
        set(bytes);
        for error in [store.get(&key).await.unwrap_err(), store.touch(&key).await.unwrap_err()] {
            assert_says(&error, StoreErrorKind::Corrupt, &key.to_string());
        }
    }
    assert_eq!(store.remove(&key, Condition::Always, false).await.unwrap(), Removed::Done(None));
    assert_eq!(store.get(&key).await.unwrap(), None);
}

#[tokio::test]
async fn a_record_without_an_end_is_damaged() {
    let server = test_servers::Redis::start().unwrap();
    let store = Redis::connect(server.url()).await.unwrap();
    let key = fresh_key();
    store.insert(&key, &hour("data")).await.unwrap();
    let _: usize = ask(server.url(), &["PERSIST", &name(&key)]);
    let error = store.get(&key).await.unwrap_err();
    assert_says(&error, StoreErrorKind::Corrupt, "it has no time to live");
}

#[tokio::test]
async fn a_url_or_a_setting_that_cannot_be_is_refused_without_being_repeated() {
    for url in [
        "127.0.0.1",
        "redis:/127.0.0.1",
        "http://secret@127.0.0.1",
        "redis://127.0.0.1:secret",
        "redis://127.0.0.1/secret",
        "redis-sentinel://secret@127.0.0.1",
        "redis-cluster://secret@127.0.0.1:port",
    ] {
        let error = Redis::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{url}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    let url = test_servers::redis_url();
    for builder in [
        Redis::builder().prefix("a{b"),
        Redis::builder().prefix("a\nb"),
        Redis::builder().prefix("a".repeat(129)),
        Redis::builder().partitions(0),
        Redis::builder().partitions(1025),
    ] {
        let error = builder.clone().connect(url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{builder:?}");
    }
}
