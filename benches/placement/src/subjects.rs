//! What has turns: placements of keyway, the hashes of their keys, and other crates' rings.

use crate::build::{Built, weigh};
use hashring::{DefaultHashBuilder, HashRing};
use keyway::hash::{
    Hashkit, crc16, crc32, hash_tag, md5, murmur_libstdcxx, murmur64a, xxh3, xxh64,
};
use keyway::placement::{Algorithm, Label, NodeSpec, Placement, PlacementError};
use pingora_ketama::{Bucket, Continuum};
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Finds all of these keys and returns the sum of the answers. One call through a pointer for many keys, and the loop has the lookup inside.
pub type Pass = Box<dyn Fn(&[&[u8]]) -> u64>;

fn pass(find: impl Fn(&[u8]) -> u64 + 'static) -> Pass {
    Box::new(move |keys| {
        keys.iter()
            .fold(0, |sum: u64, key| sum.wrapping_add(find(key)))
    })
}

/// Why there is nothing to measure.
pub enum Absent {
    Refused(String),
    Missing(String),
}

/// keyway's, over so many nodes. Presets want names of different forms: the first one that this one takes.
pub fn keyway(algorithm: Algorithm, nodes: u16) -> Result<Built<Pass>, Absent> {
    let specs = suitable(algorithm, nodes)?;
    let built = weigh(
        || specs.clone(),
        // It has been built once, so it can be built again.
        |specs| Placement::new(algorithm, specs).ok(),
    );
    let Some(placement) = built.value else {
        return Err(Absent::Refused("refused the second time".to_owned()));
    };
    Ok(Built {
        value: pass(move |key| u64::from(placement.node(key).0)),
        build_ms: built.build_ms,
        bytes: built.bytes,
    })
}

/// Nodes that the algorithm takes.
fn suitable(algorithm: Algorithm, nodes: u16) -> Result<Vec<NodeSpec>, Absent> {
    // Where equal points are refused, other names may have none; with very many points all have some.
    const SALTS: u32 = 200;
    const PATIENCE: Duration = Duration::from_secs(3);

    let mut refusal = String::new();
    for form in FORMS {
        let start = Instant::now();
        for salt in 0..SALTS {
            let specs: Vec<NodeSpec> = (0..u32::from(nodes)).map(|node| form(node, salt)).collect();
            match quietly(|| Placement::new(algorithm, specs.clone())) {
                Err(panic) => return Err(Absent::Missing(panic)),
                Ok(Ok(_)) => return Ok(specs),
                Ok(Err(clash @ PlacementError::PointClash { .. })) => {
                    refusal = clash.to_string();
                    if start.elapsed() > PATIENCE {
                        return Err(Absent::Refused(refusal));
                    }
                }
                Ok(Err(error)) => {
                    refusal = error.to_string();
                    break;
                }
            }
        }
    }
    Err(Absent::Refused(refusal))
}

/// A panic as its message, and nothing on stderr.
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(hook);
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic").to_owned()
    })
}

type Form = fn(u32, u32) -> NodeSpec;

const FORMS: [Form; 6] = [
    |node, salt| NodeSpec::new(address(node, salt)),
    |node, salt| NodeSpec::new(format!("redis://{}/0", address(node, salt))),
    |node, salt| NodeSpec::new(format!("redis://{}", address(node, salt))),
    |node, salt| NodeSpec::new(format!("node-{salt}-{node:05}")),
    |node, _| NodeSpec::new(node.to_string()),
    |node, salt| {
        let mut spec = NodeSpec::new(node.to_string());
        let host = address(node, salt).replace(":6379", "");
        spec.label = Some(Label::new(format!(
            "<HostInfo db=0 host='{host}' host_id={node} password=None port=6379 ssl=False ssl_options=None unix_socket_path=None>"
        )));
        spec
    },
];

fn address(node: u32, salt: u32) -> String {
    format!("10.{salt}.{}.{}:6379", node >> 8, node & 255)
}

/// The name of the hash that keys have, where nothing else is said.
pub fn hash_name(algorithm: Algorithm) -> &'static str {
    use Algorithm::*;
    match algorithm {
        NydusPartition | RbPartition | RedisRb4 | RedisRb5 | RedisRb5Db => "crc32",
        // Of the hash tag, which is found first.
        Ketama | Modulo | PredisHashring | CodisSlots => "tag+crc32",
        Rendezvous | Jump | Maglev => "tag+xxh3",
        NydusKetama
        | RbKetama
        | LibmemcachedWeighted
        | LibmemcachedSpyWeighted
        | Libketama
        | PredisKetama
        | JedisMd5
        | JedisMd5Named => "md5",
        TwemproxyKetama | TwemproxyModula => "fnv1a_64",
        LibmemcachedKetama | LibmemcachedModula | LibmemcachedSpy => "one_at_a_time",
        JedisMurmur | JedisMurmurNamed => "murmur64a",
        GoRedisRing => "tag+xxh64",
        EnvoyRingXxhash | EnvoyRingMurmur2 | EnvoyMaglev => "murmur2",
        RedisClusterSlots => "tag+crc16",
        // The enum may grow; a test sees to it that this does.
        _ => "unknown",
    }
}

/// The hash alone. `Err` with what it panicked with.
pub fn hash(name: &str) -> Result<Pass, String> {
    let pass: Pass = match name {
        "tag+crc32" => pass(|key| u64::from(crc32(hash_tag(key)))),
        "tag+crc16" => pass(|key| u64::from(crc16(hash_tag(key)))),
        "tag+xxh3" => pass(|key| xxh3(hash_tag(key))),
        "tag+xxh64" => pass(|key| xxh64(hash_tag(key))),
        "crc32" => pass(|key| u64::from(crc32(key))),
        "crc16" => pass(|key| u64::from(crc16(key))),
        "xxh3" => pass(xxh3),
        "xxh64" => pass(xxh64),
        "murmur64a" => pass(murmur64a),
        "murmur2" => pass(murmur_libstdcxx),
        "md5" => pass(|key| {
            let [a, b, c, d, ..] = md5(key);
            u64::from(u32::from_le_bytes([a, b, c, d]))
        }),
        "siphash" => pass(|key| DefaultHashBuilder.hash_one(key)),
        name => match name.parse::<Hashkit>() {
            Ok(hashkit) => pass(move |key| u64::from(hashkit.hash(key))),
            Err(error) => return Err(error.to_string()),
        },
    };
    quietly(|| pass(&[b"key"]))?;
    Ok(pass)
}

/// Its nodes have addresses; that of a node says its number.
pub fn pingora(nodes: u16) -> Built<Pass> {
    let bucket = |port: u16| Bucket::new(SocketAddr::from(([10, 0, 0, 1], port)), 1);
    let buckets: Vec<Bucket> = (0..nodes).map(bucket).collect();
    let built = weigh(|| (), |()| Continuum::new(&buckets));
    let ring = built.value;
    Built {
        value: pass(move |key| {
            ring.node(key)
                .map_or(u64::MAX, |node| u64::from(node.port()))
        }),
        build_ms: built.build_ms,
        bytes: built.bytes,
    }
}

/// It has one point for each thing it is given: 160 of them are a node, as in ketama.
pub fn hashring(nodes: u16) -> Built<Pass> {
    let points = || -> Vec<(u16, u16)> {
        (0..nodes)
            .flat_map(|node| (0..160).map(move |point| (node, point)))
            .collect()
    };
    let built = weigh(points, |points| {
        let mut ring: HashRing<(u16, u16)> = HashRing::new();
        ring.batch_add(points);
        ring
    });
    let ring = built.value;
    Built {
        value: pass(move |key| {
            ring.get(&key)
                .map_or(u64::MAX, |(node, _)| u64::from(*node))
        }),
        build_ms: built.build_ms,
        // It gives the list of points back.
        bytes: built.bytes + i64::from(nodes) * 160 * size_of::<(u16, u16)>() as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_a_hash_that_is_known() {
        for algorithm in Algorithm::all().filter(|algorithm| algorithm.has_homes()) {
            let name = hash_name(algorithm);
            assert_ne!(name, "unknown", "{algorithm}");
            let said = hash(name).err().unwrap_or_default();
            assert!(!said.starts_with("unknown"), "{algorithm}: {said}");
        }
    }

    #[test]
    fn a_panic_is_missing_and_not_the_end_of_the_run() {
        assert_eq!(quietly(|| 7), Ok(7));
        let said = quietly(|| -> u8 { panic!("not yet implemented") });
        assert_eq!(said, Err("not yet implemented".to_owned()));
    }

    #[test]
    fn other_crates_answer_with_numbers_of_nodes() {
        let keys: Vec<String> = (0..1_000).map(|key| format!("user:{key}")).collect();
        for built in [pingora(7), hashring(7)] {
            let mut seen = [0; 7];
            for key in &keys {
                seen[(built.value)(&[key.as_bytes()]) as usize] += 1;
            }
            assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
        }
    }
}
