//! How many guesses there are, and when there are more.

use std::sync::Arc;

use token_session::codes::{CodeError, PolicyError};
use token_session::store::Listing;

use super::watched::Watched;
use super::{
    ANNA, DAY, MILLISECOND, MINUTE, SECOND, assert_exhausted, assert_refused, builder,
    codes_with_clock, guess_wrong, handle, issue, ring, store_with_clock, wait,
};

#[tokio::test]
async fn a_success_clears_the_count() {
    let (codes, _) = codes_with_clock();
    for _ in 0..10 {
        let issued = issue(&codes).await;
        guess_wrong(&codes, &issued, 4).await;
        codes.redeem(handle(&issued), issued.code.reveal()).await.unwrap();
    }
    let status = codes.status(ANNA).await.unwrap();
    assert_eq!((status.open, status.reserved, status.spent, status.free), (0, 0, 0, 20));
}

#[tokio::test]
async fn ten_minutes_after_a_success_nothing_is_left() {
    let (store, clock) = store_with_clock();
    let codes = builder(store.clone()).build().unwrap();
    let issued = issue(&codes).await;
    guess_wrong(&codes, &issued, 4).await;
    codes.redeem(handle(&issued), issued.code.reveal()).await.unwrap();
    clock.advance(10 * MINUTE);
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn who_asks_and_never_guesses_is_forgotten_soon_and_who_guesses_after_a_day() {
    let (store, clock) = store_with_clock();
    let codes = builder(store.clone()).build().unwrap();
    for number in 0..10 {
        codes.decoy(&format!("person-{number}@example.org"), &String::new()).await.unwrap();
    }
    guess_wrong(&codes, &issue(&codes).await, 1).await;
    // The code's life, and a minute for clocks that differ.
    clock.advance(11 * MINUTE);
    assert_eq!(store.count().await.unwrap(), 1);
    clock.advance(DAY - 11 * MINUTE);
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_late_guess_does_not_undo_what_came_after_a_revocation() {
    let (memory, _) = store_with_clock();
    let store = Arc::new(Watched::new(memory.clone()));
    let (stranger, codes) =
        (builder(store.clone()).build().unwrap(), builder(memory).build().unwrap());
    let first = issue(&codes).await;
    let mut second = None;
    let meanwhile = async {
        codes.revoke(ANNA).await.unwrap();
        second = Some(issue(&codes).await);
    };
    let wrong = super::wrong(&first);
    let late = stranger.redeem(handle(&first), &wrong);
    assert_refused(store.hold_back(0, late, meanwhile).await);
    assert_eq!(codes.status(ANNA).await.unwrap().reserved, 5);
    let second = second.unwrap();
    codes.redeem(handle(&second), second.code.reveal()).await.unwrap();
}

#[tokio::test]
async fn a_late_guess_does_not_undo_what_came_after_an_expiry() {
    let (memory, clock) = store_with_clock();
    let store = Arc::new(Watched::new(memory.clone()));
    let (stranger, codes) =
        (builder(store.clone()).build().unwrap(), builder(memory).build().unwrap());
    let first = issue(&codes).await;
    clock.advance(10 * MINUTE - MILLISECOND);
    let mut second = None;
    let meanwhile = async {
        clock.advance(MINUTE + MILLISECOND);
        second = Some(issue(&codes).await);
    };
    let wrong = super::wrong(&first);
    let late = stranger.redeem(handle(&first), &wrong);
    assert_refused(store.hold_back(0, late, meanwhile).await);
    let second = second.unwrap();
    codes.redeem(handle(&second), second.code.reveal()).await.unwrap();
}

#[tokio::test]
async fn a_success_leaves_other_challenges_what_they_keep() {
    let (codes, _) = codes_with_clock();
    let (first, second) = (issue(&codes).await, issue(&codes).await);
    guess_wrong(&codes, &second, 2).await;
    codes.redeem(handle(&first), first.code.reveal()).await.unwrap();
    let status = codes.status(ANNA).await.unwrap();
    assert_eq!((status.open, status.reserved, status.spent, status.free), (1, 3, 0, 17));
    guess_wrong(&codes, &second, 3).await;
    assert_exhausted(codes.redeem(handle(&second), second.code.reveal()).await);
}

#[tokio::test]
async fn a_new_challenge_does_not_begin_the_count_anew() {
    let (codes, _) = codes_with_clock();
    for _ in 0..4 {
        let issued = issue(&codes).await;
        guess_wrong(&codes, &issued, 5).await;
    }
    wait(codes.issue(ANNA, &String::new()).await);
    let status = codes.status(ANNA).await.unwrap();
    assert_eq!((status.open, status.spent, status.free), (0, 20, 0));
}

#[tokio::test]
async fn the_last_challenge_of_a_day_keeps_what_is_left() {
    let (store, _) = store_with_clock();
    let codes = builder(store).tries_per_day(7).build().unwrap();
    let (first, second) = (issue(&codes).await, issue(&codes).await);
    guess_wrong(&codes, &second, 2).await;
    assert_exhausted(codes.redeem(handle(&second), second.code.reveal()).await);
    guess_wrong(&codes, &first, 5).await;
    assert_eq!(codes.compared(), 7);
}

#[tokio::test]
async fn a_lease_gives_a_challenge_no_more_than_the_day_leaves() {
    let (store, _) = store_with_clock();
    let codes = builder(store).tries(60).tries_per_day(100).accepted_risk(1e-5).build().unwrap();
    let (_first, second) = (issue(&codes).await, issue(&codes).await);
    guess_wrong(&codes, &second, 30).await;
    let guess = codes.guess(handle(&second), second.code.reveal());
    guess.lease(MINUTE).await.unwrap().abort().await.unwrap();
    let status = codes.status(ANNA).await.unwrap();
    assert_eq!((status.open, status.reserved, status.spent, status.free), (2, 100, 0, 0));
}

#[tokio::test]
async fn a_spent_guess_is_free_again_after_a_day_and_not_before() {
    let (codes, clock) = codes_with_clock();
    for _ in 0..4 {
        let issued = issue(&codes).await;
        guess_wrong(&codes, &issued, 5).await;
    }
    assert_eq!(wait(codes.issue(ANNA, &String::new()).await), DAY);
    clock.advance(DAY - MILLISECOND);
    assert_eq!(wait(codes.issue(ANNA, &String::new()).await), SECOND);
    clock.advance(MILLISECOND);
    issue(&codes).await;
}

#[tokio::test]
async fn the_day_is_any_24_hours_not_one_of_the_calendar() {
    let (codes, clock) = codes_with_clock();
    for _ in 0..4 {
        let issued = issue(&codes).await;
        guess_wrong(&codes, &issued, 5).await;
        clock.advance(DAY / 8);
    }
    // At half past the day the guesses are from 0, 1/8, 2/8 and 3/8 of it.
    clock.advance(DAY / 2);
    let issued = issue(&codes).await;
    guess_wrong(&codes, &issued, 5).await;
    assert_eq!(wait(codes.issue(ANNA, &String::new()).await), DAY / 8);
}

#[tokio::test]
async fn what_an_expired_challenge_did_not_spend_goes_back() {
    let (codes, clock) = codes_with_clock();
    for _ in 0..4 {
        guess_wrong(&codes, &issue(&codes).await, 1).await;
    }
    // A minute longer than a code lives.
    assert_eq!(wait(codes.issue(ANNA, &String::new()).await), 11 * MINUTE);
    clock.advance(11 * MINUTE);
    let status = codes.status(ANNA).await.unwrap();
    assert_eq!((status.open, status.reserved, status.spent, status.free), (0, 0, 4, 16));
}

#[tokio::test]
async fn what_a_cancelled_challenge_did_not_spend_goes_back_after_the_cool_down() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    guess_wrong(&codes, &issued, 2).await;
    clock.advance(18 * SECOND);
    codes.cancel(handle(&issued)).await.unwrap();
    assert_refused(codes.redeem(handle(&issued), issued.code.reveal()).await);
    clock.advance(42 * SECOND - MILLISECOND);
    assert_eq!(codes.status(ANNA).await.unwrap().free, 15);
    clock.advance(MILLISECOND);
    let status = codes.status(ANNA).await.unwrap();
    assert_eq!((status.open, status.reserved, status.spent, status.free), (0, 0, 2, 18));
    codes.cancel(handle(&issued)).await.unwrap();
    codes.cancel("no handle of ours").await.unwrap();
}

#[tokio::test]
async fn to_cancel_and_to_issue_is_no_way_around_the_cool_down() {
    let (codes, clock) = codes_with_clock();
    let mut mails = 0;
    for _ in 0..10 * 60 {
        while let Ok(issued) = codes.issue(ANNA, &String::new()).await {
            mails += 1;
            codes.cancel(handle(&issued)).await.unwrap();
        }
        clock.advance(SECOND);
    }
    assert_eq!(mails, 4 * 10);
}

#[tokio::test]
async fn a_revocation_ends_every_challenge_and_forgives_no_guess() {
    let (codes, _) = codes_with_clock();
    let (first, second) = (issue(&codes).await, issue(&codes).await);
    guess_wrong(&codes, &second, 2).await;
    codes.revoke(ANNA).await.unwrap();
    for issued in [&first, &second] {
        assert_refused(codes.redeem(handle(issued), issued.code.reveal()).await);
        assert_refused(codes.resend(handle(issued)).await);
    }
    let status = codes.status(ANNA).await.unwrap();
    assert_eq!((status.open, status.reserved, status.spent, status.free), (0, 0, 2, 18));
}

#[tokio::test]
async fn subjects_and_purposes_have_budgets_of_their_own() {
    let (store, _) = store_with_clock();
    let codes = builder(store.clone()).build().unwrap();
    let others = token_session::codes::Codes::<String>::builder("reset");
    let others = others.store(store).build().unwrap();
    for _ in 0..4 {
        issue(&codes).await;
    }
    wait(codes.issue(ANNA, &String::new()).await);
    others.issue(ANNA, &String::new()).await.unwrap();
    codes.issue("ben@example.org", &String::new()).await.unwrap();
}

#[tokio::test]
async fn a_subject_without_challenges_has_a_status() {
    let (codes, _) = codes_with_clock();
    let status = codes.status(ANNA).await.unwrap();
    assert_eq!((status.open, status.reserved, status.spent, status.free), (0, 0, 0, 20));
    assert_eq!(status.retry_after, None);
    assert!(matches!(codes.status("").await, Err(CodeError::Subject { len: 0 })));
}

#[tokio::test]
async fn a_known_device_has_a_budget_of_its_own() {
    let (store, _) = store_with_clock();
    let codes = builder(store).key_ring(ring(&[1])).build().unwrap();
    let device = codes.device_token(ANNA).unwrap();
    for _ in 0..4 {
        guess_wrong(&codes, &issue(&codes).await, 5).await;
    }
    wait(codes.issue(ANNA, &String::new()).await);
    let from_device = async || codes.issue_from_device(device.reveal(), ANNA, &String::new()).await;
    let issued = from_device().await.unwrap();
    guess_wrong(&codes, &issued, 4).await;
    codes.redeem(handle(&issued), issued.code.reveal()).await.unwrap();

    // And no more than that.
    for _ in 0..4 {
        guess_wrong(&codes, &from_device().await.unwrap(), 5).await;
    }
    assert_eq!(wait(from_device().await), DAY);
    wait(codes.issue(ANNA, &String::new()).await);
}

#[tokio::test]
async fn a_device_is_known_to_its_subject_alone() {
    let (store, _) = store_with_clock();
    let codes = builder(store.clone()).key_ring(ring(&[1])).build().unwrap();
    let others = token_session::codes::Codes::<String>::builder("reset");
    let others = others.store(store).key_ring(ring(&[1])).build().unwrap();
    for _ in 0..4 {
        issue(&codes).await;
    }
    let good = codes.device_token(ANNA).unwrap().reveal().to_owned();
    let strange = [
        codes.device_token("eve@example.org").unwrap().reveal().to_owned(),
        others.device_token(ANNA).unwrap().reveal().to_owned(),
        good[1..].to_owned(),
        good[..good.len() - 1].to_owned(),
        format!("{good}="),
        format!("a{good}"),
        ".".to_owned(),
        String::new(),
        "a".repeat(1_000_000),
    ];
    for device in strange {
        wait(codes.issue_from_device(&device, ANNA, &String::new()).await);
    }
    codes.issue_from_device(&good, ANNA, &String::new()).await.unwrap();
}

#[tokio::test]
async fn a_revocation_ends_what_a_device_asked_for() {
    let (store, _) = store_with_clock();
    let codes = builder(store).key_ring(ring(&[1])).build().unwrap();
    let device = codes.device_token(ANNA).unwrap();
    let issued = codes.issue_from_device(device.reveal(), ANNA, &String::new()).await.unwrap();
    codes.revoke(ANNA).await.unwrap();
    assert_refused(codes.redeem(handle(&issued), issued.code.reveal()).await);
}

#[tokio::test]
async fn without_a_key_of_the_application_no_device_is_known() {
    let (codes, _) = codes_with_clock();
    assert!(matches!(
        codes.device_token(ANNA),
        Err(CodeError::Policy(PolicyError::NoKeyRing { .. }))
    ));
    codes.issue_from_device("any", ANNA, &String::new()).await.unwrap();
    assert_eq!(codes.status(ANNA).await.unwrap().open, 1);
}

#[tokio::test]
async fn a_success_forgets_a_guess_that_was_charged_just_before_too() {
    let (memory, _) = store_with_clock();
    let store = Arc::new(Watched::new(memory.clone()));
    let (codes, others) = (builder(store.clone()), builder(memory));
    let (codes, others) = (codes.build().unwrap(), others.build().unwrap());
    let (right, open) = (issue(&others).await, issue(&others).await);
    // The charge and the use of the code come before.
    let redeem = codes.redeem(handle(&right), right.code.reveal());
    store.hold_back(2, redeem, guess_wrong(&others, &open, 1)).await.unwrap();
    let calls = store.calls();
    assert_eq!(calls.len(), 5 + 2, "{calls:?}");
    let status = codes.status(ANNA).await.unwrap();
    assert_eq!((status.open, status.reserved, status.spent, status.free), (1, 4, 0, 16));
}

#[tokio::test]
async fn codes_cost_what_their_docs_say() {
    let (memory, clock) = store_with_clock();
    let store = Arc::new(Watched::new(memory));
    let codes = builder(store.clone()).build().unwrap();
    let cost = |expected: usize| {
        let calls = store.calls();
        assert_eq!(calls.len(), expected, "{calls:?}");
    };
    let issued = issue(&codes).await;
    cost(3);
    guess_wrong(&codes, &issued, 1).await;
    cost(3);
    clock.advance(MINUTE);
    codes.resend(handle(&issued)).await.unwrap();
    cost(4);
    codes.status(ANNA).await.unwrap();
    cost(1);
    codes.redeem(handle(&issued), issued.code.reveal()).await.unwrap();
    cost(5);
    let issued = issue(&codes).await;
    cost(3);
    let guess = codes.guess(handle(&issued), issued.code.reveal());
    let lease = guess.lease(MINUTE).await.unwrap();
    cost(5);
    lease.commit().await.unwrap();
    cost(3);
    let issued = issue(&codes).await;
    cost(3);
    let guess = codes.guess(handle(&issued), issued.code.reveal());
    let lease = guess.lease(MINUTE).await.unwrap();
    cost(5);
    lease.abort().await.unwrap();
    cost(1);
    codes.cancel(handle(&issued)).await.unwrap();
    cost(3);
    issue(&codes).await;
    cost(3);
    codes.revoke(ANNA).await.unwrap();
    cost(3);
}

#[tokio::test]
async fn a_challenge_is_kept_in_the_partition_of_its_subject() {
    let (memory, _) = store_with_clock();
    let store = Arc::new(Watched::partitioned(memory, 64));
    let codes = builder(store.clone()).tries(1).build().unwrap();
    for _ in 0..10 {
        let issued = issue(&codes).await;
        codes.redeem(handle(&issued), issued.code.reveal()).await.unwrap();
    }
    assert!(store.calls().len() > 10);
}

#[tokio::test]
async fn codes_work_on_a_store_that_is_picked_at_run_time() {
    let store = token_session::store::connect("memory:").await.unwrap();
    let codes = builder(store).build().unwrap();
    let issued = issue(&codes).await;
    guess_wrong(&codes, &issued, 4).await;
    codes.redeem(handle(&issued), issued.code.reveal()).await.unwrap();
}
