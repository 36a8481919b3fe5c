//! Wrong arguments: what keyway refuses before sending has the code and the text of a server's own answer.

use crate::fixture::{RedisServer, TestCluster, ask, cmd, query};
use crate::ways::{Answer, Way, every_way_in};
use keyway::command::{self, Rule};
use keyway::{Cluster, ErrorKind};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The server's own answer, which must be an error: its code and what follows.
async fn answer_of(server: &mut MultiplexedConnection, cmd: &Cmd) -> (String, String) {
    match cmd.query_async::<Value>(server).await {
        Ok(value) => panic!("the server accepts {}: {value:?}", shown(cmd)),
        Err(error) => code_and_detail(&error),
    }
}

fn code_and_detail(error: &RedisError) -> (String, String) {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (text(error.code()), text(error.detail()))
}

fn shown(cmd: &Cmd) -> String {
    String::from_utf8_lossy(&cmd.get_packed_command()).replace("\r\n", " ")
}

fn calls(cluster: &Cluster) -> u64 {
    let servers = cluster.stats().servers;
    servers.iter().map(|server| server.calls).sum()
}

/// As the server says it, and kind and class are keyway's.
fn assert_refused_as(answer: &Answer, expected: &(String, String)) {
    let error = answer.error();
    assert_eq!(&code_and_detail(error), expected, "{answer:?}");
    assert_eq!(answer.kind, Some(ErrorKind::Invalid), "{answer:?}");
    assert_eq!(ErrorKind::of(error), Some(ErrorKind::Invalid), "{answer:?}");
    let response_error = redis::ErrorKind::Server(redis::ServerErrorKind::ResponseError);
    assert_eq!(error.kind(), response_error, "{answer:?}");
}

#[tokio::test]
async fn wrong_arguments_are_refused_in_the_servers_words_by_every_way_in() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let mut server = fixture.servers[0].connection().await;
    let before = calls(&cluster);
    for line in [
        "GET",
        "MGET",
        "MSET {q}a 1 {q}b",
        "XGROUP CREATE",
        "XGROUP",
        "PUBLISH",
        "EVAL script",
        "BRPOPLPUSH {q}a {q}b",
        "BLPOP {q}a soon",
        "LMPOP 0 {q}a LEFT",
        "SINTERCARD 2 {q}a",
        "XREAD COUNT 1 STREAMS {q}a",
    ] {
        let mut cmd = cmd(line);
        let expected = answer_of(&mut server, &cmd).await;
        assert_eq!(expected.0, "ERR", "{line}");
        for answer in every_way_in(&cluster, "{q}", &cmd).await {
            assert_refused_as(&answer, &expected);
        }
        // It is known before anything is sent, so also to who wants no reply.
        cmd.set_no_response(true);
        for way in [Way::Cluster, Way::ForKey, Way::OnServer, Way::Dedicated] {
            assert_refused_as(&way.send(&cluster, "{q}", &cmd).await, &expected);
        }
    }
    assert_eq!(calls(&cluster), before, "something was sent");
}

#[tokio::test]
async fn nothing_of_a_pipeline_with_wrong_arguments_is_sent() {
    let fixture = TestCluster::start(2).await;
    let mut cluster = fixture.connect_patiently().await;
    for atomic in [false, true] {
        let mut pipe = redis::pipe();
        if atomic {
            pipe.atomic();
        }
        pipe.set("{q}a", 1).cmd("GET").set("{q}b", 2);
        let mut dedicated = cluster.dedicated("{q}").await.unwrap();
        for result in [
            pipe.query_async::<Value>(&mut cluster).await,
            pipe.query_async(&mut cluster.for_key("{q}")).await,
            pipe.query_async(&mut dedicated).await,
        ] {
            let error = result.unwrap_err();
            let (code, detail) = code_and_detail(&error);
            assert_eq!(code, "ERR");
            assert_eq!(detail, "wrong number of arguments for 'get' command");
            assert_eq!(ErrorKind::of(&error), Some(ErrorKind::Invalid));
        }
    }
    let there: i64 = query(&cluster, "EXISTS {q}a {q}b").await.unwrap();
    assert_eq!(there, 0);
}

/// What the server answers, where keyway does not send it. The function `f` and the script of the digest are there.
const WRONG: &str = "
    BLPOP k soon | BLPOP k nan | BLPOP k -1 | BRPOP k 1x | BLMOVE a a LEFT RIGHT soon | BRPOPLPUSH a a soon
    BZPOPMIN k soon | BZPOPMAX k -0.5 | BLMPOP soon 1 k LEFT | BZMPOP -1 1 k MIN
    BLMOVE a a LEFT RIGHT | BLMOVE a a LEFT RIGHT 1 soon | BRPOPLPUSH a a 1 soon
    BLMPOP 1 0 k LEFT | BLMPOP 1 x k LEFT | BLMPOP 1 3 k LEFT | BZMPOP 1 -1 k MIN | BZMPOP 1 9 k MIN
    LMPOP 0 k LEFT | LMPOP x k LEFT | LMPOP 3 k LEFT | ZMPOP 0 k MIN | ZMPOP 3 k MIN | ZMPOP 99999999999999999999 k MIN
    SINTERCARD 0 k | SINTERCARD x k | SINTERCARD -1 k | SINTERCARD 2 k
    ZUNION 0 k | ZUNION x k | ZUNION 2 k | ZINTER -1 k | ZINTER 2 k | ZDIFF 0 k | ZDIFF 1.0 k
    ZINTERCARD 0 k | ZINTERCARD 2 k | ZINTERCARD x k
    ZUNIONSTORE d 0 k | ZUNIONSTORE d x k | ZUNIONSTORE d 2 k | ZINTERSTORE d 0 k | ZDIFFSTORE d 2 k
    EVAL s x | EVAL s 1 | EVAL s -1 | EVAL s +2 | EVAL s 99999999999999999999 | EVAL_RO s x | EVAL_RO s 1
    EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db x | EVALSHA_RO e0e1f9fabfc9d4800c877a703b823ac0578ff8db 1
    FCALL f x | FCALL f 1 | FCALL f -1 | FCALL_RO f x
    XREAD BLOCK x STREAMS k 0 | XREAD BLOCK -1 STREAMS k 0 | XREAD BLOCK 1e300 STREAMS k 0
    XREAD STREAMS a b 0 | XREAD COUNT 1 STREAMS | XREAD COUNT x STREAMS a b 0 | XREAD COUNT 1 BLOCK
    XREAD a 0 STREAMS | XREAD NOACK STREAMS a b 0 | XREAD GROUP g c STREAMS a b 0
    XREADGROUP GROUP g c STREAMS a b 0 | XREADGROUP GROUP g c NOACK k 0 | XREADGROUP GROUP g c BLOCK x STREAMS k 0
    MSET a 1 b | MSETNX a 1 b
";

#[tokio::test]
async fn what_else_is_wrong_has_the_servers_text() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect_patiently().await;
    let mut server = fixture.servers[0].connection().await;
    let library = "#!lua name=m\nredis.register_function('f', function() return 1 end)";
    for mut prepare in [redis::cmd("FUNCTION"), redis::cmd("SCRIPT")] {
        let body = if prepare.get_packed_command().ends_with(b"FUNCTION\r\n") {
            library
        } else {
            "return 1"
        };
        prepare.arg("LOAD").arg(body);
        let _: Value = prepare.query_async(&mut server).await.unwrap();
    }
    let mut texts = BTreeSet::new();
    for line in WRONG.split(['|', '\n']).map(str::trim) {
        if line.is_empty() {
            continue;
        }
        let cmd = cmd(line);
        let expected = answer_of(&mut server, &cmd).await;
        for way in [
            Way::Cluster,
            Way::ClusterByRedis,
            Way::OnServer,
            Way::ForKey,
        ] {
            assert_refused_as(&way.send(&cluster, "k", &cmd).await, &expected);
        }
        texts.insert(expected);
    }
    assert!(texts.len() > 20, "only {} texts were met", texts.len());
}

/// How many arguments each command of the server has, name included: exactly as many, or, if negative, at least.
async fn arities(server: &RedisServer) -> BTreeMap<String, i64> {
    let mut arities = BTreeMap::new();
    let Value::Array(commands) = ask(server, "COMMAND").await else {
        panic!("COMMAND answers an array")
    };
    let mut rest = commands;
    while let Some(command) = rest.pop() {
        let Value::Array(mut parts) = command else {
            panic!("each command is an array")
        };
        if let Some(Value::Array(subcommands)) = parts.get_mut(9) {
            rest.append(subcommands);
        }
        let [Value::BulkString(name), Value::Int(arity), ..] = parts.as_slice() else {
            panic!("name and arity are the first: {parts:?}")
        };
        let name = String::from_utf8_lossy(name)
            .to_uppercase()
            .replace('|', " ");
        arities.insert(name, *arity);
    }
    arities
}

#[tokio::test]
async fn the_arity_that_a_row_has_is_the_servers() {
    let server = RedisServer::start().await;
    let arities = arities(&server).await;
    let mut compared = 0;
    for row in command::all() {
        if let Some(arity) = row.arity {
            assert_eq!(arities[row.name], i64::from(arity), "{}", row.name);
            compared += 1;
        }
    }
    assert!(compared > 20, "only {compared} rows have one");
}

/// Each command and each container of the server, with each number of arguments that is too small, and with one too many.
#[tokio::test]
async fn every_command_with_a_wrong_number_of_arguments_is_answered_as_by_the_server() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect_patiently().await;
    let mut server = fixture.servers[0].connection().await;
    let mut compared: BTreeMap<String, usize> = BTreeMap::new();
    let arities = arities(&fixture.servers[0]).await;
    for (name, arity) in &arities {
        let words: Vec<&str> = name.split(' ').collect();
        let least = arity.unsigned_abs() as usize;
        let mut counts: Vec<usize> = (words.len()..least).collect();
        if *arity > 0 {
            counts.push(least + 1);
        }
        for count in counts {
            let mut cmd = Cmd::new();
            cmd.arg(&words).arg(vec!["1"; count - words.len()]);
            let expected = answer_of(&mut server, &cmd).await;
            for way in [
                Way::Cluster,
                Way::ForKey,
                Way::OnServer,
                Way::Each,
                Way::Dedicated,
                Way::Batch,
            ] {
                let answer = way.send(&cluster, "1", &cmd).await;
                // The command is not for this way, whatever its arguments.
                if answer.kind == Some(ErrorKind::Refused) {
                    continue;
                }
                assert_eq!(code_and_detail(answer.error()), expected, "{answer:?}");
                let kinds = [Some(ErrorKind::Invalid), Some(ErrorKind::Server)];
                assert!(kinds.contains(&answer.kind), "{answer:?}");
                *compared.entry(name.clone()).or_default() += 1;
            }
        }
    }
    for row in command::all() {
        // The server takes any number of arguments, or does not have the command, or keyway refuses it in every way.
        let has_wrong_number = arities.get(row.name).is_some_and(|arity| {
            *arity > 0 || arity.unsigned_abs() as usize > row.name.split(' ').count()
        });
        let is_refused = matches!(row.rule, Rule::Connection | Rule::PubSub);
        assert_eq!(
            compared.contains_key(row.name),
            has_wrong_number && !is_refused,
            "{}",
            row.name
        );
    }
}
