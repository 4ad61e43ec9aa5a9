//! What a SQL store tells of: rows that it swept.

use std::sync::{Arc, OnceLock};

use crate::event::{Event, Events};
use crate::token::Key;

/// Where a store tells its events, once a manager has said where.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Telling(Arc<OnceLock<Events>>);

impl Telling {
    /// The first manager hears of them: a store is one manager's.
    pub fn attach(&self, events: &Events) {
        let _ = self.0.set(events.clone());
    }

    pub fn expired(&self, keys: impl IntoIterator<Item = Key>) {
        if let Some(events) = self.0.get() {
            for key in keys {
                events.tell(|| Event::Expired { key });
            }
        }
    }
}
