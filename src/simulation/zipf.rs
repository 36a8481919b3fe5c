//! Zipf's law in whole numbers. The rule is in [`workload`](super::workload).

/// Ranks below 2^17 have a weight of their own.
const EXACT_BITS: u32 = 17;

/// The weights of ranks, from 1 on.
pub(super) struct Zipf {
    exponent: f64,
    /// Units of the first rank.
    scale: f64,
    /// The weights of the first ranks, from rank 1 on.
    head: Vec<u64>,
}

impl Zipf {
    pub(super) fn new(exponent: f64, count: u64) -> Zipf {
        // An upper bound of the sum of r^-s: the first term and the integral from 1 to n.
        let growth = 1.0 - exponent;
        let log = libm::log(count as f64);
        let integral = match growth.abs() < 1e-9 {
            true => log,
            false => libm::expm1(growth * log) / growth,
        };
        let sum_bits = libm::ceil(libm::log2(1.0 + integral)) as i32;
        let scale = libm::ldexp(1.0, 62 - sum_bits);
        let mut zipf = Zipf {
            exponent,
            scale,
            head: Vec::new(),
        };
        let ranks = 1..(1_u64 << EXACT_BITS).min(count + 1);
        zipf.head = ranks.map(|rank| zipf.weight(rank as f64)).collect();
        zipf
    }

    fn weight(&self, rank: f64) -> u64 {
        (libm::pow(rank, -self.exponent) * self.scale + 0.5) as u64
    }

    /// Appends the weights of these ranks.
    pub(super) fn fill(&self, ranks: std::ops::Range<u64>, weights: &mut Vec<u64>) {
        let mut block_end = 0;
        let mut of_block = 0;
        for rank in ranks {
            if let Some(weight) = self.head.get(rank as usize - 1) {
                weights.push(*weight);
                continue;
            }
            if rank >= block_end {
                let width = 1 << (rank.ilog2() + 1 - EXACT_BITS);
                let start = rank & !(width - 1);
                block_end = start + width;
                of_block = self.weight(start as f64 + (width - 1) as f64 / 2.0);
            }
            weights.push(of_block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::workload::KEYS_MAX;
    use super::*;

    #[test]
    fn zipf_is_as_exact_as_it_says() {
        for (exponent, count) in [
            (0.5, 400_000),
            (0.99, 1_000_000),
            (1.0, 300_000),
            (2.5, 200_000),
        ] {
            let zipf = Zipf::new(exponent, count);
            let mut weights = Vec::new();
            zipf.fill(1..count + 1, &mut weights);
            let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
            assert!(
                (1 << 60..=1 << 62).contains(&total),
                "{exponent}: {}",
                total as f64
            );
            let harmonic: f64 = (1..=count).map(|rank| (rank as f64).powf(-exponent)).sum();
            for rank in [1, 2, 1_000, 131_071, 131_072, 150_000, count] {
                let share = weights[rank as usize - 1] as f64 / total as f64;
                let expected = (rank as f64).powf(-exponent) / harmonic;
                assert!(
                    (share / expected - 1.0).abs() < 1e-5 * exponent,
                    "{exponent}, {rank}: {share} {expected}"
                );
            }
            assert!(weights.is_sorted_by(|one, next| one >= next));
        }
        // The largest number of keys fits.
        let zipf = Zipf::new(0.01, KEYS_MAX);
        let mut last = Vec::new();
        zipf.fill(KEYS_MAX..KEYS_MAX + 1, &mut last);
        assert!(u128::from(last[0]) * u128::from(KEYS_MAX) < 1 << 62 && last[0] > 1 << 20);
    }
}
