//! What an operation costs: one command of a client.

use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use token_session::store::{
    Condition, Listing, Load, NewProof, OwnerLimit, Owners, Store, Touch, Write,
};
use token_session::{Lifetime, NewSession, TokenSession};

use crate::proofs::{claim, proof};
use crate::{Short, ask, fresh_key, hour, key_of, log_in, owner, patient};

/// Hears every command that a server gets.
struct Monitor {
    lines: BufReader<TcpStream>,
    url: String,
}

impl Monitor {
    fn of(server: &test_servers::Redis) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let mut lines = BufReader::new(stream);
        let mut ok = String::new();
        lines.read_line(&mut ok).unwrap();
        assert_eq!(ok, "+OK\r\n");
        Self { lines, url: server.url().to_owned() }
    }

    /// The names of the commands that clients have sent since this was last asked, without those
    /// that scripts have run.
    fn heard(&mut self) -> Vec<String> {
        let _: String = ask(&self.url, &["ECHO", "that is all"]);
        let mut names = Vec::new();
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            if line.contains("that is all") {
                // The client that asked has introduced itself before.
                names.retain(|name| name != "CLIENT");
                return names;
            }
            let (from, command) = line.split_once("] ").unwrap();
            if !from.ends_with(" lua") {
                names.push(command.split('"').nth(1).unwrap().to_owned());
            }
        }
    }
}

#[tokio::test]
async fn every_operation_on_a_session_is_one_command() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let (anna, three) = (owner("anna"), OwnerLimit::evict_oldest(3.try_into().unwrap()));
    let owned = token_session::store::NewRecord {
        owner: Some(&anna),
        limit: Some(three),
        proof: Some(proof(1)),
        ..hour("data")
    };
    let proof = NewProof::Rotated { next: proof(2), sealed: "sealed".into() };
    let handover = Write { proof: Some(proof), ..Write::default() };
    let next = claim(2);
    let mut monitor = Monitor::of(&server);
    // The first round makes the scripts known; in the second, each is called by its digest.
    for (round, command) in [(1, "EVAL"), (2, "EVALSHA")] {
        let (plain, first, second) = (fresh_key(), key_of(&store, &anna), key_of(&store, &anna));
        let mut heard = Vec::new();
        macro_rules! cost {
            ($operation:expr) => {
                $operation.await.unwrap();
                let commands = monitor.heard();
                heard.extend(commands.clone());
                if round == 2 {
                    assert_eq!(commands, ["EVALSHA"], "{}", stringify!($operation));
                }
            };
        }
        cost!(store.insert(&plain, &hour("data")));
        cost!(store.insert(&first, &owned));
        cost!(store.get(&plain));
        cost!(store.touch(&first));
        cost!(store.load(&first, &Load { with_data: false, ..Load::new() }));
        cost!(store.replace(&first, &Write::data("more")));
        // The first secret is handed over, and the next one is used for the first time.
        cost!(store.replace(&first, &handover));
        cost!(store.load(&first, &Load { claim: Some(&next), ..Load::new() }));
        cost!(store.insert(&second, &owned));
        cost!(store.alive(&[plain.clone(), first.clone(), second.clone()]));
        cost!(store.list(&anna, 10));
        cost!(store.remove_owned(&anna, Some(&second)));
        cost!(store.get(&second));
        cost!(store.remove(&second, Condition::Owner(&anna), false));
        cost!(store.remove(&plain, Condition::Always, true));
        cost!(store.get(&plain));
        cost!(store.remove_owned(&anna, None));
        assert!(heard.iter().any(|name| name == command), "{heard:?}");
    }
}

#[tokio::test]
async fn a_session_of_an_application_costs_one_command_and_two_to_update() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let lifetime = Lifetime::idle(Duration::from_secs(1800)).unwrap();
    let sessions = TokenSession::<u32>::builder()
        .store(store)
        .lifetime(lifetime)
        .owner_limit(OwnerLimit::evict_oldest(5.try_into().unwrap()))
        .build()
        .unwrap();
    let new = NewSession::new().owner(owner("anna"));
    let mut monitor = Monitor::of(&server);
    for round in 1..=2 {
        let mut costs = Vec::new();
        macro_rules! cost {
            ($operation:expr) => {{
                let answer = $operation.await.unwrap();
                costs.push(monitor.heard().len());
                answer
            }};
        }
        let token = cost!(sessions.create_with(&1, &new)).token;
        cost!(sessions.get(&token));
        cost!(sessions.update(&token, |visits| *visits += 1));
        cost!(sessions.touch(&token));
        cost!(sessions.destroy_others(&owner("anna"), &token));
        cost!(sessions.destroy(&token));
        if round == 2 {
            assert_eq!(costs, [1, 1, 2, 1, 1, 1]);
        }
    }
}

#[tokio::test]
async fn administration_walks_through_the_keys_and_flushes_nothing() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    for _ in 0..50 {
        log_in(&store, &owner("anna")).await;
    }
    let mut next = None;
    loop {
        next = store.scan(next.as_ref(), 10).await.unwrap().next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(store.count().await.unwrap(), 50);
    store.clear().await.unwrap();
    let stats: String = ask(server.url(), &["INFO", "commandstats"]);
    assert!(stats.contains("cmdstat_scan:"));
    for word in ["cmdstat_keys:", "cmdstat_flush"] {
        assert!(!stats.contains(word), "{stats}");
    }
}

#[tokio::test]
async fn a_touch_within_the_interval_writes_nothing() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let key = log_in(&store, &owner("anna")).await;
    let touch = Load { touch: Touch::After(Duration::from_secs(60)), ..Load::new() };
    store.load(&key, &touch).await.unwrap();
    let written = || {
        let stats: String = ask(server.url(), &["INFO", "persistence"]);
        let line = stats.lines().find(|line| line.starts_with("rdb_changes_since_last_save"));
        line.unwrap().to_owned()
    };
    let before = written();
    for _ in 0..100 {
        store.load(&key, &touch).await.unwrap();
    }
    assert_eq!(written(), before);
    store.touch(&key).await.unwrap();
    assert_ne!(written(), before);
}

#[tokio::test]
async fn a_store_costs_one_connection() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    store.insert(&fresh_key(), &hour("data")).await.unwrap();
    let clients: String = ask(server.url(), &["CLIENT", "LIST"]);
    // The store, and the client that asks.
    assert_eq!(clients.lines().count(), 2, "{clients}");
}
