//! [`Connectivity`]: tells whether Redis can be reached.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::event::{Event, Events, Listeners};
use crate::store::{Result, StoreError};

/// How long no call may have failed before Redis counts as reachable again. While one master of a
/// Cluster is away, some calls fail and some succeed.
const SETTLED: Duration = Duration::from_secs(1);

/// Tells every manager that uses the store when its connection comes or goes.
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

    /// A call has succeeded. Costs one atomic load while all is well.
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

    /// A call has failed because there was no connection.
    pub(super) fn failed(&self) {
        let mut last_failure = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        *last_failure = Some(Instant::now());
        if self.is_up.swap(false, Ordering::Relaxed) {
            self.tell(&Event::Disconnected);
        }
    }

    /// Separates the records that a list has found from the damaged ones, and tells of these.
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
