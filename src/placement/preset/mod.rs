//! Presets: every key exactly where another program put it.
//!
//! One file per origin says what is peculiar to it, as a [`Recipe`]; here is what they have in common.

mod codis;
mod envoy;
mod go_redis;
mod jedis;
mod libketama;
mod libmemcached;
mod nydus;
mod predis;
mod rb;
mod redis_cluster;
mod redis_rb;
mod twemproxy;

use super::modulo::Remainder;
use super::ring::{Ring, WideRing};
use super::{Algorithm, NodeSpec, Options, PlacementError};
use crate::hash::{
    Hashkit, TagRule, crc16, crc32, md5, md5_le, murmur_libstdcxx, murmur64a, xxh64,
};

/// What a preset comes down to: which part of the key is hashed, how, and how that finds a node.
pub(super) struct Recipe {
    pub(super) tag: TagRule,
    pub(super) hash: KeyHash,
    pub(super) find: Find,
}

/// The hash of a key, as the original has it. Those of 32 bits are widened by zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyHash {
    /// twemproxy: as libhashkit, but the hash of an empty key is 0.
    Twemproxy(Hashkit),
    Hashkit(Hashkit),
    /// The first four bytes of the MD5 digest, little-endian.
    Md5,
    /// CRC-32 (IEEE).
    Crc32,
    /// CRC-16/XMODEM.
    Crc16,
    /// MurmurHash64A with Jedis's seed.
    Murmur64A,
    /// MurmurHash2, 64 bits, as libstdc++ has it.
    MurmurLibstdcxx,
    /// XXH64, seed 0.
    Xxh64,
}

/// How a hash finds its node.
pub(super) enum Find {
    Circle(Circle),
    /// `hash % order.len()`, which is a position in `order`.
    Modulo {
        order: Vec<u16>,
    },
    /// CRC-32 as a signed number, modulo so many nodes, never negative: Python's `%`.
    SignedModulo {
        node_count: u16,
    },
    /// The highest bid, `mix(hash ^ name)`, of go-redis.
    HighestBid {
        names: Vec<u64>,
    },
    /// `table[hash % table.len()]`.
    Table(Vec<u16>),
}

/// Points on a circle.
pub(super) struct Circle {
    /// Points and hashes have 64 bits, not 32.
    pub(super) is_wide: bool,
    pub(super) pick: Pick,
    pub(super) clash: Clash,
    pub(super) marks: Marks,
}

/// Calls back with every text that is hashed to points, in the original's order: the node, the text, its points.
pub(super) type Marks = fn(Algorithm, &Options, &[NodeSpec], &mut dyn FnMut(u16, &str, &[u64]));

/// Whose point a hash takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// The first that is not below it; past the end, the first of all.
    AtOrAfter,
    /// The first above it; past the end, the first of all.
    After,
    /// The last that is not above it; before the first, the last of all.
    AtOrBefore,
}

/// Points of different nodes that are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clash {
    /// Whose it is depends on the order of a hash table or of an unstable sort: such a list of nodes is refused.
    Undefined,
    /// The node that came later has it.
    LaterWins,
}

/// A preset that answers.
pub(super) struct Preset {
    tag: TagRule,
    /// What the hash comes down to: one call, where matching on it would cost as much as a short key's hash.
    hash: fn(&[u8]) -> u64,
    hash_of_empty: u64,
    finder: Finder,
}

impl Preset {
    /// What its tables take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match &self.finder {
            Finder::Ring(ring) => ring.bytes(),
            Finder::WideRing(ring) => ring.bytes(),
            Finder::Modulo { order, .. } => size_of_val(&**order),
            Finder::SignedModulo { .. } => 0,
            Finder::HighestBid { names } => size_of_val(&**names),
            Finder::Table(table) => size_of_val(&**table),
        }
    }
}

enum Finder {
    Ring(Ring),
    WideRing(WideRing),
    Modulo {
        order: Box<[u16]>,
        position: Remainder,
    },
    SignedModulo {
        node_count: u16,
    },
    HighestBid {
        names: Box<[u64]>,
    },
    Table(Box<[u16]>),
}

pub(super) fn recipe(
    algorithm: Algorithm,
    options: &Options,
    nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    use Algorithm::*;
    match algorithm {
        NydusKetama | NydusPartition => nydus::recipe(algorithm, options, nodes),
        RbKetama | RbPartition => rb::recipe(algorithm, options, nodes),
        TwemproxyKetama | TwemproxyModula => twemproxy::recipe(algorithm, options, nodes),
        LibmemcachedWeighted
        | LibmemcachedKetama
        | LibmemcachedModula
        | LibmemcachedSpy
        | LibmemcachedSpyWeighted => libmemcached::recipe(algorithm, options, nodes),
        Libketama => libketama::recipe(algorithm, options, nodes),
        RedisRb4 | RedisRb5 | RedisRb5Db => redis_rb::recipe(algorithm, options, nodes),
        PredisHashring | PredisKetama => predis::recipe(algorithm, options, nodes),
        JedisMurmur | JedisMd5 | JedisMurmurNamed | JedisMd5Named => {
            jedis::recipe(algorithm, options, nodes)
        }
        GoRedisRing => go_redis::recipe(algorithm, options, nodes),
        EnvoyRingXxhash | EnvoyRingMurmur2 | EnvoyMaglev => {
            envoy::recipe(algorithm, options, nodes)
        }
        CodisSlots => codis::recipe(algorithm, options, nodes),
        RedisClusterSlots => redis_cluster::recipe(algorithm, options, nodes),
        NydusRoundRobin => unreachable!("it places no key"),
        Ketama | Modulo | Rendezvous | Jump | Maglev | Custom => {
            unreachable!("neither keyway's own nor the program's are presets")
        }
    }
}

impl Preset {
    /// The tables for these nodes.
    pub(super) fn new(
        algorithm: Algorithm,
        options: &Options,
        nodes: &[NodeSpec],
    ) -> Result<Preset, PlacementError> {
        let Recipe { tag, hash, find } = recipe(algorithm, options, nodes)?;
        let finder = match find {
            Find::Circle(circle) => {
                let points = circle.points(algorithm, options, nodes)?;
                if circle.is_wide {
                    Finder::WideRing(WideRing::new(&circle.pick.arcs(points, u64::MAX)))
                } else {
                    let arcs = circle.pick.arcs(points, u64::from(u32::MAX));
                    let arcs: Vec<_> = arcs
                        .into_iter()
                        .map(|(end, node)| (end as u32, node))
                        .collect();
                    Finder::Ring(Ring::new(&arcs, nodes.len()))
                }
            }
            Find::Modulo { order } => Finder::Modulo {
                position: Remainder::new(order.len() as u32),
                order: order.into(),
            },
            Find::SignedModulo { node_count } => Finder::SignedModulo { node_count },
            Find::HighestBid { names } => Finder::HighestBid {
                names: names.into(),
            },
            Find::Table(table) => Finder::Table(table.into()),
        };
        Ok(Preset {
            tag,
            hash: hash.function(),
            hash_of_empty: hash.of(b""),
            finder,
        })
    }

    /// The node of a key.
    pub(super) fn node(&self, key: &[u8]) -> u16 {
        let hash = self.hash(key);
        match &self.finder {
            Finder::Ring(ring) => ring.node(hash as u32),
            Finder::WideRing(ring) => ring.node(hash),
            Finder::Modulo { order, position } => order[position.of(hash as u32) as usize],
            // Not two multiplications: the sign would be a branch that nobody can predict.
            Finder::SignedModulo { node_count } => (hash as u32)
                .cast_signed()
                .rem_euclid(i32::from(*node_count))
                as u16,
            Finder::HighestBid { names } => go_redis::highest_bid(names, hash),
            Finder::Table(table) => table[(hash % table.len() as u64) as usize],
        }
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        let hashed = match self.tag {
            TagRule::Whole => key,
            _ => self.hashed(key),
        };
        if hashed.is_empty() {
            self.hash_of_empty
        } else {
            (self.hash)(hashed)
        }
    }

    /// One of 256 parts of the ring; without a ring, the hash.
    pub(super) fn neighbourhood(&self, key: &[u8]) -> u64 {
        let hash = self.hash(key);
        match &self.finder {
            Finder::Ring(_) => hash >> 24,
            Finder::WideRing(_) => hash >> 56,
            _ => hash,
        }
    }

    pub(super) fn tag(&self) -> TagRule {
        self.tag
    }

    /// The part of a key that is hashed.
    #[inline(never)]
    pub(super) fn hashed<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        self.tag.apply(key)
    }
}

impl KeyHash {
    pub(super) fn of(self, bytes: &[u8]) -> u64 {
        match self {
            KeyHash::Twemproxy(_) if bytes.is_empty() => 0,
            hash => (hash.function())(bytes),
        }
    }

    /// The function, for keys that are not empty.
    fn function(self) -> fn(&[u8]) -> u64 {
        match self {
            KeyHash::Twemproxy(hash) | KeyHash::Hashkit(hash) => match hash {
                Hashkit::OneAtATime => |bytes| u64::from(Hashkit::OneAtATime.hash(bytes)),
                Hashkit::Md5 => |bytes| u64::from(Hashkit::Md5.hash(bytes)),
                Hashkit::Crc16 => |bytes| u64::from(Hashkit::Crc16.hash(bytes)),
                Hashkit::Crc32 => |bytes| u64::from(Hashkit::Crc32.hash(bytes)),
                Hashkit::Crc32a => |bytes| u64::from(Hashkit::Crc32a.hash(bytes)),
                Hashkit::Fnv1_64 => |bytes| u64::from(Hashkit::Fnv1_64.hash(bytes)),
                Hashkit::Fnv1a64 => |bytes| u64::from(Hashkit::Fnv1a64.hash(bytes)),
                Hashkit::Fnv1_32 => |bytes| u64::from(Hashkit::Fnv1_32.hash(bytes)),
                Hashkit::Fnv1a32 => |bytes| u64::from(Hashkit::Fnv1a32.hash(bytes)),
                Hashkit::Hsieh => |bytes| u64::from(Hashkit::Hsieh.hash(bytes)),
                Hashkit::Murmur => |bytes| u64::from(Hashkit::Murmur.hash(bytes)),
                Hashkit::Jenkins => |bytes| u64::from(Hashkit::Jenkins.hash(bytes)),
            },
            KeyHash::Md5 => |bytes| u64::from(md5_le(bytes)),
            KeyHash::Crc32 => |bytes| u64::from(crc32(bytes)),
            KeyHash::Crc16 => |bytes| u64::from(crc16(bytes)),
            KeyHash::Murmur64A => murmur64a,
            KeyHash::MurmurLibstdcxx => murmur_libstdcxx,
            KeyHash::Xxh64 => xxh64,
        }
    }
}

impl Circle {
    /// All points in order, each once, with the node that has it.
    fn points(
        &self,
        algorithm: Algorithm,
        options: &Options,
        nodes: &[NodeSpec],
    ) -> Result<Vec<(u64, u16)>, PlacementError> {
        let mut points = Vec::new();
        (self.marks)(algorithm, options, nodes, &mut |node, _, of_text| {
            points.extend(of_text.iter().map(|point| (*point, node)));
        });
        // Stable: of equal points the one that came later is behind.
        points.sort_by_key(|(point, _)| *point);
        if self.clash == Clash::Undefined {
            let clash = points
                .windows(2)
                .find(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1);
            if let Some(&[(point, first), (_, second)]) = clash {
                let name = |node: u16| nodes[usize::from(node)].name.clone();
                return Err(PlacementError::PointClash {
                    algorithm,
                    point,
                    first: name(first),
                    second: name(second),
                });
            }
        }
        points.reverse();
        points.dedup_by_key(|(point, _)| *point);
        points.reverse();
        if points.is_empty() {
            return Err(PlacementError::Refused {
                algorithm,
                why: "no node has a point on the ring: the weights are too uneven".to_owned(),
            });
        }
        Ok(points)
    }
}

impl Pick {
    /// Points as arcs: each belongs to the node of the first end that is not below a hash; past the last end, to the first arc's.
    fn arcs(self, mut points: Vec<(u64, u16)>, hash_max: u64) -> Vec<(u64, u16)> {
        match self {
            Pick::AtOrAfter => {}
            Pick::After => {
                // Above p is at or after p + 1, so the arc of p ends at p - 1; that of 0 is where the circle closes.
                if points[0].0 == 0 {
                    points.rotate_left(1);
                }
                for (point, _) in &mut points {
                    *point = point.wrapping_sub(1) & hash_max;
                }
            }
            Pick::AtOrBefore => {
                // The arc of p ends before the next point; that of the last goes on to the first.
                let (first, last) = (points[0].0, points[points.len() - 1].1);
                for at in 1..points.len() {
                    points[at - 1].0 = points[at].0 - 1;
                }
                if let Some(end) = points.last_mut() {
                    end.0 = hash_max;
                }
                if first > 0 {
                    points.insert(0, (first - 1, last));
                }
            }
        }
        points
    }
}

/// A refusal of what a node is called. The name is shown, unless it may have a password in it.
fn refused_name(algorithm: Algorithm, node: usize, spec: &NodeSpec, why: &str) -> PlacementError {
    let name = &spec.name;
    let why = if name.contains('@') || name.contains("password") {
        format!("the name of node {node} {why}")
    } else {
        format!("the name {name:?} of node {node} {why}")
    };
    PlacementError::Refused { algorithm, why }
}

/// A port as programs print it.
fn is_port(text: &str) -> bool {
    text.parse::<u16>()
        .is_ok_and(|port| port > 0 && port.to_string() == text)
}

/// The four little-endian numbers of the MD5 digest.
pub(super) fn md5_points(text: &str) -> [u64; 4] {
    let digest = md5(text.as_bytes());
    std::array::from_fn(|at| {
        let bytes = &digest.as_chunks::<4>().0[at];
        u64::from(u32::from_le_bytes(*bytes))
    })
}

#[cfg(test)]
mod tests;
