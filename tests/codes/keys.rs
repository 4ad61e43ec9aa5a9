//! The application's keys, and how they change.

use token_session::KeyRing;
use token_session::codes::{Codes, RecoveryCodes};
use token_session::links::{BaseUrl, Binding, SignedLinks};

use super::{
    ANNA, MINUTE, assert_refused, builder, guess_wrong, handle, issue, ring, store_with_clock,
};

/// The steps of a change, as [`KeyRing`] tells them.
const STEPS: [&[u32]; 4] = [&[1], &[1, 2], &[2, 1], &[2]];

/// Pairs of processes that run at the same time while one step follows the other: who issues, and who
/// redeems.
fn neighbours() -> impl Iterator<Item = (KeyRing, KeyRing)> {
    let pairs = STEPS.windows(2).flat_map(|steps| [(steps[0], steps[1]), (steps[1], steps[0])]);
    pairs.map(|(issuer, redeemer)| (ring(issuer), ring(redeemer)))
}

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

#[tokio::test]
async fn a_change_step_by_step_refuses_nobody() {
    for (issuer, redeemer) in neighbours() {
        let (store, _) = store_with_clock();
        let with = |ring: &KeyRing| builder(store.clone()).key_ring(ring.clone());

        let issued = issue(&with(&issuer).build().unwrap()).await;
        let codes = with(&redeemer).build().unwrap();
        codes.redeem(handle(&issued), issued.code.reveal()).await.unwrap();

        let sent = with(&issuer).build_by_subject().unwrap();
        let sent = sent.issue(ANNA, &"payload".to_owned()).await.unwrap();
        let codes = with(&redeemer).build_by_subject().unwrap();
        codes.redeem(ANNA, sent.code.reveal()).await.unwrap();

        let recovery = |ring: KeyRing| RecoveryCodes::new("recovery", 3, ring, store.clone());
        let set = recovery(issuer.clone()).unwrap().generate(ANNA).await.unwrap();
        let redeemed = recovery(redeemer.clone()).unwrap().redeem(ANNA, set[0].reveal()).await;
        redeemed.unwrap();

        let links = |ring: KeyRing| {
            let base = BaseUrl::path("https://example.org/reset/").unwrap();
            SignedLinks::<u32>::builder("reset", base, ring).build().unwrap()
        };
        let link = links(issuer).new_link(&17).sign().unwrap();
        let claim = links(redeemer).read(link.token()).unwrap();
        assert_eq!(claim.accept(Binding::none()).unwrap(), 17);
    }
}

#[tokio::test]
async fn a_change_step_by_step_leaves_nothing_to_revoke() {
    for (issuer, revoker) in neighbours() {
        let (store, _) = store_with_clock();
        let with = |ring: &KeyRing| builder(store.clone()).key_ring(ring.clone());
        let recovery = |ring: &KeyRing| {
            RecoveryCodes::new("recovery", 3, ring.clone(), store.clone()).unwrap()
        };
        let codes = with(&issuer).build().unwrap();
        let by_subject = with(&issuer).build_by_subject().unwrap();
        let issued = issue(&codes).await;
        let sent = by_subject.issue(ANNA, &"payload".to_owned()).await.unwrap();
        let set = recovery(&issuer).generate(ANNA).await.unwrap();

        with(&revoker).build().unwrap().revoke(ANNA).await.unwrap();
        with(&revoker).build_by_subject().unwrap().revoke(ANNA).await.unwrap();
        recovery(&revoker).revoke(ANNA).await.unwrap();

        assert_refused(codes.redeem(handle(&issued), issued.code.reveal()).await);
        assert_refused(by_subject.redeem(ANNA, sent.code.reveal()).await);
        assert_refused(recovery(&issuer).redeem(ANNA, set[0].reveal()).await);
    }
}

#[tokio::test]
async fn a_key_that_signs_before_it_verifies_everywhere_costs_the_person_a_guess() {
    let (store, _) = store_with_clock();
    let with = |ids: &[u32]| builder(store.clone()).key_ring(ring(ids)).build().unwrap();
    let issued = issue(&with(&[2, 1])).await;
    assert_refused(with(&[1]).redeem(handle(&issued), issued.code.reveal()).await);
    let codes = with(&[2, 1]);
    assert_eq!(codes.status(ANNA).await.unwrap().spent, 1);
    codes.redeem(handle(&issued), issued.code.reveal()).await.unwrap();
}

#[tokio::test]
async fn a_status_is_of_the_key_that_signs_and_of_no_device() {
    let (store, _) = store_with_clock();
    let with = |ids: &[u32]| builder(store.clone()).key_ring(ring(ids)).build().unwrap();
    issue(&with(&[1])).await;
    let codes: Codes<String> = with(&[2, 1]);
    let device = codes.device_token(ANNA).unwrap();
    codes.issue_from_device(device.reveal(), ANNA, &String::new()).await.unwrap();
    assert_eq!(codes.status(ANNA).await.unwrap().open, 0);
    issue(&codes).await;
    assert_eq!(codes.status(ANNA).await.unwrap().open, 1);
}
