//! Each operation of codes and links, once.

use std::time::Duration;

use token_session::KeyRing;
use token_session::codes::{CodeError, Codes, RecoveryCodes};
use token_session::links::{BaseUrl, Links};
use token_session::store::{ManualClock, Memory};

pub const OPERATIONS: [&str; 19] = [
    "issue_code",
    "issue_decoy",
    "resend_code",
    "inspect_code",
    "redeem_code",
    "lease_code",
    "commit_code",
    "abort_code",
    "cancel_code",
    "revoke_codes",
    "status_of_codes",
    "generate_recovery_codes",
    "redeem_recovery_code",
    "revoke_recovery_codes",
    "create_link",
    "inspect_link",
    "redeem_link",
    "revoke_link",
    "revoke_links",
];

const ANNA: &str = "anna@example.org";
const PAYLOAD: &str = "what the code is good for";
const MINUTE: Duration = Duration::from_secs(60);

/// Runs all of them, and returns what nobody may read in a log.
pub async fn run_everything() -> Vec<String> {
    let mut secrets = vec![ANNA.to_owned(), PAYLOAD.to_owned()];
    secrets.extend(run_codes().await);
    secrets.extend(run_codes_without_a_handle().await);
    secrets.extend(run_links().await);
    run_on_a_store_that_fails().await;
    run_what_goes_wrong().await;
    secrets
}

/// A payload that the codec cannot read any more, and a lease that another request has taken.
async fn run_what_goes_wrong() {
    let clock = ManualClock::default();
    let store = Memory::builder().clock(clock.clone()).build();
    let codes = Codes::<String>::builder("wrong").store(store.clone()).build().unwrap();
    let issued = codes.issue(ANNA, &PAYLOAD.to_owned()).await.unwrap();
    let handle = issued.challenge.handle.reveal();
    let first = codes.guess(handle, issued.code.reveal()).lease(MINUTE).await.unwrap();
    clock.advance(2 * MINUTE);
    let _taken = codes.guess(handle, issued.code.reveal()).lease(MINUTE).await.unwrap();
    first.abort().await.unwrap();
    clock.advance(2 * MINUTE);
    let after_a_deploy = Codes::<u32>::builder("wrong").store(store).build().unwrap();
    let unread = after_a_deploy.resend(handle).await;
    assert!(matches!(unread, Err(CodeError::Decode { .. })), "{unread:?}");
}

async fn run_on_a_store_that_fails() {
    let store = Memory::builder().capacity(0).build();
    let codes = Codes::<()>::builder("no-room").store(store).build().unwrap();
    let full = codes.issue(ANNA, &()).await;
    assert!(matches!(full, Err(CodeError::Store(_))), "{full:?}");
}

fn ring() -> KeyRing {
    KeyRing::new(1, b"the tests' key, thirty-two bytes long").unwrap()
}

async fn run_codes() -> Vec<String> {
    let clock = ManualClock::default();
    let store = Memory::builder().clock(clock.clone()).build();
    let base = BaseUrl::path("https://example.org/magic/").unwrap();
    let links = Codes::<String>::builder("sign-in").store(store).build_with_links(base).unwrap();
    let (codes, payload) = (links.codes(), PAYLOAD.to_owned());
    let first = links.issue(ANNA, &payload).await.unwrap();
    let handle = first.challenge.handle.reveal();
    links.inspect(first.link.token()).await.unwrap();
    codes.redeem(handle, "00000000").await.unwrap_err();
    let early = codes.resend(handle).await;
    assert!(matches!(early, Err(CodeError::TooSoon { .. })));
    clock.advance(MINUTE);
    let (second, _) = codes.resend(handle).await.unwrap().message.unwrap();
    codes.guess(handle, second.reveal()).lease(MINUTE).await.unwrap().abort().await.unwrap();
    codes.guess(handle, second.reveal()).lease(MINUTE).await.unwrap().commit().await.unwrap();
    let third = codes.issue(ANNA, &payload).await.unwrap();
    codes.redeem(third.challenge.handle.reveal(), third.code.reveal()).await.unwrap();
    let decoy = codes.decoy(ANNA, &payload).await.unwrap();
    codes.cancel(decoy.handle.reveal()).await.unwrap();
    codes.status(ANNA).await.unwrap();
    codes.revoke(ANNA).await.unwrap();
    let handles = [&first.challenge, &third.challenge, &decoy].map(|open| open.handle.reveal());
    let sent = [first.code.reveal(), second.reveal(), third.code.reveal(), first.link.token()];
    handles.into_iter().chain(sent).map(str::to_owned).collect()
}

async fn run_codes_without_a_handle() -> Vec<String> {
    let codes = Codes::<String>::builder("pair").key_ring(ring()).build_by_subject().unwrap();
    let sent = codes.issue(ANNA, &PAYLOAD.to_owned()).await.unwrap();
    codes.redeem(ANNA, sent.code.reveal()).await.unwrap();
    codes.decoy(ANNA, &PAYLOAD.to_owned()).await.unwrap();
    codes.status(ANNA).await.unwrap();
    codes.revoke(ANNA).await.unwrap();
    let recovery = RecoveryCodes::new("recovery", 3, ring(), Memory::new()).unwrap();
    let set = recovery.generate(ANNA).await.unwrap();
    let replacement = recovery.redeem(ANNA, set[0].reveal()).await.unwrap().replacement;
    recovery.revoke(ANNA).await.unwrap();
    let codes = set.iter().chain([&replacement, &sent.code]);
    codes.map(|code| code.reveal().to_owned()).collect()
}

async fn run_links() -> Vec<String> {
    let base = BaseUrl::path("https://example.org/downloads/").unwrap();
    let links = Links::<String>::builder("download", base).build().unwrap();
    let payload = PAYLOAD.to_owned();
    let first = links.new_link(&payload).subject(ANNA).create().await.unwrap();
    links.inspect(first.link.token()).await.unwrap();
    links.redeem(first.link.token()).await.unwrap();
    links.redeem(first.link.token()).await.unwrap_err();
    links.redeem("no token").await.unwrap_err();
    let second = links.create(&payload).await.unwrap();
    assert!(links.revoke(&second.id).await.unwrap());
    links.revoke_subject(ANNA).await.unwrap();
    vec![first.link.token().to_owned(), second.link.token().to_owned()]
}
