//! Recovery codes.

use std::collections::HashSet;
use std::sync::Arc;

use token_session::codes::{CodeError, PolicyError, RecoveryCodes};
use token_session::store::{AtomicStore, Listing, Memory};

use super::watched::Watched;
use super::{ANNA, DAY, assert_refused, dump, ring, store_with_clock, wait};

fn recovery(store: &(impl AtomicStore + Clone), ids: &[u32]) -> RecoveryCodes {
    RecoveryCodes::new("recovery", 10, ring(ids), store.clone()).unwrap()
}

#[tokio::test]
async fn each_code_is_good_once_and_replaced() {
    let (store, _) = store_with_clock();
    let recovery = recovery(&store, &[1]);
    let codes = recovery.generate(ANNA).await.unwrap();
    let distinct: HashSet<&str> = codes.iter().map(|code| code.reveal()).collect();
    assert_eq!(distinct.len(), 10);
    for code in &codes {
        let recovered = recovery.redeem(ANNA, &code.grouped().to_lowercase()).await.unwrap();
        assert_eq!(recovered.count, 10);
        assert_refused(recovery.redeem(ANNA, code.reveal()).await);
        recovery.redeem(ANNA, recovered.replacement.reveal()).await.unwrap();
    }
}

#[tokio::test]
async fn a_set_lives_for_years() {
    let (store, clock) = store_with_clock();
    let recovery = recovery(&store, &[1]);
    let codes = recovery.generate(ANNA).await.unwrap();
    clock.advance(20 * 365 * DAY);
    recovery.redeem(ANNA, codes[0].reveal()).await.unwrap();
    clock.advance(20 * 365 * DAY);
    recovery.redeem(ANNA, codes[1].reveal()).await.unwrap();
}

#[tokio::test]
async fn a_new_set_ends_the_old_one() {
    let (store, _) = store_with_clock();
    let old = recovery(&store, &[1]).generate(ANNA).await.unwrap();
    let recovery = recovery(&store, &[2, 1]);
    recovery.redeem(ANNA, old[0].reveal()).await.unwrap();
    let new = recovery.generate(ANNA).await.unwrap();
    assert_refused(recovery.redeem(ANNA, old[1].reveal()).await);
    recovery.redeem(ANNA, new[0].reveal()).await.unwrap();
    recovery.revoke(ANNA).await.unwrap();
    assert_refused(recovery.redeem(ANNA, new[1].reveal()).await);
}

#[tokio::test]
async fn a_late_redemption_does_not_bring_a_revoked_set_back() {
    let (memory, _) = store_with_clock();
    let store = Arc::new(Watched::new(memory.clone()));
    let (thief, owner) = (recovery(&store, &[1]), recovery(&memory, &[1]));
    let stolen = owner.generate(ANNA).await.unwrap();
    let mut new = Vec::new();
    let late = thief.redeem(ANNA, stolen[0].reveal());
    let meanwhile = async {
        owner.revoke(ANNA).await.unwrap();
        new = owner.generate(ANNA).await.unwrap();
    };
    assert_refused(store.hold_back(0, late, meanwhile).await);
    for code in &stolen {
        assert_refused(owner.redeem(ANNA, code.reveal()).await);
    }
    for code in &new {
        owner.redeem(ANNA, code.reveal()).await.unwrap();
    }
}

#[tokio::test]
async fn a_late_redemption_does_not_bring_a_set_of_an_older_key_back() {
    let (memory, _) = store_with_clock();
    let store = Arc::new(Watched::new(memory.clone()));
    let stolen = recovery(&memory, &[1]).generate(ANNA).await.unwrap();
    let thief = recovery(&store, &[2, 1]);
    let mut new = Vec::new();
    let late = thief.redeem(ANNA, stolen[0].reveal());
    let meanwhile = async {
        recovery(&memory, &[2, 1]).generate(ANNA).await.unwrap();
        // By a process in which the older key signs.
        new = recovery(&memory, &[1, 2]).generate(ANNA).await.unwrap();
    };
    assert_refused(store.hold_back(0, late, meanwhile).await);
    recovery(&memory, &[2, 1]).redeem(ANNA, new[0].reveal()).await.unwrap();
}

#[tokio::test]
async fn after_a_revocation_nothing_is_left() {
    let (store, _) = store_with_clock();
    let recovery = recovery(&store, &[1]);
    recovery.generate(ANNA).await.unwrap();
    recovery.revoke(ANNA).await.unwrap();
    recovery.revoke("eve@example.org").await.unwrap();
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn another_subjects_code_is_refused() {
    let (store, _) = store_with_clock();
    let recovery = recovery(&store, &[1]);
    let codes = recovery.generate(ANNA).await.unwrap();
    recovery.generate("ben@example.org").await.unwrap();
    assert_refused(recovery.redeem("ben@example.org", codes[0].reveal()).await);
    assert_refused(recovery.redeem("eve@example.org", codes[0].reveal()).await);
}

#[tokio::test]
async fn after_a_hundred_wrong_guesses_the_right_one_waits_for_tomorrow() {
    let (store, clock) = store_with_clock();
    let recovery = recovery(&store, &[1]);
    let codes = recovery.generate(ANNA).await.unwrap();
    for _ in 0..100 {
        assert_refused(recovery.redeem(ANNA, "BCDF-GHJK-LMNP-QRST").await);
    }
    assert_eq!(wait(recovery.redeem(ANNA, codes[0].reveal()).await), DAY);
    clock.advance(DAY);
    recovery.redeem(ANNA, codes[0].reveal()).await.unwrap();
}

#[tokio::test]
async fn a_success_clears_the_count() {
    let (store, _) = store_with_clock();
    let recovery = recovery(&store, &[1]);
    let codes = recovery.generate(ANNA).await.unwrap();
    for code in &codes[..3] {
        for _ in 0..99 {
            assert_refused(recovery.redeem(ANNA, "BCDF-GHJK-LMNP-QRST").await);
        }
        recovery.redeem(ANNA, code.reveal()).await.unwrap();
    }
}

#[tokio::test]
async fn a_dump_has_neither_subject_nor_codes() {
    let (store, _) = store_with_clock();
    let codes = recovery(&store, &[1]).generate(ANNA).await.unwrap();
    let dump = dump(&store).await;
    assert!(!dump.contains(ANNA));
    for code in codes {
        assert!(!dump.contains(code.reveal()));
    }
}

#[tokio::test]
async fn a_set_of_none_or_of_too_many_is_refused() {
    for count in [0, 51] {
        let built = RecoveryCodes::new("recovery", count, ring(&[1]), Memory::new());
        assert!(matches!(built, Err(PolicyError::Count { most: 50, .. })));
    }
    let (store, _) = store_with_clock();
    let answer = recovery(&store, &[1]).generate("").await;
    assert!(matches!(answer, Err(CodeError::Subject { len: 0 })));
}

#[tokio::test]
async fn recovery_codes_cost_what_their_docs_say() {
    let store = Arc::new(Watched::new(Memory::new()));
    for (ids, keys) in [(&[1][..], 1), (&[2, 1], 2)] {
        let recovery = recovery(&store, ids);
        let cost = |expected: usize| {
            let calls = store.calls();
            assert_eq!(calls.len(), expected, "{calls:?}");
        };
        let codes = recovery.generate(ANNA).await.unwrap();
        cost(1 + keys);
        assert_refused(recovery.redeem(ANNA, "BCDFGHJKLMNPQRST").await);
        cost(3);
        recovery.redeem(ANNA, codes[0].reveal()).await.unwrap();
        cost(5);
        recovery.revoke(ANNA).await.unwrap();
        cost(keys);
    }
}
