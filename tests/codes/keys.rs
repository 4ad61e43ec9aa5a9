//! The application's keys, and how they change.

use token_session::codes::Codes;

use super::{
    ANNA, MINUTE, assert_refused, builder, guess_wrong, handle, issue, ring, store_with_clock,
};

#[tokio::test]
async fn a_code_outlives_a_change_of_the_key_and_not_the_end_of_its_own() {
    let (store, _) = store_with_clock();
    let with = |ids: &[u32]| builder(store.clone()).key_ring(ring(ids)).build().unwrap();
    let (first, second) = (issue(&with(&[1])).await, issue(&with(&[1])).await);
    with(&[2, 1]).redeem(handle(&first), first.code.reveal()).await.unwrap();
    assert_refused(with(&[3, 2]).redeem(handle(&second), second.code.reveal()).await);
}

#[tokio::test]
async fn after_a_change_the_new_key_signs() {
    let (store, _) = store_with_clock();
    let with = |ids: &[u32]| builder(store.clone()).key_ring(ring(ids)).build().unwrap();
    let issued = issue(&with(&[2, 1])).await;
    with(&[2]).redeem(handle(&issued), issued.code.reveal()).await.unwrap();
}

#[tokio::test]
async fn a_challenge_may_have_codes_of_two_keys() {
    let (store, clock) = store_with_clock();
    let with = |ids: &[u32]| builder(store.clone()).key_ring(ring(ids)).build().unwrap();
    for old in [true, false] {
        let issued = issue(&with(&[1])).await;
        clock.advance(MINUTE);
        let resent = with(&[2, 1]).resend(handle(&issued)).await.unwrap().message.unwrap();
        let code = if old { issued.code.reveal() } else { resent.0.reveal() };
        with(&[2, 1]).redeem(handle(&issued), code).await.unwrap();
    }
}

#[tokio::test]
async fn after_a_change_a_challenge_has_the_guesses_that_it_had() {
    let (store, _) = store_with_clock();
    let with = |ids: &[u32]| builder(store.clone()).key_ring(ring(ids)).build().unwrap();
    let issued = issue(&with(&[1])).await;
    guess_wrong(&with(&[1]), &issued, 4).await;
    guess_wrong(&with(&[2, 1]), &issued, 1).await;
    super::assert_exhausted(with(&[2, 1]).redeem(handle(&issued), issued.code.reveal()).await);
}

#[tokio::test]
async fn a_code_without_a_key_is_refused_where_there_is_one() {
    let (store, _) = store_with_clock();
    let issued = issue(&builder(store.clone()).build().unwrap()).await;
    let codes = builder(store).key_ring(ring(&[1])).build().unwrap();
    assert_refused(codes.redeem(handle(&issued), issued.code.reveal()).await);
}

#[tokio::test]
async fn a_revocation_reaches_what_older_keys_signed() {
    let (store, _) = store_with_clock();
    let with = |ids: &[u32]| builder(store.clone()).key_ring(ring(ids)).build().unwrap();
    let issued = issue(&with(&[1])).await;
    with(&[2, 1]).revoke(ANNA).await.unwrap();
    assert_refused(with(&[2, 1]).redeem(handle(&issued), issued.code.reveal()).await);
}

#[tokio::test]
async fn a_subject_is_recognised_under_older_keys() {
    let (store, _) = store_with_clock();
    let with = |ids: &[u32]| builder(store.clone()).key_ring(ring(ids)).build().unwrap();
    let issued = issue(&with(&[1])).await;
    let codes: Codes<String> = with(&[2, 1]);
    let guess = || codes.guess(handle(&issued), issued.code.reveal());
    assert_refused(guess().subject("eve@example.org").redeem().await);
    guess().subject(ANNA).redeem().await.unwrap();
}
