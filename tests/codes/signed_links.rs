//! Links that are kept nowhere.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use token_session::MessagePack;
use token_session::links::{BaseUrl, Binding, LinkError, LinkPolicyError, SignedLinks};
use token_session::store::{Clock, ManualClock};

use super::fickle::Fickle;
use super::{HOUR, MILLISECOND, MINUTE, ring};

const STATE: &[u8] = b"the password's hash";

fn base() -> BaseUrl {
    BaseUrl::path("https://example.org/reset/").unwrap()
}

fn links_with(purpose: &str, audience: &str, ids: &[u32], clock: &ManualClock) -> SignedLinks<u64> {
    SignedLinks::builder(purpose, base(), ring(ids))
        .audience(audience)
        .clock(clock.clone())
        .build()
        .unwrap()
}

fn links_on(clock: impl Clock) -> SignedLinks<u64> {
    SignedLinks::builder("reset", base(), ring(&[1])).clock(clock).build().unwrap()
}

fn links() -> (SignedLinks<u64>, ManualClock) {
    let clock = ManualClock::default();
    (links_with("reset", "", &[1], &clock), clock)
}

#[track_caller]
fn assert_refused<T>(answer: Result<T, LinkError>) {
    assert!(matches!(answer, Err(LinkError::Refused)), "{:?}", answer.err());
}

#[test]
fn a_link_says_what_was_signed() {
    let (links, clock) = links();
    let link = links.sign(&17).unwrap();
    assert!(link.reveal().starts_with("https://example.org/reset/"));
    clock.advance(MINUTE);
    let claim = links.read(link.token()).unwrap();
    assert_eq!((*claim.unconfirmed_payload(), claim.expires_in()), (17, 59 * MINUTE));
    assert_eq!(claim.accept(Binding::none()).unwrap(), 17);
}

#[test]
fn a_link_is_good_until_the_last_millisecond_and_not_after() {
    let (links, clock) = links();
    let link = links.sign(&17).unwrap();
    clock.advance(HOUR - MILLISECOND);
    assert!(links.read(link.token()).is_ok());
    clock.advance(MILLISECOND);
    assert_refused(links.read(link.token()));
}

#[test]
fn a_link_opens_when_it_says() {
    let (links, clock) = links();
    let link = links.new_link(&17).not_before(MINUTE).sign().unwrap();
    clock.advance(MILLISECOND);
    match links.read(link.token()) {
        Err(LinkError::NotYet { opens_in }) => assert_eq!(opens_in, MINUTE),
        other => panic!("{:?}", other.err()),
    }
    clock.advance(MINUTE - MILLISECOND);
    assert!(links.read(link.token()).is_ok());
    let answer = links.new_link(&17).not_before(HOUR).sign();
    assert!(matches!(answer, Err(LinkError::NeverOpen { .. })));
}

#[test]
fn a_link_that_opens_at_once_is_good_on_a_server_whose_clock_is_behind() {
    let (behind, ahead) = (ManualClock::default(), ManualClock::default());
    ahead.advance(50 * MILLISECOND);
    let (signer, reader) = (links_on(ahead), links_on(behind));
    for link in [signer.sign(&17), signer.new_link(&17).not_before(Duration::ZERO).sign()] {
        assert!(reader.read(link.unwrap().token()).is_ok());
    }
}

#[test]
fn a_link_expires_by_the_clock_of_the_server_that_reads_it() {
    let (behind, ahead) = (ManualClock::default(), ManualClock::default());
    ahead.advance(MINUTE);
    let link = links_on(behind.clone()).sign(&17).unwrap();
    for clock in [&behind, &ahead] {
        clock.advance(HOUR - MINUTE);
    }
    assert!(links_on(behind).read(link.token()).is_ok());
    assert_refused(links_on(ahead).read(link.token()));
}

/// Nothing is kept that could know better: what must not come back is bound to state.
#[test]
fn a_clock_that_is_set_back_revives_a_link_but_not_what_it_was_bound_to() {
    let clock = Fickle::new();
    let links = links_on(clock.clone());
    let link = links.new_link(&17).bound_to(Binding::to_epoch(4)).sign().unwrap();
    clock.advance(HOUR);
    assert_refused(links.read(link.token()));
    clock.go_back(MILLISECOND);
    let read = || links.read(link.token()).unwrap();
    assert_eq!(read().accept(Binding::to_epoch(4)).unwrap(), 17);
    assert_refused(read().accept(Binding::to_epoch(5)));
    clock.go_back(HOUR);
    assert!(links.read(link.token()).is_ok(), "it opened at once, so it is open before that too");
}

#[test]
fn another_purpose_audience_or_key_is_refused() {
    let clock = ManualClock::default();
    let link = links_with("reset", "shop", &[1], &clock).sign(&17).unwrap();
    for (purpose, audience, ids) in [
        ("reset", "shop", &[1_u32][..]),
        ("reset", "shop", &[2, 1]),
        ("confirm", "shop", &[1]),
        ("reset", "forum", &[1]),
        ("resets", "hop", &[1]),
        ("reset", "shop", &[2]),
    ] {
        let good = (purpose, audience) == ("reset", "shop") && ids.contains(&1);
        let read = links_with(purpose, audience, ids, &clock).read(link.token());
        assert_eq!(read.is_ok(), good, "{purpose} {audience} {ids:?}");
    }
}

#[test]
fn a_bound_link_dies_with_what_it_is_bound_to() {
    let (links, _) = links();
    let binding = Binding::to_state(STATE).and_epoch(4);
    let link = links.new_link(&17).bound_to(binding).sign().unwrap();
    let accept = |binding| links.read(link.token()).unwrap().accept(binding);
    assert_eq!(accept(binding).unwrap(), 17);
    for other in [
        Binding::none(),
        Binding::to_state(STATE),
        Binding::to_epoch(4),
        Binding::to_state(STATE).and_epoch(5),
        Binding::to_state(b"another hash").and_epoch(4),
        Binding::to_state(b"").and_epoch(4),
    ] {
        assert_refused(accept(other));
    }
}

#[test]
fn a_link_that_is_bound_to_nothing_is_not_bound_to_the_empty() {
    let (links, _) = links();
    let link = links.sign(&17).unwrap();
    for other in [Binding::to_state(b""), Binding::to_epoch(0)] {
        assert_refused(links.read(link.token()).unwrap().accept(other));
    }
    let link = links.new_link(&17).bound_to(Binding::to_state(b"")).sign().unwrap();
    assert_refused(links.read(link.token()).unwrap().accept(Binding::none()));
}

#[test]
fn what_a_link_is_bound_to_is_not_in_it() {
    let (links, _) = links();
    let link = links.new_link(&117).bound_to(Binding::to_state(STATE)).sign().unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(link.token()).unwrap();
    assert!(!bytes.windows(STATE.len()).any(|part| part == STATE));
}

#[test]
fn no_changed_bit_goes_unnoticed() {
    let (links, _) = links();
    let link = links.sign(&117).unwrap();
    let good = URL_SAFE_NO_PAD.decode(link.token()).unwrap();
    for bit in 0..8 * good.len() {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let read = links.read(&URL_SAFE_NO_PAD.encode(&bytes));
        assert_refused(read.and_then(|claim| claim.accept(Binding::none())));
    }
}

#[test]
fn a_truncated_or_padded_link_is_refused() {
    let (links, _) = links();
    let link = links.sign(&17).unwrap();
    let token = link.token();
    let megabyte = "A".repeat(1_000_000);
    for bad in [
        "",
        "A",
        &token[1..],
        &token[..token.len() - 1],
        &token[..token.len() - 4],
        &format!("{token}A"),
        &format!("{token}AAAA"),
        &format!("{token}="),
        &format!("{token}&utm_source=mail"),
        &megabyte,
    ] {
        assert_refused(links.read(bad));
    }
}

/// Mail programs append parameters, and proxies change the host: the router finds the token in the
/// path all the same.
#[tokio::test]
async fn what_is_appended_to_the_address_changes_nothing() {
    use axum::Router;
    use axum::extract::Path;
    use axum::http::Request;
    use axum::routing::get;
    use tower::ServiceExt;

    let (links, _) = links();
    let link = links.sign(&17).unwrap();
    let app = Router::new().route(
        "/reset/{token}",
        get(async move |Path(token): Path<String>| {
            links.read(&token).unwrap().unconfirmed_payload().to_string()
        }),
    );
    let path = link.reveal().strip_prefix("https://example.org").unwrap();
    for address in [
        format!("https://example.org{path}"),
        format!("https://example.org{path}?utm_source=mail&fbclid=17"),
        format!("https://example.org{path}?fbclid=17&utm_source=mail"),
        format!("http://10.0.0.1:3000{path}?"),
    ] {
        let request = Request::get(&address).body(String::new()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{address}");
    }
}

#[test]
fn a_link_that_no_browser_would_carry_is_not_made() {
    let clock = ManualClock::default();
    let links = SignedLinks::<String>::builder("reset", base(), ring(&[1])).clock(clock);
    let links = links.build().unwrap();
    let longest = "a".repeat(1_412);
    let link = links.sign(&longest).unwrap();
    assert!(link.token().len() <= 2_000);
    assert_eq!(links.read(link.token()).unwrap().accept(Binding::none()).unwrap(), longest);
    let answer = links.sign(&"a".repeat(1_413));
    assert!(matches!(answer, Err(LinkError::TooLarge { size: 1_415, max: 1_414 })), "{answer:?}");
}

#[test]
fn a_signed_link_ends_in_a_letter_or_a_digit_at_any_length() {
    let links = SignedLinks::<String>::builder("reset", base(), ring(&[1])).build().unwrap();
    for size in 0..1_000 {
        let payload = "a".repeat(size);
        let link = links.sign(&payload).unwrap();
        assert!(link.reveal().ends_with(|last: char| last.is_ascii_alphanumeric()), "{size}");
        assert_eq!(links.read(link.token()).unwrap().accept(Binding::none()).unwrap(), payload);
    }
}

#[test]
fn a_signed_link_has_one_spelling() {
    let links = SignedLinks::<String>::builder("reset", base(), ring(&[1])).build().unwrap();
    for size in 0..6 {
        let link = links.sign(&"a".repeat(size)).unwrap();
        let token = link.token();
        let shorter = &token[..token.len() - 1];
        for bad in [shorter, &format!("{token}0"), &format!("{shorter}1"), &format!("{shorter}00")]
        {
            assert_refused(links.read(bad));
        }
    }
}

#[test]
fn a_float_in_a_signed_link_is_read_back_bit_for_bit() {
    let links = SignedLinks::<f64>::builder("reset", base(), ring(&[1])).build().unwrap();
    let link = links.sign(&9957.400000000001).unwrap();
    let amount = links.read(link.token()).unwrap().accept(Binding::none()).unwrap();
    assert_eq!(amount.to_bits(), 9957.400000000001_f64.to_bits());
}

#[test]
fn a_payload_is_written_and_read_by_the_codec_that_was_given() {
    let builder = SignedLinks::<u64>::builder("reset", base(), ring(&[1]));
    let packed = builder.codec(MessagePack).build().unwrap();
    let json = SignedLinks::<u64>::builder("reset", base(), ring(&[1])).build().unwrap();
    let link = packed.sign(&300).unwrap();
    assert_eq!(packed.read(link.token()).unwrap().accept(Binding::none()).unwrap(), 300);
    let read = json.read(link.token());
    assert!(matches!(read, Err(LinkError::Decode(_))), "{:?}", read.err());
}

#[test]
fn links_without_a_purpose_or_a_lifetime_are_not_built() {
    let built = SignedLinks::<u64>::builder("", base(), ring(&[1])).build();
    assert!(matches!(built, Err(LinkPolicyError::Purpose { len: 0 })));
    let built =
        SignedLinks::<u64>::builder("a", base(), ring(&[1])).lifetime(Duration::ZERO).build();
    assert!(matches!(built, Err(LinkPolicyError::Lifetime(_))));
}
