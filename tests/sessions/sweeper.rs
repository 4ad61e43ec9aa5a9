//! What the manager's sweeper does by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use token_session::Event;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use crate::manager::{MINUTE, World, world};

/// Until nothing but the test has the store: the manager is dropped, and the sweeper's task is gone.
async fn until_nobody_sweeps(World { sessions, store, .. }: World) {
    drop(sessions);
    let is_free = async {
        while Arc::strong_count(&store) > 1 {
            yield_now().await;
        }
    };
    timeout(MINUTE, is_free).await.expect("the sweeper ends");
}

#[tokio::test]
async fn a_sweeper_frees_expired_sessions_until_it_is_dropped() {
    let world = world();
    world.create().await;
    world.clock.advance(30 * MINUTE);
    let mut events = world.sessions.subscribe();
    let sweeper = world.sessions.spawn_sweeper(Duration::ZERO);
    assert!(matches!(events.next().await, Some(Event::Expired { .. })));
    drop((sweeper, events));
    until_nobody_sweeps(world).await;
}

#[tokio::test]
async fn a_sweeper_sweeps_once_a_second_at_most() {
    let sweepers: JoinSet<_> = [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(1)]
        .into_iter()
        .map(|every| async move {
            let world = world();
            let began = Instant::now();
            let _sweeper = world.sessions.spawn_sweeper(every);
            let mut sweeps = 0;
            while sweeps == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
                sweeps = world.store.calls();
            }
            (every, sweeps, began.elapsed())
        })
        .collect();
    for (every, sweeps, took) in sweepers.join_all().await {
        assert!(sweeps as u64 <= took.as_secs(), "{sweeps} in {took:?} with {every:?}");
    }
}

#[tokio::test]
async fn a_sweeper_with_an_endless_pause_waits() {
    let world = world();
    let _sweeper = world.sessions.spawn_sweeper(Duration::MAX);
    let store = Arc::clone(&world.store);
    drop(world);
    for _ in 0..10 {
        yield_now().await;
    }
    assert_eq!(store.calls(), 0);
    assert!(Arc::strong_count(&store) > 1, "its task has ended");
}
