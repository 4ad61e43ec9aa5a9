//! What races for a code or a link, and what ends one.

use std::sync::Arc;

use token_session::KeyRing;
use token_session::codes::{CodeError, Codes, RecoveryCodes, SubjectCodes};
use token_session::links::LinkError;
use token_session::store::AtomicStore;
use token_session::store::conformance::Harness;

use super::*;

/// Of any number of racing requests with the right code, one redeems it.
pub async fn one_of_racing_right_codes_is_redeemed<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let codes = codes_in(on.store().await);
    for round in 0..on.rounds {
        let (handle, code) = issue(&codes, round).await;
        let answers = race(on.races(), |_| {
            let (codes, handle, code) = (codes.clone(), handle.clone(), code.clone());
            async move { outcome(codes.redeem(&handle, &code).await) }
        })
        .await;
        assert_eq!(how_many(&answers, &Outcome::Redeemed), 1, "in round {round}");
        assert_eq!(how_many(&answers, &Outcome::Failed), 0, "in round {round}");
        // Leaves nothing to a server that looks at every record to find one.
        codes.revoke(&subject(round)).await.unwrap();
    }
}

/// A guess is charged before it is compared: of any number of racing wrong guesses as many are
/// compared as a challenge allows.
pub async fn only_the_allowed_racing_guesses_are_compared<H: Harness<Store: AtomicStore>>(
    on: &On<H>,
) {
    let codes = codes_in(on.store().await);
    let (handle, code) = issue(&codes, 0).await;
    let wrong = another_than(&code);
    let answers = race(on.races(), |_| {
        let (codes, handle, wrong) = (codes.clone(), handle.clone(), wrong.clone());
        async move { outcome(codes.redeem(&handle, &wrong).await) }
    })
    .await;
    assert_eq!(codes.compared(), 5);
    assert_eq!(how_many(&answers, &Outcome::Refused), 5);
    assert_eq!(how_many(&answers, &Outcome::Exhausted), on.races() - 5);
    let late = outcome(codes.redeem(&handle, &code).await);
    assert_eq!(late, Outcome::Exhausted);
}

/// A right code is redeemed amid wrong guesses, as long as they are within the budget.
pub async fn a_right_code_amid_wrong_guesses_is_redeemed<H: Harness<Store: AtomicStore>>(
    on: &On<H>,
) {
    let codes = codes_in(on.store().await);
    for round in 0..on.rounds_of_few() {
        let (handle, code) = issue(&codes, round).await;
        let wrong = another_than(&code);
        let right = round % 5;
        let answers = race(5, |task| {
            let code = if task == right { code.clone() } else { wrong.clone() };
            let (codes, handle) = (codes.clone(), handle.clone());
            async move { (task, outcome(codes.redeem(&handle, &code).await)) }
        })
        .await;
        assert!(answers.contains(&(right, Outcome::Redeemed)), "{answers:?} in round {round}");
        let redeemed = answers.iter().filter(|(_, answer)| *answer == Outcome::Redeemed);
        assert_eq!(redeemed.count(), 1, "{answers:?} in round {round}");
    }
}

/// Of racing challenges of one subject no more are opened than there are guesses to keep.
pub async fn racing_challenges_reserve_no_more_than_a_day<H: Harness<Store: AtomicStore>>(
    on: &On<H>,
) {
    let codes = codes_in(on.store().await);
    let answers = race(on.races(), |_| {
        let codes = codes.clone();
        async move {
            match codes.issue("anna@example.org", &String::new()).await {
                Ok(_) => Outcome::Redeemed,
                Err(error) => outcome::<()>(Err(error)),
            }
        }
    })
    .await;
    assert_eq!(how_many(&answers, &Outcome::Redeemed), 4);
    assert_eq!(how_many(&answers, &Outcome::TooSoon), on.races() - 4);
    let status = codes.status("anna@example.org").await.unwrap();
    assert_eq!((status.open, status.reserved, status.spent, status.free), (4, 20, 0, 0));
}

/// The second of two submits with the same attempt key gets the first answer, and knows it.
pub async fn a_racing_double_submit_gets_one_answer_twice<H: Harness<Store: AtomicStore>>(
    on: &On<H>,
) {
    let codes = codes_in(on.store().await);
    for round in 0..on.rounds_of_few() {
        let (handle, code) = issue(&codes, round).await;
        let answers = race(2, |_| {
            let (codes, handle, code) = (codes.clone(), handle.clone(), code.clone());
            async move {
                let guess = codes.guess(&handle, &code).attempt("a random text of the form");
                guess.redeem().await.unwrap()
            }
        })
        .await;
        assert_ne!(answers[0].repeated, answers[1].repeated, "in round {round}");
        assert_eq!(answers[0].receipt, answers[1].receipt);
        assert_eq!(answers[0].payload, answers[1].payload);
    }
}

/// Of racing leases of one code one is taken.
pub async fn one_of_racing_leases_is_taken<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let codes = codes_in(on.store().await);
    for round in 0..on.rounds_of_few() {
        let (handle, code) = issue(&codes, round).await;
        let leases = race(5, |_| {
            let (codes, handle, code) = (codes.clone(), handle.clone(), code.clone());
            async move { codes.guess(&handle, &code).lease(HOUR / 6).await }
        })
        .await;
        let (taken, busy): (Vec<_>, Vec<_>) = leases.into_iter().partition(Result::is_ok);
        assert_eq!(taken.len(), 1, "in round {round}");
        for lease in busy {
            assert!(matches!(lease, Err(CodeError::Busy { .. })), "{lease:?} in round {round}");
        }
        for lease in taken {
            lease.unwrap().commit().await.unwrap();
        }
        assert_eq!(outcome(codes.redeem(&handle, &code).await), Outcome::Refused);
    }
}

/// A code ends with its lifetime, on the store's clock.
pub async fn a_code_ends_with_its_lifetime<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let codes = Codes::<String>::builder(PURPOSE)
        .lifetime(on.moment())
        .store(on.store().await)
        .build()
        .unwrap();
    let (handle, code) = issue(&codes, 0).await;
    on.outlive_moment().await;
    assert_eq!(outcome(codes.redeem(&handle, &code).await), Outcome::Refused);
    assert_eq!(codes.compared(), 0);
}

/// All codes of a subject end when they are revoked, and no others.
pub async fn all_codes_of_a_subject_are_revoked<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let codes = codes_in(on.store().await);
    let other = issue(&codes, 1).await;
    let revoked = [issue(&codes, 0).await, issue(&codes, 0).await];
    codes.revoke(&subject(0)).await.unwrap();
    for (handle, code) in revoked {
        assert_eq!(outcome(codes.redeem(&handle, &code).await), Outcome::Refused);
    }
    assert_eq!(outcome(codes.redeem(&other.0, &other.1).await), Outcome::Redeemed);
}

/// Of racing requests with one recovery code one uses it.
pub async fn one_of_racing_recovery_codes_is_used<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let recovery = recovery(on).await;
    for round in 0..on.rounds_of_few() {
        let subject = subject(round);
        let code = recovery.generate(&subject).await.unwrap().remove(1);
        let answers = race(5, |_| {
            let recovery = recovery.clone();
            let (subject, code) = (subject.clone(), code.reveal().to_owned());
            async move { recovery.redeem(&subject, &code).await }
        })
        .await;
        let mut used = answers.into_iter().filter_map(Result::ok);
        let replacement = used.next().expect("no caller could use the code").replacement;
        assert!(used.next().is_none(), "two used one code in round {round}");
        recovery.redeem(&subject, replacement.reveal()).await.unwrap();
    }
}

/// A link of N uses is used N times, however many follow it at once.
pub async fn a_link_is_used_as_often_as_it_has_uses<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let store = on.store().await;
    let links = Links::<String>::builder(PURPOSE, base()).store(store).build().unwrap();
    for uses in [1, 10] {
        let payload = format!("good for {uses}");
        let link =
            links.new_link(&payload).uses(uses.try_into().unwrap()).create().await.unwrap().link;
        let answers = race(on.races(), |_| {
            let (links, token) = (links.clone(), link.token().to_owned());
            async move { links.redeem(&token).await }
        })
        .await;
        let (used, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        let mut left: Vec<_> = used.into_iter().map(|used| used.unwrap().uses_left).collect();
        left.sort_unstable();
        let expected: Vec<_> = (0..uses).map(Some).collect();
        assert_eq!(left, expected, "of {uses} uses");
        for answer in refused {
            assert!(matches!(answer, Err(LinkError::Refused)), "{answer:?} of {uses} uses");
        }
    }
}

/// Of any number of racing requests with the right code one redeems it, without a handle too.
pub async fn one_of_racing_right_codes_of_a_subject_is_redeemed<H: Harness<Store: AtomicStore>>(
    on: &On<H>,
) {
    let codes = by_subject(on).await;
    for round in 0..on.rounds_of_few() {
        let code = issue_to(&codes, &subject(round), "payload").await;
        let answers = race(5, |_| {
            let (codes, code) = (codes.clone(), code.clone());
            async move { outcome(codes.redeem(&subject(round), &code).await) }
        })
        .await;
        assert_eq!(how_many(&answers, &Outcome::Redeemed), 1, "in round {round}");
        assert_eq!(how_many(&answers, &Outcome::Failed), 0, "in round {round}");
    }
}

/// Of any number of racing wrong guesses at a subject's code as many are compared as a challenge
/// allows.
pub async fn five_of_racing_guesses_at_a_subject_are_compared<H: Harness<Store: AtomicStore>>(
    on: &On<H>,
) {
    let codes = by_subject(on).await;
    let code = issue_to(&codes, &subject(0), "payload").await;
    let wrong = another_than(&code);
    let answers = race(on.races(), |_| {
        let (codes, wrong) = (codes.clone(), wrong.clone());
        async move { outcome(codes.redeem(&subject(0), &wrong).await) }
    })
    .await;
    assert_eq!(codes.compared(), 5);
    assert_eq!(how_many(&answers, &Outcome::Refused), 5);
    assert_eq!(how_many(&answers, &Outcome::Exhausted), on.races() - 5);
    assert_eq!(outcome(codes.redeem(&subject(0), &code).await), Outcome::Exhausted);
}

/// A subject's code that is revoked stays dead, and the next one is good, also in a race.
pub async fn a_subjects_revoked_code_stays_dead_in_every_race<H: Harness<Store: AtomicStore>>(
    on: &On<H>,
) {
    let codes = by_subject(on).await;
    for round in 0..on.rounds_of_few() {
        let old = issue_to(&codes, &subject(round), "old").await;
        let answers = race(4, |task| {
            let (codes, old) = (codes.clone(), old.clone());
            async move {
                if task == 0 {
                    codes.revoke(&subject(round)).await.unwrap();
                    return Some(issue_to(&codes, &subject(round), "new").await);
                }
                let answer = outcome(codes.redeem(&subject(round), &old).await);
                assert_ne!(answer, Outcome::Failed);
                None
            }
        })
        .await;
        let late = outcome(codes.redeem(&subject(round), &old).await);
        assert_eq!(late, Outcome::Refused, "in round {round}");
        let new = answers.into_iter().flatten().next().expect("one of them issues a code");
        let redeemed = codes.redeem(&subject(round), &new).await.unwrap();
        assert_eq!(redeemed.payload, "new", "in round {round}");
    }
}

/// A set of recovery codes that is revoked stays dead, and the next one is good, also in a race.
pub async fn a_revoked_set_stays_dead_in_every_race<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let recovery = recovery(on).await;
    for round in 0..on.rounds_of_few() {
        let old = recovery.generate(&subject(round)).await.unwrap();
        let old: Vec<_> = old.iter().map(|code| code.reveal().to_owned()).collect();
        let answers = race(4, |task| {
            let (recovery, old) = (recovery.clone(), old.clone());
            async move {
                if task == 0 {
                    recovery.revoke(&subject(round)).await.unwrap();
                    return Some(recovery.generate(&subject(round)).await.unwrap());
                }
                let answer = recovery.redeem(&subject(round), &old[task - 1]).await;
                assert!(matches!(answer, Ok(_) | Err(CodeError::Refused)), "{answer:?}");
                None
            }
        })
        .await;
        for code in old {
            let late = recovery.redeem(&subject(round), &code).await;
            assert!(matches!(late, Err(CodeError::Refused)), "{late:?} in round {round}");
        }
        let new = answers.into_iter().flatten().next().expect("one of them makes a set");
        recovery.redeem(&subject(round), new[0].reveal()).await.unwrap();
    }
}

fn ring() -> KeyRing {
    KeyRing::new(1, b"the suite's key, thirty-two bytes long").unwrap()
}

async fn by_subject<H: Harness<Store: AtomicStore>>(on: &On<H>) -> SubjectCodes<String> {
    let codes = Codes::builder(PURPOSE).store(on.store().await).key_ring(ring());
    codes.build_by_subject().unwrap()
}

async fn recovery<H: Harness<Store: AtomicStore>>(on: &On<H>) -> Arc<RecoveryCodes> {
    let store = on.store().await;
    Arc::new(RecoveryCodes::new(PURPOSE, 3, ring(), store).unwrap())
}

/// A code without a handle.
async fn issue_to(codes: &SubjectCodes<String>, subject: &str, payload: &str) -> String {
    let sent = codes.issue(subject, &payload.to_owned()).await.unwrap();
    sent.code.reveal().to_owned()
}
