use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::snapshot::{Latency, LatencyBucket};

/// Buckets per power of two, as a power of two: 16, so a bucket is at most 1/16 of its values wide, and its middle is
/// within 1/32 (3.2 %) of each.
const SUB_BITS: u32 = 4;
const SUBS: usize = 1 << SUB_BITS;

/// Values are below 2 to this, in microseconds: 67 s. What takes longer is counted in the last bucket; the maximum stays exact.
const MAX_BITS: u32 = 26;

/// No latency counts as more, so that their sum cannot overflow: 12 days.
const LONGEST_US: u64 = 1 << 40;

const BUCKETS: usize = SUBS + (MAX_BITS - SUB_BITS) as usize * SUBS;

/// Latencies in log-linear buckets (as in HdrHistogram, <http://hdrhistogram.org>), each microsecond below 16 its own bucket.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
    max_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum_us: AtomicU64::new(0),
            max_us: AtomicU64::new(0),
        }
    }
}

pub(super) fn bucket_of(us: u64) -> usize {
    if us < SUBS as u64 {
        return us as usize;
    }
    let bits = us.ilog2();
    if bits >= MAX_BITS {
        return BUCKETS - 1;
    }
    let octave = (bits - SUB_BITS) as usize;
    // The top bit is always set; the next SUB_BITS choose the bucket.
    let sub = (us >> (bits - SUB_BITS)) as usize - SUBS;
    SUBS + octave * SUBS + sub
}

/// The smallest value of a bucket, in microseconds.
pub(super) fn lower_us(bucket: usize) -> u64 {
    if bucket < SUBS {
        return bucket as u64;
    }
    let octave = (bucket / SUBS - 1) as u32;
    ((SUBS + bucket % SUBS) as u64) << octave
}

impl Histogram {
    pub(super) fn record(&self, latency: Duration) {
        let us = latency
            .as_secs()
            .saturating_mul(1_000_000)
            .saturating_add((u64::from(latency.subsec_nanos()) + 500) / 1_000)
            .min(LONGEST_US);
        self.buckets[bucket_of(us)].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
        if us > self.max_us.load(Relaxed) {
            self.max_us.fetch_max(us, Relaxed);
        }
    }

    pub(super) fn snapshot(&self) -> Latency {
        let buckets = self
            .buckets
            .iter()
            .enumerate()
            .filter_map(|(bucket, count)| {
                let count = count.load(Relaxed);
                (count > 0).then(|| LatencyBucket {
                    from_us: lower_us(bucket),
                    to_us: lower_us(bucket + 1),
                    count,
                })
            })
            .collect();
        Latency::of_buckets(
            buckets,
            self.sum_us.load(Relaxed),
            self.max_us.load(Relaxed),
        )
    }
}
