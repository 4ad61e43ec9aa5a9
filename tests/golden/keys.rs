//! Keys and proofs of sessions whose token is of a form of its own, and the cookie of a Node service.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use token_session::http::SignedCookie;
use token_session::store::{Listing, Memory};
use token_session::{Origin, ProofScheme, Token, TokenSession};

use super::ring;

const TOKEN: &str = "acme_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// The key and the proof that a store keeps of a session with this token.
async fn stored(scheme: ProofScheme) -> (String, String) {
    let store = Memory::new();
    let sessions = TokenSession::<u32>::builder()
        .store(store.clone())
        .generator(|_: Origin<'_>| Token::parse(TOKEN))
        .proof_scheme(scheme)
        .build()
        .unwrap();
    sessions.create(&17).await.unwrap();
    let records = store.scan(None, 10).await.unwrap().records;
    let [(key, record)] = records.as_slice() else { panic!("{records:?}") };
    let proof = record.proofs.current.unwrap();
    (key.to_string(), URL_SAFE_NO_PAD.encode(proof.as_bytes()))
}

#[tokio::test]
async fn a_session_is_kept_under_the_digest_of_its_token_with_the_proof_of_that() {
    // Computed with Python's hashlib and hmac.
    let key = "0KV2oHMMFH3o-lnKz83gIQ";
    let plain = "ATHOiK5i4KM6msSxCvQnM1OYuIYY69_GBDnlfjui8b-y";
    let keyed = "AnDua6BS3Y3DSOH5SB9M2g9w7nrlTgJLjjx3e2e9PsgH";
    let expected = |proof: &str| (key.to_owned(), proof.to_owned());
    assert_eq!(stored(ProofScheme::sha256()).await, expected(plain));
    assert_eq!(stored(ProofScheme::hmac_sha256(ring())).await, expected(keyed));
}

#[test]
fn a_cookie_is_signed_as_express_session_does() {
    let token = Token::parse("zcM2Gl1Bi74mNZtjVhHvdCqfXrqsTD6F").unwrap();
    let secret = "a secret of the Node service, 32+ bytes";
    let cookie = SignedCookie::new("connect.sid", secret).unwrap();
    let set = cookie.set(&token, "Path=/; HttpOnly").unwrap();
    // Computed with Python's hmac and urllib.parse.quote.
    assert_eq!(
        set,
        "connect.sid=s%3AzcM2Gl1Bi74mNZtjVhHvdCqfXrqsTD6F.SMQcfeGu5bGQ8eTD1sEDgWGSVzD9%2FHJwy%2BKFSnt8TRE; Path=/; HttpOnly"
    );
}
