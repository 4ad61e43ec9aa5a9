//! A secret that comes too late: the one that was handed over is reused, an older one is unknown.

use crate::key::Key;
use crate::proof::Proof;
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Condition, Found, Load, NewProof, Removed, Replaced, Store, Touch, Write};

/// A session whose secret was handed over, and the next one used: the previous and the current proof.
async fn put_confirmed(store: &dyn Store) -> (Key, Proof, Proof) {
    let (key, first) = put_proved(store).await;
    let second = hand_over(store, &key, &first).await;
    assert!(found(store, &key, &claim(&second)).await.live().is_some());
    (key, first, second)
}

/// *A claim of the previous secret that comes too late is `Reused`*, exactly after the confirmation and
/// the grace.
pub async fn the_previous_secret_is_reused_after_the_grace<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, first) = put_proved(&store).await;
    let second = hand_over(&store, &key, &first).await;
    let late = without_grace(&first);
    assert!(matches!(found(&store, &key, &late).await, Found::Previous(_)));
    assert!(matches!(found(&store, &key, &claim(&second)).await, Found::Current(_)));
    assert!(matches!(found(&store, &key, &claim(&first)).await, Found::Previous(_)));
    let expected = look(&store, &key).await;
    let Found::Reused(record) = found(&store, &key, &late).await else {
        panic!("the previous secret works on after the grace");
    };
    assert_eq!(facts(&record), facts(&expected));
    let stranger = without_grace(&random_proof());
    assert_eq!(found(&store, &key, &stranger).await, Found::Missing);
}

/// *Touches nothing*, writes nothing and removes nothing. What follows is the manager's to say.
pub async fn a_reused_secret_changes_nothing<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, first, second) = put_confirmed(&store).await;
    let before = look(&store, &key).await;
    tick(harness).await;
    let late = without_grace(&first);
    for (touch, with_data) in [(Touch::No, true), (ALWAYS, true), (ALWAYS, false)] {
        let load = Load { claim: Some(&late), touch, with_data };
        let Found::Reused(record) = store.load(&key, &load).await.unwrap() else {
            panic!("the previous secret works on after the grace");
        };
        assert_eq!(record.data.is_empty(), !with_data);
        assert_unchanged(&store, &key, &before).await;
    }
    let proof = Some(NewProof::Regenerated(first));
    for write in [
        Write { claim: Some(&late), touch: true, ..Write::data("new data") },
        Write { claim: Some(&late), proof, ..Write::default() },
        handover(&late, first),
    ] {
        assert_eq!(store.replace(&key, &write).await.unwrap(), Replaced::Missing);
    }
    let removed = store.remove(&key, Condition::Claim(&late), true).await.unwrap();
    assert_eq!(removed, Removed::Conflict);
    assert_unchanged(&store, &key, &before).await;
    assert!(matches!(found(&store, &key, &claim(&second)).await, Found::Current(_)));
}

/// *Of another claim: `Missing`*: a secret from before the previous one. An old copy of
/// one, as in a log, ends no session.
pub async fn an_older_secret_is_missing<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, first, second) = put_confirmed(&store).await;
    let third = hand_over(&store, &key, &second).await;
    for confirmed in [false, true] {
        if confirmed {
            found(&store, &key, &claim(&third)).await;
        }
        for old in [claim(&first), without_grace(&first)] {
            assert_eq!(found(&store, &key, &old).await, Found::Missing);
        }
    }
    assert!(matches!(found(&store, &key, &without_grace(&second)).await, Found::Reused(_)));
}

/// *The secret before it is dead at once*: after a regeneration no secret before it is reused, for none
/// was handed over.
pub async fn a_secret_from_before_a_regeneration_is_missing<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, first, second) = put_confirmed(&store).await;
    let third = random_proof();
    let by = claim(&second);
    let proof = Some(NewProof::Regenerated(third));
    write(&store, &key, &Write { claim: Some(&by), proof, ..Write::default() }).await;
    for old in [first, second] {
        for old in [claim(&old), without_grace(&old)] {
            assert_eq!(found(&store, &key, &old).await, Found::Missing);
        }
    }
    assert!(matches!(found(&store, &key, &claim(&third)).await, Found::Current(_)));
}
