//! Random numbers that are data for ever: SplitMix64's finaliser over a counter. The rule is in [`workload`](super::workload).

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The numbers of one purpose in one repeat, by index, all different.
#[derive(Clone, Copy)]
pub(super) struct Stream {
    base: u64,
}

impl Stream {
    pub(super) fn new(seed: u64, repeat: u32, purpose: u64) -> Stream {
        let base = finalise(seed.wrapping_add(GOLDEN));
        let base = finalise(base.wrapping_add(u64::from(repeat)).wrapping_add(GOLDEN));
        let base = finalise(base.wrapping_add(purpose).wrapping_add(GOLDEN));
        Stream { base }
    }

    #[inline]
    pub(super) fn number(&self, index: u64) -> u64 {
        finalise(
            self.base
                .wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)),
        )
    }
}

/// One to one.
#[inline]
fn finalise(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
