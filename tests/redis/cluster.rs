//! A Cluster: one key's operations on one node, a master that fails, slots that move.

use std::time::Duration;

use redis::cluster_routing::Slot;
use test_servers::RedisCluster;
use token_session::Key;
use token_session::store::{Listing, Redis, Store, StoreErrorKind, Write};
use tokio::task::{JoinSet, block_in_place};

use crate::outage::Load;
use crate::rights::make_user;
use crate::{LONG, Short, ask, eventually, fresh_key, hour, log_in, or_unavailable, owner};

fn url(cluster: &RedisCluster) -> String {
    let hosts: Vec<_> =
        cluster.urls().iter().map(|url| url.trim_start_matches("redis://").to_owned()).collect();
    format!("redis-cluster://{}", hosts.join(","))
}

/// The slot of a Redis key, by its number.
fn slot_of(name: &str) -> u16 {
    (0..16_384).find(|&slot| Slot::new(slot) == Some(Slot::for_key(name))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_killed_is_replaced_by_its_replica() {
    let cluster = block_in_place(RedisCluster::start).unwrap();
    let store = Redis::connect(&url(&cluster)).await.unwrap();
    let mut keys = Vec::new();
    for number in 0..60 {
        keys.push(log_in(&store, &owner(&format!("user-{number}"))).await);
    }
    // Replication is not part of the answer, so it is waited for before the master dies. WAIT would
    // look at the writes of its own connection alone.
    for master in block_in_place(|| cluster.masters()).unwrap() {
        eventually("a replica that has caught up", async || {
            let info: String = ask(cluster.node(master).url(), &["INFO", "replication"]);
            let after = |name: &str| {
                let (_, rest) = info.split_once(name)?;
                rest.split(|c: char| !c.is_ascii_digit()).next().map(str::to_owned)
            };
            let (written, copied) = (after("master_repl_offset:"), after("offset="));
            (copied.is_some() && copied == written).then_some(())
        })
        .await;
    }
    let killed = block_in_place(|| cluster.kill_master(0)).unwrap();

    for key in keys.iter().step_by(10) {
        match store.get(key).await {
            Ok(record) => assert!(record.is_some(), "a session is gone that nobody ended"),
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}"),
        }
    }
    for key in &keys {
        let record = eventually("an answer", async || or_unavailable(store.touch(key).await)).await;
        assert!(record.is_some(), "a session is gone that nobody ended");
        assert!(or_unavailable(store.replace(key, &Write::data("new")).await).is_some());
    }
    assert_eq!(store.count().await.unwrap(), 60);
    block_in_place(|| cluster.node(killed).restart()).unwrap();
    assert_eq!(store.count().await.unwrap(), 60);
}

/// Every slot that the store uses moves between two masters, one after the other, while sessions begin,
/// change and end.
#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move_under_load_lose_no_session() {
    let cluster = block_in_place(RedisCluster::start).unwrap();
    for url in cluster.urls() {
        make_user(url, "+cluster|slots +ping +asking");
    }
    let builder = Redis::builder().partitions(4).timeout(Duration::from_secs(30));
    let url = url(&cluster).replace("://", "://service:secret@");
    let store = builder.connect(&url).await.unwrap();
    let mut logins = Vec::new();
    // Redis moves the youngest keys first: of the second logins, the records before the indexes.
    for number in (0..100).chain(0..100) {
        let user = owner(&format!("user-{number}"));
        logins.push((log_in(&store, &user).await, user));
    }
    let load = Load::on(&store);
    load.succeeds().await;
    // A record and its owner's index are not moved at the same moment.
    let mut visitors = JoinSet::new();
    let (visited, visits) = (store.clone(), logins.clone());
    visitors.spawn(async move {
        loop {
            for (key, _) in &visits {
                let record = or_unavailable(visited.touch(key).await);
                assert!(record != Some(None), "a session is gone that nobody ended");
            }
        }
    });
    let (visited, visits) = (store.clone(), logins.clone());
    visitors.spawn(async move {
        loop {
            for (_, user) in &visits {
                let owned = or_unavailable(visited.list(user, 10).await);
                assert!(owned.is_none_or(|owned| owned.len() == 2), "one of them is not listed");
            }
        }
    });
    for partition in 0..4 {
        let (key, _) = logins.iter().find(|(key, _)| key.partition(4) == partition).unwrap();
        let name = name_of(&cluster, key);
        block_in_place(|| migrate(&cluster, slot_of(&name)));
        load.succeeds().await;
        for (key, user) in &logins {
            let record = store.touch(key).await.unwrap();
            assert!(record.is_some(), "a session is gone that nobody ended");
            assert_eq!(store.list(user, 10).await.unwrap().len(), 2);
        }
    }
    load.end().await;
    assert!(visitors.try_join_next().is_none(), "a visitor has not found a session");
    assert_eq!(store.count().await.unwrap(), 200);
}

/// The name of a session, on whichever master it is.
fn name_of(cluster: &RedisCluster, key: &Key) -> String {
    let masters = cluster.masters().unwrap();
    let pattern = format!("*{key}");
    let named = masters.iter().find_map(|&master| {
        ask::<Vec<String>>(cluster.node(master).url(), &["KEYS", &pattern]).pop()
    });
    named.unwrap()
}

/// Moves a slot to another master, key by key, as `redis-cli --cluster reshard` does; slower.
fn migrate(cluster: &RedisCluster, slot: u16) {
    let from = cluster.master_of_slot(slot).unwrap();
    let to = cluster.masters().unwrap().into_iter().find(|&master| master != from).unwrap();
    let (source, target) = (cluster.node(from), cluster.node(to));
    let id = |url: &str| ask::<String>(url, &["CLUSTER", "MYID"]);
    let (source_id, target_id) = (id(source.url()), id(target.url()));
    let slot = slot.to_string();
    let set = |url: &str, words: [&str; 2]| {
        let _: String = ask(url, &["CLUSTER", "SETSLOT", &slot, words[0], words[1]]);
    };
    set(target.url(), ["IMPORTING", &source_id]);
    set(source.url(), ["MIGRATING", &target_id]);
    let port = target.port().to_string();
    loop {
        let names: Vec<String> = ask(source.url(), &["CLUSTER", "GETKEYSINSLOT", &slot, "1"]);
        let Some(name) = names.first() else { break };
        let _: String = ask(source.url(), &["MIGRATE", "127.0.0.1", &port, name, "0", "5000"]);
        std::thread::sleep(Duration::from_millis(2));
    }
    for master in [to, from] {
        set(cluster.node(master).url(), ["NODE", &target_id]);
    }
    for master in cluster.masters().unwrap() {
        set(cluster.node(master).url(), ["NODE", &target_id]);
    }
}

/// A session in the middle of the slots that a master has: at their border, calls to it are counted
/// together with those to the next master.
async fn log_in_at(store: &Redis, cluster: &RedisCluster, master: usize) -> Key {
    loop {
        let key = fresh_key();
        store.insert(&key, &hour("data")).await.unwrap();
        let slot = slot_of(&block_in_place(|| name_of(cluster, &key)));
        let around = [slot.saturating_sub(1_024), slot, (slot + 1_024).min(16_383)];
        let is_there = |slot| cluster.master_of_slot(slot).unwrap() == master;
        if block_in_place(|| around.into_iter().all(is_there)) {
            return key;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_calls_to_one_master_do_not_delay_calls_to_another() {
    let cluster = block_in_place(RedisCluster::start).unwrap();
    let store = Redis::builder().timeout(LONG).connect(&url(&cluster)).await.unwrap();
    // No replica takes over meanwhile, and the other masters go on.
    for node in cluster.urls() {
        for setting in
            [["cluster-replica-no-failover", "yes"], ["cluster-require-full-coverage", "no"]]
        {
            let _: String = ask(node, &["CONFIG", "SET", setting[0], setting[1]]);
        }
    }
    let masters = block_in_place(|| cluster.masters()).unwrap();
    let silent = log_in_at(&store, &cluster, masters[0]).await;
    let other = log_in_at(&store, &cluster, masters[1]).await;
    block_in_place(|| cluster.node(masters[0]).pause()).unwrap();
    for _ in 0..50 {
        let call = store.get(&silent);
        let answer = tokio::time::timeout(Duration::from_millis(2), call).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    let answer = tokio::time::timeout(LONG / 2, store.get(&other)).await;
    assert!(answer.expect("it waits for the silent master").unwrap().is_some());
    block_in_place(|| cluster.node(masters[0]).resume()).unwrap();
}

/// By default the driver sends it again, and the write could take place twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_connection_breaks_is_not_sent_again() {
    let cluster = block_in_place(RedisCluster::start).unwrap();
    let store = Redis::connect(&url(&cluster)).await.unwrap();
    let key = fresh_key();
    store.insert(&key, &hour("data")).await.unwrap();
    let master =
        block_in_place(|| cluster.master_of_slot(slot_of(&name_of(&cluster, &key)))).unwrap();
    let master = cluster.node(master).url().to_owned();
    let calls = |url: &str| {
        let stats: String = ask(url, &["INFO", "commandstats"]);
        let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
        line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap()
    };
    // A round whose write comes too late or too early for the server's sleep shows nothing.
    for _ in 0..20 {
        eventually("a first write", async || {
            or_unavailable(store.replace(&key, &Write::data("first")).await)
        })
        .await;
        let before = calls(&master);
        // The server sleeps, and the first thing that it does then is to hang up on the store.
        let sleeper = tokio::task::spawn_blocking({
            let url = master.clone();
            move || {
                let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
                let mut pipeline = redis::pipe();
                pipeline.cmd("DEBUG").arg("SLEEP").arg("1");
                pipeline.cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal");
                let _: (String, usize) = pipeline.query(&mut connection).unwrap();
            }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        let answer = store.replace(&key, &Write::data("second")).await;
        sleeper.await.unwrap();
        let Err(error) = answer else {
            continue;
        };
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
        assert_eq!(calls(&master), before);
        let record = eventually("an answer", async || or_unavailable(store.get(&key).await));
        assert_eq!(record.await.unwrap().data, "first");
        return;
    }
    panic!("no write met a connection that broke");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_kept_in_256_partitions_moves_to_a_cluster_as_it_is() {
    let server = test_servers::Redis::start().unwrap();
    let builder = Redis::builder().prefix("moved:");
    let store = builder.clone().partitions(256).connect(server.url()).await.unwrap();
    let mut logins = Vec::new();
    for number in 0..20 {
        let user = owner(&format!("user-{number}"));
        logins.push((log_in(&store, &user).await, user));
    }
    let urls = test_servers::redis_cluster_urls();
    let hosts: Vec<_> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
    let client = redis::cluster::ClusterClient::new(urls.clone()).unwrap();
    let mut connection = block_in_place(|| client.get_connection()).unwrap();
    for name in ask::<Vec<String>>(server.url(), &["KEYS", "*"]) {
        let left: u64 = ask(server.url(), &["PTTL", &name]);
        let dump: Vec<u8> = ask(server.url(), &["DUMP", &name]);
        let mut restore = redis::cmd("RESTORE");
        let () = restore.arg(&name).arg(left).arg(dump).query(&mut connection).unwrap();
    }
    let url = format!("redis-cluster://{}", hosts.join(","));
    let cluster = builder.connect(&url).await.unwrap();
    for (key, user) in &logins {
        assert!(cluster.get(key).await.unwrap().is_some());
        assert_eq!(cluster.list(user, 10).await.unwrap().len(), 1);
    }
    assert_eq!(cluster.count().await.unwrap(), 20);
    cluster.clear().await.unwrap();
}
