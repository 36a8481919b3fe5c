//! Random commands of the whole table, to a cluster of five servers and to one server: the same reply, or the refusal that the table names.
//!
//! `KEYWAY_DIFFERENTIAL_COMMANDS` sets how many (20,000 or more, or the check that every command was met may fail),
//! `KEYWAY_TEST_SEED` which.
//!
//! Where the cluster is known to differ from one server, other than by refusing:
//! * A command whose keys or blocking timeout cannot be read is refused by us (`Invalid`) before it is sent; the server must refuse it too, in the same words.
//!   Where several arguments are wrong, the server may report another of them.
//! * EXECABORT also says which command was refused, and why.
//! * A script body that a server has seen in an EVAL is known to that server only; SCRIPT LOAD makes it known to all.
//! * A SCAN cursor that no scan over the cluster gave is refused (`CursorStale`); one server takes any number.
//! * [`compare`] lists the commands whose replies are not determined by what was sent.

mod compare;
mod grammar;

use crate::fixture::{RedisServer, cluster_toml, seed, seed_or};
use compare::{How, difference, how, print};
use grammar::{Args, Generator, is_routed};
use keyway::command::{self, CommandId, Row, Rule};
use keyway::{Cluster, Error, ErrorKind, NodeId};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisError, ServerError, Value};
use std::collections::BTreeSet;
use std::fmt::Write;

const COMMANDS: usize = 20_000;
/// The protocol changes after so many commands, and the whole state is compared.
const PHASE_COMMANDS: usize = 1_000;
const MISMATCHES_MAX: usize = 25;
/// Used when none is given and the number of commands is the usual one, so that CI runs the same stream every time.
const SEED: u64 = 20_260_118;

#[tokio::test]
async fn a_cluster_answers_every_command_as_one_server_does_or_refuses_it_as_the_table_says() {
    let test = "a_cluster_answers_every_command_as_one_server_does";
    let (seed, commands) = match std::env::var("KEYWAY_DIFFERENTIAL_COMMANDS") {
        Err(_) => (seed_or(test, SEED), COMMANDS),
        Ok(commands) => (seed(test), commands.parse().unwrap()),
    };
    let report = run(seed, commands).await;
    print_out(&report.text);
    assert!(
        report.mismatches.is_empty(),
        "KEYWAY_TEST_SEED={seed} KEYWAY_DIFFERENTIAL_COMMANDS={commands}\n{}",
        report.mismatches.join("\n")
    );
    assert!(
        report.unmet.is_empty(),
        "seed {seed}: never met as they should be: {:?}",
        report.unmet
    );
}

#[expect(
    clippy::print_stdout,
    reason = "the seed and the counts are for whoever reads the test's output"
)]
fn print_out(text: &str) {
    println!("{text}");
}

struct Report {
    text: String,
    mismatches: Vec<String>,
    /// Commands that were neither executed with success nor refused as their rule says.
    unmet: Vec<&'static str>,
}

/// How often each thing has happened to one command.
#[derive(Clone, Copy, Default)]
struct Tally {
    equal: u64,
    equal_errors: u64,
    refused: u64,
    cross_node: u64,
    invalid: u64,
}

/// What the table says of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expect {
    /// Executed; on this node, if it is one.
    Reply(Option<NodeId>),
    Error(ErrorKind),
}

/// In what a command is sent.
#[derive(Clone, Copy, PartialEq)]
enum Sent {
    Alone,
    Pipeline,
    Transaction,
}

/// A cluster and a server, spoken to in one protocol.
struct Pair {
    cluster: Cluster,
    single: MultiplexedConnection,
}

struct Rig {
    servers: Vec<RedisServer>,
    pairs: [Pair; 2],
    /// Which pair is in use.
    now: usize,
    generator: Generator,
    tallies: Vec<Tally>,
    mismatches: Vec<String>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    commands: usize,
    pipelines: usize,
    refused_pipelines: usize,
    batches: usize,
    transactions: usize,
    aborted: usize,
    states: usize,
    keys: usize,
}

async fn run(seed: u64, commands: usize) -> Report {
    let started = std::time::Instant::now();
    let servers = futures::future::join_all((0..5).map(|_| RedisServer::start())).await;
    let single = RedisServer::start().await;
    for server in servers.iter().chain([&single]) {
        // So that a server notices the end of a blocking command at once.
        let mut connection = server.connection().await;
        let _: () = redis::cmd("CONFIG")
            .arg(&["SET", "hz", "500"])
            .query_async(&mut connection)
            .await
            .unwrap();
    }
    let ports: Vec<u16> = servers.iter().map(RedisServer::port).collect();
    let mut generator = Generator::new(seed);
    collect_payloads(&single, &mut generator).await;
    let mut rig = Rig {
        pairs: [
            pair("resp2", &ports, &single).await,
            pair("resp3", &ports, &single).await,
        ],
        servers,
        now: 0,
        generator,
        tallies: vec![Tally::default(); CommandId::COUNT],
        mismatches: Vec::new(),
        counts: Counts::default(),
    };
    // Somebody must listen, or PUBLISH and PUBSUB CHANNELS have nothing to say.
    let mut ours = rig.pairs[0].cluster.pubsub();
    let theirs = redis::Client::open(single.url()).unwrap();
    let mut theirs = theirs.get_async_pubsub().await.unwrap();
    for channel in ["c0", "c1", "c2"] {
        ours.subscribe(channel).await.unwrap();
        theirs.subscribe(channel).await.unwrap();
    }
    ours.psubscribe("c*").await.unwrap();
    theirs.psubscribe("c*").await.unwrap();
    while rig.counts.commands < commands && rig.mismatches.len() < MISMATCHES_MAX {
        rig.next_phase().await;
        let until = (rig.counts.commands + PHASE_COMMANDS).min(commands);
        while rig.counts.commands < until && rig.mismatches.len() < MISMATCHES_MAX {
            match rig.generator.rng().u8(..200) {
                0..3 => rig.pipeline().await,
                3..6 => rig.batch().await,
                6..10 => rig.transaction().await,
                _ => {
                    let args = rig.generator.command();
                    rig.alone(&args).await;
                }
            }
        }
        rig.compare_states().await;
    }
    rig.report(seed, started.elapsed())
}

async fn pair(protocol: &str, ports: &[u16], single: &RedisServer) -> Pair {
    let settings = format!("protocol = \"{protocol}\"\n[timeouts]\nresponse = \"20s\"\n");
    let config = crate::fixture::parse(&cluster_toml(&settings, 64, ports));
    let client = redis::Client::open(format!("{}/?protocol={protocol}", single.url())).unwrap();
    let patience = redis::AsyncConnectionConfig::new()
        .set_response_timeout(Some(std::time::Duration::from_secs(20)));
    Pair {
        cluster: Cluster::connect_config(config).await.unwrap(),
        single: client
            .get_multiplexed_async_connection_with_config(&patience)
            .await
            .unwrap(),
    }
}

/// What RESTORE and FUNCTION RESTORE take: of every type, and one that is broken.
async fn collect_payloads(server: &RedisServer, generator: &mut Generator) {
    let mut connection = server.connection().await;
    for words in [
        "SET k 12",
        "SET k text",
        "RPUSH k a b 3",
        "SADD k 1 2 3",
        "SADD k m1 m2",
        "ZADD k 1 m1 2 m2",
        "HSET k f1 v1 f2 2",
        "XADD k 5-1 f1 v",
        "PFADD k a b",
        "SETBIT k 100 1",
    ] {
        let _: () = cmd(&words
            .split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect())
        .query_async(&mut connection)
        .await
        .unwrap();
        generator.payloads.push(
            redis::cmd("DUMP")
                .arg("k")
                .query_async(&mut connection)
                .await
                .unwrap(),
        );
        let _: () = redis::cmd("DEL")
            .arg("k")
            .query_async(&mut connection)
            .await
            .unwrap();
    }
    generator.payloads.push(b"no payload".to_vec());
    generator.functions.push(
        redis::cmd("FUNCTION")
            .arg("DUMP")
            .query_async(&mut connection)
            .await
            .unwrap(),
    );
    let code =
        "#!lua name=three\nredis.register_function('third', function(keys, args) return 3 end)";
    let _: () = redis::cmd("FUNCTION")
        .arg(&["LOAD", code])
        .query_async(&mut connection)
        .await
        .unwrap();
    generator.functions.push(
        redis::cmd("FUNCTION")
            .arg("DUMP")
            .query_async(&mut connection)
            .await
            .unwrap(),
    );
    let _: () = redis::cmd("FUNCTION")
        .arg("FLUSH")
        .query_async(&mut connection)
        .await
        .unwrap();
    generator.functions.push(b"no payload".to_vec());
}

impl Rig {
    fn cluster(&self) -> &Cluster {
        &self.pairs[self.now].cluster
    }

    fn single(&self) -> MultiplexedConnection {
        self.pairs[self.now].single.clone()
    }

    /// The other protocol. Each cluster object keeps the scripts that were loaded through it, so both begin without.
    async fn next_phase(&mut self) {
        let flush = redis::cmd("SCRIPT").arg("FLUSH").to_owned();
        for pair in &mut self.pairs {
            pair.cluster.query::<()>(&flush).await.unwrap();
            let _: () = flush.query_async(&mut pair.single).await.unwrap();
        }
        self.now = 1 - self.now;
    }

    async fn alone(&mut self, args: &Args) {
        self.counts.commands += 1;
        let row = row_of(args);
        let expect = self.expectation(args, Sent::Alone);
        if let Expect::Error(kind) = expect {
            return self.refusal(args, row, kind).await;
        }
        let Some(row) = row else { return };
        if row.name == "SCAN" && args.len() > 1 {
            return self.scan(args, row).await;
        }
        let cmd = cmd(args);
        let mut single = self.single();
        let (ours, theirs) = futures::join!(
            self.cluster().query::<Value>(&cmd),
            single.req_packed_command(&cmd)
        );
        let theirs = of_redis(theirs, args);
        match of_keyway(ours) {
            Ok(ours) => self.judge(row, args, &ours, &theirs).await,
            Err(error) => {
                self.mismatch(
                    args,
                    &format!("keyway {error:?}\n    redis  {}", print(&theirs)),
                )
                .await
            }
        }
        // What was taken, or the id that was given, differs.
        if row.name == "SPOP" || (row.name == "XADD" && how(row.name, args) == How::Shape) {
            self.delete_keys(args).await;
        }
    }

    async fn judge(&mut self, row: &Row, args: &Args, ours: &Value, theirs: &Value) {
        match difference(how(row.name, args), ours, theirs) {
            None => self.tally(row, theirs),
            Some(difference) => self.mismatch(args, &difference).await,
        }
    }

    fn tally(&mut self, row: &Row, reply: &Value) {
        let tally = &mut self.tallies[row.id.index()];
        match reply {
            Value::ServerError(_) => tally.equal_errors += 1,
            _ => tally.equal += 1,
        }
    }

    /// The call must fail by this kind and send nothing.
    async fn refusal(&mut self, args: &Args, row: Option<&Row>, kind: ErrorKind) {
        let cmd = cmd(args);
        let count_calls = self.generator.rng().u8(..8) == 0;
        let before = if count_calls { self.calls() } else { 0 };
        let ours = match self.cluster().query::<Value>(&cmd).await {
            Err(error) if error.kind() == kind => RedisError::from(error),
            ours => {
                return self
                    .mismatch(args, &format!("expected {kind:?}, got {ours:?}"))
                    .await;
            }
        };
        if count_calls && self.calls() != before {
            self.mismatch(args, "refused, and yet something was sent")
                .await;
        }
        if kind == ErrorKind::Invalid {
            // Then no server may take it either.
            let theirs = of_redis(self.single().req_packed_command(&cmd).await, args);
            let is_alike = match &theirs {
                Value::ServerError(theirs) => {
                    (Some(theirs.code()), theirs.details()) == (ours.code(), ours.detail())
                        || reports_another(row, args)
                }
                _ => false,
            };
            if !is_alike {
                self.mismatch(
                    args,
                    &format!(
                        "Invalid by keyway ({ours}), and the server says {}",
                        print(&theirs)
                    ),
                )
                .await;
            }
        }
        if let Some(row) = row {
            let tally = &mut self.tallies[row.id.index()];
            match kind {
                ErrorKind::CrossNode => tally.cross_node += 1,
                ErrorKind::Invalid => tally.invalid += 1,
                _ => tally.refused += 1,
            }
        }
    }

    fn calls(&self) -> u64 {
        self.cluster()
            .stats()
            .servers
            .iter()
            .map(|server| server.calls)
            .sum()
    }

    /// A whole scan, for its single steps have nothing in common.
    async fn scan(&mut self, args: &Args, row: &Row) {
        let cluster = self.cluster().clone();
        let single = self.single();
        let ours = scan_to_the_end(args, async |cmd| of_keyway(cluster.query(&cmd).await)).await;
        let theirs = scan_to_the_end(args, async |cmd| {
            Ok(of_redis(
                single.clone().req_packed_command(&cmd).await,
                args,
            ))
        })
        .await;
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => self.judge(row, args, &ours, &theirs).await,
            // One server takes any number for a cursor; ours say which topology they are of.
            (Err(error), _) if error.kind() == ErrorKind::CursorStale && args[1] != b"0" => {
                self.tallies[row.id.index()].refused += 1;
            }
            (ours, _) => self.mismatch(args, &format!("keyway {ours:?}")).await,
        }
    }

    async fn pipeline(&mut self) {
        let mut calls = self.calls_for(Sent::Pipeline);
        let refused: Vec<ErrorKind> = calls
            .iter()
            .filter_map(|(_, expect)| expect.error())
            .collect();
        let wants_refusal = self.generator.rng().u8(..6) == 0;
        if !refused.is_empty() && wants_refusal {
            self.counts.refused_pipelines += 1;
            let pipe = pipe(calls.iter().map(|(args, _)| args));
            let before = self.calls();
            let ours = self
                .cluster()
                .clone()
                .req_packed_commands(&pipe, 0, calls.len())
                .await;
            // The first that is wrong is named, and nothing is sent.
            let code = ours
                .as_ref()
                .map_err(|error| error.code().unwrap_or_default().to_owned());
            if code != Err(code_of(refused[0]).to_owned()) || self.calls() != before {
                self.mismatch(
                    &calls[0].0,
                    &format!(
                        "a pipeline with a command that is {:?}: {ours:?}",
                        refused[0]
                    ),
                )
                .await;
            }
            return;
        }
        calls.retain(|(_, expect)| expect.error().is_none());
        if calls.is_empty() {
            return;
        }
        self.counts.pipelines += 1;
        self.counts.commands += calls.len();
        let pipe = pipe(calls.iter().map(|(args, _)| args));
        let (mut cluster, mut single) = (self.cluster().clone(), self.single());
        let (ours, theirs) = futures::join!(
            cluster.req_packed_commands(&pipe, 0, calls.len()),
            single.req_packed_commands(&pipe, 0, calls.len()),
        );
        let theirs = theirs.unwrap();
        match ours {
            Ok(ours) if ours.len() == calls.len() => {
                self.judge_all(calls.iter().map(|(args, _)| args), &ours, &theirs)
                    .await;
            }
            ours => {
                self.mismatch(
                    &calls[0].0,
                    &format!("a pipeline of {}: {ours:?}", calls.len()),
                )
                .await
            }
        }
    }

    async fn batch(&mut self) {
        let calls = self.calls_for(Sent::Pipeline);
        // redis-rs does not send an empty pipeline.
        if calls.iter().all(|(_, expect)| expect.error().is_some()) {
            return;
        }
        self.counts.batches += 1;
        self.counts.commands += calls.len();
        let mut batch = self.cluster().batch();
        let places: Vec<_> = calls
            .iter()
            .map(|(args, _)| batch.add::<Value>(cmd(args)))
            .collect();
        let sent: Vec<&Args> = calls
            .iter()
            .filter(|(_, expect)| expect.error().is_none())
            .map(|(args, _)| args)
            .collect();
        let pipe = pipe(sent.iter().copied());
        let mut single = self.single();
        let (mut ours, theirs) = futures::join!(
            batch.send(),
            single.req_packed_commands(&pipe, 0, sent.len())
        );
        let mut answered = Vec::new();
        for (place, (args, expect)) in places.into_iter().zip(&calls) {
            match (ours.take(place), expect.error()) {
                (Err(error), Some(kind)) if error.kind() == kind => {}
                (result, None) => match of_keyway(result) {
                    Ok(value) => answered.push(value),
                    Err(error) => {
                        answered.push(Value::Nil);
                        self.mismatch(args, &format!("in a batch: {error:?}")).await;
                    }
                },
                (result, Some(kind)) => {
                    self.mismatch(args, &format!("in a batch, expected {kind:?}: {result:?}"))
                        .await;
                }
            }
        }
        self.judge_all(sent.into_iter(), &answered, &theirs.unwrap())
            .await;
    }

    async fn transaction(&mut self) {
        let tag = self.generator.rng().usize(..);
        let length = self.generator.rng().usize(1..12);
        let mut calls: Vec<(Args, Expect)> = Vec::new();
        for _ in 0..length {
            let args = self.generator.tagged(tag);
            if is_repeatable(&args) {
                let expect = self.expectation(&args, Sent::Transaction);
                calls.push((args, expect));
            }
        }
        if calls.is_empty() {
            return;
        }
        self.counts.transactions += 1;
        self.counts.commands += calls.len();
        let mut ours = pipe(calls.iter().map(|(args, _)| args));
        ours.atomic();
        // In the order of the commands: each is looked at for itself, then whether it is on the first one's node.
        let refused = calls.iter().find_map(|(_, expect)| match expect {
            Expect::Error(kind) => Some(*kind),
            Expect::Reply(node) if *node != calls[0].1.node() => Some(ErrorKind::CrossNode),
            Expect::Reply(_) => None,
        });
        let mut cluster = self.cluster().clone();
        if let Some(kind) = refused {
            let before = self.calls();
            let ours = cluster.req_packed_commands(&ours, calls.len() + 1, 1).await;
            let code = ours
                .as_ref()
                .map_err(|error| error.code().unwrap_or_default().to_owned());
            if code != Err(code_of(kind).to_owned()) || self.calls() != before {
                self.mismatch(
                    &calls[0].0,
                    &format!("a transaction with a command that is {kind:?}: {ours:?}"),
                )
                .await;
            }
            return;
        }
        // By hand, for redis-rs makes an error of its own out of an EXECABORT.
        let mut theirs = redis::pipe();
        theirs.cmd("MULTI");
        calls.iter().for_each(|(args, _)| {
            theirs.add_command(cmd(args));
        });
        theirs.cmd("EXEC");
        let mut single = self.single();
        let (ours, theirs) = futures::join!(
            cluster.req_packed_commands(&ours, calls.len() + 1, 1),
            single.req_packed_commands(&theirs, 0, calls.len() + 2),
        );
        let exec = theirs.unwrap().pop().unwrap();
        match (ours, exec) {
            (Ok(ours), Value::Array(theirs)) => match ours.as_slice() {
                [Value::Array(ours)] if ours.len() == theirs.len() => {
                    self.judge_all(calls.iter().map(|(args, _)| args), ours, &theirs)
                        .await;
                }
                _ => {
                    self.mismatch(&calls[0].0, &format!("EXEC of {}: {ours:?}", calls.len()))
                        .await
                }
            },
            (Err(ours), Value::ServerError(theirs))
                if ours.code() == Some(theirs.code())
                    && ours
                        .detail()
                        .unwrap_or_default()
                        .starts_with(theirs.details().unwrap_or_default()) =>
            {
                self.counts.aborted += 1;
            }
            (ours, theirs) => {
                let text = calls
                    .iter()
                    .map(|(args, _)| show(args))
                    .collect::<Vec<_>>()
                    .join(" ; ");
                self.mismatch(
                    &calls[0].0,
                    &format!(
                        "EXEC of {text}:\n    keyway {ours:?}\n    redis  {}",
                        print(&theirs)
                    ),
                )
                .await;
            }
        }
    }

    /// Commands for a pipeline, with what is to be expected of each.
    fn calls_for(&mut self, sent: Sent) -> Vec<(Args, Expect)> {
        let length = self.generator.rng().usize(1..40);
        let mut calls: Vec<(Args, Expect)> = Vec::new();
        while calls.len() < length {
            let args = self.generator.command();
            if is_repeatable(&args) {
                let expect = self.expectation(&args, sent);
                calls.push((args, expect));
            }
        }
        calls
    }

    async fn judge_all<'a>(
        &mut self,
        all: impl Iterator<Item = &'a Args>,
        ours: &[Value],
        theirs: &[Value],
    ) {
        for ((args, ours), theirs) in all.zip(ours).zip(theirs) {
            if let Some(row) = row_of(args) {
                self.judge(row, args, ours, theirs).await;
            }
        }
    }

    async fn mismatch(&mut self, args: &Args, what: &str) {
        let protocol = ["resp2", "resp3"][self.now];
        self.mismatches
            .push(format!("{protocol}: {}\n    {what}", show(args)));
        self.delete_keys(args).await;
    }

    /// Both sides begin anew with these.
    async fn delete_keys(&mut self, args: &Args) {
        let mut single = self.single();
        for key in args.iter().skip(1) {
            let delete = redis::cmd("DEL").arg(key).to_owned();
            let _ = self.cluster().query::<Value>(&delete).await;
            let _ = single.req_packed_command(&delete).await;
        }
    }

    /// What the table says of this call.
    fn expectation(&self, args: &Args, sent: Sent) -> Expect {
        let Some(row) = row_of(args) else {
            return Expect::Error(ErrorKind::UnknownCommand);
        };
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let args = args.as_slice();
        let refused = Expect::Error(ErrorKind::Refused);
        if !is_routed(row) || row.forbidden(args).is_some() || row.has_patterns(args) {
            return refused;
        }
        match row.rule {
            Rule::Everywhere(_) if sent == Sent::Transaction => return refused,
            Rule::Everywhere(_) if sent == Sent::Pipeline && row.name == "SCRIPT FLUSH" => {
                return refused;
            }
            Rule::Everywhere(_) => return Expect::Reply(None),
            Rule::Scan if sent == Sent::Alone => return Expect::Reply(None),
            Rule::Scan => return refused,
            Rule::Channel => {
                return match args.get(1) {
                    Some(channel) => Expect::Reply(Some(self.cluster().locate(channel).node)),
                    None => Expect::Error(ErrorKind::Invalid),
                };
            }
            _ => {}
        }
        let (keys, blocks) = match (row.key_positions(args), row.blocks(args)) {
            (Ok(keys), Ok(blocks)) => (keys, blocks),
            _ => return Expect::Error(ErrorKind::Invalid),
        };
        let keys: Vec<&[u8]> = keys.iter().map(|at| args[at]).collect();
        if keys.iter().any(|key| key.starts_with(b"keyway:")) || keys.is_empty() {
            return refused;
        }
        let node = self.cluster().locate(keys[0]).node;
        if keys
            .iter()
            .all(|key| self.cluster().locate(key).node == node)
        {
            return match blocks {
                Some(_) if sent == Sent::Pipeline => refused,
                _ => Expect::Reply(Some(node)),
            };
        }
        match (row.rule, sent) {
            (Rule::Split(_), Sent::Alone | Sent::Pipeline) | (Rule::Gather(_), Sent::Alone) => {
                Expect::Reply(None)
            }
            (Rule::Gather(_), Sent::Pipeline) => refused,
            _ => Expect::Error(ErrorKind::CrossNode),
        }
    }

    /// Every key of one side is on the other, with the same content and time to live, and on its own server.
    async fn compare_states(&mut self) {
        self.counts.states += 1;
        let mut single = self.single();
        let keys: BTreeSet<Vec<u8>> = redis::cmd("KEYS")
            .arg("*")
            .query_async(&mut single)
            .await
            .unwrap();
        let mut here = BTreeSet::new();
        for (at, server) in self.servers.iter().enumerate() {
            let keys: BTreeSet<Vec<u8>> = redis::cmd("KEYS")
                .arg("*")
                .query_async(&mut server.connection().await)
                .await
                .unwrap();
            for key in &keys {
                let home = self.cluster().locate(key).server;
                assert_eq!(
                    &*home,
                    format!("s{at}"),
                    "{} is on a server that is not its own",
                    key.escape_ascii()
                );
            }
            here.extend(keys);
        }
        let differing: Vec<Vec<u8>> = keys.symmetric_difference(&here).cloned().collect();
        for key in differing {
            let what = if keys.contains(&key) {
                "only redis has this key"
            } else {
                "only keyway has this key"
            };
            self.mismatch(&vec![b"KEYS".to_vec(), key], what).await;
        }
        for key in keys.intersection(&here) {
            self.counts.keys += 1;
            let kind: String = redis::cmd("TYPE")
                .arg(key)
                .query_async(&mut single)
                .await
                .unwrap();
            let reads: &[&str] = match kind.as_str() {
                "string" => &["GET"],
                "list" => &["LRANGE 0 -1"],
                "set" => &["SMEMBERS"],
                "zset" => &["ZRANGE 0 -1 WITHSCORES"],
                "hash" => &["HGETALL"],
                "stream" => &["XRANGE - +", "XINFO STREAM"],
                other => panic!("a key of type {other}"),
            };
            for read in ["TYPE", "PEXPIRETIME", "OBJECT ENCODING"]
                .iter()
                .chain(reads)
            {
                let mut args: Args = read
                    .split(' ')
                    .map(|word| word.as_bytes().to_vec())
                    .collect();
                args.insert(
                    if read.contains(' ')
                        && (read.starts_with("OBJECT") || read.starts_with("XINFO"))
                    {
                        2
                    } else {
                        1
                    },
                    key.clone(),
                );
                let cmd = cmd(&args);
                let ours = of_keyway(self.cluster().query(&cmd).await).unwrap();
                let theirs = of_redis(single.req_packed_command(&cmd).await, &args);
                let name = row_of(&args).unwrap().name;
                if let Some(difference) = difference(how(name, &args), &ours, &theirs) {
                    self.mismatch(&args, &format!("the states differ: {difference}"))
                        .await;
                }
            }
        }
    }

    fn report(self, seed: u64, took: std::time::Duration) -> Report {
        let mut text = format!("KEYWAY_TEST_SEED={seed}\n");
        let Counts {
            commands,
            pipelines,
            refused_pipelines,
            batches,
            transactions,
            aborted,
            states,
            keys,
        } = self.counts;
        let _ = writeln!(
            text,
            "{commands} commands in {took:.1?}; {pipelines} pipelines and {refused_pipelines} refused ones, {batches} batches, {transactions} \
             transactions ({aborted} aborted), {keys} keys compared in {states} states"
        );
        let mut unmet = Vec::new();
        let mut total = Tally::default();
        for (row, tally) in command::all().iter().zip(&self.tallies) {
            let met = if is_routed(row) {
                tally.equal > 0
            } else {
                tally.refused > 0
            };
            if !met {
                unmet.push(row.name);
            }
            total.equal += tally.equal;
            total.equal_errors += tally.equal_errors;
            total.refused += tally.refused;
            total.cross_node += tally.cross_node;
            total.invalid += tally.invalid;
            if is_routed(row) {
                let _ = writeln!(
                    text,
                    "{:<24} {:>6} equal {:>5} equal errors {:>4} cross-node {:>4} invalid {:>4} refused",
                    row.name,
                    tally.equal,
                    tally.equal_errors,
                    tally.cross_node,
                    tally.invalid,
                    tally.refused
                );
            }
        }
        let _ = write!(
            text,
            "of {} rows: {} equal replies, {} equal errors, {} cross-node, {} invalid, {} refused",
            command::all().len(),
            total.equal,
            total.equal_errors,
            total.cross_node,
            total.invalid,
            total.refused
        );
        Report {
            text,
            mismatches: self.mismatches,
            unmet,
        }
    }
}

impl Expect {
    fn error(self) -> Option<ErrorKind> {
        match self {
            Expect::Error(kind) => Some(kind),
            Expect::Reply(_) => None,
        }
    }

    fn node(self) -> Option<NodeId> {
        match self {
            Expect::Reply(node) => node,
            Expect::Error(_) => None,
        }
    }
}

/// What follows a random pop or an id by the clock would differ; alone, their keys are deleted afterwards.
fn is_repeatable(args: &Args) -> bool {
    row_of(args).is_none_or(|row| {
        row.name != "SPOP" && !(row.name == "XADD" && how(row.name, args) == How::Shape)
    })
}

async fn scan_to_the_end(
    args: &Args,
    ask: impl AsyncFn(Cmd) -> Result<Value, Error>,
) -> Result<Value, Error> {
    let mut args = args.clone();
    let mut keys = BTreeSet::new();
    for _ in 0..100_000 {
        match ask(cmd(&args)).await? {
            Value::Array(mut parts) if parts.len() == 2 => match (parts.pop(), parts.pop()) {
                (Some(Value::Array(found)), Some(Value::BulkString(cursor))) => {
                    keys.extend(found.iter().map(print));
                    if cursor == b"0" {
                        return Ok(Value::Array(
                            keys.into_iter().map(Value::SimpleString).collect(),
                        ));
                    }
                    args[1] = cursor;
                }
                odd => return Ok(Value::SimpleString(format!("{odd:?}"))),
            },
            other => return Ok(other),
        }
    }
    panic!("a scan that does not end: {}", show(&args));
}

fn row_of(args: &Args) -> Option<&'static Row> {
    command::row_of(&args.iter().map(Vec::as_slice).collect::<Vec<_>>()).ok()
}

fn cmd(args: &Args) -> Cmd {
    let mut cmd = Cmd::new();
    args.iter().for_each(|arg| {
        cmd.arg(arg);
    });
    cmd
}

fn pipe<'a>(all: impl Iterator<Item = &'a Args>) -> Pipeline {
    let mut pipe = redis::pipe();
    all.for_each(|args| {
        pipe.add_command(cmd(args));
    });
    pipe
}

fn show(args: &Args) -> String {
    let words: Vec<String> = args
        .iter()
        .map(|arg| print(&Value::BulkString(arg.clone())))
        .collect();
    words.join(" ")
}

/// A reply of the server, errors as values.
fn of_keyway(result: Result<Value, Error>) -> Result<Value, Error> {
    result.or_else(|error| match error.server_error() {
        Some(server_error) => Ok(Value::ServerError(server_error.clone())),
        None => Err(error),
    })
}

fn of_redis(result: redis::RedisResult<Value>, args: &Args) -> Value {
    result.unwrap_or_else(|error| match ServerError::try_from(error) {
        Ok(error) => Value::ServerError(error),
        Err(error) => panic!("the single server to {}: {error}", show(args)),
    })
}

/// The server finds another argument wrong before the one that keyway reads: a script that it does not have, or the sides of BLMOVE.
fn reports_another(row: Option<&Row>, args: &Args) -> bool {
    row.is_some_and(|row| row.rule == Rule::Script || row.name == "BLMOVE") && args.len() > 2
}

/// The code that redis-rs users see.
fn code_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::CrossNode => "CROSSSLOT",
        ErrorKind::Invalid => "ERR",
        ErrorKind::UnknownCommand => "KEYWAY_UNKNOWNCOMMAND",
        _ => "KEYWAY_REFUSED",
    }
}
