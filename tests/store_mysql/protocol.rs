//! The part of MySQL's protocol that is needed to count round trips.

use crate::proxy::{Asks, Protocol};

#[derive(Default)]
pub struct Client;

impl Protocol for Client {
    /// A length of three bytes and the packet's number come first.
    fn message_length(&self, unread: &[u8]) -> Option<usize> {
        let [a, b, c] = unread.get(..3)?.try_into().ok()?;
        let length = 4 + u32::from_le_bytes([a, b, c, 0]) as usize;
        (unread.len() >= length).then_some(length)
    }

    /// A command is the packet with the number 0.
    fn read(&mut self, message: &[u8]) -> Asks {
        const QUIT: u8 = 0x01;
        const PING: u8 = 0x0e;
        const CLOSE_STATEMENT: u8 = 0x19;
        match *message {
            [_, _, _, 0, QUIT | CLOSE_STATEMENT, ..] => Asks::Nothing,
            [_, _, _, 0, PING, ..] => Asks::Ping,
            [_, _, _, 0, _, ..] => Asks::Answer,
            _ => Asks::Nothing,
        }
    }
}
