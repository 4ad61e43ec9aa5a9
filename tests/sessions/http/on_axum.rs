//! The routes on axum.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Path, Request};
use axum::http::HeaderValue;
use axum::middleware::{Next, from_fn, map_response};
use axum::response::Response;
use axum::routing::{get, post};
use token_session::TokenSession;
use token_session::http::{Session, SessionLayer, Sessions};
use tower::{Layer, ServiceExt};

use super::{Data, Setup, handlers, logs};
use crate::client;

pub async fn serve(setup: Setup) -> SocketAddr {
    let Setup { layer, layered, inner, sessions, both } = setup;
    let (late, ending) = (sessions.clone(), sessions.clone());
    let app = Router::new()
        .route("/public", get(handlers::public))
        .route("/uri", get(uris))
        .route("/", get(uris))
        .route("/read", get(handlers::read))
        .route("/maybe", get(|session: Option<_>| async { handlers::maybe(session) }))
        .route("/add", post(handlers::add))
        .route("/add-slowly", post(move |session| handlers::add_slowly(both, session)))
        .route("/update", post(handlers::update))
        .route("/fail", post(handlers::fail))
        .route("/huge", post(handlers::huge))
        .route("/huge-update", post(handlers::huge_update))
        .route("/number", get(handlers::number))
        .route(
            "/cached",
            get(async |session| {
                (
                    [("cache-control", "max-age=60"), ("vary", "accept")],
                    handlers::read(session).await,
                )
            }),
        )
        .route("/two-holders", post(handlers::two_holders))
        .route("/update-twice", post(handlers::update_twice))
        .route("/login", post(handlers::login))
        .route("/regenerate", post(handlers::regenerate))
        .route("/add-and-regenerate", post(handlers::add_and_regenerate))
        .route("/fresh", get(handlers::fresh))
        .route("/reauthenticate", post(handlers::reauthenticate))
        .route("/logout", post(handlers::logout))
        .route(
            "/logout-during-add",
            post(move |session| handlers::logout_during_add(sessions, session)),
        )
        .route("/guarded", post(handlers::add).layer(from_fn(guard)))
        .route(
            "/end/{what}",
            post(move |Path(what): Path<String>, of| handlers::end(what, ending, of)),
        )
        .route(
            "/decorated",
            post(move |session| handlers::logout_during_add(late, session))
                .layer(map_response(decorate)),
        );
    let app = match inner {
        Some(inner) => app.layer((*inner).clone()),
        None => app,
    };
    client::serve(if layered { app.layer(layer) } else { app }).await
}

/// All URIs of the request that a handler can read, and whether there is a session.
async fn uris(session: Option<Session<Data>>, request: Request) -> String {
    let original = request.extensions().get::<OriginalUri>().unwrap();
    let referer = request.headers().get("referer").map_or("", |uri| uri.to_str().unwrap());
    let session = if session.is_some() { "a session" } else { "none" };
    format!("{}\n{}\n{referer}\n{session}\n", request.uri(), original.0)
}

async fn decorate(mut response: Response) -> Response {
    for (name, value) in handlers::DECORATIONS {
        response.headers_mut().append(name, HeaderValue::from_static(value));
    }
    response
}

/// A middleware that holds the session while the handler, further in, asks for it too.
async fn guard(session: Session<Data>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    assert!(!session.contains(&"added".to_owned()), "it has the data as it was read");
    response
}

#[tokio::test]
async fn wherever_the_layer_is_no_uri_holds_the_token() {
    let sessions = TokenSession::<Data>::in_memory();
    let token = sessions.create(&vec![]).await.unwrap().token;
    let layer = SessionLayer::builder(sessions).query("token").build().unwrap();
    let routes = || Router::new().route("/uri", get(uris));
    let around = layer.layer(Router::new().nest("/nested", routes()));
    let apps = [
        Router::new().nest("/nested", routes()).layer(layer.clone()),
        Router::new().nest("/nested", routes()).route_layer(layer.clone()),
        Router::new().nest("/nested", routes().layer(layer.clone())),
        Router::new().nest("/nested", routes().route_layer(layer.clone())),
        Router::new().nest("/nested", Router::new().route("/uri", get(uris).layer(layer.clone()))),
        Router::new().fallback_service(around),
        Router::new().nest("/nested", routes().layer(layer.clone())).layer(layer),
    ];
    for (placed, app) in apps.into_iter().enumerate() {
        let uri = format!("/nested/uri?token={}&a", token.reveal());
        let answer = app.oneshot(Request::get(uri).body(Body::empty()).unwrap()).await.unwrap();
        let seen = axum::body::to_bytes(answer.into_body(), 1_000).await.unwrap();
        assert_eq!(seen, "/uri?a\n/nested/uri?a\n\na session\n", "app {placed}");
    }
}

struct DataOfNoLayer;

#[tokio::test]
async fn a_missing_layer_is_one_event_with_the_type_of_the_data() {
    logs::capture();
    let one = get(async |_: Session<DataOfNoLayer>| ());
    let all = get(async |_: Sessions<DataOfNoLayer>| ());
    let maybe = get(async |_: Option<Session<DataOfNoLayer>>| ());
    let app = Router::new().route("/one", one).route("/all", all).route("/maybe", maybe);
    for (asked, path) in ["/one", "/all", "/maybe"].into_iter().enumerate() {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(app.clone().oneshot(request).await.unwrap().status(), 500);
        let events = logs::lines_with("on_axum::DataOfNoLayer");
        assert_eq!(events.len(), asked + 1, "{events:?}");
        assert!(events[asked].contains("lacks the SessionLayer"), "{events:?}");
    }
}
