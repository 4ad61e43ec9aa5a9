//! Data that nobody changed is not written, however the store or the codec puts it.

use std::collections::HashMap;

use http::{Request, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use token_session::http::{SessionLayer, Sessions};
use token_session::store::{Load, Memory, Store, Write};
use token_session::{Issued, Key, Lifetime, NewSession, Token, TokenSession, Version};
use tower::ServiceExt;

/// A store that holds this text under the key of a token.
async fn holding(text: &str) -> (Memory, Token, Key) {
    let store = Memory::new();
    let sessions = TokenSession::<()>::builder().store(store.clone()).build().unwrap();
    let lifetime = Lifetime::idle_secs(3_600).unwrap();
    let new = NewSession::new().lifetime(lifetime);
    let Issued { token, key, .. } = sessions.create_with(&(), &new).await.unwrap();
    store.replace(&key, &Write::data(text.to_owned())).await.unwrap();
    (store, token, key)
}

async fn version(store: &Memory, key: &Key) -> Version {
    store.load(key, &Load::new()).await.unwrap().live().unwrap().meta.version
}

/// An update and a request that take the data by `&mut`, and leave it as it is.
async fn is_not_written<T>(text: &str)
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let (store, token, key) = holding(text).await;
    let before = version(&store, &key).await;
    let sessions = TokenSession::<T>::builder().store(store.clone()).build().unwrap();
    sessions.update(&token, |_| ()).await.unwrap();
    assert_eq!(version(&store, &key).await, before, "{text} by an update");

    let request = Request::builder().header("token-session", token.reveal());
    let service = tower::ServiceBuilder::new().layer(SessionLayer::new(sessions)).service_fn(
        async |request: Request<String>| {
            let sessions = request.extensions().get::<Sessions<T>>().unwrap();
            let mut session = sessions.session().await.unwrap();
            let _ = std::ops::DerefMut::deref_mut(&mut session);
            Ok::<_, std::convert::Infallible>(Response::new(String::new()))
        },
    );
    let response = service.oneshot(request.body(String::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(version(&store, &key).await, before, "{text} by a request");
}

#[tokio::test]
async fn a_map_without_an_order_is_not_written_again() {
    let map: HashMap<String, u32> =
        (0..50).map(|number| (format!("key {number}"), number)).collect();
    is_not_written::<HashMap<String, u32>>(&serde_json::to_string(&map).unwrap()).await;
}

#[tokio::test]
async fn what_another_program_or_a_database_has_formatted_is_not_written_again() {
    is_not_written::<HashMap<String, u32>>(r#"{"b": 2, "a": 1}"#).await;
    is_not_written::<f64>("1").await;
    is_not_written::<Vec<f64>>("[1.50, 2e3]").await;
    is_not_written::<String>(r#""caf\u00e9""#).await;
}

#[tokio::test]
async fn a_change_of_a_map_without_an_order_is_written() {
    let (store, token, key) = holding(r#"{"b": 2, "a": 1}"#).await;
    let before = version(&store, &key).await;
    let sessions = TokenSession::<HashMap<String, u32>>::builder().store(store.clone());
    let sessions = sessions.build().unwrap();
    sessions.update(&token, |map| map.insert("a".to_owned(), 3)).await.unwrap();
    assert_eq!(version(&store, &key).await, before.next());
    assert_eq!(sessions.get(&token).await.unwrap().unwrap().data["a"], 3);
}

/// The second attempt begins with what the other writer has left.
#[tokio::test]
async fn a_change_that_another_writer_has_made_already_is_not_written_again() {
    let (store, token, key) = holding("1").await;
    let sessions = TokenSession::<u32>::builder().store(store.clone()).build().unwrap();
    let before = version(&store, &key).await;
    let mut first = true;
    let others = store.clone();
    sessions
        .update(&token, |number| {
            if std::mem::take(&mut first) {
                let write = Write::data("7");
                futures_util::FutureExt::now_or_never(others.replace(&key, &write))
                    .unwrap()
                    .unwrap();
            }
            *number = 7;
        })
        .await
        .unwrap();
    assert_eq!(version(&store, &key).await, before.next());
}
