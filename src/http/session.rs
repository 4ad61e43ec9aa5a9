//! [`Session`]: the request's session, as a handler has it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use super::rejection::Rejection;
use super::request::{RequestSession, SessionState};
use crate::key::Key;
use crate::manager::{Issued, Loaded};
use crate::record::{Details, Meta};
use crate::store::Renewal;

/// The request's live session, typed. It derefs to its data. A change through `&mut` is written once, before
/// the response leaves; the [module's docs](super) say when.
///
/// With axum it is an extractor, as `Option<Session<T>>` is. With actix-web it is one too, with
/// `OptionalSession<T>`.
///
/// ```
/// use std::time::Duration;
/// use token_session::http::{Rejection, Session};
///
/// struct Account { email: String }
///
/// async fn change_email(mut session: Session<Account>, email: String) -> Result<(), Rejection> {
///     session.require_fresh(Duration::from_secs(300))?;
///     session.email = email;
///     session.regenerate().await?;
///     Ok(())
/// }
/// ```
///
/// A change that builds on the value that was read, such as a counter, may collide with another request:
///
/// ```
/// # use token_session::http::{Rejection, Session};
/// // Two requests at once: the one written later gets 409, and its change is dropped.
/// async fn count(mut session: Session<u32>) {
///     *session += 1;
/// }
///
/// // Two requests at once: both count.
/// async fn count_both(mut session: Session<u32>) -> Result<(), Rejection> {
///     session.update(|count| *count += 1).await
/// }
/// ```
pub struct Session<T: Send + Sync + 'static> {
    /// `None` only after it was given back.
    loaded: Option<Loaded<T>>,
    changed: bool,
    request: Arc<RequestSession<T>>,
}

impl<T: Send + Sync + 'static> std::fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("key", &self.key()).finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> Deref for Session<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.loaded().data
    }
}

impl<T: Send + Sync + 'static> DerefMut for Session<T> {
    fn deref_mut(&mut self) -> &mut T {
        if !self.changed {
            self.changed = true;
            let manager = &self.request.layer.manager;
            if let Some(loaded) = &mut self.loaded {
                manager.note_before(loaded);
            }
        }
        &mut self.loaded_mut().data
    }
}

impl<T: Send + Sync + 'static> Drop for Session<T> {
    /// Gives a changed session back to the request. The layer writes it.
    fn drop(&mut self) {
        let Some(loaded) = self.loaded.take().filter(|_| self.changed) else {
            return;
        };
        let mut progress = self.request.progress();
        progress.state = match std::mem::replace(&mut progress.state, SessionState::Contended) {
            SessionState::Clean(_) => SessionState::Changed(loaded),
            SessionState::Changed(_) | SessionState::Contended => SessionState::Contended,
            gone @ (SessionState::Gone | SessionState::Unasked) => gone,
        };
    }
}

impl<T: Send + Sync + 'static> Session<T> {
    pub(super) fn new(loaded: Loaded<T>, changed: bool, request: Arc<RequestSession<T>>) -> Self {
        Self { loaded: Some(loaded), changed, request }
    }

    fn loaded(&self) -> &Loaded<T> {
        self.loaded.as_ref().expect("a session is given back only when it is dropped")
    }

    fn loaded_mut(&mut self) -> &mut Loaded<T> {
        self.loaded.as_mut().expect("a session is given back only when it is dropped")
    }

    /// The session's key, its public id for its whole life; not the token.
    pub fn key(&self) -> &Key {
        &self.loaded().key
    }

    /// Owner, lifetime and times.
    pub fn meta(&self) -> &Meta {
        &self.loaded().meta
    }

    /// What else was noted with it, such as its [label](Details::label).
    pub fn details(&self) -> &Details {
        &self.loaded().details
    }

    /// Succeeds only if the person proved who they are within the last `max_age`. Ask for it before what only
    /// the person may do, such as changing the password (OWASP ASVS 5.0, 7.5.1).
    ///
    /// # Errors
    /// [`NotFresh`](Rejection::NotFresh): a 401 whose challenge tells the client to ask the person to
    /// authenticate again (RFC 9470); then call [`reauthenticate`](Self::reauthenticate).
    pub fn require_fresh(&self, max_age: Duration) -> Result<(), Rejection> {
        if self.meta().is_fresh(max_age) { Ok(()) } else { Err(Rejection::NotFresh { max_age }) }
    }

    /// Changes the data and writes it now. If another request came first, the data is read again and
    /// `change` runs again. One round trip, and two more each time another request came first.
    ///
    /// # Errors
    /// As [`TokenSession::update`](crate::TokenSession::update). After an error the session holds the data
    /// as it was read last.
    pub async fn update<R: Send>(
        &mut self,
        change: impl FnMut(&mut T) -> R + Send,
    ) -> Result<R, Rejection> {
        // Reading anew would lose what was changed through `&mut` before.
        self.save().await?;
        let request = self.request.clone();
        let updated = request.layer.manager.update_loaded(self.loaded_mut(), change).await;
        match &updated {
            Ok(_) => self.record_state(),
            Err(_) => self.restore(),
        }
        updated.map_err(|error| request.reject(error, self.key()))
    }

    /// Restores the data as it was read last, after a change that could not be written.
    fn restore(&mut self) {
        let manager = &self.request.layer.manager;
        if let Ok(read) = manager.restore(self.loaded().unchanged()) {
            *self.loaded_mut() = read;
        }
    }

    /// Writes the data now, if it changed. One round trip.
    ///
    /// # Errors
    /// [`Conflict`](Rejection::Conflict) when another request wrote in between,
    /// [`InvalidToken`](Rejection::InvalidToken) when the session has ended meanwhile, and what the
    /// store says.
    pub async fn save(&mut self) -> Result<(), Rejection> {
        if self.changed {
            let request = self.request.clone();
            let written = request.layer.manager.set_loaded(self.loaded_mut()).await;
            written.map_err(|error| request.reject(error, self.key()))?;
            self.changed = false;
            self.record_state();
        }
        Ok(())
    }

    /// Drops the changes through `&mut` that are not yet written.
    pub fn discard(mut self) {
        self.changed = false;
    }

    /// As [`TokenSession::regenerate`](crate::TokenSession::regenerate). The response carries the
    /// new token. If another request wrote in between, or the store does not count its
    /// [`Version`](crate::Version)s, it costs one more round trip.
    ///
    /// # Errors
    /// As there.
    pub async fn regenerate(&mut self) -> Result<Issued, Rejection> {
        self.renew(Renewal::Key).await
    }

    /// As [`TokenSession::reauthenticate`](crate::TokenSession::reauthenticate). The response
    /// carries the new token. It costs what [`regenerate`](Self::regenerate) does.
    ///
    /// # Errors
    /// As there.
    pub async fn reauthenticate(&mut self) -> Result<Issued, Rejection> {
        self.renew(Renewal::Authentication).await
    }

    async fn renew(&mut self, renewal: Renewal) -> Result<Issued, Rejection> {
        let request = self.request.clone();
        let key = self.key().clone();
        let renewed =
            request.layer.manager.renew_loaded(self.loaded_mut(), renewal, request.origin());
        let issued = renewed.await.map_err(|error| request.reject(error, &key))?;
        request.send(&issued, self.meta().owner.as_ref());
        self.record_state();
        Ok(issued)
    }

    /// Ends the session, and returns whether this call did it. One round trip.
    ///
    /// # Errors
    /// What the store says: the session may live on, and the client keeps its token.
    pub async fn destroy(mut self) -> Result<bool, Rejection> {
        let request = self.request.clone();
        let done = request.layer.manager.destroy_key(self.key()).await;
        let done = done.map_err(|error| request.reject(error, self.key()))?;
        request.ended(self.key());
        self.changed = false;
        request.progress().state = SessionState::Gone;
        Ok(done)
    }

    /// Ends all other sessions of this session's owner: "sign out everywhere else". One round trip. Does
    /// nothing if the session has no owner.
    ///
    /// # Errors
    /// What the store says.
    pub async fn destroy_others(&self) -> Result<(), Rejection> {
        if let Some(owner) = &self.meta().owner {
            let request = &self.request;
            let done = request.layer.manager.end_owned(owner, Some(self.key())).await;
            done.map_err(|error| request.reject(error, self.key()))?;
            request.ended_of(owner, Some(self.key()));
        }
        Ok(())
    }

    /// Records in the request how the session stands in the store.
    fn record_state(&self) {
        let mut progress = self.request.progress();
        if let SessionState::Clean(_) = progress.state {
            progress.state = SessionState::of(self.loaded());
        }
    }
}
