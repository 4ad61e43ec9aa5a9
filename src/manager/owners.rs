//! The sessions of an owner.

use super::{Credential, Result, TokenSession};
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::event::Event;
use crate::key::Key;
use crate::observe::observe;
use crate::record::{Details, Meta, Owner};
use crate::store::{Condition, Owners};
use crate::token::Token;

/// A session in the list of its owner. It holds no token.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use token_session::{Label, NewSession, Owner, TokenSession};
///
/// let sessions = TokenSession::<u32>::in_memory();
/// let anna = Owner::new("anna")?;
/// let new = NewSession::new().owner(anna.clone()).label(Label::new("phone")?);
/// let issued = sessions.create_with(&1, &new).await?;
/// let owned = sessions.owned(&anna, 10).await?;
/// assert_eq!(owned[0].key, issued.key);
/// assert_eq!(owned[0].details.label().unwrap().as_str(), "phone");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct OwnedSession {
    /// The session's key.
    pub key: Key,
    /// Its times and its owner.
    pub meta: Meta,
    /// What else was noted with it, such as its [label](Details::label).
    pub details: Details,
}

impl<T: Send + 'static> TokenSession<T> {
    /// Up to `limit` live sessions of an owner, the youngest first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<OwnedSession>> {
        let work = async {
            let page = self.owners()?.owned(owner, None, limit, false).await?;
            let of = |(key, record): (Key, crate::record::Record)| OwnedSession {
                key,
                meta: record.meta,
                details: record.details,
            };
            Ok(page.records.into_iter().map(of).collect())
        };
        observe("owned", None, work).await
    }

    /// What the store can do with the sessions of an owner.
    pub(super) fn owners(&self) -> Result<&dyn Owners> {
        self.inner.store.owners().ok_or_else(|| {
            let message = "the store keeps no owners, so a session cannot have one; use a store of \
                           this crate's own format";
            StoreError::new(StoreErrorKind::Refused, message).into()
        })
    }

    /// Ends a session of this owner by its key, and returns whether this call did it. A session of another
    /// owner stays.
    ///
    /// # Errors
    /// What the store says.
    pub async fn destroy_owned(&self, owner: &Owner, key: &Key) -> Result<bool> {
        observe("destroy_owned", Some(key), self.remove(key, Condition::Owner(owner))).await
    }

    /// Ends all sessions of an owner: after a password reset, or when the account is closed (OWASP
    /// ASVS 5.0, 7.4.2 and 7.4.5). When it has returned, no session that the owner had at the call is
    /// alive, whatever ran at the same time.
    ///
    /// Some stores end many sessions in batches; docs/stores.md says which. After an error some
    /// sessions may have ended: call it again, and it ends the rest.
    ///
    /// # Errors
    /// What the store says.
    pub async fn destroy_all(&self, owner: &Owner) -> Result<()> {
        self.end_owned(owner, None).await
    }

    /// Ends all sessions of an owner except the one of this token: "sign out everywhere else" (OWASP
    /// ASVS 5.0, 7.4.3). If the token's session is not a live one of this owner, it ends all.
    ///
    /// # Errors
    /// What the store says.
    pub async fn destroy_others(&self, owner: &Owner, token: &Token) -> Result<()> {
        let keep = self.credential(token).map(|Credential { key, .. }| key);
        self.end_owned(owner, keep.as_ref()).await
    }

    pub(crate) async fn end_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let work = async { Ok::<_, Error>(self.owners()?.remove_owned(owner, keep).await?) };
        observe("destroy_all", keep, work).await?;
        let event = || Event::OwnerDestroyed { owner: owner.clone(), kept: keep.cloned() };
        self.inner.events.tell(event);
        Ok(())
    }
}
