//! What asking for codes comes to, where nobody guesses.

use token_session::codes::CodeError;
use token_session::store::{Memory, StoreErrorKind};

use super::{ANNA, DAY, HOUR, MINUTE, SECOND, builder, handle, issue, store_with_clock, wait};

#[tokio::test]
async fn a_challenge_that_the_store_did_not_take_keeps_no_guesses() {
    // The count takes the only place, and the challenge is one too many.
    let codes = builder(Memory::builder().capacity(1).build()).build().unwrap();
    for _ in 0..10 {
        match codes.issue(ANNA, &String::new()).await {
            Err(CodeError::Store(error)) => assert_eq!(error.kind(), StoreErrorKind::Full),
            other => panic!("{other:?}"),
        }
    }
    let status = codes.status(ANNA).await.unwrap();
    assert_eq!((status.open, status.reserved, status.free), (0, 0, 20));
}

#[tokio::test]
async fn four_requests_for_codes_that_live_a_day_close_a_subject_for_a_day() {
    let (store, _) = store_with_clock();
    let codes = builder(store).confirms_address().lifetime(DAY).build().unwrap();
    for _ in 0..4 {
        issue(&codes).await;
    }
    assert_eq!(wait(codes.issue(ANNA, &String::new()).await), DAY + MINUTE);
}

#[tokio::test]
async fn codes_that_are_sent_anew_close_a_subject_for_as_long_as_somebody_asks() {
    let (store, clock) = store_with_clock();
    let codes = builder(store).build().unwrap();
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(issue(&codes).await);
    }
    for _ in 0..2 * HOUR.as_secs() / (9 * MINUTE).as_secs() {
        clock.advance(9 * MINUTE);
        for issued in &open {
            codes.resend(handle(issued)).await.unwrap();
        }
        assert_eq!(wait(codes.issue(ANNA, &String::new()).await), 11 * MINUTE);
    }
    clock.advance(10 * MINUTE + 59 * SECOND);
    assert_eq!(wait(codes.issue(ANNA, &String::new()).await), SECOND);
    codes.revoke(ANNA).await.unwrap();
    issue(&codes).await;
}
