//! What is left to do for sessions once a handler has answered, whatever server it ran on.

use http::header::{CACHE_CONTROL, HeaderName, HeaderValue};

use super::rejection::Rejection;
use super::request::SessionState;
use super::sessions::Sessions;

impl<T: Send + Sync + 'static> Sessions<T> {
    /// Whether there is anything to [commit](Self::commit).
    pub(super) fn has_changes(&self) -> bool {
        matches!(self.request.progress().state, SessionState::Changed(_) | SessionState::Contended)
    }

    /// Writes what the handlers changed.
    pub(super) async fn commit(self) -> Result<(), Rejection> {
        let request = &self.request;
        let current = std::mem::replace(&mut request.progress().state, SessionState::Gone);
        match current {
            SessionState::Changed(mut loaded) => {
                let written = request.layer.manager.set_loaded(&mut loaded).await;
                written.map(drop).map_err(|error| request.reject(error, &loaded.key))
            }
            SessionState::Contended => Err(Rejection::Conflict),
            SessionState::Clean(_) | SessionState::Gone | SessionState::Unasked => Ok(()),
        }
    }

    /// Whether somebody asked for the session, so that the answer is for this client alone.
    pub(super) fn was_asked(&self) -> bool {
        self.request.progress().asked
    }

    /// The headers of a new token, if there is one. It goes out whatever the answer is, since the
    /// old one may be dead.
    pub(super) fn outgoing(&self) -> Option<[(HeaderName, HeaderValue); 2]> {
        let token = self.request.progress().outgoing.take()?.value;
        let name = self.request.layer.transport.header.clone();
        Some([(name, token), (CACHE_CONTROL, HeaderValue::from_static("no-store"))])
    }
}
