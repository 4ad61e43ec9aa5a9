//! A code that is leased, for an action that may fail.

use std::sync::Arc;
use std::time::Duration;

use token_session::codes::{CodeError, Codes};

use super::watched::Watched;
use super::{
    ANNA, HOUR, MILLISECOND, MINUTE, SECOND, assert_refused, builder, codes_with_clock, handle,
    issue, store_with_clock, wrong,
};

#[tokio::test]
async fn a_committed_code_is_used() {
    let (codes, _) = codes_with_clock();
    let issued = issue(&codes).await;
    let guess = || codes.guess(handle(&issued), issued.code.reveal());
    let lease = guess().lease(30 * SECOND).await.unwrap();
    assert_eq!(lease.payload, "payload");
    lease.commit().await.unwrap();
    assert_refused(guess().redeem().await);
    assert_eq!(codes.status(ANNA).await.unwrap().free, 20);
}

#[tokio::test]
async fn an_aborted_code_is_good_again_at_once_with_all_its_guesses() {
    let (codes, _) = codes_with_clock();
    let issued = issue(&codes).await;
    for _ in 0..10 {
        let guess = codes.guess(handle(&issued), issued.code.reveal());
        guess.lease(30 * SECOND).await.unwrap().abort().await.unwrap();
    }
    assert_eq!(codes.status(ANNA).await.unwrap().reserved, 5);
    codes.redeem(handle(&issued), issued.code.reveal()).await.unwrap();
}

#[tokio::test]
async fn nobody_else_uses_a_leased_code() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    let guess = || codes.guess(handle(&issued), issued.code.reveal());
    let lease = guess().lease(30 * SECOND).await.unwrap();
    clock.advance(10 * SECOND);
    for answer in [guess().redeem().await.map(drop), guess().lease(SECOND).await.map(drop)] {
        match answer {
            Err(CodeError::Busy { retry_after }) => assert_eq!(retry_after, 20 * SECOND),
            other => panic!("{other:?}"),
        }
    }
    assert_refused(codes.redeem(handle(&issued), &wrong(&issued)).await);
    lease.commit().await.unwrap();
}

#[tokio::test]
async fn when_a_lease_has_ended_the_code_is_good_again_with_the_same_receipt() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    let guess = || codes.guess(handle(&issued), issued.code.reveal());
    let lost = guess().lease(30 * SECOND).await.unwrap();
    clock.advance(30 * SECOND - MILLISECOND);
    assert!(matches!(guess().redeem().await, Err(CodeError::Busy { .. })));
    clock.advance(MILLISECOND);
    let redeemed = guess().redeem().await.unwrap();
    assert_eq!(redeemed.receipt, lost.receipt);
    assert!(matches!(lost.commit().await, Err(CodeError::LeaseLost)));
    lost.abort().await.unwrap();
    assert_refused(guess().redeem().await);
}

#[tokio::test]
async fn a_late_commit_counts_if_nobody_came_between() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    let guess = || codes.guess(handle(&issued), issued.code.reveal());
    let lease = guess().lease(30 * SECOND).await.unwrap();
    clock.advance(MINUTE);
    lease.commit().await.unwrap();
    assert_refused(guess().redeem().await);
}

#[tokio::test]
async fn a_commit_that_is_repeated_is_done() {
    let (codes, _) = codes_with_clock();
    let issued = issue(&codes).await;
    let lease = codes.guess(handle(&issued), issued.code.reveal()).lease(SECOND).await.unwrap();
    lease.commit().await.unwrap();
    lease.commit().await.unwrap();
}

#[tokio::test]
async fn a_lease_prolongs_no_code() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    let guess = || codes.guess(handle(&issued), issued.code.reveal());
    clock.advance(9 * MINUTE);
    let lease = guess().lease(5 * MINUTE).await.unwrap();
    clock.advance(2 * MINUTE);
    lease.abort().await.unwrap();
    assert_refused(guess().redeem().await);
}

#[tokio::test]
async fn an_action_may_end_after_the_code_has_expired() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    clock.advance(9 * MINUTE);
    let guess = codes.guess(handle(&issued), issued.code.reveal());
    let lease = guess.lease(5 * MINUTE).await.unwrap();
    clock.advance(4 * MINUTE);
    lease.commit().await.unwrap();
}

#[tokio::test]
async fn a_code_that_is_sent_during_a_lease_lives_its_whole_life() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    clock.advance(8 * MINUTE);
    let guess = codes.guess(handle(&issued), issued.code.reveal());
    let lease = guess.lease(MINUTE).await.unwrap();
    let (second, _) = codes.resend(handle(&issued)).await.unwrap().message.unwrap();
    lease.abort().await.unwrap();
    clock.advance(10 * MINUTE - MILLISECOND);
    codes.redeem(handle(&issued), second.reveal()).await.unwrap();
}

#[tokio::test]
async fn a_code_that_is_sent_during_a_lease_does_not_end_it() {
    let (store, clock) = store_with_clock();
    let codes = builder(store).lifetime(MINUTE).resend_after(SECOND).build().unwrap();
    let issued = issue(&codes).await;
    clock.advance(SECOND);
    let guess = codes.guess(handle(&issued), issued.code.reveal());
    let lease = guess.lease(5 * MINUTE).await.unwrap();
    codes.resend(handle(&issued)).await.unwrap();
    clock.advance(4 * MINUTE);
    lease.commit().await.unwrap();
}

#[tokio::test]
async fn the_same_submit_after_the_commit_gets_the_first_answer() {
    let (codes, _) = codes_with_clock();
    let issued = issue(&codes).await;
    let submit =
        || codes.guess(handle(&issued), issued.code.reveal()).attempt("a random text of form 17");
    let first = submit().lease(30 * SECOND).await.unwrap();
    assert!(matches!(submit().lease(30 * SECOND).await, Err(CodeError::Busy { .. })));
    first.commit().await.unwrap();
    let second = submit().lease(30 * SECOND).await.unwrap();
    assert!(second.repeated);
    assert_eq!(second.receipt, first.receipt);
    second.commit().await.unwrap();
    second.abort().await.unwrap();
    assert!(submit().redeem().await.unwrap().repeated);
}

#[tokio::test]
async fn a_lease_of_nothing_or_of_an_age_is_refused() {
    let (codes, _) = codes_with_clock();
    let issued = issue(&codes).await;
    for lease in [Duration::ZERO, HOUR] {
        let guess = codes.guess(handle(&issued), issued.code.reveal());
        assert!(matches!(guess.lease(lease).await, Err(CodeError::Lease { .. })));
    }
    codes.redeem(handle(&issued), issued.code.reveal()).await.unwrap();
}

/// A process leases, acts and commits, and dies at some point. Another one, later, finds the code used
/// after a whole commit, and good otherwise: nothing between.
#[tokio::test]
async fn wherever_a_process_dies_the_code_is_used_or_good_again() {
    let mut used = 0;
    for calls in 0.. {
        let (memory, clock) = store_with_clock();
        let store = Arc::new(Watched::new(memory));
        let codes: Codes<String> = builder(store.clone()).build().unwrap();
        let issued = issue(&codes).await;
        let guess = || codes.guess(handle(&issued), issued.code.reveal());

        store.die_after(calls);
        let mut acted = None;
        let mut committed = false;
        if let Ok(lease) = guess().lease(30 * SECOND).await {
            acted = Some(lease.receipt.clone());
            committed = lease.commit().await.is_ok();
        }
        let survived = store.calls().len() <= calls;
        store.live_on();

        clock.advance(30 * SECOND);
        match guess().redeem().await {
            Ok(redeemed) => {
                assert!(!committed, "redeemed twice after {calls} calls");
                if let Some(receipt) = acted {
                    assert_eq!(receipt, redeemed.receipt, "after {calls} calls");
                }
            }
            Err(CodeError::Refused) => {
                assert!(acted.is_some(), "lost after {calls} calls");
                used += 1;
            }
            Err(error) => panic!("{error} after {calls} calls"),
        }
        if survived {
            assert!(committed);
            break;
        }
    }
    assert!(used > 1);
}
