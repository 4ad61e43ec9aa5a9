//! [`Owners::owned`](crate::store::Owners::owned), and what else asks for an owner.

use std::collections::HashSet;
use std::slice::from_ref;

use crate::key::Key;
use crate::record::Owner;
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Condition, Cursor, NewRecord, Page, Removed, Store, Write};

/// A page of an owner's sessions.
async fn page(store: &dyn Store, owner: &Owner, after: Option<&Cursor>, limit: usize) -> Page {
    owners(store).owned(owner, after, limit, false).await.unwrap()
}

fn keys_of(page: &Page) -> Vec<Key> {
    page.records.iter().map(|(key, _)| key.clone()).collect()
}

/// *The live sessions of an owner, the youngest first.*
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
    load_without_data(&store, &keys[4], ALWAYS).await.unwrap();
    write(&store, &keys[3], &Write::data("new")).await;
    write(&store, &keys[2], &Write { authenticated: true, ..Write::default() }).await;
    assert_eq!(listed(&store, &anna).await, keys);
}

/// *Up to `limit` sessions, and no fewer while there are more*: those that have expired are no part of
/// a page.
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
    for limit in 1..5 {
        let page = page(&store, &owner, None, limit).await;
        assert_eq!(keys_of(&page), keys[..limit.min(3)]);
        assert!(limit >= 3 || page.next.is_some(), "the list ends after {limit} of three");
    }
    assert_eq!(keys_of(&page(&store, &owner, None, 0).await), []);
}

/// *`after` is the `Page::next` of the page before*: each session is on one page, in the order of the
/// whole list, those that began in the same moment too.
pub async fn each_session_is_on_one_page<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    for number in 0..30 {
        put_owned(&store, &owner).await;
        if number % 10 == 0 {
            tick(harness).await;
        }
    }
    let whole = keys_of(&page(&store, &owner, None, 1_000).await);
    assert_eq!(whole.iter().collect::<HashSet<_>>().len(), 30);
    for limit in [1, 7, 10, 30] {
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = page(&store, &owner, after.as_ref(), limit).await;
            assert!(keys.len() <= 30, "the list does not end");
            assert_eq!(page.records.len(), limit.min(30 - keys.len()));
            keys.extend(keys_of(&page));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(keys, whole);
    }
}

/// *Between two pages sessions may come and go; one that lives throughout is on one of the pages.*
pub async fn a_session_that_stays_is_on_a_page_while_others_come_and_go<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let (mut stay, mut go) = (HashSet::new(), Vec::new());
    for _ in 0..10 {
        stay.insert(put_owned(&store, &owner).await);
        go.push(put_owned(&store, &owner).await);
        tick(harness).await;
    }
    let mut after = None;
    for _ in 0..100 {
        let page = page(&store, &owner, after.as_ref(), 3).await;
        for key in keys_of(&page) {
            stay.remove(&key);
            // The last of a page may be what a cursor names.
            if let Some(at) = go.iter().position(|gone| *gone == key) {
                assert!(take(&store, &go.swap_remove(at)).await.is_some());
            }
        }
        for _ in 0..5 {
            put_owned(&store, &owner).await;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(after, None, "the list does not end");
    assert_eq!(stay, HashSet::new(), "these are on no page");
}

/// A list shows of a session what a load does, *without the data unless `with_data`*.
pub async fn a_list_shows_what_a_load_shows<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = owner_named("Anna");
    let key = key_of(&store, &owner);
    let proof = random_proof();
    let record = NewRecord {
        details: long_details(),
        proof: Some(proof),
        authenticated: true,
        ..record_of(&owner)
    };
    put(&store, &key, &record).await;
    tick(harness).await;
    load_without_data(&store, &key, ALWAYS).await;
    write(&store, &key, &Write::data("new data")).await;
    hand_over(&store, &key, &proof).await;
    let mut expected = look(&store, &key).await;
    for with_data in [true, false] {
        let page = owners(&store).owned(&owner, None, 10, with_data).await.unwrap();
        let [(listed, record)] = &page.records[..] else {
            panic!("{} sessions are listed", page.records.len());
        };
        if !with_data {
            expected.data.clear();
        }
        assert_eq!(*listed, key);
        assert_eq!(facts(record), facts(&expected));
        assert!(record.meta.now >= expected.meta.now);
    }
}

/// *Live sessions*: removed, taken and expired ones are not listed.
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
    let shorter = moment(harness);
    write(&store, youngest, &Write { lifetime: Some(&shorter), ..Write::data("new data") }).await;
    outlive_moment(harness).await;
    assert_eq!(listed(&store, &owner).await, from_ref(young));
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
    for (at, (_, owner)) in sessions.iter().enumerate() {
        owners(&store).remove_owned(owner, None).await.unwrap();
        for (number, (key, other)) in sessions.iter().enumerate() {
            assert_eq!(is_alive(&store, key).await, number > at, "{other:?} after {owner:?}");
        }
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
