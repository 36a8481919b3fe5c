//! Jump consistent hash: no table, perfectly even in expectation, and a new last node takes its share and nothing else moves.
//!
//! Source: J. Lamping, E. Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", arXiv:1406.2294, figure 1.

/// The node of a key. Expected cost: ln(`node_count`) rounds.
pub(crate) fn node(key_hash: u64, node_count: u16) -> u16 {
    let node_count = i64::from(node_count);
    let mut state = key_hash;
    let (mut node, mut next) = (0_i64, 0_i64);
    while next < node_count {
        node = next;
        next = jump(&mut state, node);
    }
    // `node` was below `node_count`, a u16, when it was set.
    node as u16
}

/// The nodes that a key lands on, the last of which has it, and the first landing that is beyond them.
pub(super) fn landings(key_hash: u64, node_count: u16) -> (Vec<u16>, u64) {
    let node_count = i64::from(node_count);
    let mut state = key_hash;
    let mut landings = Vec::new();
    let mut next = 0;
    while next < node_count {
        landings.push(next as u16);
        next = jump(&mut state, next);
    }
    (landings, next.cast_unsigned())
}

#[inline]
fn jump(state: &mut u64, node: i64) -> i64 {
    *state = state
        .wrapping_mul(2_862_933_555_777_941_757)
        .wrapping_add(1);
    // Every operand is exact in binary64 (at most 2^31), and IEEE 754 rounds the one division and the one multiplication the same
    // way everywhere; Rust never fuses or reorders them. The product is below 2^46: the cast only cuts the fraction off.
    let ratio = (1_u64 << 31) as f64 / ((*state >> 33) + 1) as f64;
    ((node + 1) as f64 * ratio) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::xxh3;
    use proptest::prelude::*;

    #[test]
    fn gives_the_values_that_other_implementations_publish() {
        assert_eq!(node(1, 1), 0);
        assert_eq!(node(42, 57), 43);
        assert_eq!(node(0xDEAD_10CC, 1), 0);
        assert_eq!(node(0xDEAD_10CC, 666), 361);
        assert_eq!(node(256, 1024), 520);
    }

    proptest! {
        #[test]
        fn one_more_node_takes_keys_and_moves_no_others(key_hash: u64, node_count in 1_u16..16_384) {
            let before = node(key_hash, node_count);
            let after = node(key_hash, node_count + 1);
            prop_assert!(before < node_count);
            prop_assert!(after == before || after == node_count);
        }
    }

    #[test]
    fn one_more_node_takes_its_share() {
        for node_count in [1_u16, 9, 64] {
            let moved = (0..100_000_u32)
                .filter(|i| {
                    let key_hash = xxh3(format!("key:{i}").as_bytes());
                    node(key_hash, node_count) != node(key_hash, node_count + 1)
                })
                .count();
            let share = moved as f64 / 100_000.0 * f64::from(node_count + 1);
            assert!((0.95..1.05).contains(&share), "{node_count}: {share}");
        }
    }
}
