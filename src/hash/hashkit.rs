//! The hash functions of libhashkit, by the names that twemproxy and libmemcached have for them.

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
    /// CRC-16/XMODEM, kept in 32 bits and never masked.
    Crc16,
    /// Fifteen bits of CRC-32: `(crc32 >> 16) & 0x7fff`.
    Crc32,
    /// CRC-32 (IEEE).
    Crc32a,
    /// FNV-1, 64 bits, cut to 32.
    Fnv1_64,
    /// FNV-1a with the 64-bit constants cut to 32 bits.
    Fnv1a64,
    /// FNV-1, 32 bits.
    Fnv1_32,
    /// FNV-1a, 32 bits.
    Fnv1a32,
    /// Hsieh's SuperFastHash.
    Hsieh,
    /// MurmurHash2.
    Murmur,
    /// Jenkins's lookup3.
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
    pub fn hash(self, _bytes: &[u8]) -> u32 {
        todo!()
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
