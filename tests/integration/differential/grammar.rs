//! What to send: a small grammar per command, and a seeded generator that expands it over small pools of keys.
//!
//! `<name>` is something drawn from a pool, `[a|b]` one of them or nothing, `(a|b)` one of them, `+` one to four times.

use fastrand::Rng;
use keyway::command::{self, Blocking, Row, Rule};
use std::collections::BTreeMap;

/// Every command that a cluster sends somewhere. `<s>` is the key of a string, `<n>` of a number, `<b>` of a bitmap, `<l>` of a list, `<e>`
/// of a set, `<z>` of a sorted set, `<g>` of a geo set, `<h>` of a hash, `<x>` of a stream, `<p>` of a HyperLogLog, `<k>` any; now and then
/// each of them is a key of another type. `<y>` is a sorted set whose scores are all 0: of others a range by names is not determined, for it
/// depends on the random levels of a skip list. `<#e>` is a count and as many keys.
const GRAMMAR: &str = r#"
COPY <k> <k> [REPLACE] [DB <zero>]
DEL (<k>+|<k>+|<y>)
DUMP <k>
EXISTS <k>+
EXPIRE <k> <seconds> [NX|XX|GT|LT]
EXPIREAT <k> <at> [NX|XX|GT|LT]
EXPIRETIME <k>
KEYS <pattern>
OBJECT ENCODING <k>
OBJECT FREQ <k>
OBJECT IDLETIME <k>
OBJECT REFCOUNT <k>
PERSIST <k>
PEXPIRE <k> <millis> [NX|XX|GT|LT]
PEXPIREAT <k> <at-millis> [NX|XX|GT|LT]
PEXPIRETIME <k>
PTTL <k>
RENAME <k> <k>
RENAMENX <k> <k>
RESTORE <k> <ttl> <payload> [REPLACE] [ABSTTL] [IDLETIME 5|FREQ 5]
RESTORE-ASKING <k> <ttl> <payload> REPLACE
SCAN 0 [MATCH <pattern>] [COUNT <few>] [TYPE <type>]
SORT <sortable> [BY nosort|BY <pattern>] [LIMIT <index> <few>] [GET #|GET <pattern>|GET # GET #] [ASC|DESC] [ALPHA] [STORE <l>]
SORT_RO <sortable> [BY nosort] [LIMIT 0 <few>] [GET #] [ASC|DESC] [ALPHA]
TOUCH <k>+
TTL <k>
TYPE <k>
UNLINK <k>+

APPEND <s> <value>
DECR <n>
DECRBY <n> <int>
GET <s>
GETDEL <s>
GETEX <s> [EX <seconds>|PX <millis>|EXAT <at>|PXAT <at-millis>|PERSIST]
GETRANGE <s> <index> <index>
GETSET (<s>|<s>|<y>) <value>
INCR <n>
INCRBY <n> <int>
INCRBYFLOAT <n> <float>
LCS <s> <s> [LEN|IDX|IDX MINMATCHLEN <few> WITHMATCHLEN]
MGET <s>+
MSET (<s> <value>)+
MSETNX (<s> <value>)+
PSETEX <s> <millis> <value>
SET <s> <value> [EX <seconds>|PX <millis>|EXAT <future>|PXAT <future-millis>|KEEPTTL] [NX|XX] [GET]
SETEX <s> <seconds> <value>
SETNX <s> <value>
SETRANGE <s> <offset> <value>
STRLEN <s>
SUBSTR <s> <index> <index>

BITCOUNT <b> [<index> <index>|<index> <index> BIT|<index> <index> BYTE]
BITFIELD <b> (GET <bits> <offset>|SET <bits> <offset> <int>|INCRBY <bits> <offset> <int>|OVERFLOW (WRAP|SAT|FAIL))+
BITFIELD_RO <b> (GET <bits> <offset>)+
BITOP (AND|OR|XOR|NOT) <b> <b>+
BITPOS <b> <bit> [<index>] [<index>] [BIT]
GETBIT <b> <offset>
SETBIT <b> <offset> <bit>

PFADD <p> <member>+
PFCOUNT <p>+
PFDEBUG (GETREG|ENCODING|TODENSE|DECODE) <p>
PFMERGE <p> <p>+

BLMOVE <l> <l> (LEFT|RIGHT) (LEFT|RIGHT) <timeout>
BLMPOP <timeout> <#l> (LEFT|RIGHT) [COUNT <few>]
BLPOP <l>+ <timeout>
BRPOP <l>+ <timeout>
BRPOPLPUSH <l> <l> <timeout>
LINDEX <l> <index>
LINSERT <l> (BEFORE|AFTER) <value> <value>
LLEN <l>
LMOVE <l> <l> (LEFT|RIGHT) (LEFT|RIGHT)
LMPOP <#l> (LEFT|RIGHT) [COUNT <few>]
LPOP <l> [<few>]
LPOS <l> <value> [RANK <index>] [COUNT <few>] [MAXLEN <few>]
LPUSH <l> <value>+
LPUSHX <l> <value>+
LRANGE <l> <index> <index>
LREM <l> <index> <value>
LSET <l> <index> <value>
LTRIM <l> <index> <index>
RPOP <l> [<few>]
RPOPLPUSH <l> <l>
RPUSH <l> <value>+
RPUSHX <l> <value>+

SADD <e> <member>+
SCARD <e>
SDIFF <e>+
SDIFFSTORE <e> <e>+
SINTER <e>+
SINTERCARD <#e> [LIMIT <few>]
SINTERSTORE <e> <e>+
SISMEMBER <e> <member>
SMEMBERS <e>
SMISMEMBER <e> <member>+
SMOVE <e> <e> <member>
SPOP <e> [<few>]
SRANDMEMBER <e> [<index>]
SREM <e> <member>+
SSCAN <e> 0 [MATCH <glob>] [COUNT 1000|COUNT <few>]
SUNION <e>+
SUNIONSTORE <e> <e>+

BZMPOP <timeout> <#z> (MIN|MAX) [COUNT <few>]
BZPOPMAX <z>+ <timeout>
BZPOPMIN <z>+ <timeout>
ZADD (<z> [NX|XX] [GT|LT] [CH] (<score> <member>)+|<z> [NX] (<score> <member>)+|<y> (0 <member>)+)
ZCARD <z>
ZCOUNT <z> <bound> <bound>
ZDIFF <#z> [WITHSCORES]
ZDIFFSTORE <z> <#z>
ZINCRBY <z> <score> <member>
ZINTER <#z> [WEIGHTS <score>+] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]
ZINTERCARD <#z> [LIMIT <few>]
ZINTERSTORE <z> <#z> [WEIGHTS <score>+] [AGGREGATE (SUM|MIN|MAX)]
ZLEXCOUNT <y> <lex> <lex>
ZMPOP <#z> (MIN|MAX) [COUNT <few>]
ZMSCORE <z> <member>+
ZPOPMAX <z> [<few>]
ZPOPMIN <z> [<few>]
ZRANDMEMBER <z> [<index>|<index> WITHSCORES]
ZRANGE (<z> <index> <index>|<z> <bound> <bound> BYSCORE|<y> <lex> <lex> BYLEX) [REV] [LIMIT <index> <index>] [WITHSCORES]
ZRANGEBYLEX <y> <lex> <lex> [LIMIT <index> <index>]
ZRANGEBYSCORE <z> <bound> <bound> [WITHSCORES] [LIMIT <index> <index>]
ZRANGESTORE <z> <z> (<index> <index>|<bound> <bound> BYSCORE) [REV] [LIMIT <index> <index>]
ZRANK <z> <member>
ZREM <z> <member>+
ZREMRANGEBYLEX <y> <lex> <lex>
ZREMRANGEBYRANK <z> <index> <index>
ZREMRANGEBYSCORE <z> <bound> <bound>
ZREVRANGE <z> <index> <index> [WITHSCORES]
ZREVRANGEBYLEX <y> <lex> <lex>
ZREVRANGEBYSCORE <z> <bound> <bound> [WITHSCORES]
ZREVRANK <z> <member>
ZSCAN <z> 0 [MATCH <glob>] [COUNT 1000|COUNT <few>]
ZSCORE <z> <member>
ZUNION <#z> [WEIGHTS <score>+] [AGGREGATE (SUM|MIN|MAX)] [WITHSCORES]
ZUNIONSTORE <z> <#z> [WEIGHTS <score>+] [AGGREGATE (SUM|MIN|MAX)]

HDEL <h> <field>+
HEXISTS <h> <field>
HGET <h> <field>
HGETALL <h>
HINCRBY <h> <field> <int>
HINCRBYFLOAT <h> <field> <float>
HKEYS <h>
HLEN <h>
HMGET <h> <field>+
HMSET <h> (<field> <value>)+
HRANDFIELD <h> [<index>|<index> WITHVALUES]
HSCAN <h> 0 [MATCH <glob>] [COUNT 1000|COUNT <few>]
HSET <h> (<field> <value>)+
HSETNX <h> <field> <value>
HSTRLEN <h> <field>
HVALS <h>

GEOADD <g> [NX|XX] [CH] (<place> <member>)+
GEODIST <g> <member> <member> [m|km|ft|mi]
GEOHASH <g> <member>+
GEOPOS <g> <member>+
GEORADIUS <g> <place> <radius> (m|km|mi) [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT <few>] [ASC|DESC] [STORE <g>|STOREDIST <g>]
GEORADIUSBYMEMBER <g> <member> <radius> (m|km|mi) [WITHDIST] [COUNT <few> ANY] [ASC|DESC] [STORE <g>|STOREDIST <g>]
GEORADIUSBYMEMBER_RO <g> <member> <radius> (m|km|mi) [WITHDIST] [ASC|DESC]
GEORADIUS_RO <g> <place> <radius> (m|km|mi) [WITHCOORD] [WITHDIST] [ASC|DESC]
GEOSEARCH <g> (FROMMEMBER <member>|FROMLONLAT <place>) (BYRADIUS <radius> km|BYBOX <radius> <radius> km) [ASC|DESC] [COUNT <few>] [WITHCOORD] [WITHDIST] [WITHHASH]
GEOSEARCHSTORE <g> <g> (FROMMEMBER <member>|FROMLONLAT <place>) (BYRADIUS <radius> km|BYBOX <radius> <radius> km) [ASC|DESC] [COUNT <few>] [STOREDIST]

XACK <x> <group> <id>+
XADD <x> [NOMKSTREAM] [MAXLEN <few>|MAXLEN = <few>|MINID <id>] (<id>|<id>|<id>|<ms-id>|*) (<field> <value>)+
XAUTOCLAIM <x> <group> <consumer> 0 0 [COUNT <few>] [JUSTID]
XCLAIM <x> <group> <consumer> 0 <id>+ [RETRYCOUNT <few>] [FORCE] [JUSTID]
XDEL <x> <id>+
XGROUP CREATE <x> <group> (<id>|$|0|0) [MKSTREAM] [ENTRIESREAD <few>]
XGROUP CREATECONSUMER <x> <group> <consumer>
XGROUP DELCONSUMER <x> <group> <consumer>
XGROUP DESTROY <x> <group>
XGROUP SETID <x> <group> (<id>|$|0) [ENTRIESREAD <few>]
XINFO CONSUMERS <x> <group>
XINFO GROUPS <x>
XINFO STREAM <x> [FULL|FULL COUNT <few>]
XLEN <x>
XPENDING <x> <group> [- + <few>|- + <few> <consumer>|IDLE 0 <id> + <few>]
XRANGE <x> <from> <to> [COUNT <few>]
XREAD [COUNT <few>] [BLOCK <timeout-millis>] STREAMS <streams>
XREADGROUP GROUP <group> <consumer> [COUNT <few>] [BLOCK <timeout-millis>] [NOACK] STREAMS <group-streams>
XREVRANGE <x> <to> <from> [COUNT <few>]
XSETID <x> <high-id> [ENTRIESADDED 20 MAXDELETEDID 1-1]
XTRIM <x> (MAXLEN|MAXLEN =|MAXLEN ~) <few>

PUBLISH <channel> <value>
SPUBLISH <channel> <value>
PUBSUB CHANNELS [<channel>|c*]
PUBSUB SHARDCHANNELS [c*]

EVAL <script> <#s> <value>
EVALSHA <sha> <#s> <value>
EVALSHA_RO <sha-ro> <#s>
EVAL_RO <script-ro> <#s>
FCALL <function> <#s> <value>
FCALL_RO <function> <#s>
FUNCTION DELETE <library>
FUNCTION FLUSH [SYNC|ASYNC]
FUNCTION LOAD [REPLACE] <code>
FUNCTION RESTORE <functions> [FLUSH|APPEND|REPLACE]
SCRIPT EXISTS <sha>+
SCRIPT FLUSH [SYNC|ASYNC]
SCRIPT LOAD <loaded>

PING [<value>]
CONFIG SET (slowlog-max-len <few>|slowlog-max-len <few> hash-max-listpack-entries 128|maxmemory-policy allkeys-lfu|maxmemory-policy noeviction|nonsense 1)
DBSIZE
FLUSHDB [SYNC|ASYNC]
MEMORY PURGE
MEMORY USAGE <k> [SAMPLES <few>]
"#;

/// Commands that fill the pools; drawn often, so that the others find something.
const BUILDERS: &[&str] = &[
    "SET",
    "SET",
    "MSET",
    "INCRBY",
    "SETBIT",
    "BITFIELD",
    "PFADD",
    "RPUSH",
    "LPUSH",
    "RPUSH",
    "SADD",
    "SADD",
    "SUNIONSTORE",
    "ZADD",
    "ZADD",
    "HSET",
    "HSET",
    "GEOADD",
    "XADD",
    "XADD",
    "XGROUP CREATE",
    "XGROUP CREATE",
    "XREADGROUP",
    "SCRIPT LOAD",
    "FUNCTION LOAD",
];
/// These empty everything; drawn seldom.
const EMPTIES: &[&str] = &["FLUSHDB"];

/// Replaces an argument, or comes behind the last. No small positive number is among them: as a timeout or a time to live it would make the
/// clock part of the test.
const GARBAGE: &[&str] = &[
    "",
    "abc",
    "-5",
    "9223372036854775808",
    "1e400",
    "NX",
    "COUNT",
    "{a}:none",
    "LIMIT",
    "WITHSCORES",
    "nan",
    "1.5x",
    "STREAMS",
    "~",
];

const TAGS: [&str; 4] = ["{a}", "{b}", "{user:42}", "{c}{d}"];
const TYPES: &[u8] = b"snblezghxp";

pub(super) const SCRIPTS: [&str; 3] = [
    "redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], ARGV[1], #KEYS}",
    "return redis.call('INCR', KEYS[1])",
    "return redis.error_reply('MYERR of a script')",
];
/// Known to a server only by SCRIPT LOAD: after an EVAL one server of a cluster would know it.
pub(super) const LOADED: [&str; 3] = [
    "return redis.call('APPEND', KEYS[1], ARGV[1] or '')",
    "return {KEYS[1], tostring(#ARGV), redis.call('TYPE', KEYS[1])}",
    "return redis.call('LLEN', KEYS[1])",
];
const CODE: [&str; 3] = [
    "#!lua name=one\nredis.register_function('setit', function(keys, args) return redis.call('SET', keys[1], args[1]) end)",
    "#!lua name=two\nredis.register_function{function_name='getit', callback=function(keys, args) return redis.call('GET', keys[1]) end, flags={'no-writes'}}",
    "#!lua nothing=1\n",
];

pub(super) type Args = Vec<Vec<u8>>;

#[derive(Debug)]
enum Part {
    Word(String),
    Place(String, bool),
    Choice {
        alternatives: Vec<Vec<Part>>,
        optional: bool,
        repeated: bool,
    },
}

pub(super) struct Generator {
    rng: Rng,
    rules: BTreeMap<&'static str, Vec<Part>>,
    routed: Vec<&'static Row>,
    refused: Vec<&'static Row>,
    refused_so_far: usize,
    /// What DUMP and FUNCTION DUMP gave.
    pub(super) payloads: Vec<Vec<u8>>,
    pub(super) functions: Vec<Vec<u8>>,
    /// The tag of all keys of the command under way, if they are to share one.
    tag: Option<usize>,
    /// Errors of stream commands repeat the key, and redis-rs gives a connection up over an error that is not UTF-8.
    text_only: bool,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Generator {
        let mut rules = BTreeMap::new();
        for line in GRAMMAR.lines().filter(|line| !line.is_empty()) {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let row = command::row_of(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
            let tokens = tokens(&line[row.name.len()..]);
            let mut rest = tokens.as_slice();
            let parts = sequence(&mut rest);
            assert!(rest.is_empty(), "{line}: brackets");
            assert!(
                rules.insert(row.name, parts).is_none(),
                "{} twice",
                row.name
            );
        }
        let (routed, refused): (Vec<&'static Row>, Vec<&'static Row>) =
            command::all().iter().partition(|row| is_routed(row));
        for row in &routed {
            assert!(
                rules.contains_key(row.name),
                "{} has no line in the grammar",
                row.name
            );
        }
        Generator {
            rng: Rng::with_seed(seed),
            rules,
            routed,
            refused,
            refused_so_far: 0,
            payloads: Vec::new(),
            functions: Vec::new(),
            tag: None,
            text_only: false,
        }
    }

    pub(super) fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Any command of the table, or now and then one that it does not have.
    pub(super) fn command(&mut self) -> Args {
        self.tag = self.rng.bool().then(|| self.rng.usize(..TAGS.len()));
        match self.rng.u8(..100) {
            0 => [&b"NOSUCHCOMMAND"[..], b"k"].map(<[u8]>::to_vec).to_vec(),
            1..6 => self.refused_command(),
            6..40 => self.builder(),
            _ => {
                let row = self.routed[self.rng.usize(..self.routed.len())];
                if EMPTIES.contains(&row.name) && self.rng.u8(..20) > 0 {
                    return self.builder();
                }
                self.of_row(row)
            }
        }
    }

    /// A command whose keys all carry this tag, for a transaction.
    pub(super) fn tagged(&mut self, tag: usize) -> Args {
        self.tag = Some(tag % TAGS.len());
        loop {
            let row = self.routed[self.rng.usize(..self.routed.len())];
            let args = match self.rng.bool() {
                true => self.builder_with_tag(),
                false => self.of_row(row),
            };
            if command::row_of(&args.iter().map(Vec::as_slice).collect::<Vec<_>>()).is_ok_and(
                |row| !matches!(row.rule, Rule::Everywhere(_) | Rule::Scan | Rule::Channel),
            ) {
                return args;
            }
        }
    }

    fn builder(&mut self) -> Args {
        self.builder_with_tag()
    }

    fn builder_with_tag(&mut self) -> Args {
        let name = BUILDERS[self.rng.usize(..BUILDERS.len())];
        let words: Vec<&[u8]> = name.split(' ').map(str::as_bytes).collect();
        let row = command::row_of(&words).unwrap();
        self.of_row(row)
    }

    fn refused_command(&mut self) -> Args {
        // In turn, so that few calls meet them all.
        let row = self.refused[self.refused_so_far % self.refused.len()];
        self.refused_so_far += 1;
        let mut args: Args = row
            .name
            .split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect();
        // What follows the word COMMAND would be a subcommand.
        let most = if row.name == "COMMAND" { 1 } else { 4 };
        for _ in 0..self.rng.usize(..most) {
            let place = ["k", "value", "few", "channel"][self.rng.usize(..4)];
            self.place(place, &mut args);
        }
        args
    }

    fn of_row(&mut self, row: &'static Row) -> Args {
        let mut args: Args = row
            .name
            .split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect();
        let name_words = args.len();
        self.text_only = row.name.starts_with('X');
        if self.rng.u8(..8) == 0 {
            args[0].make_ascii_lowercase();
        }
        // Taken out for the time: expanding needs the generator itself.
        let parts = self.rules.remove(row.name).unwrap_or_default();
        self.expand(&parts, &mut args);
        self.rules.insert(row.name, parts);
        // Nor may a spoilt score get into a set whose scores are to be 0.
        let by_names = args.get(1).is_some_and(|key| key.contains(&b'y'));
        if self.rng.u8(..25) == 0 && !(row.name == "ZADD" && by_names) {
            self.spoil(row, name_words, &mut args);
        }
        args
    }

    /// Makes it wrong: too short, too long, or with an argument that does not belong there.
    fn spoil(&mut self, row: &Row, name_words: usize, args: &mut Args) {
        let blocks = row.blocking != Blocking::Never;
        let garbage = |rng: &mut Rng| loop {
            let garbage = GARBAGE[rng.usize(..GARBAGE.len())];
            if !(blocks && garbage.parse::<f64>().is_ok()) {
                return garbage.as_bytes().to_vec();
            }
        };
        match self.rng.u8(..3) {
            0 if args.len() > name_words => args.truncate(self.rng.usize(name_words..args.len())),
            1 if args.len() > name_words => {
                let at = self.rng.usize(name_words..args.len());
                args[at] = garbage(&mut self.rng);
            }
            _ => args.push(garbage(&mut self.rng)),
        }
    }

    fn expand(&mut self, parts: &[Part], args: &mut Args) {
        for part in parts {
            match part {
                Part::Word(word) => args.push(word.as_bytes().to_vec()),
                Part::Place(name, repeated) => {
                    for _ in 0..self.times(*repeated) {
                        self.place(name, args);
                    }
                }
                Part::Choice {
                    alternatives,
                    optional,
                    repeated,
                } => {
                    if *optional && self.rng.u8(..10) < 6 {
                        continue;
                    }
                    for _ in 0..self.times(*repeated) {
                        let at = self.rng.usize(..alternatives.len());
                        self.expand(&alternatives[at], args);
                    }
                }
            }
        }
    }

    fn times(&mut self, repeated: bool) -> usize {
        if repeated { self.rng.usize(1..5) } else { 1 }
    }

    fn place(&mut self, name: &str, args: &mut Args) {
        if let Some(kind) = name.strip_prefix('#') {
            let count = self.rng.usize(1..4);
            args.push(count.to_string().into_bytes());
            (0..count).for_each(|_| self.place(kind, args));
            return;
        }
        if name == "streams" || name == "group-streams" {
            let count = self.rng.usize(1..4);
            (0..count).for_each(|_| self.place("x", args));
            for _ in 0..count {
                match (name, self.rng.u8(..3)) {
                    ("streams", 0) => args.push(b"$".to_vec()),
                    ("group-streams", 0 | 1) => args.push(b">".to_vec()),
                    _ => self.place("id", args),
                }
            }
            return;
        }
        if name == "place" {
            args.push(self.rng.i32(-179..180).to_string().into_bytes());
            args.push(self.rng.i32(-84..85).to_string().into_bytes());
            return;
        }
        let arg = self.one(name);
        args.push(arg);
    }

    fn one(&mut self, name: &str) -> Vec<u8> {
        let rng = &mut self.rng;
        let mut pick = |words: &[&str]| words[rng.usize(..words.len())].as_bytes().to_vec();
        let text = match name {
            "k" => return self.key(None),
            "sortable" => {
                let kind = b"lezn"[self.rng.usize(..4)];
                return self.key(Some(kind));
            }
            kind if kind.len() == 1 => return self.key(Some(kind.as_bytes()[0])),
            "value" => {
                return match rng.u8(..40) {
                    0 => vec![b'x'; 70_000],
                    1 => Vec::new(),
                    2 => b"\xff\x00\r\n$5\r\n".to_vec(),
                    3 => "grüße 你好".as_bytes().to_vec(),
                    4..14 => rng.i64(-100..1000).to_string().into_bytes(),
                    _ => format!("v{}", rng.u8(..12)).into_bytes(),
                };
            }
            "member" => format!("{}{}", ["m", "", "-"][rng.usize(..3)], rng.u8(..20)),
            "field" => format!("f{}", rng.u8(..8)),
            "int" => {
                return pick(&[
                    "1",
                    "2",
                    "-7",
                    "100",
                    "0",
                    "9223372036854775807",
                    "-9223372036854775808",
                    "3",
                    "12",
                ]);
            }
            "float" => return pick(&["1.5", "-0.25", "3", "1e3", "0.1", "-1e-3"]),
            "score" => {
                return pick(&[
                    "1", "2", "3", "-1.5", "0.1", "0.2", "1e17", "3.25", "inf", "-inf", "0", "-0",
                    "1e-5", "2.5",
                ]);
            }
            "bound" => return pick(&["-inf", "+inf", "(1", "2", "(3.25", "0", "1e5", "-2"]),
            "lex" => return pick(&["-", "+", "[m1", "(m5", "[m15", "[-3", "(1"]),
            "index" => rng.i32(-5..8).to_string(),
            "few" => rng.u8(1..6).to_string(),
            "zero" => "0".to_owned(),
            "offset" => rng.u16(..200).to_string(),
            "bit" => rng.u8(..2).to_string(),
            "bits" => return pick(&["u8", "i8", "u4", "i64", "u63", "i5", "u1"]),
            "seconds" => {
                return if rng.u8(..12) == 0 {
                    b"-1".to_vec()
                } else {
                    rng.u32(1_000..1_000_000).to_string().into_bytes()
                };
            }
            "millis" => {
                return if rng.u8(..12) == 0 {
                    b"-1".to_vec()
                } else {
                    rng.u32(1_000_000..1_000_000_000).to_string().into_bytes()
                };
            }
            // From the year 2065 on, or long ago.
            "at" => {
                return if rng.u8(..12) == 0 {
                    b"1000".to_vec()
                } else {
                    rng.u64(3_000_000_000..3_000_000_100)
                        .to_string()
                        .into_bytes()
                };
            }
            // SET keeps a key that has expired until somebody looks, and DBSIZE counts it.
            "future" => rng.u64(3_000_000_000..3_000_000_100).to_string(),
            "future-millis" => rng.u64(3_000_000_000_000..3_000_000_000_100).to_string(),
            "at-millis" => {
                return if rng.u8(..12) == 0 {
                    b"1000".to_vec()
                } else {
                    rng.u64(3_000_000_000_000..3_000_000_000_100)
                        .to_string()
                        .into_bytes()
                };
            }
            "ttl" => return pick(&["0", "0", "100000000", "-1", "3000000000000"]),
            "timeout" => return pick(&["0.001", "0.002", ".001"]),
            "timeout-millis" => return pick(&["1", "2"]),
            "pattern" => {
                return pick(&[
                    "*", "{a}*", "*s*", "w_*", "?", "[uc]*", "nothing*", "*:l[0-1]",
                ]);
            }
            "glob" => return pick(&["*", "m*", "*1", "f?", "nothing"]),
            "type" => {
                return pick(&[
                    "string", "list", "hash", "zset", "set", "stream", "nonsense",
                ]);
            }
            "radius" => return pick(&["1", "500", "3000", "20000", "0"]),
            "group" => return pick(&["g0", "g1", "g0", "STREAMS"]),
            "consumer" => return pick(&["alice", "bob"]),
            "id" => format!("{}-{}", rng.u8(..40), rng.u8(..3)),
            "ms-id" => format!("{}-*", rng.u8(1..60)),
            "from" => match rng.u8(..3) {
                0 => "-".to_owned(),
                1 => format!("{}-0", rng.u8(..40)),
                _ => format!("({}", rng.u8(..40)),
            },
            "to" => match rng.u8(..2) {
                0 => "+".to_owned(),
                _ => format!("{}-1", rng.u8(..40)),
            },
            "high-id" => format!("{}-0", rng.u8(30..90)),
            "channel" => format!("c{}", rng.u8(..5)),
            "script" => return pick(&SCRIPTS),
            "script-ro" => {
                return pick(&[
                    "return redis.call('GET', KEYS[1])",
                    "return {KEYS[1], #ARGV, 3.7, false, true}",
                    "return redis.call('SET', KEYS[1], 1)",
                ]);
            }
            "loaded" => return pick(&LOADED),
            "sha" => redis::Script::new(LOADED[rng.usize(..3)])
                .get_hash()
                .to_owned(),
            "sha-ro" => redis::Script::new(LOADED[1 + rng.usize(..2)])
                .get_hash()
                .to_owned(),
            "function" => return pick(&["setit", "getit"]),
            "library" => return pick(&["one", "two"]),
            "code" => return pick(&CODE),
            "payload" => return self.payloads[rng.usize(..self.payloads.len())].clone(),
            "functions" => return self.functions[rng.usize(..self.functions.len())].clone(),
            other => panic!("the grammar has no <{other}>"),
        };
        text.into_bytes()
    }

    /// A key of that type, or now and then of another: `{a}:s1`, `user:s4`, or one with bytes that are no text.
    fn key(&mut self, kind: Option<u8>) -> Vec<u8> {
        let kind = match kind {
            Some(b'y') => b'y',
            Some(kind) if TYPES.contains(&kind) && self.rng.u8(..20) > 0 => kind,
            Some(_) | None => TYPES[self.rng.usize(..TYPES.len())],
        };
        let number = self.rng.u8(..3);
        if let Some(tag) = self.tag {
            return format!("{}:{}{number}", TAGS[tag], char::from(kind)).into_bytes();
        }
        match self.rng.u8(..100) {
            0 => b"keyway:fence".to_vec(),
            1 if !self.text_only => vec![kind, 0xff, b'\r', b'\n', b' ', b'{'],
            2..35 => format!(
                "{}:{}{number}",
                TAGS[self.rng.usize(..TAGS.len())],
                char::from(kind)
            )
            .into_bytes(),
            _ => format!("{}{}", char::from(kind), self.rng.u8(..8)).into_bytes(),
        }
    }
}

/// Whether a cluster sends the command somewhere by itself.
pub(super) fn is_routed(row: &Row) -> bool {
    !matches!(
        row.rule,
        Rule::PerServer | Rule::OnServer | Rule::Dedicated | Rule::PubSub | Rule::Connection
    )
}

fn tokens(line: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '<' {
            word.push(character);
            for character in characters.by_ref() {
                word.push(character);
                if character == '>' {
                    break;
                }
            }
            continue;
        }
        if !matches!(character, '[' | ']' | '(' | ')' | '|' | ' ') {
            word.push(character);
            continue;
        }
        if !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
        }
        match character {
            ' ' => {}
            ')' if characters.next_if_eq(&'+').is_some() => tokens.push(")+".to_owned()),
            other => tokens.push(other.to_string()),
        }
    }
    if !word.is_empty() {
        tokens.push(word);
    }
    tokens
}

/// Parts up to a bar, a closing bracket or the end.
fn sequence(rest: &mut &[String]) -> Vec<Part> {
    let mut parts = Vec::new();
    while let Some((token, tail)) = rest.split_first() {
        match token.as_str() {
            "|" | "]" | ")" | ")+" => break,
            opening @ ("[" | "(") => {
                *rest = tail;
                let mut alternatives = vec![sequence(rest)];
                while rest[0] == "|" {
                    *rest = &rest[1..];
                    alternatives.push(sequence(rest));
                }
                let repeated = rest[0] == ")+";
                *rest = &rest[1..];
                parts.push(Part::Choice {
                    alternatives,
                    optional: opening == "[",
                    repeated,
                });
            }
            place if place.starts_with('<') => {
                *rest = tail;
                let name = place
                    .trim_end_matches('+')
                    .trim_matches(['<', '>'])
                    .to_owned();
                parts.push(Part::Place(name, place.ends_with('+')));
            }
            word => {
                *rest = tail;
                parts.push(Part::Word(word.to_owned()));
            }
        }
    }
    parts
}
