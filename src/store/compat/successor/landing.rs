//! How the copy of a session comes to stand under the session's own key in the new store.
//!
//! A copy waits under a key of its own until there is a note of it in the old store. Then anybody may
//! land it, and more than one at once: each makes a reservation under the session's key, which no token
//! opens, sees that the copy is still there, and opens the reservation that it has seen with the
//! session's proof. The copy goes next, and the note after it. A late caller, when the session may have ended
//! already, finds no copy and opens nothing.

use sha2::{Digest, Sha256};

use super::moving::remaining;
use super::{Successor, bare};
use crate::backoff::Backoff;
use crate::key::Key;
use crate::proof::Proof;
use crate::record::{Record, Version};
use crate::store::{Condition, Inserted, Load, NewProof, NewRecord, Replaced, Result, Write};

/// How often a copy that has a note is looked for, some 30 milliseconds in all, before it counts as
/// ended.
const LOOKS: u32 = 8;

impl Successor {
    /// Puts a copy there that no token opens.
    pub(super) async fn stage(&self, staged: &Key, record: &Record) -> Result<()> {
        let owner = self.owner_of(record);
        let copy = NewRecord {
            owner: owner.as_ref(),
            details: record.details.clone(),
            ..NewRecord::new(record.data.clone(), remaining(&record.meta)?)
        };
        // Only this very copy can have taken the key, when a client has sent the write twice.
        self.new.insert(staged, &copy).await.map(drop)
    }

    /// Gives the copy its real key; whether the session is there then.
    pub(super) async fn land(&self, key: &Key, nonce: u64) -> Result<bool> {
        let staged = staged(key, nonce);
        let mut backoff = Backoff::new();
        for _ in 0..LOOKS {
            let Some(copy) = self.new.load(&staged, &Load::new()).await?.live() else {
                // Another caller has landed it, or it has ended.
                if self.standing(&bare(key)).await? == Standing::Session {
                    return Ok(true);
                }
                backoff.wait().await;
                continue;
            };
            if self.open(key, nonce, copy).await? {
                self.new.remove(&staged, Condition::Always, false).await?;
                return Ok(true);
            }
            backoff.wait().await;
        }
        Ok(false)
    }

    /// Opens the session with what the copy holds; whether it is open then, by this call or another.
    pub(super) async fn open(&self, key: &Key, nonce: u64, copy: Record) -> Result<bool> {
        let (real, reservation) = (bare(key), reservation(nonce));
        let record = NewRecord {
            owner: copy.meta.owner.as_ref(),
            details: copy.details,
            proof: Some(reservation),
            ..NewRecord::new(copy.data, remaining(&copy.meta)?)
        };
        let version = match self.new.insert(&real, &record).await? {
            Inserted::Done { .. } => record.version,
            Inserted::KeyTaken | Inserted::OwnerFull => match self.standing(&real).await? {
                Standing::Session => return Ok(true),
                Standing::Nothing => return Ok(false),
                Standing::Reserved(found, version) if found == reservation => version,
                // A late caller of an earlier move has left it, and was killed.
                Standing::Reserved(_, version) => {
                    self.new.remove(&real, Condition::Version(version), false).await?;
                    return Ok(false);
                }
            },
        };
        // After the reservation: a caller that ends the session removes the copy before that.
        if self.new.alive(&[staged(key, nonce)]).await? != [true] {
            self.new.remove(&real, Condition::Version(version), false).await?;
            return Ok(false);
        }
        let write = Write {
            expected: Some(version),
            proof: Some(NewProof::Regenerated(self.proof_of(key))),
            ..Write::default()
        };
        Ok(matches!(self.new.replace(&real, &write).await?, Replaced::Done(_)))
    }

    /// What stands under a session's key.
    async fn standing(&self, real: &Key) -> Result<Standing> {
        let load = Load { with_data: false, ..Load::new() };
        Ok(match self.new.load(real, &load).await?.live() {
            None => Standing::Nothing,
            Some(Record { proofs, meta, .. }) => match proofs.current {
                Some(proof) if proof.as_bytes()[0] == NO_SCHEME => {
                    Standing::Reserved(proof, meta.version)
                }
                _ => Standing::Session,
            },
        })
    }
}

#[derive(PartialEq, Eq)]
enum Standing {
    Nothing,
    Reserved(Proof, Version),
    Session,
}

/// The key of a copy. It follows from the session's own, so that a note, which holds what a user
/// may have written, names no other session.
pub(super) fn staged(key: &Key, nonce: u64) -> Key {
    let staged = Sha256::new_with_prefix("token-session: a session that moves")
        .chain_update(key.as_bytes())
        .chain_update(nonce.to_be_bytes());
    Key::of_digest(&staged.finalize().into())
}

/// The first byte of a proof that no claim ever fits.
const NO_SCHEME: u8 = 0;

/// The proof of a reservation for the copy of this number.
pub(super) fn reservation(nonce: u64) -> Proof {
    let mut bytes = [NO_SCHEME; Proof::LEN];
    bytes[1..9].copy_from_slice(&nonce.to_be_bytes());
    Proof::from_bytes(bytes)
}
