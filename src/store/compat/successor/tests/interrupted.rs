//! Moves that end half way.

use super::*;

/// Every way in which a move of one session can end half way: each of its steps fails, done or not
/// done. Hands each to the test, with the session's key.
async fn after_each_broken_move<F: Future<Output = ()>>(test: impl Fn(Both, Key) -> F) {
    const STEPS: &str = "a page, a copy, a note, a look at the copy, a reservation, a look whether the \
                         copy is there, the session, the copy's end, and the note's";
    for after in [false, true] {
        let mut step = 1;
        loop {
            let faults = Faults { at: step.into(), after, ..Faults::default() };
            let faults = Arc::new(faults);
            let store = stores_on(&ManualClock::default(), &faults);
            let key = put(&store.old, "old", idle()).await;
            let is_whole = store.move_page(None, 100).await.is_ok_and(|page| page.moved == 1);
            faults.heal();
            test(store, key).await;
            if is_whole {
                break;
            }
            step += 1;
            assert!(step <= 10, "no move comes to its end");
        }
        assert_eq!(step, 10, "{STEPS}");
    }
}

#[tokio::test]
async fn a_session_is_there_whatever_step_of_its_move_fails() {
    after_each_broken_move(async |store, key| {
        let mut listed = store.scan(None, 10).await.unwrap().records;
        listed.extend(store.scan(Some(&Cursor::new([NEW])), 10).await.unwrap().records);
        assert!(listed.iter().any(|(listed, record)| *listed == key && record.data == "1"));
        assert!(listed.iter().all(|(_, record)| record.data == "1"));
        assert_eq!(data(&*store, &key).await.unwrap(), "1");
        move_all(&store).await;
        assert_eq!(data(&*store, &key).await.unwrap(), "1");
        assert_eq!(data(&store.new.memory, &key).await.unwrap(), "1");
        assert_eq!(store.old.count().await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_change_is_kept_whatever_step_of_its_move_fails() {
    after_each_broken_move(async |store, key| {
        let replaced = store.replace(&key, &Write::data("2")).await.unwrap();
        assert!(matches!(replaced, Replaced::Done(_)));
        assert_eq!(data(&*store, &key).await.unwrap(), "2");
        let record = store.load(&key, &Load::new()).await.unwrap().live().unwrap();
        let version = record.meta.version;
        let stale = Write { expected: Some(version.next()), ..Write::data("3") };
        assert_eq!(store.replace(&key, &stale).await.unwrap(), Replaced::Conflict);
        let fresh = Write { expected: Some(version), ..Write::data("4") };
        assert!(matches!(store.replace(&key, &fresh).await.unwrap(), Replaced::Done(_)));
        move_all(&store).await;
        assert_eq!(data(&store.new.memory, &key).await.unwrap(), "4");
    })
    .await;
}

#[tokio::test]
async fn what_was_ended_stays_so_whatever_step_of_its_move_fails() {
    after_each_broken_move(async |store, key| {
        let remove = async || store.remove(&key, Condition::Always, false).await.unwrap();
        assert_eq!(remove().await, Removed::Done(None));
        assert_eq!(remove().await, Removed::Missing);
        assert_eq!(data(&*store, &key).await, None);
        assert_eq!(move_all(&store).await.moved, 0);
        assert_eq!(data(&*store, &key).await, None);
    })
    .await;
    after_each_broken_move(async |store, key| {
        let claim = claim_of(&key);
        let take = async || store.remove(&key, Condition::Claim(&claim), true).await.unwrap();
        assert_eq!(take().await.record().unwrap().data, "1");
        assert_eq!(take().await, Removed::Missing);
        move_all(&store).await;
        assert_eq!(data(&*store, &key).await, None);
    })
    .await;
}

#[tokio::test]
async fn a_new_token_replaces_the_old_one_whatever_step_of_its_move_fails() {
    after_each_broken_move(async |store, key| {
        let ((proof, new), old) = (secret(1), claim_of(&key));
        let write = Write {
            proof: Some(proof),
            claim: Some(&old),
            authenticated: true,
            ..Write::default()
        };
        let replaced = store.replace(&key, &write).await.unwrap();
        assert!(matches!(replaced, Replaced::Done(_)));
        for _ in 0..2 {
            assert_eq!(data(&*store, &key).await, None);
            let load = Load { claim: Some(&new), ..Load::new() };
            let record = store.load(&bare(&key), &load).await.unwrap().live().unwrap();
            assert_eq!(record.data, "1");
            assert!(record.meta.authenticated_at.is_some());
            move_all(&store).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_owners_sessions_end_but_for_the_kept_one_whatever_step_of_their_move_fails() {
    let owner = Owner::new("1").unwrap();
    for keeps_the_moved in [true, false] {
        after_each_broken_move(async |store, key| {
            let other = put(&store.old, "other", idle()).await;
            let (kept, ended) = if keeps_the_moved { (key, other) } else { (other, key) };
            for kept in [&kept, &bare(&kept)] {
                store.remove_owned(&owner, Some(kept)).await.unwrap();
            }
            for _ in 0..2 {
                assert_eq!(data(&*store, &kept).await.unwrap(), "1");
                assert_eq!(data(&*store, &ended).await, None);
                move_all(&store).await;
            }
        })
        .await;
    }
}
