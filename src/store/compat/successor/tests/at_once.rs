//! Moves while others are at the sessions.

use super::*;

/// Lets two calls meet at every pair of their steps: the first goes so far, then the second, then the
/// first to its end, and the second to its own. `check` gets the first one's answer.
async fn at_each_step<R>(
    first: impl AsyncFn(Both, Key) -> R,
    second: impl AsyncFn(Both, Key),
    check: impl AsyncFn(Both, Key, R),
) {
    for (one, two) in (0..40).flat_map(|one| (0..40).map(move |two| (one, two))) {
        let (_, store) = stores();
        let key = put(&store.old, "old", idle()).await;
        let mut first = pin!(first(store.clone(), key.clone()));
        let mut second = pin!(second(store.clone(), key.clone()));
        let answer = go(first.as_mut(), one);
        let is_over = go(second.as_mut(), two).is_some();
        let answer = match answer {
            Some(answer) => answer,
            None => first.await,
        };
        if !is_over {
            second.await;
        }
        check(store, key, answer).await;
    }
}

/// Polls a future so often, unless it is done before.
fn go<R>(mut future: Pin<&mut impl Future<Output = R>>, steps: usize) -> Option<R> {
    let mut context = Context::from_waker(Waker::noop());
    (0..steps).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    })
}

async fn moves(store: Both, _: Key) {
    let moved = store.move_page(None, 100).await.unwrap();
    assert!(moved.failed.is_empty(), "{moved:?}");
}

#[tokio::test]
async fn a_session_that_is_ended_by_its_public_id_while_it_moves_is_dead() {
    let ends = async |store: Both, key: Key| {
        store.remove(&bare(&key), Condition::Always, false).await.unwrap()
    };
    let check = async |store: Both, key: Key, removed: Removed| {
        assert_eq!((removed, data(&*store, &key).await), (Removed::Done(None), None));
        assert_eq!(store.old.count().await.unwrap(), 0);
    };
    at_each_step(ends, moves, check).await;
}

#[tokio::test]
async fn a_session_that_moves_is_among_its_owners() {
    let owner = Owner::new("1").unwrap();
    let owned = async |store: Both, _: Key| store.owned(&owner, None, 10, true).await.unwrap();
    let check = async |_: Both, key: Key, page: Page| {
        let keys: Vec<&Key> = page.records.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.iter().filter(|&&owned| *owned == key).count(), 1, "{keys:?}");
    };
    at_each_step(owned, moves, check).await;
}

#[tokio::test]
async fn a_new_token_from_an_instance_of_before_replaces_the_old_one_while_the_session_moves() {
    let to = key_of("to");
    let renames = async |store: Both, key: Key| {
        let renamed = store.begin_in_old().rename(&key, &to, Renewal::Key).await.unwrap();
        assert!(matches!(renamed, Renamed::Done(_)), "{renamed:?}");
    };
    let check = async |store: Both, key: Key, ()| {
        for _ in 0..2 {
            assert_eq!(data(&*store, &key).await, None);
            assert_eq!(data(&*store, &to).await.unwrap(), "1");
            move_all(&store).await;
        }
    };
    at_each_step(renames, moves, check).await;
    at_each_step(moves, renames, check).await;
}

#[tokio::test]
async fn a_change_while_a_session_moves_leaves_one_session_with_it() {
    let changes = async |store: Both, key: Key| {
        let replaced = store.replace(&key, &Write::data("2")).await.unwrap();
        assert!(matches!(replaced, Replaced::Done(_)));
    };
    let check = async |store: Both, key: Key, ()| {
        move_all(&store).await;
        assert_eq!(data(&*store, &key).await.unwrap(), "2");
        assert_eq!(store.count().await.unwrap(), 1);
    };
    at_each_step(moves, changes, check).await;
    at_each_step(changes, moves, check).await;
}

#[tokio::test]
async fn a_note_that_is_denied_though_it_was_written_loses_nothing() {
    let (_, store) = stores();
    let key = put(&store.old, "old", idle()).await;
    store.old.faults.denies.store(true, Ordering::Relaxed);
    assert_eq!(move_all(&store).await.moved, 1);
    assert_eq!(data(&*store, &key).await.unwrap(), "1");
    assert_eq!(store.count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_store_that_takes_no_note_leaves_no_copies_behind() {
    let faults = Arc::new(Faults { at: 3.into(), is_full: true, ..Faults::default() });
    let store = stores_on(&ManualClock::default(), &faults);
    let key = put(&store.old, "old", idle()).await;
    let moved = move_all(&store).await;
    assert!(moved.failed[0].1.is_retryable(), "{moved:?}");
    assert_eq!(store.new.count().await.unwrap(), 0);
    assert_eq!(data(&*store, &key).await.unwrap(), "1");
}

#[tokio::test]
async fn a_note_that_leads_nowhere_stays_for_the_mover() {
    let (_, store) = stores();
    let key = put(&store.old, "old", idle()).await;
    let note = Write::data(r#"{"token-session:moved":"7"}"#);
    store.old.replace(&key, &note).await.unwrap();
    let refused = store.load(&key, &Load::new()).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Refused);
    assert_eq!(store.old.count().await.unwrap(), 1);
    assert_eq!(move_all(&store).await.gone, 1);
    assert_eq!(store.old.count().await.unwrap(), 0);
    assert_eq!(data(&*store, &key).await, None);
}

#[tokio::test]
async fn a_service_that_finds_a_note_to_another_store_than_its_own_says_so() {
    let (_, store) = stores();
    let key = put(&store.old, "old", idle()).await;
    let elsewhere = Successor::new(Fragile::default(), store.old.clone());
    let record = store.old.load(&key, &Load::new()).await.unwrap().live().unwrap();
    // The operation after those of the lines above: a copy, a note, a look at it, a reservation and
    // whether the copy is still there, its opening, and the note's end.
    store.old.faults.at.store(9, Ordering::Relaxed);
    assert!(
        store.move_one(&key, record).await.is_err(),
        "it was to be killed before its last step"
    );
    store.old.faults.heal();

    let renewed = Write { proof: Some(secret(1).0), ..Write::default() };
    let in_old = elsewhere.clone().begin_in_old();
    let refusals = [
        elsewhere.load(&key, &Load::new()).await.err(),
        elsewhere.replace(&key, &Write::data("2")).await.err(),
        elsewhere.replace(&key, &renewed).await.err(),
        in_old.rename(&key, &key_of("to"), Renewal::Key).await.err(),
        elsewhere.remove(&key, Condition::Always, false).await.err(),
        elsewhere.remove(&key, Condition::Always, true).await.err(),
    ];
    for refused in refusals.map(Option::unwrap) {
        assert_eq!(refused.kind(), StoreErrorKind::Refused);
        assert!(refused.to_string().contains(&key.to_string()), "{refused}");
    }
    assert!(elsewhere.scan(None, 10).await.unwrap().records.is_empty());
    assert_eq!(data(&*store, &key).await.unwrap(), "1", "where it was moved to, it is");
}

/// Movers that are killed and begun again, writers, new tokens and logouts, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_revived_while_movers_come_and_go() {
    for round in 0..30 {
        let (_, store) = stores();
        let sessions = TokenSession::<u32>::builder().store(store.both.clone()).build().unwrap();
        let mut people = tokio::task::JoinSet::new();
        for number in 0..12 {
            let mut token = Token::random("").unwrap();
            let key = Key::with_plain_id(token.reveal());
            put_under(&store.old, key, Lifetime::idle(60 * MINUTE).unwrap()).await;
            let sessions = sessions.clone();
            people.spawn(async move {
                for count in 1..10 {
                    if number % 3 == 0 {
                        sessions.set(&token, &(1 + count)).await.unwrap();
                    } else {
                        sessions.update(&token, |data| *data += 1).await.unwrap();
                    }
                    if number % 3 == 1 && count % 4 == 0 {
                        let issued = sessions.regenerate(&token).await.unwrap();
                        let old = std::mem::replace(&mut token, issued.token);
                        assert!(sessions.get(&old).await.unwrap().is_none());
                    }
                    assert_eq!(*sessions.get(&token).await.unwrap().unwrap(), 1 + count);
                }
                if number % 3 == 2 {
                    assert!(sessions.destroy(&token).await.unwrap());
                }
                (number, token)
            });
        }
        let mut people = tokio::spawn(people.join_all());
        let people = loop {
            let movers: Vec<_> = (0..2)
                .map(|_| {
                    let store = store.clone();
                    tokio::spawn(async move { store.move_page(None, 100).await })
                })
                .collect();
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            for mover in movers {
                mover.abort();
                let _ = mover.await;
            }
            if people.is_finished() {
                break (&mut people).await.unwrap();
            }
        };
        move_all(&store).await;
        assert_eq!(store.old.count().await.unwrap(), 0);
        for (number, token) in people {
            let data = sessions.get(&token).await.unwrap().map(|session| *session);
            assert_eq!(data, (number % 3 != 2).then_some(10));
        }
    }
}

#[tokio::test]
async fn a_session_that_is_kept_is_kept_while_it_moves() {
    let owner = Owner::new("1").unwrap();
    let ends = async |store: Both, kept: Key| {
        let other = put(&store.old, "other", idle()).await;
        store.remove_owned(&owner, Some(&kept)).await.unwrap();
        assert_eq!(data(&*store, &other).await, None);
    };
    let check = async |store: Both, kept: Key, ()| {
        assert_eq!(data(&*store, &kept).await.unwrap(), "1");
        assert_eq!(data(&*store, &key_of("other")).await, None);
    };
    at_each_step(ends, moves, check).await;
    at_each_step(moves, ends, check).await;
}
