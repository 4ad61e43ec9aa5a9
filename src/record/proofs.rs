//! [`Proofs`], by which a record knows the tokens of its session, and what a claim is worth.

use bytes::Bytes;

use super::{NewProof, Timestamp};
use crate::proof::{Claim, Proof};

/// The proofs of a record: of the secret that the client holds, and of the one before it where that
/// was handed over.
///
/// ```
/// use std::time::Duration;
/// use token_session::store::{NewProof, Proofs, Standing};
/// use token_session::{Claim, Proof, Timestamp};
///
/// let (first, second) = (Proof::from_bytes([1; 33]), Proof::from_bytes([2; 33]));
/// let (old, new) = [first, second].map(|proof| Claim::new(proof, Duration::from_secs(10))).into();
/// let at = Timestamp::from_millis;
///
/// let mut proofs = Proofs::new(first);
/// proofs.renewed(&NewProof::Rotated { next: second, sealed: "the next secret".into() });
/// assert_eq!(proofs.standing(Some(&old), at(0)), Standing::Previous);
/// proofs.confirmed(at(1_000));
/// assert_eq!(proofs.standing(Some(&new), at(1_000)), Standing::Current);
/// assert_eq!(proofs.standing(Some(&old), at(10_999)), Standing::Previous);
/// assert_eq!(proofs.standing(Some(&old), at(11_000)), Standing::Reused);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proofs {
    /// Of the current secret; `None` for a record that is found by its key alone, as those of codes
    /// and links, and sessions in formats whose id is the token.
    pub current: Option<Proof>,
    /// Of the secret before it, if that was handed over.
    pub previous: Option<Previous>,
}

/// The secret that was handed over.
///
/// ```
/// use token_session::Proof;
/// use token_session::store::Previous;
///
/// let previous = Previous {
///     proof: Proof::from_bytes([1; 33]),
///     confirmed_at: None,
///     sealed: Some("the next secret, which only the previous one opens".into()),
/// };
/// assert!(previous.confirmed_at.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its proof.
    pub proof: Proof,
    /// When the current secret was first used.
    pub confirmed_at: Option<Timestamp>,
    /// The current secret, sealed under the previous one; erased by the confirmation. At most
    /// [`MAX_SEALED`](Self::MAX_SEALED) bytes.
    pub sealed: Option<Bytes>,
}

impl Previous {
    /// The most bytes that a sealed secret takes.
    pub const MAX_SEALED: usize = 1024;
}

/// What a claim is worth at a record.
///
/// ```
/// use token_session::store::{Proofs, Standing};
/// use token_session::Timestamp;
///
/// // A look-up by the key alone, as the program itself makes it, needs no proof.
/// let standing = Proofs::default().standing(None, Timestamp::from_millis(0));
/// assert_eq!(standing, Standing::Current);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The current secret is claimed, or nothing is claimed.
    Current,
    /// The previous secret is claimed, before the handover is confirmed or within the grace after.
    Previous,
    /// The previous secret is claimed, later than that: somebody uses it who should not have it.
    Reused,
    /// Any other secret is claimed. The record does not exist for this caller.
    Unknown,
}

impl Standing {
    /// Whether the claim opens the session.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Current | Self::Previous)
    }
}

impl Proofs {
    /// Of a session that begins with this proof.
    pub const fn new(proof: Proof) -> Self {
        Self { current: Some(proof), previous: None }
    }

    /// What the claim is worth at `now`.
    pub fn standing(&self, claim: Option<&Claim>, now: Timestamp) -> Standing {
        let Some(claim) = claim else {
            return Standing::Current;
        };
        if self.current.as_ref().is_some_and(|proof| claim.proves(proof)) {
            return Standing::Current;
        }
        match &self.previous {
            Some(previous) if claim.proves(&previous.proof) => {
                let until = previous.confirmed_at.map(|at| at + claim.grace());
                let is_over = until.is_some_and(|until| until <= now);
                if is_over { Standing::Reused } else { Standing::Previous }
            }
            _ => Standing::Unknown,
        }
    }

    /// Whether a load with this claim is the first use of the current secret.
    pub fn is_confirmed_by(&self, claim: Option<&Claim>) -> bool {
        let is_open = self.previous.as_ref().is_some_and(|it| it.confirmed_at.is_none());
        is_open
            && claim.zip(self.current.as_ref()).is_some_and(|(claim, proof)| claim.proves(proof))
    }

    /// What the confirmation makes of them: the sealed secret goes.
    pub fn confirmed(&mut self, now: Timestamp) {
        if let Some(previous) = &mut self.previous {
            previous.confirmed_at = Some(now);
            previous.sealed = None;
        }
    }

    /// What a new secret makes of them.
    pub fn renewed(&mut self, new: &NewProof) {
        let (next, previous) = match new {
            NewProof::Regenerated(next) => (next, None),
            NewProof::Rotated { next, sealed } => {
                let sealed = Some(sealed.clone());
                let previous =
                    self.current.map(|proof| Previous { proof, confirmed_at: None, sealed });
                (next, previous)
            }
        };
        *self = Self { current: Some(*next), previous };
    }
}
