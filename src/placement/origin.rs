//! What the presets are called where they come from.

use super::Algorithm;

impl Algorithm {
    /// Where keys are placed like this, in the words of the other program; of keyway's own algorithms, "keyway".
    pub fn original(self) -> &'static str {
        use Algorithm::*;
        match self {
            Ketama | Modulo | Rendezvous | Jump | Maglev => "keyway",
            NydusKetama => "nydus, ConsistentHashingRouter",
            NydusPartition => "nydus, PartitionRouter",
            NydusRoundRobin => "nydus, RoundRobinRouter",
            RbKetama => "rb, ConsistentHashingRouter",
            RbPartition => "rb, PartitionRouter",
            TwemproxyKetama => "twemproxy, distribution: ketama",
            TwemproxyModula => "twemproxy, distribution: modula",
            LibmemcachedWeighted => "libmemcached, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED",
            LibmemcachedKetama => "libmemcached, MEMCACHED_BEHAVIOR_KETAMA",
            LibmemcachedModula => "libmemcached, MEMCACHED_DISTRIBUTION_MODULA",
            LibmemcachedSpyWeighted => {
                "libmemcached, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, then MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY"
            }
            LibmemcachedSpy => "libmemcached, MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY",
            Libketama => "libketama",
            RedisRb4 => "redis-rb up to 4.x",
            RedisRb5 => "redis-rb from 5.0 with redis-client from 0.21",
            RedisRb5Db => "redis-rb from 5.0 with redis-client before 0.21",
            PredisHashring => "predis, HashRing, its default",
            PredisKetama => "predis, KetamaRing",
            JedisMurmur => "Jedis, MURMUR_HASH, shards without names",
            JedisMd5 => "Jedis, MD5, shards without names",
            JedisMurmurNamed => "Jedis, MURMUR_HASH, shards with names",
            JedisMd5Named => "Jedis, MD5, shards with names",
            GoRedisRing => "go-redis, Ring",
            EnvoyRingXxhash => "Envoy, RING_HASH, XX_HASH",
            EnvoyRingMurmur2 => "Envoy, RING_HASH, MURMUR_HASH_2",
            EnvoyMaglev => "Envoy, MAGLEV",
            CodisSlots => "Codis",
            RedisClusterSlots => "Redis Cluster",
            Custom => "a function of the program's own",
        }
    }

    /// The other program, for those of which there are several algorithms: `twemproxy` of `twemproxy-modula`.
    pub(super) fn family(self) -> Option<&'static str> {
        const FAMILIES: [&str; 8] = [
            "nydus",
            "rb",
            "twemproxy",
            "libmemcached",
            "redis-rb",
            "predis",
            "jedis",
            "envoy",
        ];
        let is_of = |family: &&str| {
            self.name()
                .strip_prefix(*family)
                .is_some_and(|rest| rest.starts_with('-'))
        };
        FAMILIES.into_iter().find(is_of)
    }

    /// Those that a person may mean by a part of the name: the other program's, or what that calls it.
    pub(crate) fn of_origin(text: &str) -> Vec<Algorithm> {
        const ALSO: [(&str, &str); 6] = [
            ("nutcracker", "twemproxy"),
            ("memcached", "libmemcached"),
            ("redis-distributed", "redis-rb"),
            ("sharded-jedis", "jedis"),
            ("shardedjedis", "jedis"),
            ("goredis", "go-redis"),
        ];
        let text = text.to_lowercase().replace(['_', ' '], "-");
        let origin = ALSO
            .iter()
            .find(|(also, _)| *also == text)
            .map_or(text.as_str(), |(_, origin)| origin);
        let is_part = |algorithm: &Algorithm| {
            let name = algorithm.name();
            name.strip_prefix(origin)
                .is_some_and(|rest| rest.starts_with('-'))
                || name
                    .strip_suffix(origin)
                    .is_some_and(|rest| rest.ends_with('-'))
        };
        Algorithm::all().filter(is_part).collect()
    }
}
