//! [`Budget`]: how many guesses one subject may see in a day, and which of them are kept for whom.
//!
//! One record a subject and purpose is the only place where guesses are counted. A challenge *keeps*
//! its guesses when it is issued, so nobody else can spend them; each guess is *charged* before it
//! is compared; what a challenge did not spend goes back when it ends. All of it is compare-and-swap
//! on that record: of any number of racing guesses no more are charged than there are. The record lives
//! as long as what it counts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::engine::{RETRIES, absolute};
use super::error::CodeError;
use crate::backoff::Backoff;
use crate::key::Key;
use crate::store::{AtomicStore, Inserted, Load, NewRecord, Replaced, Write};
use crate::stored::{self, Blob, Moment, whole_seconds};

/// How long a guess counts.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// For so long after its last code a challenge keeps its guesses, so that the two records' clocks
/// need not agree to the millisecond.
const GRACE: Duration = Duration::from_secs(60);

/// What is kept of a subject. All times are moments of this record.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Ledger {
    /// When each guess was spent, within the last day and since the last success.
    spent: Vec<Moment>,
    /// What open challenges keep.
    kept: Vec<Kept>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// The challenge's salt, which names it before it has a key.
    challenge: Blob,
    tries: u32,
    until: Moment,
}

/// A subject's state without secrets: for an administrator, or to warn a person.
///
/// It is what the subject's own budget holds. Not in it are the challenges of [known
/// devices](super::Codes::issue_from_device), which have budgets of their own, and what was issued or
/// guessed while another key of the [ring](super::CodesBuilder::key_ring) signed.
///
/// ```
/// use token_session::codes::Codes;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codes = Codes::<()>::builder("sign-in").build()?;
/// codes.issue("anna@example.org", &()).await?;
/// let status = codes.status("anna@example.org").await?;
/// assert_eq!((status.open, status.kept, status.spent, status.free), (1, 5, 0, 15));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Challenges that may still be answered, or were cancelled within their cool-down.
    pub open: u32,
    /// Guesses that they keep.
    pub kept: u32,
    /// Wrong guesses within the last 24 hours, since the last success.
    pub spent: u32,
    /// Guesses that a new challenge may keep.
    pub free: u32,
    /// Until when none is free.
    pub retry_after: Option<Duration>,
}

/// What became of a guess that was to be charged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Charge {
    /// It may be compared.
    Done,
    /// The challenge has no guess left.
    Exhausted,
    /// The challenge keeps nothing: it has ended.
    Ended,
}

/// What a success leaves of the challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proven {
    /// Nothing: it is used.
    Used,
    /// So many guesses, as at the beginning: somebody acts on it, and it may come back.
    Open { tries: u32 },
}

/// The guesses of one subject and purpose, or of one of the subject's devices.
pub(super) struct Budget<'a> {
    pub store: &'a dyn AtomicStore,
    pub key: &'a Key,
    pub tries_per_day: u32,
}

/// What a change of the ledger comes to.
enum Change<R> {
    Write(R),
    Leave(R),
}

impl Budget<'_> {
    /// Keeps up to `tries` guesses for a challenge; at least one, or the error says when there is
    /// one.
    pub async fn keep(
        &self,
        challenge: &Blob,
        tries: u32,
        lifetime: Duration,
    ) -> Result<(), CodeError> {
        self.update(|ledger, now| match ledger.free(self.tries_per_day) {
            0 => Change::Leave(Err(ledger.too_soon(now))),
            free => {
                ledger.kept.push(Kept {
                    challenge: challenge.clone(),
                    tries: tries.min(free),
                    until: now + lifetime + GRACE,
                });
                Change::Write(Ok(()))
            }
        })
        .await?
    }

    /// Keeps a challenge's guesses for another code of it.
    pub async fn prolong(&self, challenge: &Blob, lifetime: Duration) -> Result<Charge, CodeError> {
        self.update(|ledger, now| match ledger.kept_for(challenge) {
            None => Change::Leave(Charge::Ended),
            Some(kept) if kept.tries == 0 => Change::Leave(Charge::Exhausted),
            Some(kept) => {
                kept.until = now + lifetime + GRACE;
                Change::Write(Charge::Done)
            }
        })
        .await
    }

    /// Charges a guess to a challenge.
    pub async fn charge(&self, challenge: &Blob) -> Result<Charge, CodeError> {
        self.update(|ledger, now| match ledger.kept_for(challenge) {
            None => Change::Leave(Charge::Ended),
            Some(kept) if kept.tries == 0 => Change::Leave(Charge::Exhausted),
            Some(kept) => {
                kept.tries -= 1;
                ledger.spent.push(now);
                Change::Write(Charge::Done)
            }
        })
        .await
    }

    /// Charges a guess that no challenge keeps.
    pub async fn charge_free(&self) -> Result<(), CodeError> {
        self.update(|ledger, now| match ledger.free(self.tries_per_day) {
            0 => Change::Leave(Err(ledger.too_soon(now))),
            _ => {
                ledger.spent.push(now);
                Change::Write(Ok(()))
            }
        })
        .await?
    }

    /// Forgets the wrong guesses: the right one was made (NIST SP 800-63B-4, section 3.2.2).
    pub async fn succeed(&self, challenge: &Blob, proven: Proven) -> Result<(), CodeError> {
        self.update(|ledger, _| {
            ledger.spent.clear();
            let free = ledger.free(self.tries_per_day);
            match (proven, ledger.kept_for(challenge)) {
                (Proven::Open { tries }, Some(kept)) => kept.tries = tries.min(kept.tries + free),
                _ => ledger.give_back(challenge),
            }
            Change::Write(())
        })
        .await
    }

    /// Forgets the wrong guesses that no challenge kept.
    pub async fn succeed_free(&self) -> Result<(), CodeError> {
        self.update(|ledger, _| {
            ledger.spent.clear();
            Change::Write(())
        })
        .await
    }

    /// Gives back what a challenge keeps, after so long.
    pub async fn give_back(&self, challenge: &Blob, wait: Duration) -> Result<(), CodeError> {
        self.update(|ledger, now| match ledger.kept_for(challenge) {
            None => Change::Leave(()),
            Some(kept) => {
                kept.until = kept.until.min(now + wait);
                ledger.forget(now);
                Change::Write(())
            }
        })
        .await
    }

    /// Gives back what all challenges keep. What was spent stays spent.
    pub async fn give_all_back(&self) -> Result<(), CodeError> {
        self.update(|ledger, _| {
            if ledger.kept.is_empty() {
                return Change::Leave(());
            }
            ledger.kept.clear();
            Change::Write(())
        })
        .await
    }

    /// How it stands. One round trip.
    pub async fn status(&self) -> Result<Status, CodeError> {
        self.update(|ledger, now| {
            let free = ledger.free(self.tries_per_day);
            Change::Leave(Status {
                open: count(ledger.kept.iter().filter(|kept| kept.tries > 0)),
                kept: ledger.kept.iter().map(|kept| kept.tries).sum(),
                spent: count(ledger.spent.iter()),
                free,
                retry_after: (free == 0).then(|| ledger.wait(now)),
            })
        })
        .await
    }

    /// Changes the ledger; two round trips, or one where nothing changes, and two more for each
    /// other request that came first.
    async fn update<R>(
        &self,
        mut change: impl FnMut(&mut Ledger, Moment) -> Change<R>,
    ) -> Result<R, CodeError> {
        let mut backoff = Backoff::new();
        for _ in 0..RETRIES {
            let found = self.store.load(self.key, &Load::new()).await?.live();
            let (mut ledger, now) = match &found {
                Some(record) => {
                    (stored::read::<Ledger>(self.key, &record.data)?, Moment::now(&record.meta))
                }
                None => (Ledger::default(), Moment::START),
            };
            ledger.forget(now);
            let result = match change(&mut ledger, now) {
                Change::Leave(result) => return Ok(result),
                Change::Write(result) => result,
            };
            let lifetime = absolute(ledger.end(now).since(now));
            let written = match &found {
                Some(record) => {
                    let write = Write {
                        expected: Some(record.meta.version),
                        lifetime: Some(&lifetime),
                        ..Write::data(stored::write(&ledger))
                    };
                    let replaced = self.store.replace(self.key, &write).await?;
                    matches!(replaced, Replaced::Done(_))
                }
                None => {
                    let record = NewRecord::new(stored::write(&ledger), lifetime);
                    let inserted = self.store.insert(self.key, &record).await?;
                    matches!(inserted, Inserted::Done { .. })
                }
            };
            if written {
                return Ok(result);
            }
            backoff.wait().await;
        }
        Err(CodeError::Contended { attempts: RETRIES })
    }
}

impl Ledger {
    /// Drops what is over by now.
    fn forget(&mut self, now: Moment) {
        self.spent.retain(|spent| *spent + DAY > now);
        self.kept.retain(|kept| kept.until > now);
    }

    /// When the last of it is over.
    fn end(&self, now: Moment) -> Moment {
        let spent = self.spent.iter().map(|spent| *spent + DAY);
        let kept = self.kept.iter().map(|kept| kept.until);
        spent.chain(kept).max().unwrap_or(now)
    }

    fn kept_for(&mut self, challenge: &Blob) -> Option<&mut Kept> {
        self.kept.iter_mut().find(|kept| kept.challenge == *challenge)
    }

    fn give_back(&mut self, challenge: &Blob) {
        self.kept.retain(|kept| kept.challenge != *challenge);
    }

    fn free(&self, tries_per_day: u32) -> u32 {
        let kept: u32 = self.kept.iter().map(|kept| kept.tries).sum();
        tries_per_day.saturating_sub(kept + count(self.spent.iter()))
    }

    fn too_soon(&self, now: Moment) -> CodeError {
        CodeError::TooSoon { retry_after: self.wait(now) }
    }

    /// How long until a guess is free, if nobody gives one back before.
    fn wait(&self, now: Moment) -> Duration {
        let spent = self.spent.iter().map(|spent| *spent + DAY);
        let kept = self.kept.iter().filter(|kept| kept.tries > 0);
        let free = spent.chain(kept.map(|kept| kept.until)).min();
        whole_seconds(free.unwrap_or(now).since(now))
    }
}

fn count(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Memory;

    const LIFETIME: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn nothing_is_charged_to_a_challenge_that_keeps_nothing() {
        let (store, key, challenge) = (Memory::new(), Key::from_bytes([1; 16]), Blob::new(b"2"));
        let budget = Budget { store: &store, key: &key, tries_per_day: 20 };
        assert_eq!(budget.charge(&challenge).await.unwrap(), Charge::Ended);
        assert_eq!(budget.prolong(&challenge, LIFETIME).await.unwrap(), Charge::Ended);
        assert_eq!(budget.status().await.unwrap().free, 20);
    }
}
