//! Links that sign somebody in. What each abuse of them gets:
//!
//! | abuse | answer | a guess is counted |
//! |---|---|---|
//! | all that a scanner can do, which has the link and no handle | `Refused` | no |
//! | the handle of another challenge | `Refused` | no |
//! | for another purpose | `Refused` | no |
//! | a link made up of any key that the store may hold | `Refused` | no |
//! | a forged secret | `Refused` | yes, with the handle |
//! | the link and its code at once | one of both succeeds | yes |
//! | truncated or padded, or a megabyte | `Refused` | no |

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use token_session::TokenSession;
use token_session::codes::{CodeError, Codes};
use token_session::links::{BaseUrl, IssuedSignIn, SignInLinks};
use token_session::store::{Listing, Memory};
use tokio::sync::Barrier;

use super::{ANNA, MILLISECOND, MINUTE, assert_exhausted, assert_refused, dump, store_with_clock};

fn sign_in(store: Memory) -> SignInLinks<String> {
    links_for("sign-in", store)
}

fn links_for(purpose: &str, store: Memory) -> SignInLinks<String> {
    let base = BaseUrl::fragment("https://example.org/magic").unwrap();
    Codes::builder(purpose).store(store).build_with_links(base).unwrap()
}

async fn issue(links: &SignInLinks<String>) -> IssuedSignIn {
    links.issue(ANNA, &"user-17".to_owned()).await.unwrap()
}

fn handle(issued: &IssuedSignIn) -> &str {
    issued.challenge.handle.reveal()
}

#[tokio::test]
async fn the_browser_that_asked_completes_with_one_click_once() {
    let links = sign_in(Memory::new());
    let issued = issue(&links).await;
    assert!(issued.link.reveal().starts_with("https://example.org/magic#"));
    let redeemed = links.redeem(issued.link.token(), handle(&issued)).await.unwrap();
    assert_eq!(redeemed.payload, "user-17");
    assert_refused(links.redeem(issued.link.token(), handle(&issued)).await);
    assert_refused(links.codes().redeem(handle(&issued), issued.code.reveal()).await);
    assert_refused(links.inspect(issued.link.token()).await);
}

#[tokio::test]
async fn another_device_shows_a_code_that_is_typed_where_the_request_began() {
    let links = sign_in(Memory::new());
    let issued = issue(&links).await;
    let page = links.inspect(issued.link.token()).await.unwrap();
    assert_eq!(page.payload, "user-17");
    assert_eq!(page.code.reveal(), issued.code.reveal());
    links.codes().redeem(handle(&issued), &page.code.grouped()).await.unwrap();
    assert_refused(links.redeem(issued.link.token(), handle(&issued)).await);
}

/// What a mail scanner can do, which runs scripts and presses buttons: it has the link, and all that
/// its page shows.
#[tokio::test]
async fn who_has_the_link_without_the_handle_changes_nothing() {
    let (store, _) = store_with_clock();
    let links = sign_in(store.clone());
    let issued = issue(&links).await;
    let before = store.scan(None, 10).await.unwrap().records;
    let token = issued.link.token();
    for _ in 0..100 {
        let page = links.inspector().inspect(token).await.unwrap();
        for handle in ["", token, page.code.reveal(), "a-handle-of-the-scanner"] {
            assert_refused(links.redeem(token, handle).await);
            assert_refused(links.codes().redeem(handle, page.code.reveal()).await);
        }
    }
    let after = store.scan(None, 10).await.unwrap().records;
    assert_eq!(BTreeMap::from_iter(after), BTreeMap::from_iter(before));
    links.redeem(token, handle(&issued)).await.unwrap();
}

#[tokio::test]
async fn the_handle_of_another_challenge_completes_nothing_and_spends_no_guess() {
    let links = sign_in(Memory::new());
    let (victim, attacker) = (issue(&links).await, issue(&links).await);
    for _ in 0..10 {
        assert_refused(links.redeem(victim.link.token(), handle(&attacker)).await);
    }
    assert_eq!(links.codes().compared(), 0);
    links.redeem(victim.link.token(), handle(&victim)).await.unwrap();
}

#[tokio::test]
async fn a_link_of_another_purpose_shows_nothing_completes_nothing_and_stays_good() {
    let store = Memory::new();
    let (sign_in, delete) = (sign_in(store.clone()), links_for("delete-account", store));
    let issued = issue(&delete).await;
    let token = issued.link.token();
    assert_refused(sign_in.inspect(token).await);
    assert_refused(sign_in.redeem(token, handle(&issued)).await);
    assert_eq!(sign_in.codes().compared(), 0);
    delete.inspect(token).await.unwrap();
    delete.redeem(token, handle(&issued)).await.unwrap();
}

/// The keys of a store are no secrets: a session's is its public id, and that of an address's budget
/// can be computed. A link with one of them must not even tell whether something is there.
#[tokio::test]
async fn a_link_made_up_of_a_key_is_as_unknown_whatever_is_under_it() {
    let store = Memory::new();
    let links = sign_in(store.clone());
    let issued = issue(&links).await;
    let sessions = TokenSession::<u32>::builder().store(store.clone()).build().unwrap();
    sessions.create(&17).await.unwrap();
    let records = store.scan(None, 10).await.unwrap().records;
    assert_eq!(records.len(), 3, "a challenge, a budget and a session");
    for (key, _) in records {
        let made_up = URL_SAFE_NO_PAD.encode([key.as_bytes(), &[0; 24][..]].concat());
        assert_refused(links.inspect(&made_up).await);
        assert_refused(links.redeem(&made_up, handle(&issued)).await);
    }
    assert_eq!(links.codes().compared(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_the_link_and_its_code_at_once_exactly_one_succeeds() {
    let links = sign_in(Memory::new());
    for _ in 0..100 {
        let issued = issue(&links).await;
        let start = Arc::new(Barrier::new(2));
        let clicked = {
            let (links, start) = (links.clone(), Arc::clone(&start));
            let (link, handle) = (issued.link.token().to_owned(), handle(&issued).to_owned());
            tokio::spawn(async move {
                start.wait().await;
                links.redeem(&link, &handle).await
            })
        };
        let typed = {
            let links = links.clone();
            let (code, handle) = (issued.code.reveal().to_owned(), handle(&issued).to_owned());
            tokio::spawn(async move {
                start.wait().await;
                links.codes().redeem(&handle, &code).await
            })
        };
        match (clicked.await.unwrap(), typed.await.unwrap()) {
            (Ok(_), Err(CodeError::Refused)) | (Err(CodeError::Refused), Ok(_)) => {}
            both => panic!("{both:?}"),
        }
    }
}

#[tokio::test]
async fn a_link_lives_as_long_as_its_code() {
    let (store, clock) = store_with_clock();
    let links = sign_in(store);
    let issued = issue(&links).await;
    clock.advance(10 * MINUTE - MILLISECOND);
    let page = links.inspect(issued.link.token()).await.unwrap();
    assert_eq!(page.expires_in, MILLISECOND);
    clock.advance(MILLISECOND);
    assert_refused(links.inspect(issued.link.token()).await);
    assert_refused(links.redeem(issued.link.token(), handle(&issued)).await);
}

#[tokio::test]
async fn a_link_that_is_sent_anew_leaves_the_earlier_one_good_to_its_own_expiry() {
    let (store, clock) = store_with_clock();
    let links = sign_in(store);
    let issued = issue(&links).await;
    clock.advance(9 * MINUTE);
    let again = links.resend(handle(&issued)).await.unwrap();
    let (second, code, payload) = again.message.unwrap();
    assert_eq!(payload, "user-17");
    let page = links.inspect(second.token()).await.unwrap();
    assert_eq!((page.code.reveal(), page.expires_in), (code.reveal(), 10 * MINUTE));
    let page = links.inspect(issued.link.token()).await.unwrap();
    assert_eq!((page.code.reveal(), page.expires_in), (issued.code.reveal(), MINUTE));
    clock.advance(MINUTE);
    assert_refused(links.inspect(issued.link.token()).await);
    links.redeem(second.token(), handle(&issued)).await.unwrap();
}

#[tokio::test]
async fn links_and_codes_share_their_guesses() {
    let links = sign_in(Memory::new());
    let issued = issue(&links).await;
    let wrong = if issued.code.reveal() == "00000000" { "11111111" } else { "00000000" };
    for _ in 0..5 {
        assert_refused(links.codes().redeem(handle(&issued), wrong).await);
    }
    assert_exhausted(links.redeem(issued.link.token(), handle(&issued)).await);
}

#[tokio::test]
async fn a_revoked_link_is_refused() {
    let links = sign_in(Memory::new());
    let issued = issue(&links).await;
    links.codes().revoke(ANNA).await.unwrap();
    assert_refused(links.inspect(issued.link.token()).await);
    assert_refused(links.redeem(issued.link.token(), handle(&issued)).await);
}

#[tokio::test]
async fn a_truncated_or_padded_link_is_refused_and_spends_no_guess() {
    let links = sign_in(Memory::new());
    let issued = issue(&links).await;
    let token = issued.link.token();
    let megabyte = "a".repeat(1_000_000);
    for bad in [
        "",
        &token[1..],
        &token[..token.len() - 1],
        &format!("{token}A"),
        &megabyte,
        handle(&issued),
    ] {
        assert_refused(links.inspect(bad).await);
        assert_refused(links.redeem(bad, handle(&issued)).await);
    }
    assert_eq!(links.codes().compared(), 0);
    links.redeem(token, handle(&issued)).await.unwrap();
}

#[tokio::test]
async fn a_link_with_a_forged_secret_is_a_wrong_guess() {
    let links = sign_in(Memory::new());
    let issued = issue(&links).await;
    let token = issued.link.token();
    // The last characters are the secret's.
    let forged = format!("{}AAAAAAAA", &token[..token.len() - 8]);
    assert_refused(links.inspect(&forged).await);
    assert_refused(links.redeem(&forged, handle(&issued)).await);
    assert_eq!(links.codes().compared(), 1);
}

#[tokio::test]
async fn a_dump_has_no_link() {
    let store = Memory::new();
    let links = sign_in(store.clone());
    let issued = issue(&links).await;
    let token = issued.link.token();
    let dump = dump(&store).await;
    // The first part of a link leads to the challenge, the last one is its secret.
    for part in [&token[..16], &token[token.len() - 16..]] {
        assert!(!dump.contains(part), "{dump}");
    }
}
