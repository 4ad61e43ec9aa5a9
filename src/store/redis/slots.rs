//! Hash slots, by which a Cluster finds the master of a key.

/// Hash slots of a Cluster.
pub(super) const SLOTS: usize = 16_384;

/// The tag of a partition and its slot: the smallest number whose slot lies in the partition's
/// share of all slots. So the partitions lie evenly over the slots, and over the masters of a
/// Cluster. Consecutive numbers do not.
pub(super) fn tag(number: usize, count: usize) -> (usize, u16) {
    let mut tag = 0;
    loop {
        let slot = crc16(tag.to_string().as_bytes()) % SLOTS as u16;
        if usize::from(slot) * count / SLOTS == number {
            return (tag, slot);
        }
        tag += 1;
    }
}

/// CRC-16/XMODEM, by which a Cluster finds the slot of a key.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            let polynomial = if crc & 0x8000 == 0 { 0 } else { 0x1021 };
            (crc << 1) ^ polynomial
        })
    })
}

/// The slot of a name. If there is text between its first braces, only that counts.
pub(in crate::store) fn slot_of_name(name: &[u8]) -> u16 {
    let find = |bytes: &[u8], brace| bytes.iter().position(|&byte| byte == brace);
    let tag = find(name, b'{').and_then(|open| {
        let rest = &name[open + 1..];
        find(rest, b'}').map(|end| &rest[..end])
    });
    let tag = tag.filter(|tag| !tag.is_empty());
    crc16(tag.unwrap_or(name)) % SLOTS as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::cluster_routing::Slot;

    #[test]
    fn the_slot_of_a_name_is_that_of_its_tag() {
        for name in ["sess:abc", "{a}b", "a{b}c{d}", "{}a", "a{b", "a}b{c}", ""] {
            assert_eq!(
                Slot::new(slot_of_name(name.as_bytes())),
                Some(Slot::for_key(name)),
                "{name}"
            );
        }
    }
}
