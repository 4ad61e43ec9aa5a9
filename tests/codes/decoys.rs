//! A decoy is as any other challenge, to who guesses and to who measures.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use token_session::codes::{CodeError, Codes, OpenChallenge};
use token_session::store::Listing;
use token_session::{Codec, CodecError, Json};

use super::watched::Watched;
use super::{MINUTE, assert_exhausted, assert_refused, store_with_clock, wait};

const KNOWN: &str = "known@example.org";
const UNKNOWN: &str = "strange@example.org";

type OnWatched = Codes<String>;

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
        codes.decoy(UNKNOWN, &String::new()).await.unwrap()
    }
}

/// JSON, and how many bytes went through it.
#[derive(Clone, Default)]
struct Counted(Arc<Mutex<Vec<String>>>);

impl Codec<String> for Counted {
    fn encode(&self, data: &String) -> Result<Bytes, CodecError> {
        let bytes = Json.encode(data)?;
        self.0.lock().unwrap().push(format!("encode {}", bytes.len()));
        Ok(bytes)
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, CodecError> {
        self.0.lock().unwrap().push(format!("decode {}", bytes.len()));
        Json.decode(bytes)
    }
}

/// What goes through the codec from the first code to the second, and the sizes of what is stored.
async fn work(known: bool, payload: &String) -> (Vec<String>, Vec<usize>) {
    let (store, clock) = store_with_clock();
    let codec = Counted::default();
    let codes = Codes::builder("sign-in").store(store.clone()).codec(codec.clone());
    let codes: Codes<String> = codes.build().unwrap();
    let challenge = match known {
        true => codes.issue(KNOWN, payload).await.unwrap().challenge,
        false => codes.decoy(KNOWN, payload).await.unwrap(),
    };
    clock.advance(MINUTE);
    codes.resend(challenge.handle.reveal()).await.unwrap();
    assert_refused(codes.redeem(challenge.handle.reveal(), "00000000").await);
    let page = store.scan(None, 10).await.unwrap();
    let mut sizes: Vec<usize> = page.records.iter().map(|(_, record)| record.data.len()).collect();
    sizes.sort_unstable();
    let calls = codec.0.lock().unwrap().clone();
    (calls, sizes)
}

#[tokio::test]
async fn a_decoy_is_as_much_work_as_a_real_challenge_at_any_size_of_the_payload() {
    for size in [0, 1, 100, 4_000] {
        let payload = "a".repeat(size);
        let (real, real_sizes) = work(true, &payload).await;
        let (decoy, decoy_sizes) = work(false, &payload).await;
        assert_eq!(real, decoy);
        assert_eq!(real[0], format!("encode {}", size + 2));
        // "decoy":true is a byte shorter than "decoy":false.
        let [shorter, longer] = [decoy_sizes, real_sizes].map(|sizes| sizes.iter().sum::<usize>());
        assert!(longer.abs_diff(shorter) <= 1, "{longer} {shorter}");
    }
}

#[tokio::test]
async fn the_payload_of_a_decoy_has_the_limit_of_a_real_one() {
    let (store, _) = store_with_clock();
    let codes = Codes::<String>::builder("sign-in").store(store).build().unwrap();
    let answer = codes.decoy(UNKNOWN, &"a".repeat(1_000_000)).await;
    assert!(matches!(answer, Err(CodeError::TooLarge { .. })), "{answer:?}");
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
        codes.decoy(UNKNOWN, &String::new()).await.unwrap();
    }
    wait(codes.decoy(UNKNOWN, &String::new()).await);
}

#[tokio::test]
async fn the_code_of_a_decoy_opens_nothing() {
    let (store, clock) = store_with_clock();
    let links = Codes::<String>::builder("sign-in").store(store).build_with_links(
        token_session::links::BaseUrl::path("https://example.org/magic/").unwrap(),
    );
    let links = links.unwrap();
    let decoy = links.codes().decoy(UNKNOWN, &String::new()).await.unwrap();
    clock.advance(MINUTE);
    assert!(links.resend(decoy.handle.reveal()).await.unwrap().message.is_none());
}
