//! [`Connectivity`]: whether Redis is within reach, told to those who asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::event::{Event, Events, Listeners};
use crate::store::{Result, StoreError};

/// For so long nothing may have failed before Redis counts as within reach again. While one master
/// of a Cluster is away, calls fail and succeed in turns.
const SETTLED: Duration = Duration::from_secs(1);

/// Tells of the store's connection, to every manager that uses the store.
#[derive(Debug, Default)]
pub(super) struct Connectivity {
    is_up: AtomicBool,
    last_failure: Mutex<Option<Instant>>,
    listeners: Listeners,
}

impl Connectivity {
    pub(super) fn attach(&self, events: &Events) {
        self.listeners.attach(events);
    }

    /// A call has succeeded. Costs one load while all is well.
    pub(super) fn succeeded(&self) {
        if self.is_up.load(Ordering::Relaxed) {
            return;
        }
        let last_failure = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        if last_failure.is_none_or(|at| at.elapsed() > SETTLED)
            && !self.is_up.swap(true, Ordering::Relaxed)
        {
            self.tell(&Event::Connected);
        }
    }

    /// A call has failed for want of a connection.
    pub(super) fn failed(&self) {
        let mut last_failure = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        *last_failure = Some(Instant::now());
        if self.is_up.swap(false, Ordering::Relaxed) {
            self.tell(&Event::Disconnected);
        }
    }

    /// What a listing has found, the damaged records apart; those are told.
    pub(super) fn readable<T>(
        &self,
        found: impl IntoIterator<Item = Result<T>>,
    ) -> Result<(Vec<T>, Vec<StoreError>)> {
        self.listeners.readable(found)
    }

    fn tell(&self, event: &Event) {
        self.listeners.tell(|| event.clone());
    }
}
