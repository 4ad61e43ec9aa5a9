//! Codes without a handle.

use std::collections::HashMap;
use std::sync::Arc;

use token_session::codes::{CodeError, Codes, PolicyError, SubjectCodes};
use token_session::store::{AtomicStore, Listing, ManualClock, Memory};

use super::watched::Watched;
use super::{
    ANNA, HOUR, MILLISECOND, MINUTE, SECOND, assert_exhausted, assert_refused, dump, ring,
    store_with_clock, wait,
};

fn by_subject(store: impl AtomicStore, ids: &[u32]) -> SubjectCodes<String> {
    Codes::builder("pair").store(store).key_ring(ring(ids)).build_by_subject().unwrap()
}

async fn issue(codes: &SubjectCodes<String>, payload: &str) -> String {
    let sent = codes.issue(ANNA, &payload.to_owned()).await.unwrap();
    sent.code.reveal().to_owned()
}

fn wrong(code: &str) -> String {
    let first = if code.starts_with('0') { '1' } else { '0' };
    format!("{first}{}", &code[1..])
}

#[tokio::test]
async fn a_code_is_redeemed_once_with_its_subject() {
    let (store, _) = store_with_clock();
    let codes = by_subject(store, &[1]);
    let sent = codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
    assert_refused(codes.redeem("eve@example.org", sent.code.reveal()).await);
    let redeemed = codes.redeem(ANNA, sent.code.reveal()).await.unwrap();
    assert_eq!(redeemed.payload, "payload");
    assert_refused(codes.redeem(ANNA, sent.code.reveal()).await);
}

#[tokio::test]
async fn without_a_key_of_the_application_there_are_none() {
    let built = Codes::<String>::builder("pair").build_by_subject();
    assert!(matches!(built, Err(PolicyError::NoKeyRing { .. })));
}

#[tokio::test]
async fn a_used_code_makes_way_for_a_new_one_at_once() {
    let (store, _) = store_with_clock();
    let codes = by_subject(store, &[1]);
    for _ in 0..30 {
        let sent = codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
        codes.redeem(ANNA, sent.code.reveal()).await.unwrap();
    }
}

#[tokio::test]
async fn an_expired_code_makes_way_for_a_new_one() {
    let (store, clock) = store_with_clock();
    let codes = by_subject(store, &[1]);
    codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
    clock.advance(10 * MINUTE);
    let sent = codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
    codes.redeem(ANNA, sent.code.reveal()).await.unwrap();
}

#[tokio::test]
async fn one_more_code_waits_for_the_cool_down_and_leaves_the_earlier_one_good() {
    let (store, clock) = store_with_clock();
    let codes = by_subject(store, &[1]);
    let first = codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
    clock.advance(SECOND);
    assert_eq!(wait(codes.issue(ANNA, &"payload".to_owned()).await), 59 * SECOND);
    clock.advance(59 * SECOND);
    let second = codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
    codes.redeem(ANNA, first.code.reveal()).await.unwrap();
    assert_refused(codes.redeem(ANNA, second.code.reveal()).await);
}

#[tokio::test]
async fn a_payload_without_an_order_is_equal_to_itself_and_leaves_the_earlier_code_good() {
    let (store, clock) = store_with_clock();
    let codes = Codes::<HashMap<String, u32>>::builder("pair").store(store).key_ring(ring(&[1]));
    let codes = codes.build_by_subject().unwrap();
    // Two maps, and so most likely two orders.
    let payload = || (0..50).map(|number| (format!("key {number}"), number)).collect();
    let first = codes.issue(ANNA, &payload()).await.unwrap();
    clock.advance(MINUTE);
    codes.issue(ANNA, &payload()).await.unwrap();
    let redeemed = codes.redeem(ANNA, first.code.reveal()).await.unwrap();
    assert_eq!(redeemed.payload, payload());
}

#[tokio::test]
async fn the_cool_down_outlives_a_code_that_is_shorter() {
    let (store, clock) = store_with_clock();
    let codes = Codes::<String>::builder("pair").store(store).key_ring(ring(&[1]));
    let codes = codes.lifetime(30 * SECOND).build_by_subject().unwrap();
    codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
    clock.advance(31 * SECOND);
    assert_eq!(wait(codes.issue(ANNA, &"payload".to_owned()).await), 29 * SECOND);
    clock.advance(29 * SECOND);
    codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
}

#[tokio::test]
async fn a_code_for_something_else_retires_the_earlier_one() {
    let (store, clock) = store_with_clock();
    let codes = by_subject(store, &[1]);
    let first = codes.issue(ANNA, &"the old address".to_owned()).await.unwrap();
    clock.advance(MINUTE);
    let second = codes.issue(ANNA, &"the new address".to_owned()).await.unwrap();
    assert_refused(codes.redeem(ANNA, first.code.reveal()).await);
    let redeemed = codes.redeem(ANNA, second.code.reveal()).await.unwrap();
    assert_eq!(redeemed.payload, "the new address");
}

#[tokio::test]
async fn one_more_code_brings_no_more_guesses() {
    let (store, clock) = store_with_clock();
    let codes = by_subject(store, &[1]);
    for payload in ["one", "two", "three", "four"] {
        let sent = codes.issue(ANNA, &payload.to_owned()).await.unwrap();
        assert_refused(codes.redeem(ANNA, &wrong(sent.code.reveal())).await);
        clock.advance(MINUTE);
    }
    let sent = codes.issue(ANNA, &"five".to_owned()).await.unwrap();
    assert_refused(codes.redeem(ANNA, &wrong(sent.code.reveal())).await);
    assert_exhausted(codes.redeem(ANNA, sent.code.reveal()).await);
    clock.advance(MINUTE);
    assert_exhausted(codes.issue(ANNA, &"six".to_owned()).await);
}

#[tokio::test]
async fn within_a_day_there_are_no_more_guesses_than_with_a_handle() {
    let (store, clock) = store_with_clock();
    let codes = by_subject(store, &[1]);
    let mut guesses = 0;
    for _ in 0..24 * 60 {
        if codes.issue(ANNA, &"payload".to_owned()).await.is_ok() {
            while let Err(CodeError::Refused) = codes.redeem(ANNA, "00000000").await {
                guesses += 1;
                assert!(guesses <= 20);
            }
        }
        clock.advance(MINUTE);
    }
    assert_eq!(guesses, 20);
}

#[tokio::test]
async fn a_code_outlives_a_change_of_the_key() {
    let (store, clock) = store_with_clock();
    let sent = by_subject(store.clone(), &[1]).issue(ANNA, &"payload".to_owned()).await.unwrap();
    let codes = by_subject(store, &[2, 1]);
    clock.advance(MINUTE);
    let second = codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
    assert_refused(codes.redeem(ANNA, &wrong(second.code.reveal())).await);
    codes.redeem(ANNA, sent.code.reveal()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_requests_for_a_code_open_one_challenge() {
    let (store, _) = store_with_clock();
    let codes = by_subject(store, &[1]);
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let codes = codes.clone();
        requests.spawn(async move { codes.issue(ANNA, &"payload".to_owned()).await });
    }
    let answers = requests.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let status = codes.status(ANNA).await.unwrap();
    assert_eq!((status.open, status.reserved), (1, 5));
}

#[tokio::test]
async fn a_challenge_that_the_store_does_not_take_keeps_no_guesses() {
    // There is room for the budget alone.
    let codes = by_subject(Memory::builder().capacity(1).build(), &[1]);
    for _ in 0..5 {
        let answer = codes.issue(ANNA, &"payload".to_owned()).await;
        assert!(matches!(answer, Err(CodeError::Store(_))), "{answer:?}");
    }
    let status = codes.status(ANNA).await.unwrap();
    assert_eq!((status.open, status.reserved, status.free), (0, 0, 20));
}

#[tokio::test]
async fn a_revoked_code_is_refused() {
    let (store, _) = store_with_clock();
    let sent = by_subject(store.clone(), &[1]).issue(ANNA, &"payload".to_owned()).await.unwrap();
    let codes = by_subject(store, &[2, 1]);
    codes.revoke(ANNA).await.unwrap();
    assert_refused(codes.redeem(ANNA, sent.code.reveal()).await);
}

/// A right code is held back on its way to the store, while its challenge ends and another one
/// begins, which is about something else.
async fn redeem_late<E: Future<Output = ()>>(
    end: impl FnOnce(SubjectCodes<String>, String, ManualClock) -> E,
) {
    let (memory, clock) = store_with_clock();
    let store = Arc::new(Watched::new(memory.clone()));
    let (late, codes) = (by_subject(store.clone(), &[1]), by_subject(memory, &[1]));
    let first = issue(&codes, "the old television").await;
    let mut second = String::new();
    let meanwhile = async {
        end(codes.clone(), first.clone(), clock).await;
        second = issue(&codes, "the new television").await;
    };
    // Before the challenge's record it writes the budget's.
    assert_refused(store.hold_back(1, late.redeem(ANNA, &first), meanwhile).await);
    let redeemed = codes.redeem(ANNA, &second).await.unwrap();
    assert_eq!(redeemed.payload, "the new television");
}

#[tokio::test]
async fn a_late_redemption_does_not_bring_a_revoked_code_back() {
    redeem_late(async |codes, _, _| codes.revoke(ANNA).await.unwrap()).await;
}

#[tokio::test]
async fn a_late_redemption_does_not_bring_a_used_code_back() {
    redeem_late(async |codes, code, clock| {
        codes.redeem(ANNA, &code).await.unwrap();
        clock.advance(30 * SECOND);
    })
    .await;
}

#[tokio::test]
async fn a_late_redemption_does_not_bring_an_expired_code_back() {
    redeem_late(async |_, _, clock| clock.advance(10 * MINUTE)).await;
}

#[tokio::test]
async fn ten_minutes_after_its_end_nothing_is_left_of_a_code() {
    let (store, clock) = store_with_clock();
    let codes = by_subject(store.clone(), &[1]);
    issue(&codes, "payload").await;
    codes.revoke(ANNA).await.unwrap();
    codes.revoke("eve@example.org").await.unwrap();
    assert!(!dump(&store).await.contains("InBheWxvYWQi"), "the payload, in base64url");
    clock.advance(10 * MINUTE);
    assert_eq!(store.count().await.unwrap(), 0);

    let code = issue(&codes, "payload").await;
    assert!(dump(&store).await.contains("InBheWxvYWQi"));
    codes.redeem(ANNA, &code).await.unwrap();
    clock.advance(11 * MINUTE);
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_commit_that_is_hours_late_does_not_use_another_code() {
    let (store, clock) = store_with_clock();
    let codes = by_subject(store, &[1]);
    let first = issue(&codes, "payload").await;
    let lost = codes.guess(ANNA, &first).lease(MINUTE).await.unwrap();
    clock.advance(HOUR);
    let second = issue(&codes, "payload").await;
    let lease = codes.guess(ANNA, &second).lease(MINUTE).await.unwrap();
    assert!(matches!(lost.commit().await, Err(CodeError::LeaseLost)));
    lost.abort().await.unwrap();
    lease.commit().await.unwrap();
}

#[tokio::test]
async fn while_a_code_is_leased_no_other_is_sent() {
    let (store, clock) = store_with_clock();
    let codes = Codes::<String>::builder("pair").store(store).key_ring(ring(&[1]));
    let codes = codes.lifetime(MINUTE).resend_after(SECOND).build_by_subject().unwrap();
    let code = issue(&codes, "payload").await;
    let lease = codes.guess(ANNA, &code).lease(5 * MINUTE).await.unwrap();
    clock.advance(MINUTE);
    for payload in ["payload", "what a stranger asks for"] {
        match codes.issue(ANNA, &payload.to_owned()).await {
            Err(CodeError::Busy { retry_after }) => assert_eq!(retry_after, 4 * MINUTE),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(codes.decoy(ANNA, &"payload".to_owned()).await, Err(CodeError::Busy { .. })));
    clock.advance(4 * MINUTE - MILLISECOND);
    lease.commit().await.unwrap();
}

#[tokio::test]
async fn an_aborted_lease_makes_way_for_another_code() {
    let (store, clock) = store_with_clock();
    let codes = by_subject(store, &[1]);
    let first = issue(&codes, "payload").await;
    let lease = codes.guess(ANNA, &first).lease(MINUTE).await.unwrap();
    clock.advance(MINUTE - MILLISECOND);
    assert!(matches!(codes.redeem(ANNA, &first).await, Err(CodeError::Busy { .. })));
    lease.abort().await.unwrap();
    clock.advance(MILLISECOND);
    let second = issue(&codes, "payload").await;
    assert_eq!(codes.redeem(ANNA, &first).await.unwrap().receipt, lease.receipt);
    assert_refused(codes.redeem(ANNA, &second).await);
}

#[tokio::test]
async fn an_ended_lease_makes_way_for_another_code() {
    let (store, clock) = store_with_clock();
    let codes = by_subject(store, &[1]);
    let first = issue(&codes, "payload").await;
    let lost = codes.guess(ANNA, &first).lease(MINUTE).await.unwrap();
    clock.advance(MINUTE);
    let second = issue(&codes, "something else").await;
    assert!(matches!(lost.commit().await, Err(CodeError::LeaseLost)));
    codes.redeem(ANNA, &second).await.unwrap();
}

#[tokio::test]
async fn the_same_submit_gets_the_first_answer_for_thirty_seconds() {
    let (store, clock) = store_with_clock();
    let codes = by_subject(store, &[1]);
    let code = issue(&codes, "payload").await;
    let submit = || codes.guess(ANNA, &code).attempt("a random text of the form");
    let first = submit().redeem().await.unwrap();
    clock.advance(30 * SECOND - MILLISECOND);
    let second = submit().redeem().await.unwrap();
    assert_eq!((first.repeated, second.repeated), (false, true));
    assert_eq!((first.payload, first.receipt), (second.payload, second.receipt));
    assert_refused(
        codes.guess(ANNA, &code).attempt("a random text of another form").redeem().await,
    );
    assert_refused(codes.redeem(ANNA, &code).await);
    clock.advance(MILLISECOND);
    assert_refused(submit().redeem().await);
    assert_eq!(codes.compared(), 1);
}

#[tokio::test]
async fn a_code_of_another_purpose_is_refused_and_not_charged() {
    let (store, _) = store_with_clock();
    let codes = by_subject(store.clone(), &[1]);
    let others = Codes::<String>::builder("reset").store(store).key_ring(ring(&[1]));
    let others = others.build_by_subject().unwrap();
    let code = issue(&codes, "payload").await;
    assert_refused(others.redeem(ANNA, &code).await);
    assert_eq!(others.compared(), 0);
    let other = others.issue(ANNA, &"other".to_owned()).await.unwrap();
    assert_refused(others.redeem(ANNA, &code).await);
    others.redeem(ANNA, other.code.reveal()).await.unwrap();
    codes.redeem(ANNA, &code).await.unwrap();
}

#[tokio::test]
async fn a_megabyte_costs_no_round_trip() {
    let store = Arc::new(Watched::new(Memory::new()));
    let codes = by_subject(store.clone(), &[1]);
    let code = issue(&codes, "payload").await;
    store.calls();
    let megabyte = "1".repeat(1_000_000);
    assert_refused(codes.redeem(ANNA, &megabyte).await);
    assert_refused(codes.redeem(&megabyte, &code).await);
    assert_refused(codes.redeem("", &code).await);
    assert_refused(codes.guess(&megabyte, &code).lease(MINUTE).await);
    for answer in
        [codes.revoke(&megabyte).await, codes.decoy(&megabyte, &"payload".to_owned()).await]
    {
        assert!(matches!(answer, Err(CodeError::Subject { len: 1_000_000 })));
    }
    assert_eq!(store.calls(), [""; 0]);
}

#[tokio::test]
async fn codes_without_a_handle_cost_what_their_docs_say() {
    for (ids, keys) in [(&[1][..], 1), (&[2, 1], 2), (&[3, 2, 1], 3)] {
        let (memory, clock) = store_with_clock();
        let store = Arc::new(Watched::new(memory));
        let codes = by_subject(store.clone(), ids);
        let cost = |expected: usize| {
            let calls = store.calls();
            assert_eq!(calls.len(), expected, "{calls:?}");
        };
        let mut code = issue(&codes, "payload").await;
        cost(3 + keys);
        assert_refused(codes.redeem(ANNA, &wrong(&code)).await);
        cost(3);
        codes.redeem(ANNA, &code).await.unwrap();
        cost(5);
        // Over what is left of the one before.
        code = issue(&codes, "payload").await;
        cost(3 + keys);
        clock.advance(MINUTE);
        issue(&codes, "payload").await;
        cost(4);
        codes.guess(ANNA, &code).lease(MINUTE).await.unwrap().abort().await.unwrap();
        cost(5 + 1);
        codes.guess(ANNA, &code).lease(MINUTE).await.unwrap().commit().await.unwrap();
        cost(5 + 3);
        issue(&codes, "payload").await;
        store.calls();
        codes.revoke(ANNA).await.unwrap();
        cost(1 + 2 * keys);
        codes.status(ANNA).await.unwrap();
        cost(1);
    }
}

#[tokio::test]
async fn a_used_code_hides_no_open_one_of_an_older_key() {
    let (store, _) = store_with_clock();
    let (old, new) = (by_subject(store.clone(), &[1, 2]), by_subject(store.clone(), &[2, 1]));
    let code = issue(&new, "payload").await;
    new.redeem(ANNA, &code).await.unwrap();
    let code = issue(&old, "payload").await;
    new.redeem(ANNA, &code).await.unwrap();
}

#[tokio::test]
async fn a_decoy_is_guessed_at_as_a_code_is() {
    let (store, _) = store_with_clock();
    let codes = by_subject(store, &[1]);
    codes.decoy(ANNA, &"payload".to_owned()).await.unwrap();
    wait(codes.decoy(ANNA, &"payload".to_owned()).await.map(|()| "no cool-down"));
    for _ in 0..5 {
        assert_refused(codes.redeem(ANNA, "00000000").await);
    }
    assert_exhausted(codes.redeem(ANNA, "00000000").await);
    assert_eq!(codes.status(ANNA).await.unwrap().spent, 5);
}

#[tokio::test]
async fn a_dump_has_neither_subject_nor_code() {
    let (store, _) = store_with_clock();
    let codes = by_subject(store.clone(), &[1]);
    let sent = codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
    let dump = dump(&store).await;
    assert!(!dump.contains(ANNA) && !dump.contains(sent.code.reveal()), "{dump}");
}
