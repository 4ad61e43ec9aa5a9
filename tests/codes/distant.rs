//! The promises of codes and links, on a store that is some milliseconds away, sometimes more and sometimes
//! less: everything that can come between two calls does.

use std::time::Duration;

use token_session::store::conformance::Harness;
use token_session::store::{ManualClock, Memory};

use super::MILLISECOND;
use super::on_every_store::codes_on_store;
use super::watched::Watched;

#[derive(Default)]
struct Distant(ManualClock);

impl Harness for Distant {
    type Store = Watched;

    async fn store(&self) -> Watched {
        Watched::distant(Memory::builder().clock(self.0.clone()).build(), 5 * MILLISECOND)
    }

    async fn pass(&self, time: Duration) {
        self.0.advance(time);
    }

    fn races(&self) -> usize {
        100
    }
}

codes_on_store!(Distant::default(), rounds: 20);
