//! How long something takes to build, and how many bytes it keeps.

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

pub struct Built<T> {
    pub value: T,
    pub build_ms: f64,
    pub bytes: i64,
}

/// Builds are repeated for so long, and the quickest counts.
const PATIENCE: Duration = Duration::from_millis(100);
const REPEATS_MAX: usize = 20;

/// `prepare` makes what `build` takes in; neither its time nor its bytes count.
pub fn weigh<P, T>(prepare: impl Fn() -> P, build: impl Fn(P) -> T) -> Built<T> {
    let start = Instant::now();
    let mut built = weigh_once(&prepare, &build);
    for _ in 1..REPEATS_MAX {
        if start.elapsed() > PATIENCE {
            break;
        }
        let again = weigh_once(&prepare, &build);
        built.build_ms = built.build_ms.min(again.build_ms);
    }
    built
}

fn weigh_once<P, T>(prepare: &impl Fn() -> P, build: &impl Fn(P) -> T) -> Built<T> {
    let prepared = prepare();
    let before = bytes_held();
    let start = Instant::now();
    let value = build(prepared);
    let build_ms = 1_000.0 * start.elapsed().as_secs_f64();
    Built {
        value,
        build_ms,
        bytes: bytes_held() - before,
    }
}

fn bytes_held() -> i64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_counted_and_what_is_given_back_is_not() {
        // Other tests allocate meanwhile: only what is far above them shows.
        let kept = weigh(|| (), |()| vec![1_u8; 100 << 20]);
        assert!(
            (99 << 20..110 << 20).contains(&kept.bytes),
            "{}",
            kept.bytes
        );
        let freed = weigh(|| (), |()| vec![1_u8; 100 << 20].len());
        assert_eq!(freed.value, 100 << 20);
        assert!(
            (-20 << 20..20 << 20).contains(&freed.bytes),
            "{}",
            freed.bytes
        );
        assert!(freed.build_ms > 0.0);
    }
}
