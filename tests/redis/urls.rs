//! URLs that lead to the wrong place: each error says what happened, to what, and what to do, and
//! never the password.

use test_servers::{RedisCluster, Sentinel};
use token_session::store::compat::{ConnectRedis, Shape};
use token_session::store::{self, Found, Load, Redis, StoreError, StoreErrorKind};

use crate::rights::make_user;
use crate::{ask, fresh_key};

use StoreErrorKind::{Refused, Unavailable};

/// The error for a URL, at the latest when it is first used. It is the same for `connect` and `Redis`.
async fn error_of(url: &str) -> StoreError {
    let any = match store::connect(url).await {
        Err(error) => error,
        Ok(store) => store.load(&fresh_key(), &Load::new()).await.expect_err(url),
    };
    if let Err(error) = Redis::connect(url).await {
        assert_eq!((error.kind(), error.to_string()), (any.kind(), any.to_string()), "{url}");
    }
    any
}

async fn assert_errors(cases: &[(String, StoreErrorKind, &[&str])]) {
    for (url, kind, words) in cases {
        let error = error_of(url).await;
        let shown = format!("{error} {error:?}");
        assert_eq!(error.kind(), *kind, "{url}: {error:?}");
        for word in *words {
            assert!(error.to_string().contains(word), "{url}: {error}");
        }
        assert!(!shown.contains("wrongpw"), "{url}: {shown}");
    }
}

fn hosts(urls: &[&str]) -> String {
    let hosts: Vec<_> = urls.iter().map(|url| url.split_once("://").unwrap().1).collect();
    hosts.join(",")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_one_server_is_said() {
    let server = test_servers::Redis::start().unwrap();
    make_user(server.url(), "");
    let locked = test_servers::Redis::start().unwrap();
    let _: String = ask(locked.url(), &["CONFIG", "SET", "requirepass", "secret"]);
    let (tls, _) = test_servers::redis_tls();
    let (server, locked, tls) = (hosts(&[server.url()]), hosts(&[locked.url()]), hosts(&[tls]));
    let sentinel = hosts(&test_servers::redis_sentinel_urls()[..1]);
    let node = hosts(&test_servers::redis_cluster_urls()[..1]);
    let login: &[&str] = &["refuses the login", "check the user and the password"];
    assert_errors(&[
        (format!("redis://service:wrongpw@{server}"), Refused, login),
        (format!("redis://nobody:wrongpw@{server}"), Refused, login),
        (format!("redis://:wrongpw@{locked}"), Refused, login),
        (format!("redis://{locked}"), Refused, login),
        (format!("redis://service:secret@{server}/5"), Refused, &["lacks a right", "select"]),
        (format!("redis://{server}/99"), Refused, &["no database of the number"]),
        (format!("redis://{server}?db=99"), Refused, &["no database of the number"]),
        (format!("rediss://:wrongpw@{server}"), Unavailable, &["expects no TLS", &server]),
        (format!("redis://:wrongpw@{tls}"), Unavailable, &["expects TLS", "rediss", &tls]),
        (format!("rediss://:wrongpw@{tls}"), Refused, &["certificates", &tls]),
        ("redis://:wrongpw@127.0.0.1:1".to_owned(), Unavailable, &["out of reach", "127.0.0.1:1"]),
        (
            "redis+unix:///nowhere/redis.sock?pass=wrongpw".to_owned(),
            Unavailable,
            &["out of reach", "/nowhere/redis.sock"],
        ),
        (format!("redis://{sentinel}"), Refused, &["redis-sentinel"]),
        (format!("redis-cluster://{server}"), Refused, &["no node of a Cluster", &server]),
        (format!("redis-sentinel://{server}/m"), Refused, &["no Sentinel", "26379", &server]),
        (format!("redis-sentinel://{node}/m"), Refused, &["no Sentinel"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_cluster_is_said() {
    let cluster = tokio::task::block_in_place(RedisCluster::start).unwrap();
    for url in cluster.urls() {
        let _: String = ask(url, &["ACL", "SETUSER", "default", ">secret"]);
    }
    for url in cluster.urls() {
        let host = hosts(&[url]);
        let url = format!("redis://:secret@{host}");
        let _: String = ask(&url, &["ACL", "SETUSER", "default", "resetpass", ">secret"]);
        make_user(&url, "+ping");
    }
    let nodes = hosts(&cluster.urls());
    let first = nodes.split(',').next().unwrap().to_owned();
    let login: &[&str] = &["refuses the login", &first];
    assert_errors(&[
        (format!("redis-cluster://:wrongpw@{nodes}"), Refused, login),
        (format!("redis-cluster://nobody:wrongpw@{first}"), Refused, login),
        (format!("redis-cluster://{nodes}"), Refused, login),
        (format!("redis-cluster://:wrongpw@127.0.0.1:1,{first}"), Refused, login),
        (format!("redis-cluster://service:secret@{nodes}"), Refused, &["lacks a right", "cluster"]),
        (format!("redis-cluster://:secret@{first}/3"), Refused, &["number 0 alone"]),
        (format!("rediss-cluster://:wrongpw@{first}"), Unavailable, &["expects no TLS"]),
        ("redis-cluster://127.0.0.1:1,127.0.0.1:2".to_owned(), Unavailable, &["127.0.0.1:2"]),
    ])
    .await;
    // One good node is enough.
    let url = format!("REDIS-CLUSTER://:secret@127.0.0.1:1,{first}?protocol=3");
    let store = store::connect(&url).await.unwrap();
    assert_eq!(store.load(&fresh_key(), &Load::new()).await.unwrap(), Found::Missing);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_sentinels_is_said() {
    let urls = test_servers::redis_sentinel_urls();
    let (all, master) = (hosts(&urls), Sentinel::MASTER_NAME);
    let locked = test_servers::Redis::start().unwrap();
    let _: String = ask(locked.url(), &["CONFIG", "SET", "requirepass", "secret"]);
    let locked = hosts(&[locked.url()]);
    let first = all.split(',').next().unwrap();
    let unknown: &[&str] = &["know no master named unknown", "SENTINEL MASTERS", first];
    let login: &[&str] = &["refuses the login", "check the user and the password"];
    assert_errors(&[
        (format!("redis-sentinel://{all}/unknown"), Refused, unknown),
        (format!("redis-sentinel://127.0.0.1:1,{all}/unknown"), Refused, unknown),
        (format!("redis-sentinel://u:wrongpw@{all}/{master}"), Refused, login),
        (format!("redis-sentinel://{all}/{master}/99"), Refused, &["no database of the number"]),
        (format!("redis-sentinel://u:wrongpw@{locked}/m"), Refused, &["sentinel_login", &locked]),
        ("redis-sentinel://127.0.0.1:1/m".to_owned(), Unavailable, &["127.0.0.1:1"]),
    ])
    .await;
    let url = format!("Valkey-Sentinel://127.0.0.1:1,{all}/{master}?db=1");
    assert!(store::connect(&url).await.is_ok());
}

#[tokio::test]
async fn every_constructor_reads_a_url_in_the_same_way() {
    let server = test_servers::Redis::start().unwrap();
    let host = hosts(&[server.url()]);
    for url in [
        format!("REDIS://{host}"),
        format!("Valkey://{host}/0"),
        format!("redis://{host}?protocol=3"),
        format!(" redis://{host}/?db=0\n"),
    ] {
        store::connect(&url).await.unwrap();
        Redis::connect(&url).await.unwrap();
        ConnectRedis::connect(&url, Shape::token_session()).await.unwrap();
    }
}
