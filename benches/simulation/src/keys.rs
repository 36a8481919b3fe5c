//! Ready-made keys, of the form that simulations make: `user:` and up to twenty digits.

pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    /// The same ones for the same seed.
    pub fn new(count: usize, seed: u64) -> Keys {
        let mut random = SplitMix(seed);
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(count));
        for _ in 0..count {
            bytes.extend_from_slice(format!("user:{}", random.next()).as_bytes());
            ends.push(bytes.len());
        }
        Keys { bytes, ends }
    }

    pub fn slices(&self) -> Vec<&[u8]> {
        let starts = [0].iter().chain(&self.ends);
        let spans = starts.zip(&self.ends);
        spans
            .map(|(start, end)| &self.bytes[*start..*end])
            .collect()
    }

    /// With a line end after each.
    pub fn lines(&self) -> Vec<u8> {
        self.slices().join(&b'\n')
    }
}

/// SplitMix64 (Steele et al., 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_different_and_the_same_for_the_same_seed() {
        let (keys, again, other) = (
            Keys::new(1_000, 1),
            Keys::new(1_000, 1),
            Keys::new(1_000, 2),
        );
        let slices = keys.slices();
        assert_eq!(slices, again.slices());
        let all: HashSet<_> = slices.iter().copied().chain(other.slices()).collect();
        assert_eq!(all.len(), 2_000);
        assert!(
            slices
                .iter()
                .all(|key| key.starts_with(b"user:") && key.len() <= 25)
        );
        let lines = keys.lines();
        assert!(lines.split(|byte| *byte == b'\n').eq(slices));
    }
}
