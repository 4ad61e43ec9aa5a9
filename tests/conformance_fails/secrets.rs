//! The faults of claims, handovers, confirmations and reuse.

use std::time::Duration;

use token_session::store::{Found, Load, NewProof, Replaced, Standing, Touch, Write};
use token_session::{Claim, Key, Proof, Record};

use crate::fault::Fault::*;
use crate::faulty::{FaultyStore, round_trip};

const ALWAYS: Touch = Touch::After(Duration::ZERO);

/// The record of this answer.
fn told(found: &mut Found) -> Option<&mut Record> {
    match found {
        Found::Current(record) | Found::Previous(record) | Found::Reused(record) => Some(record),
        Found::Missing => None,
    }
}

impl FaultyStore {
    /// What the store makes of a claim.
    pub fn claim(&self, claim: Option<&Claim>, record: Option<&Record>) -> Option<Claim> {
        let claim = claim?;
        let current = record.and_then(|record| record.proofs.current);
        let same = |bytes: std::ops::Range<usize>| {
            let current = current?;
            let is_same = claim
                .proofs()
                .any(|proof| proof[bytes.clone()] == current.as_bytes()[bytes.clone()]);
            is_same.then(|| Claim::new(current, claim.grace()))
        };
        let first = || {
            let first = claim.proofs().next().and_then(|proof| proof.try_into().ok());
            Proof::from_bytes(first.expect("a claim has a proof"))
        };
        let with_grace = |grace| {
            let previous = record.and_then(|record| record.proofs.previous.as_ref());
            match previous {
                Some(previous) if claim.proves(&previous.proof) => {
                    Claim::new(previous.proof, grace)
                }
                _ => *claim,
            }
        };
        Some(match self.fault {
            ClaimIsIgnored => return None,
            ClaimComparesTheFirstProof => Claim::new(first(), claim.grace()),
            ClaimComparesSixteenBytes => same(0..16).unwrap_or(*claim),
            ClaimComparesTheDigestAlone => same(1..Proof::LEN).unwrap_or(*claim),
            ClaimFitsNoProof if current.is_none() => return None,
            GraceIsForgotten => with_grace(Duration::ZERO),
            GraceHasNoEnd => with_grace(Duration::from_secs(1_000_000)),
            _ => *claim,
        })
    }

    fn standing(&self, claim: Option<&Claim>, record: &Record) -> Standing {
        record.standing(claim, self.inner.now())
    }

    /// What answers a load without one, or is done before it.
    pub fn before_load(
        &self,
        key: &Key,
        load: &Load<'_>,
        before: Option<&Record>,
    ) -> Option<Found> {
        let record = before?;
        let standing = self.standing(load.claim, record);
        match (self.fault, standing) {
            (KeyAloneFindsNothing, _) if load.claim.is_none() => {
                return record.proofs.current.map(|_| Found::Missing);
            }
            (AnotherClaimTouches, Standing::Unknown) | (ReuseTouches, Standing::Reused) => {
                self.inner.load(key, &Load { claim: None, ..*load });
            }
            (ReuseIsMissing, Standing::Reused) => return Some(Found::Missing),
            (OlderIsReused, Standing::Unknown) if record.proofs.previous.is_some() => {
                return Some(Found::Reused(record.clone()));
            }
            // The only time that a store without one of its own for the handover has.
            (GraceBeginsWithTheHandover, Standing::Previous) => {
                let grace = load.claim.map_or(Duration::MAX, Claim::grace);
                if record.meta.last_seen + grace < self.inner.now() {
                    return Some(Found::Reused(record.clone()));
                }
            }
            _ => {}
        }
        None
    }

    /// What is done after a load, and to its answer.
    pub fn after_load(
        &self,
        key: &Key,
        load: &Load<'_>,
        before: Option<&Record>,
        found: &mut Found,
    ) {
        let Some(before) = before else { return };
        let now = self.inner.now();
        let standing = self.standing(load.claim, before);
        let confirms = before.proofs.is_confirmed_by(load.claim);
        let (mut proofs, mut seen) = (None, None);
        match self.fault {
            ConfirmsNever if confirms => proofs = Some(before.proofs.clone()),
            ConfirmsWithATouchOnly if confirms && load.touch == Touch::No => {
                proofs = Some(before.proofs.clone());
            }
            ConfirmsAgain if load.claim.is_some() && standing == Standing::Current => {
                let mut again = before.proofs.clone();
                again.confirmed(now);
                proofs = Some(again);
            }
            ConfirmsWithoutAClaim if load.claim.is_none() => {
                let mut early = before.proofs.clone();
                early.confirmed(now);
                proofs = Some(early);
            }
            ConfirmsByThePrevious if standing == Standing::Previous => {
                let mut early = before.proofs.clone();
                early.confirmed(now);
                proofs = Some(early);
            }
            ConfirmKeepsTheSealed if confirms => {
                let mut kept = before.proofs.clone();
                let sealed = kept.previous.as_ref().and_then(|previous| previous.sealed.clone());
                kept.confirmed(now);
                if let Some(previous) = &mut kept.previous {
                    previous.sealed = sealed;
                }
                proofs = Some(kept);
            }
            ConfirmTouches if confirms => seen = Some(now),
            PreviousIsToldOnce if standing == Standing::Previous => {
                let mut told = before.proofs.clone();
                if let Some(previous) = &mut told.previous {
                    previous.sealed = None;
                }
                self.inner.change(key, |record| record.proofs = told);
            }
            ConfirmIsNotTold if confirms => {
                if let Some(record) = told(found) {
                    record.proofs = before.proofs.clone();
                }
            }
            _ => {}
        }
        let change = |record: &mut Record| {
            record.proofs = proofs.clone().unwrap_or_else(|| record.proofs.clone());
            record.meta.last_seen = seen.unwrap_or(record.meta.last_seen);
        };
        self.inner.change(key, change);
        if let Some(record) = told(found) {
            change(record);
        }
    }

    /// What writes of a secret do, or by a claim, where they are faulty.
    pub async fn replace_secret(
        &self,
        key: &Key,
        write: &Write<'_>,
        before: Option<&Record>,
    ) -> Option<Replaced> {
        let before = before?;
        let standing = self.standing(write.claim, before);
        match self.fault {
            AnotherClaimIsAConflict if standing == Standing::Unknown => {
                return Some(Replaced::Conflict);
            }
            PreviousReadsOnly if standing == Standing::Previous => return Some(Replaced::Missing),
            WriteConfirms if before.proofs.is_confirmed_by(write.claim) => {
                let load = Load { claim: write.claim, touch: Touch::No, with_data: false };
                self.inner.load(key, &load);
            }
            AnotherClaimTouches if standing == Standing::Unknown => {
                self.inner.load(key, &Load { touch: ALWAYS, ..Load::new() });
            }
            _ => {}
        }
        match write.proof.clone()? {
            NewProof::Regenerated(next) => self.regenerate(key, write, before, next).await,
            NewProof::Rotated { next, sealed } => {
                let rotated = |sealed| {
                    let proof = Some(NewProof::Rotated { next, sealed });
                    self.inner.replace(key, &Write { proof, ..write.clone() })
                };
                Some(match self.fault {
                    HandoverRaisesTheVersion => {
                        let answer = self.inner.replace(key, write);
                        if matches!(answer, Replaced::Done(_)) {
                            let raise = |record: &mut Record| {
                                record.meta.version = record.meta.version.next();
                            };
                            self.inner.change(key, raise);
                        }
                        answer
                    }
                    HandoverEndsThePrevious => {
                        let proof = Some(NewProof::Regenerated(next));
                        self.inner.replace(key, &Write { proof, ..write.clone() })
                    }
                    HandoverForgetsTheSealed => rotated("".into()),
                    HandoverCutsTheSealed => rotated(sealed.slice(..sealed.len().min(255))),
                    HandoverByThePrevious if standing == Standing::Previous => {
                        self.inner.replace(key, &Write { claim: None, ..write.clone() })
                    }
                    HandoverIgnoresTheVersion => {
                        self.inner.replace(key, &Write { expected: None, ..write.clone() })
                    }
                    HandoverLooksThenWrites => self.look_then_write(key, write, before).await,
                    HandoverWritesTheSealedLast => {
                        let answer = rotated("".into());
                        round_trip().await;
                        self.inner.change(key, |record| {
                            if let Some(previous) = &mut record.proofs.previous {
                                previous.sealed = Some(sealed);
                            }
                        });
                        answer
                    }
                    _ => return None,
                })
            }
        }
    }

    async fn regenerate(
        &self,
        key: &Key,
        write: &Write<'_>,
        before: &Record,
        next: Proof,
    ) -> Option<Replaced> {
        let after = |change: &dyn Fn(&mut Record)| {
            let answer = self.inner.replace(key, write);
            if matches!(answer, Replaced::Done(_)) {
                self.inner.change(key, |record| change(record));
            }
            answer
        };
        Some(match self.fault {
            RegenerationKeepsTheVersion => {
                after(&|record| record.meta.version = before.meta.version)
            }
            RegenerationIsAHandover => {
                let proof = Some(NewProof::Rotated { next, sealed: "".into() });
                let by_key = Write { proof, claim: None, ..write.clone() };
                let answer = self.inner.replace(key, &by_key);
                let raise = |record: &mut Record| {
                    record.meta.version = record.meta.version.next();
                    record.meta.version
                };
                match (answer, self.inner.change(key, raise)) {
                    (Replaced::Done(mut written), Some(version)) => {
                        written.version = version;
                        Replaced::Done(written)
                    }
                    _ => answer,
                }
            }
            RegenerationKeepsTheHandover => {
                after(&|record| record.proofs.previous = before.proofs.previous.clone())
            }
            RegenerationBeginsAnew => {
                let now = self.inner.now();
                let answer = after(&|record| record.meta.created_at = now);
                if let Some(record) = self.inner.take(key) {
                    self.inner.put(key, record);
                }
                answer
            }
            RegenerationLooksThenWrites => self.look_then_write(key, write, before).await,
            _ => return None,
        })
    }

    async fn look_then_write(&self, key: &Key, write: &Write<'_>, before: &Record) -> Replaced {
        let mut after = before.clone();
        let answer = after.write(write, self.inner.now());
        if matches!(answer, Replaced::Done(_)) {
            round_trip().await;
            self.inner.put(key, after);
        }
        answer
    }
}
