//! A crash in the middle of writes: each operation took place as a whole or not at all.

use std::time::Duration;

use token_session::store::{
    Listing, NewProof, NewRecord, OwnerLimit, Redis, Replaced, Store, Write,
};
use token_session::{Key, Owner};
use tokio::task::{JoinSet, block_in_place};

use crate::proofs::{claim, proof};
use crate::{Short, ask, eventually, hour, key_of, or_unavailable, owner};

/// What a caller knows of its handovers when the server dies.
struct Trail {
    key: Key,
    /// The number of the secret that was last known to be the current one.
    known: u64,
    /// Whether the answer to the handover to the next one was lost.
    is_perhaps_next: bool,
}

/// Hands a secret over, again and again.
async fn hand_over_until_the_server_is_gone(store: Redis, user: Owner) -> Trail {
    let limit = OwnerLimit::evict_oldest(3.try_into().unwrap());
    let key = key_of(&store, &user);
    let record = NewRecord { owner: Some(&user), proof: Some(proof(0)), ..hour("data") };
    store.insert(&key, &record).await.unwrap();
    let mut known = 0;
    loop {
        let new = NewProof::Rotated { next: proof(known + 1), sealed: "sealed".into() };
        let claim = claim(known);
        let write = Write { claim: Some(&claim), proof: Some(new), ..Write::default() };
        match or_unavailable(store.replace(&key, &write).await) {
            Some(Replaced::Done(_)) => known += 1,
            Some(other) => panic!("{other:?}, though nobody else has the secret"),
            None => return Trail { key, known, is_perhaps_next: true },
        }
        // Others come and go beside it: three writes in a script, and more.
        let other = owner(&format!("{}-beside", user.as_str()));
        let record = NewRecord { owner: Some(&other), limit: Some(limit), ..hour("data") };
        if or_unavailable(store.insert(&key_of(&store, &other), &record).await).is_none() {
            return Trail { key, known, is_perhaps_next: false };
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_each_operation_whole_or_not_at_all() {
    let server = test_servers::Redis::durable().unwrap();
    let store = Redis::connect(server.url()).await.unwrap();
    for round in 0..5 {
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let user = owner(&format!("user-{round}-{caller}"));
            callers.spawn(hand_over_until_the_server_is_gone(store.clone(), user));
        }
        tokio::time::sleep(Duration::from_millis(150 + 37 * round)).await;
        block_in_place(|| server.kill()).unwrap();
        let trails = callers.join_all().await;
        block_in_place(|| server.restart()).unwrap();

        for Trail { key, known, is_perhaps_next } in trails {
            let record =
                eventually("an answer", async || or_unavailable(store.get(&key).await)).await;
            let proofs = record.expect("nobody has ended it").proofs;
            let is_next = proofs.current == Some(proof(known + 1));
            assert!(is_next || proofs.current == Some(proof(known)), "a handover is lost");
            assert!(!is_next || is_perhaps_next, "a handover was done that was not asked for");
            // Before the first handover there is no previous secret.
            let previous = (known + u64::from(is_next)).checked_sub(1).map(proof);
            assert_eq!(proofs.previous.map(|previous| previous.proof), previous);
        }
        // Nothing has expired, so a record without a place or a place without a record is half of
        // an operation.
        let names: Vec<String> = ask(server.url(), &["KEYS", "ts:*"]);
        let (indexes, records): (Vec<_>, Vec<_>) =
            names.iter().partition(|name| name.contains(":o:"));
        let mut places = 0;
        for index in &indexes {
            let size: usize = ask(server.url(), &["ZCARD", index]);
            assert!(size <= 3, "{index} has {size} sessions");
            places += size;
        }
        assert_eq!(places, records.len());
        assert_eq!(store.count().await.unwrap() as usize, records.len());
    }
}
