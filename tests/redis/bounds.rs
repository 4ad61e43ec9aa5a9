//! Bounded work: what a call asks of the server at once, whatever the store holds.

use std::slice;
use std::time::Duration;

use futures_util::future::join_all;
use token_session::store::{
    Condition, Inserted, Listing, Load, NewRecord, OwnerLimit, Redis, Removed, Store, Touch,
};
use token_session::{Key, Owner, Version};

use crate::{Short, ask, fresh_key, hour, info, key_of, log_in, owner, patient, times_called};

const MEGABYTE: usize = 1_000_000;

async fn log_in_often(store: &Redis, owner: &Owner, times: usize) -> Vec<Key> {
    join_all((0..times).map(|_| log_in(store, owner))).await
}

#[tokio::test]
async fn a_page_of_large_sessions_holds_a_few_and_all_pages_hold_all() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let mut keys = Vec::new();
    for number in 0..30 {
        let key = fresh_key();
        // Sizes of all kinds: 1 MB, a few bytes, and one of 3 MB.
        let size = [MEGABYTE, 10, 3 * MEGABYTE]
            [usize::from(number % 5 == 0) + usize::from(number == 7) * 2];
        store.insert(&key, &hour(&"x".repeat(size))).await.unwrap();
        keys.push(key);
    }
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let page = store.scan(next.as_ref(), 500).await.unwrap();
        let bytes: usize = page.records.iter().map(|(_, record)| record.data.len()).sum();
        assert!(bytes < 1 << 20 || page.records.len() == 1, "{} records", page.records.len());
        found.extend(page.records.into_iter().map(|(key, _)| key));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    keys.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, keys);
}

#[tokio::test]
async fn what_needs_no_data_reads_none() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let anna = owner("anna");
    let key = key_of(&store, &anna);
    let record = NewRecord { owner: Some(&anna), ..hour(&"x".repeat(MEGABYTE)) };
    store.insert(&key, &record).await.unwrap();
    let other = Condition::Version(Version::from_u64(99));

    let _: String = ask(server.url(), &["CONFIG", "RESETSTAT"]);
    let load = Load { touch: Touch::After(Duration::ZERO), with_data: false, ..Load::new() };
    assert_eq!(store.load(&key, &load).await.unwrap().live().unwrap().data, "");
    assert_eq!(store.alive(std::slice::from_ref(&key)).await.unwrap(), [true]);
    assert_eq!(store.list(&anna, 10).await.unwrap().len(), 1);
    assert_eq!(store.count().await.unwrap(), 1);
    assert_eq!(store.remove(&key, other, false).await.unwrap(), Removed::Conflict);
    let taken = store.insert(&key, &hour("data")).await.unwrap();
    assert_eq!(taken, Inserted::KeyTaken);
    assert_eq!(
        store.remove(&key, Condition::Owner(&anna), false).await.unwrap(),
        Removed::Done(None)
    );
    assert_eq!(times_called(server.url(), "get"), 0);
    assert!(info(server.url(), "stats", "total_net_output_bytes") < 100_000);
}

#[tokio::test]
async fn a_list_of_a_large_owner_is_whole_and_in_order_a_thousand_a_call() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let anna = owner("anna");
    let mut keys = log_in_often(&store, &anna, 2_500).await;
    let _: String = ask(server.url(), &["CONFIG", "RESETSTAT"]);
    let owned = store.list(&anna, usize::MAX).await.unwrap();
    let calls = times_called(server.url(), "evalsha");
    assert!(
        owned.is_sorted_by(|(_, one), (_, other)| one.meta.created_at >= other.meta.created_at)
    );
    let mut listed: Vec<_> = owned.iter().map(|(key, _)| key.clone()).collect();
    listed.sort_unstable();
    keys.sort_unstable();
    assert_eq!(listed, keys);
    assert!((3..=4).contains(&calls), "{calls} calls");
    for limit in [0, 1, 999, 1_000, 1_001] {
        let few = store.list(&anna, limit).await.unwrap();
        assert_eq!(few.len(), limit);
        assert!(few.iter().zip(&owned).all(|(one, other)| one.0 == other.0), "{limit}");
    }
}

/// As many sessions may begin within a millisecond as the server takes.
#[tokio::test]
async fn a_list_of_sessions_that_began_at_one_moment_is_whole() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let anna = owner("anna");
    let keys = log_in_often(&store, &anna, 1_800).await;
    let mut add = redis::cmd("ZADD");
    add.arg("ts:{0}:o:anna");
    for key in &keys {
        add.arg(17).arg(key.to_string());
    }
    let client = redis::Client::open(server.url()).unwrap();
    let () = add.query(&mut client.get_connection().unwrap()).unwrap();
    assert_eq!(store.list(&anna, usize::MAX).await.unwrap().len(), 1_800);
}

#[tokio::test]
async fn a_list_takes_the_places_of_expired_sessions_out_of_a_large_index() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let anna = owner("anna");
    let keys = log_in_often(&store, &anna, 2_500).await;
    for key in keys.iter().step_by(2) {
        let _: usize = ask(server.url(), &["DEL", &format!("ts:{{0}}:s:{key}")]);
    }
    assert_eq!(store.list(&anna, usize::MAX).await.unwrap().len(), 1_250);
    assert_eq!(ask::<usize>(server.url(), &["ZCARD", "ts:{0}:o:anna"]), 1_250);
}

/// An owner's limit holds where there are more sessions than a call looks at.
#[tokio::test]
async fn a_limit_holds_for_a_large_owner_and_counts_no_expired_session() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let anna = owner("anna");
    let keys = log_in_often(&store, &anna, 2_500).await;
    let insert = async |limit| {
        let record = NewRecord { owner: Some(&anna), limit: Some(limit), ..hour("data") };
        store.insert(&key_of(&store, &anna), &record).await.unwrap()
    };
    let (reject, evict) = (OwnerLimit::reject, OwnerLimit::evict_oldest);
    let done = |evicted: &[Key]| Inserted::Done { evicted: evicted.to_vec() };
    assert_eq!(insert(reject(2_500.try_into().unwrap())).await, Inserted::OwnerFull);
    assert_eq!(store.list(&anna, usize::MAX).await.unwrap().len(), 2_500);

    let oldest = store.list(&anna, usize::MAX).await.unwrap().pop().unwrap().0;
    assert_eq!(insert(evict(2_500.try_into().unwrap())).await, done(slice::from_ref(&oldest)));
    // Of the youngest, so that no look at the oldest alone finds them.
    let gone = keys.iter().rev().filter(|key| **key != oldest).take(2);
    for key in gone {
        let _: usize = ask(server.url(), &["DEL", &format!("ts:{{0}}:s:{key}")]);
    }
    assert_eq!(insert(reject(2_500.try_into().unwrap())).await, done(&[]));
    assert_eq!(insert(evict(2_500.try_into().unwrap())).await, done(&[]));
    assert_eq!(insert(reject(2_500.try_into().unwrap())).await, Inserted::OwnerFull);
}

#[tokio::test]
async fn an_insert_with_a_small_limit_ends_the_many_sessions_above_it() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let anna = owner("anna");
    log_in_often(&store, &anna, 2_500).await;
    let mut before: Vec<Key> =
        store.list(&anna, usize::MAX).await.unwrap().into_iter().map(|(key, _)| key).collect();
    let key = key_of(&store, &anna);
    let limit = Some(OwnerLimit::evict_oldest(3.try_into().unwrap()));
    let record = NewRecord { owner: Some(&anna), limit, ..hour("data") };
    let Inserted::Done { mut evicted } = store.insert(&key, &record).await.unwrap() else {
        panic!("there is room once the oldest have gone");
    };
    let left: Vec<_> =
        store.list(&anna, 10).await.unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(left, [key, before[0].clone(), before[1].clone()]);
    let mut gone = before.split_off(2);
    gone.sort_unstable();
    evicted.sort_unstable();
    assert_eq!(evicted, gone);
    assert_eq!(ask::<usize>(server.url(), &["DBSIZE"]), 4);
}

/// A server that shrinks its table names keys twice.
#[tokio::test]
async fn a_count_while_the_table_shrinks_counts_each_session_once() {
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    join_all((0..300).map(|_| async { store.insert(&fresh_key(), &hour("data")).await.unwrap() }))
        .await;
    for round in 0..5 {
        let mut fill = redis::pipe();
        for number in 0..20_000 {
            fill.cmd("SET").arg(format!("other-{number}")).arg("1").ignore();
        }
        let client = redis::Client::open(server.url()).unwrap();
        let mut others = client.get_connection().unwrap();
        let () = fill.query(&mut others).unwrap();
        let counting = tokio::spawn({
            let store = store.clone();
            async move { store.count().await.unwrap() }
        });
        let emptying = tokio::task::spawn_blocking(move || {
            for batch in 0..20 {
                let mut unlink = redis::cmd("UNLINK");
                for number in 0..1_000 {
                    unlink.arg(format!("other-{}", batch * 1_000 + number));
                }
                let _: usize = unlink.query(&mut others).unwrap();
            }
        });
        assert_eq!(counting.await.unwrap(), 300, "round {round}");
        emptying.await.unwrap();
    }
}
