//! The hash functions that placements need, and hash tags. Pure, without state and without a seed: what they return is data for ever.

mod hashkit;
mod tag;

pub use hashkit::{Hashkit, UnknownHashkit};
pub(crate) use tag::TagRule;

use md5::{Digest, Md5};

/// The part of `key` that decides its node: what stands between the first `{` and the first `}` after it, or the whole key when there
/// is no such pair or nothing stands between them.
///
/// Only the first `{` counts: `{}{user}` is hashed whole, and the tag of `{{user}}` is `{user`. Works on bytes; a key need not be text.
///
/// Source: Redis Cluster specification, "Hash tags".
///
/// ```
/// use keyway::hash::hash_tag;
/// assert_eq!(hash_tag(b"{user:42}:name"), b"user:42");
/// assert_eq!(hash_tag(b"user:42:name"), b"user:42:name");
/// assert_eq!(hash_tag(b"{}:name"), b"{}:name");
/// ```
#[inline]
pub fn hash_tag(key: &[u8]) -> &[u8] {
    if may_have_brace(key) {
        tag_or_key(key)
    } else {
        key
    }
}

/// Apart, so that the short way has no registers to save for it.
#[inline(never)]
fn tag_or_key(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else {
        return key;
    };
    let inside = &key[open + 1..];
    match memchr::memchr(b'}', inside) {
        None | Some(0) => key,
        Some(close) => &inside[..close],
    }
}

/// Whether there is a `{`, or the key is long. Most are short and have none: by a few loads, which overlap so that there is neither a loop nor a
/// rest to go by their length, that is found out in half the time that a call of `memchr` takes.
#[inline]
fn may_have_brace(key: &[u8]) -> bool {
    let chunk = |at: usize| key[at..].first_chunk::<16>().map_or(1, brace_in);
    match key.len() {
        0..16 => key.contains(&b'{'),
        length @ 16..=64 => {
            let last = length - 16;
            chunk(0) | chunk(last.min(16)) | chunk(last.min(32)) | chunk(last) != 0
        }
        _ => true,
    }
}

/// Not zero if one of the bytes is a brace: the highest bit of that byte is set, or of one behind it.
#[inline]
fn brace_in(bytes: &[u8; 16]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    bytes.as_chunks::<8>().0.iter().fold(0, |found, bytes| {
        let differing = u64::from_ne_bytes(*bytes) ^ (ONES * b'{' as u64);
        found | differing.wrapping_sub(ONES) & !differing & (ONES << 7)
    })
}

/// CRC-32 as in IEEE 802.3, zlib and gzip: reflected polynomial 0xEDB88320, initial value and final xor 0xFFFFFFFF.
#[inline]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// CRC-16/XMODEM: polynomial 0x1021, initial value 0, not reflected. Source: Redis Cluster specification, appendix A.
pub fn crc16(bytes: &[u8]) -> u16 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let crc = eights.iter().fold(0, |crc: u16, eight| {
        let [high, low] = crc.to_be_bytes();
        let [a, b, c, d, e, f, g, h] = *eight;
        let taken = [a ^ high, b ^ low, c, d, e, f, g, h];
        // Each byte is followed by as many zeros as there are bytes behind it.
        (0..8).fold(0, |sum, at| sum ^ CRC16[7 - at][usize::from(taken[at])])
    });
    rest.iter().fold(crc, |crc, byte| {
        let [high, low] = crc.to_be_bytes();
        CRC16[0][usize::from(high ^ byte)] ^ u16::from_be_bytes([low, 0])
    })
}

/// `CRC16[n][byte]`: the CRC-16 of the byte and `n` zeros after it.
static CRC16: [[u16; 256]; 8] = crc16_table();

const fn crc16_table() -> [[u16; 256]; 8] {
    let mut table = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut zeros = 0;
        while zeros < 8 {
            let mut bit = 0;
            while bit < 8 {
                crc = (crc << 1) ^ (0x1021 * (crc >> 15));
                bit += 1;
            }
            table[zeros][byte] = crc;
            zeros += 1;
        }
        byte += 1;
    }
    table
}

/// MurmurHash64A with the seed 0x1234ABCD. Source: Jedis 3.10, `util/MurmurHash.java`, after Austin Appleby's MurmurHash2.
#[inline]
pub fn murmur64a(bytes: &[u8]) -> u64 {
    murmur_with_seed(bytes, 0x1234_ABCD)
}

/// The same with the seed 0xC70F6907, as libstdc++ and Envoy have it. Source: gcc, `libstdc++-v3/libsupc++/hash_bytes.cc`, which is what
/// Envoy's `source/common/common/hash.cc` follows.
#[inline]
pub fn murmur_libstdcxx(bytes: &[u8]) -> u64 {
    murmur_with_seed(bytes, 0xC70F_6907)
}

#[inline]
fn murmur_with_seed(bytes: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0xC6A4_A793_5BD1_E995;
    let mixed = |bits: u64| bits ^ (bits >> 47);
    let (words, tail) = bytes.as_chunks::<8>();
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    for word in words {
        let word = mixed(u64::from_le_bytes(*word).wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
        hash = (hash ^ word).wrapping_mul(FACTOR);
    }
    if !tail.is_empty() {
        let word = match bytes.last_chunk() {
            // One load in place of a loop: the bytes before the tail are shifted out.
            Some(last) => u64::from_le_bytes(*last) >> (8 * (8 - tail.len())),
            None => tail
                .iter()
                .rev()
                .fold(0, |word, byte| (word << 8) | u64::from(*byte)),
        };
        hash = (hash ^ word).wrapping_mul(FACTOR);
    }
    mixed(mixed(hash).wrapping_mul(FACTOR))
}

/// XXH64 with seed 0. Source: xxHash (Yann Collet).
#[inline]
pub fn xxh64(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh64::xxh64(bytes, 0)
}

/// XXH64 with seed 1, which Envoy's maglev has beside the other.
pub(crate) fn xxh64_seed_1(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh64::xxh64(bytes, 1)
}

/// XXH3, its 64-bit form, with seed 0 and the default secret. Source: xxHash 0.8 (Yann Collet), whose output is frozen.
#[inline]
pub fn xxh3(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// MD5 (RFC 1321), for ketama's points only: it spreads names, it protects nothing.
pub fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// The first four bytes of the MD5 digest as a little-endian number.
pub(crate) fn md5_le(bytes: &[u8]) -> u32 {
    let [a, b, c, d, ..] = md5(bytes);
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hash_tag_is_what_stands_in_the_first_pair_of_braces_unless_that_is_nothing() {
        let cases: [(&[u8], &[u8]); 16] = [
            (b"", b""),
            (b"user", b"user"),
            (b"{user}", b"user"),
            (b"{user}:name", b"user"),
            (b"home:{user}:name", b"user"),
            (b"{}x", b"{}x"),
            (b"{}{a}", b"{}{a}"),
            (b"{a}{b}", b"a"),
            (b"}{a}", b"a"),
            (b"{{a}}", b"{a"),
            (b"{a", b"{a"),
            (b"a}", b"a}"),
            (b"a}b{", b"a}b{"),
            (b"{ }", b" "),
            (b"\0{\xff\0\xfe}\r\n", b"\xff\0\xfe"),
            (b"\xff\xfe{\0}{", b"\0"),
        ];
        for (key, tag) in cases {
            assert_eq!(hash_tag(key), tag, "{}", key.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn a_hash_tag_is_the_same_as_by_the_rule_read_aloud(key in proptest::collection::vec(prop_oneof![1 => Just(b'{'), 1 => Just(b'}'), 14 => any::<u8>()], 0..80)) {
            let mut expected = &key[..];
            if let Some(open) = key.iter().position(|&byte| byte == b'{')
                && let Some(length) = key[open + 1..].iter().position(|&byte| byte == b'}')
                && length > 0
            {
                expected = &key[open + 1..open + 1 + length];
            }
            prop_assert_eq!(hash_tag(&key), expected);
        }

        #[test]
        fn crc32_is_the_same_as_bit_by_bit(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut crc = u32::MAX;
            for &byte in &bytes {
                crc ^= u32::from(byte);
                for _ in 0..8 {
                    crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
                }
            }
            prop_assert_eq!(crc32(&bytes), !crc);
        }

        #[test]
        fn crc16_is_the_same_as_bit_by_bit(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut crc = 0_u16;
            for &byte in &bytes {
                crc ^= u16::from(byte) << 8;
                for _ in 0..8 {
                    crc = (crc << 1) ^ (0x1021 & (crc >> 15).wrapping_neg());
                }
            }
            prop_assert_eq!(crc16(&bytes), crc);
        }
    }

    #[test]
    fn crc32_gives_the_published_check_values() {
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(
            crc32(b"The quick brown fox jumps over the lazy dog"),
            0x414F_A339
        );
    }

    #[test]
    fn crc16_gives_the_published_check_values() {
        assert_eq!(crc16(b""), 0);
        // Redis Cluster specification, appendix A.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        // go-redis, internal/hashtag/hashtag_test.go.
        let bytes = [83, 153, 134, 118, 229, 214, 244, 75, 140, 37, 215, 215];
        assert_eq!(crc16(&bytes), 21_847);
    }

    /// The values are those that `redis.clients.jedis.util.MurmurHash` of Jedis 3.10 gives.
    #[test]
    fn murmur64a_gives_the_values_of_jedis() {
        let falling: [u8; 16] = std::array::from_fn(|at| 255 - at as u8);
        let cases: [(&[u8], u64); 9] = [
            (b"", 0x742D_0865_AA62_7B0B),
            (b"a", 0x6EE2_D45A_1217_E2FD),
            (b"foo", 0x9DF7_E7EE_73C2_B95F),
            (b"1234567", 0x6E4F_D964_636A_17EC),
            (b"12345678", 0x4821_4DF9_653F_0807),
            (b"123456789", 0x3808_D529_769F_29B4),
            (b"SHARD-0-NODE-0", 0xBD32_A55C_5369_AB7C),
            ("\u{e9}\u{20ac}".as_bytes(), 0xED7F_D1DE_55CE_D3DB),
            (&falling, 0x3A8E_669D_6507_B704),
        ];
        for (bytes, hash) in cases {
            assert_eq!(murmur64a(bytes), hash, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn xxh3_gives_the_values_of_the_original() {
        assert_eq!(xxh3(b""), 0x2D06_8005_38D3_94C2);
        assert_eq!(xxh3(b"a"), 0xE6C6_32B6_1E96_4E1F);
        assert_eq!(xxh3(b"abc"), 0x78AF_5F94_892F_3950);
    }

    /// Source: Envoy, `test/common/common/hash_test.cc`.
    #[test]
    fn murmur_libstdcxx_gives_the_values_of_envoys_tests() {
        for (text, hash) in [
            ("foo", 9_631_199_822_919_835_226),
            ("bar", 11_474_628_671_133_349_555),
            ("foo\nbar", 16_306_510_975_912_980_159),
            ("lyft", 12_847_078_931_730_529_320),
            ("", 6_142_509_188_972_423_790),
        ] {
            assert_eq!(murmur_libstdcxx(text.as_bytes()), hash, "{text:?}");
        }
    }

    /// Source: Envoy, `test/common/common/hash_test.cc`.
    #[test]
    fn xxh64_gives_the_values_of_envoys_tests() {
        for (text, hash) in [
            ("foo", 3_728_699_739_546_630_719),
            ("bar", 5_234_164_152_756_840_025),
            ("foo\nbar", 8_917_841_378_505_826_757),
            ("lyft", 4_400_747_396_090_729_504),
            ("", 17_241_709_254_077_376_921),
        ] {
            assert_eq!(xxh64(text.as_bytes()), hash, "{text:?}");
        }
    }

    proptest! {
        /// The original reads the last bytes one by one.
        #[test]
        fn murmur_libstdcxx_is_the_same_as_with_its_tail_read_byte_by_byte(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let factor = 0xC6A4_A793_5BD1_E995_u64;
            let mut hash = 0xC70F_6907 ^ (bytes.len() as u64).wrapping_mul(factor);
            for chunk in bytes.chunks(8) {
                let mut word = 0;
                for (at, byte) in chunk.iter().enumerate() {
                    word |= u64::from(*byte) << (8 * at);
                }
                if chunk.len() == 8 {
                    word = word.wrapping_mul(factor);
                    word = (word ^ (word >> 47)).wrapping_mul(factor);
                }
                hash = (hash ^ word).wrapping_mul(factor);
            }
            hash = (hash ^ (hash >> 47)).wrapping_mul(factor);
            prop_assert_eq!(murmur_libstdcxx(&bytes), hash ^ (hash >> 47));
        }
    }

    #[test]
    fn md5_gives_the_values_of_rfc_1321() {
        let hex = |bytes: &[u8]| {
            md5(bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        assert_eq!(hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hex(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(hex(b"message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
    }
}
