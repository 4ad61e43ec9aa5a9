//! What the far store tells is seen at once.

use token_session::Owner;
use token_session::store::{Cached, Change, ManualClock, Memory, Store, StoreErrorKind};

use super::far::{Far, data, end, key, put};

async fn stage() -> (Far, Cached) {
    let clock = ManualClock::default();
    let far = Far::new(&clock);
    let store = Cached::builder(far.clone()).clock(clock).watch().await.unwrap();
    (far, store)
}

#[tokio::test]
async fn a_record_that_another_server_has_ended_is_gone_when_that_is_told() {
    let (far, store) = stage().await;
    put(&far, &key(1), None).await;
    assert!(data(&store, &key(1)).await.is_some());
    end(&far, &key(1)).await;
    assert!(data(&store, &key(1)).await.is_some(), "nothing was told yet");
    far.tell(&Change::Record(key(1)));
    assert_eq!(data(&store, &key(1)).await, None);
}

#[tokio::test]
async fn an_owners_sessions_are_gone_when_that_is_told() {
    let (far, store) = stage().await;
    let owner = Owner::new("anna").unwrap();
    put(&far, &key(1), Some(&owner)).await;
    assert!(data(&store, &key(1)).await.is_some());
    far.owners().unwrap().remove_owned(&owner, None).await.unwrap();
    far.tell(&Change::Owner(owner));
    assert_eq!(data(&store, &key(1)).await, None);
}

#[tokio::test]
async fn nothing_is_served_from_before_a_connection_was_lost() {
    let (far, store) = stage().await;
    put(&far, &key(1), None).await;
    assert!(data(&store, &key(1)).await.is_some());
    end(&far, &key(1)).await;
    far.tell(&Change::Any);
    assert_eq!(data(&store, &key(1)).await, None);
}

#[tokio::test]
async fn a_load_under_way_does_not_bring_back_what_was_told_meanwhile() {
    let (far, store) = stage().await;
    put(&far, &key(1), None).await;
    let held = far.hold_answers().await;
    let load = tokio::spawn({
        let store = store.clone();
        async move { data(&store, &key(1)).await }
    });
    while far.loads() == 0 {
        tokio::task::yield_now().await;
    }
    end(&far, &key(1)).await;
    far.tell(&Change::Record(key(1)));
    drop(held);
    assert!(load.await.unwrap().is_some(), "it was there when it was asked for");
    assert_eq!(data(&store, &key(1)).await, None);
}

#[tokio::test]
async fn a_store_that_tells_nothing_cannot_be_watched() {
    let error = Cached::builder(Memory::new()).watch().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
}
