//! [`Presence`]: whether MongoDB takes writes, told to the managers.

use std::sync::{PoisonError, RwLock};

use mongodb::event::sdam::SdamEvent;

use crate::event::{Event, Events};

/// Tells what the driver learns of the servers. The driver watches them by itself, on connections of
/// its own, for clients that the store has opened.
#[derive(Debug, Default)]
pub(super) struct Presence {
    listeners: RwLock<Vec<Events>>,
}

impl Presence {
    pub(super) fn attach(&self, events: &Events) {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.push(events.clone());
    }

    pub(super) fn hear(&self, event: &SdamEvent) {
        let SdamEvent::TopologyDescriptionChanged(change) = event else {
            return;
        };
        let event = match (
            change.previous_description.has_writable_server(),
            change.new_description.has_writable_server(),
        ) {
            (false, true) => Event::Connected,
            (true, false) => Event::Disconnected,
            _ => return,
        };
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        for events in listeners.iter() {
            events.tell(|| event.clone());
        }
    }
}
