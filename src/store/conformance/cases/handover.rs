//! Handing a secret over: the previous one works until the next one is first used, and for a grace
//! after that.

use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Condition, Found, Load, NewProof, Previous, Removed, Replaced, Touch, Write};

/// *The secret before it is good until this one is first used.* The version stays, so a parallel writer
/// meets no conflict, and nothing else changes.
pub async fn a_handover_keeps_the_version_and_both_secrets<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, first) = put_proved(&store).await;
    let mut expected = look(&store, &key).await;
    tick(harness).await;
    let (claim_of_first, second) = (claim(&first), random_proof());
    let rotation =
        Write { expected: Some(expected.meta.version), ..handover(&claim_of_first, second) };
    let written = write(&store, &key, &rotation).await;
    assert_eq!(written.version, expected.meta.version);
    assert_times(&written, &look(&store, &key).await);
    expected.proofs.current = Some(second);
    let sealed = Some("the next secret".into());
    expected.proofs.previous = Some(Previous { proof: first, confirmed_at: None, sealed });
    assert_unchanged(&store, &key, &expected).await;

    let Found::Previous(record) = found(&store, &key, &claim_of_first).await else {
        panic!("the previous secret does not open the record");
    };
    assert_eq!(facts(&record), facts(&expected));
    let late = Write { expected: Some(expected.meta.version), ..Write::data("new data") };
    assert_eq!(write(&store, &key, &late).await.version, expected.meta.version.next());
    assert!(matches!(found(&store, &key, &claim(&second)).await, Found::Current(_)));
}

/// *Sealed under the one before it; at most `Previous::MAX_SEALED` bytes*, of every value.
pub async fn a_sealed_secret_of_every_size_is_kept<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for len in [1, 255, 256, Previous::MAX_SEALED] {
        let (key, first) = put_proved(&store).await;
        let sealed: Vec<u8> = (0..=255).rev().cycle().take(len).collect();
        let next = random_proof();
        let proof = Some(NewProof::Rotated { next, sealed: sealed.clone().into() });
        let claim = claim(&first);
        write(&store, &key, &Write { claim: Some(&claim), proof, ..Write::default() }).await;
        let record = found(&store, &key, &claim).await.live().unwrap();
        assert_eq!(record.proofs.previous.unwrap().sealed.as_deref(), Some(&sealed[..]));
        assert_eq!(record.data, "data");
    }
}

/// Each request with the previous secret is told the same next one, until it is used.
pub async fn the_previous_secret_is_told_the_same_sealed_secret<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, first) = put_proved(&store).await;
    hand_over(&store, &key, &first).await;
    for grace in [claim(&first), without_grace(&first)] {
        for (touch, with_data) in [(Touch::No, true), (ALWAYS, true), (ALWAYS, false)] {
            tick(harness).await;
            let load = Load { claim: Some(&grace), touch, with_data };
            let Found::Previous(record) = store.load(&key, &load).await.unwrap() else {
                panic!("the previous secret does not open the record");
            };
            let previous = record.proofs.previous.unwrap();
            assert_eq!(previous.sealed.as_deref(), Some(&b"the next secret"[..]));
            assert_eq!(previous.confirmed_at, None);
            write(&store, &key, &Write::data("new data")).await;
        }
    }
}

/// Every operation with the previous secret acts on the live session, before the confirmation and in the
/// grace after it.
pub async fn every_operation_with_the_previous_secret_acts_on_the_session<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for confirmed in [false, true] {
        let (key, first) = put_proved(&store).await;
        let second = hand_over(&store, &key, &first).await;
        if confirmed {
            found(&store, &key, &claim(&second)).await;
        }
        let first = claim(&first);
        let before = look(&store, &key).await;
        tick(harness).await;
        let load = Load { claim: Some(&first), touch: ALWAYS, ..Load::new() };
        let Found::Previous(touched) = store.load(&key, &load).await.unwrap() else {
            panic!("the previous secret does not open the record");
        };
        assert_eq!(touched.data, before.data);
        assert!(touched.meta.last_seen > before.meta.last_seen);
        assert_unchanged(&store, &key, &touched).await;
        let new = Write {
            claim: Some(&first),
            expected: Some(before.meta.version),
            authenticated: true,
            ..Write::data("new data")
        };
        write(&store, &key, &new).await;
        let after = look(&store, &key).await;
        assert_eq!((&after.data[..], &after.proofs), (&b"new data"[..], &before.proofs));
        assert!(after.meta.authenticated_at.is_some());
        let removed = store.remove(&key, Condition::Claim(&first), true).await.unwrap();
        assert_eq!(removed.record().as_ref().map(facts), Some(facts(&after)));
        assert_eq!(found(&store, &key, &claim(&second)).await, Found::Missing);
    }
}

/// *And for a grace after that*: counted from the confirmation on the store's clock.
pub async fn the_previous_secret_works_for_the_grace_after_the_confirmation<H: Harness>(
    harness: &H,
) {
    let store = store(harness).await;
    let (key, first) = put_proved(&store).await;
    let second = hand_over(&store, &key, &first).await;
    outlive_moment(harness).await;
    let moment = crate::proof::Claim::new(first, moment_of(harness));
    // The grace has not begun, however long ago the handover was.
    assert!(matches!(found(&store, &key, &moment).await, Found::Previous(_)));
    let confirmed = found(&store, &key, &claim(&second)).await;
    assert!(matches!(confirmed, Found::Current(_)));
    outlive_moment(harness).await;
    assert!(matches!(found(&store, &key, &claim(&first)).await, Found::Previous(_)));
    assert!(matches!(found(&store, &key, &moment).await, Found::Reused(_)));
}

/// *Only a claim of the current secret may hand over*: to the previous one it is a `Conflict`.
pub async fn only_the_current_secret_hands_over<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, first) = put_proved(&store).await;
    let second = hand_over(&store, &key, &first).await;
    let first = claim(&first);
    for confirmed in [false, true] {
        if confirmed {
            found(&store, &key, &claim(&second)).await;
        }
        let before = look(&store, &key).await;
        let answer = store.replace(&key, &handover(&first, random_proof())).await;
        assert_eq!(answer.unwrap(), Replaced::Conflict);
        assert_unchanged(&store, &key, &before).await;
    }
    let third = hand_over(&store, &key, &second).await;
    assert_eq!(found(&store, &key, &first).await, Found::Missing);
    assert!(matches!(found(&store, &key, &claim(&second)).await, Found::Previous(_)));
    assert!(matches!(found(&store, &key, &claim(&third)).await, Found::Current(_)));
    let removed = store.remove(&key, Condition::Claim(&first), false).await.unwrap();
    assert_eq!(removed, Removed::Conflict);
}

/// *Of another version than `Write::expected`: `Conflict`*, for a handover too.
pub async fn a_handover_of_another_version_is_a_conflict<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, first) = put_proved(&store).await;
    let before = look(&store, &key).await;
    let claim = claim(&first);
    let expected = Some(before.meta.version.next());
    let rotation = Write { expected, ..handover(&claim, random_proof()) };
    assert_eq!(store.replace(&key, &rotation).await.unwrap(), Replaced::Conflict);
    assert_unchanged(&store, &key, &before).await;
}

/// *Of claims that race to hand the same secret over, one wins; the others are `Conflict`.*
pub async fn one_of_racing_handovers_is_done<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, first) = put_proved(&store).await;
    let answers = race(harness.races(), |_| {
        let (store, key) = (store.clone(), key.clone());
        async move {
            let (claim, next) = (claim(&first), random_proof());
            (next, store.replace(&key, &handover(&claim, next)).await.unwrap())
        }
    })
    .await;
    let current = look(&store, &key).await.proofs.current;
    let (winners, answers): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .map(|(next, answer)| (Some(next) == current && answer != Replaced::Conflict, answer))
        .unzip();
    assert_eq!(how_many(&winners, &true), 1);
    assert_eq!(done_and_conflicts(&answers), (1, answers.len() - 1));
    assert!(matches!(found(&store, &key, &claim(&first)).await, Found::Previous(_)));
}
