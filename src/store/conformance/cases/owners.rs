//! [`Owners::owned`](crate::store::Owners::owned), and what else asks for an owner.

use std::collections::HashSet;
use std::slice::from_ref;

use crate::key::Key;
use crate::record::Owner;
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Condition, Cursor, NewRecord, Removed, Store, Touch, Write};

/// *Live sessions of an owner, the youngest first.*
pub async fn live_sessions_are_listed_the_youngest_first<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (anna, bert) = (owner_named("Anna"), owner_named("Bert"));
    assert_eq!(listed(&store, &anna).await, []);
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.insert(0, put_owned(&store, &anna).await);
        put_owned(&store, &bert).await;
        put_any(&store).await;
        tick(harness).await;
    }
    store.touch(&keys[4], ALWAYS).await.unwrap();
    store.replace(&keys[3], &Write::data("new")).await.unwrap();
    assert_eq!(listed(&store, &anna).await, keys);
}

/// *Up to `limit`.*
pub async fn a_list_holds_no_more_than_its_limit<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let expires = NewRecord { lifetime: moment(harness), ..record_of(&owner) };
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.insert(0, put_owned(&store, &owner).await);
        put(&store, &key_of(&store, &owner), &expires).await;
        tick(harness).await;
    }
    outlive_moment(harness).await;
    for limit in 0..5 {
        let owned = store.owned(&owner, limit).await.unwrap();
        let owned: Vec<Key> = owned.into_iter().map(|(key, _)| key).collect();
        assert_eq!(owned, keys[..limit.min(3)]);
    }
}

/// A list shows of a session what a load does.
pub async fn a_list_shows_what_a_load_shows<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (owner, label) = (owner_named("Anna"), long_label());
    let key = key_of(&store, &owner);
    let record = NewRecord { label: Some(&label), authenticated: true, ..record_of(&owner) };
    put(&store, &key, &record).await;
    tick(harness).await;
    load_without_data(&store, &key, ALWAYS).await;
    store.replace(&key, &Write::data("new data")).await.unwrap();
    let found = look(&store, &key).await.meta;
    let owned = store.owned(&owner, 10).await.unwrap();
    let [(listed, meta)] = &owned[..] else {
        panic!("{} sessions are listed", owned.len());
    };
    assert_eq!(*listed, key);
    assert_eq!(facts(meta), facts(&found));
    assert!(meta.now >= found.now);
}

/// *Live sessions*: removed, taken and renamed ones are no longer among them.
pub async fn what_has_ended_is_not_listed<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let mut keys = Vec::new();
    for _ in 0..4 {
        keys.push(put_owned(&store, &owner).await);
        tick(harness).await;
    }
    keys.reverse();
    let [youngest, young, old, oldest] = &keys[..] else { unreachable!("there are four") };
    let remove = store.remove(oldest, Condition::Always, false).await;
    assert_eq!(remove.unwrap(), Removed::Done(None));
    assert_eq!(listed(&store, &owner).await, keys[..3]);
    assert!(take(&store, old).await.is_some());
    assert_eq!(listed(&store, &owner).await, keys[..2]);
    let to = key_of(&store, &owner);
    let rename = store.rename(young, &to, Renewal::Key).await;
    assert!(matches!(rename.unwrap(), Renamed::Done(_)));
    assert_eq!(listed(&store, &owner).await, [youngest.clone(), to.clone()]);
    let write = Write { lifetime: Some(&moment(harness)), ..Write::data("new data") };
    store.replace(youngest, &write).await.unwrap();
    outlive_moment(harness).await;
    assert_eq!(listed(&store, &owner).await, [to]);
}

/// *An owner*: not another whose id reads alike, or means something to a server's language.
pub async fn owners_are_told_apart_by_every_byte<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let longest = "x".repeat(255);
    let ids = [
        "anna",
        "Anna",
        "ANNA",
        " anna",
        "anna ",
        "anná",
        "anna\u{301}",
        "ann",
        "annaa",
        "ann_",
        "ann%",
        "ann*",
        "ann?",
        "{anna}",
        "[anna]",
        "anna:",
        ":anna",
        "anna\\",
        "'anna'",
        "\"anna\"",
        "anna;--",
        "ß",
        "ss",
        "0",
        "00",
        "null",
        "straße",
        "STRASSE",
        "\u{1f468}",
        "\u{1f469}",
        &longest[1..],
        &longest,
    ];
    let mut sessions = Vec::new();
    for id in ids {
        let owner = owner_named(id);
        sessions.push((put_owned(&store, &owner).await, owner));
    }
    for (key, owner) in &sessions {
        assert_eq!(listed(&store, owner).await, from_ref(key), "{owner:?}");
        assert_eq!(look(&store, key).await.meta.owner.as_ref(), Some(owner));
    }
    for (at, (key, owner)) in sessions.iter().enumerate() {
        store.remove_owned(owner, None).await.unwrap();
        assert!(!is_alive(&store, key).await);
        let alive = store.count().await.unwrap();
        assert_eq!(alive, (sessions.len() - at - 1) as u64, "{owner:?}");
    }
}

/// *If the condition holds*: the owner.
pub async fn another_owner_is_a_conflict_and_nothing_is_removed<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (anna, bert) = (owner_named("Anna"), owner_named("Bert"));
    let (annas, nobodys) = (put_owned(&store, &anna).await, put_any(&store).await);
    put_owned(&store, &bert).await;
    for key in [&annas, &nobodys] {
        let before = look(&store, key).await;
        let answer = store.remove(key, Condition::Owner(&bert), false).await;
        assert_eq!(answer.unwrap(), Removed::Conflict);
        assert_unchanged(&store, key, &before).await;
    }
    assert_eq!(listed(&store, &anna).await, [annas]);
}
