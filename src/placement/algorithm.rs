//! The algorithms by name: keyway's own, and those of other programs.

use crate::hash::Hashkit;
use std::fmt;
use std::str::FromStr;

/// How a key becomes a node. `FromStr` and `Display` use the names of the cluster file, in lower case: `ketama`, `twemproxy-modula`.
///
/// The first five are keyway's own, the last one is the program's. The others are **presets**: each places every key exactly where another
/// program put it, so that its data is found. What they have in common is in the [module's text](super#presets).
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
    ///
    /// A node's name is its connection's identifier: `redis://{host}:{port}/{db}`, or the `identifier` of nydus's configuration. No weights.
    /// Whole keys are hashed. Each node has 160 points: for `i` from 0 to 39 the MD5 digest of `{name}-{i}-salt` gives four, read as with
    /// [`Ketama`](Algorithm::Ketama). A key belongs to the node of the first point that is **above** the first four bytes of its MD5 digest,
    /// read likewise; if none is, to that of the first point of all. Refused: a name `redis://...` with an `@`, and two nodes with one point,
    /// as nydus keeps hosts in a set, whose order is not defined. Source: nydus 0.11.0, `nydus/contrib/ketama.py`,
    /// `nydus/db/routers/keyvalue.py`, `nydus/db/backends/redis.py`.
    NydusKetama,
    /// nydus's `PartitionRouter`.
    ///
    /// A node's index is the host's number in nydus, and its name is free. No weights. Whole keys are hashed. With `c` the `crc32` of the key
    /// read as a **signed** 32-bit integer, the node's index is `c % n`, rounded so that it is never negative. Source: nydus 0.11.0,
    /// `nydus/db/routers/keyvalue.py`, under Python 2.
    NydusPartition,
    /// nydus's `RoundRobinRouter`: no key has a home.
    ///
    /// A node's index is the host's number in nydus, and its name is free. No weights, though a server with two nodes has two turns. It is for
    /// data that somebody else keeps equal on all servers, and for data of which any server may have any part: queues that all are emptied,
    /// counters that are summed over the servers by [`Servers::each`](crate::Servers::each).
    ///
    /// Every call goes to the next node in turn, counted from 0 in each process; of several tasks each takes its own turn. A node whose server is
    /// not connected is passed over while another is, and the count goes on with it. What keys a command has, and how many, does not matter:
    /// the server sees all of it, and nothing is split or gathered. A pipeline, batch or transaction is one call, for all of whose commands
    /// one node has its turn; `for_key` and `dedicated` take a turn for what they return. A call is tried on another node if it was not sent,
    /// whatever it is; if it may have been executed, only if it is a read, and in a batch only before a write of that batch was answered. nydus
    /// tries again what may have been executed, too: by default 19 times.
    ///
    /// What is given up: a write is on one server, and the next call asks another one. Nothing reads its own writes, unless in one pipeline or
    /// transaction, on a dedicated connection, or through `for_key`, `on_node` or `on_server`.
    ///
    /// Only a **channel** of pub/sub has a node, so that publisher and subscriber meet: its index is `crc32(channel) % n`, of the whole name. This is
    /// what [`Placement::node`](super::Placement::node) answers, and no rule of nydus's. SCAN and KEYS over the cluster are refused, as no
    /// server owns a key.
    ///
    /// Source: nydus 0.11.0, `nydus/db/routers/base.py`, `nydus/db/base.py`.
    NydusRoundRobin,
    /// rb's `ConsistentHashingRouter`.
    ///
    /// As [`NydusKetama`](Algorithm::NydusKetama), but a node is hashed by the `repr` of its `HostInfo`, all on one line: `<HostInfo db=0
    /// host='127.0.0.1' host_id=0 password=None port=6379 ssl=False ssl_options=None unix_socket_path=None>`. That text is the node's label,
    /// and its name is free; where it has no password, it may be the name. Refused: another text, a name with a password in it, two nodes with
    /// one point. Source: rb 1.11.0, `rb/ketama.py`, `rb/cluster.py`.
    RbKetama,
    /// rb's `PartitionRouter`.
    ///
    /// As [`NydusPartition`](Algorithm::NydusPartition); a node's index is the host's id in rb. Source: rb 1.11.0, `rb/router.py`.
    RbPartition,
    /// twemproxy with `distribution: ketama` (twemproxy 0.5.0, `nc_conf.c`, `nc_server.c`, `nc_ketama.c`).
    ///
    /// A name is what stood in `servers:`: the server's own name if its line ends in one, else its `host:port`, or its `/path`; a weight is the
    /// one there. Its label is the name, but `host` alone of a name that ends in `:11211` (or in that with zeros after the colon), and of a
    /// name that begins with `/` the name and a colon. A [`NodeSpec::label`](super::NodeSpec::label) is taken as it is.
    ///
    /// A node of weight `w` among `n` with the sum `W` has `d = floor(w / W * 160 / 4 * n)` digests, where `w`, `W` and `n` are made binary32
    /// and each step, from left to right, is rounded to it; it may be 0, and is 39 for 25 equal nodes. For `i` from 0 to `d - 1` the MD5 digest
    /// of `{label}-{i}` gives four points, as in [`Ketama`](Algorithm::Ketama). The hash of a key is [`Options::hash`] (default `fnv1a_64`), of
    /// an empty key 0; it is of what stands between the first of the one byte of [`Options::hash_tag`] and the first of the other after it,
    /// unless there is no such pair or nothing between them. A key belongs to the node of the first point that is not below its hash; above the
    /// last, to that of the first one.
    ///
    /// twemproxy's own choice among equal points of two nodes is an unstable sort's: they are refused. So are two nodes with one label, a name
    /// with a space, or with the weight in it. With `auto_eject_hosts` its keys move while a server is out; here they never do.
    TwemproxyKetama,
    /// twemproxy with `distribution: modula` (twemproxy 0.5.0, `nc_conf.c`, `nc_modula.c`).
    ///
    /// Names, labels, weights, the hash and the tag of a key as in [`TwemproxyKetama`](Algorithm::TwemproxyKetama). The nodes are sorted by
    /// their labels, shorter ones first, those of one length by bytes, and each is repeated as often as its weight says. A key belongs to the entry
    /// `hash % W` of that list, counted from 0. The weights add up to at most 16,777,216.
    TwemproxyModula,
    /// libmemcached with `MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED` (libmemcached 1.1.4, `hosts.cc`, `hash.cc`).
    ///
    /// A name is `host:port`, `host` for port 11211 (or 0, which means it), or a socket's `/path`, whose port is 0. Its label is `{host}`
    /// on port 11211, else `{host}:{port}` (decimal, no padding). Points and lookup are those of [`TwemproxyKetama`](Algorithm::TwemproxyKetama)
    /// with this label; the hash of a key is the first four bytes of its MD5 digest, little-endian, and [`Options::hash`] is refused:
    /// libmemcached ignores what was set before. Keys have no tags.
    ///
    /// Equal labels of two nodes are refused, and equal points: they are an unstable sort's choice up to libmemcached 1.0, and the first node's in
    /// 1.1.
    LibmemcachedWeighted,
    /// libmemcached with `MEMCACHED_BEHAVIOR_KETAMA`, which is also `MEMCACHED_DISTRIBUTION_CONSISTENT`.
    ///
    /// Names and labels as in [`LibmemcachedWeighted`](Algorithm::LibmemcachedWeighted). Each node has 100 points, for `i` from 0 to 99 the
    /// hash of `{label}-{i}`. That hash is also the one of the keys, [`Options::hash`]: any that libmemcached has (neither `crc16` nor
    /// `crc32a`), by default `one_at_a_time`. Lookup and clashes as there. Weights are refused: with one above 1 libmemcached's ring is
    /// another.
    LibmemcachedKetama,
    /// libmemcached with `MEMCACHED_DISTRIBUTION_MODULA`, its default.
    ///
    /// The node's index is `hash % n`, with [`Options::hash`] as in [`LibmemcachedKetama`](Algorithm::LibmemcachedKetama). The nodes are in the
    /// order in which libmemcached has them: as they were added, unless `MEMCACHED_BEHAVIOR_SORT_HOSTS` sorted them. No weights; names are not
    /// hashed.
    LibmemcachedModula,
    /// libmemcached with `MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY` alone.
    ///
    /// As [`LibmemcachedKetama`](Algorithm::LibmemcachedKetama), but the label is always `/{host}:{port}`.
    LibmemcachedSpy,
    /// libmemcached with `MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED`, then `MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY`: the ring of spymemcached.
    ///
    /// As [`LibmemcachedWeighted`](Algorithm::LibmemcachedWeighted), but the label is always `/{host}:{port}`.
    LibmemcachedSpyWeighted,
    /// The original libketama (RJ/ketama, `libketama/ketama.c`, 2007 to 2014).
    ///
    /// A name is the address in the servers' file, of at most 21 bytes, without spaces, not beginning with `#`; a weight is the number after it
    /// (as the program read it: of a last line without a line end, it loses the last digit).
    ///
    /// A node of weight `w` among `n` with the sum `W` has `d = floor(w / W * 40 * n)` digests, which may be 0: `w`, `W` and their quotient are
    /// rounded to binary32, the products, from left to right, are binary64, and what is rounded down is binary32 again. For `i` from 0 to
    /// `d - 1` the MD5 digest of `{name}-{i}` gives four points, as in [`Ketama`](Algorithm::Ketama). The hash of a key is the first four bytes
    /// of its MD5 digest, little-endian; a key is a string of C there and ends before its first NUL. A key belongs to the node of the first
    /// point that is not below its hash; above the last, to that of the first one. Equal points of two nodes are refused: the original's sort
    /// is unstable.
    Libketama,
    /// redis-rb's `Redis::Distributed`, up to 4.x.
    ///
    /// Hash tag: a key is cut at its line feeds; the first of these lines that begins with `{` and has a `}` in its third byte or later gives
    /// what stands between the `{` and the first such `}`; if no line does, the whole key is hashed. (In Ruby, `/^\{(.+?)\}/`.)
    ///
    /// A node's id is its label, if it has one, which then is what redis-rb prints for `distributed.nodes.map(&:id)`. If not, it comes from its
    /// name, the URL that redis-rb was given: `redis://{host}:{port}/{database}`, with port 6379 and database 0 where the name has none. A name
    /// that is no URL is an `:id` from redis-rb's configuration, and hashed as it is.
    ///
    /// No weights. Each node has 160 points: for `i` from 0 to 159 the `crc32` of `{id}:{i}`. Of equal points the node with the highest index
    /// has it. A key belongs to the node of the last point that is **not above** its `crc32`; below the first point, to that of the last one.
    ///
    /// Refused: two nodes with one id; URLs that versions hash differently (`rediss://`, `unix:`, an address in brackets: give the id as the
    /// label); URLs with a user, a password, a query or anything unusual; names like `host:port` or a path, which are no ids to redis-rb. Source:
    /// redis-rb 3.3.5 and 4.8.1, `lib/redis/hash_ring.rb`, `distributed.rb`, `client.rb`.
    RedisRb4,
    /// redis-rb's `Redis::Distributed` from 5.0, with redis-client from 0.21: a node is named without `/0`.
    ///
    /// As [`RedisRb4`](Algorithm::RedisRb4), but a point is the first four bytes of the MD5 digest of `{id}:{i}`, read as a **big-endian** 32-bit
    /// integer, and ids are `redis://{host}:{port}` or `rediss://{host}:{port}`, followed by `/{database}` unless that is 0, and for
    /// `unix:///path` and `unix:/path` `unix://{path}`, followed by `?db={database}` unless that is 0. Refused as there, with only an address in
    /// brackets for what versions hash differently. Source: redis-rb 5.4.1, `lib/redis/hash_ring.rb`; redis-client 0.21.0 to 0.30.0,
    /// `lib/redis_client/config.rb`, `server_url`.
    RedisRb5,
    /// redis-rb's `Redis::Distributed` from 5.0, with redis-client before 0.21: a node is named with its database always.
    ///
    /// As [`RedisRb5`](Algorithm::RedisRb5), but ids are `redis://{host}:{port}/{database}` or `rediss://{host}:{port}/{database}`, where an
    /// address has no brackets, and `{path}/{database}` for a `unix:` URL. Source: redis-rb 5.0.0 and 5.1.0; redis-client 0.7.0 to 0.20.0,
    /// `lib/redis_client/config.rb`, `server_url`.
    RedisRb5Db,
    /// predis's `HashRing`, its default, on 64-bit PHP.
    ///
    /// Hash tags as in keyway's own. A node's name is `{host}:{port}` (predis's defaults are `127.0.0.1` and `6379`; an address of version 6 has
    /// no brackets), or the path of its unix socket; a label is hashed as it is in its place.
    ///
    /// Weights are those of predis's configuration, where a node without one has 100; only their ratio counts, so if no node has one, leave them
    /// out here too. With `n` nodes and `total` the sum of weights, a node has `r` points, where `r` is `weight / total * n * 128` in binary64,
    /// each step rounded, from left to right, then rounded to the nearest integer, halves up; it may be 0. Its points are, for `i` from 0 to
    /// `r - 1`, the `crc32` of `{name}:{i}`. Of equal points the node with the highest index has it. A key belongs to the node of the last point
    /// that is **not above** its `crc32`; below the first point, to that of the last one.
    ///
    /// Refused: a name with a scheme, or without a port; a node whose `weight / total * n * 128` is below a half by less than one part in 10^14,
    /// as PHP rounds that up before version 8.4 and down from there on. Source: predis 1.1.10, 2.4.1 and 3.6.0,
    /// `src/Cluster/Distributor/HashRing.php`, `src/Cluster/ClusterStrategy.php`.
    PredisHashring,
    /// predis's `KetamaRing`.
    ///
    /// Hash tags, names, weights and refusals of names as with [`PredisHashring`](Algorithm::PredisHashring), but `r` is `weight / total * n *
    /// 40`, rounded down (39 for 49 nodes of equal weight), and for `i` from 0 to `r - 1` the MD5 digest of `{name}-{i}` gives four points, read
    /// as with [`Ketama`](Algorithm::Ketama). Of equal points the node with the highest index has it. A key belongs to the node of the first
    /// point that is not below the first four bytes of its MD5 digest, read likewise; above the last point, to that of the first one. Source:
    /// predis 1.1.10, 2.4.1 and 3.6.0, `src/Cluster/Distributor/KetamaRing.php`.
    PredisKetama,
    /// Jedis's `ShardedJedis` (to 3.x) and `JedisSharding` (4.x and 5.x), `MURMUR_HASH`, which is their default, shards without names.
    ///
    /// A node's index is the shard's position in the list that Jedis was given, and its name is free. Each node has `160 * weight` points: for
    /// `i` from 0 to `160 * weight - 1` the [`murmur64a`](crate::hash::murmur64a) of `SHARD-{index}-NODE-{i}`. Of equal points the node with the
    /// highest index has it. A key belongs to the node of the first point that is not below its `murmur64a`; above the last point, to that of the
    /// first one. (Jedis compares signed numbers, which finds the same node.) The sum of weights is at most
    /// [`KETAMA_WEIGHT_TOTAL_MAX`](super::KETAMA_WEIGHT_TOTAL_MAX).
    ///
    /// Without [`Options::hash_tag`] whole keys are hashed. With `{}`, Jedis's `DEFAULT_KEY_TAG_PATTERN`, keys that are no UTF-8 are hashed whole,
    /// and the others are cut at every U+000A, U+000D, U+0085, U+2028 and U+2029: the first of these lines that has a `{` and, at least one
    /// character further on, a `}` gives what stands between the first `{` and the first such `}`; if no line does, the whole key is hashed.
    /// (In Java, `\{(.+?)\}`.) A program that gave Jedis its keys as `byte[]` had no tags, whatever the pattern. Refused: any other pair.
    ///
    /// Source: Jedis 3.10.0, `util/Sharded.java`, `util/MurmurHash.java`; Jedis 4.4.8 places the same.
    JedisMurmur,
    /// Jedis's `ShardedJedis` and `JedisSharding`, `MD5`, shards without names.
    ///
    /// As [`JedisMurmur`](Algorithm::JedisMurmur), but the hash of points and keys is the first four bytes of the MD5 digest, read as a
    /// little-endian 32-bit integer. Source: Jedis 3.10.0, `util/Sharded.java`, `util/Hashing.java`.
    JedisMd5,
    /// Jedis's `ShardedJedis` (to 3.x), `MURMUR_HASH`, shards with names.
    ///
    /// As [`JedisMurmur`](Algorithm::JedisMurmur), but a node's name is the shard's, and its points are the hashes of `{name}*{i}`. Source: Jedis
    /// 3.10.0, `util/Sharded.java`.
    JedisMurmurNamed,
    /// Jedis's `ShardedJedis` (to 3.x), `MD5`, shards with names.
    ///
    /// As [`JedisMurmurNamed`](Algorithm::JedisMurmurNamed), with the hash of [`JedisMd5`](Algorithm::JedisMd5).
    JedisMd5Named,
    /// go-redis's `Ring`, from version 8.
    ///
    /// Hash tags as in keyway's own. A node's name is the shard's, its key in `RingOptions.Addrs`. No weights. The bid of a node for a key is
    /// `mix(xxh64(key) ^ xxh64(name))`, where `mix(z)` is, on 64 bits: `z = z ^ z >> 12; z = z ^ z << 25; z = z ^ z >> 27; z *
    /// 2685821657736338717`. The highest bid wins. Equal bids need two names with one `xxh64`; go-redis then takes either, keyway the node with
    /// the lowest index. A `Ring` with a `NewConsistentHash` of its own is another one. Source: go-redis 9.5.1, `ring.go`, and
    /// dgryski/go-rendezvous, `rdv.go`.
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
    ///
    /// A node is a slot, so that there are 1,024, in order, with names as you like; any other number is refused. Hash tag: what stands between
    /// the first `{` and the first `}` after it, **even if that is nothing**; without such a pair the whole key. The node's index is
    /// `crc32(key) % 1024`. Source: Codis 3.2.2, `pkg/proxy/mapper.go`.
    CodisSlots,
    /// The slots of Redis Cluster.
    ///
    /// A node is a slot, so that there are 16,384, in order, with names as you like; any other number is refused. Hash tags as in keyway's own.
    /// The node's index is `crc16(key) % 16384`, with the [`crc16`](crate::hash::crc16) of the specification's appendix A. Source: Redis Cluster
    /// specification, "Key distribution model".
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
    const NAMES: [(Algorithm, &'static str); 34] = [
        (Algorithm::Ketama, "ketama"),
        (Algorithm::Modulo, "modulo"),
        (Algorithm::Rendezvous, "rendezvous"),
        (Algorithm::Jump, "jump"),
        (Algorithm::Maglev, "maglev"),
        (Algorithm::NydusKetama, "nydus-ketama"),
        (Algorithm::NydusPartition, "nydus-partition"),
        (Algorithm::NydusRoundRobin, "nydus-round-robin"),
        (Algorithm::RbKetama, "rb-ketama"),
        (Algorithm::RbPartition, "rb-partition"),
        (Algorithm::TwemproxyKetama, "twemproxy-ketama"),
        (Algorithm::TwemproxyModula, "twemproxy-modula"),
        (Algorithm::LibmemcachedWeighted, "libmemcached-weighted"),
        (Algorithm::LibmemcachedKetama, "libmemcached-ketama"),
        (Algorithm::LibmemcachedModula, "libmemcached-modula"),
        (Algorithm::LibmemcachedSpy, "libmemcached-spy"),
        (
            Algorithm::LibmemcachedSpyWeighted,
            "libmemcached-spy-weighted",
        ),
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

    /// It says of every key where that is. [`NydusRoundRobin`](Algorithm::NydusRoundRobin) alone does not.
    pub fn has_homes(self) -> bool {
        self != Algorithm::NydusRoundRobin
    }

    /// The largest weight of a node; 1 where the algorithm knows no weights.
    pub fn weight_max(self) -> u32 {
        use Algorithm::*;
        match self {
            Ketama | Rendezvous | Maglev => super::WEIGHT_MAX,
            JedisMurmur | JedisMd5 | JedisMurmurNamed | JedisMd5Named => super::WEIGHT_MAX,
            TwemproxyKetama
            | TwemproxyModula
            | LibmemcachedWeighted
            | LibmemcachedSpyWeighted
            | Libketama
            | PredisHashring
            | PredisKetama
            | EnvoyRingXxhash
            | EnvoyRingMurmur2
            | EnvoyMaglev => super::PRESET_WEIGHT_MAX,
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
