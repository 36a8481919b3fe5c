//! The command table against what a live server says of its own commands (COMMAND, COMMAND GETKEYS), and its miss values
//! against what that server answers for missing keys. Redis 7.0: a newer server knows commands that the table does not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use crate::fixture::RedisServer;
use keyway::command::{self, Access, Blocking, Found, Keys, Merge, Row, Rule, Split};
use redis::{Connection, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A realistic call of every command that has keys, several keys where it takes several. `""` is the empty argument.
const SAMPLES: &str = r#"
    COPY a b | COPY a b DB 1 REPLACE
    DEL a b c | DEL a
    DUMP k
    EXISTS a b a
    EXPIRE k 10 NX
    EXPIREAT k 33177117420
    EXPIRETIME k
    MIGRATE 127.0.0.1 6379 k 0 100 | MIGRATE 127.0.0.1 6379 "" 0 100 COPY REPLACE AUTH2 user secret KEYS a b c
    MOVE k 1
    OBJECT ENCODING k
    OBJECT FREQ k
    OBJECT IDLETIME k
    OBJECT REFCOUNT k
    PERSIST k
    PEXPIRE k 10 XX
    PEXPIREAT k 33177117420000
    PEXPIRETIME k
    PTTL k
    RENAME a b
    RENAMENX a b
    RESTORE k 0 payload REPLACE
    RESTORE-ASKING k 0 payload
    SORT k | SORT k BY w_* LIMIT 0 5 GET # GET o_* DESC ALPHA STORE d | SORT k STORE a STORE b
    SORT_RO k BY w_* LIMIT 0 5 GET # DESC | SORT_RO k
    TOUCH a b c
    TTL k
    TYPE k
    UNLINK a b c

    APPEND k v
    DECR k
    DECRBY k 2
    GET k
    GETDEL k
    GETEX k EX 10 | GETEX k
    GETRANGE k 0 -1
    GETSET k v
    INCR k
    INCRBY k 2
    INCRBYFLOAT k 1.5
    LCS a b IDX MINMATCHLEN 2 WITHMATCHLEN
    MGET a b c
    MSET a 1 b 2
    MSETNX a 1 b 2
    PSETEX k 1000 v
    SET k v | SET k v EX 10 | SET k v KEEPTTL | SET k v NX GET
    SETEX k 10 v
    SETNX k v
    SETRANGE k 3 v
    STRLEN k
    SUBSTR k 0 -1

    BITCOUNT k 0 -1 BIT | BITCOUNT k
    BITFIELD k GET u8 0 INCRBY u8 8 1
    BITFIELD_RO k GET u8 0
    BITOP AND d a b c | BITOP NOT d a
    BITPOS k 1 0 -1
    GETBIT k 7
    SETBIT k 7 1

    PFADD k a b
    PFCOUNT a b c | PFCOUNT a
    PFDEBUG GETREG k
    PFMERGE d a b

    BLMOVE a b LEFT RIGHT 1
    BLMPOP 1 2 a b LEFT COUNT 3
    BLPOP a b c 1
    BRPOP a b c 1
    BRPOPLPUSH a b 1
    LINDEX k 0
    LINSERT k BEFORE p v
    LLEN k
    LMOVE a b LEFT RIGHT
    LMPOP 2 a b LEFT COUNT 3
    LPOP k 2
    LPOS k v COUNT 2
    LPUSH k a b
    LPUSHX k a b
    LRANGE k 0 -1
    LREM k 1 v
    LSET k 0 v
    LTRIM k 0 9
    RPOP k
    RPOPLPUSH a b
    RPUSH k a b
    RPUSHX k a b

    SADD k a b
    SCARD k
    SDIFF a b c
    SDIFFSTORE d a b
    SINTER a b c
    SINTERCARD 3 a b c LIMIT 2
    SINTERSTORE d a b
    SISMEMBER k m
    SMEMBERS k
    SMISMEMBER k a b
    SMOVE a b m
    SPOP k 2
    SRANDMEMBER k | SRANDMEMBER k -5
    SREM k a b
    SSCAN k 0 COUNT 10
    SUNION a b c
    SUNIONSTORE d a b

    BZMPOP 1 2 a b MIN COUNT 3
    BZPOPMAX a b c 1
    BZPOPMIN a b c 1
    ZADD k GT CH 1 a 2 b
    ZCARD k
    ZCOUNT k -inf +inf
    ZDIFF 2 a b WITHSCORES
    ZDIFFSTORE d 2 a b
    ZINCRBY k 1 m
    ZINTER 2 a b WEIGHTS 1 2 AGGREGATE MAX WITHSCORES
    ZINTERCARD 2 a b LIMIT 3
    ZINTERSTORE d 2 a b WEIGHTS 1 2
    ZLEXCOUNT k - +
    ZMPOP 2 a b MAX
    ZMSCORE k a b
    ZPOPMAX k
    ZPOPMIN k 2
    ZRANDMEMBER k | ZRANDMEMBER k 3 WITHSCORES
    ZRANGE k 0 -1 WITHSCORES | ZRANGE k (1 5 BYSCORE REV LIMIT 0 3
    ZRANGEBYLEX k - +
    ZRANGEBYSCORE k -inf +inf WITHSCORES LIMIT 0 5
    ZRANGESTORE d k 0 -1
    ZRANK k m
    ZREM k a b
    ZREMRANGEBYLEX k - +
    ZREMRANGEBYRANK k 0 1
    ZREMRANGEBYSCORE k 0 1
    ZREVRANGE k 0 -1
    ZREVRANGEBYLEX k + -
    ZREVRANGEBYSCORE k +inf -inf
    ZREVRANK k m
    ZSCAN k 0
    ZSCORE k m
    ZUNION 3 a b c AGGREGATE MIN
    ZUNIONSTORE d 3 a b c WEIGHTS 1 2 3

    HDEL k a b
    HEXISTS k f
    HGET k f
    HGETALL k
    HINCRBY k f 1
    HINCRBYFLOAT k f 1.5
    HKEYS k
    HLEN k
    HMGET k a b
    HMSET k a 1 b 2
    HRANDFIELD k | HRANDFIELD k 2 WITHVALUES
    HSCAN k 0 MATCH f*
    HSET k a 1 b 2
    HSETNX k f v
    HSTRLEN k f
    HVALS k

    GEOADD k 13.361389 38.115556 Palermo
    GEODIST k a b km
    GEOHASH k a b
    GEOPOS k a b
    GEORADIUS k 15 37 200 km WITHDIST COUNT 5 ANY ASC STORE d | GEORADIUS k 15 37 200 km STOREDIST d | GEORADIUS k 15 37 200 km
    GEORADIUSBYMEMBER k m 200 km STORE d | GEORADIUSBYMEMBER k m 9 m
    GEORADIUSBYMEMBER_RO k m 200 km
    GEORADIUS_RO k 15 37 200 km WITHCOORD
    GEOSEARCH k FROMLONLAT 15 37 BYRADIUS 200 km ASC
    GEOSEARCHSTORE d k FROMLONLAT 15 37 BYRADIUS 200 km

    XACK k g 1-1 2-1
    XADD k MAXLEN ~ 1000 * f v
    XAUTOCLAIM k g c 3600000 0-0 COUNT 25
    XCLAIM k g c 3600000 1-1
    XDEL k 1-1 2-1
    XGROUP CREATE k g $ MKSTREAM
    XGROUP CREATECONSUMER k g c
    XGROUP DELCONSUMER k g c
    XGROUP DESTROY k g
    XGROUP SETID k g $
    XINFO CONSUMERS k g
    XINFO GROUPS k
    XINFO STREAM k FULL
    XLEN k
    XPENDING k g - + 10 c
    XRANGE k - + COUNT 2
    XREAD COUNT 2 BLOCK 1 STREAMS a b 0 0 | XREAD STREAMS a 0-0
    XREADGROUP GROUP g c COUNT 2 NOACK STREAMS a b > > | XREADGROUP GROUP STREAMS COUNT BLOCK 1 STREAMS a >
    XREVRANGE k + -
    XSETID k 1-1
    XTRIM k MAXLEN ~ 1000

    WATCH a b
    EVAL return 2 a b x | EVAL return 0
    EVALSHA 6b1bf486c81ceb7edf3c093f4c48582e38c0e791 2 a b x
    EVALSHA_RO 6b1bf486c81ceb7edf3c093f4c48582e38c0e791 2 a b x
    EVAL_RO return 2 a b x
    FCALL f 2 a b x | FCALL f 0 x
    FCALL_RO f 2 a b x
    MEMORY USAGE k SAMPLES 5
"#;

/// The server flags these neither `write` nor `readonly`; repeating them changes nothing, so the table calls them reads.
const READS_THE_SERVER_DOES_NOT_FLAG: &[(&str, &[&str])] = &[
    (
        "describes the server or its commands",
        &[
            "COMMAND",
            "COMMAND COUNT",
            "COMMAND DOCS",
            "COMMAND GETKEYS",
            "COMMAND GETKEYSANDFLAGS",
            "COMMAND INFO",
            "COMMAND LIST",
            "CONFIG GET",
            "INFO",
            "LASTSAVE",
            "LATENCY DOCTOR",
            "LATENCY GRAPH",
            "LATENCY HISTOGRAM",
            "LATENCY HISTORY",
            "LATENCY LATEST",
            "MEMORY DOCTOR",
            "MEMORY MALLOC-STATS",
            "MEMORY STATS",
            "MODULE LIST",
            "ROLE",
            "SLOWLOG GET",
            "SLOWLOG LEN",
            "TIME",
        ],
    ),
    (
        "describes connections or subscriptions",
        &[
            "CLIENT GETNAME",
            "CLIENT ID",
            "CLIENT INFO",
            "CLIENT LIST",
            "PUBSUB CHANNELS",
            "PUBSUB NUMPAT",
            "PUBSUB NUMSUB",
            "PUBSUB SHARDCHANNELS",
            "PUBSUB SHARDNUMSUB",
        ],
    ),
    (
        "describes users",
        &[
            "ACL CAT",
            "ACL DRYRUN",
            "ACL GENPASS",
            "ACL GETUSER",
            "ACL LIST",
            "ACL USERS",
            "ACL WHOAMI",
        ],
    ),
    (
        "describes scripts",
        &[
            "FUNCTION DUMP",
            "FUNCTION LIST",
            "FUNCTION STATS",
            "SCRIPT EXISTS",
        ],
    ),
    (
        "describes a Redis Cluster",
        &[
            "CLUSTER COUNT-FAILURE-REPORTS",
            "CLUSTER COUNTKEYSINSLOT",
            "CLUSTER GETKEYSINSLOT",
            "CLUSTER INFO",
            "CLUSTER KEYSLOT",
            "CLUSTER LINKS",
            "CLUSTER MYID",
            "CLUSTER NODES",
            "CLUSTER REPLICAS",
            "CLUSTER SHARDS",
            "CLUSTER SLAVES",
            "CLUSTER SLOTS",
        ],
    ),
    (
        "touches no data",
        &["ECHO", "PING", "WAIT", "PFSELFTEST", "MEMORY PURGE"],
    ),
];

/// The server's tips would have these split or merged; the table does not, for the reason given.
const TIPS_NOT_FOLLOWED: &[(&str, &[&str])] = &[
    (
        "all or nothing, which several servers cannot promise",
        &["MSETNX"],
    ),
    (
        "empties databases that are not the cluster's",
        &["FLUSHALL"],
    ),
    (
        "the number of replicas behind one connection's writes, so it belongs to that connection",
        &["WAIT"],
    ),
    (
        "one key out of the whole keyspace: merging replies would not draw fairly",
        &["RANDOMKEY"],
    ),
    (
        "fails on every server on which nothing runs",
        &["SCRIPT KILL", "FUNCTION KILL"],
    ),
    (
        "a report on one server: merging would change the reply's type or meaning",
        &[
            "INFO",
            "FUNCTION STATS",
            "LATENCY DOCTOR",
            "LATENCY GRAPH",
            "LATENCY HISTOGRAM",
            "LATENCY HISTORY",
            "LATENCY LATEST",
            "MEMORY DOCTOR",
            "MEMORY MALLOC-STATS",
            "MEMORY STATS",
            "SLOWLOG GET",
            "SLOWLOG LEN",
        ],
    ),
    (
        "resets what each server reports for itself, like the reports above",
        &["LATENCY RESET", "SLOWLOG RESET"],
    ),
];

/// The version whose commands all have rows. Rows of later ones cannot be compared with a server of this version.
const OLDEST: (u8, u8) = (7, 0);

/// The server calls them blocking from 7.2 on.
const BLOCKING_LATER: &[&str] = &["WAIT"];

/// Merged although the server gives no tip: an array of names stays an array of names.
const MERGED_WITHOUT_TIP: &[&str] = &["PUBSUB CHANNELS", "PUBSUB SHARDCHANNELS"];

#[tokio::test]
async fn every_command_of_the_server_has_a_row_and_every_row_is_a_command() {
    let server = RedisServer::start().await;
    let reported = commands(&mut connect(&server, ""));
    for (name, command) in &reported {
        let args: Vec<&[u8]> = name.split(' ').map(str::as_bytes).collect();
        match command::lookup(name.as_bytes()) {
            Some(Found::Container(container)) => {
                assert_eq!(container.name(), name);
                assert!(
                    command.is_container,
                    "{name} has no subcommands on the server"
                );
            }
            Some(Found::Row(row)) => assert_eq!(row.name, name),
            None => {}
        }
        if !command.is_container || name == "COMMAND" {
            assert_eq!(
                command::row_of(&args).map(|row| row.name).as_ref(),
                Ok(&name.as_str())
            );
        }
    }
    let rows: BTreeSet<&str> = command::all()
        .iter()
        .filter(|row| row.since <= OLDEST)
        .map(|row| row.name)
        .collect();
    let expected: BTreeSet<&str> = reported
        .iter()
        .filter(|(name, command)| !command.is_container || *name == "COMMAND")
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(rows, expected);
    assert!(rows.len() > 340, "only {} rows were compared", rows.len());
}

#[tokio::test]
async fn keys_are_where_the_key_specs_of_the_server_say() {
    let server = RedisServer::start().await;
    for (row, command) in rows_as_reported(&server) {
        assert_eq!(row.keys, command.keys(), "{}", row.name);
        let movable = !matches!(row.keys, Keys::None | Keys::Range { .. });
        assert_eq!(
            movable,
            command.flags.contains("movablekeys"),
            "{}",
            row.name
        );
    }
}

#[tokio::test]
async fn what_the_server_calls_a_write_is_a_write_and_a_readonly_command_is_a_read() {
    let server = RedisServer::start().await;
    let mut unflagged_reads = BTreeSet::new();
    for (row, command) in rows_as_reported(&server) {
        match (
            command.flags.contains("write"),
            command.flags.contains("readonly"),
        ) {
            (true, false) => assert_eq!(row.access, Access::Write, "{}", row.name),
            (false, true) => assert_eq!(row.access, Access::Read, "{}", row.name),
            (false, false) if row.access == Access::Read && !row.name.ends_with(" HELP") => {
                unflagged_reads.insert(row.name);
            }
            (false, false) => {}
            (true, true) => panic!("{} is both", row.name),
        }
    }
    assert_eq!(unflagged_reads, listed(READS_THE_SERVER_DOES_NOT_FLAG));
}

#[tokio::test]
async fn what_the_server_calls_blocking_has_a_timeout_in_the_table() {
    let server = RedisServer::start().await;
    for (row, command) in rows_as_reported(&server) {
        assert_eq!(
            row.blocking != Blocking::Never && !BLOCKING_LATER.contains(&row.name),
            command.flags.contains("blocking"),
            "{}",
            row.name
        );
    }
}

#[tokio::test]
async fn commands_are_split_and_merged_as_the_tips_of_the_server_say() {
    let server = RedisServer::start().await;
    let not_followed = listed(TIPS_NOT_FOLLOWED);
    let mut followed = 0;
    for (row, command) in rows_as_reported(&server) {
        let tipped = match (
            command.tip("request_policy"),
            command.tip("response_policy"),
        ) {
            (Some("multi_shard"), None) => Some(Rule::Split(Split::Mget)),
            (Some("multi_shard"), Some("agg_sum")) => Some(Rule::Split(Split::Sum)),
            (Some("multi_shard"), Some("all_succeeded")) => Some(Rule::Split(Split::Mset)),
            (Some("all_shards" | "all_nodes"), None) => Some(Rule::Everywhere(Merge::Concat)),
            (Some("all_shards" | "all_nodes"), Some("agg_sum")) => {
                Some(Rule::Everywhere(Merge::Sum))
            }
            (Some("all_shards" | "all_nodes"), Some("all_succeeded")) => {
                Some(Rule::Everywhere(Merge::AllOk))
            }
            (Some("all_shards" | "all_nodes"), Some("agg_logical_and")) => {
                Some(Rule::Everywhere(Merge::AndBits))
            }
            (Some("special"), None) => Some(Rule::Scan),
            (None, None) => None,
            (request, response) => {
                assert!(
                    not_followed.contains(row.name),
                    "{}: {request:?} {response:?}",
                    row.name
                );
                None
            }
        };
        let has_tips = command.tip("request_policy").is_some();
        let merges = matches!(row.rule, Rule::Split(_) | Rule::Everywhere(_) | Rule::Scan);
        if not_followed.contains(row.name) {
            assert!(has_tips && !merges, "{} is no exception any more", row.name);
        } else if let Some(tipped) = tipped {
            assert_eq!(row.rule, tipped, "{}", row.name);
            followed += 1;
        } else {
            assert_eq!(
                merges,
                MERGED_WITHOUT_TIP.contains(&row.name),
                "{}",
                row.name
            );
        }
    }
    assert!(followed >= 20, "only {followed} tips were compared");
}

#[tokio::test]
async fn every_command_of_pubsub_and_of_transactions_has_a_rule_of_its_own() {
    let server = RedisServer::start().await;
    for (row, command) in rows_as_reported(&server) {
        let publishes =
            matches!(row.rule, Rule::Channel | Rule::PubSub) || row.name.starts_with("PUBSUB ");
        assert_eq!(
            publishes,
            command.flags.contains("pubsub") || row.name == "PUBSUB HELP",
            "{}",
            row.name
        );
        let dedicated = command.categories.contains("@transaction") || row.name == "WAIT";
        assert_eq!(row.rule == Rule::Dedicated, dedicated, "{}", row.name);
        if row.rule == Rule::Keyed {
            assert_ne!(
                row.keys,
                Keys::None,
                "{} is routed by keys that it does not have",
                row.name
            );
        }
    }
}

#[tokio::test]
async fn the_server_finds_the_same_keys_in_a_sample_of_every_command() {
    let server = RedisServer::start().await;
    let mut connection = connect(&server, "");
    let mut sampled = BTreeSet::new();
    for sample in samples() {
        let row = command::row_of(&sample).unwrap();
        let keys = row
            .key_positions(&sample)
            .unwrap_or_else(|error| panic!("{}: {error}", shown(&sample)));
        let ours: Vec<&[u8]> = keys.iter().map(|position| sample[position]).collect();
        assert_eq!(
            Ok(ours),
            getkeys(&mut connection, &sample).as_deref().map(as_slices),
            "{}",
            shown(&sample)
        );
        assert!(row.blocks(&sample).is_ok(), "{}", shown(&sample));
        sampled.insert(row.name);
    }
    let with_keys: BTreeSet<&str> = command::all()
        .iter()
        .filter(|row| row.keys != Keys::None)
        .map(|row| row.name)
        .collect();
    assert_eq!(sampled, with_keys);
}

#[tokio::test]
async fn the_server_finds_the_same_keys_in_random_arguments() {
    let server = RedisServer::start().await;
    let mut connection = connect(&server, "");
    // Counts, options and keys in any order, so that options stand where keys should and the reverse.
    let vocabulary: Vec<&[u8]> =
        "k1 k2 k3 k4 0 1 2 3 -1 COUNT BLOCK 10 ASC g GROUP STREAMS LIMIT AUTH NOACK km"
            .split(' ')
            .map(str::as_bytes)
            .collect();
    let seed = fresh_seed();
    let mut random = Random(seed);
    let mut compared = 0;
    let rows: Vec<&Row> = command::all()
        .iter()
        .filter(|row| row.keys != Keys::None)
        .collect();
    for _ in 0..6_000 {
        let row = rows[random.below(rows.len())];
        let mut args: Vec<&[u8]> = row.name.split(' ').map(str::as_bytes).collect();
        for _ in 0..random.below(9) {
            args.push(vocabulary[random.below(vocabulary.len())]);
        }
        // The server takes the first STREAMS for the word itself even where it is the value of an option, and reports keys
        // for an XREADGROUP without GROUP; it then refuses to execute either.
        let streams = args.iter().filter(|arg| **arg == b"STREAMS").count();
        if row.keys == Keys::Streams
            && (streams > 1
                || row.name == "XREADGROUP" && args.get(1) != Some(&b"GROUP".as_slice()))
        {
            continue;
        }
        // Where one of the two refuses the arguments as malformed, the server's own reply decides.
        if let (Ok(keys), Ok(theirs)) = (row.key_positions(&args), getkeys(&mut connection, &args))
        {
            let ours: Vec<&[u8]> = keys.iter().map(|position| args[position]).collect();
            assert_eq!(ours, as_slices(&theirs), "{} (seed {seed})", shown(&args));
            compared += 1;
        }
    }
    assert!(
        compared > 1_000,
        "only {compared} calls were compared (seed {seed})"
    );
}

#[tokio::test]
async fn a_miss_in_cache_mode_is_what_the_server_answers_for_a_missing_key() {
    let server = RedisServer::start().await;
    for (resp3, query) in [(false, ""), (true, "?protocol=resp3")] {
        let mut connection = connect(&server, query);
        let mut compared = BTreeSet::new();
        for sample in samples() {
            let row = command::row_of(&sample).unwrap();
            if let Some(ours) = row.miss_reply(&sample, resp3) {
                redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
                let theirs: Value = call(&sample)
                    .query(&mut connection)
                    .unwrap_or_else(|error| panic!("{}: {error}", shown(&sample)));
                assert_eq!(ours, theirs, "{} with resp3 = {resp3}", shown(&sample));
                compared.insert(row.name);
            }
        }
        let with_miss: BTreeSet<&str> = command::all()
            .iter()
            .filter(|row| row.miss != command::Miss::None)
            .map(|row| row.name)
            .collect();
        assert_eq!(compared, with_miss);
    }
}

#[tokio::test]
async fn a_call_that_counts_as_a_read_leaves_the_data_as_it_was() {
    let server = RedisServer::start().await;
    let mut connection = connect(&server, "");
    let mut compared = 0;
    for sample in samples() {
        let row = command::row_of(&sample).unwrap();
        // PFCOUNT counts as a change because it caches its count inside the value; no reply ever shows that.
        if !row.is_read(&sample) || row.rule == Rule::Dedicated || row.name == "PFCOUNT" {
            continue;
        }
        let mut seed = redis::pipe();
        seed.cmd("FLUSHALL");
        for key in ["k", "a", "b", "c"] {
            // The type that the command is for, else its error would prove nothing.
            match row.name {
                name if name.starts_with("PF") => seed.cmd("PFADD").arg(&[key, "1", "2"]),
                name if name.starts_with('X') => seed.cmd("XADD").arg(&[key, "1-1", "f", "v"]),
                name if name.starts_with("GEO") => seed.cmd("GEOADD").arg(&[key, "15", "37", "m"]),
                name if name.starts_with('Z') => seed.cmd("ZADD").arg(&[key, "1", "m"]),
                name if name.starts_with('H') => seed.cmd("HSET").arg(&[key, "f", "v"]),
                name if name.starts_with('L') && name != "LCS" => {
                    seed.cmd("RPUSH").arg(&[key, "1", "v"])
                }
                name if name.starts_with('S') && !["STRLEN", "SUBSTR"].contains(&name) => {
                    seed.cmd("SADD").arg(&[key, "1", "2"])
                }
                _ => seed.cmd("SET").arg(&[key, "1"]),
            };
        }
        seed.exec(&mut connection).unwrap();
        let changes = |connection: &mut Connection| -> u64 {
            let info: redis::InfoDict = redis::cmd("INFO")
                .arg("persistence")
                .query(connection)
                .unwrap();
            info.get("rdb_changes_since_last_save").unwrap()
        };
        let before = changes(&mut connection);
        let _: Result<Value, _> = call(&sample).query(&mut connection);
        assert_eq!(before, changes(&mut connection), "{}", shown(&sample));
        compared += 1;
    }
    assert!(compared > 80, "only {compared} calls were compared");
}

/// What COMMAND says of one command.
struct Reported {
    is_container: bool,
    flags: BTreeSet<String>,
    categories: BTreeSet<String>,
    /// First key, last key, step.
    positions: (i64, i64, i64),
    tips: Vec<String>,
    specs: Vec<Spec>,
}

/// One key spec: how the search begins and how keys are found from there.
#[derive(Debug, PartialEq)]
struct Spec {
    begin: (String, BTreeMap<String, String>),
    find: (String, BTreeMap<String, String>),
}

impl Spec {
    fn begins_at(&self) -> u8 {
        assert_eq!(self.begin.0, "index");
        self.begin.1["index"].parse().unwrap()
    }

    fn keyword(&self) -> Option<&str> {
        self.begin.1.get("keyword").map(String::as_str)
    }

    fn starts_from(&self) -> u8 {
        self.begin.1["startfrom"].parse().unwrap()
    }
}

impl Reported {
    fn tip(&self, kind: &str) -> Option<&str> {
        self.tips
            .iter()
            .find_map(|tip| tip.strip_prefix(kind)?.strip_prefix(':'))
    }

    /// The key specs in the table's words.
    fn keys(&self) -> Keys {
        let kinds: Vec<&str> = self.specs.iter().map(|spec| spec.find.0.as_str()).collect();
        let keywords: Vec<&str> = self.specs.iter().filter_map(Spec::keyword).collect();
        match (kinds.as_slice(), keywords.as_slice()) {
            ([], _) => Keys::None,
            (["range", ..], ["STREAMS"]) => Keys::Streams,
            (["range", ..], ["KEYS"]) => Keys::Migrate,
            (["range", ..], ["STORE", "STOREDIST"]) => {
                assert_eq!(self.specs[1].starts_from(), self.specs[2].starts_from());
                Keys::GeoRadius {
                    options: self.specs[1].starts_from(),
                }
            }
            (["range", "unknown", ..], []) => Keys::Sort,
            (["keynum"], []) => Keys::Counted {
                at: self.counted_at(0),
                destination: None,
            },
            (["range", "keynum"], []) => Keys::Counted {
                at: self.counted_at(1),
                destination: Some(self.specs[0].begins_at()),
            },
            (ranges, []) if ranges.iter().all(|kind| *kind == "range") => Keys::Range {
                first: self.positions.0.try_into().unwrap(),
                last: self.positions.1.try_into().unwrap(),
                step: self.positions.2.try_into().unwrap(),
            },
            other => panic!("key specs of a kind that the table does not know: {other:?}"),
        }
    }

    fn counted_at(&self, spec: usize) -> u8 {
        let find = &self.specs[spec].find.1;
        assert_eq!(
            (
                find["keynumidx"].as_str(),
                find["firstkey"].as_str(),
                find["keystep"].as_str()
            ),
            ("0", "1", "1")
        );
        self.specs[spec].begins_at()
    }
}

fn rows_as_reported(server: &RedisServer) -> impl Iterator<Item = (&'static Row, Reported)> {
    let mut reported = commands(&mut connect(server, ""));
    command::all()
        .iter()
        .filter(|row| row.since <= OLDEST)
        .map(move |row| (row, reported.remove(row.name).expect(row.name)))
}

fn commands(connection: &mut Connection) -> BTreeMap<String, Reported> {
    let reply: Value = redis::cmd("COMMAND").query(connection).unwrap();
    let mut commands = BTreeMap::new();
    for command in items(&reply) {
        read_command(command, &mut commands);
    }
    commands
}

fn read_command(command: &Value, commands: &mut BTreeMap<String, Reported>) {
    let fields = items(command);
    let subcommands = items(&fields[9]);
    let reported = Reported {
        is_container: !subcommands.is_empty(),
        flags: items(&fields[2]).iter().map(text).collect(),
        categories: items(&fields[6]).iter().map(text).collect(),
        positions: (number(&fields[3]), number(&fields[4]), number(&fields[5])),
        tips: items(&fields[7]).iter().map(text).collect(),
        specs: items(&fields[8])
            .iter()
            .filter(|spec| names_keys(spec))
            .map(read_spec)
            .collect(),
    };
    commands.insert(text(&fields[0]).to_uppercase().replace('|', " "), reported);
    for subcommand in subcommands {
        read_command(subcommand, commands);
    }
}

/// Shard channels are routed like keys in a Redis Cluster, but are none.
fn names_keys(spec: &Value) -> bool {
    items(field(spec, "flags").unwrap())
        .iter()
        .all(|flag| text(flag) != "not_key")
}

fn read_spec(spec: &Value) -> Spec {
    let half = |name: &str| {
        let half = field(spec, name).unwrap();
        let details = items(field(half, "spec").unwrap());
        let details = details
            .chunks(2)
            .map(|pair| (text(&pair[0]), text(&pair[1])))
            .collect();
        (text(field(half, "type").unwrap()), details)
    };
    Spec {
        begin: half("begin_search"),
        find: half("find_keys"),
    }
}

fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    items(map)
        .chunks(2)
        .find(|pair| text(&pair[0]) == name)
        .map(|pair| &pair[1])
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        other => panic!("expected an array, got {other:?}"),
    }
}

fn text(value: &Value) -> String {
    redis::from_redis_value_ref(value).unwrap()
}

fn number(value: &Value) -> i64 {
    redis::from_redis_value_ref(value).unwrap()
}

fn listed(reasons: &[(&str, &[&'static str])]) -> BTreeSet<&'static str> {
    reasons
        .iter()
        .flat_map(|(_, names)| names.iter().copied())
        .collect()
}

fn samples() -> impl Iterator<Item = Vec<&'static [u8]>> {
    let argument = |word: &'static str| {
        if word == "\"\"" {
            b"".as_slice()
        } else {
            word.as_bytes()
        }
    };
    SAMPLES
        .lines()
        .flat_map(|line| line.split(" | "))
        .map(move |sample| sample.split_whitespace().map(argument).collect::<Vec<_>>())
        .filter(|sample| !sample.is_empty())
}

fn call(args: &[&[u8]]) -> redis::Cmd {
    let mut call = redis::Cmd::new();
    call.arg(args);
    call
}

/// COMMAND GETKEYS; a script without keys has none, which the server reports as an error.
fn getkeys(connection: &mut Connection, args: &[&[u8]]) -> Result<Vec<Vec<u8>>, String> {
    match redis::cmd("COMMAND")
        .arg("GETKEYS")
        .arg(args)
        .query(connection)
    {
        Ok(keys) => Ok(keys),
        Err(error) if error.to_string().contains("no key arguments") => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}

fn as_slices(keys: &[Vec<u8>]) -> Vec<&[u8]> {
    keys.iter().map(Vec::as_slice).collect()
}

fn shown(args: &[&[u8]]) -> String {
    args.iter()
        .map(|arg| String::from_utf8_lossy(arg))
        .collect::<Vec<_>>()
        .join(" ")
}

fn connect(server: &RedisServer, query: &str) -> Connection {
    let url = format!("{}{query}", server.url());
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

/// A seed that differs from run to run; a failure prints it.
fn fresh_seed() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64
}

/// splitmix64, by Steele, Lea and Flood.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as usize % bound
    }
}
