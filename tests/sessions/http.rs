//! What clients get from the HTTP layer and the extractors of axum, over real connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::client::{Answer, send, send_bytes, serve};
use crate::spy::Spy;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use token_session::http::{Rejection, Session, SessionLayer, Sessions};
use token_session::store::{ManualClock, Memory, Store, Write};
use token_session::{Issued, KeyScheme, NewSession, Owner, Token, TokenSession};
use tokio::sync::Barrier;

type Data = Vec<String>;
type Spied = Arc<Spy<Memory>>;
type Manager = TokenSession<Data, Spied>;

struct Service {
    address: SocketAddr,
    store: Spied,
    clock: ManualClock,
    sessions: Manager,
    /// Opens when two wait at it.
    both: Arc<Barrier>,
}

async fn service() -> Service {
    service_with(|layer| layer).await
}

async fn service_with(options: fn(SessionLayer<Data>) -> SessionLayer<Data>) -> Service {
    let clock = ManualClock::default();
    let store = Arc::new(Spy::new(Memory::builder().clock(clock.clone()).build()));
    let sessions = TokenSession::builder().store(store.clone()).max_size(1_000).build().unwrap();
    let both = Arc::new(Barrier::new(2));
    let app = Router::new()
        .route("/public", get(|| async { "public" }))
        .route("/uri", get(|uri: Uri| async move { uri.to_string() }))
        .route("/read", get(read))
        .route("/maybe", get(maybe))
        .route("/add", post(add))
        .route("/add-slowly", post(add_slowly))
        .route("/update", post(update))
        .route("/fail", post(fail))
        .route("/huge", post(huge))
        .route("/login", post(login))
        .route("/regenerate", post(regenerate))
        .route("/add-and-regenerate", post(add_and_regenerate))
        .route("/fresh", get(fresh))
        .route("/reauthenticate", post(reauthenticate))
        .route("/logout", post(logout))
        .route("/logout-during-add", post(logout_during_add))
        .route("/guarded", post(add).layer(from_fn(guard)))
        .with_state((sessions.clone(), both.clone()))
        .layer(options(SessionLayer::new(sessions.clone())));
    Service { address: serve(app).await, store, clock, sessions, both }
}

impl Service {
    async fn login(&self) -> Issued {
        let issued = self.sessions.create(&vec![]).await.unwrap();
        self.store.calls();
        issued
    }

    async fn ask(&self, line: &str, token: &str) -> Answer {
        send(self.address, line, token, "").await
    }

    async fn data(&self, token: &Token) -> Data {
        self.sessions.get_untouched(token).await.unwrap().unwrap().data
    }
}

async fn read(session: Session<Data>) -> String {
    session.join(",")
}

async fn maybe(session: Option<Session<Data>>) -> String {
    session.map_or("none".to_owned(), |session| format!("some {}", session.len()))
}

async fn add(mut session: Session<Data>) {
    session.push("added".to_owned());
}

async fn add_slowly(State((_, both)): State<(Manager, Arc<Barrier>)>, mut session: Session<Data>) {
    both.wait().await;
    session.push("slow".to_owned());
}

async fn update(mut session: Session<Data>) -> Result<String, Rejection> {
    session
        .update(|data| {
            data.push("x".to_owned());
            data.len().to_string()
        })
        .await
}

async fn fail(mut session: Session<Data>) -> StatusCode {
    session.push("from a handler that failed".to_owned());
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn huge(mut session: Session<Data>) {
    session.push("x".repeat(1_000));
}

async fn login(sessions: Sessions<Data>) -> Result<String, Rejection> {
    let new = NewSession::new().owner(Owner::new("anna").unwrap());
    Ok(sessions.create_with(&vec![], new).await?.token.reveal().to_owned())
}

async fn regenerate(mut session: Session<Data>) -> Result<String, Rejection> {
    session.regenerate().await.map(|issued| issued.token.reveal().to_owned())
}

async fn add_and_regenerate(mut session: Session<Data>) -> Result<(), Rejection> {
    session.push("before".to_owned());
    session.regenerate().await?;
    session.push("after".to_owned());
    Ok(())
}

async fn fresh(session: Session<Data>) -> Result<&'static str, Rejection> {
    session.require_fresh(Duration::from_secs(300))?;
    Ok("fresh")
}

async fn reauthenticate(mut session: Session<Data>) -> Result<String, Rejection> {
    session.reauthenticate().await.map(|issued| issued.token.reveal().to_owned())
}

async fn logout(session: Session<Data>) -> Result<(), Rejection> {
    session.destroy().await.map(drop)
}

async fn logout_during_add(
    State((sessions, _)): State<(Manager, Arc<Barrier>)>,
    mut session: Session<Data>,
) {
    session.push("too late".to_owned());
    sessions.destroy_key(session.key()).await.unwrap();
}

/// A middleware that holds the session while the handler, further in, asks for it too.
async fn guard(session: Session<Data>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    assert!(session.is_empty(), "it has the data as it was read");
    response
}

#[tokio::test]
async fn no_token_is_401_with_a_bare_challenge() {
    let service = service().await;
    let answer = service.ask("GET /read", "").await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer realm="session""#));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("log in"));
    assert_eq!(service.ask("GET /maybe", "").await.body, "none");
    assert_eq!(service.store.calls(), 0);
}

#[tokio::test]
async fn an_unknown_expired_or_destroyed_token_is_401_invalid_token() {
    let service = service().await;
    let (destroyed, expired) = (service.login().await, service.login().await);
    service.sessions.destroy(&destroyed.token).await.unwrap();
    service.clock.advance(Duration::from_secs(30 * 60));
    for token in ["unknown", destroyed.token.reveal(), expired.token.reveal()] {
        let answer = service.ask("GET /read", token).await;
        assert_eq!(answer.status, 401);
        assert!(answer.header("www-authenticate").unwrap().contains(r#"error="invalid_token""#));
        assert_eq!(service.ask("GET /maybe", token).await.body, "none");
    }
}

#[tokio::test]
async fn a_malformed_token_is_401_and_costs_the_store_nothing() {
    let service = service().await;
    let long = vec![b'a'; 10_000];
    for bad in [&b"with space"[..], b"\xc3\xa9", b"\xff", b"tab\tinside", b"a=b", &long] {
        let answer = send_bytes(service.address, "GET /read", &[("token-session", bad)], "").await;
        assert_eq!(answer.status, 401, "{bad:?}");
        assert!(answer.header("www-authenticate").unwrap().contains(r#"error="invalid_token""#));
        let answer = send_bytes(service.address, "GET /maybe", &[("token-session", bad)], "").await;
        assert_eq!(answer.body, "none");
    }
    let empty = send_bytes(service.address, "GET /read", &[("token-session", b"")], "").await;
    assert!(empty.body.contains("the token is empty"), "{}", empty.body);
    assert_eq!(service.store.calls(), 0);
}

#[tokio::test]
async fn a_token_of_a_megabyte_or_with_control_characters_does_no_harm() {
    let service = service().await;
    let issued = service.login().await;
    // The server itself refuses what is no HTTP, before any service sees it.
    for bad in [vec![b'a'; 1 << 20], b"nul\0".to_vec()] {
        let answer = send_bytes(service.address, "GET /read", &[("token-session", &bad)], "").await;
        assert!(matches!(answer.status, 400 | 431), "{}", answer.status);
    }
    assert_eq!(service.ask("GET /read", issued.token.reveal()).await.status, 200);
}

#[tokio::test]
async fn two_different_tokens_are_400_and_one_twice_is_one() {
    let service = service().await;
    let issued = service.login().await;
    let bearer = format!("Bearer {}", issued.token.reveal());
    for path in ["GET /read", "GET /maybe"] {
        let headers: [(&str, &[u8]); 2] =
            [("authorization", bearer.as_bytes()), ("token-session", b"other")];
        let answer = send_bytes(service.address, path, &headers, "").await;
        assert_eq!(answer.status, 400);
        assert!(answer.header("www-authenticate").unwrap().contains(r#"error="invalid_request""#));
    }
    let token = issued.token.reveal().as_bytes();
    let twice: [(&str, &[u8]); 2] =
        [("authorization", bearer.as_bytes()), ("token-session", token)];
    assert_eq!(send_bytes(service.address, "GET /read", &twice, "").await.status, 200);
}

#[tokio::test]
async fn a_store_that_is_down_is_503_with_retry_after_and_never_401() {
    let service = service().await;
    let issued = service.login().await;
    service.store.set_down(true);
    for line in ["GET /read", "GET /maybe", "POST /add", "POST /login", "POST /logout"] {
        let answer = service.ask(line, issued.token.reveal()).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{line}");
        assert_eq!(answer.header("www-authenticate"), None);
    }
    service.store.set_down(false);
    assert_eq!(service.ask("GET /read", issued.token.reveal()).await.status, 200);
}

#[tokio::test]
async fn a_store_that_fails_at_the_commit_is_503_instead_of_the_answer() {
    let service = service().await;
    let issued = service.login().await;
    let (address, token) = (service.address, issued.token.reveal().to_owned());
    let slow = tokio::spawn(async move { send(address, "POST /add-slowly", &token, "").await });
    while service.store.calls() == 0 {
        tokio::task::yield_now().await;
    }
    service.store.set_down(true);
    service.both.wait().await;
    let answer = slow.await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    service.store.set_down(false);
    assert!(service.data(&issued.token).await.is_empty());
}

#[tokio::test]
async fn a_damaged_record_is_500_and_stays() {
    let service = service().await;
    let issued = service.login().await;
    let garbage = Write::new(Bytes::from_static(b"\xff no JSON"));
    service.store.replace(&issued.key, &garbage).await.unwrap();
    for line in ["GET /read", "GET /maybe"] {
        assert_eq!(service.ask(line, issued.token.reveal()).await.status, 500);
    }
    assert_eq!(service.sessions.count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_route_without_a_session_costs_the_store_nothing() {
    let service = service().await;
    let issued = service.login().await;
    assert_eq!(service.ask("GET /public", issued.token.reveal()).await.body, "public");
    assert_eq!(service.store.calls(), 0);
}

#[tokio::test]
async fn reading_is_one_call_and_writing_is_two() {
    let service = service().await;
    let issued = service.login().await;
    for (line, calls) in [
        ("GET /read", 1),
        ("GET /maybe", 1),
        ("POST /add", 2),
        ("POST /update", 2),
        ("POST /guarded", 2),
        ("POST /login", 1),
        ("POST /logout", 2),
    ] {
        if line == "POST /guarded" {
            service.sessions.set(&issued.token, &vec![]).await.unwrap();
            service.store.calls();
        }
        assert_eq!(service.ask(line, issued.token.reveal()).await.status, 200, "{line}");
        assert_eq!(service.store.calls(), calls, "{line}");
    }
}

#[tokio::test]
async fn what_a_handler_changed_is_there_once_the_response_is() {
    let service = service().await;
    let issued = service.login().await;
    let answer = service.ask("POST /add", issued.token.reveal()).await;
    assert_eq!((answer.status, answer.header("token-session")), (200, None));
    assert_eq!(service.data(&issued.token).await, ["added"]);
}

#[tokio::test]
async fn a_handler_that_fails_changes_nothing() {
    let service = service().await;
    let issued = service.login().await;
    assert_eq!(service.ask("POST /fail", issued.token.reveal()).await.status, 500);
    assert_eq!(service.store.calls(), 1);
    assert!(service.data(&issued.token).await.is_empty());
}

#[tokio::test]
async fn data_over_the_limit_is_500_and_the_old_data_stays() {
    let service = service().await;
    let issued = service.login().await;
    service.ask("POST /add", issued.token.reveal()).await;
    assert_eq!(service.ask("POST /huge", issued.token.reveal()).await.status, 500);
    assert_eq!(service.data(&issued.token).await, ["added"]);
}

#[tokio::test]
async fn of_two_requests_that_change_one_session_at_once_one_gets_409() {
    let service = service().await;
    let issued = service.login().await;
    let ask = || service.ask("POST /add-slowly", issued.token.reveal());
    let (one, other) = tokio::join!(ask(), ask());
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    assert_eq!(service.data(&issued.token).await, ["slow"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_that_update_one_session_at_once_all_count() {
    let service = service().await;
    let issued = service.login().await;
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (address, token) = (service.address, issued.token.reveal().to_owned());
        requests.spawn(async move { send(address, "POST /update", &token, "").await });
    }
    let answers = requests.join_all().await;
    let mut counts: Vec<usize> =
        answers.iter().map(|answer| answer.body.parse().unwrap()).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_request_that_ends_after_the_logout_is_401_and_revives_nothing() {
    let service = service().await;
    let issued = service.login().await;
    let answer = service.ask("POST /logout-during-add", issued.token.reveal()).await;
    assert_eq!(answer.status, 401);
    assert!(service.sessions.get(&issued.token).await.unwrap().is_none());
}

#[tokio::test]
async fn a_session_can_be_held_by_a_middleware_and_changed_by_the_handler() {
    let service = service().await;
    let issued = service.login().await;
    assert_eq!(service.ask("POST /guarded", issued.token.reveal()).await.status, 200);
    assert_eq!(service.data(&issued.token).await, ["added"]);
}

#[tokio::test]
async fn a_new_token_goes_out_in_the_header_and_is_not_to_be_stored() {
    let service = service().await;
    let answer = service.ask("POST /login", "").await;
    assert_eq!(answer.header("token-session"), Some(answer.body.as_str()));
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let again = service.ask("POST /regenerate", &answer.body).await;
    assert_eq!(again.header("token-session"), Some(again.body.as_str()));
    assert_eq!(again.header("cache-control"), Some("no-store"));
    assert_eq!(again.header("set-cookie"), None);
    assert_eq!(service.ask("GET /read", &answer.body).await.status, 401);
    assert_eq!(service.ask("GET /read", &again.body).await.status, 200);
}

#[tokio::test]
async fn changes_around_a_regeneration_are_kept_under_the_new_token() {
    let service = service().await;
    let issued = service.login().await;
    let answer = service.ask("POST /add-and-regenerate", issued.token.reveal()).await;
    let token = Token::parse(answer.header("token-session").unwrap()).unwrap();
    assert_eq!(service.data(&token).await, ["before", "after"]);
}

#[tokio::test]
async fn a_token_that_was_not_made_here_is_never_adopted() {
    let service = service().await;
    let chosen = "a-token-that-the-client-chose";
    for line in ["POST /add", "POST /update", "POST /regenerate", "POST /login"] {
        let answer = service.ask(line, chosen).await;
        assert_ne!(answer.header("token-session"), Some(chosen));
        assert_eq!(service.ask("GET /read", chosen).await.status, 401);
    }
}

#[tokio::test]
async fn what_needs_fresh_proof_answers_with_a_step_up_challenge() {
    let service = service().await;
    let token = service.ask("POST /login", "").await.body;
    assert_eq!(service.ask("GET /fresh", &token).await.body, "fresh");
    service.clock.advance(Duration::from_secs(301));
    let answer = service.ask("GET /fresh", &token).await;
    assert_eq!(answer.status, 401);
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.contains(r#"error="insufficient_user_authentication", max_age="300""#));

    let renewed = service.ask("POST /reauthenticate", &token).await.body;
    assert_eq!(service.ask("GET /fresh", &renewed).await.body, "fresh");
    assert_eq!(service.ask("GET /fresh", &token).await.status, 401);
}

#[tokio::test]
async fn every_carrier_that_is_on_is_read() {
    let service = service_with(|layer| layer.cookie("tks").query("token")).await;
    let issued = service.login().await;
    let token = issued.token.reveal();
    let cookie = format!("a=b; tks={token}");
    for headers in [("token-session", token), ("cookie", &cookie)] {
        let headers: [(&str, &[u8]); 1] = [(headers.0, headers.1.as_bytes())];
        assert_eq!(send_bytes(service.address, "GET /read", &headers, "").await.status, 200);
    }
    assert_eq!(service.ask(&format!("GET /read?token={token}"), "").await.status, 200);
    assert_eq!(service.ask(&format!("GET /uri?a=1&token={token}&b"), "").await.body, "/uri?a=1&b");
}

#[tokio::test]
async fn a_cookie_and_a_query_parameter_are_not_read_by_default() {
    let service = service().await;
    let issued = service.login().await;
    let token = issued.token.reveal();
    let cookie = format!("tks={token}; token-session={token}");
    let headers: [(&str, &[u8]); 1] = [("cookie", cookie.as_bytes())];
    assert_eq!(send_bytes(service.address, "GET /read", &headers, "").await.status, 401);
    assert_eq!(service.ask(&format!("GET /read?token-session={token}"), "").await.status, 401);
}

#[tokio::test]
async fn a_handler_without_the_layer_says_what_is_missing() {
    let address = serve(Router::new().route("/read", get(read))).await;
    let answer = send(address, "GET /read", "token", "").await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("SessionLayer"));
}

#[tokio::test]
async fn the_generator_sees_the_request() {
    let sessions = TokenSession::<Data>::builder()
        .generator(|origin: token_session::Origin<'_>| {
            let parts = origin.get::<axum::http::request::Parts>();
            let tenant = parts.and_then(|parts| parts.headers.get("tenant"));
            Token::random(tenant.and_then(|tenant| tenant.to_str().ok()).unwrap_or("none"))
        })
        .build()
        .unwrap();
    let app = Router::new()
        .route("/login", post(login))
        .route("/regenerate", post(regenerate))
        .layer(SessionLayer::new(sessions));
    let address = serve(app).await;
    let token = send_bytes(address, "POST /login", &[("tenant", b"acme-")], "").await.body;
    assert!(token.starts_with("acme-"), "{token}");
    let regenerated = send(address, "POST /regenerate", &token, "").await.body;
    assert!(regenerated.starts_with("none"), "{regenerated}");
}

#[tokio::test]
async fn a_dump_of_the_store_logs_nobody_in() {
    let service = service().await;
    let issued = service.login().await;
    let page = service.store.scan(None, 10).await.unwrap();
    let (key, _) = &page.records[0];
    assert_eq!(*key, KeyScheme::Sha256.key(&issued.token));
    let dumped = key.to_string();
    assert_eq!(service.ask("GET /read", &dumped).await.status, 401);
}
