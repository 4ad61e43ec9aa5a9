//! [`RequestSession`]: the session of one request. Every read, change and write of it goes through this.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::HeaderValue;
use http::request::Parts;

use super::attempt::Attempts;
use super::rejection::Rejection;
use super::transport::{Credentials, Tokens, Transport};
use crate::error::Error;
use crate::generator::Origin;
use crate::key::Key;
use crate::manager::{Issued, Loaded, TokenSession, Unchanged};
use crate::record::Owner;

/// What all requests share.
pub(super) struct LayerConfig<T> {
    pub(super) manager: TokenSession<T>,
    pub(super) transport: Transport,
    /// The headers of a request that its session depends on.
    pub(super) vary: Option<HeaderValue>,
}

/// The session of one request, and what is kept until the response leaves.
pub(super) struct RequestSession<T> {
    pub(super) layer: Arc<LayerConfig<T>>,
    pub(super) credentials: Credentials,
    pub(super) origin: Option<Box<Parts>>,
    pub(super) attempts: Attempts,
    progress: Mutex<Progress<T>>,
}

/// How far the request has come with its session.
pub(super) struct Progress<T> {
    pub(super) state: SessionState<T>,
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

pub(super) enum SessionState<T> {
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

impl<T> SessionState<T> {
    pub(super) fn of(loaded: &Loaded<T>) -> Self {
        Self::Clean(loaded.unchanged())
    }
}

impl<T> RequestSession<T> {
    pub(super) fn new(
        layer: Arc<LayerConfig<T>>,
        credentials: Credentials,
        origin: Option<Box<Parts>>,
    ) -> Self {
        let progress = Progress {
            state: SessionState::Unasked,
            outgoing: None,
            asked: false,
            attempt: 0,
            changed_before_copy: false,
        };
        let attempts = Attempts::default();
        Self { layer, credentials, origin, attempts, progress: Mutex::new(progress) }
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

impl<T: Send + Sync + 'static> RequestSession<T> {
    /// The session, from its holder before or from the store, and whether it was changed.
    pub(super) async fn session(&self) -> Result<(Loaded<T>, bool), Rejection> {
        self.progress().asked = true;
        let tokens = match &self.credentials {
            Credentials::Nothing => return Err(Rejection::NoToken),
            Credentials::Malformed(error) => return Err(Rejection::MalformedToken(*error)),
            Credentials::Ambiguous => return Err(Rejection::AmbiguousToken),
            Credentials::Tokens(tokens) => tokens,
        };
        if let Some(session) = self.known(&mut self.progress())? {
            return Ok(session);
        }
        let found = self.find(tokens).await?;
        let mut progress = self.progress();
        // Another holder may have asked meanwhile, and have changed the session already.
        if let Some(session) = self.known(&mut progress)? {
            return Ok(session);
        }
        progress.state = found.as_ref().map_or(SessionState::Gone, SessionState::of);
        found.map(|loaded| (loaded, false)).ok_or(Rejection::InvalidToken)
    }

    /// The request's session, as it was left by those who had it before; `None` if nobody had.
    fn known(&self, progress: &mut Progress<T>) -> Result<Option<(Loaded<T>, bool)>, Rejection> {
        let (loaded, changed) = match std::mem::replace(&mut progress.state, SessionState::Gone) {
            SessionState::Unasked => {
                progress.state = SessionState::Unasked;
                return Ok(None);
            }
            SessionState::Clean(unchanged) => {
                progress.state = SessionState::Clean(unchanged.clone());
                (self.layer.manager.restore(unchanged)?, false)
            }
            SessionState::Changed(loaded) => {
                progress.state = SessionState::of(&loaded);
                (loaded, true)
            }
            SessionState::Contended => {
                progress.state = SessionState::Contended;
                return Err(Rejection::Conflict);
            }
            SessionState::Gone => return Err(Rejection::InvalidToken),
        };
        Ok(Some((loaded, changed)))
    }

    /// What the store holds under the one token that has a live session.
    async fn find(&self, tokens: &Tokens) -> Result<Option<Loaded<T>>, Rejection> {
        let mut found = None;
        let manager = &self.layer.manager;
        for credential in tokens.iter().filter_map(|token| manager.credential(token)) {
            let loaded = manager.get_by(&credential).await;
            if let Some(loaded) = loaded.map_err(|error| self.reject(error, &credential.key))? {
                // One of them may come from a neighbouring domain, which must not choose the session.
                if found.replace(loaded).is_some() {
                    return Err(Rejection::AmbiguousToken);
                }
            }
        }
        Ok(found)
    }
}
