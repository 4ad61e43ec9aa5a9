//! The rights that the docs of the store name are enough, and they grant nothing else.

use mongodb::Client;
use mongodb::bson::doc;
use token_session::Owner;
use token_session::store::{
    Condition, Listing, Load, MongoDb, NewRecord, OwnerLimit, Owners, Replaced, Store,
    StoreErrorKind, Write,
};

use super::server::{TOUCH, put, random_key, record, url};

/// A server with the users `app`, which has the rights that the docs name, and `migrator`, which may
/// create indexes.
async fn guarded() -> test_servers::MongoDb {
    let mut server = test_servers::MongoDb::durable().unwrap();
    let client = Client::with_uri_str(server.url()).await.unwrap();
    let database = client.database("token_session_tests");
    let resource = doc! { "db": "token_session_tests", "collection": "token_sessions" };
    for (user, actions) in [
        ("app", vec!["find", "insert", "update", "remove"]),
        ("migrator", vec!["createIndex", "createCollection"]),
    ] {
        let privileges = vec![doc! { "resource": resource.clone(), "actions": actions }];
        let role = doc! { "createRole": user, "privileges": privileges, "roles": [] };
        database.run_command(role).await.unwrap();
        let account = doc! { "createUser": user, "pwd": "secret", "roles": [user] };
        database.run_command(account).await.unwrap();
    }
    client.shutdown().await;
    server.require_login().unwrap();
    server
}

fn url_of(server: &test_servers::Server, user: &str) -> String {
    url(server, "&authSource=token_session_tests").replace("//", &format!("//{user}:secret@"))
}

#[tokio::test]
async fn four_rights_on_one_collection_are_enough() {
    let server = guarded().await;
    let migrator = MongoDb::connect(&url_of(&server, "migrator")).await.unwrap();
    migrator.migrate().await.unwrap();
    let store = MongoDb::connect(&url_of(&server, "app")).await.unwrap();
    let owner = Owner::new("anna").unwrap();

    let key = put(&store, Some(&owner)).await;
    assert!(store.load(&key, &TOUCH).await.unwrap().live().is_some());
    let replaced = store.replace(&key, &Write::data("new data")).await.unwrap();
    assert!(matches!(replaced, Replaced::Done(_)));
    assert_eq!(store.alive(&[key]).await.unwrap(), [true]);
    let one = 1.try_into().unwrap();
    let limited =
        NewRecord { limit: Some(OwnerLimit::evict_oldest(one)), ..record("data", Some(&owner)) };
    store.insert(&random_key(), &limited).await.unwrap();
    assert_eq!(store.owned(&owner, None, 10, true).await.unwrap().records.len(), 1);
    assert_eq!(store.scan(None, 10).await.unwrap().records.len(), 1);
    assert_eq!(store.count().await.unwrap(), 1);
    store.remove_owned(&owner, None).await.unwrap();
    let key = put(&store, None).await;
    assert!(store.remove(&key, Condition::Always, true).await.unwrap().record().is_some());
    let key = put(&store, None).await;
    assert!(store.remove(&key, Condition::Always, false).await.unwrap().is_done());
    store.clear().await.unwrap();

    let error = store.migrate().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    // Another database, because the stand-in holds a role's collection for all of its database.
    let url = url_of(&server, "app").replace("/token_session_tests?", "/accounts?");
    let elsewhere = MongoDb::connect(&url).await.unwrap();
    let error = elsewhere.load(&key, &Load::new()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains("denies permission"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_shown() {
    let server = guarded().await;
    let url = url_of(&server, "app").replace(":secret@", ":hunter2@");
    let error = MongoDb::connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains("does not let this user in"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
}
