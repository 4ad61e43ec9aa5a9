//! A decoy is as any other challenge, to who guesses and to who measures.

use std::sync::Arc;

use token_session::codes::{Codes, OpenChallenge};

use super::watched::Watched;
use super::{MINUTE, assert_exhausted, assert_refused, store_with_clock, wait};

const KNOWN: &str = "known@example.org";
const UNKNOWN: &str = "strange@example.org";

type OnWatched = Codes<String, Arc<Watched>>;

/// What a client sees, and what the store is asked, from the first request to the last.
async fn story(known: bool) -> (Vec<String>, Vec<String>) {
    let (store, clock) = store_with_clock();
    let store = Arc::new(Watched::new(store));
    let codes: OnWatched = Codes::builder("sign-in").store(store.clone()).build().unwrap();
    let mut seen = Vec::new();
    let challenge = open(&codes, known).await;
    let handle = challenge.handle.reveal();
    seen.push(format!("{} {:?} {:?}", handle.len(), challenge.expires_in, challenge.resend_in));
    seen.push(wait(codes.resend(handle).await).as_secs().to_string());
    clock.advance(MINUTE);
    let resent = codes.resend(handle).await.unwrap();
    assert_eq!(resent.message.is_some(), known);
    seen.push(format!("{:?} {:?}", resent.expires_in, resent.resend_in));
    for _ in 0..5 {
        let answer = codes.redeem(handle, "BCDFGHJK").await;
        assert_refused(answer);
        assert_refused(codes.redeem(handle, "00000000").await);
    }
    assert_exhausted(codes.redeem(handle, "00000000").await);
    clock.advance(MINUTE);
    assert_exhausted(codes.resend(handle).await);
    seen.push(format!("{:?}", codes.status(subject(known)).await.unwrap()));
    (seen, store.calls())
}

fn subject(known: bool) -> &'static str {
    if known { KNOWN } else { UNKNOWN }
}

async fn open(codes: &OnWatched, known: bool) -> OpenChallenge {
    if known {
        codes.issue(KNOWN, &String::new()).await.unwrap().challenge
    } else {
        codes.decoy(UNKNOWN).await.unwrap()
    }
}

#[tokio::test]
async fn a_decoy_looks_like_any_other_challenge_and_costs_the_same() {
    let (known, known_calls) = story(true).await;
    let (unknown, unknown_calls) = story(false).await;
    assert_eq!(known, unknown);
    assert_eq!(known_calls, unknown_calls);
    assert!(known_calls.len() > 20, "{known_calls:?}");
}

#[tokio::test]
async fn a_decoy_is_refused_when_its_subject_has_no_guess_left() {
    let (store, _) = store_with_clock();
    let codes = Codes::<String>::builder("sign-in").store(store).build().unwrap();
    for _ in 0..4 {
        codes.decoy(UNKNOWN).await.unwrap();
    }
    wait(codes.decoy(UNKNOWN).await);
}

#[tokio::test]
async fn the_code_of_a_decoy_opens_nothing() {
    let (store, clock) = store_with_clock();
    let links = Codes::<String>::builder("sign-in").store(store).build_with_links(
        token_session::links::BaseUrl::path("https://example.org/magic/").unwrap(),
    );
    let links = links.unwrap();
    let decoy = links.codes().decoy(UNKNOWN).await.unwrap();
    clock.advance(MINUTE);
    assert!(links.resend(decoy.handle.reveal()).await.unwrap().message.is_none());
}
