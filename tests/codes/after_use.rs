//! What is left of a challenge after its use: an answer for the submit that comes twice, and nothing
//! for who guesses.

use std::collections::HashSet;
use std::sync::Arc;

use token_session::Token;
use token_session::codes::{CodeError, Codes, SubjectCodes};

use super::watched::Watched;
use super::{
    ANNA, HOUR, MINUTE, SECOND, assert_refused, builder, codes_with_clock, handle, issue, ring,
    store_with_clock, wrong,
};

const FORM: &str = "a random text of the form";

/// Codes without a handle, and one of Anna's that was used with an attempt key.
async fn used_by_subject() -> (SubjectCodes<String>, String) {
    let (store, _) = store_with_clock();
    let codes = builder(store).key_ring(ring(&[1])).build_by_subject().unwrap();
    let code = codes.issue(ANNA, &"payload".to_owned()).await.unwrap().code.reveal().to_owned();
    codes.guess(ANNA, &code).attempt(FORM).redeem().await.unwrap();
    (codes, code)
}

#[tokio::test]
async fn who_guesses_at_a_used_code_has_no_more_guesses_than_a_challenge() {
    let (codes, code) = used_by_subject().await;
    let other = if code.starts_with('0') { "10000000" } else { "00000000" };
    for _ in 0..5 {
        assert_refused(codes.guess(ANNA, other).attempt(FORM).redeem().await);
    }
    assert_refused(codes.guess(ANNA, &code).attempt(FORM).redeem().await);
}

#[tokio::test]
async fn of_racing_guesses_at_a_used_code_no_more_are_compared_than_a_challenge_has() {
    let (store, _) = store_with_clock();
    let store = Arc::new(Watched::distant(store, SECOND / 1_000));
    let codes: Codes<String> = builder(store).build().unwrap();
    let issued = issue(&codes).await;
    let submit = async |code: String| {
        codes.guess(handle(&issued), &code).attempt(FORM).redeem().await.is_ok()
    };
    assert!(submit(issued.code.reveal().to_owned()).await);
    let submits = (0..50).map(|_| submit(issued.code.reveal().to_owned()));
    let answers = futures_util::future::join_all(submits).await;
    assert_eq!(answers.into_iter().filter(|answered| *answered).count(), 5);
}

#[tokio::test]
async fn a_submit_is_answered_again_as_often_as_a_challenge_has_guesses() {
    let (store, _) = store_with_clock();
    let codes = builder(store).tries(2).build().unwrap();
    let issued = issue(&codes).await;
    let submit = || codes.guess(handle(&issued), issued.code.reveal()).attempt(FORM);
    assert!(!submit().redeem().await.unwrap().repeated);
    for _ in 0..2 {
        assert!(submit().redeem().await.unwrap().repeated);
    }
    assert_refused(submit().redeem().await);
}

#[tokio::test]
async fn who_has_no_attempt_key_spends_none_of_the_answers_for_who_has() {
    let (codes, code) = used_by_subject().await;
    for _ in 0..20 {
        assert_refused(codes.guess(ANNA, &code).redeem().await);
    }
    assert!(codes.guess(ANNA, &code).attempt(FORM).redeem().await.unwrap().repeated);
}

#[tokio::test]
async fn a_double_click_gets_the_first_answer_and_one_use() {
    let (codes, _) = codes_with_clock();
    let issued = issue(&codes).await;
    let submit = || codes.guess(handle(&issued), issued.code.reveal()).attempt(FORM);
    let (first, second) = (submit().redeem().await.unwrap(), submit().redeem().await.unwrap());
    assert_eq!((first.repeated, second.repeated), (false, true));
    assert_eq!((first.payload, first.receipt), (second.payload, second.receipt));
    assert_eq!(codes.compared(), 1);
}

#[tokio::test]
async fn another_attempt_key_or_none_is_no_double_click() {
    let (codes, _) = codes_with_clock();
    let issued = issue(&codes).await;
    let guess = || codes.guess(handle(&issued), issued.code.reveal());
    guess().attempt(FORM).redeem().await.unwrap();
    assert_refused(guess().attempt("a random text of another form").redeem().await);
    assert_refused(guess().redeem().await);
    assert!(guess().attempt(FORM).redeem().await.unwrap().repeated);
}

#[tokio::test]
async fn a_wrong_guess_with_the_right_attempt_key_gets_nothing() {
    let (codes, _) = codes_with_clock();
    let issued = issue(&codes).await;
    let wrong = wrong(&issued);
    let submit = |code| codes.guess(handle(&issued), code).attempt(FORM);
    submit(issued.code.reveal()).redeem().await.unwrap();
    assert_refused(submit(&wrong).redeem().await);
    assert_refused(submit(&wrong).lease(SECOND).await);
}

#[tokio::test]
async fn an_answer_that_is_given_again_is_kept_no_longer_for_it() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    let submit = || codes.guess(handle(&issued), issued.code.reveal()).attempt(FORM);
    submit().redeem().await.unwrap();
    clock.advance(20 * SECOND);
    assert!(submit().redeem().await.unwrap().repeated);
    clock.advance(10 * SECOND);
    assert_refused(submit().redeem().await);
}

#[tokio::test]
async fn an_attempt_key_that_could_be_guessed_is_an_error_and_costs_nothing() {
    let store = Arc::new(Watched::new(store_with_clock().0));
    let codes = builder(store.clone()).build().unwrap();
    let issued = issue(&codes).await;
    store.calls();
    let guess = || codes.guess(handle(&issued), issued.code.reveal());
    for attempt in ["", "1", &"x".repeat(15), &"x".repeat(256)] {
        let answer = guess().attempt(attempt).redeem().await;
        assert!(matches!(answer, Err(CodeError::Attempt { len }) if len == attempt.len()));
        let answer = guess().attempt(attempt).lease(SECOND).await;
        assert!(matches!(answer, Err(CodeError::Attempt { len }) if len == attempt.len()));
    }
    assert_eq!(store.calls(), [""; 0]);
    guess().attempt(&"x".repeat(16)).redeem().await.unwrap();
}

#[tokio::test]
async fn a_token_is_an_attempt_key() {
    let (codes, _) = codes_with_clock();
    let issued = issue(&codes).await;
    let form = Token::random("").unwrap();
    let submit = || codes.guess(handle(&issued), issued.code.reveal()).attempt(form.reveal());
    submit().redeem().await.unwrap();
    assert!(submit().redeem().await.unwrap().repeated);
}

/// The first submit was written, and its answer lost: whoever asks again is told that it was used
/// before, though nobody has acted on it.
#[tokio::test]
async fn a_repeated_answer_may_be_the_first_that_arrives() {
    let store = Arc::new(Watched::new(store_with_clock().0));
    let codes = builder(store.clone()).build().unwrap();
    let issued = issue(&codes).await;
    let submit = || codes.guess(handle(&issued), issued.code.reveal()).attempt(FORM);
    // The challenge and its budget are loaded, and the guess is charged; the use is the fourth call.
    store.die_after(3);
    assert!(submit().redeem().await.unwrap_err().is_retryable());
    store.live_on();
    let answer = submit().redeem().await.unwrap();
    assert!(answer.repeated);
    assert_eq!(answer.payload, "payload");
}

#[tokio::test]
async fn a_lease_that_was_taken_is_given_though_the_count_could_not_be_cleared() {
    let (memory, clock) = store_with_clock();
    let store = Arc::new(Watched::new(memory));
    let codes = builder(store.clone()).build().unwrap();
    let issued = issue(&codes).await;
    // The challenge and its budget are loaded, the guess is charged, and the lease written.
    store.die_after(4);
    let lease = codes.guess(handle(&issued), issued.code.reveal()).lease(MINUTE).await.unwrap();
    store.live_on();
    clock.advance(SECOND);
    lease.commit().await.unwrap();
    assert_refused(codes.redeem(handle(&issued), issued.code.reveal()).await);
}

#[tokio::test]
async fn each_code_without_a_handle_has_a_receipt_of_its_own() {
    let (store, clock) = store_with_clock();
    let codes = builder(store).key_ring(ring(&[1])).build_by_subject().unwrap();
    let mut receipts = HashSet::new();
    for _ in 0..3 {
        let sent = codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
        let redeemed = codes.redeem(ANNA, sent.code.reveal()).await.unwrap();
        assert!(receipts.insert(redeemed.receipt.to_string()));
        clock.advance(HOUR);
    }
}

#[tokio::test]
async fn what_was_done_for_one_payload_is_not_done_for_another_of_the_same_challenge() {
    let (store, clock) = store_with_clock();
    let codes = builder(store).key_ring(ring(&[1])).build_by_subject().unwrap();
    let sent = codes.issue(ANNA, &"living room".to_owned()).await.unwrap();
    let lost = codes.guess(ANNA, sent.code.reveal()).lease(SECOND).await.unwrap();
    clock.advance(MINUTE);
    let sent = codes.issue(ANNA, &"kitchen".to_owned()).await.unwrap();
    let redeemed = codes.redeem(ANNA, sent.code.reveal()).await.unwrap();
    assert_ne!(redeemed.receipt, lost.receipt);
}
