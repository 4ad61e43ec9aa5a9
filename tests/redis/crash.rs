//! A crash in the middle of writes: each operation took place as a whole or not at all.

use std::time::Duration;

use token_session::store::{NewRecord, OwnerLimit, Redis, Renamed, Renewal, Store, Touch};
use token_session::{Key, Owner};
use tokio::task::{JoinSet, block_in_place};

use crate::{ask, eventually, hour, key_of, log_in, or_unavailable, owner};

/// What a caller knows of its renames when the server dies.
struct Trail {
    /// The key under which the session was last known to be.
    known: Key,
    /// The key of a rename whose answer was lost.
    perhaps: Option<Key>,
}

async fn rename_until_the_server_is_gone(store: Redis, user: Owner, mut known: Key) -> Trail {
    let limit = OwnerLimit::evict_oldest(3.try_into().unwrap());
    loop {
        let next = key_of(&store, &user);
        match or_unavailable(store.rename(&known, &next, Renewal::Key).await) {
            Some(Renamed::Done(_)) => known = next,
            Some(other) => panic!("{other:?}, though nobody else has the key"),
            None => return Trail { known, perhaps: Some(next) },
        }
        // Others come and go beside it: three writes in a script, and more.
        let other = owner(&format!("{}-beside", user.as_str()));
        let record = NewRecord { owner: Some(&other), limit: Some(limit), ..hour("data") };
        if or_unavailable(store.insert(&key_of(&store, &other), &record).await).is_none() {
            return Trail { known, perhaps: None };
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
            let known = log_in(&store, &user).await;
            callers.spawn(rename_until_the_server_is_gone(store.clone(), user, known));
        }
        tokio::time::sleep(Duration::from_millis(150 + 37 * round)).await;
        block_in_place(|| server.kill()).unwrap();
        let trails = callers.join_all().await;
        block_in_place(|| server.restart()).unwrap();

        for trail in trails {
            let loaded = async |key: &Key| {
                eventually("an answer", async || or_unavailable(store.load(key, Touch::No).await))
                    .await
                    .is_some()
            };
            let known = loaded(&trail.known).await;
            match trail.perhaps {
                None => assert!(known, "an acknowledged rename is lost"),
                Some(perhaps) => assert_ne!(known, loaded(&perhaps).await, "one of two keys lives"),
            }
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
