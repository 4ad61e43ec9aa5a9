//! [`Sessions`]: what a request may do with sessions.

use std::sync::Arc;

use super::rejection::Rejection;
use super::request::RequestSession;
use super::session::Session;
use crate::key::Key;
#[cfg(doc)]
use crate::manager::TokenSession;
use crate::manager::{Issued, NewSession, OwnedSession};
use crate::record::Owner;

/// The sessions of one request: its own, those it creates, and those of an owner.
///
/// The [`SessionLayer`](super::SessionLayer) puts it into the request's extensions; with axum and
/// actix-web it is an extractor, for handlers that log in. Clones are one handle. The response carries the
/// token of a session it created in its header, with `Cache-Control: no-store`.
///
/// ```
/// use token_session::http::{Rejection, Sessions};
/// use token_session::{NewSession, Owner};
///
/// async fn login(sessions: Sessions<u32>, user: Owner) -> Result<String, Rejection> {
///     let issued = sessions.create_with(&0, NewSession::new().owner(user)).await?;
///     Ok(issued.token.reveal().to_owned())
/// }
/// ```
pub struct Sessions<T> {
    pub(super) request: Arc<RequestSession<T>>,
    /// Which copy of the request it came with.
    pub(super) attempt: u32,
    /// Whether it is the one in the request's extensions, or a clone of that.
    pub(super) in_extensions: bool,
}

impl<T> std::fmt::Debug for Sessions<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

impl<T: Send + Sync + 'static> Sessions<T> {
    /// The handle that goes into the request's extensions.
    pub(super) fn of_request(state: RequestSession<T>) -> Self {
        Self { request: Arc::new(state), attempt: 0, in_extensions: true }
    }

    /// Begins a session of no owner. One round trip.
    ///
    /// # Errors
    /// As [`TokenSession::create`].
    pub async fn create(&self, data: &T) -> Result<Issued, Rejection> {
        self.create_with(data, NewSession::new()).await
    }

    /// Begins a session with a lifetime, an owner or a label of its own. The request's own session,
    /// if it has one, is left as it is. One round trip.
    ///
    /// # Errors
    /// As [`TokenSession::create_with`].
    pub async fn create_with(&self, data: &T, new: NewSession<'_>) -> Result<Issued, Rejection> {
        let new = new.origin(self.request.origin());
        let issued = self.request.layer.manager.create_with(data, &new).await?;
        self.request.send(&issued, new.owner.as_ref());
        Ok(issued)
    }

    /// The request's session. One round trip the first time the request asks, and one more for each
    /// [cookie with the same name](super::SessionLayerBuilder::cookie) whose session has ended.
    ///
    /// # Errors
    /// As the table in the [module's docs](super) says.
    pub async fn session(&self) -> Result<Session<T>, Rejection> {
        self.enter();
        let (loaded, changed) = self.request.session().await?;
        Ok(Session::new(loaded, changed, Arc::clone(&self.request)))
    }

    /// The request's session, or `None` where [`session`](Self::session) says 401.
    ///
    /// # Errors
    /// As the table in the [module's docs](super) says.
    pub async fn optional_session(&self) -> Result<Option<Session<T>>, Rejection> {
        match self.session().await {
            Ok(session) => Ok(Some(session)),
            Err(Rejection::NoToken | Rejection::MalformedToken(_) | Rejection::InvalidToken) => {
                Ok(None)
            }
            Err(rejection) => Err(rejection),
        }
    }

    /// As [`TokenSession::owned`].
    ///
    /// # Errors
    /// What the store says.
    pub async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<OwnedSession>, Rejection> {
        Ok(self.request.layer.manager.owned(owner, limit).await?)
    }

    /// As [`TokenSession::destroy_owned`].
    ///
    /// # Errors
    /// What the store says.
    pub async fn destroy_owned(&self, owner: &Owner, key: &Key) -> Result<bool, Rejection> {
        let request = &self.request;
        let done = request.layer.manager.destroy_owned(owner, key).await;
        let done = done.map_err(|error| request.reject(error, key))?;
        if done {
            request.ended(key);
        }
        Ok(done)
    }

    /// As [`TokenSession::destroy_all`].
    ///
    /// # Errors
    /// What the store says.
    pub async fn destroy_all(&self, owner: &Owner) -> Result<(), Rejection> {
        self.request.layer.manager.end_owned(owner, None).await?;
        self.request.ended_of(owner, None);
        Ok(())
    }
}
