//! Routing: from a command and where it may go, to the node, the split or the refusal. Pure.
//!
//! Decided by nodes, never by servers: that two nodes share a server today must not change what a command means.

use crate::command::{self, BlocksFor, CommandId, Gather, KeyPositions, Merge, Row, Rule, Split};
use crate::config::MultiKey;
use crate::error::{Error, ErrorKind};
use crate::placement::{NodeId, Placement};
use crate::topology::{NodeState, Topology};
use redis::{Arg, Cmd};

/// User commands must not touch keys with this prefix: it holds what keyway itself keeps on a server.
pub(crate) const RESERVED_PREFIX: &[u8] = b"keyway:";

/// Where the caller wants a command to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Wherever its keys say.
    Cluster,
    /// This node: keys must belong to it; commands that name none are allowed.
    Node(NodeId),
    /// This node, on a connection of one's own.
    Dedicated(NodeId),
    /// One server that the caller names; administration included.
    Server,
}

/// A command without a row by `for_key(key)`: its first argument must be that key, or it would ask the wrong server in silence.
pub(crate) fn check_first_argument(args: &[&[u8]], key: &[u8]) -> Result<(), Error> {
    if args.get(1) == Some(&key) {
        return Ok(());
    }
    let name = shorten(args.first().copied().unwrap_or_default());
    let found = match args.get(1) {
        Some(first) => format!("is \"{}\"", shorten(first)),
        None => "is missing".to_owned(),
    };
    Err(Error::new(
        ErrorKind::Refused,
        format!(
            "keyway does not know where the keys of this command are, and its first argument {found}, where for_key(\"{}\") \
             expects that key; if it belongs to that key's node all the same, say so with \
             cluster.on_node(cluster.locate(key).node)",
            shorten(key)
        ),
    )
    .of_command(&name))
}

/// What is known of a command before it is routed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// `None` for a command that the table does not have, which then goes only where the caller says.
    pub(crate) row: Option<&'static Row>,
    pub(crate) is_read: bool,
}

impl Known {
    /// For the statistics, which have a row more than the table: the last is for what the table does not have.
    pub(crate) fn id(&self) -> u16 {
        self.row.map_or(CommandId::COUNT as u16, |row| row.id.0)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.row.map_or("command", |row| row.name)
    }

    /// Replies of scripts may begin with any error; only other commands' LOADING and READONLY mean that nothing was done.
    pub(crate) fn runs_scripts(&self) -> bool {
        self.row.is_none_or(|row| row.rule == Rule::Script)
    }
}

/// Where a command goes.
#[derive(Debug)]
pub(crate) enum Route {
    Node(NodeId),
    /// Any node serves it. It may wait on the server, if it says for how long.
    Any(Option<BlocksFor>),
    /// It may wait on the server, so it gets a connection of its own.
    Blocking(NodeId, BlocksFor),
    /// Each key (or key and value) by itself.
    Split(Split, Vec<Part>),
    Gather(Gather, KeyPositions),
    Everywhere(Merge),
    Scan,
    /// To the server that the caller named.
    Named,
}

/// One key of a split command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) node: NodeId,
    /// Position of the key among the arguments.
    pub(crate) at: usize,
}

/// The arguments of a command, name first. A cursor argument reads as empty: its value is hidden in the command.
pub(crate) fn arguments(cmd: &Cmd) -> Vec<&[u8]> {
    cmd.args_iter()
        .map(|arg| match arg {
            Arg::Simple(bytes) => bytes,
            _ => b"0",
        })
        .collect()
}

/// The short way for most calls: the row and the key of a command with one key that needs nothing but to be sent.
pub(crate) fn simple(cmd: &Cmd) -> Option<(&'static Row, &[u8])> {
    let mut args = cmd.args_iter();
    let Some(Arg::Simple(name)) = args.next() else {
        return None;
    };
    let Some(command::Found::Row(row)) = command::lookup(name) else {
        return None;
    };
    if !row.single_key() || row.blocking != command::Blocking::Never {
        return None;
    }
    match args.next() {
        Some(Arg::Simple(key)) if !key.starts_with(RESERVED_PREFIX) => Some((row, key)),
        _ => None,
    }
}

/// The row of an MGET, which has a short way of its own when its keys are on several nodes.
pub(crate) fn split_read(cmd: &Cmd) -> Option<&'static Row> {
    let Some(Arg::Simple(name)) = cmd.args_iter().next() else {
        return None;
    };
    match command::lookup(name) {
        Some(command::Found::Row(row)) if row.rule == Rule::Split(Split::Mget) => Some(row),
        _ => None,
    }
}

/// Looks the command up. Unknown ones are an error unless the caller says where they go.
///
/// One without a name is an error in every scope: the server answers nothing to it, and each later reply on the
/// connection would go to the wrong caller.
pub(crate) fn identify(args: &[&[u8]], scope: Scope) -> Result<Known, Error> {
    if args.is_empty() && !crate::planted::is("empty-command") {
        return Err(Error::empty_command());
    }
    match command::row_of(args) {
        Ok(row) => Ok(Known {
            row: Some(row),
            is_read: row.is_read(args),
        }),
        // Such a subcommand may change its connection, and CLIENT REPLY of some other name would shift all replies.
        Err(
            unknown @ command::Unknown::Subcommand {
                container: "CLIENT",
                ..
            },
        ) => Err(Error::new(ErrorKind::UnknownCommand, unknown.to_string())),
        // The server would say so too.
        Err(command::Unknown::NoSubcommand { container }) => {
            let text = command::wrong_arity(container);
            Err(Error::refused_as(text, "it needs a subcommand").of_command(container))
        }
        Err(_) if scope != Scope::Cluster => Ok(Known {
            row: None,
            is_read: false,
        }),
        Err(unknown) => Err(Error::new(ErrorKind::UnknownCommand, unknown.to_string())),
    }
}

/// Decides where a command goes, or why it does not.
pub(crate) fn route(
    placement: &Placement,
    args: &[&[u8]],
    known: Known,
    scope: Scope,
    multi_key: MultiKey,
) -> Result<Route, Error> {
    let Some(row) = known.row else {
        return match scope {
            Scope::Node(node) | Scope::Dedicated(node) => Ok(Route::Node(node)),
            Scope::Server | Scope::Cluster => Ok(Route::Named),
        };
    };
    let refuse = |why: &str| Error::new(ErrorKind::Refused, why).of_command(row.name);
    let remedy = || {
        let text = if row.remedy.is_empty() {
            "it cannot be sent this way"
        } else {
            row.remedy
        };
        refuse(text)
    };
    if let (Scope::Dedicated(node), true) = (scope, row.is_neutral) {
        return Ok(Route::Node(node));
    }
    match row.rule {
        Rule::Connection | Rule::PubSub => return Err(remedy()),
        Rule::Dedicated => {
            return match scope {
                Scope::Dedicated(node) => {
                    check_keys(placement, args, row, Some(node))?;
                    Ok(Route::Node(node))
                }
                _ => Err(remedy()),
            };
        }
        Rule::OnServer | Rule::PerServer => {
            return if scope == Scope::Server {
                Ok(Route::Named)
            } else {
                Err(remedy())
            };
        }
        Rule::Everywhere(_) | Rule::Scan if scope == Scope::Server => return Ok(Route::Named),
        _ if matches!(row.name, "KEYS" | "SCAN")
            && scope == Scope::Cluster
            && !placement.has_homes() =>
        {
            let why = format!(
                "by {} no server owns a key, so that one list over all of them would have a key as often as there are copies of it; ask one \
                 server with on_server(name), or each with servers().each(..)",
                placement.algorithm()
            );
            return Err(refuse(&why));
        }
        Rule::Everywhere(merge) => {
            return match scope {
                Scope::Cluster => Ok(Route::Everywhere(merge)),
                // The other nodes of that server are not the caller's, and which they are changes.
                Scope::Dedicated(_) => Err(refuse(
                    "it acts on all nodes of a server, and a dedicated connection belongs to one node; call it on the cluster, \
                     or on one server by on_server(name)",
                )),
                _ => Err(refuse(
                    "it goes to every server; call it on the cluster, or on one server by on_server(name)",
                )),
            };
        }
        Rule::Scan => {
            return if scope == Scope::Cluster {
                Ok(Route::Scan)
            } else {
                Err(refuse(
                    "it goes over every server; call it on the cluster, or on one server by on_server(name)",
                ))
            };
        }
        Rule::Keyed | Rule::Split(_) | Rule::Gather(_) | Rule::Channel | Rule::Script => {}
    }
    if scope != Scope::Server
        && let Some(why) = row.forbidden(args)
    {
        return Err(refuse(why));
    }
    if scope == Scope::Cluster && placement.has_homes() && row.has_patterns(args) {
        return Err(refuse(
            "its BY or GET pattern reads keys that the arguments do not name, which may be on other nodes; if they are all on one \
             node, say so with cluster.for_key(key)",
        ));
    }
    if row.rule == Rule::Channel {
        let Some(channel) = args.get(1) else {
            return Err(
                Error::refused_as(command::wrong_arity(row.name), "it has no channel")
                    .of_command(row.name),
            );
        };
        return Ok(match scope {
            Scope::Node(node) | Scope::Dedicated(node) => Route::Node(node),
            Scope::Server => Route::Named,
            Scope::Cluster => Route::Node(placement.node(channel)),
        });
    }
    let keys = row
        .key_positions(args)
        .map_err(|error| invalid(row, args, &error))?;
    let blocks = row
        .blocks(args)
        .map_err(|error| invalid(row, args, &error))?;
    for at in keys {
        check_reserved(args[at], row)?;
    }
    let target = match scope {
        Scope::Server => return Ok(Route::Named),
        Scope::Node(node) | Scope::Dedicated(node) => Some(node),
        Scope::Cluster => None,
    };
    if !placement.has_homes() {
        return match target {
            None if keys.is_empty() && row.rule != Rule::Script => Err(no_key(row)),
            None => Ok(Route::Any(blocks)),
            Some(node) => Ok(to_node(node, blocks, scope)),
        };
    }
    // Each key is hashed once: that is most of what routing costs.
    let mut parts = keys.iter().map(|at| Part {
        node: placement.node(args[at]),
        at,
    });
    let Some(first) = parts.next() else {
        return match target {
            Some(node) => Ok(Route::Node(node)),
            None if row.rule == Rule::Script => Err(refuse(
                "it declares no key, so nothing says which node it is for; declare its keys, or say where with \
                 cluster.for_key(key) or on_server(name)",
            )),
            None => Err(no_key(row)),
        };
    };
    let node = target.unwrap_or(first.node);
    let mut here = 0;
    let elsewhere = std::iter::once(first).chain(parts.by_ref()).find(|part| {
        here += usize::from(part.node == node);
        part.node != node
    });
    let Some(elsewhere) = elsewhere else {
        return Ok(to_node(node, blocks, scope));
    };
    match (row.rule, target, multi_key) {
        (Rule::Split(split), None, MultiKey::Split) => {
            let mut all = Vec::with_capacity(keys.len());
            all.extend(keys.iter().take(here).map(|at| Part { node, at }));
            all.push(elsewhere);
            all.extend(parts);
            Ok(Route::Split(split, all))
        }
        (Rule::Gather(gather), None, MultiKey::Split) => Ok(Route::Gather(gather, keys)),
        (Rule::Split(_) | Rule::Gather(_), None, _) => Err(cross_node(
            placement,
            args,
            keys,
            row,
            "and multi_key = \"refuse\" forbids to split it",
        )),
        (_, Some(node), _) => Err(cross_node(
            placement,
            args,
            keys,
            row,
            &format!("but the call was bound to node {node}"),
        )),
        _ => Err(cross_node(
            placement,
            args,
            keys,
            row,
            "and it is only possible on one",
        )),
    }
}

fn to_node(node: NodeId, blocks: Option<BlocksFor>, scope: Scope) -> Route {
    match blocks {
        // On a connection of one's own it may block: nobody else waits behind it.
        Some(wait) if !matches!(scope, Scope::Dedicated(_)) => Route::Blocking(node, wait),
        _ => Route::Node(node),
    }
}

fn no_key(row: &'static Row) -> Error {
    Error::new(ErrorKind::Invalid, "it names no key").of_command(row.name)
}

/// Keys of a command that must belong to `node`, and must not be ours.
fn check_keys(
    placement: &Placement,
    args: &[&[u8]],
    row: &'static Row,
    node: Option<NodeId>,
) -> Result<(), Error> {
    let keys = row
        .key_positions(args)
        .map_err(|error| invalid(row, args, &error))?;
    for at in keys {
        check_reserved(args[at], row)?;
        let is_elsewhere = |node| placement.has_homes() && placement.node(args[at]) != node;
        if node.is_some_and(is_elsewhere) {
            return Err(cross_node(
                placement,
                args,
                keys,
                row,
                "but the connection belongs to one node",
            ));
        }
    }
    Ok(())
}

/// The server's words, then the table's own, without the name that every error begins with.
pub(crate) fn invalid(row: &'static Row, args: &[&[u8]], error: &command::KeyError) -> Error {
    let text = row.refusal(args, error);
    // What else there is to say of them depends on arguments that are missing, or are too many.
    if row.has_wrong_arity(args) {
        return Error::refused_as(text, "").of_command(row.name);
    }
    let own = error.to_string();
    let own = own.strip_prefix(row.name).unwrap_or(&own).trim_start();
    Error::refused_as(text, &format!("it {own}")).of_command(row.name)
}

/// A command of a transaction whose keys are on several nodes.
pub(crate) fn torn_transaction(placement: &Placement, args: &[&[u8]], row: &'static Row) -> Error {
    match row.key_positions(args) {
        Ok(keys) => cross_node(
            placement,
            args,
            keys,
            row,
            "and a transaction runs on one node",
        ),
        Err(error) => invalid(row, args, &error),
    }
}

/// The first key of a command, for messages.
pub(crate) fn first_key<'a>(args: &[&'a [u8]], row: &'static Row) -> &'a [u8] {
    let first = row.key_positions(args).ok().and_then(|keys| keys.first());
    first.map_or(b"", |at| args[at])
}

pub(crate) fn check_reserved(key: &[u8], row: &'static Row) -> Result<(), Error> {
    if key.starts_with(RESERVED_PREFIX) {
        let key = key.escape_ascii();
        return Err(Error::new(
            ErrorKind::Refused,
            format!(
                "the key \"{key}\" begins with \"keyway:\", which is reserved; choose another name"
            ),
        )
        .of_command(row.name));
    }
    Ok(())
}

fn cross_node(
    placement: &Placement,
    args: &[&[u8]],
    keys: KeyPositions,
    row: &'static Row,
    why: &str,
) -> Error {
    const SHOWN: usize = 4;
    let mut list: Vec<String> = keys
        .iter()
        .take(SHOWN)
        .map(|at| {
            format!(
                "\"{}\" on node {}",
                shorten(args[at]),
                placement.node(args[at])
            )
        })
        .collect();
    if keys.len() > SHOWN {
        list.push(format!("{} more", keys.len() - SHOWN));
    }
    let first = keys.first().map_or(&b""[..], |at| args[at]);
    Error::new(
        ErrorKind::CrossNode,
        format!(
            "its keys are on different nodes ({}), {why}. {}",
            list.join(", "),
            placement.tag_remedy(first)
        ),
    )
    .of_command(row.name)
}

/// A key, for messages.
pub(crate) fn shorten(key: &[u8]) -> String {
    const SHOWN: usize = 64;
    if key.len() > SHOWN {
        format!("{}...", key[..SHOWN].escape_ascii())
    } else {
        key.escape_ascii().to_string()
    }
}

/// May a command be sent to its node now?
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Send,
    /// Wait for the next topology.
    Hold,
    /// The key must be installed on its new server first.
    Import,
    Refuse(String),
}

/// What the node's state allows. Matched exhaustively here and nowhere else.
#[inline]
pub(crate) fn gate(topology: &Topology, node: NodeId, is_read: bool) -> Gate {
    // Nearly always; the states of thousands of nodes would push other things out of the cache.
    if topology.is_plain() {
        return Gate::Send;
    }
    match topology.state_of(node) {
        NodeState::Serving => Gate::Send,
        NodeState::Frozen => Gate::Hold,
        NodeState::Importing { .. } => Gate::Import,
        NodeState::ReadOnly { .. } if is_read => Gate::Send,
        NodeState::ReadOnly { reason } => Gate::Refuse(format!("the node is read-only: {reason}")),
    }
}

/// The sub-command of a split one that carries these keys, in this order.
pub(crate) fn sub_command(
    args: &[&[u8]],
    split: Split,
    keys: impl Iterator<Item = usize> + Clone,
) -> Cmd {
    // A key of an MSET comes with its value.
    let per_key = if split == Split::Mset { 2 } else { 1 };
    let parts = || keys.clone().flat_map(|at| &args[at..at + per_key]);
    let bytes: usize = parts().map(|part| part.len()).sum();
    let mut cmd = Cmd::with_capacity(1 + parts().count(), args[0].len() + bytes);
    cmd.arg(args[0]);
    for part in parts() {
        cmd.arg(*part);
    }
    cmd
}

/// The same blocking command with what is left of its timeout. `None` when it has none to change.
pub(crate) fn with_block_timeout(cmd: &Cmd, left: std::time::Duration) -> Option<Cmd> {
    let args = arguments(cmd);
    let row = command::row_of(&args).ok()?;
    let (at, text) = match row.blocking {
        command::Blocking::Never => return None,
        command::Blocking::SecondsLast => (args.len() - 1, format!("{:.3}", left.as_secs_f64())),
        command::Blocking::MillisLast => (args.len() - 1, left.as_millis().max(1).to_string()),
        command::Blocking::SecondsAt(at) => (usize::from(at), format!("{:.3}", left.as_secs_f64())),
        command::Blocking::MillisAfter(option) => {
            let at = args
                .iter()
                .position(|arg| arg.eq_ignore_ascii_case(option.as_bytes()))?
                + 1;
            (at, left.as_millis().max(1).to_string())
        }
    };
    let mut shorter = Cmd::new();
    for (i, arg) in args.iter().enumerate() {
        if i == at {
            shorter.arg(&text);
        } else {
            shorter.arg(*arg);
        }
    }
    Some(shorter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Algorithm;

    /// Where a command goes, or why it does not, in a placement of this algorithm over 64 nodes.
    fn routed(algorithm: Algorithm, scope: Scope, text: &str) -> String {
        let placement = Placement::with_nodes(algorithm, 64).unwrap();
        let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        let known = identify(&args, scope).unwrap();
        match route(&placement, &args, known, scope, MultiKey::Split) {
            Ok(Route::Node(node)) => format!("node {node}"),
            Ok(Route::Blocking(node, _)) => format!("blocking on node {node}"),
            Ok(Route::Any(None)) => "any".to_owned(),
            Ok(Route::Any(Some(_))) => "blocking on any".to_owned(),
            Ok(Route::Split(..)) => "split".to_owned(),
            Ok(Route::Gather(..)) => "gather".to_owned(),
            Ok(Route::Everywhere(_)) => "everywhere".to_owned(),
            Ok(Route::Scan) => "scan".to_owned(),
            Ok(Route::Named) => "named".to_owned(),
            Err(error) => format!("{:?}: {error}", error.kind()),
        }
    }

    #[test]
    fn where_no_key_has_a_home_any_node_serves_whatever_the_keys() {
        let in_turn = |scope, text: &str| routed(Algorithm::NydusRoundRobin, scope, text);
        for text in [
            "GET a",
            "MGET a b",
            "MSET a 1 b 2",
            "SINTER a b",
            "RENAME a b",
            "MSETNX a 1 b 2",
            "SORT a BY w_*",
            "EVAL s 0",
            "EVAL s 2 a b",
        ] {
            assert_eq!(in_turn(Scope::Cluster, text), "any", "{text}");
            for scope in [Scope::Node(NodeId(7)), Scope::Dedicated(NodeId(7))] {
                assert_eq!(in_turn(scope, text), "node 7", "{text}");
            }
            assert_eq!(in_turn(Scope::Server, text), "named", "{text}");
        }
        let blocking = "BLPOP a b 1";
        assert_eq!(in_turn(Scope::Cluster, blocking), "blocking on any");
        assert_eq!(
            in_turn(Scope::Node(NodeId(7)), blocking),
            "blocking on node 7"
        );
        assert_eq!(in_turn(Scope::Dedicated(NodeId(7)), blocking), "node 7");
        assert_eq!(in_turn(Scope::Dedicated(NodeId(7)), "WATCH a b"), "node 7");
        // With homes, these are the commands that tell.
        let ketama = |text: &str| routed(Algorithm::Ketama, Scope::Cluster, text);
        assert_eq!(ketama("MGET a b"), "split");
        assert_eq!(ketama("SINTER a b"), "gather");
        assert!(ketama("RENAME a b").starts_with("CrossNode"));
        assert!(ketama("EVAL s 0").starts_with("Refused"));
    }

    #[test]
    fn where_no_key_has_a_home_lists_of_all_keys_are_refused_and_channels_have_a_node() {
        let in_turn = |text: &str| routed(Algorithm::NydusRoundRobin, Scope::Cluster, text);
        let mut text = String::new();
        for command in [
            "KEYS *",
            "SCAN 0",
            "XREAD STREAMS",
            "EVAL s 1 keyway:a",
            "SET keyway:a 1",
        ] {
            text += &format!("{command}: {}\n", in_turn(command));
        }
        insta::assert_snapshot!(text, @r#"
        KEYS *: Refused: KEYS: by nydus-round-robin no server owns a key, so that one list over all of them would have a key as often as there are copies of it; ask one server with on_server(name), or each with servers().each(..)
        SCAN 0: Refused: SCAN: by nydus-round-robin no server owns a key, so that one list over all of them would have a key as often as there are copies of it; ask one server with on_server(name), or each with servers().each(..)
        XREAD STREAMS: Invalid: XREAD: wrong number of arguments for 'xread' command
        EVAL s 1 keyway:a: Refused: EVAL: the key "keyway:a" begins with "keyway:", which is reserved; choose another name
        SET keyway:a 1: Refused: SET: the key "keyway:a" begins with "keyway:", which is reserved; choose another name
        "#);
        for command in ["DBSIZE", "PUBSUB CHANNELS", "SCRIPT LOAD s"] {
            assert_eq!(in_turn(command), "everywhere", "{command}");
        }
        for command in ["KEYS *", "SCAN 0"] {
            assert_eq!(
                routed(Algorithm::NydusRoundRobin, Scope::Server, command),
                "named"
            );
        }
        // CRC-32 of the whole name: 0xCBF43926 % 64.
        assert_eq!(in_turn("PUBLISH 123456789 hello"), "node 38");
    }
}
