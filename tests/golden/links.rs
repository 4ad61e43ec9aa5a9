//! Links that are kept in a store, and links that are kept nowhere.

use token_session::KeyRing;
use token_session::links::{BaseUrl, Binding, Links, SignedLinks};
use token_session::store::{ManualClock, Memory};

use super::{ANNA, Sample, empty_store, good, read, ring, sample};

fn base() -> BaseUrl {
    BaseUrl::path("https://example.org/downloads/").unwrap()
}

fn links(store: Memory) -> Links<String> {
    Links::builder("download", base()).store(store).build().unwrap()
}

async fn links_sample() -> Sample {
    let store = empty_store();
    let payload = "report.pdf".to_owned();
    let links = links(store.clone());
    let link = links.new_link(&payload).uses(2.try_into().unwrap()).resource("file-17");
    let created = link.subject(ANNA).create().await.unwrap();
    let given = [("link", created.link.token()), ("id", &created.id.to_string())];
    sample("links", Sample::of(given, &store).await)
}

#[tokio::test]
async fn a_link_that_was_mailed_is_good_for_its_resource_as_often_as_it_said() {
    let sample = links_sample().await;
    let links = links(sample.store().await);
    let redeemed = good(links.redeem_for(sample.given("link"), "file-17").await);
    assert_eq!((redeemed.payload.as_str(), redeemed.uses_left), ("report.pdf", Some(1)));
    good(links.redeem_for(sample.given("link"), "file-17").await);
    assert!(links.redeem_for(sample.given("link"), "file-17").await.is_err());
}

#[tokio::test]
async fn a_link_ends_by_the_id_that_a_client_was_given_and_with_its_subject() {
    let sample = links_sample().await;
    let by_id = links(sample.store().await);
    assert!(good(by_id.revoke(&sample.given("id").parse().unwrap()).await));
    let by_subject = links(sample.store().await);
    good(by_subject.revoke_subject(ANNA).await);
    assert!(by_subject.inspect(sample.given("link")).await.is_err());
}

fn signed(ring: KeyRing) -> SignedLinks<String> {
    let links = SignedLinks::builder("password-reset", base(), ring).audience("example.org");
    links.clock(ManualClock::default()).build().unwrap()
}

#[test]
fn a_signed_link_that_was_mailed_is_good_for_what_it_was_bound_to() {
    let links = signed(ring());
    let payload = "user-17".to_owned();
    let bindings = [
        ("unbound", Binding::none()),
        ("to_state", Binding::to_state(b"a password's hash")),
        ("to_epoch", Binding::to_epoch(4)),
        ("to_both", Binding::to_state(b"a password's hash").and_epoch(4)),
    ];
    let made = bindings.map(|(name, binding)| {
        let link = links.new_link(&payload).bound_to(binding).sign().unwrap();
        (name.to_owned(), link.token().to_owned())
    });
    let sample = sample("signed_links", Sample { given: made.into(), records: Vec::new() });
    for (name, binding) in bindings {
        let claim = good(links.read(sample.given(name)));
        assert_eq!(good(claim.accept(binding)), "user-17", "{name}");
    }
}

#[test]
fn a_link_that_an_older_key_signed_is_good_while_the_ring_has_it() {
    let ring = KeyRing::new(8, &[8; 32]).unwrap();
    let ring = ring.and_verify(7, b"the application's key: 32 bytes.").unwrap();
    let sample = read("signed_links");
    let claim = good(signed(ring).read(sample.given("unbound")));
    assert_eq!(good(claim.accept(Binding::none())), "user-17");
}
