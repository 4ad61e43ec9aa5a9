//! Codes, with and without a handle, those of links, recovery codes, and device tokens.

use token_session::codes::{CodeError, Codes, RecoveryCodes, SubjectCodes};
use token_session::links::{BaseUrl, SignInLinks};
use token_session::store::Memory;

use super::{ANNA, Sample, empty_store, good, ring, sample};

fn codes(store: Memory) -> Codes<String> {
    Codes::builder("sign-in").store(store).build().unwrap()
}

async fn codes_sample() -> Sample {
    let store = empty_store();
    let codes = codes(store.clone());
    let issued = codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
    let handle = issued.challenge.handle.reveal();
    codes.redeem(handle, "BCDF GHJK").await.unwrap_err();
    codes.redeem(handle, "0000 0000").await.unwrap_err();
    let mut made = Sample::of([("handle", handle), ("code", issued.code.reveal())], &store).await;
    let redeemed = codes.redeem(handle, issued.code.reveal()).await.unwrap();
    made.given.insert("receipt".to_owned(), redeemed.receipt.to_string());
    sample("codes", made)
}

#[tokio::test]
async fn a_code_that_was_mailed_is_good_and_has_its_receipt() {
    let sample = codes_sample().await;
    let codes = codes(sample.store().await);
    let redeemed = good(codes.redeem(sample.given("handle"), sample.given("code")).await);
    assert_eq!(redeemed.payload, "payload");
    assert_eq!(redeemed.receipt.to_string(), sample.given("receipt"));
}

#[tokio::test]
async fn a_guess_that_was_charged_counts() {
    let sample = codes_sample().await;
    let codes = codes(sample.store().await);
    assert_eq!(good(codes.status(ANNA).await).spent, 1);
}

#[tokio::test]
async fn a_subject_that_is_revoked_loses_the_codes_that_were_stored() {
    let sample = codes_sample().await;
    let codes = codes(sample.store().await);
    good(codes.revoke(ANNA).await);
    let answer = codes.redeem(sample.given("handle"), sample.given("code")).await;
    assert!(matches!(answer, Err(CodeError::Refused)), "{answer:?}");
}

fn by_subject(store: Memory) -> SubjectCodes<String> {
    Codes::builder("pair").store(store).key_ring(ring()).build_by_subject().unwrap()
}

#[tokio::test]
async fn a_code_of_a_subject_that_was_mailed_is_good() {
    let store = empty_store();
    let sent = by_subject(store.clone()).issue(ANNA, &"payload".to_owned()).await.unwrap();
    let sample = sample("by_subject", Sample::of([("code", sent.code.reveal())], &store).await);
    let codes = by_subject(sample.store().await);
    assert_eq!(good(codes.redeem(ANNA, sample.given("code")).await).payload, "payload");
}

fn sign_in(store: Memory) -> SignInLinks<String> {
    let base = BaseUrl::path("https://example.org/magic/").unwrap();
    Codes::builder("sign-in").store(store).build_with_links(base).unwrap()
}

#[tokio::test]
async fn a_sign_in_link_that_was_mailed_is_good() {
    let store = empty_store();
    let issued = sign_in(store.clone()).issue(ANNA, &"payload".to_owned()).await.unwrap();
    let given = [("link", issued.link.token()), ("handle", issued.challenge.handle.reveal())];
    let sample = sample("sign_in", Sample::of(given, &store).await);
    let links = sign_in(sample.store().await);
    assert_eq!(good(links.inspect(sample.given("link")).await).payload, "payload");
    let redeemed = links.redeem(sample.given("link"), sample.given("handle")).await;
    assert_eq!(good(redeemed).payload, "payload");
}

fn recovery(store: Memory) -> RecoveryCodes {
    RecoveryCodes::new("recovery", 3, ring(), store).unwrap()
}

#[tokio::test]
async fn recovery_codes_that_were_printed_are_good() {
    let store = empty_store();
    let set = recovery(store.clone()).generate(ANNA).await.unwrap();
    let given = [("first", set[0].reveal()), ("second", set[1].reveal())];
    let sample = sample("recovery", Sample::of(given, &store).await);
    let recovery = recovery(sample.store().await);
    for code in ["first", "second"] {
        assert_eq!(good(recovery.redeem(ANNA, sample.given(code)).await).count, 3);
    }
}

#[tokio::test]
async fn a_device_token_that_a_client_keeps_has_its_own_budget() {
    let codes = Codes::<()>::builder("sign-in").store(empty_store()).key_ring(ring());
    let codes = codes.build().unwrap();
    let token = codes.device_token(ANNA).unwrap();
    let given = super::own([("token", token.reveal())]);
    let sample = sample("device", Sample { given, records: Vec::new() });
    // Strangers have spent the guesses of the day.
    while codes.issue(ANNA, &()).await.is_ok() {}
    good(codes.issue_from_device(sample.given("token"), ANNA, &()).await);
}
