//! Any bytes, cut into pieces that the input chooses: decoded the same whole and in pieces, and as redis-rs decodes them.
//!
//! `cargo +nightly fuzz run decode -- -dict=decode.dict -max_total_time=600`, in `fuzz/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyway::fuzzing::decode(data));
