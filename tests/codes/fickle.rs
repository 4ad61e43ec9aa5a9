//! A clock that breaks its promise never to go back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use token_session::Timestamp;
use token_session::store::Clock;

#[derive(Clone)]
pub struct Fickle(Arc<AtomicU64>);

impl Fickle {
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_000_000_000_000)))
    }

    pub fn advance(&self, time: Duration) {
        self.0.fetch_add(millis(time), Ordering::SeqCst);
    }

    pub fn go_back(&self, time: Duration) {
        self.0.fetch_sub(millis(time), Ordering::SeqCst);
    }
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap()
}

impl Clock for Fickle {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}
