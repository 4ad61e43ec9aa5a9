//! What only a plain tower service shows.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::{Request, Response};
use token_session::TokenSession;
use token_session::http::{SessionLayer, Sessions};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use super::logs;

/// Logs the request's session out elsewhere, then has the layer write it, in vain.
async fn write_too_late(request: Request<TokenSession<u32>>) -> Response<String> {
    let mut session = request.extensions().get::<Sessions<u32>>().unwrap().session().await.unwrap();
    *session += 1;
    request.body().destroy_key(session.key()).await.unwrap();
    let response = Response::builder().header("content-type", "application/grpc");
    let response = response.header("grpc-status", "0").header("grpc-encoding", "gzip");
    let response = response.header("vary", "origin").header("x-trace", "17");
    response.body("a message".to_owned()).unwrap()
}

#[tokio::test]
async fn a_grpc_answer_that_replaces_another_keeps_its_metadata() {
    let sessions = TokenSession::<u32>::in_memory();
    let issued = sessions.create(&1).await.unwrap();
    let service = ServiceBuilder::new()
        .layer(SessionLayer::new(sessions.clone()))
        .service(service_fn(async |request| Ok::<_, Infallible>(write_too_late(request).await)));
    let request = Request::builder().header("token-session", issued.token.reveal());
    let response = service.oneshot(request.body(sessions).unwrap()).await.unwrap();
    let headers = response.headers();
    assert_eq!((response.status().as_u16(), response.body().as_str()), (200, ""));
    assert_eq!(
        (&headers["grpc-status"], headers.get_all("grpc-status").iter().count()),
        (&"16".parse().unwrap(), 1)
    );
    assert_eq!(
        (&headers["vary"], &headers["x-trace"]),
        (&"origin".parse().unwrap(), &"17".parse().unwrap())
    );
    assert!(!headers.contains_key("grpc-encoding"));
}

#[tokio::test]
async fn a_grpc_answer_of_internal_has_one_event_with_the_reason_and_the_key() {
    logs::capture();
    let sessions = TokenSession::<String>::builder().max_size(10).build().unwrap();
    let issued = sessions.create(&String::new()).await.unwrap();
    let handler = async |request: Request<()>| {
        let sessions = request.extensions().get::<Sessions<String>>().unwrap();
        sessions.session().await.unwrap().push_str("longer than that");
        let response = Response::builder().header("content-type", "application/grpc");
        Ok::<_, Infallible>(response.body(String::new()).unwrap())
    };
    let layer = SessionLayer::new(sessions);
    let service = ServiceBuilder::new().layer(layer).service(service_fn(handler));
    let request = Request::builder().header("token-session", issued.token.reveal());
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "13");
    let event = logs::one_event(&issued.key, &issued.token);
    assert!(event.contains("ERROR") && event.contains("more than the maximum of 10"), "{event}");
}

/// As tower's `Retry`: what is answered 5xx is tried again, with a copy of the request.
fn tried_thrice<S>(
    service: S,
) -> impl Service<Request<()>, Response = Response<String>, Error = Infallible> + Clone
where
    S: Service<Request<()>, Response = Response<String>, Error = Infallible> + Clone,
{
    service_fn(move |mut request: Request<()>| {
        let service = service.clone();
        async move {
            for _ in 0..2 {
                let copy = request.clone();
                let response = service.clone().oneshot(request).await?;
                if !response.status().is_server_error() {
                    return Ok(response);
                }
                request = copy;
            }
            service.oneshot(request).await
        }
    })
}

/// Adds one, and fails until the number of calls is a multiple of 3.
async fn add_one(sessions: &Sessions<u32>, calls: &AtomicU32) -> Response<String> {
    let call = 1 + calls.fetch_add(1, Ordering::SeqCst);
    match sessions.session().await {
        Ok(mut session) => *session += 1,
        Err(rejection) => return rejection.to_response(),
    }
    let status = if call.is_multiple_of(3) { 200 } else { 500 };
    Response::builder().status(status).body(String::new()).unwrap()
}

fn adding(
    calls: u32,
) -> impl Service<Request<()>, Response = Response<String>, Error = Infallible> + Clone {
    let calls = Arc::new(AtomicU32::new(calls));
    tried_thrice(service_fn(move |request: Request<()>| {
        let calls = calls.clone();
        async move { Ok(add_one(request.extensions().get().unwrap(), &calls).await) }
    }))
}

/// What a request is answered by a service behind the layer, and what the session holds then.
async fn ask<S>(service: S) -> (u16, u32)
where
    S: Service<Request<()>, Response = Response<String>, Error = Infallible>,
{
    let sessions = TokenSession::<u32>::in_memory();
    let token = sessions.create(&0).await.unwrap().token;
    let service = SessionLayer::new(sessions.clone()).layer(service);
    let request = Request::builder().header("token-session", token.reveal());
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
    (response.status().as_u16(), sessions.get(&token).await.unwrap().unwrap().data)
}

#[tokio::test]
async fn an_attempt_that_failed_and_was_repeated_changes_nothing() {
    assert_eq!(ask(adding(0)).await, (200, 1));
}

#[tokio::test]
async fn on_axum_too_an_attempt_that_failed_changes_nothing() {
    let calls = Arc::new(AtomicU32::new(0));
    let handler = async move |sessions: Sessions<u32>| {
        let response = add_one(&sessions, &calls).await;
        // In one attempt, a clone is the same handle.
        *sessions.clone().session().await.unwrap() += 10;
        response
    };
    let routes = axum::Router::<()>::new().route("/", axum::routing::get(handler));
    let service = service_fn(move |request: Request<()>| {
        let routes = routes.clone();
        async move {
            let request = request.map(|()| axum::body::Body::empty());
            Ok(routes.oneshot(request).await?.map(|_| String::new()))
        }
    });
    assert_eq!(ask(tried_thrice(service)).await, (200, 11));
}

#[tokio::test]
async fn what_a_layer_further_out_changed_is_written_or_refused_and_never_lost() {
    for (calls, answer) in [(2, (200, 11)), (1, (409, 0))] {
        let further_in = adding(calls);
        let service = service_fn(move |request: Request<()>| {
            let further_in = further_in.clone();
            async move {
                let sessions = request.extensions().get::<Sessions<u32>>().unwrap();
                *sessions.session().await.unwrap() += 10;
                further_in.oneshot(request).await
            }
        });
        assert_eq!(ask(service).await, answer);
    }
}

#[tokio::test]
async fn a_handle_from_before_a_copy_that_was_not_used_sees_the_change() {
    let service = service_fn(async |request: Request<()>| {
        let sessions = request.extensions().get::<Sessions<u32>>().unwrap();
        let cloned = sessions.clone();
        let copy = request.clone();
        *sessions.session().await.unwrap() += 1;
        drop(copy);
        *cloned.session().await.unwrap() += 10;
        Ok(Response::new(String::new()))
    });
    assert_eq!(ask(service).await, (200, 11));
}
