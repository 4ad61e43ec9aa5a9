//! [`Names`]: the names of the Redis keys.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::slots::tag;
use crate::key::Key;
use crate::record::Owner;

/// The names of the Redis keys of one store: for a session `<prefix>{<tag>}:s:<key>`, for an
/// owner's index `<prefix>{<tag>}:o:<owner>`.
///
/// The tag is the partition's. A Cluster hashes only the tag, so all keys of a partition lie in one
/// slot.
pub(super) struct Names {
    prefix: String,
    partitions: Vec<Partition>,
}

struct Partition {
    /// The beginning of the names of its keys.
    head: String,
    slot: u16,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{1 of {}}}:…", self.prefix, self.partitions.len())
    }
}

impl Names {
    /// The names of a store with this prefix and this number of partitions.
    pub(super) fn new(prefix: String, partitions: u16) -> Self {
        let partitions = (0..partitions)
            .map(|number| {
                let (tag, slot) = tag(usize::from(number), usize::from(partitions));
                let head = format!("{prefix}{{{tag}}}:");
                Partition { head, slot }
            })
            .collect();
        Self { prefix, partitions }
    }

    pub(super) fn partitions(&self) -> u16 {
        // It was made from a u16.
        self.partitions.len() as u16
    }

    pub(super) fn slot(&self, partition: u16) -> u16 {
        self.partitions[usize::from(partition)].slot
    }

    fn head(&self, partition: u16) -> &str {
        &self.partitions[usize::from(partition)].head
    }

    /// The name of a session.
    pub(super) fn session(&self, key: &Key) -> String {
        let head = self.head(key.partition(self.partitions()));
        let mut name = String::with_capacity(head.len() + 2 + Key::TEXT_LEN);
        name.push_str(head);
        name.push_str("s:");
        URL_SAFE_NO_PAD.encode_string(key.as_bytes(), &mut name);
        name
    }

    /// The name of an owner's index.
    pub(super) fn index(&self, owner: &Owner) -> String {
        let head = self.head(owner.partition(self.partitions()));
        format!("{head}o:{}", owner.as_str())
    }

    /// A name in the partition under which no key is ever written.
    pub(super) fn slot_guard(&self, partition: u16) -> String {
        format!("{}-", self.head(partition))
    }

    /// The beginning of all names.
    pub(super) fn beginning(&self) -> String {
        format!("{}{{", self.prefix)
    }

    /// The session that this store keeps under this name. The name has exactly the store's prefix, the
    /// tag of the session's partition and the session's key.
    pub(super) fn parse(&self, name: &[u8]) -> Option<Key> {
        let (head, text) = name.split_at_checked(name.len().checked_sub(Key::TEXT_LEN)?)?;
        let key: Key = std::str::from_utf8(text).ok()?.parse().ok()?;
        let own_head = self.head(key.partition(self.partitions()));
        (head.strip_prefix(own_head.as_bytes()) == Some(b"s:")).then_some(key)
    }

    /// The owner whose index has this name.
    pub(super) fn parse_index(&self, name: &[u8]) -> Option<Owner> {
        let tagged = name.strip_prefix(self.prefix.as_bytes())?;
        let separator = b"}:o:";
        let at = tagged.windows(separator.len()).position(|bytes| bytes == separator)?;
        let owner = std::str::from_utf8(&tagged[at + separator.len()..]).ok()?;
        let owner = Owner::from_stored(owner).ok()?;
        let own_head = self.head(owner.partition(self.partitions()));
        let rest = name.strip_prefix(own_head.as_bytes())?.strip_prefix(b"o:")?;
        (rest == owner.as_str().as_bytes()).then_some(owner)
    }

    /// A pattern for `SCAN` that the names of all sessions match. Other names may match too.
    pub(super) fn session_pattern(&self) -> String {
        format!("{}{{*}}:s:*", escape(&self.prefix))
    }

    /// A pattern for `SCAN` that the names of all indexes match. Other names may match too.
    pub(super) fn index_pattern(&self) -> String {
        format!("{}{{*}}:o:*", escape(&self.prefix))
    }
}

/// A text that a glob pattern takes literally.
pub(in crate::store) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '*' | '?' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::slots::{SLOTS, slot_of_name};
    use super::*;
    use redis::cluster_routing::Slot;

    #[test]
    fn a_name_says_which_session_it_is_of() {
        let names = Names::new("ts:".to_owned(), 7);
        let key = Key::from_bytes([9; 16]);
        let name = names.session(&key);
        assert_eq!(names.parse(name.as_bytes()), Some(key));
    }

    #[test]
    fn an_indexs_name_says_whose_sessions_it_lists() {
        let names = Names::new("ts:".to_owned(), 7);
        for id in ["anna", "{7}:s:x", "}:o:"] {
            let owner = Owner::new(id).unwrap();
            let name = names.index(&owner);
            assert_eq!(names.parse_index(name.as_bytes()), Some(owner));
        }
        let session = names.session(&Key::from_bytes([9; 16]));
        assert_eq!(names.parse_index(session.as_bytes()), None);
    }

    #[test]
    fn a_name_of_something_else_is_no_session() {
        let names = Names::new("ts:".to_owned(), 7);
        let key = Key::from_bytes([9; 16]);
        let owner = Owner::new("anna").unwrap();
        let own = names.session(&key);
        let (head, _) = own.split_once("s:").unwrap_or_default();
        assert_eq!(names.parse(own.as_bytes()), Some(key.clone()));
        for name in [
            names.index(&owner),
            names.slot_guard(3),
            format!("ts:{{x}}:s:{key}"),
            format!("ts:{{}}:s:{key}"),
            format!("other:{{1}}:s:{key}"),
            format!("{head}s:{key}x"),
            format!("{head}s:x{key}"),
            format!("{head}S:{key}"),
            format!("{head}s:s:{key}"),
            format!("x{own}"),
            own.replace("ts:", "ts:ts:"),
            own.replace("{", "{0"),
            own.replace("}", "}}"),
            // The last character has four bits that mean nothing.
            format!("{}l", &own[..own.len() - 1]),
            format!("{own}="),
            String::new(),
        ] {
            assert_eq!(names.parse(name.as_bytes()), None, "{name}");
        }
        assert_eq!(names.parse(b"ts:{1}:s:\xff"), None);
    }

    #[test]
    fn a_name_in_another_partition_is_no_session_and_no_index() {
        let (one, seven) = (Names::new("ts:".to_owned(), 1), Names::new("ts:".to_owned(), 7));
        for byte in 0..20 {
            let key = Key::from_bytes([byte; 16]);
            let own = seven.session(&key);
            assert_eq!(one.parse(own.as_bytes()).is_some(), own == one.session(&key), "{own}");
        }
        let elsewhere = format!("ts:{{17}}:s:{}", Key::from_bytes([9; 16]));
        assert_eq!(seven.parse(elsewhere.as_bytes()), None);
        assert_eq!(one.parse_index(b"ts:{17}:o:anna"), None);
    }

    #[test]
    fn a_name_of_something_else_is_no_index() {
        let names = Names::new("ts:".to_owned(), 1);
        assert_eq!(names.parse_index(b"ts:{0}:o:anna"), Owner::new("anna").ok());
        for name in [
            &b"ts:{0}:o:"[..],
            b"ts:{0}:o:\n",
            b"ts:{0}:o:\xff",
            b"ts:{0}:O:anna",
            b"ts:{00}:o:anna",
            b"ts:{0}}:o:anna",
            b"ts:{sensor}:o:anna",
            b"ts:ts:{0}:o:anna",
            b"ts:{0}:s:anna",
            b"",
        ] {
            assert_eq!(names.parse_index(name), None, "{}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn a_partition_lies_in_one_slot_of_the_cluster() {
        let names = Names::new("ts:".to_owned(), 256);
        for byte in 0..=255 {
            let key = Key::from_bytes([byte; 16]);
            let slot = names.slot(key.partition(256));
            let name = names.session(&key);
            assert_eq!(Slot::new(slot), Some(Slot::for_key(&name)));
            assert_eq!(slot, slot_of_name(name.as_bytes()));
        }
        let owner = Owner::new("{7}").unwrap();
        let slot = names.slot(owner.partition(256));
        assert_eq!(Slot::new(slot), Some(Slot::for_key(names.index(&owner))));
        let slot_guard = names.slot_guard(owner.partition(256));
        assert_eq!(Slot::new(slot), Some(Slot::for_key(slot_guard)));
    }

    #[test]
    fn partitions_lie_evenly_over_the_masters() {
        let names = Names::new("ts:".to_owned(), 256);
        for masters in [3, 5, 10] {
            let mut loads = vec![0; masters];
            for partition in 0..256 {
                loads[usize::from(names.slot(partition)) * masters / SLOTS] += 1;
            }
            let least = loads.iter().min().unwrap();
            let most = loads.iter().max().unwrap();
            assert!(most - least <= 2, "{masters} masters: {loads:?}");
        }
    }

    #[test]
    fn a_prefix_is_no_pattern() {
        let names = Names::new(r"a*[b]?\".to_owned(), 1);
        assert_eq!(names.session_pattern(), r"a\*\[b\]\?\\{*}:s:*");
    }
}
