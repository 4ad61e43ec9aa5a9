//! What the manager's sweeper does by itself.

use std::time::Duration;

use token_session::Event;

use crate::manager::{MINUTE, world};

#[tokio::test]
async fn a_sweeper_frees_expired_sessions_until_it_is_dropped() {
    let world = world();
    world.create().await;
    world.clock.advance(30 * MINUTE);
    let mut events = world.sessions.subscribe();
    let sweeper = world.sessions.spawn_sweeper(Duration::ZERO);
    assert!(matches!(events.next().await, Some(Event::Expired { .. })));
    drop(sweeper);
    tokio::task::yield_now().await;
    world.store.calls();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(world.store.calls(), 0);
}

#[tokio::test]
async fn a_sweeper_sweeps_once_a_second_at_most() {
    let world = world();
    for every in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(1)] {
        world.store.calls();
        let began = std::time::Instant::now();
        let sweeper = world.sessions.spawn_sweeper(every);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let sweeps = world.store.calls();
        drop(sweeper);
        assert!(sweeps as u64 <= began.elapsed().as_secs(), "{sweeps} sweeps with {every:?}");
    }
}

#[tokio::test]
async fn a_sweeper_with_an_endless_pause_waits() {
    let world = world();
    world.store.calls();
    let _sweeper = world.sessions.spawn_sweeper(Duration::MAX);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(world.store.calls(), 0);
}
