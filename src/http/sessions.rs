//! [`Sessions`]: what a request may do with sessions, and what is kept until its response leaves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::HeaderValue;
use http::request::Parts;

use super::attempt::Attempts;
use super::rejection::Rejection;
use super::session::Session;
use super::transport::{Presented, Tokens, Transport};
use crate::error::Error;
use crate::generator::Origin;
use crate::key::Key;
use crate::manager::{Issued, Loaded, NewSession, OwnedSession, TokenSession, Unchanged};
use crate::record::Owner;

/// The sessions as one request sees them: its own, those that it makes, and those of an owner.
///
/// The [`SessionLayer`](super::SessionLayer) puts it into the request's extensions; with axum and
/// actix-web it is an extractor, for handlers that log in. Clones are one handle. Whatever it makes, the response
/// carries the token in its header, with `Cache-Control: no-store`.
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
    pub(super) request: Arc<RequestState<T>>,
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

/// What all requests share.
pub(super) struct Edge<T> {
    pub(super) manager: TokenSession<T>,
    pub(super) transport: Transport,
    /// The headers of a request that its session depends on.
    pub(super) vary: Option<HeaderValue>,
}

pub(super) struct RequestState<T> {
    pub(super) edge: Arc<Edge<T>>,
    pub(super) presented: Presented,
    pub(super) origin: Option<Box<Parts>>,
    pub(super) attempts: Attempts,
    progress: Mutex<Progress<T>>,
}

/// How far the request has come with its session.
pub(super) struct Progress<T> {
    pub(super) current: Current<T>,
    /// A new token, to be sent with the response.
    pub(super) outgoing: Option<Outgoing>,
    /// Whether somebody asked for the session, so that the answer depends on it.
    pub(super) asked: bool,
    /// The latest attempt that asked for the session.
    pub(super) attempt: u32,
    /// Whether there was an unwritten change when the request was copied.
    pub(super) changed_before_copy: bool,
}

/// A new token, the key of its session, and whose it is.
pub(super) struct Outgoing {
    key: Key,
    owner: Option<Owner>,
    pub(super) value: HeaderValue,
}

pub(super) enum Current<T> {
    /// Nobody asked for it yet.
    Unasked,
    /// It is as the store has it.
    Clean(Unchanged),
    /// A handler changed it and gave it back.
    Changed(Loaded<T>),
    /// Two holders changed it at once.
    Contended,
    /// There is none, or none any more.
    Gone,
}

impl<T> Current<T> {
    pub(super) fn of(loaded: &Loaded<T>) -> Self {
        Self::Clean(loaded.unchanged())
    }
}

impl<T> RequestState<T> {
    pub(super) fn new(
        edge: Arc<Edge<T>>,
        presented: Presented,
        origin: Option<Box<Parts>>,
    ) -> Self {
        let progress = Progress {
            current: Current::Unasked,
            outgoing: None,
            asked: false,
            attempt: 0,
            changed_before_copy: false,
        };
        let attempts = Attempts::default();
        Self { edge, presented, origin, attempts, progress: Mutex::new(progress) }
    }

    /// Nothing panics while it is held, so a poisoned lock is as good as any.
    pub(super) fn progress(&self) -> MutexGuard<'_, Progress<T>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn origin(&self) -> Origin<'_> {
        self.origin.as_ref().map_or(Origin::unknown(), |parts| Origin::new(&**parts))
    }

    /// Has the response carry this token, unless the session ends before it leaves.
    pub(super) fn send(&self, issued: &Issued, owner: Option<&Owner>) {
        // A token has no character that a header may not.
        if let Ok(mut value) = HeaderValue::from_str(issued.token.reveal()) {
            value.set_sensitive(true);
            let (key, owner) = (issued.key.clone(), owner.cloned());
            self.progress().outgoing = Some(Outgoing { key, owner, value });
        }
    }

    /// This session has ended: a new token of it is not sent.
    pub(super) fn ended(&self, key: &Key) {
        let mut progress = self.progress();
        progress.outgoing.take_if(|outgoing| outgoing.key == *key);
    }

    /// All sessions of this owner have ended, except that of one key.
    pub(super) fn ended_of(&self, owner: &Owner, keep: Option<&Key>) {
        let mut progress = self.progress();
        progress.outgoing.take_if(|outgoing| {
            outgoing.owner.as_ref() == Some(owner) && Some(&outgoing.key) != keep
        });
    }

    /// What a client is told about an operation on this session that failed.
    pub(super) fn reject(&self, error: Error, key: &Key) -> Rejection {
        if matches!(error, Error::Gone) {
            self.ended(key);
        }
        Rejection::of(error, Some(key))
    }
}

impl<T: Send + Sync + 'static> Sessions<T> {
    /// The handle that goes into the request's extensions.
    pub(super) fn of_request(state: RequestState<T>) -> Self {
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
        let issued = self.request.edge.manager.create_with(data, &new).await?;
        self.request.send(&issued, new.owner.as_ref());
        Ok(issued)
    }

    /// The request's session. One round trip, the first time that the request asks, and one more for
    /// each [cookie of the same name](super::SessionLayerBuilder::cookie) whose session has ended.
    ///
    /// # Errors
    /// What the table in the [module's docs](super) says.
    pub async fn session(&self) -> Result<Session<T>, Rejection> {
        self.enter();
        let request = &self.request;
        request.progress().asked = true;
        let tokens = match &request.presented {
            Presented::Nothing => return Err(Rejection::NoToken),
            Presented::Malformed(error) => return Err(Rejection::MalformedToken(*error)),
            Presented::Ambiguous => return Err(Rejection::AmbiguousToken),
            Presented::Tokens(tokens) => tokens,
        };
        if let Some(session) = self.known(&mut request.progress())? {
            return Ok(session);
        }
        let found = self.find(tokens).await?;
        let mut progress = request.progress();
        // Another holder may have asked meanwhile, and have changed the session already.
        if let Some(session) = self.known(&mut progress)? {
            return Ok(session);
        }
        progress.current = found.as_ref().map_or(Current::Gone, Current::of);
        let found = found.map(|loaded| Session::new(loaded, false, self.share()));
        found.ok_or(Rejection::InvalidToken)
    }

    /// The request's session, as it was left by those who had it before; `None` if nobody had.
    fn known(&self, progress: &mut Progress<T>) -> Result<Option<Session<T>>, Rejection> {
        let (loaded, changed) = match std::mem::replace(&mut progress.current, Current::Gone) {
            Current::Unasked => {
                progress.current = Current::Unasked;
                return Ok(None);
            }
            Current::Clean(unchanged) => {
                progress.current = Current::Clean(unchanged.clone());
                (self.request.edge.manager.restore(unchanged)?, false)
            }
            Current::Changed(loaded) => {
                progress.current = Current::of(&loaded);
                (loaded, true)
            }
            Current::Contended => {
                progress.current = Current::Contended;
                return Err(Rejection::Conflict);
            }
            Current::Gone => return Err(Rejection::InvalidToken),
        };
        Ok(Some(Session::new(loaded, changed, self.share())))
    }

    /// What the store holds under the one token that has a live session.
    async fn find(&self, tokens: &Tokens) -> Result<Option<Loaded<T>>, Rejection> {
        let request = &self.request;
        let mut found = None;
        let manager = &request.edge.manager;
        for credential in tokens.iter().filter_map(|token| manager.credential(token)) {
            let loaded = manager.get_by(&credential).await;
            if let Some(loaded) = loaded.map_err(|error| request.reject(error, &credential.key))? {
                // One of them may come from a neighbouring domain, which must not choose the session.
                if found.replace(loaded).is_some() {
                    return Err(Rejection::AmbiguousToken);
                }
            }
        }
        Ok(found)
    }

    /// The request's session, or `None` where [`session`](Self::session) says 401.
    ///
    /// # Errors
    /// What the table in the [module's docs](super) says.
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
        Ok(self.request.edge.manager.owned(owner, limit).await?)
    }

    /// As [`TokenSession::destroy_owned`].
    ///
    /// # Errors
    /// What the store says.
    pub async fn destroy_owned(&self, owner: &Owner, key: &Key) -> Result<bool, Rejection> {
        let request = &self.request;
        let done = request.edge.manager.destroy_owned(owner, key).await;
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
        self.request.edge.manager.end_owned(owner, None).await?;
        self.request.ended_of(owner, None);
        Ok(())
    }
}
