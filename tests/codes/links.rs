//! Links that are kept in a store: abuses of them beside those that run on every store, in
//! `on_every_store::abuse`:
//!
//! | abuse | answer | a use is counted |
//! |---|---|---|
//! | the same link again, or a double click | `Refused` | no |
//! | for another resource | `Refused` | no |
//! | a millisecond too early | `NotYet` | no |
//! | a millisecond too late | `Refused` | no |
//! | after the clock moved back | `Refused`, as before | no |
//! | a token of a megabyte | `Refused`, at no round trip | no |
//! | a value of the store's dump | `Refused` | no |
//! | a request with a forged `Host` | the link that any request gets | no |
//! | to revoke what is no link of this purpose, by its id or key | nothing was revoked | no |
//! | a `HEAD`, where that has a route of its own | what a look gets | no |

use std::sync::Arc;
use std::time::Duration;

use token_session::codes::Codes;
use token_session::links::{BaseUrl, LinkError, Links};
use token_session::store::{AtomicStore, Listing, Memory};
use token_session::{MessagePack, Token, TokenSession};

use super::fickle::Fickle;
use super::watched::Watched;
use super::{ANNA, HOUR, MILLISECOND, MINUTE, SECOND, dump, store_with_clock};

fn base() -> BaseUrl {
    BaseUrl::path("https://example.org/downloads/").unwrap()
}

fn links(store: impl AtomicStore) -> Links<String> {
    Links::builder("download", base()).store(store).build().unwrap()
}

fn payload() -> String {
    "report.pdf".to_owned()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(answer: Result<T, LinkError>) {
    assert!(matches!(answer, Err(LinkError::Refused)), "{answer:?}");
}

#[tokio::test]
async fn a_link_is_good_once_unless_it_says_otherwise() {
    let links = links(Memory::new());
    let link = links.create(&payload()).await.unwrap().link;
    assert_eq!(links.redeem(link.token()).await.unwrap().payload, payload());
    assert_refused(links.redeem(link.token()).await);
    assert_refused(links.inspect(link.token()).await);
}

#[tokio::test]
async fn an_unlimited_link_is_good_until_it_expires() {
    let (store, clock) = store_with_clock();
    let links = links(store);
    let payload = payload();
    let link = links.new_link(&payload).unlimited().create().await.unwrap().link;
    for _ in 0..1_000 {
        assert_eq!(links.redeem(link.token()).await.unwrap().uses_left, None);
    }
    clock.advance(HOUR - MILLISECOND);
    links.redeem(link.token()).await.unwrap();
    clock.advance(MILLISECOND);
    assert_refused(links.redeem(link.token()).await);
}

#[tokio::test]
async fn looking_changes_nothing() {
    let (store, clock) = store_with_clock();
    let links = links(store.clone());
    let link = links.create(&payload()).await.unwrap().link;
    let before = store.scan(None, 10).await.unwrap().records;
    let inspector = links.inspector();
    for _ in 0..1_000 {
        let seen = links.inspect(link.token()).await.unwrap();
        assert_eq!((seen.payload.as_str(), seen.uses_left), ("report.pdf", Some(1)));
        assert_eq!(inspector.inspect(link.token()).await.unwrap(), seen);
    }
    assert_eq!(store.scan(None, 10).await.unwrap().records, before);
    clock.advance(HOUR - MILLISECOND);
    links.inspect(link.token()).await.unwrap();
    clock.advance(MILLISECOND);
    assert_refused(links.redeem(link.token()).await);
}

#[tokio::test]
async fn a_use_does_not_prolong_a_link() {
    let (store, clock) = store_with_clock();
    let links = links(store);
    let payload = payload();
    let link = links.new_link(&payload).uses(5.try_into().unwrap()).create().await.unwrap().link;
    clock.advance(HOUR - SECOND);
    links.redeem(link.token()).await.unwrap();
    clock.advance(SECOND);
    assert_refused(links.redeem(link.token()).await);
}

#[tokio::test]
async fn a_link_opens_when_it_says() {
    let (store, clock) = store_with_clock();
    let links = links(store);
    let payload = payload();
    let link = links.new_link(&payload).not_before(MINUTE).create().await.unwrap().link;
    clock.advance(MILLISECOND);
    let seen = links.inspect(link.token()).await.unwrap();
    assert_eq!(seen.opens_in, MINUTE - MILLISECOND);
    let early = links.redeem(link.token()).await.unwrap_err();
    assert!(matches!(early, LinkError::NotYet { opens_in: MINUTE }), "{early:?}");
    assert_eq!((early.retry_after(), early.is_retryable()), (Some(MINUTE), true));
    clock.advance(MINUTE - MILLISECOND);
    links.redeem(link.token()).await.unwrap();
}

#[tokio::test]
async fn a_link_that_never_opens_is_not_made() {
    let links = links(Memory::new());
    let answer = links.new_link(&payload()).not_before(HOUR).create().await;
    assert!(matches!(answer, Err(LinkError::NeverOpen { .. })), "{answer:?}");
    let answer = links.new_link(&payload()).lifetime(Duration::ZERO).create().await;
    assert!(matches!(answer, Err(LinkError::Lifetime(_))), "{answer:?}");
}

#[tokio::test]
async fn a_bound_link_is_good_for_its_resource_alone() {
    let links = links(Memory::new());
    let payload = payload();
    let link = links.new_link(&payload).resource("file-17").create().await.unwrap().link;
    assert_refused(links.redeem(link.token()).await);
    assert_refused(links.redeem_for(link.token(), "file-18").await);
    links.redeem_for(link.token(), "file-17").await.unwrap();

    let free = links.create(&payload).await.unwrap().link;
    assert_refused(links.redeem_for(free.token(), "file-17").await);
    links.redeem(free.token()).await.unwrap();
}

#[tokio::test]
async fn a_revoked_link_is_refused() {
    let links = links(Memory::new());
    let created = links.create(&payload()).await.unwrap();
    assert!(links.revoke(&created.id).await.unwrap());
    assert!(!links.revoke(&created.id).await.unwrap());
    assert_refused(links.redeem(created.link.token()).await);
}

/// A service may give ids to clients, and keep its links where its sessions are.
#[tokio::test]
async fn nothing_but_a_link_of_this_purpose_is_revoked() {
    let store = Memory::new();
    let downloads = links(store.clone());
    let invitations = Links::builder("invitation", base()).store(store.clone()).build().unwrap();
    let sessions = TokenSession::<u32>::builder().store(store.clone()).build().unwrap();
    let codes = Codes::builder("sign-in").store(store.clone()).build().unwrap();
    sessions.create(&17).await.unwrap();
    codes.issue(ANNA, &17).await.unwrap();
    let invitation = invitations.create(&payload()).await.unwrap();

    let records = store.scan(None, 10).await.unwrap().records;
    assert_eq!(records.len(), 4, "a session, a challenge, a budget and an invitation");
    for id in records.iter().map(|(key, _)| key).chain([&invitation.id]) {
        assert!(!downloads.revoke(id).await.unwrap());
    }
    assert_eq!(store.count().await.unwrap(), 4);
    assert!(invitations.revoke(&invitation.id).await.unwrap());
}

#[tokio::test]
async fn a_link_is_revoked_whatever_uses_were_counted() {
    let links = links(Memory::new());
    let payload = payload();
    let new = links.new_link(&payload).uses(3.try_into().unwrap());
    let created = new.create().await.unwrap();
    links.redeem(created.link.token()).await.unwrap();
    assert!(links.revoke(&created.id).await.unwrap());
    assert_refused(links.redeem(created.link.token()).await);
}

#[tokio::test]
async fn all_links_of_a_subject_are_revoked_wherever_they_are_kept() {
    let store = Arc::new(Watched::partitioned(Memory::new(), 16));
    let links = links(store);
    let payload = payload();
    let mut anna = Vec::new();
    for _ in 0..10 {
        anna.push(links.new_link(&payload).subject(ANNA).create().await.unwrap().link);
    }
    let ben = links.new_link(&payload).subject("ben").create().await.unwrap().link;
    links.revoke_subject(ANNA).await.unwrap();
    for link in anna {
        assert_refused(links.redeem(link.token()).await);
    }
    links.redeem(ben.token()).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_moves_back_revives_no_link() {
    let clock = Fickle::new();
    let links = links(Memory::builder().clock(clock.clone()).build());
    let used = links.create(&payload()).await.unwrap().link;
    let expired = links.create(&payload()).await.unwrap().link;
    links.redeem(used.token()).await.unwrap();
    clock.advance(HOUR);
    assert_refused(links.redeem(expired.token()).await);
    clock.go_back(HOUR);
    for link in [used, expired] {
        assert_refused(links.redeem(link.token()).await);
    }
}

#[tokio::test]
async fn a_megabyte_costs_no_round_trip() {
    let store = Arc::new(Watched::new(Memory::new()));
    let links = links(store.clone());
    let megabyte = "a".repeat(1_000_000);
    assert_refused(links.redeem(&megabyte).await);
    assert_refused(links.inspect(&megabyte).await);
    let answer = links.create(&megabyte).await;
    assert!(matches!(answer, Err(LinkError::TooLarge { max: 4096, .. })), "{answer:?}");
    assert_eq!(store.calls(), [""; 0]);
}

#[tokio::test]
async fn a_dump_has_no_token() {
    let store = Memory::new();
    let links = links(store.clone());
    let payload = payload();
    let new = links.new_link(&payload).subject(ANNA).resource("file-17");
    let link = new.create().await.unwrap().link;
    let dump = dump(&store).await;
    for secret in [link.token(), ANNA, "file-17"] {
        assert!(!dump.contains(secret), "{dump}");
    }
    let words = dump.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    for word in words.filter(|word| Token::parse(word).is_ok()) {
        assert_refused(links.redeem_for(word, "file-17").await);
    }
}

#[tokio::test]
async fn a_link_costs_what_its_docs_say() {
    let store = Arc::new(Watched::new(Memory::new()));
    let links = links(store.clone());
    let payload = payload();
    let link = links.new_link(&payload).uses(2.try_into().unwrap()).create().await.unwrap().link;
    assert_eq!(store.calls().len(), 1);
    links.inspect(link.token()).await.unwrap();
    assert_eq!(store.calls().len(), 1);
    links.redeem(link.token()).await.unwrap();
    assert_eq!(store.calls().len(), 2);
    links.redeem(link.token()).await.unwrap();
    assert_eq!(store.calls().len(), 2);
    let link = links.new_link(&payload).unlimited().create().await.unwrap().link;
    store.calls();
    links.redeem(link.token()).await.unwrap();
    assert_eq!(store.calls().len(), 1);
}

#[tokio::test]
async fn a_head_request_to_a_route_of_its_own_spends_no_use() {
    use axum::Router;
    use axum::extract::Path;
    use axum::http::{Method, Request, StatusCode};
    use axum::routing::get;
    use tower::ServiceExt;

    fn status(answer: Result<String, LinkError>) -> StatusCode {
        answer.map_or(StatusCode::GONE, |_| StatusCode::OK)
    }
    let links = links(Memory::new());
    let (link, inspector) = (links.create(&payload()).await.unwrap().link, links.inspector());
    let look = async move |Path(token): Path<String>| {
        status(inspector.inspect(&token).await.map(|seen| seen.payload))
    };
    let serve = async move |Path(token): Path<String>| {
        status(links.redeem(&token).await.map(|redeemed| redeemed.payload))
    };
    let app = Router::new().route("/downloads/{token}", get(serve).head(look));
    let mut answers = Vec::new();
    for method in [Method::HEAD, Method::HEAD, Method::GET, Method::GET, Method::HEAD] {
        let request = Request::builder().method(method).uri(link.reveal()).body(String::new());
        answers.push(app.clone().oneshot(request.unwrap()).await.unwrap().status().as_u16());
    }
    assert_eq!(answers, [200, 200, 200, 410, 410]);
}

#[tokio::test]
async fn a_payload_is_written_and_read_by_the_codec_that_was_given() {
    let store = Memory::new();
    let builder = || Links::<u64>::builder("number", base()).store(store.clone());
    let (packed, json) =
        (builder().codec(MessagePack).build().unwrap(), builder().build().unwrap());
    let link = packed.create(&300).await.unwrap().link;
    let read = json.redeem(link.token()).await;
    assert!(matches!(read, Err(LinkError::Decode(_))), "{read:?}");
    assert_eq!(packed.redeem(link.token()).await.unwrap().payload, 300, "no use was counted");
}

#[tokio::test]
async fn a_payload_has_as_many_bytes_as_the_builder_says_and_no_more() {
    let builder = Links::<String>::builder("download", base()).max_payload(12);
    let links = builder.build().unwrap();
    links.create(&"a".repeat(10)).await.unwrap();
    let answer = links.create(&"a".repeat(11)).await;
    assert!(matches!(answer, Err(LinkError::TooLarge { size: 13, max: 12 })), "{answer:?}");
}

#[tokio::test]
async fn a_forged_host_changes_no_link() {
    use axum::Router;
    use axum::http::Request;
    use axum::routing::get;
    use tower::ServiceExt;

    let links = links(Memory::new());
    let app = Router::new().route(
        "/",
        get(async move || links.create(&payload()).await.unwrap().link.reveal().to_owned()),
    );
    let request = Request::get("http://evil.example/")
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example")
        .body(String::new())
        .unwrap();
    let body = app.oneshot(request).await.unwrap().into_body();
    let body = axum::body::to_bytes(body, 1_000).await.unwrap();
    assert!(body.starts_with(b"https://example.org/downloads/"), "{body:?}");
}
