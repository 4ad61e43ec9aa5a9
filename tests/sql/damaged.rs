//! A damaged row beside sound ones, on every server that speaks SQL.

use std::collections::HashSet;

use token_session::store::{Condition, Listing, NewRecord, Owners, Removed, Store, StoreErrorKind};
use token_session::{Event, Events, Key, Lifetime, Owner};

use crate::server::{Pool, Sql, admin, fresh_name, random_key, run};

/// Ways to damage a row, by what its columns are set to.
const DAMAGES: [&str; 3] =
    ["authenticated_at = -1", "idle_ms = 9000000000000000", "created_at = -1"];

/// A store in which an owner has five sessions, one of them damaged: its key, and the keys of the others.
async fn with_damage(damage: &str) -> (Sql, Pool, Owner, Key, HashSet<Key>) {
    let (admin, table) = (admin().await, fresh_name());
    let store = Sql::builder().table(&table).build(admin.clone()).unwrap();
    store.migrate().await.unwrap();
    let owner = Owner::new("Anna").unwrap();
    let hour = Lifetime::idle_secs(3_600).unwrap();
    let damaged = random_key();
    let record = NewRecord { owner: Some(&owner), ..NewRecord::new("data", hour) };
    store.insert(&damaged, &record).await.unwrap();
    run(&admin, format!("UPDATE {table} SET {damage}")).await;
    let mut sound = HashSet::new();
    for _ in 0..4 {
        let key = random_key();
        store.insert(&key, &record).await.unwrap();
        sound.insert(key);
    }
    (store, admin, owner, damaged, sound)
}

#[tokio::test]
async fn an_owners_list_names_a_damaged_row_and_tells_its_key() {
    for damage in DAMAGES {
        let (store, _, owner, damaged, sound) = with_damage(damage).await;
        let events = Events::default();
        let mut told = events.subscribe();
        store.attach(&events);
        let page = store.owned(&owner, None, 10, false).await.unwrap();
        assert_eq!(page.records.into_iter().map(|(key, _)| key).collect::<HashSet<_>>(), sound);
        let [error] = &page.damaged[..] else { panic!("{damage}: {:?}", page.damaged) };
        assert_eq!((error.kind(), error.key()), (StoreErrorKind::Corrupt, Some(&damaged)));
        assert_eq!(told.next().await, Some(Event::Damaged { key: damaged }), "{damage}");
    }
}

#[tokio::test]
async fn a_scan_names_a_damaged_row_once_and_goes_on_behind_it() {
    for damage in DAMAGES {
        let (store, _, _, damaged, sound) = with_damage(damage).await;
        for limit in [1, 2, 100] {
            let (mut found, mut named, mut after) = (HashSet::new(), Vec::new(), None);
            loop {
                let page = store.scan(after.as_ref(), limit).await.unwrap();
                found.extend(page.records.into_iter().map(|(key, _)| key));
                named.extend(page.damaged);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found, sound, "{damage}, {limit} a page");
            let [error] = &named[..] else { panic!("{damage}: {named:?}") };
            assert_eq!((error.kind(), error.key()), (StoreErrorKind::Corrupt, Some(&damaged)));
        }
    }
}

#[tokio::test]
async fn a_damaged_row_is_counted_and_removed_by_its_key() {
    for damage in DAMAGES {
        let (store, _, _, damaged, _) = with_damage(damage).await;
        assert_eq!(store.count().await.unwrap(), 5);
        let removed = store.remove(&damaged, Condition::Always, false).await.unwrap();
        assert_eq!(removed, Removed::Done(None));
        assert!(store.scan(None, 10).await.unwrap().damaged.is_empty());
        assert_eq!(store.count().await.unwrap(), 4);
    }
}

#[tokio::test]
async fn a_table_of_other_columns_is_no_damage() {
    let (admin, table) = (admin().await, fresh_name());
    let store = Sql::builder().table(&table).build(admin.clone()).unwrap();
    store.migrate().await.unwrap();
    crate::server::put(&store).await;
    let other = "DROP COLUMN version, ADD COLUMN version VARCHAR(9) NOT NULL DEFAULT '1'";
    run(&admin, format!("ALTER TABLE {table} {other}")).await;
    let error = store.scan(None, 10).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
}
