//! The algorithms by name: keyway's own, and those of other programs.

use crate::hash::Hashkit;
use std::fmt;
use std::str::FromStr;

/// How a key becomes a node. `FromStr` and `Display` use the names of the cluster file, in lower case: `ketama`, `twemproxy-modula`.
///
/// The first five are keyway's own, the last one is the program's. The others are **presets**: each places every key exactly where another program put
/// it, so that its data is found. What they have in common is in the [module's text](super#presets).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Points on a ring of 2^32 (libketama, 2007).
    ///
    /// Each node has `160 * weight` points: for `i` from 0 to `40 * weight - 1` (decimal, no padding) the MD5 digest of the text
    /// `{name}-{i}` gives four, its bytes 0 to 3, 4 to 7, 8 to 11 and 12 to 15, each read as a little-endian 32-bit integer. The points
    /// are sorted by (point, node index), and of equal points only the first counts. A key belongs to the node of the first point that is
    /// not below the key's `crc32`; above the last point, to the node of the first one. The sum of weights is at most
    /// [`KETAMA_WEIGHT_TOTAL_MAX`](super::KETAMA_WEIGHT_TOTAL_MAX).
    Ketama,
    /// The node's index is `crc32(key) % n`. No weights.
    Modulo,
    /// Highest random weight (Thaler and Ravishankar, 1998).
    ///
    /// The bid of a node for a key is `mix(xxh3(key) ^ xxh3(name))`, where `mix(z)` is SplitMix64's finaliser on 64 bits:
    /// `z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9; z = (z ^ z >> 27) * 0x94D049BB133111EB; z ^ z >> 31`.
    ///
    /// All weights equal, whatever their value: the highest bid wins, of equal bids the node with the lowest index.
    ///
    /// Otherwise, in binary64: `u = ((bid >> 11) + 1) / 2^53` (exact, above 0, at most 1), the cost is `-ln(u) / weight`, and the lowest
    /// cost wins, of equal costs the node with the lowest index. `ln` is the one of the `libm` crate (the algorithm of FreeBSD's msun
    /// `e_log.c`, error below 1 ulp) and the same on every platform. Another logarithm of that quality may place about one key in 2^50
    /// elsewhere; so may the switch between the two rules, when the only node of another weight goes.
    Rendezvous,
    /// Jump consistent hash (Lamping and Veach, arXiv:1406.2294, figure 1), with `xxh3(key)` as its 64-bit key. No weights.
    ///
    /// Start with `b = 0` and `j = 0`. While `j < n`: set `b = j`, then `key = key * 2862933555777941757 + 1`, then
    /// `j = (b + 1) * (2^31 / ((key >> 33) + 1))`, where division and multiplication are binary64, each rounded once, and the result is
    /// cut to an integer. The node's index is the last `b`.
    Jump,
    /// A table that the nodes fill in turns (Eisenbud et al., NSDI 2016, section 3.4).
    ///
    /// The table's size `M` is the first of 65,537, 131,101, 262,147, 524,309, 1,048,583 and 2,097,169 that is larger than `100 * n`. With
    /// `h = xxh3(name)`, a node wants the entries `(offset + k * skip) % M` for `k` = 0, 1, 2, ..., where `offset = (h >> 32) % M` and
    /// `skip = (h & 0xFFFFFFFF) % (M - 1) + 1`. In rounds 1, 2, 3, ... the nodes take turns by index; in its turn a node takes the first
    /// entry it wants that is still free; the fill ends when none is. With `w` the largest weight of all nodes, a node has a turn in round
    /// `r` if `r * weight / w` is not `(r - 1) * weight / w` (integer divisions): in every round if all weights are equal. A key belongs
    /// to the node in entry `xxh3(key) % M`. Every node gets at least one entry.
    Maglev,

    /// nydus's `ConsistentHashingRouter`.
    NydusKetama,
    /// nydus's `PartitionRouter`.
    NydusPartition,
    /// rb's `ConsistentHashingRouter`.
    RbKetama,
    /// rb's `PartitionRouter`.
    RbPartition,
    /// twemproxy with `distribution: ketama`.
    TwemproxyKetama,
    /// twemproxy with `distribution: modula`.
    TwemproxyModula,
    /// libmemcached with `MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED`.
    LibmemcachedWeighted,
    /// libmemcached with `MEMCACHED_BEHAVIOR_KETAMA`.
    LibmemcachedKetama,
    /// libmemcached with `MEMCACHED_DISTRIBUTION_MODULA`.
    LibmemcachedModula,
    /// libmemcached with `MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY`.
    LibmemcachedSpy,
    /// The original libketama.
    Libketama,
    /// redis-rb's `Redis::Distributed`, up to 4.x.
    RedisRb4,
    /// redis-rb's `Redis::Distributed` from 5.0, with redis-client from 0.21: a node is named without `/0`.
    RedisRb5,
    /// redis-rb's `Redis::Distributed` from 5.0, with redis-client before 0.21: a node is named with its database always.
    RedisRb5Db,
    /// predis's `HashRing`, its default.
    PredisHashring,
    /// predis's `KetamaRing`.
    PredisKetama,
    /// Jedis's `ShardedJedis`, `MURMUR_HASH`, shards without names.
    JedisMurmur,
    /// Jedis's `ShardedJedis`, `MD5`, shards without names.
    JedisMd5,
    /// Jedis's `ShardedJedis`, `MURMUR_HASH`, shards with names.
    JedisMurmurNamed,
    /// Jedis's `ShardedJedis`, `MD5`, shards with names.
    JedisMd5Named,
    /// go-redis's `Ring`.
    GoRedisRing,
    /// Envoy's redis proxy over a cluster with `RING_HASH`, `hash_function` `XX_HASH` (its default).
    ///
    /// Names are the hosts' hash keys: the `hash_key` of the metadata `envoy.lb`, else the hostname with `use_hostname_for_hashing`, else
    /// `ip:port`. They stand in the order of the endpoints in Envoy's configuration, which decides where points do not share out evenly.
    /// Weights are the endpoints' `load_balancing_weight` (default 1, in all at most 2^32 - 1). One priority, no locality weights, every
    /// host healthy: what Envoy did with a key while a host was out is not in this. Tag: the whole key; with the option `hash_tag` (`{}`,
    /// its `enable_hashtagging`) what stands between the first `{` and the next `}`, if not empty.
    ///
    /// In binary64: `s[n] = weight[n] / (sum of weights)`, `least` is the smallest of these, and `scale` is the smaller of
    /// `ceil(least * ring_points_min) / least` and `ring_points_max`. With `made = due = 0`, for each node in order: `due = due + scale * s[n]`,
    /// each operation rounded once; then for `i` = 0, 1, 2, ..., while `made < due`, the node has the point `xxh64("{name}_{i}")` (seed 0, `i`
    /// in decimal without padding) and `made = made + 1`. A node may have no point.
    ///
    /// The hash of a key is MurmurHash2 of 64 bits as in libstdc++ ([`crate::hash::murmur_libstdcxx`]), whatever the points' hash is. A key
    /// belongs to the node of the first point that is not below it; above the last point, to the node of the first one. Refused: equal points
    /// of different nodes (Envoy sorts by points alone, unstably); `ring_points_min` above `ring_points_max`, or either not 1 to 8,388,608;
    /// weights with which a fused `due + scale * s[n]`, rounded once in all, gives a node another number of points, as compilers for ARM may
    /// fuse it.
    ///
    /// Source: Envoy (main, 2026), `ring_hash_lb.cc`, `thread_aware_lb_impl.cc`, `redis_cluster_lb.cc`.
    EnvoyRingXxhash,
    /// Envoy's redis proxy over a cluster with `RING_HASH`, `hash_function` `MURMUR_HASH_2`.
    ///
    /// As [`EnvoyRingXxhash`](Algorithm::EnvoyRingXxhash), but a point is the hash that keys have, of the same text.
    EnvoyRingMurmur2,
    /// Envoy's redis proxy over a cluster with `MAGLEV`.
    ///
    /// Names, weights, tag and the hash of a key are those of [`EnvoyRingXxhash`](Algorithm::EnvoyRingXxhash); the order of the nodes is of no
    /// importance. The table has `M` entries: the option `table_entries`, a prime up to 5,000,011.
    ///
    /// A node wants the entries `(offset + k * skip) % M` for `k` = 0, 1, 2, ..., where `offset = xxh64(name) % M` with seed 0 and
    /// `skip = xxh64(name) % (M - 1) + 1` with seed 1. With `s[n]` as there, `most` the largest of them, and a `due[n]` for each node that is 0
    /// at first: in rounds `r` = 1, 2, 3, ... the nodes have their turns in the order of their names' bytes; a node with `r * s[n] < due[n]`
    /// (binary64) lets it pass, another takes the first entry it wants that is still free, and `due[n] = due[n] + most`. The fill ends when no
    /// entry is free. A key belongs to the node in entry `hash % M`. Refused: more nodes than entries; equal labels.
    ///
    /// Source: Envoy (main, 2026), `maglev_lb.cc`, and as there.
    EnvoyMaglev,
    /// The slots of Codis.
    CodisSlots,
    /// The slots of Redis Cluster.
    RedisClusterSlots,

    /// A function in the program's own code, a [`Custom`](super::Custom): its name and version are the specification as far as this crate knows
    /// it. The function is given the whole key and the number of nodes; there are no hash tags but those it looks for, no weights and no labels,
    /// and names are not hashed. A node that there is not is a panic, never another place. [`Placement::custom`](super::Placement::custom) makes
    /// one in code, and a [`ConfigReader`](crate::config::ConfigReader) that was given the function from a cluster file: `custom = "NAME"` and
    /// `version = 3` beside the nodes.
    Custom,
}

impl Algorithm {
    /// All of them, in the order of the specification, each with its name in a cluster file.
    const NAMES: [(Algorithm, &'static str); 32] = [
        (Algorithm::Ketama, "ketama"),
        (Algorithm::Modulo, "modulo"),
        (Algorithm::Rendezvous, "rendezvous"),
        (Algorithm::Jump, "jump"),
        (Algorithm::Maglev, "maglev"),
        (Algorithm::NydusKetama, "nydus-ketama"),
        (Algorithm::NydusPartition, "nydus-partition"),
        (Algorithm::RbKetama, "rb-ketama"),
        (Algorithm::RbPartition, "rb-partition"),
        (Algorithm::TwemproxyKetama, "twemproxy-ketama"),
        (Algorithm::TwemproxyModula, "twemproxy-modula"),
        (Algorithm::LibmemcachedWeighted, "libmemcached-weighted"),
        (Algorithm::LibmemcachedKetama, "libmemcached-ketama"),
        (Algorithm::LibmemcachedModula, "libmemcached-modula"),
        (Algorithm::LibmemcachedSpy, "libmemcached-spy"),
        (Algorithm::Libketama, "libketama"),
        (Algorithm::RedisRb4, "redis-rb-4"),
        (Algorithm::RedisRb5, "redis-rb-5"),
        (Algorithm::RedisRb5Db, "redis-rb-5-db"),
        (Algorithm::PredisHashring, "predis-hashring"),
        (Algorithm::PredisKetama, "predis-ketama"),
        (Algorithm::JedisMurmur, "jedis-murmur"),
        (Algorithm::JedisMd5, "jedis-md5"),
        (Algorithm::JedisMurmurNamed, "jedis-murmur-named"),
        (Algorithm::JedisMd5Named, "jedis-md5-named"),
        (Algorithm::GoRedisRing, "go-redis-ring"),
        (Algorithm::EnvoyRingXxhash, "envoy-ring-xxhash"),
        (Algorithm::EnvoyRingMurmur2, "envoy-ring-murmur2"),
        (Algorithm::EnvoyMaglev, "envoy-maglev"),
        (Algorithm::CodisSlots, "codis-slots"),
        (Algorithm::RedisClusterSlots, "redis-cluster-slots"),
        (Algorithm::Custom, "custom"),
    ];

    /// All that this crate has: keyway's own, then the presets. [`Custom`](Algorithm::Custom) is none of them.
    pub fn all() -> impl Iterator<Item = Algorithm> + Clone {
        let all = Algorithm::NAMES.iter().map(|(algorithm, _)| *algorithm);
        all.filter(|algorithm| *algorithm != Algorithm::Custom)
    }

    /// keyway's own, for new data.
    pub const OWN: [Algorithm; 5] = [
        Algorithm::Ketama,
        Algorithm::Modulo,
        Algorithm::Rendezvous,
        Algorithm::Jump,
        Algorithm::Maglev,
    ];

    /// The name as written in a cluster file.
    pub fn name(self) -> &'static str {
        let named = Algorithm::NAMES
            .iter()
            .find(|(algorithm, _)| *algorithm == self);
        named.map_or("", |(_, name)| name)
    }

    /// It places keys as another program does.
    pub fn is_preset(self) -> bool {
        !Algorithm::OWN.contains(&self) && self != Algorithm::Custom
    }

    /// The largest weight of a node; 1 where the algorithm knows no weights.
    pub fn weight_max(self) -> u32 {
        use Algorithm::*;
        match self {
            Ketama | Rendezvous | Maglev => super::WEIGHT_MAX,
            JedisMurmur | JedisMd5 | JedisMurmurNamed | JedisMd5Named => super::WEIGHT_MAX,
            TwemproxyKetama | TwemproxyModula | LibmemcachedWeighted | Libketama
            | PredisHashring | PredisKetama | EnvoyRingXxhash | EnvoyRingMurmur2 | EnvoyMaglev => {
                super::PRESET_WEIGHT_MAX
            }
            _ => 1,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        Algorithm::NAMES
            .into_iter()
            .find(|(_, name)| *name == text)
            .map(|(algorithm, _)| algorithm)
            .ok_or_else(|| UnknownAlgorithm {
                read: text.to_owned(),
            })
    }
}

/// A text that names no [`Algorithm`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown placement algorithm {read:?}: expected ketama, modulo, rendezvous, jump or maglev, or a preset such as twemproxy-ketama, in lower case"
)]
pub struct UnknownAlgorithm {
    read: String,
}

/// What some presets have to be told beside the nodes, as it stood in the other program's configuration. `None` is that program's default; what
/// a preset has no use for is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Options {
    /// The hash of the keys: twemproxy's `hash` (default `fnv1a_64`), libmemcached's `MEMCACHED_BEHAVIOR_HASH` (default `one_at_a_time`).
    pub hash: Option<Hashkit>,
    /// The two characters around a hash tag: twemproxy's `hash_tag`, any two ASCII ones; `{}` for Jedis's `DEFAULT_KEY_TAG_PATTERN` and
    /// Envoy's `enable_hashtagging`. Without it, those hash whole keys.
    pub hash_tag: Option<[u8; 2]>,
    /// Envoy's `minimum_ring_size` (default 1,024).
    pub ring_points_min: Option<u32>,
    /// Envoy's `maximum_ring_size` (default 8,388,608).
    pub ring_points_max: Option<u32>,
    /// Envoy's `maglev_table_size` (default 65,537): a prime, at most 5,000,011.
    pub table_entries: Option<u32>,
}
