//! The part of PostgreSQL's protocol that counting round trips needs.

use crate::proxy::{Asks, Protocol};

#[derive(Default)]
pub struct Frontend {
    logged_in: bool,
    works: bool,
}

impl Protocol for Frontend {
    /// A length that counts itself. All messages except the first have a letter before it.
    fn message_length(&self, unread: &[u8]) -> Option<usize> {
        let at = usize::from(self.logged_in);
        let length = unread.get(at..at + 4)?.try_into().ok()?;
        let length = at + u32::from_be_bytes(length) as usize;
        (unread.len() >= length).then_some(length)
    }

    /// The server answers a simple query, and what was sent up to a `Sync`.
    fn read(&mut self, message: &[u8]) -> Asks {
        if !self.logged_in {
            self.logged_in = true;
            return Asks::Nothing;
        }
        match (message[0], std::mem::take(&mut self.works)) {
            (b'Q', _) | (b'S', true) => Asks::Answer,
            (b'S', false) => Asks::Ping,
            _ => {
                self.works = true;
                Asks::Nothing
            }
        }
    }
}
