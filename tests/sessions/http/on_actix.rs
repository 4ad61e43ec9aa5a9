//! The routes on actix-web.

use std::net::{SocketAddr, TcpListener};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::middleware::{Condition, Next, from_fn};
use actix_web::web::{Path, get, post, resource};
use actix_web::{App, Error, HttpRequest, HttpServer};
use token_session::Token;
use token_session::http::{OptionalSession, Session};

use super::{Data, Server, Setup, handlers};

pub fn serve(setup: Setup) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let app = move || {
        let Setup { layer, layered, sessions, both } = setup.clone();
        let logout_during_add =
            move |session| handlers::logout_during_add(sessions.clone(), session);
        App::new()
            .wrap(Condition::new(layered, layer))
            .route("/public", get().to(handlers::public))
            .route("/uri", get().to(uri))
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
            .route("/login", post().to(handlers::login))
            .route("/regenerate", post().to(handlers::regenerate))
            .route("/add-and-regenerate", post().to(handlers::add_and_regenerate))
            .route("/fresh", get().to(handlers::fresh))
            .route("/reauthenticate", post().to(handlers::reauthenticate))
            .route("/logout", post().to(handlers::logout))
            .route("/logout-during-add", post().to(logout_during_add.clone()))
            .service(resource("/guarded").wrap(from_fn(guard)).route(post().to(handlers::add)))
            .route("/option", get().to(|session: Option<_>| async { handlers::maybe(session) }))
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

async fn uri(request: HttpRequest) -> String {
    assert_eq!(request.match_info().get_ref().uri(), request.uri(), "the router has what we have");
    request.uri().to_string()
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

/// Why there is [`OptionalSession`].
#[tokio::test]
async fn an_option_of_a_session_hides_that_the_store_is_down() {
    let service = Server::Actix.start().await;
    let issued = service.login().await;
    service.store.set_down(true);
    assert_eq!(service.ask("GET /option", issued.token.reveal()).await.body, "none");
    assert_eq!(service.ask("GET /maybe", issued.token.reveal()).await.status, 503);
}
