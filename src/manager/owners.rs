//! What an owner, or an application on their behalf, does with the owner's sessions.

use super::{Result, TokenSession};
use crate::error::Error;
use crate::event::Event;
use crate::observe::observe;
use crate::record::{Meta, Owner};
use crate::store::Condition;
use crate::token::{Key, Token};

impl<T: Send + 'static> TokenSession<T> {
    /// Up to `limit` live sessions of an owner, the youngest first: each one's public id, and since
    /// when, until when and on what device it lives. No tokens; ids cannot be used as such.
    ///
    /// # Errors
    /// What the store says.
    pub async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        let work = async { Ok(self.inner.store.owned(owner, limit).await?) };
        observe("owned", None, work).await
    }

    /// Ends a session of this owner by its public id; whether this call did it. A session of
    /// somebody else is as good as none.
    ///
    /// # Errors
    /// What the store says.
    pub async fn destroy_owned(&self, owner: &Owner, key: &Key) -> Result<bool> {
        observe("destroy_owned", Some(key), self.remove(key, Condition::Owner(owner))).await
    }

    /// Ends all sessions of an owner: after a password reset, or when the account is closed (OWASP
    /// ASVS 5.0, 7.4.2 and 7.4.5). Nothing that races with it slips through: when it has returned,
    /// no session that the owner had when it was called is alive.
    ///
    /// Some stores end many sessions in batches; docs/stores.md says which. After an error some
    /// sessions may have ended: call it again, and it ends the rest.
    ///
    /// # Errors
    /// What the store says.
    pub async fn destroy_all(&self, owner: &Owner) -> Result<()> {
        self.end_owned(owner, None).await
    }

    /// Ends all sessions of an owner but the one of this token: "sign out everywhere else" (OWASP
    /// ASVS 5.0, 7.4.3). As [`destroy_all`](Self::destroy_all) where the token's session is not a
    /// live one of this owner.
    ///
    /// # Errors
    /// What the store says.
    pub async fn destroy_others(&self, owner: &Owner, token: &Token) -> Result<()> {
        self.end_owned(owner, self.key(token).as_ref()).await
    }

    pub(crate) async fn end_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let work = async { Ok::<_, Error>(self.inner.store.remove_owned(owner, keep).await?) };
        observe("destroy_all", keep, work).await?;
        let event = || Event::OwnerDestroyed { owner: owner.clone(), kept: keep.cloned() };
        self.inner.events.tell(event);
        Ok(())
    }
}
