//! Sessions that connect-mongo shares with this crate.

mod node;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, Uuid, doc};
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection, Database};
use serde_json::{Value, json};
use token_session::store::compat::{AnyBytes, ConnectMongo, Shape};
use token_session::store::conformance::Harness;
use token_session::store::{Listing, StoreErrorKind};
use token_session::{Error, Json, Lifetime, NewSession, TokenSession};

use node::peer::Peer;
use node::{Place, fresh_name, share_with_node, token};

const DATABASE: &str = "token_session_node";

/// A collection of its own.
struct InMongo {
    package: &'static str,
    name: String,
    stringify: bool,
    options: Value,
    database: Database,
}

impl InMongo {
    async fn new(package: &'static str) -> Self {
        Self::with(package, true, json!({})).await
    }

    /// With further options for Node.
    async fn with(package: &'static str, stringify: bool, options: Value) -> Self {
        let client = Client::with_uri_str(test_servers::mongodb_url()).await.unwrap();
        let database = client.database(DATABASE);
        Self { package, name: fresh_name(), stringify, options, database }
    }

    fn collection(&self) -> Collection<Document> {
        self.database.collection(&self.name)
    }

    async fn document(&self, id: &str) -> Option<Document> {
        self.collection().find_one(doc! { "_id": id }).await.unwrap()
    }
}

impl Place for InMongo {
    type Store = ConnectMongo;

    async fn store(&self, shape: Shape) -> ConnectMongo {
        ConnectMongo::new(&self.database, shape)
            .collection(&self.name)
            .stringify(self.stringify)
            .timeout(Duration::from_secs(60))
    }

    async fn package(&self) -> (&'static str, Value) {
        let collection =
            if self.package == "connect-mongo@3" { "collection" } else { "collectionName" };
        let mut options = self.options.clone();
        options["url"] = test_servers::mongodb_url().into();
        options["dbName"] = DATABASE.into();
        options[collection] = self.name.as_str().into();
        options["stringify"] = self.stringify.into();
        (self.package, options)
    }

    fn default_ttl(&self) -> Duration {
        Duration::from_secs(14 * 86_400)
    }

    async fn text(&self, id: &str) -> Option<String> {
        match self.document(id).await?.remove("session")? {
            Bson::String(text) => Some(text),
            Bson::Document(document) => Some(serde_json::to_string(&document).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    async fn end(&self, id: &str) -> Duration {
        let document = self.document(id).await.unwrap();
        let end = document.get_datetime("expires").unwrap().timestamp_millis();
        Duration::from_millis(end.try_into().unwrap())
    }

    async fn leave(&self, id: &str, seconds: u32) {
        let now = DateTime::now().timestamp_millis();
        let end = DateTime::from_millis(now + i64::from(seconds) * 1000);
        let set = doc! { "$set": { "expires": end } };
        let moved = self.collection().update_one(doc! { "_id": id }, set).await.unwrap();
        assert_eq!(moved.matched_count, 1);
        // With `touchAfter`, Node looks at this before it touches.
        let modified = doc! { "_id": id, "lastModified": { "$exists": true } };
        let yesterday = DateTime::from_millis(now - 86_400_000);
        let long_ago = doc! { "$set": { "lastModified": yesterday } };
        self.collection().update_one(modified, long_ago).await.unwrap();
    }

    async fn put(&self, id: &str, text: &str) {
        let expires = DateTime::from_millis(DateTime::now().timestamp_millis() + 3_600_000);
        let session = match serde_json::from_str::<Bson>(text) {
            Ok(Bson::Document(document)) if !self.stringify => Bson::Document(document),
            _ => Bson::String(text.to_owned()),
        };
        let set = doc! { "$set": { "session": session, "expires": expires } };
        self.collection().update_one(doc! { "_id": id }, set).upsert(true).await.unwrap();
    }
}

mod version_3 {
    use super::*;
    share_with_node!(InMongo::new("connect-mongo@3"));
}

mod version_4 {
    use super::*;
    share_with_node!(InMongo::new("connect-mongo@4"));
}

mod version_5 {
    use super::*;
    share_with_node!(InMongo::new("connect-mongo@5"));
}

mod version_6 {
    use super::*;
    share_with_node!(InMongo::new("connect-mongo@6"));
}

mod documents {
    use super::*;
    share_with_node!(InMongo::with("connect-mongo@6", false, json!({})));
}

mod documents_of_version_3 {
    use super::*;
    share_with_node!(InMongo::with("connect-mongo@3", false, json!({})));
}

mod touch_after {
    use super::*;
    share_with_node!(InMongo::with(
        "connect-mongo@6",
        true,
        json!({"touchAfter": 3600, "timestamps": true, "autoRemove": "disabled"})
    ));
}

struct Contract;

impl Harness for Contract {
    type Store = AnyBytes<ConnectMongo>;

    async fn store(&self) -> AnyBytes<ConnectMongo> {
        AnyBytes(InMongo::new("connect-mongo@6").await.store(Shape::token_session()).await)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn races(&self) -> usize {
        50
    }
}

mod contract {
    use super::Contract;

    token_session::shared_format_suite!(Contract);
}

#[tokio::test]
async fn where_neither_is_told_a_collection_both_take_the_same() {
    let (url, name) = (test_servers::mongodb_url(), fresh_name());
    let database = Client::with_uri_str(url).await.unwrap().database(&name);
    let node = Peer::open("connect-mongo@6", json!({"url": url, "dbName": name})).await;
    let store = ConnectMongo::new(&database, Shape::token_session());
    let sessions = TokenSession::<Value>::builder().store(store).build().unwrap();
    let id = node.begin(&json!(1), None).await;
    assert_eq!(sessions.get(&token(&id)).await.unwrap().unwrap().data, json!(1));
}

#[tokio::test]
async fn a_document_is_read_as_node_reads_it() {
    let place = InMongo::with("connect-mongo@6", false, json!({})).await;
    let date = DateTime::from_millis(-1);
    let bytes = Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 255] };
    let list = vec![Bson::from(date), ObjectId::from_bytes([1; 12]).into(), bytes.into()];
    let types = doc! { "list": list, "uuid": Uuid::from_bytes([7; 16]) };
    let session = doc! { "cookie": { "originalMaxAge": null, "expires": null }, "types": types };
    place
        .collection()
        .insert_one(doc! { "_id": "types-zcM2Gl1Bi74mNZtj", "session": session })
        .await
        .unwrap();
    let node = place.node().await.call_of("store", "get", json!(["types-zcM2Gl1Bi74mNZtj"])).await;
    let sessions = place.sessions::<Value>(Shape::express()).await;
    let loaded = sessions.get_untouched(&token("types-zcM2Gl1Bi74mNZtj")).await.unwrap().unwrap();
    assert_eq!(loaded.data["types"], node["types"]);
}

#[tokio::test]
async fn what_was_not_changed_in_a_document_keeps_its_type() {
    let place = InMongo::with("connect-mongo@6", false, json!({})).await;
    let sessions = place.sessions::<Value>(Shape::express()).await;
    let express = place.express(json!({"maxAge": 3_600_000})).await;
    let answer = express.request(None, json!([["set", {"n": 1, "big": 1e12, "half": 0.5}]])).await;
    let id = answer["id"].as_str().unwrap();
    let before = place.document(id).await.unwrap();
    sessions.update(&token(id), |data| data["n"] = json!("one")).await.unwrap();
    let after = place.document(id).await.unwrap();
    let session = |document: &Document| document.get_document("session").unwrap().clone();
    let cookie = |document: &Document| session(document).get_document("cookie").unwrap().clone();
    assert!(cookie(&after).get_datetime("expires").is_ok());
    assert_eq!(session(&after).get_str("n"), Ok("one"));
    for name in ["big", "half"] {
        assert_eq!(session(&after).get(name), session(&before).get(name));
    }
    for (name, value) in &cookie(&before) {
        assert!(name == "expires" || cookie(&after).get(name) == Some(value), "{name}");
    }
}

#[path = "node_mongodb/documents.rs"]
mod values;

#[tokio::test]
async fn the_other_fields_of_a_document_stay() {
    let options = json!({"touchAfter": 3600, "timestamps": true});
    let place = InMongo::with("connect-mongo@6", true, options).await;
    let (node, sessions) = (place.node().await, place.sessions(Shape::token_session()).await);
    let id = node.begin(&json!({"a": 1}), None).await;
    let before = place.document(&id).await.unwrap();
    assert!(before.contains_key("lastModified") && before.contains_key("createdAt"));
    sessions.set(&token(&id), &json!({"a": 2})).await.unwrap();
    let after = place.document(&id).await.unwrap();
    for name in ["lastModified", "createdAt", "updatedAt"] {
        assert_eq!(after.get(name), before.get(name), "{name}");
    }
}

#[tokio::test]
async fn all_of_a_document_stays_but_its_id_when_the_token_changes() {
    let place = InMongo::with("connect-mongo@6", false, json!({})).await;
    let (date, id) = (DateTime::from_millis(1_795_486_743_816), ObjectId::from_bytes([1; 12]));
    let data = doc! { "when": date, "id": id, "bytes": Bson::Int64(1 << 40), "a.b": "$c" };
    let old = doc! {
        "_id": "old-zcM2Gl1Bi74mNZtj",
        "session": { "cookie": { "maxAge": 0 }, "data": data },
        "expires": DateTime::from_millis(DateTime::now().timestamp_millis() + 3_600_000),
        "lastModified": date,
        "createdAt": date,
        // What a name or a value of somebody else's may look like.
        "now": { "$add": ["$$NOW", 1] },
    };
    let store = place.store(Shape::token_session()).await;
    for store in [store.clone(), store.stringify(true)] {
        place.collection().insert_one(old.clone()).await.unwrap();
        let sessions = TokenSession::<Value>::builder().store(store).build().unwrap();
        let issued = sessions.regenerate(&token("old-zcM2Gl1Bi74mNZtj")).await.unwrap();
        let new = place.document(issued.token.reveal()).await.unwrap();
        for (name, value) in old.iter().filter(|(name, _)| !["_id", "expires"].contains(&&***name))
        {
            assert_eq!(new.get(name), Some(value), "{name}");
        }
        assert_eq!((new.len(), place.document("old-zcM2Gl1Bi74mNZtj").await), (old.len(), None));
        assert!(new.get_datetime("expires").is_ok());
    }
}

#[tokio::test]
async fn a_document_without_an_end_is_alive_and_stays_so() {
    let place = InMongo::new("connect-mongo@6").await;
    let sessions = place.sessions::<Value>(Shape::token_session()).await;
    place.put("forever-zcM2Gl1Bi74mNZtj", r#"{"cookie":{"maxAge":0},"data":1}"#).await;
    let unset = doc! { "$unset": { "expires": 1 } };
    place.collection().update_one(doc! { "_id": "forever-zcM2Gl1Bi74mNZtj" }, unset).await.unwrap();
    sessions.touch(&token("forever-zcM2Gl1Bi74mNZtj")).await.unwrap();
    sessions.set(&token("forever-zcM2Gl1Bi74mNZtj"), &json!(2)).await.unwrap();
    let issued = sessions.regenerate(&token("forever-zcM2Gl1Bi74mNZtj")).await.unwrap();
    let document = place.document(issued.token.reveal()).await.unwrap();
    assert_eq!(document.get("expires"), None);
    assert_eq!(place.node().await.get(issued.token.reveal()).await["data"], 2);
    assert_eq!(sessions.count().await.unwrap(), 1);
}

#[tokio::test]
async fn an_expired_document_does_not_exist_is_no_hindrance_and_is_swept() {
    // Without the TTL index, which makes the server sweep by itself.
    let options = json!({"autoRemove": "disabled"});
    let place = InMongo::with("connect-mongo@6", true, options).await;
    let sessions = place.sessions::<Value>(Shape::token_session()).await;
    let past = DateTime::from_millis(DateTime::now().timestamp_millis() - 5_000);
    for id in ["old-zcM2Gl1Bi74mNZtj", "older-zcM2Gl1Bi74mNZtj", "live-zcM2Gl1Bi74mNZtj"] {
        place.put(id, r#"{"cookie":{"maxAge":0},"data":1}"#).await;
    }
    let dead = doc! { "_id": { "$ne": "live-zcM2Gl1Bi74mNZtj" } };
    let set = doc! { "$set": { "expires": past } };
    place.collection().update_many(dead, set).await.unwrap();
    assert!(sessions.get(&token("old-zcM2Gl1Bi74mNZtj")).await.unwrap().is_none());
    assert_eq!(place.node().await.get("old-zcM2Gl1Bi74mNZtj").await, Value::Null);
    assert_eq!(sessions.count().await.unwrap(), 1);

    // An id that is free again may begin anew.
    let again = TokenSession::<Value>::builder()
        .store(place.store(Shape::token_session()).await)
        .generator(|_: token_session::Origin<'_>| {
            token_session::Token::parse("old-zcM2Gl1Bi74mNZtj")
        })
        .codec(Json)
        .lifetime(Lifetime::idle_secs(60).unwrap())
        .build()
        .unwrap();
    again.create(&json!(2)).await.unwrap();
    assert!(matches!(again.create(&json!(3)).await, Err(Error::NotRandom { .. })));
    assert_eq!(sessions.get(&token("old-zcM2Gl1Bi74mNZtj")).await.unwrap().unwrap().data, json!(2));

    assert_eq!(sessions.store().listing().unwrap().sweep(10).await.unwrap(), 1);
    assert_eq!(sessions.store().listing().unwrap().sweep(10).await.unwrap(), 0);
    assert_eq!(sessions.count().await.unwrap(), 2);
}

#[tokio::test]
async fn a_sweep_judges_by_the_servers_clock() {
    let (told, asked) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
    let mut options = ClientOptions::parse(test_servers::mongodb_url()).await.unwrap();
    let (telling, asking) = (told.clone(), asked.clone());
    let handler = EventHandler::callback(move |event| match event {
        CommandEvent::Succeeded(event) if event.command_name == "hello" => {
            *telling.lock().unwrap() = event.reply.get_datetime("localTime").ok().copied();
        }
        CommandEvent::Started(event) if event.command_name == "aggregate" => {
            *asking.lock().unwrap() = event.command.get_array("pipeline").ok().cloned();
        }
        _ => {}
    });
    options.command_event_handler = Some(handler);
    let database = Client::with_options(options).unwrap().database(DATABASE);
    let store = ConnectMongo::new(&database, Shape::express()).collection(&fresh_name());
    assert_eq!(store.sweep(10).await.unwrap(), 0);
    let now = told.lock().unwrap().expect("the server was asked");
    let is_dead = doc! { "$match": { "expires": { "$lte": now } } };
    assert_eq!(asked.lock().unwrap().as_ref().unwrap()[0], Bson::Document(is_dead));
}

#[tokio::test]
async fn four_rights_on_the_collection_are_enough() {
    let mut server = test_servers::MongoDb::durable().unwrap();
    let client = Client::with_uri_str(server.url()).await.unwrap();
    let database = client.database("shop");
    let resource = doc! { "db": "shop", "collection": "sessions" };
    let actions = vec!["find", "insert", "update", "remove"];
    let privileges = vec![doc! { "resource": resource, "actions": actions }];
    for command in [
        doc! { "createRole": "sessions", "privileges": privileges, "roles": [] },
        doc! { "createUser": "app", "pwd": "secret", "roles": ["sessions"] },
    ] {
        database.run_command(command).await.unwrap();
    }
    client.shutdown().await;
    server.require_login().unwrap();
    let url =
        format!("mongodb://app:secret@127.0.0.1:{}/shop?directConnection=true", server.port());
    let store = ConnectMongo::connect(&url, Shape::token_session()).await.unwrap();
    let sessions = TokenSession::<Value>::builder().store(store).build().unwrap();
    let new = NewSession::new().lifetime(Lifetime::idle_secs(60).unwrap());
    let issued = sessions.create_with(&json!(1), &new).await.unwrap();
    sessions.touch(&issued.token).await.unwrap();
    sessions.set(&issued.token, &json!(2)).await.unwrap();
    let issued = sessions.regenerate(&issued.token).await.unwrap();
    assert_eq!(sessions.count().await.unwrap(), 1);
    assert_eq!(sessions.all(None, 10).await.unwrap().sessions.len(), 1);
    assert!(sessions.take(&issued.token).await.unwrap().is_some());
    assert_eq!(sessions.store().listing().unwrap().sweep(10).await.unwrap(), 0);
    sessions.clear().await.unwrap();
}

#[tokio::test]
async fn what_node_has_encrypted_is_refused() {
    let options = json!({"crypto": {"secret": "a secret of at least thirty-two characters"}});
    let place = InMongo::with("connect-mongo@6", true, options).await;
    let node: Peer = place.node().await;
    let id = node.begin(&json!({"a": 1}), None).await;
    let sessions = place.sessions::<Value>(Shape::token_session()).await;
    let error = sessions.get(&token(&id)).await.unwrap_err();
    assert!(matches!(&error, Error::Store(error) if error.kind() == StoreErrorKind::Corrupt));
    assert!(error.to_string().contains("encrypted"), "{error}");
    assert!(!error.to_string().contains(&id));
}

#[tokio::test]
async fn an_id_of_null_is_left_out_of_a_listing() {
    let place = InMongo::new("connect-mongo@6").await;
    let session = r#"{"cookie":{"maxAge":0},"data":1}"#;
    place.collection().insert_one(doc! { "_id": null, "session": session }).await.unwrap();
    place.put("undefined", session).await;
    let sessions = place.sessions::<Value>(Shape::token_session()).await;
    let page = sessions.all(None, 10).await.unwrap();
    assert_eq!((page.sessions.len(), page.next), (1, None));
    assert_eq!(sessions.count().await.unwrap(), 1);
}
