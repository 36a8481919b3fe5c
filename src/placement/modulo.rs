//! Modulo: the remainder of the key's hash. Perfectly even, and nearly every key moves when the number of nodes changes.
//!
//! Source: what sharding clients did before consistent hashing; nydus calls it the partition router.

/// The node of a key: `key_hash % node_count`.
#[inline]
pub(super) fn node(key_hash: u32, node_count: u16) -> u16 {
    // The remainder is below `node_count`, so it fits.
    (key_hash % u32::from(node_count)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::crc32;

    #[test]
    fn the_node_is_the_remainder() {
        assert_eq!(node(crc32(b"123456789"), 10), (0xCBF4_3926_u32 % 10) as u16);
        assert_eq!(node(u32::MAX, 16_384), 16_383);
        assert_eq!(node(u32::MAX, 1), 0);
    }
}
