//! What `TokenSession` promises beyond what its store does.

use std::sync::Arc;
use std::time::Duration;

use crate::spy::Spy;
use bytes::Bytes;
use token_session::store::{ManualClock, Memory, OwnerLimit, Store, Write};
use token_session::{
    Error, Event, Issued, Key, KeyRing, Label, Lifetime, MessagePack, NewSession, Origin, Owner,
    ProofScheme, Token, TokenError, TokenSession,
};

pub type Spied = Arc<Spy<Memory>>;

pub const MINUTE: Duration = Duration::from_secs(60);

pub struct World {
    pub sessions: TokenSession<Vec<u32>>,
    pub store: Spied,
    pub clock: ManualClock,
}

pub fn world() -> World {
    world_with(|builder| builder)
}

fn world_with(
    options: impl FnOnce(
        token_session::TokenSessionBuilder<Vec<u32>>,
    ) -> token_session::TokenSessionBuilder<Vec<u32>>,
) -> World {
    let clock = ManualClock::default();
    let store = Arc::new(Spy::new(Memory::builder().clock(clock.clone()).build()));
    let sessions = options(TokenSession::builder().store(store.clone())).build().unwrap();
    World { sessions, store, clock }
}

impl World {
    pub async fn create(&self) -> Issued {
        let issued = self.sessions.create(&vec![1]).await.unwrap();
        self.store.calls();
        issued
    }

    async fn data(&self, token: &Token) -> Option<Vec<u32>> {
        self.sessions.get_untouched(token).await.unwrap().map(|session| session.data)
    }
}

fn owner(id: &str) -> NewSession<'static> {
    NewSession::new().owner(Owner::new(id).unwrap())
}

/// Each write on a session, for facts that hold for all of them.
async fn every_write(world: &World, token: &Token) -> Vec<(&'static str, Result<(), Error>)> {
    let sessions = &world.sessions;
    let lifetime = Lifetime::idle(MINUTE).unwrap();
    vec![
        ("set", sessions.set(token, &vec![2]).await),
        ("set_with_lifetime", sessions.set_with_lifetime(token, &vec![2], lifetime).await),
        ("update", sessions.update(token, |data| data.push(2)).await),
        ("touch", sessions.touch(token).await.map(drop)),
        ("regenerate", sessions.regenerate(token).await.map(drop)),
        ("regenerate_with", sessions.regenerate_with(token, &vec![2]).await.map(drop)),
        ("reauthenticate", sessions.reauthenticate(token).await.map(drop)),
    ]
}

#[tokio::test]
async fn no_write_makes_or_revives_a_session() {
    let world = world();
    let unknown = Token::parse("a-token-that-the-client-chose").unwrap();
    let (destroyed, expired) = (world.create().await.token, world.create().await.token);
    world.sessions.destroy(&destroyed).await.unwrap();
    world.clock.advance(30 * MINUTE);
    for token in [unknown, destroyed, expired] {
        for (operation, result) in every_write(&world, &token).await {
            assert!(matches!(result, Err(Error::Gone)), "{operation}: {result:?}");
        }
        assert_eq!(world.data(&token).await, None);
        assert!(!world.sessions.destroy(&token).await.unwrap());
        assert!(world.sessions.take(&token).await.unwrap().is_none());
    }
    assert_eq!(world.sessions.count().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_destroyed_while_others_write_stays_dead() {
    let world = Arc::new(world());
    for round in 0..1_000_u32 {
        let issued = Arc::new(world.create().await);
        let others: Vec<_> = (0..3)
            .map(|writer| {
                let (world, issued) = (world.clone(), issued.clone());
                tokio::spawn(async move {
                    for _ in 0..(round + writer) % 4 {
                        tokio::task::yield_now().await;
                    }
                    match (round + writer) % 3 {
                        0 => world.sessions.set(&issued.token, &vec![2]).await,
                        1 => world.sessions.update(&issued.token, |data| data.push(2)).await,
                        _ => world.sessions.touch(&issued.token).await.map(drop),
                    }
                })
            })
            .collect();
        for _ in 0..round % 5 {
            tokio::task::yield_now().await;
        }
        assert!(world.sessions.destroy(&issued.token).await.unwrap());
        for other in others {
            let result = other.await.unwrap();
            assert!(matches!(result, Ok(()) | Err(Error::Gone)), "{result:?}");
        }
        assert_eq!(world.data(&issued.token).await, None);
    }
    assert_eq!(world.sessions.count().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_updates_at_once_all_count() {
    let world = Arc::new(world());
    let issued = Arc::new(world.create().await);
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let (world, issued) = (world.clone(), issued.clone());
            tokio::spawn(
                async move { world.sessions.update(&issued.token, |data| data[0] += 1).await },
            )
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(world.data(&issued.token).await.unwrap(), [1_001]);
}

#[tokio::test]
async fn each_operation_is_one_call_to_the_store_and_an_update_is_two() {
    let world = world();
    let sessions = &world.sessions;
    world.sessions.create_with(&vec![], &owner("anna")).await.unwrap();
    assert_eq!(world.store.calls(), 1, "create");
    let token = world.create().await.token;
    sessions.get(&token).await.unwrap();
    assert_eq!(world.store.calls(), 1, "get");
    sessions.get_and_touch(&token).await.unwrap();
    assert_eq!(world.store.calls(), 1, "get_and_touch");
    sessions.set(&token, &vec![2]).await.unwrap();
    assert_eq!(world.store.calls(), 1, "set");
    sessions.update(&token, |data| data.push(3)).await.unwrap();
    assert_eq!(world.store.calls(), 2, "update");
    sessions.update(&token, |_| ()).await.unwrap();
    assert_eq!(world.store.calls(), 1, "an update that changes nothing");
    sessions.touch(&token).await.unwrap();
    assert_eq!(world.store.calls(), 1, "touch");
    let token = sessions.regenerate(&token).await.unwrap().token;
    assert_eq!(world.store.calls(), 1, "regenerate");
    let token = sessions.regenerate_with(&token, &vec![4]).await.unwrap().token;
    assert_eq!(world.store.calls(), 1, "regenerate_with");
    let anna = Owner::new("anna").unwrap();
    sessions.destroy_others(&anna, &token).await.unwrap();
    assert_eq!(world.store.calls(), 1, "destroy_others");
    sessions.destroy(&token).await.unwrap();
    assert_eq!(world.store.calls(), 1, "destroy");
}

#[tokio::test]
async fn get_restarts_the_idle_timeout_if_auto_touch_is_on() {
    for (auto_touch, alive) in [(true, true), (false, false)] {
        let world = world_with(|builder| builder.auto_touch(auto_touch));
        let token = world.create().await.token;
        world.clock.advance(20 * MINUTE);
        world.sessions.get(&token).await.unwrap().unwrap();
        world.clock.advance(20 * MINUTE);
        assert_eq!(world.data(&token).await.is_some(), alive);
    }
}

#[tokio::test]
async fn getting_has_a_form_that_always_and_one_that_never_touches() {
    let world = world_with(|builder| builder.auto_touch(false));
    let (touched, untouched) = (world.create().await.token, world.create().await.token);
    world.clock.advance(20 * MINUTE);
    world.sessions.get_and_touch(&touched).await.unwrap().unwrap();
    world.sessions.get_untouched(&untouched).await.unwrap().unwrap();
    world.clock.advance(20 * MINUTE);
    assert!(world.data(&touched).await.is_some());
    assert!(world.data(&untouched).await.is_none());
}

#[tokio::test]
async fn a_touch_renews_the_sessions_own_lifetime_and_never_passes_its_absolute_one() {
    let world = world();
    let lifetime = Lifetime::idle(2 * MINUTE).unwrap().and_absolute(5 * MINUTE).unwrap();
    let new = NewSession::new().lifetime(lifetime);
    let issued = world.sessions.create_with(&vec![], &new).await.unwrap();
    assert_eq!(issued.expires_in, 2 * MINUTE);
    for minutes_left in [2, 2, 2, 2, 1] {
        assert_eq!(world.sessions.touch(&issued.token).await.unwrap(), minutes_left * MINUTE);
        world.clock.advance(MINUTE);
    }
    assert!(world.sessions.get(&issued.token).await.unwrap().is_none());
}

#[tokio::test]
async fn a_session_ends_at_most_the_touch_interval_early_and_never_late() {
    let world = world_with(|builder| builder.touch_interval(MINUTE));
    let token = world.create().await.token;
    // A use within the interval is not written ...
    world.clock.advance(MINUTE - Duration::from_millis(1));
    world.sessions.get(&token).await.unwrap().unwrap();
    // ... so the session ends 30 minutes after the touch before it.
    world.clock.advance(29 * MINUTE);
    assert!(world.data(&token).await.is_some());
    world.clock.advance(Duration::from_millis(1));
    assert!(world.data(&token).await.is_none());
}

#[tokio::test]
async fn a_new_lifetime_begins_when_it_is_set() {
    let world = world();
    let token = world.create().await.token;
    world.clock.advance(10 * MINUTE);
    let lifetime = Lifetime::absolute(5 * MINUTE).unwrap();
    world.sessions.set_with_lifetime(&token, &vec![7], lifetime).await.unwrap();
    world.clock.advance(4 * MINUTE);
    assert_eq!(world.data(&token).await, Some(vec![7]));
    world.clock.advance(MINUTE);
    assert_eq!(world.data(&token).await, None);
}

#[tokio::test]
async fn a_regenerated_session_keeps_all_but_its_token() {
    let world = world();
    let lifetime = Lifetime::idle(10 * MINUTE).unwrap().and_absolute(20 * MINUTE).unwrap();
    let new = owner("anna").label(Label::new("phone").unwrap()).lifetime(lifetime);
    let old = world.sessions.create_with(&vec![5], &new).await.unwrap();
    let before = world.sessions.get_untouched(&old.token).await.unwrap().unwrap();
    world.clock.advance(5 * MINUTE);
    let new = world.sessions.regenerate(&old.token).await.unwrap();
    assert_eq!(new.expires_in, 10 * MINUTE);
    assert_eq!(world.data(&old.token).await, None);
    let after = world.sessions.get_untouched(&new.token).await.unwrap().unwrap();
    assert_eq!(after.data, [5]);
    assert_eq!((&new.key, &after.key), (&old.key, &old.key));
    assert_eq!(after.meta.owner, before.meta.owner);
    assert_eq!(after.details, before.details);
    assert_eq!(after.details.label().unwrap().as_str(), "phone");
    assert_eq!(after.meta.deadline, before.meta.deadline);
    assert_eq!(after.meta.created_at, before.meta.created_at);
    assert_eq!(after.meta.authenticated_at, before.meta.authenticated_at);
}

#[tokio::test]
async fn reauthentication_restarts_both_timeouts_and_is_fresh() {
    let world = world();
    let lifetime = Lifetime::idle(10 * MINUTE).unwrap().and_absolute(15 * MINUTE).unwrap();
    let old = world.sessions.create_with(&vec![], &owner("anna").lifetime(lifetime)).await.unwrap();
    world.clock.advance(9 * MINUTE);
    let stale = world.sessions.get_untouched(&old.token).await.unwrap().unwrap();
    assert!(!stale.meta.is_fresh(5 * MINUTE));
    let new = world.sessions.reauthenticate(&old.token).await.unwrap();
    assert_eq!(world.data(&old.token).await, None);
    world.clock.advance(9 * MINUTE);
    let session = world.sessions.get(&new.token).await.unwrap().unwrap();
    assert!(session.meta.is_fresh(9 * MINUTE));
    assert_eq!(session.meta.expires_in(), 6 * MINUTE);
}

#[tokio::test]
async fn a_session_is_taken_once() {
    let world = world();
    let token = world.create().await.token;
    assert_eq!(world.sessions.take(&token).await.unwrap().unwrap().data, [1]);
    assert!(world.sessions.take(&token).await.unwrap().is_none());
}

#[tokio::test]
async fn an_owner_sees_and_ends_their_sessions_and_nobody_elses() {
    let world = world();
    let (anna, bert) = (Owner::new("anna").unwrap(), Owner::new("bert").unwrap());
    let mut tokens = vec![];
    for device in ["phone", "laptop", "tablet"] {
        let new = owner("anna").label(Label::new(device).unwrap());
        tokens.push(world.sessions.create_with(&vec![], &new).await.unwrap());
        world.clock.advance(MINUTE);
    }
    let other = world.sessions.create_with(&vec![], &owner("bert")).await.unwrap();

    let listed = world.sessions.owned(&anna, 10).await.unwrap();
    let labels = listed.iter().map(|session| session.details.label().unwrap());
    let labels: Vec<_> = labels.map(|label| label.as_str().to_owned()).collect();
    assert_eq!(labels, ["tablet", "laptop", "phone"]);
    assert_eq!(world.sessions.owned(&anna, 2).await.unwrap().len(), 2);

    assert!(!world.sessions.destroy_owned(&bert, &tokens[0].key).await.unwrap());
    assert!(world.sessions.destroy_owned(&anna, &tokens[0].key).await.unwrap());
    assert_eq!(world.sessions.owned(&anna, 10).await.unwrap().len(), 2);

    world.sessions.destroy_others(&anna, &tokens[2].token).await.unwrap();
    assert!(world.data(&tokens[1].token).await.is_none());
    assert!(world.data(&tokens[2].token).await.is_some());

    world.sessions.destroy_all(&anna).await.unwrap();
    assert!(world.data(&tokens[2].token).await.is_none());
    assert!(world.sessions.owned(&anna, 10).await.unwrap().is_empty());
    assert!(world.data(&other.token).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_logins_at_once_with_a_limit_of_three_leave_three() {
    let three = 3.try_into().unwrap();
    for (limit, refused) in [(OwnerLimit::reject(three), 97), (OwnerLimit::evict_oldest(three), 0)]
    {
        let world = Arc::new(world_with(|builder| builder.owner_limit(limit)));
        let logins: Vec<_> = (0..100)
            .map(|_| {
                let world = world.clone();
                tokio::spawn(
                    async move { world.sessions.create_with(&vec![], &owner("anna")).await },
                )
            })
            .collect();
        let mut alive = 0;
        let mut rejected = 0;
        for login in logins {
            match login.await.unwrap() {
                Ok(issued) => alive += usize::from(world.data(&issued.token).await.is_some()),
                Err(Error::TooManySessions { max: 3 }) => rejected += 1,
                Err(error) => panic!("{error}"),
            }
        }
        let listed = world.sessions.owned(&Owner::new("anna").unwrap(), 100).await.unwrap();
        assert_eq!((listed.len(), rejected), (3, refused));
        assert!(limit.evicts() || alive == 3);
        assert_eq!(world.sessions.count().await.unwrap(), 3);
    }
}

#[tokio::test]
async fn events_tell_keys_in_order() {
    let world = world_with(|builder| builder.touch_interval(Duration::ZERO));
    let mut events = world.sessions.subscribe();
    let issued = world.sessions.create(&vec![]).await.unwrap();
    world.sessions.get(&issued.token).await.unwrap();
    world.sessions.get_untouched(&issued.token).await.unwrap();
    let new = world.sessions.regenerate(&issued.token).await.unwrap();
    world.sessions.destroy(&new.token).await.unwrap();
    world.sessions.destroy(&new.token).await.unwrap();
    let expired = world.sessions.create(&vec![]).await.unwrap();
    world.clock.advance(30 * MINUTE);
    world.sessions.sweep(10).await.unwrap();
    let (key, expired) = (issued.key, expired.key);
    for expected in [
        Event::Created { key: key.clone() },
        Event::Touched { key: key.clone() },
        Event::Regenerated { key: key.clone() },
        Event::Destroyed { key },
        Event::Created { key: expired.clone() },
        Event::Expired { key: expired },
    ] {
        assert_eq!(events.next().await, Some(expected));
    }
}

#[tokio::test]
async fn data_over_the_limit_is_refused_before_the_store_is_asked() {
    let world = world_with(|builder| builder.max_size(10));
    let token = world.create().await.token;
    let large = vec![1_000; 10];
    for result in
        [world.sessions.create(&large).await.map(drop), world.sessions.set(&token, &large).await]
    {
        assert!(matches!(result, Err(Error::TooLarge { size: 51, max: 10 })), "{result:?}");
    }
    assert_eq!(world.store.calls(), 0);
    assert_eq!(world.data(&token).await, Some(vec![1]));
}

#[tokio::test]
async fn data_that_has_no_encoding_is_refused() {
    let sessions = TokenSession::<std::collections::BTreeMap<Vec<u8>, u8>>::in_memory();
    let result = sessions.create(&[(vec![1], 1)].into()).await;
    assert!(matches!(result, Err(Error::Encode(_))), "{result:?}");
    assert_eq!(sessions.count().await.unwrap(), 0);
}

#[tokio::test]
async fn garbage_in_the_store_is_an_error_that_names_the_key_and_is_left_there() {
    let world = world();
    let issued = world.create().await;
    let garbage = Write::data(Bytes::from_static(b"\xff\x00 no JSON"));
    world.store.replace(&issued.key, &garbage).await.unwrap();
    let error = world.sessions.get(&issued.token).await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }));
    let text = error.to_string();
    assert!(text.contains(&issued.key.to_string()) && !text.contains(issued.token.reveal()));

    let healthy = world.create().await;
    let page = world.sessions.all(None, 10).await.unwrap();
    let readable: Vec<_> = page.sessions.iter().flatten().map(|session| &session.key).collect();
    assert_eq!((page.sessions.len(), readable), (2, vec![&healthy.key]));
    world.sessions.set(&issued.token, &vec![9]).await.unwrap();
    assert_eq!(world.data(&issued.token).await, Some(vec![9]));
}

#[tokio::test]
async fn a_token_without_the_prefix_costs_the_store_nothing() {
    let world = world_with(|builder| builder.prefix("acme_"));
    let issued = world.create().await;
    assert!(issued.token.reveal().starts_with("acme_"));
    assert!(world.sessions.get(&Token::random("").unwrap()).await.unwrap().is_none());
    assert_eq!(world.store.calls(), 0);
    assert!(world.sessions.get(&issued.token).await.unwrap().is_some());
}

#[tokio::test]
async fn a_generator_that_repeats_itself_is_found_out() {
    let sessions = TokenSession::<u32>::builder()
        .generator(|_: Origin<'_>| Token::parse("always-the-same"))
        .build()
        .unwrap();
    sessions.create(&1).await.unwrap();
    assert!(matches!(sessions.create(&2).await, Err(Error::NotRandom { .. })));
    let token = Token::parse("always-the-same").unwrap();
    assert_eq!(sessions.get(&token).await.unwrap().unwrap().data, 1);
}

#[tokio::test]
async fn a_regenerated_generated_token_has_the_crates_own_form_and_the_same_key() {
    let sessions = TokenSession::<u32>::builder()
        .prefix("acme_")
        .generator(|_: Origin<'_>| Token::random("acme_of-a-tenant_"))
        .build()
        .unwrap();
    let first = sessions.create(&1).await.unwrap();
    let second = sessions.regenerate_with(&first.token, &2).await.unwrap();
    assert_eq!(second.key, first.key);
    assert!(second.token.reveal().starts_with(&format!("acme_{}.", first.key)));
    assert!(sessions.get(&first.token).await.unwrap().is_none());
    assert_eq!(sessions.get(&second.token).await.unwrap().unwrap().data, 2);
}

#[tokio::test]
async fn a_generator_whose_tokens_look_like_the_crates_own_is_refused() {
    let look_alike = |_: Origin<'_>| {
        Token::parse(&format!("acme_{}.{}", Key::from_bytes([7; 16]), "s".repeat(22)))
    };
    let refused = TokenSession::<u32>::builder().prefix("acme_").generator(look_alike).build();
    assert!(matches!(refused, Err(TokenError::OwnForm)));
}

#[tokio::test]
async fn who_knows_a_sessions_key_and_no_secret_can_do_nothing() {
    let world = world();
    let issued = world.create().await;
    let made_up = Token::parse(&format!("{}.{}", issued.key, "A".repeat(22))).unwrap();
    for (operation, result) in every_write(&world, &made_up).await {
        assert!(matches!(result, Err(Error::Gone)), "{operation}: {result:?}");
    }
    assert!(world.sessions.get(&made_up).await.unwrap().is_none());
    assert!(world.sessions.take(&made_up).await.unwrap().is_none());
    assert!(!world.sessions.destroy(&made_up).await.unwrap());
    assert_eq!(world.data(&issued.token).await, Some(vec![1]));
}

#[tokio::test]
async fn an_old_token_can_do_nothing_after_a_regenerate() {
    let world = world();
    let old = world.create().await;
    let new = world.sessions.regenerate(&old.token).await.unwrap();
    for (operation, result) in every_write(&world, &old.token).await {
        assert!(matches!(result, Err(Error::Gone)), "{operation}: {result:?}");
    }
    assert!(!world.sessions.destroy(&old.token).await.unwrap());
    assert_eq!(world.data(&new.token).await, Some(vec![1]));
}

#[tokio::test]
async fn a_write_that_was_begun_with_the_old_token_does_not_reach_the_session() {
    let world = world();
    let old = world.create().await;
    let mut tries = 0;
    let (sessions, token) = (&world.sessions, &old.token);
    let written = sessions.update(token, |data| {
        tries += 1;
        if tries == 1 {
            // Another request regenerates the session between the load and the write.
            let regenerated = futures_util::FutureExt::now_or_never(sessions.regenerate(token));
            assert!(regenerated.is_some_and(|regenerated| regenerated.is_ok()));
        }
        data.push(2);
    });
    assert!(matches!(written.await, Err(Error::Gone)));
    assert_eq!(tries, 1);
}

#[tokio::test]
async fn another_key_of_the_proof_scheme_opens_nothing() {
    let store = Memory::new();
    let with = |scheme| {
        TokenSession::<u32>::builder().store(store.clone()).proof_scheme(scheme).build().unwrap()
    };
    let ring = |id, key: &[u8; 32]| KeyRing::new(id, key).unwrap();
    let (one, two) = (ring(1, &[1; 32]), ring(2, &[2; 32]));
    let plain = with(ProofScheme::sha256()).create(&0).await.unwrap();
    let issued = with(ProofScheme::hmac_sha256(one.clone())).create(&1).await.unwrap();
    let both = ProofScheme::hmac_sha256(ring(2, &[2; 32]).and_verify(1, &[1; 32]).unwrap());
    for (scheme, opens, opens_plain) in [
        (ProofScheme::hmac_sha256(one), true, false),
        (ProofScheme::hmac_sha256(two), false, false),
        (both.clone(), true, false),
        (both.and_sha256(), true, true),
        (ProofScheme::sha256(), false, true),
    ] {
        let sessions = with(scheme);
        assert_eq!(sessions.get(&issued.token).await.unwrap().is_some(), opens);
        assert_eq!(sessions.get(&plain.token).await.unwrap().is_some(), opens_plain);
    }
}

#[tokio::test]
async fn message_pack_keeps_what_json_keeps() {
    let sessions = TokenSession::builder().codec(MessagePack).build().unwrap();
    let data = (String::from("Anna"), vec![Some(1.5), None], u64::MAX);
    let issued = sessions.create(&data).await.unwrap();
    assert_eq!(sessions.get(&issued.token).await.unwrap().unwrap().data, data);
}

#[tokio::test]
async fn all_sessions_are_listed_page_by_page() {
    let world = world();
    let mut expected = vec![];
    for _ in 0..25 {
        expected.push(world.create().await.key);
    }
    let (mut seen, mut after): (Vec<Key>, _) = (vec![], None);
    loop {
        let page = world.sessions.all(after.as_ref(), 10).await.unwrap();
        seen.extend(page.sessions.into_iter().map(|session| session.unwrap().key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);
    assert_eq!(world.sessions.count().await.unwrap(), 25);
    world.sessions.clear().await.unwrap();
    assert_eq!(world.sessions.count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_store_that_is_down_is_an_error_to_retry() {
    let world = world();
    let token = world.create().await.token;
    world.store.set_down(true);
    let error = world.sessions.get(&token).await.unwrap_err();
    assert!(error.is_retryable() && matches!(error, Error::Store(_)));
    world.store.set_down(false);
    assert!(world.sessions.get(&token).await.unwrap().is_some());
}

#[tokio::test]
async fn nothing_that_is_printed_holds_a_token() {
    let world = world();
    let issued = world.create().await;
    let session = world.sessions.get(&issued.token).await.unwrap().unwrap();
    let printed = format!("{:?} {issued:?} {session:?} {:?}", world.sessions, issued.token);
    assert!(!printed.contains(issued.token.reveal()), "{printed}");
}
