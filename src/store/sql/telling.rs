//! What a SQL store tells of: rows that it swept.

use std::sync::{Arc, Mutex, PoisonError};

use crate::event::{Event, Events};
use crate::token::Key;

/// The managers that a store tells its events.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Telling(Arc<Mutex<Vec<Events>>>);

impl Telling {
    pub fn attach(&self, events: &Events) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(events.clone());
    }

    pub fn expired<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        // Without the lock: telling wakes whoever waits.
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for key in keys {
            for events in &all {
                events.tell(|| Event::Expired { key: key.clone() });
            }
        }
    }
}
