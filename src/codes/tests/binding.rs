//! A code is bound to its purpose, subject, payload and expiry: no change of what the store keeps makes it
//! good for another one.

use std::time::Duration;

use crate::codes::challenge::{Challenge, ChallengeSecret};
use crate::codes::{Code, Codes, IssuedCode};
use crate::key::Key;
use crate::record_json::{self, Blob, Moment};
use crate::store::{Listing, Memory};

const PURPOSE: &str = "sign-in";

/// What a code is bound to.
#[derive(Clone, Debug, PartialEq)]
struct BoundFields {
    fields: [Vec<u8>; 4],
    until: Moment,
}

impl BoundFields {
    fn of(challenge: &Challenge) -> Self {
        let Challenge { subject, salt, payload, .. } = challenge;
        let fields = [PURPOSE.as_bytes(), subject.as_bytes(), &salt.0, &payload.0];
        Self { fields: fields.map(<[u8]>::to_vec), until: challenge.codes[0].until }
    }

    /// Whether the code is good for these, in the place of what it was sent for. `None`: no challenge can
    /// have such a subject.
    fn accept(&self, secret: &ChallengeSecret, challenge: &Challenge, code: &Code) -> Option<bool> {
        let [purpose, subject, salt, payload] = &self.fields;
        let mut challenge = challenge.clone();
        challenge.subject = Key::from_bytes(subject.as_slice().try_into().ok()?);
        challenge.salt = Blob::new(salt);
        challenge.payload = Blob::new(payload);
        challenge.codes[0].until = self.until;
        let purpose = String::from_utf8_lossy(purpose);
        Some(secret.matches(None, &purpose, &challenge, Moment::START, code))
    }

    /// One or several random changes: a byte becomes another, comes, goes, or crosses into the
    /// next field; a field is another challenge's; the code lives longer.
    fn change(&mut self, others: &Self) {
        for _ in 0..=random(3) {
            let at = random(4);
            let byte = random(self.fields[at].len().max(1));
            match random(6) {
                0 => self.until = self.until + Duration::from_millis(1 + random(1_000) as u64),
                1 => self.fields[at] = others.fields[at].clone(),
                2 => self.fields[at].insert(byte, b'a' + random(26) as u8),
                _ if self.fields[at].is_empty() => {}
                3 => self.fields[at][byte] = b'a' + random(26) as u8,
                4 => drop(self.fields[at].remove(byte)),
                _ => {
                    let crossing = self.fields[at].pop();
                    self.fields[(at + 1) % 4].splice(0..0, crossing);
                }
            }
        }
    }
}

fn random(below: usize) -> usize {
    getrandom::u32().unwrap() as usize % below
}

/// A live challenge as the store keeps it, and what its client and its person have.
async fn stored(subject: &str, payload: u32) -> (Challenge, IssuedCode) {
    let store = Memory::new();
    let codes = Codes::<u32>::builder(PURPOSE).store(store.clone()).build().unwrap();
    let issued = codes.issue(subject, &payload).await.unwrap();
    let records = store.scan(None, 10).await.unwrap().records;
    let challenge =
        records.iter().find_map(|(key, record)| record_json::read(key, &record.data).ok());
    (challenge.unwrap(), issued)
}

#[tokio::test]
async fn a_code_is_good_for_no_other_purpose_subject_payload_or_expiry_than_its_own() {
    let (challenge, issued) = stored("anna@example.org", 17).await;
    let (others, _) = stored("eve@example.org", 18).await;
    let secret = ChallengeSecret::of_handle(PURPOSE, &issued.challenge.handle);
    let (own, others) = (BoundFields::of(&challenge), BoundFields::of(&others));
    assert_eq!(own.accept(&secret, &challenge, &issued.code), Some(true));
    let mut changed = 0;
    while changed < 10_000 {
        let mut fields = own.clone();
        fields.change(&others);
        if fields == own {
            continue;
        }
        if let Some(is_accepted) = fields.accept(&secret, &challenge, &issued.code) {
            assert!(!is_accepted, "{fields:?}");
            changed += 1;
        }
    }
}
