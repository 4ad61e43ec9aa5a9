//! The store over those of tower-sessions: of the contract what can hold there, and what it refuses.

use async_trait::async_trait;
use token_session::store::{
    Condition, Load, NewRecord, Removed, Store, StoreErrorKind, TowerSessions,
};
use token_session::{Key, Lifetime, Owner};
use tower_sessions_core::session::{Id, Record as TowerRecord};
use tower_sessions_core::{SessionStore, session_store};
use tower_sessions_memory_store::MemoryStore;

#[path = "store_tower_sessions/suite.rs"]
mod suite;

async fn over_memory() -> TowerSessions {
    TowerSessions::new(MemoryStore::default())
}

mod conformance {
    use super::{over_memory, suite::Over};

    super::suite::what_can_hold!(Over(over_memory));
}

fn key(number: u8) -> Key {
    Key::from_bytes([number; 16])
}

fn record(data: &'static str) -> NewRecord<'static> {
    NewRecord::new(data, Lifetime::idle_secs(3_600).unwrap())
}

#[tokio::test]
async fn owners_are_refused() {
    let store = TowerSessions::new(MemoryStore::default());
    let owner = Owner::new("anna").unwrap();
    let owned = NewRecord { owner: Some(&owner), ..record("data") };
    let error = store.insert(&key(1), &owned).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains("owner"), "{error}");
    assert!(store.owners().is_none());
    assert_eq!(store.alive(&[key(1)]).await.unwrap(), [false]);
    store.insert(&key(1), &record("data")).await.unwrap();
    let removed = store.remove(&key(1), Condition::Owner(&owner), false).await.unwrap();
    assert_eq!(removed, Removed::Conflict);
}

#[tokio::test]
async fn the_record_ends_with_the_session_rounded_up_to_the_second() {
    let tower = MemoryStore::default();
    let store = TowerSessions::new(tower.clone());
    store.insert(&key(1), &record("data")).await.unwrap();
    let found = store.load(&key(1), &Load::new()).await.unwrap();
    let ends = found.live().unwrap().meta.expires_at();
    let id = Id(i128::from_be_bytes([1; 16]));
    let kept = tower.load(&id).await.unwrap().unwrap();
    assert_eq!(kept.expiry_date.unix_timestamp(), ends.as_millis().div_ceil(1_000) as i64);
    assert_eq!(kept.expiry_date.nanosecond(), 0);
    assert_eq!(kept.data.keys().collect::<Vec<_>>(), ["token-session"]);
}

#[tokio::test]
async fn a_record_of_others_is_an_error_that_names_its_key() {
    let tower = MemoryStore::default();
    let store = TowerSessions::new(tower.clone());
    let id = Id(i128::from_be_bytes([1; 16]));
    let ours = || async {
        store.insert(&key(1), &record("data")).await.unwrap();
        tower.load(&id).await.unwrap().unwrap()
    };
    for (field, value) in [
        (None, serde_json::Value::Null),
        (Some("data"), "no base64!".into()),
        (Some("version"), "one".into()),
        (Some("idle_ms"), serde_json::Value::Null),
        (Some("idle_ms"), 0.into()),
        (Some("proof"), "AQ==".into()),
        (Some("previous_proof"), 1.into()),
    ] {
        let mut kept = ours().await;
        match field {
            None => kept.data.clear(),
            Some(field) => kept.data.get_mut("token-session").unwrap()[field] = value,
        }
        tower.save(&kept).await.unwrap();
        let error = store.load(&key(1), &Load::new()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{field:?}");
        assert!(error.to_string().contains(&key(1).to_string()), "{error}");
        let removed = store.remove(&key(1), Condition::Always, true).await;
        assert_eq!(removed.unwrap_err().kind(), StoreErrorKind::Corrupt);
        let removed = store.remove(&key(1), Condition::Always, false).await;
        assert_eq!(removed.unwrap(), Removed::Done(None));
    }
}

/// A store that is out of reach.
#[derive(Debug)]
struct Gone;

#[async_trait]
impl SessionStore for Gone {
    async fn save(&self, _: &TowerRecord) -> session_store::Result<()> {
        Err(session_store::Error::Backend("no connection".into()))
    }

    async fn load(&self, _: &Id) -> session_store::Result<Option<TowerRecord>> {
        Err(session_store::Error::Backend("no connection".into()))
    }

    async fn delete(&self, _: &Id) -> session_store::Result<()> {
        Err(session_store::Error::Backend("no connection".into()))
    }
}

#[tokio::test]
async fn a_store_that_fails_is_unavailable_and_its_word_is_kept() {
    let store = TowerSessions::new(Gone);
    let error = store.load(&key(1), &Load::new()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "no connection");
    assert!(store.insert(&key(1), &record("data")).await.is_err());
}
