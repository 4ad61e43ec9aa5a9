//! The address that a code confirms is the one that it was mailed to, whatever races with it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use token_session::codes::{CodeError, Codes};

use super::watched::Watched;
use super::{MILLISECOND, builder, ring, store_with_clock};

const OWN: &str = "eve@example.org";
const OTHERS: &str = "anna@example.org";

/// How often each race is run.
const REPLAYS: u32 = 1_000;

fn far_away() -> Arc<Watched> {
    Arc::new(Watched::distant(store_with_clock().0, MILLISECOND))
}

/// An account asks for its own address and for another's at the same time (as in CVE-2026-32700),
/// has a code sent to each, and confirms with whatever it has: by a handle, each code is its
/// address's.
#[tokio::test]
async fn the_address_that_is_confirmed_is_the_one_that_was_mailed() {
    let codes: Codes<String> = builder(far_away()).build().unwrap();
    let confirm = async |account: String, address: &str| {
        let issued = codes.issue(&account, &address.to_owned()).await.unwrap();
        let (handle, code) = (issued.challenge.handle.reveal(), issued.code.reveal());
        assert_eq!(codes.redeem(handle, code).await.unwrap().payload, address);
    };
    let replays = (0..REPLAYS)
        .flat_map(|replay| [OWN, OTHERS].map(|address| confirm(format!("user-{replay}"), address)));
    join_all(replays).await;
}

/// The same, where the account has one challenge for both addresses.
#[tokio::test]
async fn without_a_handle_too_the_address_that_is_confirmed_is_the_one_that_was_mailed() {
    let codes = builder(far_away())
        .key_ring(ring(&[1]))
        .resend_after(Duration::ZERO)
        .build_by_subject()
        .unwrap();
    let confirm = async |account: String, address: &str| {
        let sent = codes.issue(&account, &address.to_owned()).await.unwrap();
        match codes.redeem(&account, sent.code.reveal()).await {
            Ok(redeemed) => {
                assert_eq!(redeemed.payload, address);
                true
            }
            // The other request retired the code, or used the challenge up.
            Err(CodeError::Refused | CodeError::Exhausted) => false,
            Err(error) => panic!("{error}"),
        }
    };
    let replays = (0..REPLAYS)
        .flat_map(|replay| [OWN, OTHERS].map(|address| confirm(format!("user-{replay}"), address)));
    let confirmed = join_all(replays).await.into_iter().filter(|done| *done).count();
    assert!(confirmed >= REPLAYS as usize / 2, "{confirmed} were confirmed");
}
