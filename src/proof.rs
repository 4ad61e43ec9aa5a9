//! [`Proof`], what a store keeps of a token's secret, and [`Claim`], what it compares with it.

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::key_ring::{self, KeyRing};
use crate::token::TokenError;

/// What a store keeps of a token's secret: one byte for the scheme, and a digest of 32 bytes that
/// cannot be turned back.
///
/// ```
/// use token_session::Proof;
///
/// let proof = Proof::from_bytes([1; Proof::LEN]);
/// assert_eq!(proof.as_bytes().len(), 33);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Proof([u8; Proof::LEN]);

impl Proof {
    /// How many bytes a proof has.
    pub const LEN: usize = 33;

    /// The proof that a store kept as these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes that a store keeps.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    fn new(scheme: u8, digest: [u8; 32]) -> Self {
        let mut bytes = [scheme; Self::LEN];
        bytes[1..].copy_from_slice(&digest);
        Self(bytes)
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proof(scheme {})", self.0[0])
    }
}

/// What a request shows to a store: the proof of its token's secret, in each scheme that the session may
/// have been made with, and how long a previous secret is still accepted.
///
/// ```
/// use std::time::Duration;
/// use token_session::{Claim, Proof};
///
/// let proof = Proof::from_bytes([1; Proof::LEN]);
/// let claim = Claim::new(proof, Duration::from_secs(10));
/// assert!(claim.proves(&proof));
/// assert!(!claim.proves(&Proof::from_bytes([2; Proof::LEN])));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    bytes: [u8; Claim::MOST * Proof::LEN],
    proofs: usize,
    grace: Duration,
}

impl Claim {
    /// The most proofs that a claim has: of one secret in several schemes.
    pub const MOST: usize = 4;

    /// A claim of one scheme. After a handover was confirmed, the previous secret is good for
    /// `grace`.
    pub fn new(proof: Proof, grace: Duration) -> Self {
        let mut claim = Self { bytes: [0; Self::MOST * Proof::LEN], proofs: 0, grace };
        claim.add(proof);
        claim
    }

    /// Adds the proof in another scheme. Ignores one that does not fit.
    fn add(&mut self, proof: Proof) {
        if self.proofs < Self::MOST {
            let at = self.proofs * Proof::LEN;
            self.bytes[at..at + Proof::LEN].copy_from_slice(proof.as_bytes());
            self.proofs += 1;
        }
    }

    /// The proofs, one of which a record's has to equal.
    pub fn proofs(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.as_bytes().chunks_exact(Proof::LEN)
    }

    /// The proofs, one after the other. A store may look for a record's proof in them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.proofs * Proof::LEN]
    }

    /// How long the previous secret is good after the handover was confirmed.
    pub const fn grace(&self) -> Duration {
        self.grace
    }

    /// Whether it claims the secret with this proof. Compares in constant time.
    pub fn proves(&self, proof: &Proof) -> bool {
        self.proofs().fold(false, |found, own| key_ring::same(own, proof.as_bytes()) | found)
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claim({} proofs, grace {:?})", self.proofs, self.grace)
    }
}

/// How the secret of a token becomes its proof.
///
/// SHA-256 is enough for secrets of 128 random bits (OWASP ASVS 5.0, 6.5.2). A key ring adds one thing: an
/// attacker who can write to the store, but does not know the keys, cannot plant a session.
///
/// A record names the scheme of its proof, so a scheme can be added or a key replaced without ending
/// a session: new secrets are proved with the first one, and all of them are accepted.
///
/// ```
/// use token_session::{KeyRing, ProofScheme, TokenSession};
///
/// let ring = KeyRing::new(1, b"32 random bytes from the config!")?;
/// // Sessions from before the key was introduced go on.
/// let scheme = ProofScheme::hmac_sha256(ring).and_sha256();
/// let sessions = TokenSession::<u32>::builder().proof_scheme(scheme).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ProofScheme {
    ring: Option<KeyRing>,
    and_sha256: bool,
}

const SHA_256: u8 = 1;
const HMAC_SHA_256: u8 = 2;

impl ProofScheme {
    /// SHA-256 of the secret. The default.
    pub fn sha256() -> Self {
        Self::default()
    }

    /// HMAC-SHA-256 under the first key of the ring. Sessions of its other keys are accepted. At most four
    /// keys, SHA-256 counted as one.
    pub fn hmac_sha256(ring: KeyRing) -> Self {
        Self { ring: Some(ring), and_sha256: false }
    }

    /// Accepts sessions whose proof is SHA-256 too. Leave it out when the last of them has ended: until
    /// then, an attacker who can write to the store can plant a session.
    #[must_use]
    pub fn and_sha256(self) -> Self {
        Self { and_sha256: true, ..self }
    }

    /// Fails where a claim has no room for all proofs.
    pub(crate) fn checked(self) -> Result<Self, TokenError> {
        let keys = self.ring.iter().flat_map(KeyRing::iter).count();
        let proofs = keys + usize::from(self.and_sha256);
        if proofs > Claim::MOST { Err(TokenError::TooManySchemes { proofs }) } else { Ok(self) }
    }

    /// The proof of a new secret.
    pub(crate) fn prove(&self, secret: &[u8]) -> Proof {
        match &self.ring {
            Some(ring) => keyed(ring.signing().1, secret),
            None => plain(secret),
        }
    }

    /// The claim of a secret that a client has sent.
    pub(crate) fn claim(&self, secret: &[u8], grace: Duration) -> Claim {
        let mut claim = Claim::new(self.prove(secret), grace);
        if let Some(ring) = &self.ring {
            ring.iter().skip(1).for_each(|(_, key)| claim.add(keyed(key, secret)));
            if self.and_sha256 {
                claim.add(plain(secret));
            }
        }
        claim
    }
}

fn plain(secret: &[u8]) -> Proof {
    Proof::new(SHA_256, Sha256::digest(secret).into())
}

fn keyed(key: &[u8], secret: &[u8]) -> Proof {
    Proof::new(HMAC_SHA_256, key_ring::mac(key, "token-session proof of a secret", &[secret]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &[u8] = b"the old key, thirty-two bytes long";
    const NEW: &[u8] = b"the new key, thirty-two bytes long";

    #[test]
    fn a_claim_proves_each_scheme_that_is_accepted() {
        let old = ProofScheme::hmac_sha256(KeyRing::new(1, OLD).unwrap());
        let both = KeyRing::new(2, NEW).unwrap().and_verify(1, OLD).unwrap();
        let new = ProofScheme::hmac_sha256(both).and_sha256().checked().unwrap();
        let claim = new.claim(b"secret", Duration::ZERO);
        assert_eq!(claim.proofs().len(), 3);
        for proof in [new.prove(b"secret"), old.prove(b"secret"), plain(b"secret")] {
            assert!(claim.proves(&proof));
        }
        assert!(!claim.proves(&plain(b"another")));
        assert!(!old.claim(b"secret", Duration::ZERO).proves(&plain(b"secret")));
    }

    #[test]
    fn more_keys_than_a_claim_has_room_for_are_refused() {
        let mut ring = KeyRing::new(0, OLD).unwrap();
        for id in 1..4 {
            ring = ring.and_verify(id, NEW).unwrap();
        }
        let scheme = ProofScheme::hmac_sha256(ring);
        assert!(scheme.clone().checked().is_ok());
        let refused = scheme.and_sha256().checked();
        assert!(matches!(refused, Err(TokenError::TooManySchemes { proofs: 5 })));
    }
}
