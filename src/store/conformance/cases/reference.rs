//! The store against the reference: what [`Record`] says of each operation.

use std::fmt::Debug;
use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::key::Key;
use crate::proof::{Claim, Proof};
use crate::record::{Details, Lifetime, Owner, Record, Version};
use crate::store::conformance::Harness;
use crate::store::conformance::fixture::*;
use crate::store::{
    Condition, Found, Inserted, Load, NewProof, NewRecord, Removed, Replaced, Store, Touch, Write,
};

const STEPS: usize = 40;

/// Random operations do to a store's record what they do to the reference, and have the same answers.
/// Only the times are the store's own: what was to happen now did, between the look before and after.
pub async fn every_operation_does_what_the_reference_does<H: Harness>(harness: &H) {
    let store = store(harness).await;
    let mut sequences: Vec<Sequence> = (0..harness.races().min(20))
        .map(|number| {
            let owner = any_owner(&store, &format!("user-{number}"));
            let key = key_for(&store, owner.as_ref());
            Sequence { key, owner, record: None, proofs: Vec::new(), history: Vec::new() }
        })
        .collect();
    for _ in 0..STEPS {
        // So that no two operations fall into one moment, in which nothing would have to change.
        tick(harness).await;
        sequences = sequences
            .into_iter()
            .map(|sequence| sequence.step(store.clone()))
            .collect::<JoinSet<_>>()
            .join_all()
            .await;
    }
}

/// What happens to one key.
struct Sequence {
    key: Key,
    owner: Option<Owner>,
    /// What is under the key now, by the reference.
    record: Option<Record>,
    /// Of every secret that there was.
    proofs: Vec<Proof>,
    /// What was asked and answered, for the message of a failure.
    history: Vec<String>,
}

fn chance(percent: usize) -> bool {
    random_below(100) < percent
}

fn any_lifetime() -> Lifetime {
    let (idle, absolute) = (Lifetime::idle(2 * HOUR), Lifetime::absolute(3 * HOUR));
    match random_below(3) {
        0 => valid(idle),
        1 => valid(absolute),
        _ => valid(valid(idle).and_absolute(HOUR)),
    }
}

fn any_details() -> Details {
    if chance(50) { Details::new() } else { long_details() }
}

impl Sequence {
    async fn step(mut self, store: Arc<dyn Store>) -> Self {
        let operation = random_below(20);
        match &self.record {
            None => self.insert(&store).await,
            Some(_) if operation == 0 => self.insert(&store).await,
            Some(_) if operation < 9 => self.load(&store).await,
            Some(_) if operation < 18 => self.replace(&store).await,
            Some(_) if operation == 18 => self.remove(&store).await,
            Some(_) => {
                let alive = store.alive(from_ref(&self.key)).await.unwrap();
                self.agree("alive", &alive, &vec![true]);
            }
        }
        self
    }

    /// The store and the reference say the same.
    fn agree<T: PartialEq + Debug>(&mut self, what: &str, store: &T, reference: &T) {
        self.history.push(format!("{what} -> {store:?}"));
        assert!(
            store == reference,
            "the store says {store:?},\nthe reference {reference:?}\nafter {:#?}",
            self.history
        );
    }

    /// The store holds what the reference makes of the record.
    async fn compare(&mut self, store: &dyn Store, what: &str, mut expected: Record) {
        let Found::Current(stored) = store.load(&self.key, &Load::new()).await.unwrap() else {
            panic!("{what} lost the record, after {:#?}", self.history);
        };
        if let Some(before) = &self.record {
            adopt_times(&mut expected, before, &stored);
        }
        self.agree(what, &facts(&stored), &facts(&expected));
        self.record = Some(stored);
    }

    fn any_proof(&mut self) -> Proof {
        let proof = random_proof();
        self.proofs.push(proof);
        proof
    }

    /// Mostly of one of the last secrets.
    fn any_claim(&self) -> Option<Claim> {
        let grace = if chance(50) { Duration::ZERO } else { HOUR };
        let back = match random_below(10) {
            0 => return Some(Claim::new(random_proof(), grace)),
            1 | 2 => return None,
            3..7 => 0,
            7 | 8 => 1,
            _ => 2,
        };
        let proof = self.proofs.iter().rev().nth(back)?;
        Some(Claim::new(*proof, grace))
    }

    async fn insert(&mut self, store: &dyn Store) {
        let proof = chance(80).then(|| self.any_proof());
        let owner = self.owner.clone().filter(|_| chance(50));
        let new = NewRecord {
            owner: owner.as_ref(),
            proof,
            details: any_details(),
            authenticated: chance(50),
            ..NewRecord::new(format!("data {}", self.history.len()), any_lifetime())
        };
        let answer = store.insert(&self.key, &new).await.unwrap();
        match self.record.clone() {
            Some(record) => {
                self.agree("insert", &answer, &Inserted::KeyTaken);
                self.compare(store, "a refused insert", record).await;
            }
            None => {
                self.agree("insert", &answer, &DONE);
                let stored = look(store, &self.key).await;
                let expected = Record::begun(&new, stored.meta.created_at);
                self.compare(store, &format!("{new:?}"), expected).await;
            }
        }
    }

    async fn load(&mut self, store: &dyn Store) {
        let Some(before) = self.record.clone() else { return };
        let claim = self.any_claim();
        let touch = [Touch::No, ALWAYS, Touch::After(HOUR)][random_below(3)];
        let load = Load { claim: claim.as_ref(), touch, with_data: chance(50) };
        let answer = store.load(&self.key, &load).await.unwrap();
        let now = match &answer {
            Found::Current(record) | Found::Previous(record) | Found::Reused(record) => {
                record.meta.now
            }
            Found::Missing => before.meta.now,
        };
        let mut expected = before.clone();
        expected.load(&load, now);
        let mut told = expected.clone().found(&load, now);
        if let (
            Found::Current(expected) | Found::Previous(expected),
            Found::Current(stored) | Found::Previous(stored),
        ) = (&mut told, &answer)
        {
            adopt_times(expected, &before, stored);
        }
        let what = format!("{load:?}");
        self.agree(&what, &answer, &told);
        self.compare(store, &what, expected).await;
    }

    async fn replace(&mut self, store: &dyn Store) {
        let Some(before) = self.record.clone() else { return };
        let (claim, details, lifetime) = (self.any_claim(), any_details(), any_lifetime());
        let proof = match random_below(6) {
            0 => Some(NewProof::Regenerated(self.any_proof())),
            1 | 2 => Some(NewProof::Rotated {
                next: self.any_proof(),
                sealed: format!("sealed {}", self.history.len()).into(),
            }),
            _ => None,
        };
        let next = proof.as_ref().map(|_| self.proofs.pop());
        let write = Write {
            expected: chance(40).then_some(before.meta.version).or_else(|| {
                chance(10).then(|| Version::from_u64(before.meta.version.get().wrapping_add(1)))
            }),
            claim: claim.as_ref(),
            data: chance(50).then(|| format!("data {}", self.history.len()).into()),
            details: chance(30).then_some(&details),
            proof,
            touch: chance(30),
            lifetime: chance(20).then_some(&lifetime),
            authenticated: chance(20),
        };
        let answer = store.replace(&self.key, &write).await.unwrap();
        let what = format!("{write:?}");
        let mut expected = before.clone();
        match answer {
            Replaced::Done(written) => {
                let stored = look(store, &self.key).await;
                let now = written.times.map_or(stored.meta.now, |times| times.now);
                let is_done = matches!(expected.write(&write, now), Replaced::Done(_));
                self.agree(&format!("whether done: {what}"), &true, &is_done);
                // A new secret counts from when it is there.
                self.proofs.extend(next.flatten());
                self.compare(store, &what, expected).await;
                self.agree("the version", &written.version, &stored.meta.version);
                assert_times(&written, &stored);
            }
            _ => {
                let told = expected.write(&write, before.meta.now);
                self.agree(&what, &answer, &told);
                self.compare(store, &what, before).await;
            }
        }
    }

    async fn remove(&mut self, store: &dyn Store) {
        let Some(before) = self.record.clone() else { return };
        let claim = self.any_claim();
        let condition = match (random_below(5), &self.owner, &claim) {
            (0, _, _) => Condition::Always,
            (1, _, _) => Condition::Version(before.meta.version.next()),
            (2, Some(owner), _) => Condition::Owner(owner),
            (3 | 4, _, Some(claim)) => Condition::Claim(claim),
            _ => Condition::Version(before.meta.version),
        };
        let what = format!("remove {condition:?}");
        let meets = before.meets(condition, before.meta.now);
        match store.remove(&self.key, condition, true).await.unwrap() {
            Removed::Done(record) => {
                self.agree(&what, &true, &meets);
                let record = record.as_ref().map(facts);
                self.agree("what it hands out", &record, &Some(facts(&before)));
                self.record = None;
                self.proofs.clear();
                let found = store.load(&self.key, &Load::new()).await.unwrap();
                self.agree("what is left", &found, &Found::Missing);
            }
            answer => {
                let told = if meets { Removed::Done(None) } else { Removed::Conflict };
                self.agree(&what, &answer, &told);
                self.compare(store, &what, before).await;
            }
        }
    }
}

/// Takes the store's own times for what was to change now. They lie between the look before and the
/// answer.
fn adopt_times(expected: &mut Record, before: &Record, stored: &Record) {
    let moments = before.meta.now..=stored.meta.now;
    let (meta, own) = (&mut expected.meta, &stored.meta);
    if meta.last_seen != before.meta.last_seen && moments.contains(&own.last_seen) {
        if meta.authenticated_at == Some(meta.last_seen) {
            meta.authenticated_at = Some(own.last_seen);
        }
        if meta.deadline == meta.lifetime.deadline(meta.last_seen) {
            meta.deadline = meta.lifetime.deadline(own.last_seen);
        }
        meta.last_seen = own.last_seen;
    }
    let confirmed = |record: &Record| record.proofs.previous.as_ref()?.confirmed_at;
    if let (Some(at), Some(own), Some(previous)) =
        (confirmed(expected), confirmed(stored), &mut expected.proofs.previous)
        && confirmed(before) != Some(at)
        && moments.contains(&own)
    {
        previous.confirmed_at = Some(own);
    }
}
