//! [`Connectivity`]: tells the managers when MongoDB starts or stops taking writes.

use mongodb::event::sdam::SdamEvent;

use crate::event::{Event, Events, Listeners};

/// Tells what the driver learns about the servers. The driver watches them on connections of its own.
/// It tells only the stores that have opened their client themselves.
#[derive(Debug, Default)]
pub(super) struct Connectivity {
    listeners: Listeners,
}

impl Connectivity {
    pub(super) fn attach(&self, events: &Events) {
        self.listeners.attach(events);
    }

    /// The managers that use the store.
    pub(super) fn listeners(&self) -> &Listeners {
        &self.listeners
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
        self.listeners.tell(|| event.clone());
    }
}
