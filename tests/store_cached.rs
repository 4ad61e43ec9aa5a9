//! The cached store in front of a memory store: the contract, and what is its own.

use std::time::Duration;

use token_session::store::conformance::Harness;
use token_session::store::{Cached, ManualClock, Memory};

#[path = "store_cached/far.rs"]
mod far;
#[path = "store_cached/staleness.rs"]
mod staleness;
#[path = "store_cached/watching.rs"]
mod watching;

/// Both stores go by one clock, which the suite moves.
#[derive(Default)]
struct InFrontOfMemory(ManualClock);

impl Harness for InFrontOfMemory {
    type Store = Cached;

    async fn store(&self) -> Self::Store {
        let far = Memory::builder().clock(self.0.clone()).build();
        Cached::builder(far)
            .clock(self.0.clone())
            .staleness(Duration::from_secs(60))
            .build()
            .expect("a minute is a staleness")
    }

    async fn pass(&self, time: Duration) {
        self.0.advance(time);
    }
}

token_session::conformance_suite!(InFrontOfMemory::default());
