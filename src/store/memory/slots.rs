//! [`Slots`]: the keys of a shard. A key keeps its place until it is removed.

use std::collections::BTreeSet;

use crate::key::Key;

/// How many slots a chunk has: one for each bit of a word.
const CHUNK: u32 = u64::BITS;

/// The place of a key in its shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u32);

impl Slot {
    pub(super) const fn new(number: u32) -> Self {
        Self(number)
    }

    pub(super) const fn number(self) -> u32 {
        self.0
    }

    const fn chunk(self) -> usize {
        (self.0 / CHUNK) as usize
    }

    const fn bit(self) -> u32 {
        self.0 % CHUNK
    }
}

/// Keys in chunks: growing moves no key, and an empty chunk takes no space.
#[derive(Default)]
pub(super) struct Slots {
    chunks: Vec<Chunk>,
    /// The chunks that are not full. New keys go to the lowest, so the highest become empty.
    open: BTreeSet<u32>,
}

#[derive(Default)]
struct Chunk {
    /// The bytes only: a key may hold its token.
    keys: Vec<[u8; Key::LEN]>,
    /// A bit for each slot that has a key.
    used: u64,
}

impl Slots {
    pub(super) fn insert(&mut self, key: &Key) -> Slot {
        let number = self.open.first().copied().unwrap_or_else(|| {
            let number = self.chunks.len() as u32;
            self.chunks.push(Chunk::default());
            self.open.insert(number);
            number
        });
        let chunk = &mut self.chunks[number as usize];
        let bit = chunk.used.trailing_ones();
        match chunk.keys.get_mut(bit as usize) {
            Some(slot) => *slot = *key.as_bytes(),
            None => chunk.keys.push(*key.as_bytes()),
        }
        chunk.used |= 1 << bit;
        if chunk.used == u64::MAX {
            self.open.remove(&number);
        }
        Slot(number * CHUNK + bit)
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        let chunk = &mut self.chunks[slot.chunk()];
        chunk.used &= !(1 << slot.bit());
        if chunk.used == 0 {
            *chunk = Chunk::default();
        }
        self.open.insert(slot.0 / CHUNK);
    }

    pub(super) fn key(&self, slot: Slot) -> Key {
        Key::from_bytes(self.chunks[slot.chunk()].keys[slot.bit() as usize])
    }

    /// Up to `limit` keys from this slot on, and the slot after the last of them; `None` at the end.
    pub(super) fn keys_from(&self, slot: Slot, limit: usize) -> (Vec<Key>, Option<Slot>) {
        let mut keys = Vec::new();
        let mut from = slot.bit();
        for (chunk, number) in self.chunks.iter().zip(0..).skip(slot.chunk()) {
            let mut left = chunk.used & (u64::MAX << from);
            from = 0;
            while left != 0 {
                let bit = left.trailing_zeros();
                if keys.len() == limit {
                    return (keys, Some(Slot(number * CHUNK + bit)));
                }
                keys.push(Key::from_bytes(chunk.keys[bit as usize]));
                left &= left - 1;
            }
        }
        (keys, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Key {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Key::from_bytes(bytes)
    }

    fn filled(count: u32) -> (Slots, Vec<Slot>) {
        let mut slots = Slots::default();
        let places = (0..count).map(|number| slots.insert(&key(number))).collect();
        (slots, places)
    }

    #[test]
    fn a_key_keeps_its_slot_while_others_come_and_go() {
        let (mut slots, places) = filled(1_000);
        for number in (0..1_000).step_by(2) {
            slots.remove(places[number]);
        }
        for number in 1_000..2_000 {
            slots.insert(&key(number));
        }
        for number in (1..1_000_u32).step_by(2) {
            assert_eq!(slots.key(places[number as usize]), key(number));
        }
    }

    #[test]
    fn pages_list_every_key_once_in_the_order_of_the_slots() {
        let (mut slots, places) = filled(500);
        for place in &places[64..256] {
            slots.remove(*place);
        }
        for limit in [1, 7, 63, 64, 65, 1_000] {
            let (mut listed, mut next) = (Vec::new(), Some(Slot::default()));
            while let Some(from) = next {
                let page = slots.keys_from(from, limit);
                assert!(page.0.len() <= limit);
                listed.extend(page.0);
                next = page.1;
            }
            assert_eq!(listed, (0..64).chain(256..500).map(key).collect::<Vec<_>>());
        }
    }

    #[test]
    fn slots_that_were_freed_are_used_before_new_ones() {
        let (mut slots, places) = filled(640);
        for place in places {
            slots.remove(place);
        }
        assert!(slots.chunks.iter().all(|chunk| chunk.keys.capacity() == 0));
        for number in 0..640 {
            slots.insert(&key(number));
        }
        assert_eq!(slots.chunks.len(), 10);
    }
}
