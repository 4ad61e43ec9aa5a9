//! Abuses of a code that need a clock which can be moved, a store that counts its calls, or one that
//! somebody else writes to. `on_every_store::abuse` has those that run on every store.
//!
//! | abuse | answer | charged |
//! |---|---|---|
//! | a millisecond too late | `Refused` | no |
//! | after the clock moved back | `Refused`, as before | no |
//! | a double click that comes 30 seconds late | `Refused` | no |
//! | a code or a handle of a megabyte | `Refused`, at no round trip | no |
//! | a handle in the place of a session's token, or the other way round | unknown | no |
//! | a payload that was changed in the store | `Refused` | yes |
//! | damaged bytes in the store | an error that names the record | no |

use std::sync::Arc;

use token_session::codes::CodeError;
use token_session::store::{Listing, Memory, Store, StoreErrorKind, Write};
use token_session::{Token, TokenSession};

use super::fickle::Fickle;
use super::watched::Watched;
use super::{
    ANNA, MILLISECOND, MINUTE, SECOND, assert_refused, builder, codes_with_clock, handle, issue,
    store_with_clock, wrong,
};

#[tokio::test]
async fn a_code_is_good_until_the_last_millisecond_of_its_life() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    clock.advance(10 * MINUTE - MILLISECOND);
    codes.redeem(handle(&issued), issued.code.reveal()).await.unwrap();
}

#[tokio::test]
async fn a_code_that_expired_a_millisecond_ago_is_refused() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    clock.advance(10 * MINUTE);
    assert_refused(codes.redeem(handle(&issued), issued.code.reveal()).await);
    assert_eq!(codes.compared(), 0);
}

#[tokio::test]
async fn a_clock_that_moves_back_revives_nothing() {
    let clock = Fickle::new();
    let codes = builder(Memory::builder().clock(clock.clone()).build()).build().unwrap();
    let (used, expired, exhausted) =
        (issue(&codes).await, issue(&codes).await, issue(&codes).await);
    codes.redeem(handle(&used), used.code.reveal()).await.unwrap();
    for _ in 0..5 {
        assert_refused(codes.redeem(handle(&exhausted), &wrong(&exhausted)).await);
    }
    clock.advance(10 * MINUTE);
    assert_refused(codes.redeem(handle(&expired), expired.code.reveal()).await);

    clock.go_back(10 * MINUTE - SECOND);
    for issued in [&used, &expired, &exhausted] {
        codes.redeem(handle(issued), issued.code.reveal()).await.unwrap_err();
    }
}

#[tokio::test]
async fn looking_does_not_prolong_a_code() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    clock.advance(9 * MINUTE);
    assert_refused(codes.redeem(handle(&issued), &wrong(&issued)).await);
    codes.status(ANNA).await.unwrap();
    clock.advance(MINUTE);
    assert_refused(codes.redeem(handle(&issued), issued.code.reveal()).await);
}

#[tokio::test]
async fn a_double_click_that_comes_late_is_none() {
    let (codes, clock) = codes_with_clock();
    let issued = issue(&codes).await;
    let submit =
        || codes.guess(handle(&issued), issued.code.reveal()).attempt("a random text of form 17");
    submit().redeem().await.unwrap();
    clock.advance(30 * SECOND - MILLISECOND);
    assert!(submit().redeem().await.unwrap().repeated);
    clock.advance(MILLISECOND);
    assert_refused(submit().redeem().await);
}

#[tokio::test]
async fn a_megabyte_costs_no_round_trip() {
    let store = Arc::new(Watched::new(Memory::new()));
    let codes = builder(store.clone()).build().unwrap();
    let issued = issue(&codes).await;
    store.calls();
    let megabyte = "1".repeat(1_000_000);
    assert_refused(codes.redeem(handle(&issued), &megabyte).await);
    assert_refused(codes.redeem(&megabyte, issued.code.reveal()).await);
    assert_refused(codes.resend(&megabyte).await);
    assert!(matches!(
        codes.issue(&megabyte, &String::new()).await,
        Err(CodeError::Subject { len: 1_000_000 })
    ));
    assert!(matches!(
        codes.issue(ANNA, &megabyte).await,
        Err(CodeError::TooLarge { size: 1_000_002, max: 4096 })
    ));
    assert_eq!(store.calls(), [""; 0]);
}

#[tokio::test]
async fn a_handle_is_no_session_and_a_session_is_no_handle() {
    let (store, _) = store_with_clock();
    let codes = builder(store.clone()).build().unwrap();
    // Any JSON would do for these sessions, a challenge too.
    let sessions = TokenSession::<serde_json::Value>::builder().store(store).build().unwrap();
    let issued = issue(&codes).await;
    let handle = Token::parse(handle(&issued)).unwrap();
    assert!(sessions.get(&handle).await.unwrap().is_none());

    let session = sessions.create(&serde_json::json!({})).await.unwrap();
    assert_refused(codes.redeem(session.token.reveal(), "12345678").await);
}

#[tokio::test]
async fn what_was_changed_in_the_store_is_refused() {
    for (field, change) in [
        ("payload", "ImV2ZSI"),
        ("salt", "AAAAAAAAAAAAAAAAAAAAAA"),
        ("subject", "AAAAAAAAAAAAAAAAAAAAAA"),
    ] {
        let (store, _) = store_with_clock();
        let codes = builder(store.clone()).build().unwrap();
        let issued = issue(&codes).await;
        let page = store.scan(None, 10).await.unwrap();
        for (key, record) in page.records {
            let mut data: serde_json::Value = serde_json::from_slice(&record.data).unwrap();
            if data.get("codes").is_some() {
                data[field] = change.into();
                store.replace(&key, &Write::data(data.to_string())).await.unwrap();
            }
        }
        assert_refused(codes.redeem(handle(&issued), issued.code.reveal()).await);
    }
}

#[tokio::test]
async fn an_expiry_that_was_put_off_in_the_store_is_refused() {
    let (store, clock) = store_with_clock();
    let codes = builder(store.clone()).build().unwrap();
    let issued = issue(&codes).await;
    let page = store.scan(None, 10).await.unwrap();
    for (key, record) in page.records {
        let data = String::from_utf8(record.data.to_vec()).unwrap();
        let data = data.replace("\"until\":600000", "\"until\":900000");
        let lifetime = token_session::Lifetime::idle_secs(3600).unwrap();
        let write = Write { lifetime: Some(&lifetime), ..Write::data(data) };
        store.replace(&key, &write).await.unwrap();
    }
    clock.advance(9 * MINUTE);
    assert_refused(codes.redeem(handle(&issued), issued.code.reveal()).await);
}

#[tokio::test]
async fn damaged_bytes_are_an_error_that_names_the_record() {
    let (store, _) = store_with_clock();
    let codes = builder(store.clone()).build().unwrap();
    let issued = issue(&codes).await;
    let page = store.scan(None, 10).await.unwrap();
    for (key, _) in page.records {
        store.replace(&key, &Write::data("damaged")).await.unwrap();
    }
    match codes.redeem(handle(&issued), issued.code.reveal()).await {
        Err(CodeError::Store(error)) => assert_eq!(error.kind(), StoreErrorKind::Corrupt),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_error_tells_a_secret() {
    let (codes, _) = codes_with_clock();
    let issued = issue(&codes).await;
    let secrets = [handle(&issued), issued.code.reveal(), ANNA];
    let answers = [
        codes.redeem(handle(&issued), &wrong(&issued)).await.unwrap_err(),
        codes.resend(handle(&issued)).await.unwrap_err(),
        codes.redeem("", issued.code.reveal()).await.unwrap_err(),
    ];
    let told = format!("{answers:?} {issued:?} {codes:?}");
    for secret in secrets {
        assert!(!told.contains(secret), "{told}");
    }
}
