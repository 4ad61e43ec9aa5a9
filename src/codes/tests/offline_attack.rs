//! An attacker with a dump of the store tries codes against it.

use zeroize::Zeroizing;

use crate::codes::challenge::{Challenge, ChallengeSecret};
use crate::codes::{Code, CodeFormat, Codes, IssuedCode};
use crate::key::Key;
use crate::key_ring::KeyRing;
use crate::record_json::{self, Moment};
use crate::store::{Listing, Memory};
use crate::token::Token;

const PURPOSE: &str = "sign-in";
const SUBJECT: &str = "anna@example.org";
const APPLICATION: &[u8; 32] = b"the application's key: 32 bytes.";

/// A challenge of 8 digits, as a dump shows it.
struct DumpedChallenge {
    key: Key,
    challenge: Challenge,
}

impl DumpedChallenge {
    /// The only challenge in a store.
    async fn of(store: &Memory) -> Self {
        let records = store.scan(None, 10).await.unwrap().records;
        let mut challenges = records.into_iter().filter_map(|(key, record)| {
            let challenge = record_json::read(&key, &record.data).ok()?;
            Some(Self { key, challenge })
        });
        let challenge = challenges.next().expect("the dump holds a challenge");
        assert!(challenges.next().is_none());
        challenge
    }

    /// How many of the `trials` codes from `first` on match under this secret and these keys of the
    /// application.
    fn matches(
        &self,
        secret: &ChallengeSecret,
        ring: Option<&KeyRing>,
        first: &Code,
        trials: u64,
    ) -> usize {
        let first: u64 = first.reveal().parse().expect("8 digits are a number");
        let format = CodeFormat::digits(8);
        let codes = (0..trials).map(|step| format!("{:08}", (first + step) % 100_000_000));
        let matching = codes.filter(|code| {
            let code = format.read(code).expect("8 digits are a code");
            secret.matches(ring, PURPOSE, &self.challenge, Moment::START, &code)
        });
        matching.count()
    }

    /// As [`matches`](Self::matches), for an attacker with the handle.
    fn matches_with(&self, handle: &Token, first: &Code, trials: u64) -> usize {
        self.matches(&ChallengeSecret::of_handle(PURPOSE, handle), None, first, trials)
    }

    /// Every value of the dump that may be taken for a secret, cut or filled up to the length of one.
    fn values(&self) -> Vec<[u8; 32]> {
        let Challenge { subject, budget, salt, codes, .. } = &self.challenge;
        let keys = [&self.key, subject, budget].map(|key| &key.as_bytes()[..]);
        let codes = codes.iter().flat_map(|code| [&code.mac, &code.link]);
        let blobs = std::iter::once(salt).chain(codes).map(|blob| &blob.0[..]);
        let values = [&[][..]].into_iter().chain(keys).chain(blobs);
        let filled = values.map(|bytes| {
            let mut value = [0; 32];
            value[..bytes.len()].copy_from_slice(bytes);
            value
        });
        filled.collect()
    }
}

/// A challenge in a dump, and what its client and its person have.
async fn dumped() -> (DumpedChallenge, IssuedCode) {
    let store = Memory::new();
    let codes = Codes::<u32>::builder(PURPOSE).store(store.clone()).build().unwrap();
    let issued = codes.issue(SUBJECT, &17).await.unwrap();
    (DumpedChallenge::of(&store).await, issued)
}

/// All 10^8 codes are no nearer: each trial is a MAC under a key that is made of the handle's 192 bits,
/// which the dump does not have.
#[tokio::test]
async fn a_million_offline_trials_on_a_dump_match_no_code() {
    let (dumped, issued) = dumped().await;
    let values = dumped.values();
    let each = 1_000_000_u64.div_ceil(values.len() as u64);
    for value in values {
        let secret = ChallengeSecret { key: dumped.key.clone(), secret: Zeroizing::new(value) };
        assert_eq!(dumped.matches(&secret, None, &issued.code, each), 0);
    }
}

#[tokio::test]
async fn with_the_handle_the_same_trials_match_the_right_code_alone() {
    let (dumped, issued) = dumped().await;
    let handle = &issued.challenge.handle;
    assert_eq!(dumped.matches_with(handle, &issued.code, 1_000), 1);
}

#[tokio::test]
async fn another_handle_matches_no_code() {
    let ((dumped, issued), (_, other)) = (dumped().await, dumped().await);
    let handle = &other.challenge.handle;
    assert_eq!(dumped.matches_with(handle, &issued.code, 1_000), 0);
}

/// A challenge without a handle in a dump, and its code.
async fn dumped_by_subject() -> (DumpedChallenge, Code) {
    let store = Memory::new();
    let codes = Codes::<u32>::builder(PURPOSE).store(store.clone());
    let codes = codes.key_ring(KeyRing::new(1, APPLICATION).unwrap());
    let issued = codes.build_by_subject().unwrap().issue(SUBJECT, &17).await.unwrap();
    (DumpedChallenge::of(&store).await, issued.code)
}

/// How many of the `trials` codes from the right one on match with this for the application's key.
fn matches_with_app(app: &[u8; 32], dumped: &DumpedChallenge, right: &Code, trials: u64) -> usize {
    let secret = ChallengeSecret::of_subject(app, PURPOSE, SUBJECT);
    let ring = KeyRing::new(1, app).unwrap();
    dumped.matches(&secret, Some(&ring), right, trials)
}

/// All 10^8 codes are no nearer: each trial is a MAC under the application's key. Without it even the
/// address does not help.
#[tokio::test]
async fn without_a_handle_a_hundred_thousand_offline_trials_on_a_dump_match_no_code() {
    let (dumped, right) = dumped_by_subject().await;
    let known = dumped.values();
    let each = 100_000_u64.div_ceil(known.len() as u64);
    for app in known {
        assert_eq!(matches_with_app(&app, &dumped, &right, each), 0);
    }
}

#[tokio::test]
async fn with_the_application_key_the_same_trials_match_the_right_code_alone() {
    let (dumped, right) = dumped_by_subject().await;
    assert_eq!(matches_with_app(APPLICATION, &dumped, &right, 1_000), 1);
}
