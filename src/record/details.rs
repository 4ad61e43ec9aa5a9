//! [`Details`], what the manager keeps beside the data and a store need not understand.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Label;

/// The first byte of the blob: its layout is the JSON object that follows.
const FORMAT: u8 = b'1';

/// What the manager keeps beside a session's data: for now the label. To a store it is a blob, decoded
/// only when somebody asks for a part of it.
///
/// A part that this version does not know, because a later one has written it, stays when another part
/// changes.
///
/// ```
/// use token_session::{Details, Label};
///
/// let details = Details::new().with_label(Label::new("Anna's phone")?);
/// assert_eq!(details.label().unwrap().as_str(), "Anna's phone");
/// assert_eq!(Details::from_stored(details.as_bytes().clone()), details);
/// assert_eq!(Details::new().label(), None);
/// # Ok::<(), token_session::TextError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Details(Bytes);

#[derive(Default, Serialize, Deserialize)]
struct Parts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// What a later version has written.
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

impl Details {
    /// The most bytes that the blob takes. A store may count on it.
    pub const MAX_LEN: usize = 4096;

    /// No details: an empty blob.
    pub const fn new() -> Self {
        Self(Bytes::new())
    }

    /// For stores: the details that were kept as these bytes.
    pub const fn from_stored(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes that a store keeps; empty where there are no details.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// What a person knows the session by; `None` where it has no label, or the blob is damaged.
    pub fn label(&self) -> Option<Label> {
        Label::new(self.parts().label?).ok()
    }

    /// With this label.
    #[must_use]
    pub fn with_label(self, label: Label) -> Self {
        let parts = Parts { label: Some(label.as_str().to_owned()), ..self.parts() };
        let mut bytes = vec![FORMAT];
        serde_json::to_writer(&mut bytes, &parts)
            .unwrap_or_else(|_| unreachable!("texts have a JSON form"));
        Self(bytes.into())
    }

    fn parts(&self) -> Parts {
        let json = self.0.strip_prefix(&[FORMAT]);
        json.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default()
    }
}

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Details({})", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_later_version_stays() {
        let later = Details::from_stored(Bytes::from_static(br#"1{"client":"curl","label":"a"}"#));
        let labelled = later.with_label(Label::new("b").unwrap());
        assert_eq!(labelled.label().unwrap().as_str(), "b");
        assert_eq!(labelled.as_bytes(), &br#"1{"label":"b","client":"curl"}"#[..]);
    }

    #[test]
    fn damaged_details_have_no_label() {
        for damaged in [&b"2{\"label\":\"a\"}"[..], b"1{\"label\":", b"1{\"label\":\"\"}", b"\xff"]
        {
            assert_eq!(Details::from_stored(Bytes::from_static(damaged)).label(), None);
        }
    }
}
