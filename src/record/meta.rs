//! [`Meta`], what a store tells of a session beside its data, and what each operation does to it.

use std::time::Duration;

use super::{Lifetime, NewRecord, Owner, Timestamp, Touch, Version, Write};

/// What a store tells of a session beside its data.
///
/// Times are the store's own, so they compare among themselves whatever the application server's
/// clock says.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use token_session::TokenSession;
///
/// let sessions = TokenSession::<String>::in_memory();
/// let issued = sessions.create(&"Anna".to_owned()).await?;
/// let session = sessions.get(&issued.token).await?.expect("it was just made");
/// assert!(session.meta.expires_in() <= issued.expires_in);
/// assert_eq!(session.meta.owner, None);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Which writing of the record this is.
    pub version: Version,
    /// The session's own lifetime.
    pub lifetime: Lifetime,
    /// When the session began.
    pub created_at: Timestamp,
    /// When the last touch was written: at most the touch interval before the session was really
    /// last used.
    pub last_seen: Timestamp,
    /// When the session ends at the latest, where it has an absolute timeout.
    pub deadline: Option<Timestamp>,
    /// When the person last proved who they are.
    pub authenticated_at: Option<Timestamp>,
    /// The account that the session belongs to.
    pub owner: Option<Owner>,
    /// The store's clock when it answered.
    pub now: Timestamp,
}

impl Meta {
    /// When the session ends if it is not touched again.
    pub fn expires_at(&self) -> Timestamp {
        self.lifetime.expiry(self.last_seen, self.deadline)
    }

    /// How long it has left if it is not touched again.
    pub fn expires_in(&self) -> Duration {
        self.expires_at().since(self.now)
    }

    /// Whether the person proved who they are within the last `max_age`.
    pub fn is_fresh(&self, max_age: Duration) -> bool {
        self.authenticated_at.is_some_and(|at| self.now.since(at) <= max_age)
    }

    /// For stores: how a record begins at `now`.
    pub fn begun(new: &NewRecord<'_>, now: Timestamp) -> Self {
        Self {
            version: new.version,
            lifetime: new.lifetime,
            created_at: now,
            last_seen: now,
            deadline: new.lifetime.deadline(now),
            authenticated_at: new.authenticated.then_some(now),
            owner: new.owner.cloned(),
            now,
        }
    }

    /// For stores: whether a touch at `now` is to be written. Time never goes back: a clock that was
    /// read earlier touches nothing.
    pub fn touch_due(&self, touch: Touch, now: Timestamp) -> bool {
        match touch {
            Touch::No => false,
            Touch::After(interval) => {
                now > self.last_seen && self.lifetime.touch_due(self.last_seen, now, interval)
            }
        }
    }

    /// For stores: what a touch at `now` makes of it.
    pub fn touched(&mut self, now: Timestamp) {
        self.last_seen = self.last_seen.max(now);
        self.now = self.now.max(now);
    }

    /// For stores: what a write at `now` makes of it. Whether the write may take place is
    /// [`Record::write`](super::Record::write)'s to say.
    pub fn written(&mut self, write: &Write<'_>, now: Timestamp) {
        self.now = self.now.max(now);
        if write.restarts_idle_timeout() {
            self.touched(now);
        }
        if let Some(lifetime) = write.lifetime {
            self.lifetime = *lifetime;
        }
        if write.authenticated {
            self.authenticated_at = Some(self.last_seen);
        }
        if write.restarts_absolute_timeout() {
            self.deadline = self.lifetime.deadline(self.last_seen);
        }
        if write.raises_version() {
            self.version = self.version.next();
        }
    }
}
