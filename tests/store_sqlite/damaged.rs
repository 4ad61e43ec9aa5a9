//! A damaged row beside intact ones.

use token_session::store::Sqlite;
use token_session::{Error, Event, Lifetime, NewSession, Owner, TokenSession};

use crate::folder::{Folder, run};

/// Ways to damage a row. Some put a value of another type into a column.
const DAMAGES: [&str; 7] = [
    "owner = ''",
    "owner = char(10)",
    "idle_ms = 9000000000000000",
    "created_at = -1",
    "authenticated_at = 'yesterday'",
    "previous_proof = proof, confirmed_at = -1",
    "version = x'00ff'",
];

async fn sessions(folder: &Folder) -> TokenSession<String> {
    let store = folder.store("sessions.db", Sqlite::builder()).await;
    let lifetime = Lifetime::idle_secs(3_600).unwrap();
    TokenSession::<String>::builder().store(store).lifetime(lifetime).build().unwrap()
}

#[tokio::test]
async fn an_operator_sees_and_ends_a_damaged_session() {
    for damage in DAMAGES {
        let folder = Folder::new();
        let sessions = sessions(&folder).await;
        let damaged = sessions.create(&"damaged".to_owned()).await.unwrap();
        let damaged = sessions.get(&damaged.token).await.unwrap().unwrap().key;
        run(&mut folder.beside("sessions.db").await, format!("UPDATE token_sessions SET {damage}"))
            .await;
        sessions.create(&"sound".to_owned()).await.unwrap();
        let mut told = sessions.subscribe();

        let listed = sessions.all(None, 10).await.unwrap().sessions;
        let (sound, errors): (Vec<_>, Vec<_>) = listed.into_iter().partition(Result::is_ok);
        let [Ok(sound)] = &sound[..] else { panic!("{damage}: {sound:?}") };
        assert_eq!(sound.data, "sound");
        let [Err(error @ Error::Store(_))] = &errors[..] else { panic!("{damage}: {errors:?}") };
        assert_eq!(error.key(), Some(&damaged), "{damage}");
        assert_eq!(told.next().await, Some(Event::Damaged { key: damaged.clone() }));

        assert!(sessions.destroy_key(&damaged).await.unwrap(), "{damage}");
        assert_eq!(sessions.all(None, 10).await.unwrap().sessions.len(), 1);
    }
}

#[tokio::test]
async fn an_owners_list_leaves_a_damaged_row_out() {
    let folder = Folder::new();
    let sessions = sessions(&folder).await;
    let anna = Owner::new("Anna").unwrap();
    let annas = NewSession::new().owner(anna.clone());
    for _ in 0..2 {
        sessions.create_with(&"data".to_owned(), &annas).await.unwrap();
    }
    let damage = "UPDATE token_sessions SET idle_ms = 9000000000000000 WHERE rowid = 1";
    run(&mut folder.beside("sessions.db").await, damage).await;
    assert_eq!(sessions.owned(&anna, 10).await.unwrap().len(), 1);
    assert_eq!(sessions.store().listing().unwrap().count().await.unwrap(), 2);
}
