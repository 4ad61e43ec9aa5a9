//! Keys under which sessions are stored, and the cookie of a Node service.

use token_session::http::SignedCookie;
use token_session::{KeyScheme, Token};

const TOKEN: &str = "acme_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

fn key(scheme: &KeyScheme) -> String {
    scheme.key(&Token::parse(TOKEN).unwrap()).to_string()
}

#[test]
fn a_session_is_found_under_the_digest_of_its_token() {
    // Computed with Python's hashlib and hmac.
    assert_eq!(key(&KeyScheme::Sha256), "0KV2oHMMFH3o-lnKz83gIWs-xyhw8PmzAw98YKbpIGI");
    let keyed = KeyScheme::hmac_sha256(b"the application's key: 32 bytes.");
    assert_eq!(key(&keyed), "gStQSmCjwzJiAFXxHdp1abFK8gw6tmkpkOWLYEEoY-Q");
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
