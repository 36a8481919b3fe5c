//! Modulo: the remainder of the key's hash. Perfectly even, and nearly every key moves when the number of nodes changes.
//!
//! Source: what sharding clients did before consistent hashing; nydus calls it the partition router.

/// Remainders of one divisor, with two multiplications in place of the division.
///
/// Source: D. Lemire, O. Kaser, N. Kurz, "Faster remainder by direct computation" (Software: Practice and Experience, 2019): exact for 32 bits.
pub(super) struct Remainder {
    divisor: u32,
    /// 2^64 / `divisor`, rounded up.
    reciprocal: u64,
}

impl Remainder {
    /// # Panics
    /// If `divisor` is 0.
    pub(super) fn new(divisor: u32) -> Remainder {
        Remainder {
            divisor,
            reciprocal: (u64::MAX / u64::from(divisor)).wrapping_add(1),
        }
    }

    /// `hash % divisor`.
    #[inline]
    pub(super) fn of(&self, hash: u32) -> u32 {
        let fraction = self.reciprocal.wrapping_mul(u64::from(hash));
        // Below the divisor, so it fits.
        ((u128::from(fraction) * u128::from(self.divisor)) >> 64) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::crc32;
    use proptest::prelude::*;

    #[test]
    fn the_node_is_the_remainder() {
        assert_eq!(Remainder::new(10).of(crc32(b"123456789")), 0xCBF4_3926 % 10);
        assert_eq!(Remainder::new(16_384).of(u32::MAX), 16_383);
        assert_eq!(Remainder::new(1).of(u32::MAX), 0);
    }

    proptest! {
        #[test]
        fn two_multiplications_are_a_division(
            divisor in prop_oneof![1..100_u32, 16_000..70_000_u32, Just(1 << 16), 1..=u32::MAX],
            hash in any::<u32>(),
        ) {
            let remainder = Remainder::new(divisor);
            for hash in [hash, hash / divisor * divisor, 0, u32::MAX] {
                prop_assert_eq!(remainder.of(hash), hash % divisor);
            }
        }
    }
}
