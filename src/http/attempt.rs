//! Tells the attempts of a request apart, where a layer further in repeats it.
//!
//! Such a layer copies the request, extensions and all, before it hands one of the two on. So a copy
//! of the extensions is another attempt, and what an earlier attempt left unwritten is dropped when a
//! later one asks for its session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::request::{RequestSession, SessionState};
use super::sessions::Sessions;

/// Goes along in the extensions of a request beside [`Sessions`], and counts how often they are
/// copied. Nobody else can name the type, so nothing else clones it.
pub(super) struct Copies<T>(pub(super) Arc<RequestSession<T>>);

impl<T> Clone for Copies<T> {
    fn clone(&self) -> Self {
        self.0.attempts.copies.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

#[derive(Default)]
pub(super) struct Attempts {
    /// How often the extensions were copied.
    copies: AtomicU32,
    /// How often that was done to the handle in the extensions: by a copy, or by a service that took
    /// it from there.
    clones: AtomicU32,
}

impl<T> Sessions<T> {
    /// The same handle in the same attempt.
    pub(super) fn share(&self) -> Self {
        Self { request: Arc::clone(&self.request), attempt: self.attempt, in_extensions: false }
    }
}

impl<T> Clone for Sessions<T> {
    fn clone(&self) -> Self {
        if !self.in_extensions {
            return self.share();
        }
        let request = Arc::clone(&self.request);
        let mut progress = request.progress();
        // What an earlier attempt changed is dropped anyway.
        progress.changed_before_copy |= self.attempt <= progress.attempt
            && matches!(progress.state, SessionState::Changed(_) | SessionState::Contended);
        drop(progress);
        let attempt = 1 + request.attempts.clones.fetch_add(1, Ordering::Relaxed);
        Self { request, attempt, in_extensions: true }
    }
}

impl<T: Send + Sync + 'static> Sessions<T> {
    /// This handle's attempt goes on now; what an earlier one left unwritten is dropped.
    pub(super) fn enter(&self) {
        let Attempts { copies, clones } = &self.request.attempts;
        let mut progress = self.request.progress();
        // A service that clones the handle by itself looks like a copy, so then none can be told.
        let is_later = self.attempt > progress.attempt
            && copies.load(Ordering::Relaxed) == clones.load(Ordering::Relaxed);
        if !is_later {
            return;
        }
        progress.attempt = self.attempt;
        if let SessionState::Changed(loaded) = &progress.state {
            progress.state = if progress.changed_before_copy {
                // A layer further out has changed it too, and the two are one change by now.
                SessionState::Contended
            } else {
                SessionState::of(loaded)
            };
        }
    }
}
