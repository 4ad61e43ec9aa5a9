//! Operations with a [claim](crate::Claim): which one opens a record, and what a new secret changes.

use crate::key_ring::KeyRing;
use crate::proof::{Claim, Proof, ProofScheme};
use crate::record::Lifetime;
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{Condition, Found, Load, NewProof, NewRecord, Removed, Replaced, Write};

/// What gives the session a new secret at once.
fn regenerate(claim: Option<&Claim>, next: Proof) -> Write<'_> {
    Write { claim, proof: Some(NewProof::Regenerated(next)), ..Write::default() }
}

/// *The live record under `key`*, for the claim of its current secret, to each operation.
pub async fn the_claim_of_the_current_secret_opens_the_record<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, proof) = put_proved(&store).await;
    let claim = claim(&proof);
    let before = look(&store, &key).await;
    let Found::Current(record) = found(&store, &key, &claim).await else {
        panic!("the current secret does not open the record");
    };
    assert_eq!(facts(&record), facts(&before));
    tick(harness).await;
    let load = Load { claim: Some(&claim), touch: ALWAYS, with_data: false };
    let Found::Current(record) = store.load(&key, &load).await.unwrap() else {
        panic!("the current secret does not touch the record");
    };
    assert!(record.meta.last_seen > before.meta.last_seen);
    write(&store, &key, &Write { claim: Some(&claim), ..Write::data("new data") }).await;
    assert_eq!(look(&store, &key).await.data, "new data");
    let removed = store.remove(&key, Condition::Claim(&claim), false).await.unwrap();
    assert_eq!(removed, Removed::Done(None));
    assert!(!is_alive(&store, &key).await);
}

/// *Of another claim*: a record fits a claim that has its proof in any place.
pub async fn each_proof_of_a_claim_counts<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let secret = random_proof();
    let ring = |ids: &[u32]| {
        let key = |id: u32| format!("the suite's key {id}, thirty-two bytes long");
        let first = KeyRing::new(ids[0], key(ids[0]).as_bytes()).unwrap();
        ids[1..].iter().fold(first, |ring, id| ring.and_verify(*id, key(*id).as_bytes()).unwrap())
    };
    let scheme = ProofScheme::hmac_sha256(ring(&[1, 2, 3])).and_sha256();
    let claim = scheme.claim(secret.as_bytes(), HOUR);
    assert_eq!(claim.proofs().len(), Claim::MOST);
    let stranger = scheme.claim(random_proof().as_bytes(), HOUR);
    let each = [1, 2, 3].map(|id| ProofScheme::hmac_sha256(ring(&[id])));
    for scheme in each.into_iter().chain([ProofScheme::sha256()]) {
        let (key, proof) = (random_key(), scheme.prove(secret.as_bytes()));
        put(&store, &key, &NewRecord { proof: Some(proof), ..NewRecord::new("data", hour()) })
            .await;
        assert!(matches!(found(&store, &key, &claim).await, Found::Current(_)));
        assert_eq!(found(&store, &key, &stranger).await, Found::Missing);
        // The next secret is proved with the first scheme alone, and the same claim is too old then.
        let next = write(&store, &key, &handover(&claim, random_proof())).await;
        assert!(matches!(found(&store, &key, &claim).await, Found::Previous(_)));
        let write_on = Write { claim: Some(&claim), ..Write::data("new data") };
        assert_eq!(write(&store, &key, &write_on).await.version, next.version.next());
        let removed = store.remove(&key, Condition::Claim(&claim), false).await.unwrap();
        assert_eq!(removed, Removed::Done(None));
    }
}

/// *Of another claim: `Missing`*, and `Conflict` for a removal. A person who knows a public key can do
/// nothing with it.
pub async fn another_claim_finds_touches_writes_and_removes_nothing<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, proof) = put_proved(&store).await;
    let mut wrong = vec![random_proof()];
    // The scheme, the first and the last byte of the digest are part of the proof.
    wrong.extend([0, 1, Proof::LEN / 2, Proof::LEN - 1].map(|at| {
        let mut bytes = *proof.as_bytes();
        bytes[at] ^= 1;
        Proof::from_bytes(bytes)
    }));
    let before = look(&store, &key).await;
    tick(harness).await;
    let lifetime = moment(harness);
    for wrong in wrong {
        let claim = claim(&wrong);
        for touch in [crate::store::Touch::No, ALWAYS] {
            let load = Load { claim: Some(&claim), touch, ..Load::new() };
            assert_eq!(store.load(&key, &load).await.unwrap(), Found::Missing);
        }
        let writes = [
            Write { claim: Some(&claim), touch: true, ..Write::data("new data") },
            Write { lifetime: Some(&lifetime), ..regenerate(Some(&claim), wrong) },
            handover(&claim, wrong),
            // A conflict would tell that there is a record.
            Write { expected: Some(before.meta.version.next()), ..handover(&claim, wrong) },
        ];
        for write in writes {
            assert_eq!(store.replace(&key, &write).await.unwrap(), Replaced::Missing);
        }
        let removed = store.remove(&key, Condition::Claim(&claim), true).await.unwrap();
        assert_eq!(removed, Removed::Conflict);
        assert_unchanged(&store, &key, &before).await;
    }
}

/// A record without a proof, as that of a code, fits no claim.
pub async fn a_record_without_a_proof_fits_no_claim<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let key = put_any(&store).await;
    let before = look(&store, &key).await;
    tick(harness).await;
    for proof in [random_proof(), Proof::from_bytes([0; Proof::LEN])] {
        let claim = claim(&proof);
        let load = Load { claim: Some(&claim), touch: ALWAYS, ..Load::new() };
        assert_eq!(store.load(&key, &load).await.unwrap(), Found::Missing);
        let write = regenerate(Some(&claim), proof);
        assert_eq!(store.replace(&key, &write).await.unwrap(), Replaced::Missing);
        let removed = store.remove(&key, Condition::Claim(&claim), false).await.unwrap();
        assert_eq!(removed, Removed::Conflict);
        assert_unchanged(&store, &key, &before).await;
    }
}

/// Without a claim a record is found by its key alone, with a proof or without: the program itself asks.
pub async fn without_a_claim_every_record_is_found_by_its_key<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, proof) = put_proved(&store).await;
    let second = hand_over(&store, &key, &proof).await;
    let Found::Current(record) = store.load(&key, &Load::new()).await.unwrap() else {
        panic!("the key alone does not find the record");
    };
    assert_eq!(record.proofs.current, Some(second));
    assert_eq!(record.proofs.previous.map(|previous| previous.proof), Some(proof));
    write(&store, &key, &Write::data("new data")).await;
    assert!(take(&store, &key).await.is_some_and(|record| record.data == "new data"));
}

/// *The secret before it is dead at once*: the session goes on with the new one, in another version.
/// Data, details and a lifetime may be written with it.
pub async fn a_regeneration_ends_the_secret_before_at_once<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let lifetime = valid(Lifetime::absolute(2 * HOUR));
    for by_claim in [true, false] {
        let (key, old) = put_proved(&store).await;
        let (before, next) = (look(&store, &key).await, random_proof());
        let (old, details) = (claim(&old), long_details());
        let new = Write {
            data: Some("new data".into()),
            details: Some(&details),
            lifetime: Some(&lifetime),
            expected: Some(before.meta.version),
            ..regenerate(by_claim.then_some(&old), next)
        };
        let written = write(&store, &key, &new).await;
        assert_eq!(written.version, before.meta.version.next());
        assert_eq!(found(&store, &key, &old).await, Found::Missing);
        let late = Write { claim: Some(&old), ..Write::data("late data") };
        assert_eq!(store.replace(&key, &late).await.unwrap(), Replaced::Missing);
        let Found::Current(record) = found(&store, &key, &claim(&next)).await else {
            panic!("the new secret does not open the record");
        };
        assert_eq!((record.proofs.current, record.proofs.previous), (Some(next), None));
        assert_eq!((&record.data[..], record.details), (&b"new data"[..], details));
        assert_eq!(record.meta.lifetime, lifetime);
        assert_eq!(record.meta.version, written.version);
    }
}

/// *The secret before it is dead at once*: one that is being handed over too, with the sealed secret.
pub async fn a_regeneration_ends_a_handover<H: Harness>(harness: &H) {
    let store = store(harness).await;
    for by_previous in [true, false] {
        let (key, first) = put_proved(&store).await;
        let second = hand_over(&store, &key, &first).await;
        let (by, next) = (claim(if by_previous { &first } else { &second }), random_proof());
        write(&store, &key, &regenerate(Some(&by), next)).await;
        for old in [first, second] {
            assert_eq!(found(&store, &key, &claim(&old)).await, Found::Missing);
        }
        let record = found(&store, &key, &claim(&next)).await.live().unwrap();
        assert_eq!(record.proofs, crate::record::Proofs::new(next));
    }
}

/// A session keeps its key, its owner and its beginning for life, and its place in its owner's list.
pub async fn a_regenerated_session_keeps_its_key<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let owner = any_owner(&store, "Anna");
    let owner = owner.as_ref();
    let (first, second) = (key_for(&store, owner), key_for(&store, owner));
    for key in [&first, &second] {
        let proof = Some(random_proof());
        put(&store, key, &NewRecord { owner, proof, ..NewRecord::new("data", hour()) }).await;
        tick(harness).await;
    }
    let before = look(&store, &first).await;
    let next = random_proof();
    write(&store, &first, &Write { authenticated: true, ..regenerate(None, next) }).await;
    let after = found(&store, &first, &claim(&next)).await.live().unwrap();
    assert_eq!(after.meta.created_at, before.meta.created_at);
    assert_eq!(after.meta.owner, before.meta.owner);
    assert_listed(&store, owner, &[second, first]).await;
}

/// *Of callers that race for one record exactly one wins*: the others no longer hold its secret.
pub async fn one_of_racing_regenerations_with_a_secret_is_done<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let (key, old) = put_proved(&store).await;
    let answers = race(harness.races(), |_| {
        let (store, key) = (store.clone(), key.clone());
        async move {
            let (claim, next) = (claim(&old), random_proof());
            (next, store.replace(&key, &regenerate(Some(&claim), next)).await.unwrap())
        }
    })
    .await;
    let current = look(&store, &key).await.proofs.current;
    for (next, answer) in answers {
        if Some(next) == current {
            assert!(matches!(answer, Replaced::Done(_)));
        } else {
            assert_eq!(answer, Replaced::Missing);
        }
    }
}
