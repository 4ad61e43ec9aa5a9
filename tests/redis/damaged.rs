//! A damaged record hides no other: a listing leaves it out and names it, and it can be removed.

use token_session::store::{Condition, Listing, Owners, Removed, Store, StoreErrorKind, Write};
use token_session::{Event, Events, Key};

use crate::{Short, ask, log_in, owner, patient};

fn name(key: &Key) -> String {
    format!("ts:{{0}}:s:{key}")
}

fn set(url: &str, name: &str, bytes: &[u8]) {
    let mut command = redis::cmd("SET");
    command.arg(name).arg(bytes).arg("PX").arg(100_000);
    let client = redis::Client::open(url).unwrap();
    let () = command.query(&mut client.get_connection().unwrap()).unwrap();
}

#[tokio::test]
async fn damaged_records_hide_no_other() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let anna = owner("anna");
    let mut sound = Vec::new();
    for _ in 0..5 {
        sound.push(log_in(&store, &anna).await);
    }
    let whole: Vec<u8> = ask(server.url(), &["GET", &name(&sound[0])]);
    let spoilt = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    // Nothing, a piece, another format, a lifetime that cannot be, the lengths of owner, details and
    // sealed secret past the end, an owner that is no text, and no record at all.
    let damages: [Vec<u8>; 9] = [
        Vec::new(),
        whole[..30].to_vec(),
        spoilt(0, 2),
        spoilt(33, 0xff),
        spoilt(131, 200),
        spoilt(132, 200),
        spoilt(134, 200),
        spoilt(137, 0xff),
        vec![0xff; 200],
    ];
    let mut damaged = Vec::new();
    for bytes in &damages {
        let key = log_in(&store, &anna).await;
        set(server.url(), &name(&key), bytes);
        damaged.push(key);
    }
    let endless = log_in(&store, &anna).await;
    let _: usize = ask(server.url(), &["PERSIST", &name(&endless)]);
    damaged.push(endless);
    for keys in [&mut sound, &mut damaged] {
        keys.sort_unstable();
    }

    let events = Events::default();
    let mut told = events.subscribe();
    store.attach(&events);
    // One of them names another owner than the one of its index, so it is not a session of either.
    let page = store.scan(None, 500).await.unwrap();
    let mut listed: Vec<_> = page.records.into_iter().map(|(key, _)| key).collect();
    listed.sort_unstable();
    assert_eq!(listed, sound);
    let mut named: Vec<_> = page.damaged.iter().map(|error| error.key().unwrap().clone()).collect();
    named.sort_unstable();
    assert!(named.iter().all(|key| damaged.contains(key)));
    assert!(named.len() >= damages.len(), "{} of {} are named", named.len(), damaged.len());
    for _ in &named {
        let Some(Event::Damaged { key }) = told.next().await else {
            panic!("it is not told");
        };
        assert!(named.contains(&key));
    }

    let mut owned: Vec<_> =
        store.list(&anna, 100).await.unwrap().into_iter().map(|(key, _)| key).collect();
    owned.sort_unstable();
    assert_eq!(owned, sound);
    assert_eq!(store.list(&anna, sound.len()).await.unwrap().len(), sound.len());
    assert!(store.count().await.unwrap() >= sound.len() as u64);

    for key in &named {
        let corrupt = StoreErrorKind::Corrupt;
        assert_eq!(store.get(key).await.unwrap_err().kind(), corrupt);
        assert_eq!(store.touch(key).await.unwrap_err().kind(), corrupt);
        let removed = store.remove(key, Condition::Always, false).await.unwrap();
        assert_eq!(removed, Removed::Done(None));
        assert_eq!(store.get(key).await.unwrap(), None);
    }
    assert_eq!(store.scan(None, 500).await.unwrap().damaged.len(), 0);
    assert_eq!(store.count().await.unwrap(), sound.len() as u64);
}

#[tokio::test]
async fn what_would_build_on_a_damaged_record_is_refused() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let anna = owner("anna");
    let key = log_in(&store, &anna).await;
    set(server.url(), &name(&key), b"no record");
    for error in [
        store.replace(&key, &Write::data("new")).await.map(drop).unwrap_err(),
        store.remove(&key, Condition::Always, true).await.map(drop).unwrap_err(),
        store.remove(&key, Condition::Owner(&anna), false).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error:?}");
        assert_eq!(error.key(), Some(&key));
    }
    store.remove_owned(&anna, None).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), None);
}
