//! [`Presence`]: whether MongoDB takes writes, told to the managers.

use mongodb::event::sdam::SdamEvent;

use crate::event::{Event, Events, Listeners};

/// Tells what the driver learns of the servers. The driver watches them by itself, on connections of
/// its own, for clients that the store has opened.
#[derive(Debug, Default)]
pub(super) struct Presence {
    listeners: Listeners,
}

impl Presence {
    pub(super) fn attach(&self, events: &Events) {
        self.listeners.attach(events);
    }

    /// Whom the store tells what only it knows.
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
