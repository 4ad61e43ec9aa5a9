//! An attacker with time who misses no chance, or with the application's key. `on_every_store::attacks` has
//! the shorter attacks, and those on a dump.

use token_session::KeyRing;
use token_session::codes::{CodeError, Codes};

use super::{
    ANNA, MINUTE, assert_exhausted, builder, codes_with_clock, guess_wrong, handle, issue,
    store_with_clock,
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
        while let Ok(challenge) = self.codes.decoy(ANNA, &String::new()).await {
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
    assert!(matches!(codes.decoy(ANNA, &String::new()).await, Err(CodeError::TooSoon { .. })));

    guess_wrong(&codes, &issued, 4).await;
    codes.redeem(handle(&issued), issued.code.reveal()).await.unwrap();
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
