//! The table of Redis 7.0.15: one row a line, grouped as Redis groups its commands.
//!
//! `read` and `write` are routed by their keys; what differs from that is said after the keys. `each` is answered by every
//! server for itself, `only` needs a named server, `never` is refused and says what to do instead.

use super::{Access, Blocking, CommandId, Gather, Keys, Merge, Miss, Row, Rule, Split};

/// In memory once, ids filled in.
pub(super) static TABLE: [Row; ROWS.len()] = numbered();

const NONE: Keys = Keys::None;
const KEY: Keys = range(1, 1, 1);
const KEYS: Keys = range(1, -1, 1);
const TWO_KEYS: Keys = range(1, 2, 1);
/// Key and value alternate.
const PAIRS: Keys = range(1, -1, 2);
/// All but the last argument, which is a timeout.
const KEYS_TIMEOUT: Keys = range(1, -2, 1);
/// The key of a subcommand.
const SUB_KEY: Keys = range(2, 2, 1);
const COUNTED: Keys = counted(1, None);
const COUNTED_AT_2: Keys = counted(2, None);
const INTO_COUNTED: Keys = counted(2, Some(1));

/// What a constant function may read; everyone else reads [`TABLE`].
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // Keys of any type.
    write("COPY", TWO_KEYS), // with DB only through on_server: `Row::forbidden`
    write("DEL", KEYS).rule(Rule::Split(Split::Sum)),
    read("DUMP", KEY).miss(Miss::Nil),
    read("EXISTS", KEYS).rule(Rule::Split(Split::Sum)).miss(Miss::Zero),
    write("EXPIRE", KEY),
    write("EXPIREAT", KEY),
    read("EXPIRETIME", KEY).miss(Miss::MinusTwo),
    read("KEYS", NONE).rule(Rule::Everywhere(Merge::Concat)),
    only("MIGRATE", Keys::Migrate),
    only("MOVE", KEY),
    read("OBJECT ENCODING", SUB_KEY).miss(Miss::Nil),
    read("OBJECT FREQ", SUB_KEY).miss(Miss::Nil),
    each("OBJECT HELP"),
    read("OBJECT IDLETIME", SUB_KEY).miss(Miss::Nil),
    read("OBJECT REFCOUNT", SUB_KEY).miss(Miss::Nil),
    write("PERSIST", KEY),
    write("PEXPIRE", KEY),
    write("PEXPIREAT", KEY),
    read("PEXPIRETIME", KEY).miss(Miss::MinusTwo),
    read("PTTL", KEY).miss(Miss::MinusTwo),
    each("RANDOMKEY"), // a fair draw over servers of different sizes needs their sizes first
    write("RENAME", TWO_KEYS),
    write("RENAMENX", TWO_KEYS),
    write("RESTORE", KEY),
    write("RESTORE-ASKING", KEY),
    read("SCAN", NONE).rule(Rule::Scan),
    write("SORT", Keys::Sort), // a read without STORE: `Row::is_read`
    read("SORT_RO", Keys::Sort).miss(Miss::EmptyArray),
    read("TOUCH", KEYS).rule(Rule::Split(Split::Sum)).miss(Miss::Zero),
    read("TTL", KEY).miss(Miss::MinusTwo),
    read("TYPE", KEY).miss(Miss::StatusNone),
    write("UNLINK", KEYS).rule(Rule::Split(Split::Sum)),
    dedicated("WAIT", NONE, Access::Read).blocking(Blocking::MillisLast),
    dedicated("WAITAOF", NONE, Access::Read).blocking(Blocking::MillisLast).since(7, 2),

    // Strings.
    write("APPEND", KEY),
    write("DECR", KEY),
    write("DECRBY", KEY),
    read("GET", KEY).miss(Miss::Nil),
    write("GETDEL", KEY),
    write("GETEX", KEY), // a read without options: `Row::is_read`
    read("GETRANGE", KEY).miss(Miss::EmptyString),
    write("GETSET", KEY),
    write("INCR", KEY),
    write("INCRBY", KEY),
    write("INCRBYFLOAT", KEY),
    read("LCS", TWO_KEYS),
    read("MGET", KEYS).rule(Rule::Split(Split::Mget)).miss(Miss::NilPerKey),
    write("MSET", PAIRS).rule(Rule::Split(Split::Mset)).miss(Miss::DroppedWrite),
    write("MSETNX", PAIRS), // all or nothing, so one node
    write("PSETEX", KEY),
    write("SET", KEY).miss(Miss::DroppedWrite), // only when plain: `Row::is_plain_set`
    write("SETEX", KEY).miss(Miss::DroppedWrite),
    write("SETNX", KEY),
    write("SETRANGE", KEY),
    read("STRLEN", KEY).miss(Miss::Zero),
    read("SUBSTR", KEY).miss(Miss::EmptyString),

    // Bitmaps.
    read("BITCOUNT", KEY).miss(Miss::Zero),
    write("BITFIELD", KEY), // a read with nothing but GET: `Row::is_read`
    read("BITFIELD_RO", KEY),
    write("BITOP", range(2, -1, 1)),
    read("BITPOS", KEY), // -1 or 0 for a missing key, by the bit asked for
    read("GETBIT", KEY).miss(Miss::Zero),
    write("SETBIT", KEY),

    // HyperLogLogs.
    write("PFADD", KEY),
    read("PFCOUNT", KEYS).miss(Miss::Zero), // may cache its count inside the value, which no reply shows
    write("PFDEBUG", SUB_KEY),
    write("PFMERGE", KEYS),
    each("PFSELFTEST"),

    // Lists.
    write("BLMOVE", TWO_KEYS).blocking(Blocking::SecondsLast).arity(6),
    write("BLMPOP", COUNTED_AT_2).blocking(Blocking::SecondsAt(1)).arity(-5),
    write("BLPOP", KEYS_TIMEOUT).blocking(Blocking::SecondsLast).arity(-3),
    write("BRPOP", KEYS_TIMEOUT).blocking(Blocking::SecondsLast).arity(-3),
    write("BRPOPLPUSH", TWO_KEYS).blocking(Blocking::SecondsLast).arity(4),
    read("LINDEX", KEY).miss(Miss::Nil),
    write("LINSERT", KEY),
    read("LLEN", KEY).miss(Miss::Zero),
    write("LMOVE", TWO_KEYS),
    write("LMPOP", COUNTED).arity(-4),
    write("LPOP", KEY),
    read("LPOS", KEY), // nil, or with COUNT an empty array
    write("LPUSH", KEY),
    write("LPUSHX", KEY),
    read("LRANGE", KEY).miss(Miss::EmptyArray),
    write("LREM", KEY),
    write("LSET", KEY),
    write("LTRIM", KEY),
    write("RPOP", KEY),
    write("RPOPLPUSH", TWO_KEYS),
    write("RPUSH", KEY),
    write("RPUSHX", KEY),

    // Sets. A gathered command has no miss value: with one of its sets taken for empty, a difference would be too large.
    write("SADD", KEY),
    read("SCARD", KEY).miss(Miss::Zero),
    read("SDIFF", KEYS).rule(Rule::Gather(Gather::SDiff)),
    write("SDIFFSTORE", KEYS),
    read("SINTER", KEYS).rule(Rule::Gather(Gather::SInter)),
    read("SINTERCARD", COUNTED).rule(Rule::Gather(Gather::SInterCard)).arity(-3),
    write("SINTERSTORE", KEYS),
    read("SISMEMBER", KEY).miss(Miss::Zero),
    read("SMEMBERS", KEY).miss(Miss::EmptySet),
    read("SMISMEMBER", KEY).miss(Miss::ZeroPerField),
    write("SMOVE", TWO_KEYS),
    write("SPOP", KEY),
    read("SRANDMEMBER", KEY).miss(Miss::NilOrEmptyArray),
    write("SREM", KEY),
    read("SSCAN", KEY), // a scan that ended here would seem complete
    read("SUNION", KEYS).rule(Rule::Gather(Gather::SUnion)),
    write("SUNIONSTORE", KEYS),

    // Sorted sets.
    write("BZMPOP", COUNTED_AT_2).blocking(Blocking::SecondsAt(1)).arity(-5),
    write("BZPOPMAX", KEYS_TIMEOUT).blocking(Blocking::SecondsLast).arity(-3),
    write("BZPOPMIN", KEYS_TIMEOUT).blocking(Blocking::SecondsLast).arity(-3),
    write("ZADD", KEY),
    read("ZCARD", KEY).miss(Miss::Zero),
    read("ZCOUNT", KEY).miss(Miss::Zero),
    read("ZDIFF", COUNTED).rule(Rule::Gather(Gather::ZDiff)).arity(-3),
    write("ZDIFFSTORE", INTO_COUNTED).arity(-4),
    write("ZINCRBY", KEY),
    read("ZINTER", COUNTED).rule(Rule::Gather(Gather::ZInter)).arity(-3),
    read("ZINTERCARD", COUNTED).rule(Rule::Gather(Gather::ZInterCard)).arity(-3),
    write("ZINTERSTORE", INTO_COUNTED).arity(-4),
    read("ZLEXCOUNT", KEY).miss(Miss::Zero),
    write("ZMPOP", COUNTED).arity(-4),
    read("ZMSCORE", KEY).miss(Miss::NilPerField),
    write("ZPOPMAX", KEY),
    write("ZPOPMIN", KEY),
    read("ZRANDMEMBER", KEY).miss(Miss::NilOrEmptyArray),
    read("ZRANGE", KEY).miss(Miss::EmptyArray),
    read("ZRANGEBYLEX", KEY).miss(Miss::EmptyArray),
    read("ZRANGEBYSCORE", KEY).miss(Miss::EmptyArray),
    write("ZRANGESTORE", TWO_KEYS),
    read("ZRANK", KEY).miss(Miss::Nil),
    write("ZREM", KEY),
    write("ZREMRANGEBYLEX", KEY),
    write("ZREMRANGEBYRANK", KEY),
    write("ZREMRANGEBYSCORE", KEY),
    read("ZREVRANGE", KEY).miss(Miss::EmptyArray),
    read("ZREVRANGEBYLEX", KEY).miss(Miss::EmptyArray),
    read("ZREVRANGEBYSCORE", KEY).miss(Miss::EmptyArray),
    read("ZREVRANK", KEY).miss(Miss::Nil),
    read("ZSCAN", KEY),
    read("ZSCORE", KEY).miss(Miss::Nil),
    read("ZUNION", COUNTED).rule(Rule::Gather(Gather::ZUnion)).arity(-3),
    write("ZUNIONSTORE", INTO_COUNTED).arity(-4),

    // Hashes.
    write("HDEL", KEY),
    read("HEXISTS", KEY).miss(Miss::Zero),
    read("HGET", KEY).miss(Miss::Nil),
    read("HGETALL", KEY).miss(Miss::EmptyMap),
    write("HINCRBY", KEY),
    write("HINCRBYFLOAT", KEY),
    read("HKEYS", KEY).miss(Miss::EmptyArray),
    read("HLEN", KEY).miss(Miss::Zero),
    read("HMGET", KEY).miss(Miss::NilPerField),
    write("HMSET", KEY),
    read("HRANDFIELD", KEY).miss(Miss::NilOrEmptyArray),
    read("HSCAN", KEY),
    write("HSET", KEY),
    write("HSETNX", KEY),
    read("HSTRLEN", KEY).miss(Miss::Zero),
    read("HVALS", KEY).miss(Miss::EmptyArray),

    // Geography.
    write("GEOADD", KEY),
    read("GEODIST", KEY).miss(Miss::Nil),
    read("GEOHASH", KEY).miss(Miss::NilPerField),
    read("GEOPOS", KEY).miss(Miss::NilPerField),
    write("GEORADIUS", Keys::GeoRadius { options: 6 }), // a read without STORE and STOREDIST: `Row::is_read`
    write("GEORADIUSBYMEMBER", Keys::GeoRadius { options: 5 }),
    read("GEORADIUSBYMEMBER_RO", KEY).miss(Miss::EmptyArray),
    read("GEORADIUS_RO", KEY).miss(Miss::EmptyArray),
    read("GEOSEARCH", KEY).miss(Miss::EmptyArray),
    write("GEOSEARCHSTORE", TWO_KEYS),

    // Streams.
    write("XACK", KEY),
    write("XADD", KEY),
    write("XAUTOCLAIM", KEY),
    write("XCLAIM", KEY),
    write("XDEL", KEY),
    write("XGROUP CREATE", SUB_KEY),
    write("XGROUP CREATECONSUMER", SUB_KEY),
    write("XGROUP DELCONSUMER", SUB_KEY),
    write("XGROUP DESTROY", SUB_KEY),
    each("XGROUP HELP"),
    write("XGROUP SETID", SUB_KEY),
    read("XINFO CONSUMERS", SUB_KEY),
    read("XINFO GROUPS", SUB_KEY),
    each("XINFO HELP"),
    read("XINFO STREAM", SUB_KEY),
    read("XLEN", KEY).miss(Miss::Zero),
    read("XPENDING", KEY),
    read("XRANGE", KEY).miss(Miss::EmptyArray),
    read("XREAD", Keys::Streams).blocking(Blocking::MillisAfter("BLOCK")).arity(-4),
    write("XREADGROUP", Keys::Streams).blocking(Blocking::MillisAfter("BLOCK")).arity(-7), // entries become pending
    read("XREVRANGE", KEY).miss(Miss::EmptyArray),
    write("XSETID", KEY),
    write("XTRIM", KEY),

    // Publishing and subscribing. A channel is not a key, of a shard or not.
    write("PUBLISH", NONE).rule(Rule::Channel), // not a read: repeated, it is delivered twice
    write("SPUBLISH", NONE).rule(Rule::Channel),
    pubsub("PSUBSCRIBE"),
    pubsub("PUNSUBSCRIBE"),
    pubsub("SSUBSCRIBE"),
    pubsub("SUBSCRIBE"),
    pubsub("SUNSUBSCRIBE"),
    pubsub("UNSUBSCRIBE"),
    read("PUBSUB CHANNELS", NONE).rule(Rule::Everywhere(Merge::Concat)),
    each("PUBSUB HELP"),
    each("PUBSUB NUMPAT"), // a pattern is subscribed to on every server, so a sum would count it many times
    each("PUBSUB NUMSUB"),
    read("PUBSUB SHARDCHANNELS", NONE).rule(Rule::Everywhere(Merge::Concat)),
    each("PUBSUB SHARDNUMSUB"),

    // Transactions.
    dedicated("DISCARD", NONE, Access::Write),
    dedicated("EXEC", NONE, Access::Write),
    dedicated("MULTI", NONE, Access::Write),
    dedicated("UNWATCH", NONE, Access::Write),
    dedicated("WATCH", KEYS, Access::Write),

    // Scripts and functions.
    write("EVAL", COUNTED_AT_2).rule(Rule::Script).arity(-3),
    write("EVALSHA", COUNTED_AT_2).rule(Rule::Script).arity(-3),
    read("EVALSHA_RO", COUNTED_AT_2).rule(Rule::Script).arity(-3),
    read("EVAL_RO", COUNTED_AT_2).rule(Rule::Script).arity(-3),
    write("FCALL", COUNTED_AT_2).rule(Rule::Script).arity(-3),
    read("FCALL_RO", COUNTED_AT_2).rule(Rule::Script).arity(-3),
    write("FUNCTION DELETE", NONE).rule(Rule::Everywhere(Merge::AllOk)),
    each("FUNCTION DUMP"),
    write("FUNCTION FLUSH", NONE).rule(Rule::Everywhere(Merge::AllOk)),
    each("FUNCTION HELP"),
    each("FUNCTION KILL").writes().interrupts(), // an error on every server where nothing runs
    each("FUNCTION LIST"),
    write("FUNCTION LOAD", NONE).rule(Rule::Everywhere(Merge::AllOk)), // the library's name from each
    write("FUNCTION RESTORE", NONE).rule(Rule::Everywhere(Merge::AllOk)),
    each("FUNCTION STATS"),
    never("SCRIPT DEBUG", "debug scripts with redis-cli --ldb against one server"),
    read("SCRIPT EXISTS", NONE).rule(Rule::Everywhere(Merge::AndBits)).neutral(),
    write("SCRIPT FLUSH", NONE).rule(Rule::Everywhere(Merge::AllOk)),
    each("SCRIPT HELP"),
    each("SCRIPT KILL").writes().interrupts(),
    write("SCRIPT LOAD", NONE).rule(Rule::Everywhere(Merge::AllOk)).neutral(), // the same sha from each

    // Connections. One connection is shared by all tasks, so its state is not for one of them to change.
    never("ASKING", NOT_REDIS_CLUSTER),
    never("AUTH", "give user and password in the server's url; a changed password is read again at the next dial"),
    never("CLIENT CACHING", NO_TRACKING),
    each("CLIENT GETNAME").neutral(),
    never("CLIENT GETREDIR", NO_TRACKING),
    each("CLIENT HELP"),
    each("CLIENT ID").neutral(),
    each("CLIENT INFO").neutral(),
    never("CLIENT KILL", "use redis-cli: it would cut connections that other tasks wait on"),
    each("CLIENT LIST"),
    never("CLIENT NO-EVICT", "use redis-cli, or raise the server's maxmemory-clients"),
    never("CLIENT PAUSE", "use redis-cli: everybody's commands to that server would run into their deadlines"),
    never("CLIENT REPLY", "send several commands with cluster.batch() and leave their replies unread"),
    never("CLIENT SETNAME", "set `name` in the configuration; connections are named kw:<name>.<id>:<epoch>"),
    never("CLIENT TRACKING", NO_TRACKING),
    never("CLIENT TRACKINGINFO", NO_TRACKING),
    only("CLIENT UNBLOCK", NONE),
    only("CLIENT UNPAUSE", NONE),
    each("ECHO").neutral(),
    never("HELLO", "set `protocol` in the configuration; the handshake sends it"),
    read("PING", NONE).rule(Rule::Everywhere(Merge::AllOk)).neutral(),
    never("QUIT", "use cluster.close()"),
    never("READONLY", NOT_REDIS_CLUSTER),
    never("READWRITE", NOT_REDIS_CLUSTER),
    never("RESET", "use cluster.dedicated(key) for a connection of your own; it is closed when dropped"),
    never("SELECT", "choose the database in the server's url: redis://host:port/db"),

    // Servers.
    each("ACL CAT"),
    each("ACL DELUSER").writes(),
    each("ACL DRYRUN"),
    each("ACL GENPASS"),
    each("ACL GETUSER"),
    each("ACL HELP"),
    each("ACL LIST"),
    each("ACL LOAD").writes(),
    each("ACL LOG").writes(), // ACL LOG RESET
    each("ACL SAVE").writes(),
    each("ACL SETUSER").writes(),
    each("ACL USERS"),
    each("ACL WHOAMI"),
    each("BGREWRITEAOF").writes(),
    each("BGSAVE").writes(),
    each("COMMAND"),
    each("COMMAND COUNT"),
    each("COMMAND DOCS"),
    each("COMMAND GETKEYS"),
    each("COMMAND GETKEYSANDFLAGS"),
    each("COMMAND HELP"),
    each("COMMAND INFO"),
    each("COMMAND LIST"),
    each("CONFIG GET"),
    each("CONFIG HELP"),
    each("CONFIG RESETSTAT").writes(),
    each("CONFIG REWRITE").writes(),
    write("CONFIG SET", NONE).rule(Rule::Everywhere(Merge::AllOk)),
    read("DBSIZE", NONE).rule(Rule::Everywhere(Merge::Sum)),
    only("DEBUG", NONE),
    only("FAILOVER", NONE),
    only("FLUSHALL", NONE), // also empties databases that are not the cluster's
    write("FLUSHDB", NONE).rule(Rule::Everywhere(Merge::AllOk)),
    each("INFO").neutral(),
    each("LASTSAVE"),
    each("LATENCY DOCTOR"),
    each("LATENCY GRAPH"),
    each("LATENCY HELP"),
    each("LATENCY HISTOGRAM"),
    each("LATENCY HISTORY"),
    each("LATENCY LATEST"),
    each("LATENCY RESET").writes(),
    each("LOLWUT"),
    each("MEMORY DOCTOR"),
    each("MEMORY HELP"),
    each("MEMORY MALLOC-STATS"),
    read("MEMORY PURGE", NONE).rule(Rule::Everywhere(Merge::AllOk)), // gives free pages back; no key changes
    each("MEMORY STATS"),
    read("MEMORY USAGE", SUB_KEY).miss(Miss::Nil),
    each("MODULE HELP"),
    each("MODULE LIST"),
    only("MODULE LOAD", NONE),
    only("MODULE LOADEX", NONE),
    only("MODULE UNLOAD", NONE),
    never("MONITOR", "use redis-cli monitor against one server"),
    never("PSYNC", REPLICATION),
    never("REPLCONF", REPLICATION),
    only("REPLICAOF", NONE),
    each("ROLE"),
    each("SAVE").writes(),
    only("SHUTDOWN", NONE),
    only("SLAVEOF", NONE),
    each("SLOWLOG GET"),
    each("SLOWLOG HELP"),
    each("SLOWLOG LEN"),
    each("SLOWLOG RESET").writes(),
    only("SWAPDB", NONE),
    never("SYNC", REPLICATION),
    each("TIME").neutral(),

    // Redis Cluster's own. A plain server answers most of these with an error.
    only("CLUSTER ADDSLOTS", NONE),
    only("CLUSTER ADDSLOTSRANGE", NONE),
    only("CLUSTER BUMPEPOCH", NONE),
    each("CLUSTER COUNT-FAILURE-REPORTS"),
    each("CLUSTER COUNTKEYSINSLOT"),
    only("CLUSTER DELSLOTS", NONE),
    only("CLUSTER DELSLOTSRANGE", NONE),
    only("CLUSTER FAILOVER", NONE),
    only("CLUSTER FLUSHSLOTS", NONE),
    only("CLUSTER FORGET", NONE),
    each("CLUSTER GETKEYSINSLOT"),
    each("CLUSTER HELP"),
    each("CLUSTER INFO"),
    each("CLUSTER KEYSLOT"),
    each("CLUSTER LINKS"),
    only("CLUSTER MEET", NONE),
    each("CLUSTER MYID"),
    each("CLUSTER NODES"),
    each("CLUSTER REPLICAS"),
    only("CLUSTER REPLICATE", NONE),
    only("CLUSTER RESET", NONE),
    only("CLUSTER SAVECONFIG", NONE),
    only("CLUSTER SET-CONFIG-EPOCH", NONE),
    only("CLUSTER SETSLOT", NONE),
    each("CLUSTER SHARDS"),
    each("CLUSTER SLAVES"),
    each("CLUSTER SLOTS"),
];

const EACH: &str = "ask every server: cluster.servers().each(cmd)";
const ONLY: &str = "name the server: cluster.on_server(name)";
const DEDICATED: &str = "use cluster.dedicated(key), a connection of your own to one node";
const PUBSUB: &str = "use cluster.pubsub()";
const NO_TRACKING: &str =
    "client-side caching is not supported: its invalidations belong to one connection";
const NOT_REDIS_CLUSTER: &str = "the servers are plain Redis, not a Redis Cluster: leave it out";
const REPLICATION: &str =
    "it belongs between a server and its replica, on a connection of their own";

const fn read(name: &'static str, keys: Keys) -> Row {
    Row {
        id: CommandId(0),
        name,
        rule: Rule::Keyed,
        keys,
        access: Access::Read,
        blocking: Blocking::Never,
        miss: Miss::None,
        remedy: "",
        is_neutral: false,
        interrupts: false,
        since: (7, 0),
        arity: None,
    }
}

const fn write(name: &'static str, keys: Keys) -> Row {
    read(name, keys).writes()
}

const fn each(name: &'static str) -> Row {
    read(name, Keys::None).rule(Rule::PerServer).remedy(EACH)
}

const fn only(name: &'static str, keys: Keys) -> Row {
    write(name, keys).rule(Rule::OnServer).remedy(ONLY)
}

const fn dedicated(name: &'static str, keys: Keys, access: Access) -> Row {
    Row {
        access,
        ..read(name, keys).rule(Rule::Dedicated).remedy(DEDICATED)
    }
}

const fn pubsub(name: &'static str) -> Row {
    write(name, Keys::None).rule(Rule::PubSub).remedy(PUBSUB)
}

const fn never(name: &'static str, remedy: &'static str) -> Row {
    write(name, Keys::None)
        .rule(Rule::Connection)
        .remedy(remedy)
}

impl Row {
    const fn rule(self, rule: Rule) -> Self {
        Row { rule, ..self }
    }

    const fn writes(self) -> Self {
        Row {
            access: Access::Write,
            ..self
        }
    }

    const fn blocking(self, blocking: Blocking) -> Self {
        Row { blocking, ..self }
    }

    const fn miss(self, miss: Miss) -> Self {
        Row { miss, ..self }
    }

    const fn remedy(self, remedy: &'static str) -> Self {
        Row { remedy, ..self }
    }

    const fn neutral(self) -> Self {
        Row {
            is_neutral: true,
            ..self
        }
    }

    const fn interrupts(self) -> Self {
        Row {
            interrupts: true,
            ..self
        }
    }

    const fn since(self, major: u8, minor: u8) -> Self {
        Row {
            since: (major, minor),
            ..self
        }
    }

    const fn arity(self, arity: i8) -> Self {
        Row {
            arity: Some(arity),
            ..self
        }
    }
}

const fn range(first: u8, last: i8, step: u8) -> Keys {
    Keys::Range { first, last, step }
}

const fn counted(at: u8, destination: Option<u8>) -> Keys {
    Keys::Counted { at, destination }
}

const fn numbered() -> [Row; ROWS.len()] {
    let mut rows = [ROWS[0]; ROWS.len()];
    let mut id = 0;
    while id < rows.len() {
        rows[id] = Row {
            id: CommandId(id as u16),
            ..ROWS[id]
        };
        id += 1;
    }
    rows
}
