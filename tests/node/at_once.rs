//! Node and this crate at the same sessions at the same time.
//!
//! Node compares nothing before it writes. So it may undo a change of ours, and bring back a session
//! that has ended; neither is done to it from here, nor among ourselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use token_session::store::compat::Shape;
use token_session::{Error, Lifetime, TokenSession};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::express::{begin, cookie_of};
use super::peer::Peer;
use super::{Place, token};

/// A Node service.
#[derive(Clone, Copy, Debug)]
enum Service {
    TokenSession(Peer),
    Express(Peer),
}

use Service::{Express, TokenSession as Wrapped};

impl Service {
    /// Begins a session; its id.
    async fn begin(self) -> String {
        let data = json!({"node": 0, "rust": 0});
        match self {
            Wrapped(node) => node.begin(&data, None).await,
            Express(express) => begin(express, data).await.1,
        }
    }

    /// The data of a session, which is touched by that.
    async fn look(self, id: &str) -> Option<Value> {
        match self {
            Wrapped(node) => match node.try_call("get", json!([id])).await {
                Ok(mut found) => (!found.is_null()).then(|| found["data"].take()),
                // So connect-mongo says that it has ended since it was read.
                Err(error) if error.contains("Unable to find the session to touch") => None,
                Err(error) => panic!("{error}"),
            },
            Express(express) => found(express, id, json!([])).await,
        }
    }

    /// Reads a session, counts in it and writes it; whether it was there.
    async fn count(self, id: &str) -> bool {
        match self {
            Wrapped(node) => {
                let Some(mut data) = self.look(id).await else { return false };
                data["node"] = (data["node"].as_u64().unwrap() + 1).into();
                node.call("set", json!([id, data])).await;
                true
            }
            Express(express) => found(express, id, json!([["count", "node"]])).await.is_some(),
        }
    }

    async fn destroy(self, id: &str) {
        match self {
            Wrapped(node) => drop(node.call("destroy", json!([id])).await),
            Express(express) => drop(found(express, id, json!([["destroy"]])).await),
        }
    }
}

/// What Express finds in a session, unless it begins another one.
async fn found(express: Peer, id: &str, steps: Value) -> Option<Value> {
    let mut answer = express.request(Some(&cookie_of(&token(id))), steps).await;
    assert_eq!(answer["status"], 200, "{answer}");
    (answer["id"] == id).then(|| answer["found"].take())
}

/// A Node service of each kind, with a manager that writes every touch.
async fn services<P: Place>(place: &P) -> [(Service, TokenSession<Value>); 2] {
    let sessions = async |shape| {
        let builder = TokenSession::builder().store(place.store(shape).await);
        let lifetime = Lifetime::idle(place.default_ttl()).unwrap();
        builder.lifetime(lifetime).touch_interval(Duration::ZERO).build().unwrap()
    };
    let wrapped = (Wrapped(place.node().await), sessions(Shape::token_session()).await);
    let express = place.express(json!({"maxAge": 3_600_000})).await;
    [wrapped, (Express(express), sessions(Shape::express()).await)]
}

fn count(data: &mut Value) {
    data["rust"] = (data["rust"].as_u64().unwrap() + 1).into();
}

/// Whether it was done, and not to a session that has ended.
fn done<T>(result: Result<T, Error>) -> bool {
    match result {
        Ok(_) => true,
        Err(Error::Gone) => false,
        Err(error) => panic!("{error}"),
    }
}

pub async fn changes_here_are_all_counted_and_nodes_are_never_lost<P: Place>(place: &P) {
    const SESSIONS: usize = 3;
    const TIMES: usize = 10;
    for (service, sessions) in services(place).await {
        let (mut both, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..SESSIONS {
            both.push(service.begin().await);
            ours.push(service.begin().await);
        }
        let mut tasks = JoinSet::new();
        for id in both.iter().chain(&ours).chain(&ours) {
            let (sessions, id) = (sessions.clone(), id.clone());
            tasks.spawn(async move {
                for _ in 0..TIMES {
                    sessions.update(&token(&id), count).await.unwrap();
                    sessions.touch(&token(&id)).await.unwrap();
                }
            });
        }
        for id in both.clone() {
            tasks.spawn(async move {
                for _ in 0..TIMES {
                    assert!(service.count(&id).await);
                }
            });
        }
        for id in ours.clone() {
            tasks.spawn(async move {
                for _ in 0..TIMES {
                    assert!(service.look(&id).await.is_some());
                }
            });
        }
        tasks.join_all().await;
        for id in &ours {
            let data = sessions.get(&token(id)).await.unwrap().unwrap().data;
            assert_eq!((&data["rust"], &data["node"]), (&json!(2 * TIMES), &json!(0)));
        }
        for id in &both {
            let data = sessions.get(&token(id)).await.unwrap().unwrap().data;
            assert_eq!(data["node"], json!(TIMES), "{data}");
        }
    }
}

/// Who ends a session.
#[derive(Clone, Copy)]
enum Ender {
    Node,
    Rust,
}

pub async fn what_one_destroys_while_both_are_at_it_stays_dead<P: Place>(place: &P) {
    // More than there are before it is dead.
    const TURNS: u32 = 1000;
    for (service, sessions) in services(place).await {
        let mut tasks = JoinSet::new();
        let mut ids = Vec::new();
        for ender in [Ender::Node, Ender::Rust, Ender::Node, Ender::Rust] {
            let id = service.begin().await;
            ids.push(id.clone());
            let (counted, mut counts) = watch::channel(0);
            let (ours, theirs, updated) = (sessions.clone(), sessions.clone(), id.clone());
            tasks.spawn(async move {
                while *counted.borrow() < TURNS && done(ours.update(&token(&updated), count).await)
                {
                    counted.send_modify(|counted| *counted += 1);
                }
            });
            let (ours, touched) = (sessions.clone(), id.clone());
            tasks.spawn(async move {
                for _ in 0..TURNS {
                    if !done(ours.touch(&token(&touched)).await) {
                        break;
                    }
                }
            });
            let looked = id.clone();
            tasks.spawn(async move {
                for _ in 0..TURNS {
                    if service.look(&looked).await.is_none() {
                        break;
                    }
                }
            });
            tasks.spawn(async move {
                counts.wait_for(|&counted| counted >= 3).await.unwrap();
                match ender {
                    Ender::Node => service.destroy(&id).await,
                    Ender::Rust => assert!(theirs.destroy(&token(&id)).await.unwrap()),
                }
            });
        }
        tasks.join_all().await;
        for id in ids {
            assert_eq!(place.text(&id).await, None, "{service:?}");
        }
    }
}

pub async fn a_session_that_gets_new_ids_while_both_are_at_it_has_one<P: Place>(place: &P) {
    const SESSIONS: usize = 3;
    const TURNS: usize = 4;
    for (service, sessions) in services(place).await {
        let mut chains = JoinSet::new();
        for _ in 0..SESSIONS {
            chains.spawn(new_ids(service, sessions.clone(), TURNS));
        }
        for (mut ids, acknowledged) in chains.join_all().await {
            let newest = ids.pop().unwrap();
            for id in ids {
                assert_eq!(place.text(&id).await, None, "{service:?}");
            }
            let data = sessions.get(&token(&newest)).await.unwrap().unwrap().data;
            assert_eq!(data["rust"], json!(acknowledged), "{service:?}");
            let found = service.look(&newest).await.unwrap();
            assert_eq!(found["rust"], data["rust"], "{service:?}");
        }
    }
}

/// Gives a session one new id after the other while others count in it and touch it; its ids, and how
/// many changes were acknowledged.
async fn new_ids(
    service: Service,
    sessions: TokenSession<Value>,
    turns: usize,
) -> (Vec<String>, u64) {
    let mut ids = vec![service.begin().await];
    let (renamed, newest) = watch::channel(ids[0].clone());
    let (over, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut others = JoinSet::new();
    for looks in [false, true] {
        let (sessions, newest) = (sessions.clone(), newest.clone());
        let (over, acknowledged) = (over.clone(), acknowledged.clone());
        others.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let id = newest.borrow().clone();
                if looks {
                    service.look(&id).await;
                } else if done(sessions.update(&token(&id), count).await) {
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    for turn in 0..turns {
        let id = token(ids.last().unwrap());
        let issued = match turn % 2 {
            0 => sessions.regenerate(&id).await,
            _ => sessions.reauthenticate(&id).await,
        };
        ids.push(issued.unwrap().token.reveal().to_owned());
        renamed.send(ids[turn + 1].clone()).unwrap();
        sessions.update(&token(&ids[turn + 1]), count).await.unwrap();
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    over.store(true, Ordering::Relaxed);
    others.join_all().await;
    (ids, acknowledged.load(Ordering::Relaxed))
}

pub async fn a_new_id_has_what_node_wrote_unless_node_brings_the_old_one_back<P: Place>(place: &P) {
    const SESSIONS: usize = 3;
    const TIMES: usize = 12;
    const AFTER: usize = 3;
    for (service, sessions) in services(place).await {
        let mut tasks = JoinSet::new();
        for _ in 0..SESSIONS {
            let (sessions, old) = (sessions.clone(), service.begin().await);
            tasks.spawn(async move {
                let (wrote, mut written) = watch::channel(0);
                let node = async {
                    while *wrote.borrow() < TIMES && service.count(&old).await {
                        wrote.send_modify(|wrote| *wrote += 1);
                    }
                    assert!(*wrote.borrow() >= 3, "nobody ends it before");
                };
                let rust = async {
                    written.wait_for(|&written| written >= 3).await.unwrap();
                    let new = sessions.regenerate(&token(&old)).await.unwrap().token;
                    let before = sessions.get(&new).await.unwrap().unwrap().data;
                    for _ in 0..AFTER {
                        sessions.update(&new, count).await.unwrap();
                    }
                    (new, before)
                };
                let ((), (new, before)) = tokio::join!(node, rust);
                let made = *wrote.borrow();
                (old, new, before, made)
            });
        }
        for (old, new, before, made) in tasks.join_all().await {
            // Node does not know the new id, so nothing that was done under it is undone.
            let data = sessions.get(&new).await.unwrap().unwrap().data;
            assert_eq!(data["node"], before["node"]);
            assert_eq!(data["rust"], json!(before["rust"].as_u64().unwrap() + AFTER as u64));
            match sessions.get(&token(&old)).await.unwrap() {
                None => assert_eq!(data["node"], json!(made), "{service:?}"),
                Some(revived) => {
                    assert_eq!(revived.data["node"], json!(made), "{service:?}");
                    assert!(data["node"].as_u64() < revived.data["node"].as_u64());
                }
            }
        }
    }
}
