//! Values in documents, as Node keeps them with `stringify: false`.

use mongodb::bson::{Bson, Document, doc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use token_session::TokenSession;
use token_session::store::compat::{Lossless, Shape};

use crate::InMongo;
use crate::node::{Place, token};

const ID: &str = "a-session-of-node";

#[derive(Serialize, Deserialize)]
struct Visits {
    visits: u64,
}

/// A document that nobody here has written.
async fn with_data(data: Document) -> InMongo {
    let place = InMongo::with("connect-mongo@6", false, json!({})).await;
    let session = doc! { "cookie": { "maxAge": 0 }, "data": data };
    place.collection().insert_one(doc! { "_id": ID, "session": session }).await.unwrap();
    place
}

async fn data(place: &InMongo, id: &str) -> Document {
    let document = place.document(id).await.unwrap();
    document.get_document("session").unwrap().get_document("data").unwrap().clone()
}

fn nested(depth: usize) -> Bson {
    (0..depth).fold(Bson::Int64(1), |inner, _| Bson::Array(vec![inner]))
}

#[tokio::test]
async fn numbers_that_nobody_touched_stay_to_the_bit() {
    let numbers = vec![
        Bson::Double(9_007_199_254_740_991.0),
        Bson::Double(9_957.400_000_000_001),
        Bson::Double(1e20),
        Bson::Double(7.0),
        Bson::Int64(9_007_199_254_740_993),
        Bson::Int64(7),
    ];
    let old = doc! { "visits": 9_007_199_254_740_991.0, "numbers": numbers };
    let place = with_data(old.clone()).await;
    let store = place.store(Shape::token_session()).await;
    let sessions = TokenSession::<Lossless<Visits>>::builder().store(store).build().unwrap();
    let id = sessions.regenerate(&token(ID)).await.unwrap().token;
    assert_eq!(data(&place, id.reveal()).await, old);
    sessions.update(&id, |data| data.visits += 2).await.unwrap();
    assert_eq!(sessions.get(&id).await.unwrap().unwrap().visits, 9_007_199_254_740_993);
    let new = data(&place, id.reveal()).await;
    assert_eq!(new.get("numbers"), old.get("numbers"));
    assert_eq!(new.get("visits"), Some(&Bson::Int64(9_007_199_254_740_993)));
}

#[tokio::test]
async fn data_that_is_nested_deep_gets_a_new_token_and_is_changed() {
    let old = doc! { "visits": 1, "deep": nested(150) };
    let place = with_data(old.clone()).await;
    let store = place.store(Shape::token_session()).await;
    let sessions = TokenSession::<Lossless<Visits>>::builder().store(store).build().unwrap();
    let id = sessions.regenerate(&token(ID)).await.unwrap().token;
    assert_eq!(data(&place, id.reveal()).await, old);
    sessions.update(&id, |data| data.visits += 1).await.unwrap();
    let new = data(&place, id.reveal()).await;
    assert_eq!((new.get("visits"), new.get("deep")), (Some(&Bson::Int32(2)), old.get("deep")));
}

/// The server here takes it, and a MongoDB would not.
#[tokio::test]
async fn data_that_is_nested_too_deep_keeps_its_token() {
    let old = doc! { "visits": 1, "deep": nested(220) };
    let place = with_data(old.clone()).await;
    let store = place.store(Shape::token_session()).await;
    let sessions = TokenSession::<Lossless<Visits>>::builder().store(store).build().unwrap();
    let error = sessions.regenerate(&token(ID)).await.unwrap_err();
    assert!(error.to_string().contains("200 levels"), "{error}");
    assert_eq!(data(&place, ID).await, old);
}

#[tokio::test]
async fn an_end_that_is_no_date_is_past_as_it_is_for_node() {
    let place = with_data(doc! { "visits": 1 }).await;
    let (node, sessions) =
        (place.node().await, place.sessions::<Value>(Shape::token_session()).await);
    for end in [
        Bson::Int64(i64::MAX),
        Bson::Null,
        "2999-01-01T00:00:00.000Z".into(),
        Bson::Timestamp(mongodb::bson::Timestamp { time: u32::MAX, increment: 1 }),
    ] {
        let set = doc! { "$set": { "expires": end.clone() } };
        place.collection().update_one(doc! { "_id": ID }, set).await.unwrap();
        assert!(sessions.get_untouched(&token(ID)).await.unwrap().is_none(), "{end}");
        assert_eq!(node.get(ID).await, Value::Null, "{end}");
    }
}
