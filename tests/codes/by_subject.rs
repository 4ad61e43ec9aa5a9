//! Codes without a handle.

use token_session::codes::{Codes, PolicyError, SubjectCodes};

use super::{
    ANNA, MINUTE, SECOND, assert_exhausted, assert_refused, dump, ring, store_with_clock, wait,
};

fn by_subject(store: token_session::store::Memory, ids: &[u32]) -> SubjectCodes<String> {
    Codes::builder("pair").store(store).key_ring(ring(ids)).build_by_subject().unwrap()
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
            while let Err(token_session::codes::CodeError::Refused) =
                codes.redeem(ANNA, "00000000").await
            {
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
    assert_eq!((status.open, status.kept), (1, 5));
}

#[tokio::test]
async fn a_revoked_code_is_refused() {
    let (store, _) = store_with_clock();
    let sent = by_subject(store.clone(), &[1]).issue(ANNA, &"payload".to_owned()).await.unwrap();
    let codes = by_subject(store, &[2, 1]);
    codes.revoke(ANNA).await.unwrap();
    assert_refused(codes.redeem(ANNA, sent.code.reveal()).await);
}

#[tokio::test]
async fn a_decoy_is_guessed_at_as_a_code_is() {
    let (store, _) = store_with_clock();
    let codes = by_subject(store, &[1]);
    codes.decoy(ANNA).await.unwrap();
    wait(codes.decoy(ANNA).await.map(|()| "no cool-down"));
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
