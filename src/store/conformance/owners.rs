//! [`Store::owned`] and [`Store::remove_owned`].

use std::collections::HashSet;
use std::slice::from_ref;
use std::time::Duration;

use tokio::task::yield_now;

use super::throughout::drop_after;
use super::{
    Harness, assert_unchanged, facts, fresh, hour, is_alive, key_of, listed, long_label, look,
    moment, outlive_moment, owner_named, put, put_any, put_owned, race, record_of, tick,
};
use crate::key::Key;
use crate::store::{
    Condition, Inserted, NewRecord, OwnerLimit, Removed, Renamed, Renewal, Replaced, Store, Touch,
    Write,
};

const ALWAYS: Touch = Touch::After(Duration::ZERO);

/// *Live sessions of an owner, the youngest first.*
pub async fn live_sessions_are_listed_the_youngest_first<H: Harness>(harness: &H) {
    let store = harness.store().await;
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
    store.replace(&keys[3], &Write::new("new")).await.unwrap();
    assert_eq!(listed(&store, &anna).await, keys);
}

/// *Up to `limit`.*
pub async fn a_list_holds_no_more_than_its_limit<H: Harness>(harness: &H) {
    let store = harness.store().await;
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
    let store = harness.store().await;
    let (owner, label) = (owner_named("Anna"), long_label());
    let key = key_of(&store, &owner);
    let record = NewRecord { label: Some(&label), authenticated: true, ..record_of(&owner) };
    put(&store, &key, &record).await;
    tick(harness).await;
    store.touch(&key, ALWAYS).await.unwrap();
    store.replace(&key, &Write::new("new data")).await.unwrap();
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
    let store = harness.store().await;
    let owner = owner_named("Anna");
    let mut keys = Vec::new();
    for _ in 0..4 {
        keys.push(put_owned(&store, &owner).await);
        tick(harness).await;
    }
    keys.reverse();
    let [youngest, young, old, oldest] = &keys[..] else { unreachable!("there are four") };
    let remove = store.remove(oldest, Condition::Always).await;
    assert_eq!(remove.unwrap(), Removed::Done);
    assert_eq!(listed(&store, &owner).await, keys[..3]);
    assert!(store.take(old).await.unwrap().is_some());
    assert_eq!(listed(&store, &owner).await, keys[..2]);
    let to = key_of(&store, &owner);
    let rename = store.rename(young, &to, Renewal::Key).await;
    assert!(matches!(rename.unwrap(), Renamed::Done(_)));
    assert_eq!(listed(&store, &owner).await, [youngest.clone(), to.clone()]);
    let write = Write { lifetime: Some(&moment(harness)), ..Write::new("new data") };
    store.replace(youngest, &write).await.unwrap();
    outlive_moment(harness).await;
    assert_eq!(listed(&store, &owner).await, [to]);
}

/// *An owner*: not another whose id reads alike, or means something to a server's language.
pub async fn owners_are_told_apart_by_every_byte<H: Harness>(harness: &H) {
    let store = harness.store().await;
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

/// *Ends all sessions of an owner*: to every operation.
pub async fn all_sessions_of_an_owner_end<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let owner = owner_named("Anna");
    let mut keys = Vec::new();
    for _ in 0..20 {
        keys.push(put_owned(&store, &owner).await);
    }
    store.remove_owned(&owner, None).await.unwrap();
    assert_eq!(listed(&store, &owner).await, []);
    assert_eq!(store.count().await.unwrap(), 0);
    assert_eq!(store.scan(None, 100).await.unwrap().records, []);
    for (at, key) in keys.iter().enumerate() {
        match at % 6 {
            0 => assert_eq!(store.load(key, ALWAYS).await.unwrap(), None),
            1 => assert_eq!(store.touch(key, ALWAYS).await.unwrap(), None),
            2 => {
                let write = Write { lifetime: Some(&hour()), ..Write::new("new data") };
                let answer = store.replace(key, &write).await;
                assert_eq!(answer.unwrap(), Replaced::Missing);
            }
            3 => {
                let to = key_of(&store, &owner);
                let answer = store.rename(key, &to, Renewal::Authentication).await;
                assert_eq!(answer.unwrap(), Renamed::Missing);
            }
            4 => assert_eq!(store.take(key).await.unwrap(), None),
            _ => {
                let answer = store.remove(key, Condition::Always).await;
                assert_eq!(answer.unwrap(), Removed::Missing);
            }
        }
    }
    for key in &keys {
        assert!(!is_alive(&store, key).await, "an operation revived {key}");
    }
}

/// *Of an owner*: of no other, and not what has none.
pub async fn others_sessions_stay<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let (anna, bert) = (owner_named("Anna"), owner_named("Bert"));
    put_owned(&store, &anna).await;
    let berts = put_owned(&store, &bert).await;
    let nobodys = put_any(&store).await;
    let (bert_before, nobody_before) = (look(&store, &berts).await, look(&store, &nobodys).await);
    store.remove_owned(&anna, None).await.unwrap();
    assert_unchanged(&store, &berts, &bert_before).await;
    assert_unchanged(&store, &nobodys, &nobody_before).await;
    assert_eq!(listed(&store, &bert).await, [berts]);
}

/// *But the one under `keep`*, which is unharmed in every respect.
pub async fn the_kept_session_stays_and_works_on<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let owner = owner_named("Anna");
    let old = put_owned(&store, &owner).await;
    tick(harness).await;
    let kept = put_owned(&store, &owner).await;
    tick(harness).await;
    let young = put_owned(&store, &owner).await;
    let before = look(&store, &kept).await;
    for _ in 0..2 {
        store.remove_owned(&owner, Some(&kept)).await.unwrap();
        assert!(!is_alive(&store, &old).await && !is_alive(&store, &young).await);
        assert_unchanged(&store, &kept, &before).await;
        assert_eq!(listed(&store, &owner).await, from_ref(&kept));
    }

    assert!(store.touch(&kept, ALWAYS).await.unwrap().is_some());
    let write = Write { expected: Some(before.meta.version), ..Write::new("new data") };
    let replace = store.replace(&kept, &write).await;
    assert_eq!(replace.unwrap(), Replaced::Done(before.meta.version.next()));
    let to = key_of(&store, &owner);
    let rename = store.rename(&kept, &to, Renewal::Key).await;
    assert!(matches!(rename.unwrap(), Renamed::Done(_)));
    assert_eq!(listed(&store, &owner).await, from_ref(&to));
    assert_eq!(look(&store, &to).await.data, "new data");
    store.remove_owned(&owner, None).await.unwrap();
    assert!(!is_alive(&store, &to).await);
}

/// *If that is a live one of this owner*: otherwise none stays, and `keep` means nothing.
pub async fn a_stranger_is_not_kept<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let (anna, bert) = (owner_named("Anna"), owner_named("Bert"));
    let berts = put_owned(&store, &bert).await;
    let nobodys = put_any(&store).await;
    let removed = put_owned(&store, &anna).await;
    assert!(store.take(&removed).await.unwrap().is_some());
    let expired = key_of(&store, &anna);
    let expires = NewRecord { lifetime: moment(harness), ..record_of(&anna) };
    put(&store, &expired, &expires).await;
    outlive_moment(harness).await;
    for keep in [&berts, &nobodys, &removed, &expired] {
        let key = put_owned(&store, &anna).await;
        store.remove_owned(&anna, Some(keep)).await.unwrap();
        assert!(!is_alive(&store, &key).await);
        assert_eq!(listed(&store, &anna).await, []);
    }
    assert!(!is_alive(&store, &removed).await && !is_alive(&store, &expired).await);
    assert!(is_alive(&store, &berts).await && is_alive(&store, &nobodys).await);
    assert_eq!(listed(&store, &bert).await, [berts]);
}

/// *An owner without sessions is no error.*
pub async fn an_owner_without_sessions_is_no_error<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let owner = owner_named("Anna");
    let key = key_of(&store, &owner);
    store.remove_owned(&owner, None).await.unwrap();
    store.remove_owned(&owner, Some(&key)).await.unwrap();
    assert_eq!(listed(&store, &owner).await, []);
    assert!(!is_alive(&store, &key).await);
}

/// *No session that the owner had when it was called*: later ones live, and count anew.
pub async fn an_owner_whose_sessions_ended_begins_anew<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let owner = owner_named("Anna");
    let limit = OwnerLimit::reject(2.try_into().expect("two is not zero"));
    let mut last = None;
    for _ in 0..3 {
        let mut keys = HashSet::new();
        for _ in 0..2 {
            let key = key_of(&store, &owner);
            let record = NewRecord { limit: Some(limit), ..record_of(&owner) };
            put(&store, &key, &record).await;
            keys.insert(key);
        }
        let now: HashSet<Key> = listed(&store, &owner).await.into_iter().collect();
        assert_eq!(now, keys);
        assert_eq!(store.count().await.unwrap(), 2);
        if let Some(key) = last {
            assert!(!is_alive(&store, &key).await, "{key} came back");
        }
        last = keys.into_iter().next();
        store.remove_owned(&owner, None).await.unwrap();
    }
}

/// *When it has returned, no session that the owner had when it was called can be loaded, whatever
/// raced with it: an insert, a rename, a write.*
pub async fn what_the_owner_had_ends_whatever_races<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
    for round in 0..harness.races().div_ceil(20) {
        let owner = owner_named(format!("user-{round}"));
        let mut had = Vec::new();
        for _ in 0..4 {
            had.push(put_owned(&store, &owner).await);
        }
        let new_keys = race(10, |task| {
            let (store, owner, had) = (store.clone(), owner.clone(), had.clone());
            async move {
                let key = had[task % had.len()].clone();
                match task {
                    0..3 => {
                        let lifetime = hour();
                        let write = Write {
                            touch: true,
                            lifetime: (task == 1).then_some(&lifetime),
                            ..Write::new("new data")
                        };
                        store.replace(&key, &write).await.unwrap();
                        None
                    }
                    3..5 => {
                        store.touch(&key, ALWAYS).await.unwrap();
                        None
                    }
                    5..8 => {
                        let to = key_of(&store, &owner);
                        store.rename(&key, &to, Renewal::Key).await.unwrap();
                        Some(to)
                    }
                    8 => {
                        put_owned(&store, &owner).await;
                        None
                    }
                    _ => {
                        store.remove_owned(&owner, None).await.unwrap();
                        for key in &had {
                            assert!(!is_alive(&store, key).await, "{key} outlived its end");
                        }
                        None
                    }
                }
            }
        })
        .await;
        // What the owner had goes on under no other key either.
        for key in had.into_iter().chain(new_keys.into_iter().flatten()) {
            assert!(!is_alive(&store, &key).await, "{key} outlived its end");
        }
    }
}

/// *Whatever raced with it: an insert*, which came before and is dead, or came after and is alive
/// and listed; never is it alive where the owner does not see it.
pub async fn an_insert_that_races_is_listed_or_dead<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
    for round in 0..harness.races().div_ceil(20) {
        let owner = owner_named(format!("user-{round}"));
        let kept = put_owned(&store, &owner).await;
        let inserted = race(10, |task| {
            let (store, owner, kept) = (store.clone(), owner.clone(), kept.clone());
            async move {
                if task == 5 {
                    let keep = (round % 2 == 0).then_some(&kept);
                    store.remove_owned(&owner, keep).await.unwrap();
                    return None;
                }
                let key = key_of(&store, &owner);
                let done = Inserted::Done { evicted: vec![] };
                let answer = store.insert(&key, &record_of(&owner)).await;
                assert_eq!(answer.unwrap(), done);
                Some(key)
            }
        })
        .await;
        let mut alive = HashSet::new();
        for key in inserted.into_iter().flatten().chain([kept.clone()]) {
            if is_alive(&store, &key).await {
                alive.insert(key);
            }
        }
        assert_eq!(alive.contains(&kept), round % 2 == 0);
        let listed: HashSet<Key> = listed(&store, &owner).await.into_iter().collect();
        assert_eq!(listed, alive);
        store.remove_owned(&owner, None).await.unwrap();
        for key in &alive {
            assert!(!is_alive(&store, key).await, "{key} outlived its end");
        }
    }
    assert_eq!(store.count().await.unwrap(), 0);
}

/// *An operation is atomic*: each of two ends what the other keeps, whichever comes first.
pub async fn of_two_that_keep_different_sessions_neither_keeps_one<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
    for round in 0..harness.races().div_ceil(20) {
        let owner = owner_named(format!("user-{round}"));
        let keys = [put_owned(&store, &owner).await, put_owned(&store, &owner).await];
        race(2, |task| {
            let (store, owner, keep) = (store.clone(), owner.clone(), keys[task].clone());
            async move { store.remove_owned(&owner, Some(&keep)).await.unwrap() }
        })
        .await;
        for key in &keys {
            assert!(!is_alive(&store, key).await, "{key} outlived its end");
        }
        assert_eq!(listed(&store, &owner).await, []);
    }
}

/// *After an error or a dropped future, some of the sessions may have ended. A repeat ends the rest.*
pub async fn a_repeat_ends_what_a_dropped_end_has_left<H: Harness>(harness: &H) {
    let store = fresh(harness).await;
    race(harness.races().min(100), |task| {
        let store = store.clone();
        async move {
            let owner = owner_named(format!("user-{task}"));
            let mut keys = Vec::new();
            for _ in 0..4 {
                keys.push(put_owned(&store, &owner).await);
            }
            drop_after(task, store.remove_owned(&owner, None)).await;
            store.remove_owned(&owner, None).await.unwrap();
            for key in &keys {
                assert!(!is_alive(&store, key).await, "{key} outlived its end");
            }
            assert_eq!(listed(&store, &owner).await, []);
        }
    })
    .await;
    assert_eq!(store.count().await.unwrap(), 0);
}

/// *It returns although such sessions keep coming.*
pub async fn an_end_returns_although_sessions_keep_coming<H: Harness>(harness: &H) {
    let store = harness.store().await;
    let owner = owner_named("Anna");
    let mut had = Vec::new();
    for _ in 0..20 {
        had.push(put_owned(&store, &owner).await);
    }
    let log_in = async || {
        for _ in 0..1_000 {
            put_owned(&store, &owner).await;
            yield_now().await;
        }
    };
    tokio::select! {
        biased;
        ended = store.remove_owned(&owner, None) => ended.unwrap(),
        _ = async { tokio::join!(log_in(), log_in(), log_in(), log_in()) } => {
            panic!("it waits until no sessions come");
        }
    }
    for key in &had {
        assert!(!is_alive(&store, key).await, "{key} outlived its end");
    }
}
