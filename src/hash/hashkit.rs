//! The hash functions of libhashkit, by the names that twemproxy and libmemcached have for them.
//!
//! Source: twemproxy 0.5.0, `src/hashkit/`; libmemcached 1.1.4, `src/libhashkit/`, which has all but crc16 and crc32a, with the same results.
//! Their bytes are C's plain `char`, signed on x86: where noted below, a byte from 0x80 on counts as a negative number.

use super::{CRC16, crc32, md5_le};
use std::fmt;
use std::str::FromStr;

/// A key hash of twemproxy or libmemcached, 32 bits wide. `FromStr` and `Display` use twemproxy's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hashkit {
    /// Jenkins's one-at-a-time, with bytes as signed chars.
    OneAtATime,
    /// The first four bytes of the MD5 digest, little-endian.
    Md5,
    /// CRC-16/XMODEM, kept in 32 bits and never masked. twemproxy only.
    Crc16,
    /// Fifteen bits of CRC-32: `(crc32 >> 16) & 0x7fff`.
    Crc32,
    /// CRC-32 (IEEE). twemproxy only.
    Crc32a,
    /// FNV-1, 64 bits, cut to 32, with bytes as signed chars.
    Fnv1_64,
    /// FNV-1a with the 64-bit constants cut to 32 bits, with bytes as signed chars.
    Fnv1a64,
    /// FNV-1, 32 bits, with bytes as signed chars.
    Fnv1_32,
    /// FNV-1a, 32 bits, with bytes as signed chars.
    Fnv1a32,
    /// Hsieh's SuperFastHash, started at 0; the last byte of three that remain is a signed char. libmemcached has it only if built with it.
    Hsieh,
    /// MurmurHash2 of 32 bits; the seed is the length times 0xDEADBEEF.
    Murmur,
    /// Jenkins's lookup3, little-endian, with 13 as the initial value.
    Jenkins,
}

impl Hashkit {
    /// All of them, each with its name.
    const NAMES: [(Hashkit, &'static str); 12] = [
        (Hashkit::OneAtATime, "one_at_a_time"),
        (Hashkit::Md5, "md5"),
        (Hashkit::Crc16, "crc16"),
        (Hashkit::Crc32, "crc32"),
        (Hashkit::Crc32a, "crc32a"),
        (Hashkit::Fnv1_64, "fnv1_64"),
        (Hashkit::Fnv1a64, "fnv1a_64"),
        (Hashkit::Fnv1_32, "fnv1_32"),
        (Hashkit::Fnv1a32, "fnv1a_32"),
        (Hashkit::Hsieh, "hsieh"),
        (Hashkit::Murmur, "murmur"),
        (Hashkit::Jenkins, "jenkins"),
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Hashkit> + Clone {
        Hashkit::NAMES.iter().map(|(hash, _)| *hash)
    }

    /// The name as in twemproxy's `hash:`.
    pub fn name(self) -> &'static str {
        let named = Hashkit::NAMES.iter().find(|(hash, _)| *hash == self);
        named.map_or("", |(_, name)| name)
    }

    /// The hash of these bytes.
    #[inline]
    pub fn hash(self, bytes: &[u8]) -> u32 {
        match self {
            Hashkit::OneAtATime => one_at_a_time(bytes),
            Hashkit::Md5 => md5_le(bytes),
            Hashkit::Crc16 => crc16_unmasked(bytes),
            Hashkit::Crc32 => (crc32(bytes) >> 16) & 0x7FFF,
            Hashkit::Crc32a => crc32(bytes),
            // Of 64 bits, the lower 32 never depend on the upper ones, and they are all that is returned.
            Hashkit::Fnv1_64 => fnv1(bytes, FNV_64),
            Hashkit::Fnv1a64 => fnv1a(bytes, FNV_64),
            Hashkit::Fnv1_32 => fnv1(bytes, FNV_32),
            Hashkit::Fnv1a32 => fnv1a(bytes, FNV_32),
            Hashkit::Hsieh => hsieh(bytes),
            Hashkit::Murmur => murmur(bytes),
            Hashkit::Jenkins => jenkins(bytes),
        }
    }
}

impl fmt::Display for Hashkit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Hashkit {
    type Err = UnknownHashkit;

    fn from_str(text: &str) -> Result<Self, UnknownHashkit> {
        Hashkit::NAMES
            .into_iter()
            .find(|(_, name)| *name == text)
            .map(|(hash, _)| hash)
            .ok_or_else(|| UnknownHashkit {
                read: text.to_owned(),
            })
    }
}

/// A text that names no [`Hashkit`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown hash {read:?}: expected one_at_a_time, md5, crc16, crc32, crc32a, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, hsieh, murmur or jenkins"
)]
pub struct UnknownHashkit {
    read: String,
}

/// A byte as C's signed `char` becomes a number.
#[inline]
fn signed(byte: u8) -> u32 {
    i32::from(byte.cast_signed()).cast_unsigned()
}

fn one_at_a_time(bytes: &[u8]) -> u32 {
    let mut hash = 0_u32;
    for &byte in bytes {
        hash = hash.wrapping_add(signed(byte));
        hash = hash.wrapping_add(hash << 10);
        hash ^= hash >> 6;
    }
    hash = hash.wrapping_add(hash << 3);
    hash ^= hash >> 11;
    hash.wrapping_add(hash << 15)
}

fn crc16_unmasked(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc: u32, byte| {
        let at = (crc >> 8) as u8 ^ byte;
        (crc << 8) ^ u32::from(CRC16[0][usize::from(at)])
    })
}

/// FNV's offset basis and prime.
type Fnv = (u32, u32);

const FNV_32: Fnv = (0x811C_9DC5, 0x0100_0193);

/// The lower halves of 0xCBF29CE484222325 and 0x100000001B3.
const FNV_64: Fnv = (0x8422_2325, 0x0000_01B3);

fn fnv1(bytes: &[u8], (basis, prime): Fnv) -> u32 {
    let step = |hash: u32, byte: &u8| hash.wrapping_mul(prime) ^ signed(*byte);
    bytes.iter().fold(basis, step)
}

fn fnv1a(bytes: &[u8], (basis, prime): Fnv) -> u32 {
    let step = |hash: u32, byte: &u8| (hash ^ signed(*byte)).wrapping_mul(prime);
    bytes.iter().fold(basis, step)
}

fn hsieh(bytes: &[u8]) -> u32 {
    let half = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]));
    let (quads, rest) = bytes.as_chunks::<4>();
    let mut hash = 0_u32;
    for &[a, b, c, d] in quads {
        hash = hash.wrapping_add(half(a, b));
        hash = (hash << 16) ^ (half(c, d) << 11) ^ hash;
        hash = hash.wrapping_add(hash >> 11);
    }
    match *rest {
        [a, b, c] => {
            hash = hash.wrapping_add(half(a, b));
            hash ^= hash << 16;
            hash ^= signed(c) << 18;
            hash = hash.wrapping_add(hash >> 11);
        }
        [a, b] => {
            hash = hash.wrapping_add(half(a, b));
            hash ^= hash << 11;
            hash = hash.wrapping_add(hash >> 17);
        }
        [a] => {
            hash = hash.wrapping_add(u32::from(a));
            hash ^= hash << 10;
            hash = hash.wrapping_add(hash >> 1);
        }
        _ => {}
    }
    hash ^= hash << 3;
    hash = hash.wrapping_add(hash >> 5);
    hash ^= hash << 4;
    hash = hash.wrapping_add(hash >> 17);
    hash ^= hash << 25;
    hash.wrapping_add(hash >> 6)
}

fn murmur(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5BD1_E995;
    let length = bytes.len() as u32;
    let mut hash = length.wrapping_mul(0xDEAD_BEEF) ^ length;
    let (quads, rest) = bytes.as_chunks::<4>();
    for quad in quads {
        let mut k = u32::from_le_bytes(*quad).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        hash = (hash ^ little_endian(rest)).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

fn jenkins(bytes: &[u8]) -> u32 {
    let start = 0xDEAD_BEEF_u32
        .wrapping_add(bytes.len() as u32)
        .wrapping_add(13);
    let [mut a, mut b, mut c] = [start; 3];
    let mut rest = bytes;
    while rest.len() > 12 {
        let (block, after) = rest.split_at(12);
        a = a.wrapping_add(little_endian(&block[..4]));
        b = b.wrapping_add(little_endian(&block[4..8]));
        c = c.wrapping_add(little_endian(&block[8..]));
        rest = after;
        a = a.wrapping_sub(c) ^ c.rotate_left(4);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(6);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(8);
        b = b.wrapping_add(a);
        a = a.wrapping_sub(c) ^ c.rotate_left(16);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(19);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(4);
        b = b.wrapping_add(a);
    }
    if rest.is_empty() {
        return c;
    }
    a = a.wrapping_add(little_endian(&rest[..rest.len().min(4)]));
    b = b.wrapping_add(little_endian(rest.get(4..rest.len().min(8)).unwrap_or(&[])));
    c = c.wrapping_add(little_endian(rest.get(8..).unwrap_or(&[])));
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

/// At most four bytes as a number.
#[inline]
fn little_endian(bytes: &[u8]) -> u32 {
    match *bytes {
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
        [a, b, c] => u32::from_le_bytes([a, b, c, 0]),
        [a, b] => u32::from_le_bytes([a, b, 0, 0]),
        [a] => u32::from(a),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// twemproxy, `src/test_all.c`.
    #[test]
    fn every_hash_of_apple_is_what_twemproxy_tests() {
        let hashes: Vec<_> = Hashkit::all()
            .map(|hash| format!("{hash} {}", hash.hash(b"apple")))
            .collect();
        let expected = [
            "one_at_a_time 2297466611",
            "md5 3195025439",
            "crc16 3662830516",
            "crc32 10542",
            "crc32a 2838417488",
            "fnv1_64 473199127",
            "fnv1a_64 1488911807",
            "fnv1_32 67176023",
            "fnv1a_32 280767167",
            "hsieh 3738850110",
            "murmur 4142305122",
            "jenkins 1442444624",
        ];
        assert_eq!(hashes, expected);
    }

    #[test]
    fn hashes_are_read_and_written_by_one_name() {
        for hash in Hashkit::all() {
            assert_eq!(hash.to_string().parse(), Ok(hash));
        }
        insta::assert_snapshot!("FNV1A_64".parse::<Hashkit>().unwrap_err(), @r#"unknown hash "FNV1A_64": expected one_at_a_time, md5, crc16, crc32, crc32a, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, hsieh, murmur or jenkins"#);
    }

    proptest! {
        #[test]
        fn fnv1_64_is_the_same_as_in_64_bits(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let hash = bytes.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
                let byte = i64::from(byte.cast_signed()).cast_unsigned();
                hash.wrapping_mul(0x0100_0000_01B3) ^ byte
            });
            prop_assert_eq!(Hashkit::Fnv1_64.hash(&bytes), hash as u32);
        }
    }
}
