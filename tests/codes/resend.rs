//! A code that is sent anew.

use std::time::Duration;

use super::{
    MILLISECOND, MINUTE, SECOND, assert_exhausted, assert_refused, builder, codes_with_clock,
    guess_wrong, handle, issue, store_with_clock, wait,
};

/// The next code of the challenge.
async fn resend(codes: &token_session::codes::Codes<String>, handle: &str) -> String {
    let resent = codes.resend(handle).await.unwrap();
    let (code, payload) = resent.message.unwrap();
    assert_eq!(payload, "payload");
    code.reveal().to_owned()
}

#[tokio::test]
async fn within_the_cool_down_the_error_says_how_long_to_wait() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    assert_eq!(wait(codes.resend(handle(&issued)).await), MINUTE);
    clock.advance(18 * SECOND + MILLISECOND);
    assert_eq!(wait(codes.resend(handle(&issued)).await), 42 * SECOND);
    clock.advance(42 * SECOND - MILLISECOND);
    resend(&codes, handle(&issued)).await;
    assert_eq!(wait(codes.resend(handle(&issued)).await), MINUTE);
}

#[tokio::test]
async fn the_earlier_code_stays_good_and_after_it_none_is() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    clock.advance(MINUTE);
    let second = resend(&codes, handle(&issued)).await;
    codes.redeem(handle(&issued), issued.code.reveal()).await.unwrap();
    assert_refused(codes.redeem(handle(&issued), &second).await);
    assert_refused(codes.resend(handle(&issued)).await);
}

#[tokio::test]
async fn the_later_code_is_good_too() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    clock.advance(MINUTE);
    let second = resend(&codes, handle(&issued)).await;
    codes.redeem(handle(&issued), &second).await.unwrap();
}

#[tokio::test]
async fn each_code_keeps_its_own_expiry() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    clock.advance(9 * MINUTE);
    let second = resend(&codes, handle(&issued)).await;
    clock.advance(MINUTE);
    assert_refused(codes.redeem(handle(&issued), issued.code.reveal()).await);
    clock.advance(9 * MINUTE - MILLISECOND);
    codes.redeem(handle(&issued), &second).await.unwrap();
}

#[tokio::test]
async fn the_fourth_code_retires_the_first() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        clock.advance(MINUTE);
        sent.push(resend(&codes, handle(&issued)).await);
    }
    assert_refused(codes.redeem(handle(&issued), issued.code.reveal()).await);
    codes.redeem(handle(&issued), &sent[0]).await.unwrap();
}

#[tokio::test]
async fn all_codes_of_a_challenge_share_its_guesses() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    for _ in 0..5 {
        guess_wrong(&codes, &issued, 1).await;
        clock.advance(MINUTE);
        let _ = codes.resend(handle(&issued)).await;
    }
    assert_exhausted(codes.redeem(handle(&issued), issued.code.reveal()).await);
    assert_exhausted(codes.resend(handle(&issued)).await);
    assert_eq!(codes.compared(), 5);
}

#[tokio::test]
async fn a_challenge_that_is_kept_alive_keeps_its_guesses() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    let mut code = String::new();
    for _ in 0..10 {
        clock.advance(9 * MINUTE);
        code = resend(&codes, handle(&issued)).await;
    }
    clock.advance(9 * MINUTE);
    guess_wrong(&codes, &issued, 4).await;
    codes.redeem(handle(&issued), &code).await.unwrap();
}

#[tokio::test]
async fn an_expired_challenge_is_not_revived() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    clock.advance(10 * MINUTE);
    assert_refused(codes.resend(handle(&issued)).await);
}

#[tokio::test]
async fn without_a_cool_down_a_code_may_follow_at_once() {
    let (store, _) = store_with_clock();
    let codes = builder(store).resend_after(Duration::ZERO).build().unwrap();
    let issued = issue(&codes).await;
    codes.resend(handle(&issued)).await.unwrap();
}
