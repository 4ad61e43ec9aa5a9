//! What an attacker gets who has time, or the store's dump.

use std::collections::HashSet;

use token_session::codes::{CodeError, Codes};
use token_session::{KeyRing, Token};

use super::{
    ANNA, MINUTE, assert_exhausted, builder, codes_with_clock, dump, guess_wrong, handle, issue,
    ring, store_with_clock,
};

/// An attacker on one account, who opens challenges and has codes sent anew whenever that is allowed.
/// Decoys do: to guess at one is as to guess at a code, but no guess is right and ends the attack.
struct Attacker {
    codes: Codes<String>,
    handles: Vec<String>,
    guesses: std::ops::RangeFrom<u32>,
}

impl Attacker {
    fn new(codes: &Codes<String>) -> Self {
        Self { codes: codes.clone(), handles: Vec::new(), guesses: 0.. }
    }

    async fn open_and_resend(&mut self) {
        while let Ok(challenge) = self.codes.decoy(ANNA).await {
            self.handles.push(challenge.handle.reveal().to_owned());
        }
        for handle in &self.handles {
            let _ = self.codes.resend(handle).await;
        }
    }

    /// Makes so many guesses at each challenge, and leaves the exhausted ones.
    async fn guess(&mut self, times: u32) {
        let mut left = Vec::new();
        'next: for handle in self.handles.drain(..) {
            for _ in 0..times {
                let guess = format!("{:08}", self.guesses.next().unwrap());
                match self.codes.redeem(&handle, &guess).await {
                    Err(CodeError::Refused) => {}
                    Err(CodeError::Exhausted) => continue 'next,
                    other => panic!("{other:?}"),
                }
            }
            left.push(handle);
        }
        self.handles = left;
    }
}

#[tokio::test]
async fn who_guesses_for_thirty_days_as_fast_as_can_be_stays_within_the_budget() {
    let (codes, clock) = codes_with_clock();
    let mut attacker = Attacker::new(&codes);
    for _ in 0..30 * 24 * 6 {
        attacker.open_and_resend().await;
        attacker.guess(6).await;
        clock.advance(10 * MINUTE);
    }
    assert_eq!(codes.compared(), 30 * 20);
}

#[tokio::test]
async fn who_resends_before_each_guess_for_thirty_days_stays_within_the_budget() {
    let (codes, clock) = codes_with_clock();
    let mut attacker = Attacker::new(&codes);
    for _ in 0..30 * 24 * 12 {
        attacker.open_and_resend().await;
        attacker.guess(1).await;
        clock.advance(5 * MINUTE);
    }
    let compared = codes.compared();
    assert!((590..=600).contains(&compared), "{compared}");
}

#[tokio::test]
async fn who_guesses_spends_nobody_elses_guesses() {
    let (codes, _) = codes_with_clock();
    let issued = issue(&codes).await;
    let mut attacker = Attacker::new(&codes);
    attacker.open_and_resend().await;
    attacker.guess(6).await;
    assert_eq!(codes.compared(), 15);
    assert!(matches!(codes.decoy(ANNA).await, Err(CodeError::TooSoon { .. })));

    guess_wrong(&codes, &issued, 4).await;
    codes.redeem(handle(&issued), issued.code.reveal()).await.unwrap();
}

#[tokio::test]
async fn a_dump_has_no_address_no_handle_and_no_code() {
    for ring in [None, Some(ring(&[1]))] {
        let (store, _) = store_with_clock();
        let mut codes = Codes::<()>::builder("sign-in").store(store.clone());
        if let Some(ring) = ring {
            codes = codes.key_ring(ring);
        }
        let codes = codes.build().unwrap();
        let (mut handles, mut sent) = (HashSet::new(), HashSet::new());
        for number in 0..1_000 {
            let issued = codes.issue(&format!("person-{number}@example.org"), &()).await.unwrap();
            handles.insert(issued.challenge.handle.reveal().to_owned().into_bytes());
            sent.insert(issued.code.reveal().to_owned().into_bytes());
        }
        let dump = dump(&store).await.into_bytes();
        assert!(dump.len() > 1_000 * 100);
        assert!(!dump.contains(&b'@'), "the dump has an address");
        assert!(!dump.windows(32).any(|text| handles.contains(text)), "the dump has a handle");
        assert!(!dump.windows(8).any(|text| sent.contains(text)), "the dump has a code");
    }
}

#[tokio::test]
async fn nothing_in_a_dump_redeems_a_code() {
    let (store, _) = store_with_clock();
    let codes = builder(store.clone()).build().unwrap();
    for number in 0..10 {
        let address = format!("person-{number}@example.org");
        codes.issue(&address, &"payload".to_owned()).await.unwrap();
    }
    let dump = dump(&store).await;
    let words = dump.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    let words: Vec<&str> = words.filter(|word| Token::parse(word).is_ok()).collect();
    assert!(words.len() > 100);
    for word in words {
        codes.redeem(word, "12345678").await.unwrap_err();
    }
    assert_eq!(codes.compared(), 0, "a value of the dump is a handle");
}

#[tokio::test]
async fn who_holds_the_application_key_has_no_handle() {
    let (store, _) = store_with_clock();
    let ring = || KeyRing::new(1, b"a key that has leaked, thirty-two bytes").unwrap();
    let codes = builder(store.clone()).key_ring(ring()).build().unwrap();
    let issued = issue(&codes).await;
    let thief = builder(store.clone()).key_ring(ring()).build().unwrap();
    assert!(thief.redeem("a-handle-of-the-thief", issued.code.reveal()).await.is_err());
    assert_eq!(thief.compared(), 0);
}

#[tokio::test]
async fn all_the_guesses_of_a_challenge_are_not_more_than_five() {
    let (codes, _) = codes_with_clock();
    let issued = issue(&codes).await;
    guess_wrong(&codes, &issued, 5).await;
    for _ in 0..100 {
        assert_exhausted(codes.redeem(handle(&issued), issued.code.reveal()).await);
    }
    assert_eq!(codes.compared(), 5);
}
