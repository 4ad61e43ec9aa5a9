//! The confirmation of a handover: the first use of the current secret.

use crate::record::Timestamp;
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Found, Load, Touch, Write};

/// *Confirmed at the first use of its current secret*, without a touch too; *a confirmation erases the
/// sealed secret*. The answer is as the confirmation left the record.
pub async fn the_first_load_with_the_current_secret_confirms<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for (touch, with_data) in [(Touch::No, true), (Touch::No, false), (ALWAYS, true)] {
        let (key, first) = put_proved(&store).await;
        let second = hand_over(&store, &key, &first).await;
        let before = look(&store, &key).await;
        tick(harness).await;
        let claim = claim(&second);
        let load = Load { claim: Some(&claim), touch, with_data };
        let Found::Current(confirmed) = store.load(&key, &load).await.unwrap() else {
            panic!("the current secret does not open the record");
        };
        let previous = confirmed.proofs.previous.clone().unwrap();
        let at = previous.confirmed_at.expect("the answer does not tell of the confirmation");
        assert!(before.meta.now <= at && at <= confirmed.meta.now);
        assert_eq!((previous.proof, previous.sealed), (first, None));
        let mut expected = before;
        expected.proofs = confirmed.proofs;
        if touch == ALWAYS {
            assert!(confirmed.meta.last_seen > expected.meta.last_seen);
            expected.meta.last_seen = confirmed.meta.last_seen;
        }
        assert_unchanged(&store, &key, &expected).await;
    }
}

/// A confirmation takes place once: later loads leave its time.
pub async fn a_confirmation_takes_place_once<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, first) = put_proved(&store).await;
    let second = hand_over(&store, &key, &first).await;
    let confirmed = found(&store, &key, &claim(&second)).await.live().unwrap();
    for claim in [claim(&second), claim(&first), without_grace(&second)] {
        tick(harness).await;
        let load = Load { claim: Some(&claim), touch: ALWAYS, ..Load::new() };
        let again = store.load(&key, &load).await.unwrap().live().unwrap();
        assert_eq!(again.proofs, confirmed.proofs);
        assert_eq!(look(&store, &key).await.proofs, confirmed.proofs);
    }
}

/// *At the first use of its current secret*: neither the previous secret nor a look-up by the key
/// confirms, nor does a write.
pub async fn only_a_claim_of_the_current_secret_confirms<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, first) = put_proved(&store).await;
    let second = hand_over(&store, &key, &first).await;
    let handed_over = look(&store, &key).await.proofs;
    let (first, second) = (claim(&first), claim(&second));
    for claim in [None, Some(&first)] {
        for touch in [Touch::No, ALWAYS] {
            tick(harness).await;
            let load = Load { claim, touch, ..Load::new() };
            let record = store.load(&key, &load).await.unwrap().live().unwrap();
            assert_eq!(record.proofs, handed_over);
        }
    }
    let new = Write { claim: Some(&second), touch: true, ..Write::data("new data") };
    write(&store, &key, &new).await;
    assert_eq!(look(&store, &key).await.proofs, handed_over);
    assert!(matches!(found(&store, &key, &first).await, Found::Previous(_)));
}

/// Where no secret was handed over, there is nothing to confirm.
pub async fn a_load_without_a_handover_confirms_nothing<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, proof) = put_proved(&store).await;
    let before = look(&store, &key).await;
    tick(harness).await;
    let record = found(&store, &key, &claim(&proof)).await.live().unwrap();
    assert_eq!(facts(&record), facts(&before));
    assert_unchanged(&store, &key, &before).await;
}

/// *Of racing ones, one sets the time.*
pub async fn one_of_racing_confirmations_sets_the_time<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, first) = put_proved(&store).await;
    let second = hand_over(&store, &key, &first).await;
    let loads = race(harness.races().min(200), |task| {
        let (store, key) = (store.clone(), key.clone());
        async move {
            let claim = claim(&second);
            let touch = if task % 2 == 0 { Touch::No } else { ALWAYS };
            let load = Load { claim: Some(&claim), touch, ..Load::new() };
            let record = store.load(&key, &load).await.unwrap().live().unwrap();
            record.proofs.previous.unwrap().confirmed_at
        }
    });
    let ticks = async {
        for _ in 0..10 {
            tick(harness).await;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let (times, ()) = tokio::join!(loads, ticks);
    let previous = look(&store, &key).await.proofs.previous.unwrap();
    assert!(previous.confirmed_at > Some(Timestamp::from_millis(0)) && previous.sealed.is_none());
    assert_eq!(how_many(&times, &previous.confirmed_at), times.len());
}
