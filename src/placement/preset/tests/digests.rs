//! Where every preset puts 100,000 keys, pinned: a released preset never changes.

use super::Options;
use crate::hash::{Hashkit, crc32};
use crate::placement::{Algorithm, Label, NodeSpec, Placement, PlacementError};
use std::thread;

/// A changed number here means that data cannot be found any more. The numbers were confirmed by a second implementation, written in Python
/// from the specification; not those of round robin, which places no key.
#[test]
fn every_key_is_where_the_first_release_of_the_preset_put_it() {
    let keys = keys();
    let presets = Algorithm::all().filter(|algorithm| algorithm.is_preset());
    let text: String = thread::scope(|scope| {
        let keys = &keys;
        let started: Vec<_> = presets
            .map(|preset| scope.spawn(move || lines(preset, keys)))
            .collect();
        let lines = started.into_iter().map(|thread| thread.join().unwrap());
        lines.collect()
    });
    insta::assert_snapshot!(text, @"
    nydus-ketama over 3 nodes: b9ea8a95
    nydus-ketama over 64 nodes: f3c20a28
    nydus-ketama over 1000 nodes: clash at 1064903453
    nydus-ketama over 64 nodes: a59b5628 (labels)
    nydus-partition over 3 nodes: 882c5287
    nydus-partition over 64 nodes: a478fc5f
    nydus-partition over 1000 nodes: 6e448f4a
    nydus-round-robin over 3 nodes: 5da0ab14
    nydus-round-robin over 64 nodes: a478fc5f
    nydus-round-robin over 1000 nodes: 5eb37e54
    rb-ketama over 3 nodes: e6d40726
    rb-ketama over 64 nodes: ffd74cf0
    rb-ketama over 1000 nodes: clash at 1204238913
    rb-partition over 3 nodes: 882c5287
    rb-partition over 64 nodes: a478fc5f
    rb-partition over 1000 nodes: 6e448f4a
    twemproxy-ketama over 3 nodes: a0747d56
    twemproxy-ketama over 64 nodes: eea8e8f9
    twemproxy-ketama over 1000 nodes: clash at 3812949838
    twemproxy-ketama, hash one_at_a_time over 64 nodes: d2bde023
    twemproxy-ketama, hash md5 over 64 nodes: 654eafa5
    twemproxy-ketama, hash crc16 over 64 nodes: 27d98c9c
    twemproxy-ketama, hash crc32 over 64 nodes: 851308d1
    twemproxy-ketama, hash crc32a over 64 nodes: 214bb7f8
    twemproxy-ketama, hash fnv1_64 over 64 nodes: 501af671
    twemproxy-ketama, hash fnv1a_64 over 64 nodes: eea8e8f9
    twemproxy-ketama, hash fnv1_32 over 64 nodes: ed5cd220
    twemproxy-ketama, hash fnv1a_32 over 64 nodes: 982c115e
    twemproxy-ketama, hash hsieh over 64 nodes: 52d79cf5
    twemproxy-ketama, hash murmur over 64 nodes: 1a8062cf
    twemproxy-ketama, hash jenkins over 64 nodes: 11aeaad4
    twemproxy-ketama, hash_tag {} over 64 nodes: 082cfa4c
    twemproxy-ketama, hash_tag [] over 64 nodes: f656a6ce
    twemproxy-ketama, hash_tag aa over 64 nodes: 1fca91ef
    twemproxy-ketama over 64 nodes, total weight 253: 6a1d49b1
    twemproxy-ketama over 64 nodes, total weight 28320: a7d43e6b (steep)
    twemproxy-ketama over 64 nodes: de431777 (labels)
    twemproxy-modula over 3 nodes: f6fe05c7
    twemproxy-modula over 64 nodes: b5e1deb4
    twemproxy-modula over 1000 nodes: 824727c2
    twemproxy-modula, hash one_at_a_time over 64 nodes: bd39ff80
    twemproxy-modula, hash md5 over 64 nodes: 858fc09e
    twemproxy-modula, hash crc16 over 64 nodes: 53be77bd
    twemproxy-modula, hash crc32 over 64 nodes: 91047aaa
    twemproxy-modula, hash crc32a over 64 nodes: f8650ca4
    twemproxy-modula, hash fnv1_64 over 64 nodes: aaa837cd
    twemproxy-modula, hash fnv1a_64 over 64 nodes: b5e1deb4
    twemproxy-modula, hash fnv1_32 over 64 nodes: 1b48ae42
    twemproxy-modula, hash fnv1a_32 over 64 nodes: bd641632
    twemproxy-modula, hash hsieh over 64 nodes: 088eb5a6
    twemproxy-modula, hash murmur over 64 nodes: 928dcf45
    twemproxy-modula, hash jenkins over 64 nodes: c0e4b46f
    twemproxy-modula, hash_tag {} over 64 nodes: d9ceeeeb
    twemproxy-modula, hash_tag [] over 64 nodes: bdeda727
    twemproxy-modula, hash_tag aa over 64 nodes: c55f9aeb
    twemproxy-modula over 64 nodes, total weight 253: ef6640e4
    twemproxy-modula over 64 nodes, total weight 28320: d4824474 (steep)
    twemproxy-modula over 64 nodes: f0d35c88 (labels)
    libmemcached-weighted over 3 nodes: 94dbb8c1
    libmemcached-weighted over 64 nodes: 526e1af7
    libmemcached-weighted over 1000 nodes: clash at 1664472395
    libmemcached-weighted over 64 nodes, total weight 253: 97e9e821
    libmemcached-weighted over 64 nodes, total weight 28320: 0b0dd6aa (steep)
    libmemcached-weighted over 64 nodes: e0b46d64 (labels)
    libmemcached-ketama over 3 nodes: 6356fa5d
    libmemcached-ketama over 64 nodes: 01b5e482
    libmemcached-ketama over 1000 nodes: 3d8e33e1
    libmemcached-ketama, hash one_at_a_time over 64 nodes: 01b5e482
    libmemcached-ketama, hash md5 over 64 nodes: f5cfe9dc
    libmemcached-ketama, hash crc32 over 64 nodes: clash at 23
    libmemcached-ketama, hash fnv1_64 over 64 nodes: 2ec0792d
    libmemcached-ketama, hash fnv1a_64 over 64 nodes: 1148dfdf
    libmemcached-ketama, hash fnv1_32 over 64 nodes: 2e70c32a
    libmemcached-ketama, hash fnv1a_32 over 64 nodes: 37485947
    libmemcached-ketama, hash hsieh over 64 nodes: a3431647
    libmemcached-ketama, hash murmur over 64 nodes: d9579f61
    libmemcached-ketama, hash jenkins over 64 nodes: bfeef297
    libmemcached-ketama over 64 nodes: 8bd5fc85 (labels)
    libmemcached-modula over 3 nodes: f141ee6b
    libmemcached-modula over 64 nodes: d22b40b9
    libmemcached-modula over 1000 nodes: e2bf39b3
    libmemcached-modula, hash one_at_a_time over 64 nodes: d22b40b9
    libmemcached-modula, hash md5 over 64 nodes: 74fcf7e2
    libmemcached-modula, hash crc32 over 64 nodes: 65eed9d8
    libmemcached-modula, hash fnv1_64 over 64 nodes: 3393ba2e
    libmemcached-modula, hash fnv1a_64 over 64 nodes: 1fdd8b6e
    libmemcached-modula, hash fnv1_32 over 64 nodes: c851f040
    libmemcached-modula, hash fnv1a_32 over 64 nodes: 7f0ba3be
    libmemcached-modula, hash hsieh over 64 nodes: 7a0d374a
    libmemcached-modula, hash murmur over 64 nodes: 13f92def
    libmemcached-modula, hash jenkins over 64 nodes: 0f900ab0
    libmemcached-spy over 3 nodes: 46d316ae
    libmemcached-spy over 64 nodes: 9075dc99
    libmemcached-spy over 1000 nodes: 1a15f4c5
    libmemcached-spy, hash one_at_a_time over 64 nodes: 9075dc99
    libmemcached-spy, hash md5 over 64 nodes: 96081015
    libmemcached-spy, hash crc32 over 64 nodes: clash at 121
    libmemcached-spy, hash fnv1_64 over 64 nodes: c0638f2a
    libmemcached-spy, hash fnv1a_64 over 64 nodes: 7862d24e
    libmemcached-spy, hash fnv1_32 over 64 nodes: 280277d6
    libmemcached-spy, hash fnv1a_32 over 64 nodes: 982588ee
    libmemcached-spy, hash hsieh over 64 nodes: 331fa2c8
    libmemcached-spy, hash murmur over 64 nodes: 2edadf6d
    libmemcached-spy, hash jenkins over 64 nodes: bbcc8730
    libmemcached-spy over 64 nodes: 5fc03a18 (labels)
    libmemcached-spy-weighted over 3 nodes: 336b1810
    libmemcached-spy-weighted over 64 nodes: f0438d2f
    libmemcached-spy-weighted over 1000 nodes: clash at 32240213
    libmemcached-spy-weighted over 64 nodes, total weight 253: d26e339b
    libmemcached-spy-weighted over 64 nodes, total weight 28320: 7da8eaa5 (steep)
    libmemcached-spy-weighted over 64 nodes: 4ce9160b (labels)
    libketama over 3 nodes: e450aa8c
    libketama over 64 nodes: bcc6ff7c
    libketama over 1000 nodes: clash at 3225172275
    libketama over 64 nodes, total weight 253: 1d5dfd8f
    libketama over 64 nodes, total weight 28320: 2b0ca4dc (steep)
    libketama over 64 nodes: ce4da8b7 (labels)
    redis-rb-4 over 3 nodes: 2466c7bd
    redis-rb-4 over 64 nodes: f6f66e31
    redis-rb-4 over 1000 nodes: 8a20f8c5
    redis-rb-4 over 64 nodes: 746c6565 (labels)
    redis-rb-5 over 3 nodes: a1b20247
    redis-rb-5 over 64 nodes: d0cf92fd
    redis-rb-5 over 1000 nodes: 969eecc9
    redis-rb-5 over 64 nodes: 78a5d60d (labels)
    redis-rb-5-db over 3 nodes: c203df6e
    redis-rb-5-db over 64 nodes: 5c10f439
    redis-rb-5-db over 1000 nodes: e4bc85b2
    redis-rb-5-db over 64 nodes: ded62d08 (labels)
    predis-hashring over 3 nodes: d9d1fc05
    predis-hashring over 64 nodes: 6a964125
    predis-hashring over 1000 nodes: 31b0456f
    predis-hashring over 64 nodes, total weight 253: a04559ce
    predis-hashring over 64 nodes, total weight 28320: 7ea841c7 (steep)
    predis-hashring over 64 nodes: f1057ddf (labels)
    predis-ketama over 3 nodes: 19728cca
    predis-ketama over 64 nodes: abc867d1
    predis-ketama over 1000 nodes: ea297213
    predis-ketama over 64 nodes, total weight 253: 37f2a4db
    predis-ketama over 64 nodes, total weight 28320: 640d4e0f (steep)
    predis-ketama over 64 nodes: fcd83b53 (labels)
    jedis-murmur over 3 nodes: 66ef28c1
    jedis-murmur over 64 nodes: 4f611872
    jedis-murmur over 1000 nodes: dd75664f
    jedis-murmur, hash_tag {} over 64 nodes: 0bb95379
    jedis-murmur over 64 nodes, total weight 253: f8ba11c8
    jedis-md5 over 3 nodes: 727db8e4
    jedis-md5 over 64 nodes: 5390dee3
    jedis-md5 over 1000 nodes: 90441b05
    jedis-md5, hash_tag {} over 64 nodes: e9e14519
    jedis-md5 over 64 nodes, total weight 253: c893388b
    jedis-murmur-named over 3 nodes: 33afdc4b
    jedis-murmur-named over 64 nodes: 238468ac
    jedis-murmur-named over 1000 nodes: 8b52f6db
    jedis-murmur-named, hash_tag {} over 64 nodes: 21226c04
    jedis-murmur-named over 64 nodes, total weight 253: 1ef2ff93
    jedis-murmur-named over 64 nodes: a44eb801 (labels)
    jedis-md5-named over 3 nodes: c2eb4453
    jedis-md5-named over 64 nodes: e120902a
    jedis-md5-named over 1000 nodes: ce0e870c
    jedis-md5-named, hash_tag {} over 64 nodes: b5dc53fa
    jedis-md5-named over 64 nodes, total weight 253: 92630abd
    jedis-md5-named over 64 nodes: 6f46697c (labels)
    go-redis-ring over 3 nodes: d1f7aa39
    go-redis-ring over 64 nodes: 2b589b38
    go-redis-ring over 1000 nodes: f3cad216
    go-redis-ring over 64 nodes: 433793dd (labels)
    envoy-ring-xxhash over 3 nodes: 0dc4a435
    envoy-ring-xxhash over 64 nodes: e9b1af65
    envoy-ring-xxhash over 1000 nodes: 090084de
    envoy-ring-xxhash, hash_tag {} over 64 nodes: f7de8ddf
    envoy-ring-xxhash, ring_points_min 100000 over 64 nodes: 18bd5f12
    envoy-ring-xxhash, ring_points_min 1, ring_points_max 100 over 64 nodes: 06cc9864
    envoy-ring-xxhash over 64 nodes, total weight 253: a63652a5
    envoy-ring-xxhash over 64 nodes, total weight 28320: 0d396773 (steep)
    envoy-ring-xxhash over 64 nodes: 68992a3d (labels)
    envoy-ring-murmur2 over 3 nodes: 061d76d6
    envoy-ring-murmur2 over 64 nodes: c835e659
    envoy-ring-murmur2 over 1000 nodes: 38c39734
    envoy-ring-murmur2, hash_tag {} over 64 nodes: d55402d3
    envoy-ring-murmur2, ring_points_min 100000 over 64 nodes: 9470455a
    envoy-ring-murmur2, ring_points_min 1, ring_points_max 100 over 64 nodes: cae44d52
    envoy-ring-murmur2 over 64 nodes, total weight 253: 0e6e3f27
    envoy-ring-murmur2 over 64 nodes, total weight 28320: 111ccbb4 (steep)
    envoy-ring-murmur2 over 64 nodes: e2cdfd3d (labels)
    envoy-maglev over 3 nodes: f56fc85f
    envoy-maglev over 64 nodes: 8a5cec68
    envoy-maglev over 1000 nodes: f3e34883
    envoy-maglev, hash_tag {} over 64 nodes: 3a7c4342
    envoy-maglev, table_entries 65521 over 64 nodes: cf5b1725
    envoy-maglev, table_entries 67 over 64 nodes: 5c0bf0b0
    envoy-maglev over 64 nodes, total weight 253: b005b541
    envoy-maglev over 64 nodes, total weight 28320: 9e5be40c (steep)
    envoy-maglev over 64 nodes: d072fa8c (labels)
    codis-slots over 1024 nodes: 874f0e60
    redis-cluster-slots over 16384 nodes: 0ae1fa9c
    ");
}

/// A line for each placement: what it is, and its digest.
fn lines(preset: Algorithm, keys: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for (what, options, nodes) in cases(preset) {
        let count = nodes.len();
        let found = match Placement::with_options(preset, options, nodes) {
            Ok(placement) => {
                format!("{}: {:08x}", placement.describe(), digest(&placement, keys))
            }
            Err(PlacementError::PointClash { point, .. }) => {
                let hash = options
                    .hash
                    .map_or(String::new(), |hash| format!(", hash {hash}"));
                format!("{preset}{hash} over {count} nodes: clash at {point}")
            }
            Err(refusal) => panic!("{preset}{what}: {refusal}"),
        };
        text.push_str(&format!("{found}{what}\n"));
    }
    text
}

/// CRC-32 of the node numbers of all keys, each as a little-endian u16.
fn digest(placement: &Placement, keys: &[Vec<u8>]) -> u32 {
    let numbers: Vec<u8> = keys
        .iter()
        .flat_map(|key| placement.node(key).0.to_le_bytes())
        .collect();
    crc32(&numbers)
}

/// Half of them `key:N`; a quarter any bytes, in lengths from 0 to 64; a quarter of up to eleven pieces that some rule for tags looks at.
fn keys() -> Vec<Vec<u8>> {
    const PIECES: [&[u8]; 16] = [
        b"{",
        b"}",
        b"{",
        b"}",
        b"a",
        b"user:",
        b"{tag}",
        b"{}",
        b"[",
        b"]",
        b"\n",
        b"\r",
        b"\0",
        b"\xff",
        "\u{e9}".as_bytes(),
        "\u{2028}".as_bytes(),
    ];
    let mut state = 0;
    // SplitMix64.
    let mut random = || {
        state = u64::wrapping_add(state, 0x9E37_79B9_7F4A_7C15);
        let z = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ z >> 31) as usize
    };
    (0..100_000)
        .map(|i| match i % 4 {
            0 => (0..i / 4 % 65).map(|_| random() as u8).collect(),
            1 => (0..i / 4 % 12)
                .flat_map(|_| PIECES[random() % 16])
                .copied()
                .collect(),
            _ => format!("key:{i}").into_bytes(),
        })
        .collect()
}

/// Every option, weights and labels, each with what its description does not say. All keys of a single node are on it, so that is not here.
fn cases(preset: Algorithm) -> Vec<(&'static str, Options, Vec<NodeSpec>)> {
    use Algorithm::*;
    let none = Options::default();
    let counts: &[u32] = match preset {
        CodisSlots => return vec![("", none, nodes(preset, 1_024))],
        RedisClusterSlots => return vec![("", none, nodes(preset, 16_384))],
        _ => &[3, 64, 1_000],
    };
    let mut cases: Vec<_> = counts
        .iter()
        .map(|&count| ("", none, nodes(preset, count)))
        .collect();
    let mut with = |options| cases.push(("", options, nodes(preset, 64)));
    for hash in Hashkit::all().filter(|_| preset.takes("hash")) {
        if matches!(preset, TwemproxyKetama | TwemproxyModula)
            || !matches!(hash, Hashkit::Crc16 | Hashkit::Crc32a)
        {
            with(Options {
                hash: Some(hash),
                ..none
            });
        }
    }
    if preset.takes("hash_tag") {
        with(Options {
            hash_tag: Some(*b"{}"),
            ..none
        });
    }
    if matches!(preset, TwemproxyKetama | TwemproxyModula) {
        with(Options {
            hash_tag: Some(*b"[]"),
            ..none
        });
        with(Options {
            hash_tag: Some(*b"aa"),
            ..none
        });
    }
    if preset.takes("ring_points_min") {
        with(Options {
            ring_points_min: Some(100_000),
            ..none
        });
        with(Options {
            ring_points_min: Some(1),
            ring_points_max: Some(100),
            ..none
        });
    }
    if preset.takes("table_entries") {
        with(Options {
            table_entries: Some(65_521),
            ..none
        });
        with(Options {
            table_entries: Some(67),
            ..none
        });
    }
    if preset.weight_max() > 1 {
        cases.push(("", none, weighted(nodes(preset, 64), |i| 1 + i % 7)));
    }
    if preset.weight_max() > 100 {
        cases.push((
            " (steep)",
            none,
            weighted(nodes(preset, 64), |i| 1 + i * i * i % 1_000),
        ));
    }
    if preset.takes_labels() && !matches!(preset, RbKetama) {
        cases.push((" (labels)", none, labelled(nodes(preset, 64))));
    }
    cases
}

fn nodes(preset: Algorithm, count: u32) -> Vec<NodeSpec> {
    (0..count).map(|i| NodeSpec::new(name(preset, i))).collect()
}

fn weighted(mut nodes: Vec<NodeSpec>, weight: impl Fn(u32) -> u32) -> Vec<NodeSpec> {
    for (node, i) in nodes.iter_mut().zip(0..) {
        node.weight = weight(i);
    }
    nodes
}

/// Every other one with a label.
fn labelled(mut nodes: Vec<NodeSpec>) -> Vec<NodeSpec> {
    for (i, node) in nodes.iter_mut().enumerate().skip(1).step_by(2) {
        node.label = Some(Label::new(format!("label-{i}")));
    }
    nodes
}

/// In every form that the original has for one.
fn name(preset: Algorithm, i: u32) -> String {
    use Algorithm::*;
    let host = format!("10.0.{}.{}", i / 200, i % 200);
    match preset {
        NydusKetama => format!("redis://{host}:6379/{}", i % 3),
        RbKetama => format!(
            "<HostInfo db=0 host='{host}' host_id={i} password=None port=6379 ssl=False ssl_options=None unix_socket_path=None>"
        ),
        TwemproxyKetama
        | TwemproxyModula
        | LibmemcachedWeighted
        | LibmemcachedKetama
        | LibmemcachedSpy
        | LibmemcachedSpyWeighted => match i % 4 {
            0 => format!("{host}:11211"),
            1 => format!("{host}:6379"),
            2 => format!("/run/{i}.sock"),
            _ => format!("name{i}"),
        },
        Libketama | PredisHashring | PredisKetama | EnvoyRingXxhash | EnvoyRingMurmur2
        | EnvoyMaglev => format!("{host}:6379"),
        RedisRb4 => match i % 4 {
            0 => format!("redis://{host}"),
            1 => format!("redis://{host}:7000"),
            2 => format!("redis://{host}/5"),
            _ => format!("id-{i}"),
        },
        RedisRb5 | RedisRb5Db => match i % 6 {
            0 => format!("redis://{host}"),
            1 => format!("rediss://{host}:7000"),
            2 => format!("redis://{host}/5"),
            3 => format!("unix:///run/{i}.sock"),
            4 => format!("unix:/run/{i}.sock"),
            _ => format!("id-{i}"),
        },
        NydusPartition | NydusRoundRobin | RbPartition | LibmemcachedModula | JedisMurmur
        | JedisMd5 | JedisMurmurNamed | JedisMd5Named | GoRedisRing | CodisSlots
        | RedisClusterSlots => {
            format!("shard{i}")
        }
        own => panic!("{own}: give its nodes names here, and pin its digests"),
    }
}
