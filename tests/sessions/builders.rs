//! What the builders of sessions refuse, and that the order of their calls does not matter.

use std::time::Duration;

use token_session::{Error, Loaded, NewSession, Origin, Owner, Token, TokenError, TokenSession};

async fn made(new: NewSession<'_>) -> Loaded<u32> {
    let sessions = TokenSession::<u32>::in_memory();
    let issued = sessions.create_with(&1, &new).await.unwrap();
    sessions.get(&issued.token).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_new_session_is_as_fresh_as_it_was_said_in_any_order() {
    let anna = || Owner::new("anna").unwrap();
    let new = NewSession::new;
    for (new, fresh) in [
        (new(), false),
        (new().authenticated(true), true),
        (new().owner(anna()), true),
        (new().owner(anna()).authenticated(false), false),
        (new().authenticated(false).owner(anna()), false),
        (new().authenticated(true).owner(anna()), true),
        (new().authenticated(false).authenticated(true), true),
    ] {
        let shown = format!("{new:?}");
        assert_eq!(made(new).await.meta.is_fresh(Duration::from_secs(60)), fresh, "{shown}");
    }
}

#[test]
fn a_generator_that_leaves_the_prefix_out_is_refused() {
    let without = |_: Origin<'_>| Token::random("");
    let builder = || TokenSession::<u32>::builder().prefix("acme_");
    assert!(matches!(builder().generator(without).build(), Err(TokenError::NoPrefix)));
    let before = TokenSession::<u32>::builder().generator(without).prefix("acme_").build();
    assert!(matches!(before, Err(TokenError::NoPrefix)));
    assert!(builder().generator(|_: Origin<'_>| Token::random("acme_eu_")).build().is_ok());
    assert!(TokenSession::<u32>::builder().generator(without).build().is_ok());
}

/// Such as one that needs to know the tenant.
#[tokio::test]
async fn a_token_without_the_prefix_is_never_handed_out() {
    let generator = |origin: Origin<'_>| match origin.get::<&str>() {
        Some(tenant) => Token::random(tenant),
        None => Err(TokenError::Empty),
    };
    let sessions = TokenSession::<u32>::builder().prefix("acme_").generator(generator);
    let sessions = sessions.build().unwrap();
    let of = |tenant| NewSession::new().origin(Origin::new(tenant));
    let refused = sessions.create_with(&1, &of(&"other_")).await;
    assert!(matches!(refused, Err(Error::Generator(TokenError::NoPrefix))), "{refused:?}");
    assert_eq!(sessions.count().await.unwrap(), 0);
    let issued = sessions.create_with(&1, &of(&"acme_eu_")).await.unwrap();
    assert!(sessions.get(&issued.token).await.unwrap().is_some());
}

#[test]
fn a_prefix_that_no_token_may_have_is_refused() {
    for prefix in ["a b", "a=", "é", "a;", "a\n", "a%", "a&", "\"", &"a".repeat(212)] {
        assert!(TokenSession::<u32>::builder().prefix(prefix).build().is_err(), "{prefix}");
    }
    for prefix in ["", "acme_", "~.-_+/", &"a".repeat(211)] {
        assert!(TokenSession::<u32>::builder().prefix(prefix).build().is_ok(), "{prefix}");
    }
}
