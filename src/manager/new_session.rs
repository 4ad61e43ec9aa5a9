//! [`NewSession`]: the options of a new session.

use crate::generator::Origin;
use crate::record::{Details, Label, Lifetime, Owner};

/// The options of a new session, for [`create_with`](crate::TokenSession::create_with).
///
/// ```
/// use token_session::{Label, Lifetime, NewSession, Owner};
///
/// let options = NewSession::new()
///     .owner(Owner::new("user-17")?)
///     .label(Label::new("Anna's phone")?)
///     .lifetime(Lifetime::idle_secs(600)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct NewSession<'a> {
    pub(super) lifetime: Option<Lifetime>,
    pub(crate) owner: Option<Owner>,
    label: Option<Label>,
    authenticated: Option<bool>,
    pub(super) origin: Origin<'a>,
}

impl<'a> NewSession<'a> {
    /// A session of no owner, with the manager's lifetime.
    pub fn new() -> Self {
        Self::default()
    }

    /// A lifetime of its own.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// The account that it belongs to. The session then counts as
    /// [`authenticated`](Self::authenticated) unless you say otherwise: a person who gets a session of an
    /// account has just proved to own it.
    #[must_use]
    pub fn owner(mut self, owner: Owner) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Its name in a list, such as the device.
    #[must_use]
    pub fn label(mut self, label: Label) -> Self {
        self.label = Some(label);
        self
    }

    /// Whether the person has just proved who they are; see
    /// [`Meta::is_fresh`](crate::Meta::is_fresh). Default: yes if the session has an owner.
    #[must_use]
    pub fn authenticated(mut self, yes: bool) -> Self {
        self.authenticated = Some(yes);
        self
    }

    /// On whose behalf it is made, for the [token generator](crate::TokenGenerator).
    #[must_use]
    pub fn origin(mut self, origin: Origin<'a>) -> Self {
        self.origin = origin;
        self
    }

    pub(super) fn details(&self) -> Details {
        let details = Details::new();
        self.label.clone().map_or(details.clone(), |label| details.with_label(label))
    }

    pub(super) fn is_authenticated(&self) -> bool {
        self.authenticated.unwrap_or(self.owner.is_some())
    }
}
