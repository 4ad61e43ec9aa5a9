//! What who has stolen a store's dump can try without the store, for the tests that try it.

use std::collections::HashMap;

use zeroize::Zeroizing;

use super::challenge::{Challenge, Lock};
use super::format::CodeFormat;
use crate::key::Key;
use crate::key_ring::KeyRing;
use crate::record::Record;
use crate::stored::{self, Moment};
use crate::token::Token;

/// A challenge of 8 digits, as a dump shows it.
pub(crate) struct Stolen<'a> {
    purpose: &'a str,
    key: Key,
    challenge: Challenge,
}

impl<'a> Stolen<'a> {
    /// The challenges of a dump.
    pub(crate) fn all(purpose: &'a str, dump: &HashMap<Key, Record>) -> Vec<Self> {
        let challenges = dump.iter().filter_map(|(key, record)| {
            let challenge = stored::read(key, &record.data).ok()?;
            Some(Self { purpose, key: key.clone(), challenge })
        });
        challenges.collect()
    }

    /// How many of the codes from `first` on are confirmed under any of the values that the dump has
    /// of this challenge; so many are tried under all of them together.
    ///
    /// All 10^8 codes are no nearer: each trial is a MAC under a key that is made of the handle's 192
    /// bits, which the dump does not have.
    pub(crate) fn confirmed(&self, first: &str, trials: u64) -> usize {
        let values = self.values();
        let each = trials / values.len() as u64;
        let locks = values
            .into_iter()
            .map(|value| Lock { key: self.key.clone(), secret: Zeroizing::new(value) });
        locks.map(|lock| self.confirmed_under(&lock, None, first, each)).sum()
    }

    /// As [`confirmed`](Self::confirmed), for who has the handle too.
    pub(crate) fn confirmed_with(&self, handle: &Token, first: &str, trials: u64) -> usize {
        let lock = Lock::of_handle(self.purpose, handle);
        self.confirmed_under(&lock, None, first, trials)
    }

    /// As [`confirmed`](Self::confirmed), under this lock and these keys of the application.
    pub(super) fn confirmed_under(
        &self,
        lock: &Lock,
        ring: Option<&KeyRing>,
        first: &str,
        trials: u64,
    ) -> usize {
        let first: u64 = first.parse().expect("8 digits are a number");
        let format = CodeFormat::digits(8);
        let codes = (0..trials).map(|step| format!("{:08}", (first + step) % 100_000_000));
        let confirmed = codes.filter(|code| {
            let code = format.read(code).expect("8 digits are a code");
            lock.fits(ring, self.purpose, &self.challenge, Moment::START, &code)
        });
        confirmed.count()
    }

    /// All that might be the secret of a handle: what is as long, and what can be filled up.
    pub(super) fn values(&self) -> Vec<[u8; 32]> {
        let Challenge { subject, budget, salt, codes, .. } = &self.challenge;
        let codes = codes.iter().flat_map(|code| [&code.mac, &code.link]);
        let blobs = [subject, budget, salt].into_iter().chain(codes).map(|blob| &blob.0[..]);
        let values = [&[][..], self.key.as_bytes()].into_iter().chain(blobs);
        let filled = values.map(|bytes| {
            let mut value = [0; 32];
            value[..bytes.len()].copy_from_slice(bytes);
            value
        });
        filled.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::{Codes, Issued};
    use crate::store::{Memory, Store};

    const PURPOSE: &str = "sign-in";

    /// A live challenge in a dump, and what its client and its person have.
    async fn stolen() -> (Stolen<'static>, Issued) {
        let store = Memory::new();
        let codes = Codes::<u32>::builder(PURPOSE).store(store.clone()).build().unwrap();
        let issued = codes.issue("anna@example.org", &17).await.unwrap();
        let dump = store.scan(None, 10).await.unwrap().records.into_iter().collect();
        let mut stolen = Stolen::all(PURPOSE, &dump);
        assert_eq!(stolen.len(), 1);
        (stolen.remove(0), issued)
    }

    #[tokio::test]
    async fn a_million_offline_trials_on_a_dump_confirm_no_code() {
        let (stolen, issued) = stolen().await;
        assert_eq!(stolen.confirmed(issued.code.reveal(), 1_000_000), 0);
    }

    #[tokio::test]
    async fn with_the_handle_the_same_trials_confirm_the_right_code_alone() {
        let (stolen, issued) = stolen().await;
        let handle = &issued.challenge.handle;
        assert_eq!(stolen.confirmed_with(handle, issued.code.reveal(), 1_000), 1);
    }
}
