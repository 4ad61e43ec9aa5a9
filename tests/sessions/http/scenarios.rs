//! What takes more than one request.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use token_session::http::SignedCookie;
use token_session::store::{Listing, Memory, Store, Write};
use token_session::{Origin, Token, TokenSession};

use super::{Layer, Server, Setup};
use crate::client::{send, send_bytes};

pub async fn an_expired_or_destroyed_token_is_401_invalid_token(server: Server) {
    let service = server.start().await;
    let (destroyed, expired) = (service.login().await, service.login().await);
    service.sessions.destroy(&destroyed.token).await.unwrap();
    service.clock.advance(Duration::from_secs(30 * 60));
    for token in [destroyed.token.reveal(), expired.token.reveal()] {
        let answer = service.ask("GET /read", token).await;
        assert_eq!(answer.status, 401);
        assert!(answer.header("www-authenticate").unwrap().contains(r#"error="invalid_token""#));
        assert_eq!(service.ask("GET /maybe", token).await.body, "none");
    }
}

pub async fn a_token_of_a_megabyte_or_with_control_characters_does_no_harm(server: Server) {
    let service = server.start().await;
    let issued = service.login().await;
    // The server itself refuses what is no HTTP, before any service sees it.
    for bad in [vec![b'a'; 1 << 20], b"nul\0".to_vec()] {
        let answer = send_bytes(service.address, "GET /read", &[("token-session", &bad)], "").await;
        assert!(matches!(answer.status, 400 | 431), "{}", answer.status);
    }
    assert_eq!(service.ask("GET /read", issued.token.reveal()).await.status, 200);
}

pub async fn a_token_is_good_again_once_the_store_is(server: Server) {
    let service = server.start().await;
    let issued = service.login().await;
    service.store.set_down(true);
    assert_eq!(service.ask("GET /read", issued.token.reveal()).await.status, 503);
    service.store.set_down(false);
    assert_eq!(service.ask("GET /read", issued.token.reveal()).await.status, 200);
}

pub async fn a_store_that_fails_at_the_commit_is_503_instead_of_the_answer(server: Server) {
    let service = server.start().await;
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

pub async fn a_damaged_record_is_500_and_stays(server: Server) {
    let service = server.start().await;
    let issued = service.login().await;
    let garbage = Write::data(Bytes::from_static(b"\xff no JSON"));
    service.store.replace(&issued.key, &garbage).await.unwrap();
    for line in ["GET /read", "GET /maybe"] {
        assert_eq!(service.ask(line, issued.token.reveal()).await.status, 500);
    }
    assert_eq!(service.sessions.count().await.unwrap(), 1);
}

pub async fn of_two_requests_that_change_one_session_at_once_one_gets_409(server: Server) {
    let service = server.start().await;
    let issued = service.login().await;
    let ask = || service.ask("POST /add-slowly", issued.token.reveal());
    let (one, other) = tokio::join!(ask(), ask());
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    assert_eq!(service.data(&issued.token).await, ["slow"]);
}

pub async fn a_hundred_requests_that_update_one_session_at_once_all_count(server: Server) {
    let service = server.start().await;
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

pub async fn a_new_token_goes_out_in_the_header_and_is_not_to_be_stored(server: Server) {
    let service = server.start().await;
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

pub async fn a_new_token_goes_out_in_the_header_whatever_is_read(server: Server) {
    let service = server.start_with(|layer| layer.without_header()).await;
    let token = service.ask("POST /login", "").await.body;
    let again = service.ask("POST /regenerate", &token).await;
    assert_eq!(again.header("token-session"), Some(again.body.as_str()));

    let service = server.start_with(|layer| layer.bearer(false)).await;
    let token = service.ask("POST /login", "").await.body;
    let headers: [(&str, &[u8]); 1] = [("token-session", token.as_bytes())];
    let again = send_bytes(service.address, "POST /regenerate", &headers, "").await;
    assert_eq!(again.header("token-session"), Some(again.body.as_str()));
    assert_ne!(again.body, token);
}

pub async fn changes_around_a_regeneration_are_kept_under_the_new_token(server: Server) {
    let service = server.start().await;
    let issued = service.login().await;
    let answer = service.ask("POST /add-and-regenerate", issued.token.reveal()).await;
    let token = Token::parse(answer.header("token-session").unwrap()).unwrap();
    assert_eq!(service.data(&token).await, ["before", "after"]);
}

pub async fn a_token_that_was_not_made_here_is_never_adopted(server: Server) {
    let service = server.start().await;
    let chosen = "a-token-that-the-client-chose";
    for line in ["POST /add", "POST /update", "POST /regenerate", "POST /login"] {
        let answer = service.ask(line, chosen).await;
        assert_ne!(answer.header("token-session"), Some(chosen));
        assert_eq!(service.ask("GET /read", chosen).await.status, 401);
    }
}

pub async fn what_needs_fresh_proof_answers_with_a_step_up_challenge(server: Server) {
    let service = server.start().await;
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

fn of_express() -> SignedCookie {
    SignedCookie::new("connect.sid", "secret").unwrap()
}

pub async fn a_signed_cookie_is_believed_by_its_signature_alone(server: Server) {
    let service = server.start_with(|layer| layer.signed_cookie(of_express())).await;
    let issued = service.login().await;
    let forger = SignedCookie::new("connect.sid", "another secret").unwrap();
    let forged = forger.set(&issued.token, "").unwrap();
    let unsigned = format!("connect.sid={}", issued.token.reveal());
    for cookie in [forged.as_bytes(), unsigned.as_bytes()] {
        let answer = send_bytes(service.address, "GET /read", &[("cookie", cookie)], "").await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("set-cookie"), None);
    }
    let signed = of_express().set(&issued.token, "").unwrap();
    let answer =
        send_bytes(service.address, "GET /read", &[("cookie", signed.as_bytes())], "").await;
    assert_eq!((answer.status, answer.header("set-cookie")), (200, None));
}

pub async fn every_carrier_that_is_on_is_read(server: Server) {
    let on = |layer: Layer| layer.cookie("tks").query("token").signed_cookie(of_express());
    let service = server.start_with(on).await;
    let issued = service.login().await;
    let token = issued.token.reveal();
    let cookie = format!("a=b; tks={token}");
    let signed = of_express().set(&issued.token, "").unwrap();
    let signed = signed.to_str().unwrap();
    for headers in [("token-session", token), ("cookie", &cookie), ("cookie", signed)] {
        let headers: [(&str, &[u8]); 1] = [(headers.0, headers.1.as_bytes())];
        assert_eq!(send_bytes(service.address, "GET /read", &headers, "").await.status, 200);
    }
    assert_eq!(service.ask(&format!("GET /read?token={token}"), "").await.status, 200);
}

pub async fn a_handler_without_the_layer_says_what_is_missing(server: Server) {
    let sessions = TokenSession::builder().store(Memory::new()).build().unwrap();
    let setup = Setup { layered: false, ..Setup::new(sessions, |layer| layer) };
    let answer = send(server.serve(setup).await, "GET /read", "token", "").await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("SessionLayer"));
}

pub async fn the_generator_sees_the_request(server: Server) {
    let generator = |origin: Origin<'_>| {
        let parts = origin.get::<http::request::Parts>();
        let tenant = parts.and_then(|parts| parts.headers.get("tenant"));
        Token::random(tenant.and_then(|tenant| tenant.to_str().ok()).unwrap_or("none"))
    };
    let store = Memory::new();
    let sessions = TokenSession::builder().store(store).generator(generator).build().unwrap();
    let address = server.serve(Setup::new(sessions, |layer| layer)).await;
    let token = send_bytes(address, "POST /login", &[("tenant", b"acme-")], "").await.body;
    assert!(token.starts_with("acme-"), "{token}");
    assert_eq!(send(address, "GET /read", &token, "").await.status, 200);
}

pub async fn a_dump_of_the_store_logs_nobody_in(server: Server) {
    let service = server.start().await;
    let issued = service.login().await;
    let page = service.store.scan(None, 10).await.unwrap();
    let (key, record) = &page.records[0];
    assert_eq!(*key, issued.key);
    let dumped = key.to_string();
    let proof = record.proofs.current.unwrap();
    let proof = URL_SAFE_NO_PAD.encode(proof.as_bytes());
    for guess in [dumped.clone(), format!("{dumped}.{proof}"), format!("{dumped}.{dumped}")] {
        assert_eq!(service.ask("GET /read", &guess).await.status, 401, "{guess}");
    }
}
