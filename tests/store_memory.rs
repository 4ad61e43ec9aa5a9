//! The memory store: the contract, and what is its own.

use std::time::Duration;

use token_session::store::conformance::Harness;
use token_session::store::{ManualClock, Memory};

#[derive(Default)]
struct InMemory(ManualClock);

impl Harness for InMemory {
    type Store = Memory;

    async fn store(&self) -> Memory {
        Memory::builder().clock(self.0.clone()).build()
    }

    async fn pass(&self, time: Duration) {
        self.0.advance(time);
    }
}

mod conformance {
    use super::InMemory;

    token_session::conformance_suite!(InMemory::default());
}
