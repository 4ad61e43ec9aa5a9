//! [`Event`]: what happened to a session, told by its key, never its token.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use tokio::sync::broadcast;

#[cfg(any(
    feature = "mongodb",
    feature = "mysql",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]
use crate::error::{StoreError, StoreErrorKind};
use crate::key::Key;

/// How many events a subscriber may lag behind before it loses the oldest.
const BACKLOG: usize = 1024;

/// What happened in this process. Another application server tells its own events.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use token_session::{Event, TokenSession};
///
/// let sessions = TokenSession::<u32>::in_memory();
/// let mut events = sessions.subscribe();
/// sessions.create(&1).await?;
/// assert!(matches!(events.next().await, Some(Event::Created { .. })));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A session began.
    Created {
        /// Its key.
        key: Key,
    },
    /// A session's idle timeout restarted. A touch within the touch interval is not told.
    Touched {
        /// Its key.
        key: Key,
    },
    /// A session has a new token. It keeps its key.
    Regenerated {
        /// Its key.
        key: Key,
    },
    /// A session has a new token, in a format in which the id is the token
    /// ([`Moves`](crate::store::Moves)): it has a new key.
    Moved {
        /// The key that is dead.
        old: Key,
        /// The key that took its place.
        new: Key,
    },
    /// A session was ended.
    Destroyed {
        /// Its key.
        key: Key,
    },
    /// All sessions of an owner were ended, except perhaps the one that asked for it.
    OwnerDestroyed {
        /// The owner's id.
        owner: crate::record::Owner,
        /// The session that was spared.
        kept: Option<Key>,
    },
    /// A session reached the end of its lifetime. Stores that know tell it when they sweep the record.
    Expired {
        /// Its key.
        key: Key,
    },
    /// A listing left a session out, because the bytes under its key are not a record. Told each time a
    /// listing meets it, until
    /// [`destroy_key`](crate::TokenSession::destroy_key) removes it.
    Damaged {
        /// Its key.
        key: Key,
    },
    /// The store is in reach, again or for the first time.
    Connected,
    /// The store is out of reach.
    Disconnected,
}

/// Where events are told: a manager's, and its store's.
///
/// ```
/// use token_session::{Event, Events};
///
/// let events = Events::default();
/// let mut subscription = events.subscribe();
/// events.tell(|| Event::Connected);
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// assert_eq!(subscription.next().await, Some(Event::Connected));
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Events(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sender: broadcast::Sender<Event>,
    /// Counted here because the channel's own count takes a lock, and every touch asks.
    subscribers: AtomicUsize,
}

impl Default for Events {
    fn default() -> Self {
        let (sender, _) = broadcast::channel(BACKLOG);
        Self(Arc::new(Inner { sender, subscribers: AtomicUsize::new(0) }))
    }
}

impl Events {
    /// Tells all subscribers. Without subscribers it costs one atomic load.
    pub fn tell(&self, event: impl FnOnce() -> Event) {
        if self.0.subscribers.load(Ordering::Relaxed) > 0 {
            // Only fails when the last subscriber has just gone.
            let _ = self.0.sender.send(event());
        }
    }

    /// Everything that is told from now on.
    pub fn subscribe(&self) -> Subscription {
        self.0.subscribers.fetch_add(1, Ordering::Relaxed);
        Subscription { receiver: self.0.sender.subscribe(), events: Arc::downgrade(&self.0) }
    }
}

/// The managers that use a store. The store tells them what only it knows.
#[derive(Debug, Default)]
pub(crate) struct Listeners(RwLock<Vec<Weak<Inner>>>);

impl Listeners {
    pub(crate) fn attach(&self, events: &Events) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|events| events.strong_count() > 0);
        all.push(Arc::downgrade(&events.0));
    }

    pub(crate) fn tell(&self, event: impl Fn() -> Event) {
        for events in self.heard() {
            events.tell(&event);
        }
    }

    /// Tells that each of these sessions has expired.
    pub(crate) fn expired<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        let heard = self.heard();
        if !heard.is_empty() {
            for key in keys {
                heard.iter().for_each(|events| events.tell(|| Event::Expired { key: key.clone() }));
            }
        }
    }

    /// Splits what a listing has read into sound and damaged records, and tells the damaged ones. Any
    /// other failure fails the listing.
    #[cfg(any(
        feature = "mongodb",
        feature = "mysql",
        feature = "postgres",
        feature = "redis",
        feature = "sqlite"
    ))]
    pub(crate) fn readable<T>(
        &self,
        found: impl IntoIterator<Item = Result<T, StoreError>>,
    ) -> Result<(Vec<T>, Vec<StoreError>), StoreError> {
        let (mut sound, mut damaged) = (Vec::new(), Vec::new());
        for found in found {
            match found {
                Ok(record) => sound.push(record),
                Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                    self.damaged(&error);
                    damaged.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((sound, damaged))
    }

    #[cfg(any(
        feature = "mongodb",
        feature = "mysql",
        feature = "postgres",
        feature = "redis",
        feature = "sqlite"
    ))]
    fn damaged(&self, error: &StoreError) {
        #[cfg(feature = "tracing")]
        tracing::warn!(%error, "a listing leaves a damaged record out");
        if let Some(key) = error.key() {
            self.tell(|| Event::Damaged { key: key.clone() });
        }
    }

    /// Those with subscribers. They are told without the lock, because telling wakes tasks.
    fn heard(&self) -> Vec<Events> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let heard = |events: &Weak<Inner>| {
            let events = events.upgrade()?;
            (events.subscribers.load(Ordering::Relaxed) > 0).then_some(Events(events))
        };
        all.iter().filter_map(heard).collect()
    }
}

/// Receives [`Event`]s, in order.
///
/// A subscriber that lags 1024 events behind loses the oldest; [`next`](Self::next) continues with the
/// rest.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Event>,
    events: Weak<Inner>,
}

impl Subscription {
    /// The next event; `None` when the manager and its store are gone.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Closed) => return None,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(events) = self.events.upgrade() {
            events.subscribers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dropped_manager_is_forgotten_and_the_others_are_told() {
        let listeners = Listeners::default();
        let stays = Events::default();
        let mut told = stays.subscribe();
        listeners.attach(&stays);
        for _ in 0..100 {
            let goes = Events::default();
            let mut ended = goes.subscribe();
            listeners.attach(&goes);
            drop(goes);
            assert_eq!(ended.next().await, None);
        }
        assert!(listeners.0.read().unwrap().len() <= 2);
        listeners.tell(|| Event::Connected);
        assert_eq!(told.next().await, Some(Event::Connected));
    }
}
