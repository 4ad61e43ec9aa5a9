//! [`Own`]: what this crate keeps in a record of Node's, in a member that Node carries along.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::record::{Lifetime, LifetimeError, Timestamp};

/// The member's name.
pub(super) const OWN: &str = "tokenSession";

/// What the format has no place for. Spans and times are in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Own {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idle: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) absolute: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deadline: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) authenticated: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) details: Option<String>,
}

impl Own {
    /// Reads the member; `None` if it is somebody else's of the same name.
    pub(super) fn read(member: &RawValue) -> Option<Self> {
        // An array would be read too, member by member.
        let object = member.get().starts_with('{').then_some(member.get())?;
        let own: Self = serde_json::from_str(object).ok()?;
        (own.is_needed() && own.lifetime(own.idle).is_ok()).then_some(own)
    }

    /// Whether the record needs it: when it began is kept only beside something else, so that most
    /// records are as Node writes them.
    pub(super) fn is_needed(&self) -> bool {
        Self { created: None, ..self.clone() } != Self::default()
    }

    /// Sets a lifetime that begins now; `idle` where it has its place here.
    pub(super) fn begin(&mut self, idle: Option<Duration>, lifetime: &Lifetime, now: Timestamp) {
        self.idle = idle.map(millis);
        self.absolute = lifetime.absolute_timeout().map(millis);
        self.deadline = lifetime.deadline(now).map(Timestamp::as_millis);
    }

    /// The lifetime, with the idle timeout from here or from elsewhere; `None` if the record says
    /// nothing of it.
    pub(super) fn lifetime(&self, idle: Option<u64>) -> Result<Option<Lifetime>, LifetimeError> {
        let timeouts = [idle, self.absolute].map(|millis| millis.map(Duration::from_millis));
        match timeouts {
            [None, None] => Ok(None),
            [idle, absolute] => Lifetime::of(idle, absolute).map(Some),
        }
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    span.as_millis().try_into().unwrap_or(u64::MAX)
}
