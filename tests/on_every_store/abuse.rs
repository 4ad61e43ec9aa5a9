//! What each abuse of a code or a link gets, on every store that keeps
//! the contract:
//!
//! | abuse | answer | charged |
//! |---|---|---|
//! | the same code again | `Refused` | no |
//! | the code of another purpose | `Refused` | no |
//! | the code of another subject, where one is named | `Refused` | no |
//! | the code of another challenge | `Refused` | yes |
//! | a double click | the first answer, marked as repeated, with an attempt key; else `Refused` | no, but on the answers that are left |
//! | a code that has expired, swept or not | `Refused` | no |
//! | a code or a handle of a megabyte | `Refused` | no |
//! | the same link again, or a double click on one | `Refused` | no |
//! | the link of another purpose | `Refused` | no |
//! | a link that is truncated, padded or in another case | `Refused` | no |
//! | a link that has expired | `Refused` | no |
//! | a link of a megabyte | `Refused` | no |
//! | a value of the store's dump, for a handle or a link | `Refused` | no |
//!
//! What is charged is a guess of a code, or a use of a link. [`attacks`](super::attacks) has the last
//! row, and what comes of abuse that goes on for days.

use token_session::codes::{CodeError, Codes};
use token_session::links::{LinkError, Links};
use token_session::store::AtomicStore;
use token_session::store::conformance::Harness;

use super::*;

/// A code is good once.
pub async fn a_replayed_code_is_refused<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let codes = codes_in(on.store().await);
    let (handle, code) = issue(&codes, 0).await;
    assert_eq!(outcome(codes.redeem(&handle, &code).await), Outcome::Redeemed);
    for _ in 0..3 {
        assert_eq!(outcome(codes.redeem(&handle, &code).await), Outcome::Refused);
    }
    assert_eq!(codes.compared(), 1);
}

/// A code of one purpose is unknown to any other, and not spent there.
pub async fn a_code_of_another_purpose_is_refused_and_stays_good<H: Harness<Store: AtomicStore>>(
    on: &On<H>,
) {
    let store = on.store().await;
    let (codes, others) = (codes_in(store.clone()), Codes::<String>::builder("another"));
    let others = others.store(store).build().unwrap();
    let (handle, code) = issue(&codes, 0).await;
    assert_eq!(outcome(others.redeem(&handle, &code).await), Outcome::Refused);
    assert_eq!(others.compared(), 0);
    assert_eq!(outcome(codes.redeem(&handle, &code).await), Outcome::Redeemed);
}

/// A code that has to be somebody else's is refused, and no guess is charged.
pub async fn a_code_of_another_subject_is_refused_and_stays_good<H: Harness<Store: AtomicStore>>(
    on: &On<H>,
) {
    let codes = codes_in(on.store().await);
    let (handle, code) = issue(&codes, 0).await;
    let guess = codes.guess(&handle, &code);
    assert_eq!(outcome(guess.subject(&subject(1)).redeem().await), Outcome::Refused);
    assert_eq!(codes.compared(), 0);
    assert_eq!(codes.status(&subject(0)).await.unwrap().spent, 0);
    let guess = codes.guess(&handle, &code);
    assert_eq!(outcome(guess.subject(&subject(0)).redeem().await), Outcome::Redeemed);
}

/// The code of another challenge is a wrong guess, of the same subject's too.
pub async fn a_code_of_another_challenge_is_refused_and_charged<H: Harness<Store: AtomicStore>>(
    on: &On<H>,
) {
    let codes = codes_in(on.store().await);
    let (first, second) = (issue(&codes, 0).await, issue(&codes, 0).await);
    assert_eq!(outcome(codes.redeem(&first.0, &second.1).await), Outcome::Refused);
    assert_eq!(codes.status(&subject(0)).await.unwrap().spent, 1);
    assert_eq!(outcome(codes.redeem(&first.0, &first.1).await), Outcome::Redeemed);
    assert_eq!(outcome(codes.redeem(&second.0, &second.1).await), Outcome::Redeemed);
}

/// A double click gets the first answer twice, by the attempt key of the form. Without that key, with the
/// key of another form or with another code it is a replay.
pub async fn a_double_click_gets_the_first_answer_again<H: Harness<Store: AtomicStore>>(
    on: &On<H>,
) {
    let codes = codes_in(on.store().await);
    let (handle, code) = issue(&codes, 0).await;
    let submit = || codes.guess(&handle, &code).attempt(FORM);
    let (first, second) = (submit().redeem().await.unwrap(), submit().redeem().await.unwrap());
    assert_eq!((first.repeated, second.repeated), (false, true));
    assert_eq!((first.payload, first.receipt), (second.payload, second.receipt));
    let wrong = another_than(&code);
    for replay in [
        codes.guess(&handle, &code),
        codes.guess(&handle, &code).attempt("a random text of form 18"),
        codes.guess(&handle, &wrong).attempt(FORM),
    ] {
        assert_eq!(outcome(replay.redeem().await), Outcome::Refused);
    }
    assert_eq!(codes.compared(), 1);
}

/// Nothing that is done with an expired code brings it back, before it is swept and after.
pub async fn an_expired_code_stays_dead<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let store = on.store().await;
    let codes = Codes::<String>::builder(PURPOSE)
        .lifetime(on.moment())
        .store(store.clone())
        .build()
        .unwrap();
    let (handle, code) = issue(&codes, 0).await;
    on.outlive_moment().await;
    for _ in 0..2 {
        let submit = codes.guess(&handle, &code).attempt(FORM);
        assert_eq!(outcome(submit.redeem().await), Outcome::Refused);
        let lease = codes.guess(&handle, &code).lease(HOUR / 6).await;
        assert!(matches!(lease, Err(CodeError::Refused)), "{lease:?}");
        assert_eq!(outcome(codes.resend(&handle).await), Outcome::Refused);
        codes.cancel(&handle).await.unwrap();
        codes.revoke(&subject(0)).await.unwrap();
        // The next challenge of the same subject is another one.
        issue(&codes, 0).await;
        assert_eq!(outcome(codes.redeem(&handle, &code).await), Outcome::Refused);
        store.sweep(usize::MAX).await.unwrap();
    }
    assert_eq!(codes.compared(), 0);
}

/// A text of a megabyte is no code, no handle, no subject and no payload, and nothing is charged for it.
pub async fn a_megabyte_is_no_code<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let codes = codes_in(on.store().await);
    let (handle, code) = issue(&codes, 0).await;
    let megabyte = "1".repeat(1_000_000);
    for (handle, code) in [(&handle, &megabyte), (&megabyte, &code)] {
        assert_eq!(outcome(codes.redeem(handle, code).await), Outcome::Refused);
    }
    assert_eq!(outcome(codes.resend(&megabyte).await), Outcome::Refused);
    for (to, payload) in [(&megabyte, &String::new()), (&subject(0), &megabyte)] {
        let answer = codes.issue(to, payload).await;
        let refused = matches!(answer, Err(CodeError::Subject { .. } | CodeError::TooLarge { .. }));
        assert!(refused, "{answer:?}");
    }
    let status = codes.status(&subject(0)).await.unwrap();
    assert_eq!((status.open, status.reserved, status.spent), (1, 5, 0));
    assert_eq!(outcome(codes.redeem(&handle, &code).await), Outcome::Redeemed);
}

/// A link of one use is good once, and shows nothing afterwards.
pub async fn a_replayed_link_is_refused<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let links = links_in(on.store().await);
    let link = links.create(&"report.pdf".to_owned()).await.unwrap().link;
    assert_eq!(links.redeem(link.token()).await.unwrap().payload, "report.pdf");
    for _ in 0..3 {
        assert_eq!(link_outcome(links.redeem(link.token()).await), Outcome::Refused);
        assert_eq!(link_outcome(links.inspect(link.token()).await), Outcome::Refused);
    }
}

/// A link of one purpose is unknown to any other, and not used there.
pub async fn a_link_of_another_purpose_is_refused_and_stays_good<H: Harness<Store: AtomicStore>>(
    on: &On<H>,
) {
    let store = on.store().await;
    let links = links_in(store.clone());
    let others = Links::<String>::builder("another", base());
    let others = others.store(store).build().unwrap();
    let link = links.create(&"report.pdf".to_owned()).await.unwrap().link;
    assert_eq!(link_outcome(others.inspect(link.token()).await), Outcome::Refused);
    assert_eq!(link_outcome(others.redeem(link.token()).await), Outcome::Refused);
    assert_eq!(link_outcome(links.redeem(link.token()).await), Outcome::Redeemed);
}

/// What mail programs and scanners make of a link is no link, and costs no use.
pub async fn a_cut_or_padded_link_is_refused_and_stays_good<H: Harness<Store: AtomicStore>>(
    on: &On<H>,
) {
    let links = links_in(on.store().await);
    let link = links.create(&"report.pdf".to_owned()).await.unwrap().link;
    let token = link.token();
    for bad in [
        "",
        &token[1..],
        &token[..token.len() - 1],
        &format!("{token}="),
        &format!("{token}."),
        &format!("{token}A"),
        &format!(" {token}"),
        &format!("{token}?utm_source=mail"),
        &token.to_uppercase(),
    ] {
        assert_eq!(link_outcome(links.inspect(bad).await), Outcome::Refused, "{bad:?}");
        assert_eq!(link_outcome(links.redeem(bad).await), Outcome::Refused, "{bad:?}");
    }
    assert_eq!(link_outcome(links.redeem(token).await), Outcome::Redeemed);
}

/// A text of a megabyte is no link, and no payload of one.
pub async fn a_megabyte_is_no_link<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let links = links_in(on.store().await);
    let megabyte = "1".repeat(1_000_000);
    assert_eq!(link_outcome(links.inspect(&megabyte).await), Outcome::Refused);
    assert_eq!(link_outcome(links.redeem(&megabyte).await), Outcome::Refused);
    let answer = links.create(&megabyte).await;
    assert!(matches!(answer, Err(LinkError::TooLarge { .. })), "{answer:?}");
}

/// A link ends with its lifetime, on the store's clock, and a use does not prolong it.
pub async fn a_link_ends_with_its_lifetime<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let store = on.store().await;
    let links = links_in(store.clone());
    let payload = "report.pdf".to_owned();
    let new = || links.new_link(&payload).lifetime(on.moment());
    let once = new().create().await.unwrap().link;
    let unlimited = new().unlimited().create().await.unwrap().link;
    on.outlive_moment().await;
    for _ in 0..2 {
        for link in [&once, &unlimited] {
            assert_eq!(link_outcome(links.inspect(link.token()).await), Outcome::Refused);
            assert_eq!(link_outcome(links.redeem(link.token()).await), Outcome::Refused);
        }
        store.sweep(usize::MAX).await.unwrap();
    }
}
