//! Where a token comes from, and where it must not be seen.

use std::sync::Arc;

use token_session::TokenSession;
use token_session::http::SessionLayer;
use token_session::store::Memory;

use super::{Server, Setup};
use crate::client::send_bytes;

pub async fn a_token_in_the_query_is_in_no_uri_that_a_handler_sees(server: Server) {
    let service = server.start_with(|layer| layer.query("token")).await;
    let issued = service.login().await;
    let token = issued.token.reveal();
    let first = &token[..1];
    for (target, left) in [
        (format!("/uri?token={token}"), "/uri"),
        (format!("/uri?a=1&token={token}&b"), "/uri?a=1&b"),
        (format!("/uri?token={token}&"), "/uri"),
        (format!("/uri?token={token}&token={token}&%74oke%6e={token}&tokens=1"), "/uri?tokens=1"),
        (format!("/uri?token=%{:02x}{}", first.as_bytes()[0], &token[1..]), "/uri"),
        (format!("/uri?token={token}&token=&token=%ff"), "/uri"),
        (format!("/?token={token}"), "/"),
        (format!("http://localhost/uri?token={token}&b"), "http://localhost/uri?b"),
        (format!("http://localhost/?token={token}"), "http://localhost/"),
        (format!("http://localhost?token={token}"), "http://localhost/"),
        (format!("http://localhost?b&token={token}"), "http://localhost/?b"),
    ] {
        let referer = format!("http://localhost/page?token={token}&page=1");
        let headers: [(&str, &[u8]); 1] = [("referer", referer.as_bytes())];
        let answer = send_bytes(service.address, &format!("GET {target}"), &headers, "").await;
        let seen: Vec<_> = answer.body.lines().collect();
        assert_eq!((answer.status, seen[0]), (200, left), "{target}");
        assert!(seen.contains(&"http://localhost/page?page=1"), "{seen:?}");
        assert!(!answer.body.contains(&token[1..]), "{target}: {seen:?}");
        assert!(seen.contains(&"a session"), "{target}: {seen:?}");
    }
}

pub async fn a_request_without_a_path_does_no_harm(server: Server) {
    let service = server.start_with(|layer| layer.query("token")).await;
    let issued = service.login().await;
    let token = issued.token.reveal();
    for line in ["OPTIONS *", "CONNECT localhost:80"] {
        let answer = service.ask(line, token).await;
        assert!(answer.status < 500, "{line}: {answer:?}");
    }
    assert_eq!(service.ask("GET /read", token).await.status, 200);
}

/// A neighbouring domain may set a cookie of the same name, for a more specific path.
pub async fn two_cookies_with_live_sessions_are_refused(server: Server) {
    let service = server.start_with(|layer| layer.cookie("tks")).await;
    let (theirs, ours) = (service.login().await, service.login().await);
    let cookies = format!("tks={}; tks={}", theirs.token.reveal(), ours.token.reveal());
    let headers: [(&str, &[u8]); 1] = [("cookie", cookies.as_bytes())];
    let answer = send_bytes(service.address, "GET /read", &headers, "").await;
    assert_eq!(answer.status, 400, "{answer:?}");
}

/// Two layers with two types of data, whose tokens come in one parameter.
pub async fn an_inner_layer_reads_the_parameter_that_an_outer_one_took(server: Server) {
    let sessions = TokenSession::builder().store(Memory::new()).build().unwrap();
    let numbers = TokenSession::<u32>::in_memory();
    let inner = SessionLayer::builder(numbers.clone()).query("token").build().unwrap();
    let setup = Setup::new(sessions.clone(), |layer| layer.query("token"));
    let address = server.serve(Setup { inner: Some(Arc::new(inner)), ..setup }).await;
    let (words, number) =
        (sessions.create(&vec![]).await.unwrap(), numbers.create(&17).await.unwrap());
    for (token, statuses) in [(words.token, [200, 401]), (number.token, [401, 200])] {
        for (path, status) in ["/read", "/number"].into_iter().zip(statuses) {
            let line = format!("GET {path}?token={}", token.reveal());
            assert_eq!(send_bytes(address, &line, &[], "").await.status, status, "{path}");
        }
    }
}
