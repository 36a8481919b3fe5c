//! Keys such as applications have: a few shapes with numbers in them, 16 to 40 bytes, more than a core's first cache holds, visited in an
//! order that is not the one they lie in.

/// With the slices about 450 kB.
const KEYS: usize = 10_000;

pub struct Keys {
    bytes: Vec<u8>,
    /// In the order of the visits.
    spans: Vec<std::ops::Range<usize>>,
}

impl Keys {
    /// The same ones in every run.
    pub fn new() -> Keys {
        let mut random = SplitMix(0x6B65_7977_6179);
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        for number in 0..KEYS as u64 {
            let start = bytes.len();
            // The number keeps them apart.
            let id = 1_000_000 + (random.next() % 900) * KEYS as u64 + number;
            let key = match random.next() % 5 {
                0 => format!("user:{id}:timeline"),
                1 => format!("user:{id}:followers:count"),
                2 => format!("post:{id}:likes"),
                3 => format!("session:{:016x}{id:08}", random.next()),
                _ => format!("cache:api:v2:feed:{id}:page:{}", random.next() % 50),
            };
            bytes.extend_from_slice(key.as_bytes());
            spans.push(start..bytes.len());
        }
        for at in (1..spans.len()).rev() {
            spans.swap(at, (random.next() % (at as u64 + 1)) as usize);
        }
        Keys { bytes, spans }
    }

    pub fn count(&self) -> usize {
        self.spans.len()
    }

    pub fn bytes_mean(&self) -> f64 {
        self.bytes.len() as f64 / self.spans.len() as f64
    }

    pub fn slices(&self) -> Vec<&[u8]> {
        self.spans
            .iter()
            .map(|span| &self.bytes[span.clone()])
            .collect()
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
    fn keys_are_different_and_have_sixteen_to_forty_bytes() {
        let keys = Keys::new();
        let slices = keys.slices();
        assert_eq!(slices.iter().collect::<HashSet<_>>().len(), KEYS);
        for key in &slices {
            assert!((16..=40).contains(&key.len()), "{}", key.escape_ascii());
        }
        assert!((20.0..32.0).contains(&keys.bytes_mean()));
    }

    #[test]
    fn keys_are_the_same_every_time_and_not_visited_as_they_lie() {
        let (keys, again) = (Keys::new(), Keys::new());
        assert_eq!(keys.slices(), again.slices());
        let onward = keys
            .spans
            .windows(2)
            .filter(|pair| pair[0].end == pair[1].start)
            .count();
        assert!(onward < 20, "{onward}");
    }
}
