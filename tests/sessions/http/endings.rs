//! What an answer carries when a session has ended, or was not written.

use super::Server;

pub async fn a_token_that_died_before_the_answer_is_not_sent(server: Server) {
    let service = server.start().await;
    for line in [
        "POST /end/regenerate-and-destroy",
        "POST /end/reauthenticate-and-destroy-owned",
        "POST /end/create-and-destroy-owned",
        "POST /end/create-and-destroy-all",
        "POST /end/create-and-destroy-others",
        "POST /end/regenerate-destroy-elsewhere-and-change",
        "POST /end/regenerate-destroy-elsewhere-and-update",
    ] {
        let anna = service.ask("POST /login", "").await.body;
        let answer = service.ask(line, &anna).await;
        assert_eq!(answer.header("token-session"), None, "{line}");
    }
    for line in [
        "POST /end/create-and-destroy",
        "POST /end/regenerate-and-destroy-others",
        "POST /end/create-for-nobody-and-destroy-all",
    ] {
        let anna = service.ask("POST /login", "").await.body;
        let answer = service.ask(line, &anna).await;
        let token = answer.header("token-session").unwrap_or_else(|| panic!("{line}"));
        assert_eq!(service.ask("GET /read", token).await.status, 200, "{line}");
    }
}

pub async fn an_answer_that_replaces_another_keeps_the_headers_of_layers_further_in(
    server: Server,
) {
    let service = server.start().await;
    let issued = service.login().await;
    let answer = service.ask("POST /decorated", issued.token.reveal()).await;
    assert_eq!(answer.status, 401);
    for (name, values) in [
        ("access-control-allow-origin", vec!["https://example.org"]),
        ("vary", vec!["origin", "authorization, token-session"]),
        ("set-cookie", vec!["a=1", "b=2"]),
        ("x-frame-options", vec!["DENY"]),
        ("content-security-policy", vec!["default-src 'none'"]),
        // About the answer that was replaced.
        ("etag", vec![]),
        ("location", vec![]),
        ("content-language", vec![]),
        ("content-type", vec!["application/problem+json"]),
        ("cache-control", vec!["no-store"]),
    ] {
        assert_eq!(answer.headers(name), values, "{name}");
    }
    assert_eq!(answer.headers("www-authenticate").len(), 1);
    assert!(answer.json()["detail"].as_str().unwrap().contains("log in again"));
}

pub async fn an_answer_that_depended_on_the_session_is_not_for_shared_caches(server: Server) {
    let on = |layer: super::Layer| layer.cookie("tks");
    let service = server.start_with(on).await;
    let token = service.ask("POST /login", "").await.body;
    let vary = "authorization, cookie, token-session";
    for (line, token, cache, vary) in [
        ("GET /read", &*token, vec!["private"], vec![vary]),
        ("GET /maybe", "", vec!["private"], vec![vary]),
        ("GET /read", "", vec!["no-store"], vec![vary]),
        ("POST /add", &token, vec!["private"], vec![vary]),
        ("GET /cached", &token, vec!["max-age=60"], vec!["accept", vary]),
        ("POST /regenerate", &token, vec!["no-store"], vec![vary]),
        ("POST /login", "", vec!["no-store"], vec![]),
        ("GET /public", &token, vec![], vec![]),
    ] {
        let answer = service.ask(line, token).await;
        assert_eq!(answer.headers("cache-control"), cache, "{line} {token}");
        assert_eq!(answer.headers("vary"), vary, "{line} {token}");
    }
}
