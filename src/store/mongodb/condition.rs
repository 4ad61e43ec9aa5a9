//! [`Wanted`]: what a removal asks of a record.

use mongodb::bson::Document;

use super::document::number;
use super::expression::is_open_to;
use crate::proof::Claim;
use crate::record::{Owner, Version};
use crate::store::Condition;

/// A [`Condition`] in an operation that may outlive its caller.
pub(super) enum Wanted {
    Always,
    Version(Version),
    Owner(Owner),
    Claim(Claim),
}

impl Wanted {
    pub(super) fn is_always(&self) -> bool {
        matches!(self, Self::Always)
    }

    pub(super) fn condition(&self) -> Condition<'_> {
        match self {
            Self::Always => Condition::Always,
            Self::Version(version) => Condition::Version(*version),
            Self::Owner(owner) => Condition::Owner(owner),
            Self::Claim(claim) => Condition::Claim(claim),
        }
    }

    /// Restricts a filter to the records that meet the condition.
    pub(super) fn narrow(&self, filter: &mut Document) {
        match self {
            Self::Always => {}
            Self::Version(version) => {
                filter.insert("version", number(*version));
            }
            Self::Owner(owner) => {
                filter.insert("owner", owner.as_str());
            }
            Self::Claim(claim) => filter.extend(is_open_to(claim)),
        }
    }
}

impl From<Condition<'_>> for Wanted {
    fn from(condition: Condition<'_>) -> Self {
        match condition {
            Condition::Always => Self::Always,
            Condition::Version(version) => Self::Version(version),
            Condition::Owner(owner) => Self::Owner(owner.clone()),
            Condition::Claim(claim) => Self::Claim(*claim),
        }
    }
}
