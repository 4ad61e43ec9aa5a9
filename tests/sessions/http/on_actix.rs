//! The routes on actix-web.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, VARY};
use actix_web::middleware::{Condition, Next, from_fn};
use actix_web::web::{Path, get, post, resource};
use actix_web::{App, Error, FromRequest, HttpRequest, HttpResponse, HttpServer};
use token_session::http::{OptionalSession, Session, SessionLayer};
use token_session::{Token, TokenSession};

use super::{Data, Server, Setup, handlers, logs};

pub fn serve(setup: Setup) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let app = move || {
        let Setup { layer, layered, inner, sessions, both } = setup.clone();
        let inner = inner.unwrap_or_else(|| Arc::new(SessionLayer::new(TokenSession::in_memory())));
        let ending = sessions.clone();
        let logout_during_add =
            move |session| handlers::logout_during_add(sessions.clone(), session);
        App::new()
            .wrap((*inner).clone())
            .wrap(Condition::new(layered, layer))
            .route("/public", get().to(handlers::public))
            .route("/uri", get().to(uris))
            .route("/", get().to(uris))
            .route("/read", get().to(handlers::read))
            .route(
                "/maybe",
                get().to(|OptionalSession(session)| async { handlers::maybe(session) }),
            )
            .route("/add", post().to(handlers::add))
            .route(
                "/add-slowly",
                post().to(move |session| handlers::add_slowly(both.clone(), session)),
            )
            .route("/update", post().to(handlers::update))
            .route("/fail", post().to(handlers::fail))
            .route("/huge", post().to(handlers::huge))
            .route("/huge-update", post().to(handlers::huge_update))
            .route("/number", get().to(handlers::number))
            .service(resource("/cached").wrap(from_fn(cached)).route(get().to(handlers::read)))
            .route("/two-holders", post().to(handlers::two_holders))
            .route("/update-twice", post().to(handlers::update_twice))
            .route("/login", post().to(handlers::login))
            .route("/regenerate", post().to(handlers::regenerate))
            .route("/add-and-regenerate", post().to(handlers::add_and_regenerate))
            .route("/fresh", get().to(handlers::fresh))
            .route("/reauthenticate", post().to(handlers::reauthenticate))
            .route("/logout", post().to(handlers::logout))
            .route("/logout-during-add", post().to(logout_during_add.clone()))
            .service(resource("/guarded").wrap(from_fn(guard)).route(post().to(handlers::add)))
            .route("/option", get().to(|session: Option<_>| async { handlers::maybe(session) }))
            .route(
                "/end/{what}",
                post().to(move |what: Path<String>, of| {
                    handlers::end(what.into_inner(), ending.clone(), of)
                }),
            )
            .service(
                resource("/decorated")
                    .wrap(from_fn(decorate))
                    .route(post().to(logout_during_add.clone())),
            )
            .service(
                resource("/decorated-error")
                    .wrap(from_fn(refuse_decorated))
                    .route(post().to(logout_during_add.clone())),
            )
            .service(
                resource("/refused/{status}")
                    .wrap(from_fn(refuse))
                    .route(post().to(handlers::add_and_regenerate)),
            )
            .service(
                resource("/logout-and-refused/{status}")
                    .wrap(from_fn(refuse))
                    .route(post().to(logout_during_add)),
            )
    };
    let server = HttpServer::new(app)
        .workers(1)
        .client_request_timeout(std::time::Duration::ZERO)
        .disable_signals()
        .listen(listener)
        .unwrap();
    tokio::spawn(server.run());
    address
}

/// All URIs of the request that a handler can read, and whether there is a session.
async fn uris(request: HttpRequest, session: OptionalSession<Data>) -> String {
    assert_eq!(request.match_info().get_ref().uri(), request.uri(), "the router has what we have");
    let referer = request.headers().get("referer").map_or("", |uri| uri.to_str().unwrap());
    let session = if session.0.is_some() { "a session" } else { "none" };
    let (uri, full, query) = (request.uri(), request.full_url(), request.query_string());
    format!("{uri}\n{full}\n{query}\n{:?}\n{referer}\n{session}\n", request.head().uri)
}

fn append_decorations(headers: &mut HeaderMap) {
    for (name, value) in handlers::DECORATIONS {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

async fn decorate(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    append_decorations(response.headers_mut());
    Ok(response)
}

async fn cached(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    response.headers_mut().append(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
    response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// As [`decorate`], of an answer that actix-web makes of an error later on.
async fn refuse_decorated(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    next.call(request).await?;
    let mut response = HttpResponse::Forbidden().finish();
    append_decorations(response.headers_mut());
    Err::<ServiceResponse, _>(InternalError::from_response("refused", response).into())
}

/// A middleware that holds the session while the handler, further in, asks for it too.
async fn guard(
    session: Session<Data>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let response = next.call(request).await;
    assert!(!session.contains(&"added".to_owned()), "it has the data as it was read");
    response
}

/// A middleware that answers with an error whatever the handler did.
async fn refuse(
    status: Path<u16>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    next.call(request).await?;
    let status = StatusCode::from_u16(*status).unwrap();
    Err::<ServiceResponse, _>(InternalError::new("refused", status).into())
}

#[tokio::test]
async fn an_error_of_a_middleware_further_in_carries_the_new_token() {
    let service = Server::Actix.start().await;
    for (line, status, data) in
        [("POST /refused/403", 403, vec!["before", "after"]), ("POST /refused/500", 500, vec![])]
    {
        let issued = service.login().await;
        let answer = service.ask(line, issued.token.reveal()).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, "refused"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let token = Token::parse(answer.header("token-session").unwrap()).unwrap();
        assert_eq!(service.data(&token).await, data);
    }
}

#[tokio::test]
async fn a_commit_that_fails_takes_the_place_of_an_error_further_in() {
    let service = Server::Actix.start().await;
    let issued = service.login().await;
    let answer = service.ask("POST /logout-and-refused/403", issued.token.reveal()).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").unwrap().contains(r#"error="invalid_token""#));
}

#[tokio::test]
async fn a_commit_that_fails_keeps_the_headers_of_an_error_further_in() {
    let service = Server::Actix.start().await;
    let issued = service.login().await;
    let answer = service.ask("POST /decorated-error", issued.token.reveal()).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.headers("vary"), ["origin", "authorization, token-session"]);
    assert_eq!(answer.headers("etag").len() + answer.headers("location").len(), 0);
    assert_eq!(answer.headers("content-type"), ["application/problem+json"]);
}

/// Why there is [`OptionalSession`].
#[tokio::test]
async fn an_option_of_a_session_hides_that_the_store_is_down() {
    let service = Server::Actix.start().await;
    let issued = service.login().await;
    service.store.set_down(true);
    assert_eq!(service.ask("GET /option", issued.token.reveal()).await.body, "none");
    assert_eq!(service.ask("GET /maybe", issued.token.reveal()).await.status, 503);
}

struct DataOfNoLayer;

#[tokio::test]
async fn a_missing_layer_is_one_event_with_the_type_of_the_data() {
    logs::capture();
    let request = actix_web::test::TestRequest::get().to_http_request();
    assert!(Session::<DataOfNoLayer>::extract(&request).await.is_err());
    assert!(OptionalSession::<DataOfNoLayer>::extract(&request).await.is_err());
    let events = logs::lines_with("on_actix::DataOfNoLayer");
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[0].contains("lacks the SessionLayer"), "{events:?}");
}
