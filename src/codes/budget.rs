//! [`Budget`]: how many guesses one subject may see in a day, and which of them are reserved.
//!
//! One record for each subject and purpose is the only place that counts guesses. A challenge *reserves*
//! its guesses when it is issued, so nobody else can spend them. Each guess is *charged* before it is
//! compared. What a challenge did not spend is *released* when it ends. Every change is a compare-and-swap
//! on that record, so racing guesses never spend more than there are. The record lives as long as what it
//! counts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::CodeError;
use crate::compare_and_swap::{self as cas, ATTEMPTS, Snapshot, Step, Updated};
use crate::key::Key;
use crate::record_json::{Blob, Moment, whole_seconds};
use crate::store::AtomicStore;

/// How long a guess counts.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A challenge holds its reserved guesses this much longer than its last code lives, so the clocks of the
/// two records need not agree to the millisecond.
const GRACE: Duration = Duration::from_secs(60);

/// What a store keeps of a subject's guesses. All times are moments of this record.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// When each guess was spent, within the last day and since the last success.
    spent: Vec<Moment>,
    /// What open challenges have reserved.
    reserved: Vec<Reservation>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Reservation {
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
/// assert_eq!((status.open, status.reserved, status.spent, status.free), (1, 5, 0, 15));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Challenges that may still be answered, or were cancelled within their cool-down.
    pub open: u32,
    /// Guesses that are reserved for them.
    pub reserved: u32,
    /// Wrong guesses within the last 24 hours, since the last success.
    pub spent: u32,
    /// Guesses that a new challenge may reserve.
    pub free: u32,
    /// How long until a guess is free, if none is.
    pub retry_after: Option<Duration>,
}

/// What became of a guess that was to be charged.
#[derive(Debug)]
pub(super) enum Charge {
    /// It may be compared. The ledger as it was written saves the next change of it a round trip.
    Done(Snapshot<Ledger>),
    /// The challenge has no guess left.
    Exhausted,
    /// The challenge has reserved nothing: it has ended.
    Ended,
}

/// What became of a reservation that was to be extended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Extension {
    Done,
    /// The challenge has no guess left.
    Exhausted,
    /// The challenge has reserved nothing: it has ended.
    Ended,
}

/// What a right guess leaves of the challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Success {
    /// Nothing: it is used.
    Used,
    /// This many guesses, as at the beginning: somebody acts on the code, and may hand it back.
    Leased { tries: u32 },
}

/// The guesses of one subject and purpose, or of one of the subject's devices.
pub(super) struct Budget<'a> {
    pub store: &'a dyn AtomicStore,
    pub key: &'a Key,
    pub tries_per_day: u32,
}

/// What a change of the ledger comes to.
enum Change<L, W> {
    Leave(L),
    Write(W),
}

impl Budget<'_> {
    /// Reserves up to `tries` guesses for a challenge, and at least one. If none is free, the error says
    /// how long until one is.
    pub async fn reserve(
        &self,
        challenge: &Blob,
        tries: u32,
        lifetime: Duration,
    ) -> Result<(), CodeError> {
        self.update(|ledger, now| match ledger.free(self.tries_per_day) {
            0 => Change::Leave(Err(ledger.too_soon(now))),
            free => {
                ledger.reserved.push(Reservation {
                    challenge: challenge.clone(),
                    tries: tries.min(free),
                    until: now + lifetime + GRACE,
                });
                Change::Write(Ok(()))
            }
        })
        .await?
        .answer()
    }

    /// Holds a challenge's guesses for another code of it.
    pub async fn extend(
        &self,
        challenge: &Blob,
        lifetime: Duration,
    ) -> Result<Extension, CodeError> {
        let updated = self.update(|ledger, now| match ledger.reservation(challenge) {
            None => Change::Leave(Extension::Ended),
            Some(reservation) if reservation.tries == 0 => Change::Leave(Extension::Exhausted),
            Some(reservation) => {
                reservation.until = now + lifetime + GRACE;
                Change::Write(Extension::Done)
            }
        });
        Ok(updated.await?.answer())
    }

    /// Charges a guess to a challenge.
    pub async fn charge(&self, challenge: &Blob) -> Result<Charge, CodeError> {
        let updated = self.update(|ledger, now| match ledger.reservation(challenge) {
            None => Change::Leave(Charge::Ended),
            Some(reservation) if reservation.tries == 0 => Change::Leave(Charge::Exhausted),
            Some(reservation) => {
                reservation.tries -= 1;
                ledger.spent.push(now);
                Change::Write(())
            }
        });
        Ok(match updated.await? {
            Updated::Left(charge) => charge,
            Updated::Written((), charged) => Charge::Done(charged),
        })
    }

    /// Charges a guess for which nothing is reserved, and returns the ledger as it was written.
    pub async fn charge_free(&self) -> Result<Snapshot<Ledger>, CodeError> {
        let updated = self.update(|ledger, now| match ledger.free(self.tries_per_day) {
            0 => Change::Leave(ledger.too_soon(now)),
            _ => {
                ledger.spent.push(now);
                Change::Write(())
            }
        });
        match updated.await? {
            Updated::Left(too_soon) => Err(too_soon),
            Updated::Written((), charged) => Ok(charged),
        }
    }

    /// Forgets the wrong guesses: the right one was made (NIST SP 800-63B-4, section 3.2.2). One round
    /// trip over the ledger that the guess was charged to, if nobody has changed it since.
    pub async fn succeed(
        &self,
        challenge: &Blob,
        success: Success,
        charged: Option<Snapshot<Ledger>>,
    ) -> Result<(), CodeError> {
        let change = |ledger: &mut Ledger, _| {
            ledger.spent.clear();
            let free = ledger.free(self.tries_per_day);
            match (success, ledger.reservation(challenge)) {
                (Success::Leased { tries }, Some(reservation)) => {
                    reservation.tries = tries.min(reservation.tries + free);
                }
                _ => ledger.release(challenge),
            }
            Change::Write(())
        };
        self.update_charged(charged, change).await.map(Updated::answer)
    }

    /// As [`succeed`](Self::succeed), for a guess for which nothing was reserved.
    pub async fn succeed_free(&self, charged: Snapshot<Ledger>) -> Result<(), CodeError> {
        let change = |ledger: &mut Ledger, _| {
            ledger.spent.clear();
            Change::Write(())
        };
        self.update_charged(Some(charged), change).await.map(Updated::answer)
    }

    /// Releases what a challenge has reserved, after a wait.
    pub async fn release(&self, challenge: &Blob, wait: Duration) -> Result<(), CodeError> {
        let updated = self.update(|ledger, now| match ledger.reservation(challenge) {
            None => Change::Leave(()),
            Some(reservation) => {
                reservation.until = reservation.until.min(now + wait);
                ledger.forget(now);
                Change::Write(())
            }
        });
        updated.await.map(Updated::answer)
    }

    /// Releases what all challenges have reserved. What was spent stays spent.
    pub async fn release_all(&self) -> Result<(), CodeError> {
        let updated = self.update(|ledger, _| {
            if ledger.reserved.is_empty() {
                return Change::Leave(());
            }
            ledger.reserved.clear();
            Change::Write(())
        });
        updated.await.map(Updated::answer)
    }

    /// How the subject stands. One round trip.
    pub async fn status(&self) -> Result<Status, CodeError> {
        let ledger = cas::load::<Ledger>(self.store, self.key).await?;
        let (mut ledger, now) = ledger_and_now(ledger);
        ledger.forget(now);
        let free = ledger.free(self.tries_per_day);
        Ok(Status {
            open: count(ledger.reserved.iter().filter(|reservation| reservation.tries > 0)),
            reserved: ledger.reserved.iter().map(|reservation| reservation.tries).sum(),
            spent: count(ledger.spent.iter()),
            free,
            retry_after: (free == 0).then(|| ledger.wait(now)),
        })
    }

    /// Changes the ledger: 2 round trips, or one if nothing changes, and 2 more for each other request
    /// that came first.
    async fn update<L, W>(
        &self,
        change: impl FnMut(&mut Ledger, Moment) -> Change<L, W>,
    ) -> Result<Updated<Ledger, L, W>, CodeError> {
        self.update_charged(None, change).await
    }

    /// As [`update`](Self::update), and one round trip less if a ledger is given that is still the
    /// current one.
    async fn update_charged<L, W>(
        &self,
        charged: Option<Snapshot<Ledger>>,
        mut change: impl FnMut(&mut Ledger, Moment) -> Change<L, W>,
    ) -> Result<Updated<Ledger, L, W>, CodeError> {
        let seen = match charged {
            Some(charged) => Some(charged),
            None => cas::load(self.store, self.key).await?,
        };
        cas::update(self.store, self.key, seen, ATTEMPTS, |seen| {
            let (mut ledger, now) = ledger_and_now(seen);
            ledger.forget(now);
            Ok(match change(&mut ledger, now) {
                Change::Leave(answer) => Step::Leave(answer),
                Change::Write(answer) => {
                    let lifetime = Some(ledger.end(now).since(now));
                    Step::Write { value: ledger, lifetime, answer }
                }
            })
        })
        .await
    }
}

/// The ledger of a subject and its time; a new one if there is none.
fn ledger_and_now(seen: Option<Snapshot<Ledger>>) -> (Ledger, Moment) {
    seen.map_or_else(|| (Ledger::default(), Moment::START), |seen| (seen.value, seen.now))
}

impl Ledger {
    /// Drops what is over by now.
    fn forget(&mut self, now: Moment) {
        self.spent.retain(|spent| *spent + DAY > now);
        self.reserved.retain(|reservation| reservation.until > now);
    }

    /// When the last of it is over.
    fn end(&self, now: Moment) -> Moment {
        let spent = self.spent.iter().map(|spent| *spent + DAY);
        let reserved = self.reserved.iter().map(|reservation| reservation.until);
        spent.chain(reserved).max().unwrap_or(now)
    }

    fn reservation(&mut self, challenge: &Blob) -> Option<&mut Reservation> {
        self.reserved.iter_mut().find(|reservation| reservation.challenge == *challenge)
    }

    fn release(&mut self, challenge: &Blob) {
        self.reserved.retain(|reservation| reservation.challenge != *challenge);
    }

    fn free(&self, tries_per_day: u32) -> u32 {
        let reserved: u32 = self.reserved.iter().map(|reservation| reservation.tries).sum();
        tries_per_day.saturating_sub(reserved + count(self.spent.iter()))
    }

    fn too_soon(&self, now: Moment) -> CodeError {
        CodeError::TooSoon { retry_after: self.wait(now) }
    }

    /// How long until a guess is free, if none is released earlier.
    fn wait(&self, now: Moment) -> Duration {
        let spent = self.spent.iter().map(|spent| *spent + DAY);
        let reserved = self.reserved.iter().filter(|reservation| reservation.tries > 0);
        let free = spent.chain(reserved.map(|reservation| reservation.until)).min();
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
    async fn nothing_is_charged_to_a_challenge_that_has_reserved_nothing() {
        let (store, key, challenge) = (Memory::new(), Key::from_bytes([1; 16]), Blob::new(b"2"));
        let budget = Budget { store: &store, key: &key, tries_per_day: 20 };
        assert!(matches!(budget.charge(&challenge).await.unwrap(), Charge::Ended));
        assert_eq!(budget.extend(&challenge, LIFETIME).await.unwrap(), Extension::Ended);
        assert_eq!(budget.status().await.unwrap().free, 20);
    }
}
