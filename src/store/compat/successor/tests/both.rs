//! What the two stores do together.

use super::*;

#[tokio::test]
async fn the_new_store_never_sees_a_token() {
    let (_, store) = stores();
    put(&store.old, "old", idle()).await;
    move_all(&store).await;
    let record = NewRecord::new("1", idle());
    store.insert(&key_of("new"), &record).await.unwrap();
    let page = store.new.scan(None, 10).await.unwrap();
    assert_eq!(page.records.len(), 2);
    assert!(page.records.iter().all(|(key, _)| key.plain_id().is_none()));

    let sessions = TokenSession::<u32>::in_memory();
    sessions.create(&1).await.unwrap();
    let page = sessions.store().listing().unwrap().scan(None, 10).await.unwrap();
    assert!(page.records.iter().all(|(key, _)| key.plain_id().is_none()));
}

#[tokio::test]
async fn a_session_ends_when_it_would_have_ended() {
    let (clock, store) = stores();
    let lifetime = Lifetime::idle(10 * MINUTE).unwrap().and_absolute(15 * MINUTE).unwrap();
    let both = put(&store.old, "both", lifetime).await;
    let absolute = put(&store.old, "absolute", Lifetime::absolute(15 * MINUTE).unwrap()).await;
    clock.advance(6 * MINUTE);
    assert_eq!(move_all(&store).await.moved, 2);
    for key in [&both, &absolute] {
        let load = Load { touch: Touch::After(Duration::ZERO), ..Load::new() };
        let meta = store.load(key, &load).await.unwrap().live().unwrap().meta;
        assert_eq!(meta.deadline.unwrap().since(meta.now), 9 * MINUTE);
    }
    clock.advance(9 * MINUTE);
    assert!(data(&*store, &both).await.is_none() && data(&*store, &absolute).await.is_none());
}

#[tokio::test]
async fn what_cannot_move_stays_and_hinders_nothing_else() {
    let (_, store) = stores();
    let of = |id| Key::with_plain_id(id);
    let guessed = ["0", "NaN", "null", "undefined"].map(of);
    let others = of("admin:zcM2Gl1Bi74mNZtjVhHv");
    for key in guessed.iter().chain([&others, &key_of("whole")]) {
        put_under(&store.old, key.clone(), idle()).await;
    }
    let damaged = key_of("damaged");
    store.old.insert(&damaged, &NewRecord::new("{", idle())).await.unwrap();
    let moved = move_all(&store).await;
    assert_eq!((moved.moved, moved.gone), (1, 0));
    let mut failed: Vec<_> = moved.failed.iter().map(|(key, _)| key).collect();
    failed.sort_unstable_by_key(|key| key.plain_id());
    let [zero, nan, null, undefined] = &guessed;
    assert_eq!(failed, [zero, nan, &others, &damaged, null, undefined]);
    assert!(moved.failed.iter().all(|(_, error)| error.kind() == StoreErrorKind::Refused));
    assert!(moved.failed.iter().all(|(_, error)| !error.to_string().contains("admin")));
    assert_eq!(store.old.count().await.unwrap(), 6);
}

#[tokio::test]
async fn a_token_that_anybody_could_guess_opens_no_session_of_either_store() {
    let (_, store) = stores();
    let sessions = TokenSession::<u32>::builder().store(store.both.clone()).build().unwrap();
    for id in ["undefined", "null", "NaN", "0"] {
        put_under(&store.old, Key::with_plain_id(id), idle()).await;
        let moved = NewRecord::new("1", idle());
        store.new.insert(&bare(&Key::with_plain_id(id)), &moved).await.unwrap();
        let token = Token::parse(id).unwrap();
        assert!(sessions.get(&token).await.unwrap().is_none(), "{id}");
        assert!(sessions.take(&token).await.unwrap().is_none(), "{id}");
        assert!(!sessions.destroy(&token).await.unwrap(), "{id}");
        assert!(sessions.set(&token, &2).await.is_err(), "{id}");
        assert!(sessions.regenerate(&token).await.is_err(), "{id}");
    }
    assert_eq!(store.count().await.unwrap(), 8);
}

#[tokio::test]
async fn what_is_ended_by_its_public_id_leaves_no_note_of_a_killed_mover() {
    let (_, store) = stores();
    let key = put(&store.old, "anna", idle()).await;
    let record = store.old.load(&key, &Load::new()).await.unwrap().live().unwrap();
    store.stage(&staged(&key, 7), &record).await.unwrap();
    assert!(store.land(&key, 7).await.unwrap());
    let note = Write::data(r#"{"token-session:moved":"7"}"#);
    store.old.replace(&key, &note).await.unwrap();
    let removed = store.remove(&bare(&key), Condition::Always, false).await.unwrap();
    assert_eq!(removed, Removed::Done(None));
    assert_eq!(data(&*store, &key).await, None);
}

#[tokio::test]
async fn a_note_that_a_user_writes_opens_no_other_session() {
    let (_, store) = stores();
    let victim = put(&store.old, "victim", idle()).await;
    let record = store.load(&victim, &Load::new()).await.unwrap().live().unwrap();
    store.stage(&staged(&victim, 7), &record).await.unwrap();
    let attacker = key_of("attacker");
    let note = NewRecord::new(r#"{"token-session:moved":"7"}"#, idle());
    store.old.insert(&attacker, &note).await.unwrap();
    let ended = store.load(&attacker, &Load::new()).await.unwrap_err();
    assert_eq!(ended.kind(), StoreErrorKind::Refused, "its own session is all it has lost");
    move_all(&store).await;
    assert_eq!(data(&*store, &attacker).await, None);
    assert_eq!(data(&*store, &victim).await.unwrap(), "1");
}

#[tokio::test]
async fn sessions_of_both_stores_are_listed_and_counted() {
    let (_, store) = stores();
    for number in 0..7 {
        put(&store.old, &format!("old{number}"), idle()).await;
        let key = key_of(&format!("new{number}"));
        store.insert(&key, &NewRecord::new("1", idle())).await.unwrap();
    }
    assert_eq!(store.count().await.unwrap(), 14);
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = store.scan(after.as_ref(), 3).await.unwrap();
        keys.extend(page.records.into_iter().map(|(key, _)| key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(keys.len(), 14);
    // As an operator's page sends it back: without the id, which is shown to nobody.
    for key in keys.iter().map(bare) {
        let remove = async || store.remove(&key, Condition::Always, false).await.unwrap();
        assert_eq!(remove().await, Removed::Done(None));
        assert_eq!(remove().await, Removed::Missing);
    }
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn an_owner_has_the_sessions_of_both_stores() {
    let (clock, store) = stores();
    let (anna, bob) = (Owner::new("1").unwrap(), Owner::new("bob").unwrap());
    let old = put(&store.old, "old", idle()).await;
    clock.advance(Duration::from_secs(1));
    let new = key_of("new");
    let record = NewRecord { owner: Some(&anna), ..NewRecord::new("1", idle()) };
    store.insert(&new, &record).await.unwrap();
    let keys = async |limit| {
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = store.owned(&anna, after.as_ref(), limit, false).await.unwrap();
            assert!(page.records.len() <= limit);
            for (key, record) in page.records {
                assert_eq!((record.meta.owner.as_ref(), record.data.len()), (Some(&anna), 0));
                keys.push(key);
            }
            after = page.next;
            if after.is_none() {
                break keys;
            }
        }
    };
    assert_eq!(keys(10).await, [new.clone(), old.clone()]);
    assert_eq!(keys(1).await, [old.clone(), new.clone()], "the old store's come first");
    let loaded = store.load(&old, &Load::new()).await.unwrap().live().unwrap();
    assert_eq!(loaded.meta.owner.as_ref(), Some(&anna));
    let of = |owner| Condition::Owner(owner);
    assert_eq!(store.remove(&old, of(&bob), false).await.unwrap(), Removed::Conflict);
    store.remove_owned(&bob, None).await.unwrap();
    assert_eq!(keys(10).await.len(), 2);
    move_all(&store).await;
    assert_eq!(keys(10).await.len(), 2);
    assert_eq!(
        store.remove(&bare(&old), of(&anna), true).await.unwrap().record().unwrap().data,
        "1"
    );
    put(&store.old, "another", idle()).await;
    store.remove_owned(&anna, None).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn what_no_client_can_present_is_no_owners() {
    let (_, store) = stores();
    let anna = Owner::new("1").unwrap();
    let others = put(&store.old, "admin:17", idle()).await;
    assert!(store.owned(&anna, None, 10, false).await.unwrap().records.is_empty());
    store.remove_owned(&anna, None).await.unwrap();
    assert_eq!(data(&store.old, &others).await.unwrap(), "1");
}

#[tokio::test]
async fn a_session_begins_in_the_new_store_under_an_id_that_neither_has() {
    let (_, store) = stores();
    let key = put(&store.old, "taken", idle()).await;
    let record = NewRecord::new("1", idle());
    assert_eq!(store.insert(&key, &record).await.unwrap(), Inserted::KeyTaken);
    let key = key_of("free");
    store.insert(&key, &record).await.unwrap();
    assert_eq!(store.alive(std::slice::from_ref(&key)).await.unwrap(), [true]);
    assert_eq!((store.new.count().await.unwrap(), store.old.count().await.unwrap()), (1, 1));
}

#[tokio::test]
async fn instances_of_before_and_after_know_the_same_sessions() {
    let (_, store) = stores();
    let before = store.old.clone();
    let after = store.clone().begin_in_old();
    let key = key_of("begun");
    after.insert(&key, &NewRecord::new("1", idle())).await.unwrap();
    assert_eq!(data(&before, &key).await.unwrap(), "1");
    let renamed = key_of("renamed");
    let done = after.rename(&key, &renamed, Renewal::Key).await.unwrap();
    assert!(matches!(done, Renamed::Done(_)));
    assert_eq!(data(&before, &renamed).await.unwrap(), "1");
}

#[tokio::test]
async fn what_the_next_deployment_has_in_the_new_store_is_known_before_it() {
    let (_, store) = stores();
    let manager =
        |both: &Both| TokenSession::<u32>::builder().store(both.both.clone()).build().unwrap();
    let (next, first) = (manager(&store), manager(&store.clone().begin_in_old()));
    let begun = next.create(&2).await.unwrap().token;
    assert_eq!(*first.get(&begun).await.unwrap().unwrap(), 2);
    let renewed = first.regenerate(&begun).await.unwrap().token;
    for sessions in [&first, &next] {
        assert!(sessions.get(&begun).await.unwrap().is_none());
        assert_eq!(*sessions.get(&renewed).await.unwrap().unwrap(), 2);
    }

    // A token that was replaced opens and ends nothing.
    let old = first.create(&3).await.unwrap().token;
    let renewed = next.regenerate(&old).await.unwrap().token;
    for sessions in [&first, &next] {
        assert!(sessions.get(&old).await.unwrap().is_none());
        assert!(sessions.set(&old, &4).await.is_err());
        assert!(!sessions.destroy(&old).await.unwrap());
        assert_eq!(*sessions.get(&renewed).await.unwrap().unwrap(), 3);
    }
    assert!(first.destroy(&renewed).await.unwrap());
    assert!(next.get(&renewed).await.unwrap().is_none());
}

#[tokio::test]
async fn a_change_with_a_new_token_meets_no_other_version() {
    let (_, store) = stores();
    let key = put(&store.old, "old", idle()).await;
    let version = store.load(&key, &Load::new()).await.unwrap().live().unwrap().meta.version;
    let claim = claim_of(&key);
    let write = |version, number| Write {
        expected: Some(version),
        claim: Some(&claim),
        proof: Some(secret(number).0),
        ..Write::data("2")
    };
    let replaced = store.replace(&key, &write(version.next(), 1)).await.unwrap();
    assert_eq!(replaced, Replaced::Conflict);
    assert_eq!(store.old.count().await.unwrap(), 1, "it stays");
    let replaced = store.replace(&key, &write(version, 2)).await.unwrap();
    assert!(matches!(replaced, Replaced::Done(_)));
    let load = Load { claim: Some(&secret(2).1), ..Load::new() };
    let record = store.load(&bare(&key), &load).await.unwrap().live().unwrap();
    assert_eq!(record.data, "2");
    assert_eq!(data(&*store, &key).await, None);
}

/// A caller that has read the note before the session landed, and goes on when it has ended.
#[tokio::test]
async fn a_copy_that_lands_late_opens_nothing() {
    let (_, store) = stores();
    let key = put(&store.old, "old", idle()).await;
    let record = store.old.load(&key, &Load::new()).await.unwrap().live().unwrap();
    store.stage(&staged(&key, 7), &record).await.unwrap();
    let copy = store.new.load(&staged(&key, 7), &Load::new()).await.unwrap().live().unwrap();
    assert!(store.land(&key, 7).await.unwrap());
    store.new.remove(&bare(&key), Condition::Always, false).await.unwrap();
    assert!(!store.open(&key, 7, copy).await.unwrap());
    assert!(!store.land(&key, 7).await.unwrap());
    assert_eq!(store.new.count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_reservation_of_an_earlier_move_hinders_no_later_one() {
    let (_, store) = stores();
    let key = put(&store.old, "old", idle()).await;
    let earlier = NewRecord { proof: Some(reservation(6)), ..NewRecord::new("0", idle()) };
    store.new.insert(&bare(&key), &earlier).await.unwrap();
    assert_eq!(move_all(&store).await.moved, 1);
    assert_eq!(data(&*store, &key).await.unwrap(), "1");
}
