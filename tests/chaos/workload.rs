//! What a task calls, by every way in, and the checks that need nobody else: each reply is its
//! caller's.

use crate::history::{Deed, Fate, Kind, Part, Record, Window};
use crate::map::{Maps, TAGS, key, list_of, name_of, nodes_of_tags};
use crate::worker::{NEVER, Worker};
use keyway::{Cluster, ErrorKind, Partial, PartialKeys};
use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, RedisError, Value};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Every id is this long, so that the length of a text of ids says how many it has.
pub(crate) const ID_BYTES: usize = 14;
/// Adds an id to a list; answers the list's length, the server's name and the id.
const SCRIPT: &str = "local n = redis.call('RPUSH', KEYS[1], ARGV[1]) \
                      return {n, redis.call('GET', KEYS[2]), ARGV[1]}";
/// The same for keyway to know nothing of: the coordinator loads it on the servers themselves.
pub(crate) const FOREIGN_SCRIPT: &str = "local n = redis.call('RPUSH', KEYS[1], ARGV[1]) --foreign\n\
                                         return {n, redis.call('GET', KEYS[2]), ARGV[1]}";
/// The same after a while in which the server answers nobody.
const SLOW_SCRIPT: &str = "local t = redis.call('TIME') local began = t[1] * 1000 + t[2] / 1000 \
                           repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > began + ARGV[2] \
                           local n = redis.call('RPUSH', KEYS[1], ARGV[1]) \
                           return {n, redis.call('GET', KEYS[2]), ARGV[1]}";
/// Queues are few, so that takers meet pushers.
const QUEUES: u32 = 8;
const BIG_BYTES: usize = 150_000;
/// Errors by which a server says that it did nothing.
const NOT_EXECUTED: [&str; 7] = [
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "BUSY",
    "NOSCRIPT",
    "EXECABORT",
    "UNBLOCKED",
];

/// One caller: it makes one call after the other.
pub(crate) struct Task {
    worker: Arc<Worker>,
    maps: Maps,
    nodes: Vec<usize>,
    index: usize,
    rng: fastrand::Rng,
    next_id: u64,
    /// The keys that only this task writes, and reads again.
    registers: HashMap<String, Register>,
    script: redis::Script,
    foreign: redis::Script,
    slow: redis::Script,
}

/// What may be in a register.
#[derive(Default)]
struct Register {
    acknowledged: Option<(String, Window)>,
    perhaps: HashSet<String>,
    never: HashSet<String>,
}

/// One command, and what its reply must be.
#[derive(Clone)]
struct Step {
    what: What,
    tag: u32,
    key: String,
    id: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// INCR of a counter of all.
    Count,
    /// RPUSH.
    List,
    /// APPEND to a text of all.
    Append,
    /// SADD, HSET: the reply says whether it was there already.
    Member,
    Field,
    /// SET of a key of its own.
    Own,
    /// RPUSH to a queue.
    Push,
    /// GET of the server's name.
    Name,
    /// SET and GET of a register.
    Write,
    Read,
    /// EVALSHA of the script that keyway knows, or does not.
    Script,
    ForeignScript,
}

/// The ways in for several commands.
#[derive(Clone, Copy)]
enum Way {
    Batch,
    Pipe,
    Bulk,
}

/// A failed call: what its error says.
struct Trouble {
    kind: ErrorKind,
    code: Option<String>,
    text: String,
}

impl From<keyway::Error> for Trouble {
    fn from(error: keyway::Error) -> Trouble {
        Trouble {
            kind: error.kind(),
            code: error.server_error().map(|error| error.code().to_owned()),
            text: error.to_string(),
        }
    }
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Trouble {
        let code = error.code().map(str::to_owned);
        let foreign = if code.is_some() {
            ErrorKind::Server
        } else {
            ErrorKind::UnexpectedReply
        };
        Trouble {
            kind: ErrorKind::of(&error).unwrap_or(foreign),
            code,
            text: error.to_string(),
        }
    }
}

impl Trouble {
    /// A reload may have taken the key or the whole server away just now: refused, so not executed.
    fn of_a_named_server(error: keyway::Error) -> Trouble {
        let mut trouble = Trouble::from(error);
        if matches!(trouble.kind, ErrorKind::Refused | ErrorKind::Invalid) {
            trouble.kind = ErrorKind::NotSent;
        }
        trouble
    }
}

/// How a call ended. An error has been judged: what it says of the command's fate.
type Ended<T> = (Result<T, Fate>, Window);

impl Task {
    pub(crate) fn new(worker: Arc<Worker>, maps: Maps, index: usize) -> Task {
        let seed = worker.order.seed;
        let number = (worker.order.index * 1000 + index) as u64;
        Task {
            maps,
            nodes: nodes_of_tags(),
            index,
            rng: fastrand::Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number)),
            next_id: 0,
            registers: HashMap::new(),
            script: redis::Script::new(SCRIPT),
            foreign: redis::Script::new(FOREIGN_SCRIPT),
            slow: redis::Script::new(SLOW_SCRIPT),
            worker,
        }
    }

    pub(crate) async fn run(mut self) {
        while !self.worker.stopping.load(Ordering::SeqCst) {
            match self.rng.u32(..100) {
                0..30 => self.single().await,
                30..38 => self.together(Way::Batch).await,
                38..46 => self.together(Way::Pipe).await,
                46..48 => self.together(Way::Bulk).await,
                48..60 => self.transaction().await,
                60..66 => self.script().await,
                66..72 => self.mget().await,
                72..77 => self.mset().await,
                77..84 => self.take().await,
                84..90 => self.compare_and_set().await,
                90..94 => self.name_of_a_server().await,
                94 => self.echo().await,
                95 => self.load().await,
                96 => self.no_response().await,
                97..99 => self.big().await,
                _ if self.rng.u8(..8) == 0 => self.slow_script().await,
                _ => self.empty().await,
            }
            // Faults meet calls of all ages, and the servers are not the bottleneck.
            sleep(Duration::from_micros(self.rng.u64(..3000))).await;
        }
    }

    /// One command, by every way in for one.
    async fn single(&mut self) {
        let tag = self.tag();
        let what = self.what();
        let step = self.step(what, tag);
        let cluster = self.cluster();
        let cmd = self.cmd(&step);
        // Before it is located: a read by `on_server` goes to the server of that moment, also after a reload.
        let from = self.worker.completed();
        let home = cluster.locate(&step.key);
        let (name, ended) = match self.rng.u8(..10) {
            0..4 => (
                step.name(),
                self.attempt(step.name(), cluster.query::<Value>(&cmd))
                    .await,
            ),
            4 | 5 => {
                let routed = cluster.for_key(&step.key);
                (
                    "for_key",
                    self.attempt("for_key", routed.query::<Value>(&cmd)).await,
                )
            }
            6 => {
                let call = async { cluster.on_node(home.node)?.query::<Value>(&cmd).await };
                ("on_node", self.attempt("on_node", call).await)
            }
            7 => {
                let call = async {
                    cluster
                        .dedicated(&step.key)
                        .await?
                        .query::<Value>(&cmd)
                        .await
                };
                ("dedicated", self.attempt("dedicated", call).await)
            }
            _ => {
                let call = async {
                    let result = match cluster.on_server(&home.server) {
                        Ok(server) => server.query::<Value>(&cmd).await,
                        Err(error) => Err(error),
                    };
                    result.map_err(Trouble::of_a_named_server)
                };
                (
                    "on_server",
                    self.attempt_from(from, "on_server", call).await,
                )
            }
        };
        self.settle(&step, name, Part::Alone, ended);
    }

    /// Its caller wants no reply, so the outcome is unknown unless it was not sent. The reply that
    /// comes must not go to anybody else.
    async fn no_response(&mut self) {
        let tag = self.tag();
        let step = self.step(What::List, tag);
        let mut cmd = self.cmd(&step);
        cmd.set_no_response(true);
        let cluster = self.cluster();
        let name = "RPUSH without a response";
        let (result, window) = self.attempt(name, cluster.query::<Value>(&cmd)).await;
        let fate = result.err().unwrap_or(Fate::Perhaps);
        self.settle(&step, name, Part::Alone, (Err(fate), window));
    }

    /// Several commands for any nodes, not as one transaction.
    async fn together(&mut self, way: Way) {
        let mut steps = Vec::new();
        // Now and then more than go into a connection at once.
        let count = match self.rng.u8(..60) {
            0 => self.rng.usize(1000..2500),
            _ => self.rng.usize(2..8),
        };
        for _ in 0..count {
            let tag = self.tag();
            let what = self.what();
            let step = self.step(what, tag);
            // What a register holds must not depend on its order within one call.
            if !steps
                .iter()
                .any(|other: &Step| other.key == step.key && what == What::Write)
            {
                steps.push(step);
            }
        }
        let cmds: Vec<Cmd> = steps.iter().map(|step| self.cmd(step)).collect();
        let mut cluster = self.cluster();
        let (name, ended) = match way {
            Way::Batch => {
                let mut batch = cluster.batch();
                for cmd in cmds {
                    let _ = batch.add::<Value>(cmd);
                }
                let call = async { Ok::<_, keyway::Error>(batch.send().await.into_results()) };
                let (ended, window) = self.attempt("batch", call).await;
                let ended = ended.map(|results| {
                    results
                        .map(|result| result.map_err(Trouble::from))
                        .collect()
                });
                ("batch", (ended, window))
            }
            Way::Pipe | Way::Bulk => {
                let mut pipe = redis::pipe();
                cmds.into_iter().for_each(|cmd| {
                    pipe.add_command(cmd);
                });
                if matches!(way, Way::Bulk) {
                    cluster = cluster.bulk();
                }
                let name = if matches!(way, Way::Bulk) {
                    "pipe on bulk"
                } else {
                    "pipe"
                };
                let count = pipe.len();
                let call = cluster.req_packed_commands(&pipe, 0, count);
                let (ended, window) = self.attempt(name, call).await;
                let ended = ended.map(|values| values.into_iter().map(Ok).collect());
                (name, (ended, window))
            }
        };
        let (ended, window): Ended<Vec<Result<Value, Trouble>>> = ended;
        let results: Vec<Result<Value, Fate>> = match ended {
            Ok(results) if results.len() == steps.len() => results
                .into_iter()
                .map(|result| match result {
                    Ok(Value::ServerError(error)) => {
                        Err(self.judge(name, RedisError::from(error).into()))
                    }
                    Ok(value) => Ok(value),
                    Err(trouble) => Err(self.judge(name, trouble)),
                })
                .collect(),
            Ok(results) => {
                let expected = format!("{} replies", steps.len());
                self.wrong_reply(name, &expected, results.len().to_string());
                return;
            }
            Err(fate) => steps.iter().map(|_| Err(fate)).collect(),
        };
        for (step, result) in steps.iter().zip(results) {
            self.settle(step, name, Part::Alone, (result, window));
        }
    }

    /// MULTI and EXEC on one node, half of them with a script.
    async fn transaction(&mut self) {
        let tag = self.tag();
        let with = match self.rng.u8(..4) {
            0 => Some(What::Script),
            1 => Some(What::ForeignScript),
            _ => None,
        };
        self.transact(tag, with).await;
    }

    /// For a tag that lives on this server. Whether it has ended for good: executed as a whole, or a violation.
    pub(crate) async fn script_in_a_transaction_on(&mut self, server: usize) -> bool {
        let homes = self.maps.homes(self.worker.completed());
        let Some(tag) = (0..TAGS).find(|tag| homes[self.nodes[*tag as usize]] == server) else {
            return true;
        };
        self.transact(tag, Some(What::Script)).await
    }

    /// All parts have one id, so that the servers show whether a part is missing.
    /// Returns whether it was executed as a whole, or is a violation.
    async fn transact(&mut self, tag: u32, with: Option<What>) -> bool {
        let id = self.id();
        let step = |what, kind: &str| Step {
            what,
            tag,
            key: key(kind, tag),
            id: id.clone(),
        };
        let mut steps = vec![
            step(What::List, "first"),
            step(What::Count, "within"),
            step(What::Name, "name"),
            step(What::Append, "log"),
            step(What::List, "last"),
        ];
        if let Some(what) = with {
            // Not at the end: what follows a failed command is executed, too.
            steps.insert(self.rng.usize(1..4), step(what, "scripted"));
        }
        let mut pipe = redis::pipe();
        pipe.atomic();
        for step in &steps {
            pipe.add_command(self.cmd(step));
        }
        let name = match with {
            None => "transaction",
            Some(What::ForeignScript) => "transaction with a script that keyway does not know",
            Some(_) => "transaction with a script",
        };
        let is_known = self.worker.script_given.load(Ordering::SeqCst);
        let mut lacks_script = false;
        let mut cluster = self.cluster();
        let after = pipe.len() + 1;
        let call = cluster.req_packed_commands(&pipe, after, 1);
        let (ended, window) = self.attempt(name, call).await;
        let results: Vec<Result<Value, Fate>> = match ended {
            Ok(mut replies) => match replies.pop() {
                Some(Value::Array(values)) if values.len() == steps.len() => values
                    .into_iter()
                    .zip(&steps)
                    .map(|(value, step)| match value {
                        Value::ServerError(error) => {
                            let is_missing = error.code() == "NOSCRIPT";
                            if is_missing && step.what == What::Script && is_known {
                                lacks_script = true;
                                self.script_is_missing(&self.describe(step, name));
                            }
                            Err(self.judge(name, RedisError::from(error).into()))
                        }
                        value => Ok(value),
                    })
                    .collect(),
                Some(Value::ServerError(error)) => {
                    let fate = self.judge(name, RedisError::from(error).into());
                    steps.iter().map(|_| Err(fate)).collect()
                }
                other => {
                    let expected = format!("{} replies of EXEC", steps.len());
                    self.wrong_reply(name, &expected, format!("{other:?}"));
                    return false;
                }
            },
            Err(fate) => steps.iter().map(|_| Err(fate)).collect(),
        };
        let is_over = lacks_script || results.iter().all(Result::is_ok);
        for (step, result) in steps.iter().zip(results) {
            let part = match step.what {
                What::Script | What::ForeignScript => Part::Script,
                _ => Part::Plain,
            };
            self.settle(step, name, part, (result, window));
        }
        is_over
    }

    /// keyway has the body of a short script as soon as it was given, whatever became of that SCRIPT LOAD, and sends it within a
    /// transaction. So no fault explains that a server did not know it.
    fn script_is_missing(&self, operation: &str) {
        let expected = "the script runs: its body was given to this Cluster before";
        self.worker.violation(
            Kind::ScriptMissing,
            operation,
            expected,
            "NOSCRIPT".to_owned(),
        );
    }

    /// SCRIPT LOAD, which goes to every server.
    pub(crate) async fn load(&mut self) {
        let cluster = self.cluster();
        let cmd = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).to_owned();
        let name = "SCRIPT LOAD";
        let ended = timeout(NEVER, cluster.query::<String>(&cmd)).await;
        self.worker.script_given.store(true, Ordering::SeqCst);
        self.worker.count(|totals| totals.operations += 1);
        match ended {
            Ok(Ok(sha)) if sha == self.script.get_hash() => {}
            Ok(Ok(sha)) => self.wrong_reply(name, self.script.get_hash(), sha),
            Ok(Err(error)) => _ = self.judge(name, error.into()),
            Err(_) => {
                let seen = format!("not within {NEVER:?}");
                self.worker
                    .violation(Kind::NeverEnded, name, "ends with its deadline", seen);
            }
        }
    }

    /// As redis-rs invokes a script: EVALSHA, and SCRIPT LOAD where it is missing.
    async fn script(&mut self) {
        let tag = self.tag();
        let step = self.step(What::Script, tag);
        let mut cluster = self.cluster();
        let script = self.script.clone();
        let call = async {
            let mut call = script.key(&step.key);
            call.key(key("name", tag)).arg(&step.id);
            call.invoke_async::<Value>(&mut cluster).await
        };
        let ended = self.attempt("script", call).await;
        self.settle(&step, "script", Part::Alone, ended);
    }

    async fn slow_script(&mut self) {
        let tag = self.tag();
        let step = self.step(What::Script, tag);
        // More than silence_max, for which it has a connection of its own, or less.
        let patience = Duration::from_secs(self.rng.u64(2..5));
        let mut cluster = self.worker.cluster.with_timeout(patience);
        let (script, took_ms) = (self.slow.clone(), self.rng.u32(50..1500));
        let call = async {
            let mut call = script.key(&step.key);
            call.key(key("name", tag)).arg(&step.id).arg(took_ms);
            call.invoke_async::<Value>(&mut cluster).await
        };
        let ended = self.attempt("slow script", call).await;
        self.settle(&step, "slow script", Part::Alone, ended);
    }

    /// Names and registers of many nodes: each value at the position of its key.
    async fn mget(&mut self) {
        let mut steps = Vec::new();
        for _ in 0..self.rng.usize(3..20) {
            let tag = self.tag();
            let what = if self.rng.bool() {
                What::Name
            } else {
                What::Read
            };
            steps.push(self.step(what, tag));
        }
        let mut cmd = redis::cmd("MGET");
        steps.iter().for_each(|step| {
            cmd.arg(&step.key);
        });
        let cluster = self.cluster();
        let partial = parking_lot::Mutex::new(None);
        let call = async {
            let result = cluster.query::<Vec<Value>>(&cmd).await;
            if let Err(error) = &result {
                *partial.lock() = error.partial().and_then(Partial::keys).cloned();
            }
            result
        };
        let (ended, window) = self.attempt("MGET", call).await;
        let values: Vec<Option<Value>> = match (ended, partial.into_inner()) {
            (Ok(values), _) => values.into_iter().map(Some).collect(),
            (Err(_), Some(partial)) => {
                let keys: Vec<&str> = steps.iter().map(|step| step.key.as_str()).collect();
                if let Err(wrong) = check_partial(&partial, &keys) {
                    let seen = format!("{wrong}: {partial:?}");
                    self.wrong_reply("MGET", "an error that says of each key what came", seen);
                    return;
                }
                // Empty if none came.
                partial.values
            }
            (Err(_), None) => return,
        };
        if !values.is_empty() && values.len() != steps.len() {
            let expected = format!("{} values", steps.len());
            self.wrong_reply("MGET", &expected, values.len().to_string());
            return;
        }
        for (step, value) in steps.iter().zip(values) {
            // One that came is its key's own, also beside others that did not.
            if let Some(value) = value {
                self.settle(step, "MGET", Part::Alone, (Ok(value), window));
            }
        }
    }

    /// Keys of its own on many nodes. A failure says of each key what became of it.
    async fn mset(&mut self) {
        let id = self.id();
        let mut keys = Vec::new();
        let mut cmd = redis::cmd("MSET");
        for number in 0..self.rng.usize(2..10) {
            let key = format!("{}:{id}.{number}", key("part", self.tag()));
            cmd.arg(&key).arg(&id);
            keys.push(key);
        }
        let cluster = self.cluster();
        let partial = parking_lot::Mutex::new(None);
        let call = async {
            let result = cluster.query::<()>(&cmd).await;
            if let Err(error) = &result {
                *partial.lock() = error.partial().and_then(Partial::keys).cloned();
            }
            result
        };
        let (ended, window) = self.attempt("MSET", call).await;
        let partial = partial.into_inner();
        for key in keys {
            let fate = match (&ended, &partial) {
                (Ok(()), _) => Fate::Done,
                (Err(fate), None) => *fate,
                (Err(_), Some(partial)) => {
                    let is_in =
                        |list: &[Vec<u8>]| list.iter().any(|other| *other == key.as_bytes());
                    match (
                        is_in(&partial.done),
                        is_in(&partial.failed),
                        is_in(&partial.unknown),
                    ) {
                        (true, false, false) => Fate::Done,
                        (false, true, false) => Fate::Never,
                        (false, false, true) => Fate::Perhaps,
                        _ => {
                            let seen = format!("{partial:?}");
                            self.wrong_reply("MSET", "each key is done, failed or unknown", seen);
                            Fate::Perhaps
                        }
                    }
                }
            };
            let deed = Deed::Write {
                place: None,
                part: Part::Alone,
            };
            self.record(&id, &key, deed, fate, window, "MSET");
        }
    }

    /// BLPOP.
    async fn take(&mut self) {
        let key = key("queue", self.rng.u32(..QUEUES));
        let id = self.id();
        let patience = ["0.02", "0.1", "0.5"][self.rng.usize(..3)];
        let cmd = redis::cmd("BLPOP").arg(&key).arg(patience).to_owned();
        let cluster = self.cluster();
        let call = cluster.query::<Option<(String, String)>>(&cmd);
        let (ended, window) = self.attempt("BLPOP", call).await;
        let (taken, fate) = match ended {
            Ok(Some((from, taken))) => {
                if from != key {
                    self.wrong_reply("BLPOP", &format!("from {key}"), format!("from {from}"));
                }
                (Some(taken), Fate::Done)
            }
            Ok(None) => (None, Fate::Done),
            Err(fate) => (None, fate),
        };
        self.record(&id, &key, Deed::Take { taken }, fate, window, "BLPOP");
    }

    /// WATCH, GET, and a transaction that is executed only if nobody was faster, on a dedicated
    /// connection.
    async fn compare_and_set(&mut self) {
        let tag = self.rng.u32(..QUEUES);
        let (counter, list) = (key("cas", tag), key("swapped", tag));
        let id = self.id();
        let cluster = self.cluster();
        let call = async {
            let mut dedicated = cluster.dedicated(&counter).await?;
            let () = dedicated.query(redis::cmd("WATCH").arg(&counter)).await?;
            let value: i64 = dedicated.query(&Cmd::get(&counter)).await?;
            let mut pipe = redis::pipe();
            pipe.atomic().set(&counter, value + 1).rpush(&list, &id);
            let replies = dedicated
                .req_packed_commands(&pipe, pipe.len() + 1, 1)
                .await;
            let reply = replies.map_err(Trouble::from)?.pop();
            Ok::<_, Trouble>((value + 1, reply))
        };
        let name = "compare and set";
        let (ended, window) = self.attempt(name, call).await;
        let (value, place, fate) = match ended {
            Ok((_, Some(Value::Nil))) => (None, None, Fate::Never),
            Ok((value, Some(Value::Array(replies)))) => match replies.as_slice() {
                [Value::Okay, Value::Int(length)] => (Some(value), Some(length - 1), Fate::Done),
                other => {
                    self.wrong_reply(name, "OK and a length", format!("{other:?}"));
                    return;
                }
            },
            Ok((_, Some(Value::ServerError(error)))) => {
                (None, None, self.judge(name, RedisError::from(error).into()))
            }
            Ok((_, other)) => {
                self.wrong_reply(name, "a reply of EXEC", format!("{other:?}"));
                return;
            }
            Err(fate) => (None, None, fate),
        };
        self.record(&id, &counter, Deed::Count { value }, fate, window, name);
        let part = Part::Plain;
        self.record(&id, &list, Deed::Write { place, part }, fate, window, name);
    }

    /// A server by its name answers with its name.
    async fn name_of_a_server(&mut self) {
        let names = self.worker.cluster.servers().names();
        let name = names[self.rng.usize(..names.len())].clone();
        let cmd = Cmd::get(key("name", self.tag()));
        let cluster = self.cluster();
        let call = async {
            let result = match cluster.on_server(&name) {
                Ok(server) => server.query::<String>(&cmd).await,
                Err(error) => Err(error),
            };
            result.map_err(Trouble::of_a_named_server)
        };
        let (ended, _) = self.attempt("on_server", call).await;
        if let Ok(seen) = ended
            && *seen != *name
        {
            self.wrong_reply("on_server", &format!("the name of {name}"), seen);
        }
    }

    /// Each server for itself.
    async fn echo(&mut self) {
        let id = self.id();
        let cmd = redis::cmd("ECHO").arg(&id).to_owned();
        let servers = self.cluster().servers();
        let call = async { Ok::<_, keyway::Error>(servers.each::<String>(&cmd).await) };
        let (ended, _) = self.attempt("ECHO on each", call).await;
        for answer in ended.unwrap_or_default() {
            match answer.reply {
                Ok(seen) if seen == id => {}
                Ok(seen) => self.wrong_reply("ECHO on each", &id, seen),
                // A reload may have dropped it just now.
                Err(error) if error.kind() == ErrorKind::Refused => {}
                Err(error) => _ = self.judge("ECHO on each", error.into()),
            }
        }
    }

    /// A register whose values do not fit into one segment, over the lane for such.
    async fn big(&mut self) {
        let tag = self.rng.u32(..4);
        let what = if self.rng.bool() {
            What::Write
        } else {
            What::Read
        };
        let mut step = self.step(what, tag);
        step.key = self.own_key("big", tag);
        let cmd = self.cmd(&step);
        let cluster = self
            .worker
            .cluster
            .with_timeout(Duration::from_secs(2))
            .bulk();
        let ended = self
            .attempt("big value", cluster.query::<Value>(&cmd))
            .await;
        self.settle(&step, "big value", Part::Alone, ended);
    }

    /// A command without a name is refused: the server would answer nothing, and each later reply
    /// its predecessor's caller.
    async fn empty(&mut self) {
        let key = key("any", self.tag());
        let cluster = self.cluster();
        let node = cluster.locate(&key).node;
        let empty = Cmd::new();
        let result = match self.rng.u8(..4) {
            0 => timeout(NEVER, cluster.query::<Value>(&empty)).await,
            1 => match cluster.on_node(node) {
                Ok(routed) => timeout(NEVER, routed.query::<Value>(&empty)).await,
                Err(error) => Ok(Err(error)),
            },
            _ => timeout(NEVER, cluster.for_key(&key).query::<Value>(&empty)).await,
        };
        self.worker.count(|totals| totals.operations += 1);
        let seen = match result {
            Ok(Err(error)) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Refused) => {
                return;
            }
            Ok(other) => format!("{other:?}"),
            Err(_) => format!("no end within {NEVER:?}"),
        };
        let expected = "refused before it is sent";
        self.worker.violation(
            Kind::EmptyAnswered,
            "a command without a name",
            expected,
            seen,
        );
    }

    /// Awaits a call, or drops it: how it ended, and by which maps it may have been routed.
    async fn attempt<T, E: Into<Trouble>>(
        &mut self,
        name: &str,
        call: impl Future<Output = Result<T, E>>,
    ) -> Ended<T> {
        self.attempt_from(self.worker.completed(), name, call).await
    }

    /// `from`: the last completed reload before anything of the call was looked up.
    async fn attempt_from<T, E: Into<Trouble>>(
        &mut self,
        from: u32,
        name: &str,
        call: impl Future<Output = Result<T, E>>,
    ) -> Ended<T> {
        let patience = match self.rng.u8(..25) {
            0 => Some(Duration::from_micros(self.rng.u64(..20_000))),
            _ => None,
        };
        let ended = timeout(patience.unwrap_or(NEVER), call).await;
        let window = self.worker.window(from);
        self.worker.count(|totals| totals.operations += 1);
        let result = match ended {
            Ok(Ok(value)) => {
                self.worker.count(|totals| totals.acknowledged += 1);
                Ok(value)
            }
            Ok(Err(error)) => {
                let fate = self.judge(name, error.into());
                self.worker.count(|totals| match fate {
                    Fate::Never => totals.not_sent += 1,
                    _ => totals.unknown += 1,
                });
                Err(fate)
            }
            Err(_) if patience.is_some() => {
                self.worker.count(|totals| totals.dropped += 1);
                Err(Fate::Perhaps)
            }
            Err(_) => {
                let seen = format!("not within {NEVER:?}");
                self.worker
                    .violation(Kind::NeverEnded, name, "ends with its deadline", seen);
                Err(Fate::Perhaps)
            }
        };
        (result, window)
    }

    /// What an error says of a command's fate. Errors that no fault explains are violations.
    fn judge(&self, name: &str, trouble: Trouble) -> Fate {
        let Trouble { kind, code, text } = trouble;
        match kind {
            ErrorKind::NotSent | ErrorKind::ServerDown => Fate::Never,
            ErrorKind::Unknown | ErrorKind::Partial => Fate::Perhaps,
            ErrorKind::Server
                if code
                    .as_deref()
                    .is_some_and(|code| NOT_EXECUTED.contains(&code)) =>
            {
                Fate::Never
            }
            ErrorKind::UnexpectedReply => {
                self.wrong_reply(name, "a reply of this command", text);
                Fate::Perhaps
            }
            _ => {
                let expected = "an error that a fault explains";
                self.worker
                    .violation(Kind::UnexpectedError, name, expected, text);
                Fate::Perhaps
            }
        }
    }

    /// Checks a reply, and reports what the servers are to be asked about after the round.
    fn settle(&mut self, step: &Step, call: &str, part: Part, ended: Ended<Value>) {
        let (result, window) = ended;
        let fate = result.as_ref().map_or_else(|fate| *fate, |_| Fate::Done);
        let reply = result.ok();
        let number = match (step.what, &reply) {
            (
                What::Count | What::List | What::Append | What::Member | What::Field | What::Push,
                Some(reply),
            ) => match reply {
                Value::Int(number) => Some(*number),
                other => {
                    return self.wrong_reply(
                        &self.describe(step, call),
                        "a number",
                        format!("{other:?}"),
                    );
                }
            },
            _ => None,
        };
        let place = match (step.what, number) {
            (What::List, Some(length)) => Some(length - 1),
            (What::Append, Some(bytes)) => {
                let id_bytes = ID_BYTES as i64 + 1;
                if bytes % id_bytes != 0 {
                    let expected = format!("a multiple of {id_bytes}");
                    self.wrong_reply(&self.describe(step, call), &expected, bytes.to_string());
                }
                Some(bytes / id_bytes - 1)
            }
            (What::Member | What::Field, Some(added)) if added != 1 => {
                let seen = format!("{added}: it was there already");
                let operation = self.describe(step, call);
                self.worker.violation(
                    Kind::Doubled,
                    &operation,
                    "1: an id that was never used",
                    seen,
                );
                None
            }
            (What::Script | What::ForeignScript, _) => match &reply {
                Some(reply) => self.check_script(step, call, reply, window),
                None => None,
            },
            _ => None,
        };
        match step.what {
            What::Name => {
                if let Some(reply) = &reply {
                    self.check_name(step, call, reply, window);
                }
            }
            What::Read => {
                if let Some(reply) = &reply {
                    self.check_register(step, call, reply, window);
                }
            }
            What::Write => {
                let register = self.registers.entry(step.key.clone()).or_default();
                let id = step.id.clone();
                match fate {
                    Fate::Done => register.acknowledged = Some((id, window)),
                    Fate::Perhaps => _ = register.perhaps.insert(id),
                    Fate::Never => _ = register.never.insert(id),
                }
            }
            What::Count => {
                self.record(
                    &step.id,
                    &step.key,
                    Deed::Count { value: number },
                    fate,
                    window,
                    call,
                );
            }
            What::Push => self.record(&step.id, &step.key, Deed::Push, fate, window, call),
            _ => self.record(
                &step.id,
                &step.key,
                Deed::Write { place, part },
                fate,
                window,
                call,
            ),
        }
    }

    /// `[length, the server's name, the id]`
    fn check_script(&self, step: &Step, call: &str, reply: &Value, window: Window) -> Option<i64> {
        let parsed = <(i64, Value, String)>::from_redis_value_ref(reply);
        let Ok((length, name, id)) = parsed else {
            let expected = "a length, a name and an id";
            self.wrong_reply(&self.describe(step, call), expected, format!("{reply:?}"));
            return None;
        };
        if id != step.id {
            self.wrong_reply(
                &self.describe(step, call),
                &format!("the id {}", step.id),
                id,
            );
        }
        self.check_name(step, call, &name, window);
        Some(length - 1)
    }

    /// A server's name tells who executed the command.
    fn check_name(&self, step: &Step, call: &str, reply: &Value, window: Window) {
        let name = String::from_redis_value_ref(reply).unwrap_or_else(|_| format!("{reply:?}"));
        let allowed = self.maps.allowed(self.nodes[step.tag as usize], window);
        let names: Vec<String> = allowed.into_iter().map(name_of).collect();
        if names.contains(&name) {
            return;
        }
        let is_a_name = (0..self.maps.servers).any(|server| name_of(server) == name);
        let kind = if is_a_name {
            Kind::WrongServer
        } else {
            Kind::WrongReply
        };
        let expected = format!("the name {}", names.join(" or "));
        self.worker
            .violation(kind, &self.describe(step, call), &expected, name);
    }

    /// The value has the key and an id that this task has written there; if the map has not changed
    /// since the last acknowledged write, it is that one, or one of unknown outcome, which may come
    /// late.
    fn check_register(&self, step: &Step, call: &str, reply: &Value, window: Window) {
        let operation = self.describe(step, call);
        let register = self.registers.get(&step.key);
        let last = register.and_then(|register| register.acknowledged.as_ref());
        let last = last.filter(|(_, written)| *written == window && window.from == window.to);
        if *reply == Value::Nil {
            if let Some((last, _)) = last {
                self.worker.violation(
                    Kind::Lost,
                    &operation,
                    &format!("the value {last}"),
                    "nil".to_owned(),
                );
            }
            return;
        }
        let text = String::from_redis_value_ref(reply).unwrap_or_else(|_| format!("{reply:?}"));
        let mut parts = text.split('|');
        let (key, id, padding) = (parts.next(), parts.next(), parts.next());
        let is_whole = padding == Some(&padding_of(&step.key));
        if key != Some(&step.key) || !is_whole || parts.next().is_some() {
            let seen: String = text.chars().take(80).collect();
            return self.wrong_reply(&operation, "a value of this key", seen);
        }
        let (Some(id), Some(register)) = (id, register) else {
            let seen = format!("{id:?}, and nothing was written yet");
            return self.wrong_reply(&operation, "nil", seen);
        };
        if register.never.contains(id) {
            let expected = "no value whose write was not executed";
            self.worker
                .violation(Kind::RanAnyway, &operation, expected, id.to_owned());
        } else if let Some((last, _)) = last
            && last != id
            && !register.perhaps.contains(id)
        {
            let expected = format!("{last}, or a later one");
            self.worker
                .violation(Kind::Lost, &operation, &expected, id.to_owned());
        }
    }

    fn wrong_reply(&self, operation: &str, expected: &str, seen: String) {
        self.worker
            .violation(Kind::WrongReply, operation, expected, seen);
    }

    fn describe(&self, step: &Step, call: &str) -> String {
        let name = step.name();
        let via = if call == name {
            String::new()
        } else {
            format!(" by {call}")
        };
        format!("{name}{via} of {} with {}", step.id, step.key)
    }

    fn record(&self, id: &str, key: &str, deed: Deed, fate: Fate, window: Window, call: &str) {
        self.worker.record(Record {
            id: id.to_owned(),
            key: key.to_owned(),
            deed,
            fate,
            window,
            at_ms: self.worker.now_ms(),
            call: call.to_owned(),
        });
    }

    /// With the usual deadline, a short one or a long one.
    fn cluster(&mut self) -> Cluster {
        let cluster = &self.worker.cluster;
        match self.rng.u8(..20) {
            0 | 1 => cluster.with_timeout(Duration::from_millis(self.rng.u64(1..30))),
            2 => cluster.with_timeout(Duration::from_secs(2)),
            _ => cluster.clone(),
        }
    }

    fn tag(&mut self) -> u32 {
        self.rng.u32(..TAGS)
    }

    fn id(&mut self) -> String {
        self.next_id += 1;
        format!(
            "{:02}.{:02}.{:08}",
            self.worker.order.index, self.index, self.next_id
        )
    }

    fn what(&mut self) -> What {
        const ALL: [What; 12] = [
            What::Count,
            What::List,
            What::Append,
            What::Member,
            What::Field,
            What::Own,
            What::Push,
            What::Name,
            What::Write,
            What::Read,
            What::Script,
            What::ForeignScript,
        ];
        ALL[self.rng.usize(..ALL.len())]
    }

    fn own_key(&self, kind: &str, tag: u32) -> String {
        format!(
            "{}:{}.{}",
            key(kind, tag),
            self.worker.order.index,
            self.index
        )
    }

    fn step(&mut self, what: What, tag: u32) -> Step {
        let id = self.id();
        // Few registers, so that they are read soon after they were written.
        let tag = match what {
            What::Write | What::Read => tag % 8,
            What::Push => tag % QUEUES,
            _ => tag,
        };
        let key = match what {
            What::Count => key("count", tag),
            What::List => list_of(self.worker.order.index, tag),
            What::Append => key("log", tag),
            What::Member => key("set", tag),
            What::Field => key("hash", tag),
            What::Own => format!("{}:{id}", key("own", tag)),
            What::Push => key("queue", tag),
            What::Name => key("name", tag),
            What::Write | What::Read => self.own_key("register", tag),
            What::Script | What::ForeignScript => key("scripted", tag),
        };
        Step { what, tag, key, id }
    }

    fn cmd(&self, step: &Step) -> Cmd {
        let Step {
            what,
            tag,
            key: to,
            id,
        } = step;
        match what {
            What::Count => Cmd::incr(to, 1),
            What::List | What::Push => Cmd::rpush(to, id),
            What::Append => Cmd::append(to, format!("{id};")),
            What::Member => Cmd::sadd(to, id),
            What::Field => Cmd::hset(to, id, ""),
            What::Own => Cmd::set(to, id),
            What::Name | What::Read => Cmd::get(to),
            What::Write => Cmd::set(to, format!("{to}|{id}|{}", padding_of(to))),
            What::Script | What::ForeignScript => {
                let script = if *what == What::Script {
                    &self.script
                } else {
                    &self.foreign
                };
                let mut cmd = redis::cmd("EVALSHA");
                cmd.arg(script.get_hash())
                    .arg(2)
                    .arg(to)
                    .arg(key("name", *tag))
                    .arg(id);
                cmd
            }
        }
    }
}

impl Step {
    fn name(&self) -> &'static str {
        match self.what {
            What::Count => "INCR",
            What::List | What::Push => "RPUSH",
            What::Append => "APPEND",
            What::Member => "SADD",
            What::Field => "HSET",
            What::Own | What::Write => "SET",
            What::Name | What::Read => "GET",
            What::Script | What::ForeignScript => "EVALSHA",
        }
    }
}

/// What is wrong with the error of an MGET of these keys: each is done, failed or unknown, as often as it was named; the values
/// that came are those of the keys that are done.
fn check_partial(partial: &PartialKeys, keys: &[&str]) -> Result<(), &'static str> {
    let PartialKeys {
        done,
        failed,
        unknown,
        values,
        ..
    } = partial;
    let sorted = |mut keys: Vec<Vec<u8>>| {
        keys.sort_unstable();
        keys
    };
    let named = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
    if sorted(named) != sorted([&done[..], failed, unknown].concat()) {
        return Err("other keys than were asked for");
    }
    if values.is_empty() && done.is_empty() {
        return Ok(());
    }
    if values.len() != keys.len() {
        return Err("as many places for values as keys are missing");
    }
    let came = keys.iter().zip(values).filter(|(_, value)| value.is_some());
    let came = came.map(|(key, _)| key.as_bytes().to_vec()).collect();
    if sorted(came) != sorted(done.clone()) {
        return Err("the values are not those of the keys that are done");
    }
    Ok(())
}

/// What a register's value ends with.
fn padding_of(key: &str) -> String {
    let bytes = if key.starts_with("big") {
        BIG_BYTES
    } else {
        10
    };
    "x".repeat(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Vec<Vec<u8>> {
        keys.iter().map(|key| key.as_bytes().to_vec()).collect()
    }

    #[test]
    fn the_error_of_an_mget_says_of_each_key_what_came() {
        let asked = ["a", "b", "a", "c"];
        let value = Some(Value::Nil);
        let mut right = PartialKeys::default();
        right.done = keys(&["a", "a"]);
        right.failed = keys(&["c"]);
        right.unknown = keys(&["b"]);
        right.values = vec![value.clone(), None, value.clone(), None];
        assert_eq!(check_partial(&right, &asked), Ok(()));
        let mut nothing = PartialKeys::default();
        nothing.failed = keys(&asked);
        assert_eq!(check_partial(&nothing, &asked), Ok(()));

        let is_wrong = |change: fn(&mut PartialKeys)| {
            let mut wrong = right.clone();
            change(&mut wrong);
            check_partial(&wrong, &asked).is_err()
        };
        assert!(is_wrong(|partial| _ = partial.failed.pop()));
        assert!(is_wrong(|partial| partial.unknown.push(b"a".to_vec())));
        assert!(is_wrong(|partial| _ = partial.values.pop()));
        assert!(is_wrong(|partial| partial.values.clear()));
        assert!(is_wrong(|partial| partial.values.rotate_left(1)));
        assert!(is_wrong(|partial| partial.values[0] = None));
    }
}
