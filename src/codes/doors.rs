//! No code opens another's door, whatever is changed of the challenge that the store keeps.

use std::time::Duration;

use super::challenge::{Challenge, Lock};
use super::format::Code;
use super::{Codes, Issued};
use crate::store::{Memory, Store};
use crate::stored::{self, Blob, Moment};

const PURPOSE: &str = "sign-in";

/// What a code is good for, and what may be changed of it.
#[derive(Clone, Debug, PartialEq)]
struct Door {
    fields: [Vec<u8>; 4],
    until: Moment,
}

impl Door {
    fn of(challenge: &Challenge) -> Self {
        let fields = [&challenge.subject, &challenge.salt, &challenge.payload];
        let [subject, salt, payload] = fields.map(|field| field.0.to_vec());
        let purpose = PURPOSE.as_bytes().to_vec();
        Self { fields: [purpose, subject, salt, payload], until: challenge.codes[0].until }
    }

    /// Whether the code opens it, in the place of the one that it was sent for.
    fn opens(&self, lock: &Lock, challenge: &Challenge, code: &Code) -> bool {
        let [purpose, subject, salt, payload] = &self.fields;
        let mut challenge = challenge.clone();
        challenge.subject = Blob::new(subject);
        challenge.salt = Blob::new(salt);
        challenge.payload = Blob::new(payload);
        challenge.codes[0].until = self.until;
        let purpose = String::from_utf8_lossy(purpose);
        lock.fits(None, &purpose, &challenge, Moment::START, code)
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
async fn kept(subject: &str, payload: u32) -> (Challenge, Issued) {
    let store = Memory::new();
    let codes = Codes::<u32>::builder(PURPOSE).store(store.clone()).build().unwrap();
    let issued = codes.issue(subject, &payload).await.unwrap();
    let records = store.scan(None, 10).await.unwrap().records;
    let challenge = records.iter().find_map(|(key, record)| stored::read(key, &record.data).ok());
    (challenge.unwrap(), issued)
}

#[tokio::test]
async fn a_code_opens_no_other_purpose_subject_payload_or_life_than_its_own() {
    let (challenge, issued) = kept("anna@example.org", 17).await;
    let (others, _) = kept("eve@example.org", 18).await;
    let lock = Lock::of_handle(PURPOSE, &issued.challenge.handle);
    let (own, others) = (Door::of(&challenge), Door::of(&others));
    assert!(own.opens(&lock, &challenge, &issued.code));
    let mut changed = 0;
    while changed < 10_000 {
        let mut door = own.clone();
        door.change(&others);
        if door != own {
            assert!(!door.opens(&lock, &challenge, &issued.code), "{door:?}");
            changed += 1;
        }
    }
}
