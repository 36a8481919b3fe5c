//! SCAN: one cursor over the cluster, server after server.

use super::server_error;
use crate::control::Current;
use crate::error::{Error, ErrorKind};
use crate::pool::Server;
use crate::routing::{self, Scope};
use crate::scatter::{self, Call, Manner, Named, Scatter, Target};
use crate::topology::{ServerId, Topology};
use redis::{Cmd, Value};

const CURSOR_BITS: u32 = 40;
const SERVER_BITS: u32 = 12;

/// A cursor taken apart. As a number: 12 bits of topology tag, 12 of server, 40 of the server's own cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    tag: u16,
    server: u16,
    inner: u64,
}

impl Cursor {
    /// `None` if a part needs more bits than it has.
    fn pack(self) -> Option<u64> {
        let fits = self.inner >> CURSOR_BITS == 0
            && self.server >> SERVER_BITS == 0
            && self.tag >> SERVER_BITS == 0;
        fits.then_some(
            u64::from(self.tag) << (CURSOR_BITS + SERVER_BITS)
                | u64::from(self.server) << CURSOR_BITS
                | self.inner,
        )
    }

    fn unpack(cursor: u64) -> Cursor {
        let server_mask = (1 << SERVER_BITS) - 1;
        Cursor {
            tag: (cursor >> (CURSOR_BITS + SERVER_BITS)) as u16,
            server: (cursor >> CURSOR_BITS & server_mask) as u16,
            inner: cursor & ((1 << CURSOR_BITS) - 1),
        }
    }
}

/// The first server from `from` on that has a node; the others hold nothing that is ours.
fn next_server(topology: &Topology, from: u16) -> Option<ServerId> {
    topology
        .servers()
        .skip(from.into())
        .find(|server| topology.nodes_of(*server).next().is_some())
}

/// One step of a scan over the cluster. A step may well return no key; the scan ends when the cursor is 0.
///
/// Every key that is there from beginning to end is returned, some perhaps twice, as with one server. Left out are keys of nodes that live on
/// another server, and those that begin with `keyway:`. One round trip to one server.
///
/// # Errors
/// `CursorStale` for a cursor from another topology; the server's error if it is down, for a scan without its keys would seem complete.
pub(crate) async fn scan(
    scatter: &Scatter,
    cmd: &Cmd,
    args: &[&[u8]],
    manner: Manner,
) -> Result<Value, Error> {
    let known = routing::identify(args, Scope::Cluster)?;
    let Some(cursor) = cursor_argument(&cmd.get_packed_command()).map(|text| read_cursor(&text))
    else {
        return Ok(server_error(
            "ERR wrong number of arguments for 'scan' command",
        ));
    };
    let Some(cursor) = cursor else {
        return Ok(server_error("ERR invalid cursor"));
    };
    let stale = || {
        let why = "its cursor is from before the topology changed, so it says nothing about where keys are now; begin the scan anew with cursor 0";
        Err(Error::new(ErrorKind::CursorStale, why).of_command(known.name()))
    };
    loop {
        let current = scatter.control().load_full();
        let topology = &current.topology;
        let Cursor { tag, server, inner } = Cursor::unpack(cursor);
        let map = map_tag(&current);
        if cursor != 0 && tag != map {
            return stale();
        }
        let at = if cursor == 0 {
            next_server(topology, 0)
        } else {
            topology.servers().nth(server.into())
        };
        let Some(at) = at else {
            return Ok(server_error("ERR invalid cursor"));
        };
        let mut step = Cmd::new();
        step.arg(args[0]).arg(inner);
        for arg in args.iter().skip(2) {
            step.arg(*arg);
        }
        let named = Named::only(topology.server_name(at));
        let target = Target::Server(&named);
        let reply = scatter
            .call(Call {
                cmd: &step,
                known,
                target,
                script: None,
                manner,
            })
            .await?;
        if map_tag(&scatter.control().load()) != map {
            // Keys may have left the server before it looked.
            if cursor == 0 && std::time::Instant::now() < manner.deadline {
                continue;
            }
            return stale();
        }
        let odd = || {
            let error = Error::new(
                ErrorKind::UnexpectedReply,
                "the reply has another shape than the command's",
            );
            error
                .of_command(known.name())
                .at_server(topology.server_name(at))
        };
        let (inner, keys) = match reply {
            Value::ServerError(error) => return Ok(Value::ServerError(error)),
            Value::Array(parts) => match <[Value; 2]>::try_from(parts) {
                Ok([Value::BulkString(inner), Value::Array(keys)]) => {
                    (read_cursor(&inner).ok_or_else(odd)?, keys)
                }
                _ => return Err(odd()),
            },
            _ => return Err(odd()),
        };
        let next = match (inner, next_server(topology, at.0 + 1)) {
            (0, None) => 0,
            (0, Some(next)) => Cursor { tag: map, server: next.0, inner: 0 }.pack().ok_or_else(odd)?,
            (inner, _) => Cursor { tag: map, server: at.0, inner }.pack().ok_or_else(|| {
                let why = format!(
                    "the server's cursor {inner} needs more than the {CURSOR_BITS} bits that a cursor over the cluster has for it; scan the \
                     servers one by one with on_server(name)"
                );
                Error::new(ErrorKind::UnexpectedReply, why).of_command(known.name()).at_server(topology.server_name(at))
            })?,
        };
        let keys = scatter::own_keys(keys, current.server(at), &current);
        return Ok(Value::Array(vec![
            Value::BulkString(next.to_string().into_bytes()),
            Value::Array(keys),
        ]));
    }
}

/// The second argument of an encoded command: [`Cmd`] shows the value of a cursor nowhere else.
fn cursor_argument(packed: &[u8]) -> Option<Vec<u8>> {
    let (count, rest) = number(packed)?;
    if count < 2 {
        return None;
    }
    let (name_bytes, rest) = number(rest)?;
    let (cursor_bytes, rest) = number(rest.get(name_bytes + 2..)?)?;
    rest.get(..cursor_bytes).map(<[u8]>::to_vec)
}

/// The number of a line that begins with a type, and what follows it.
fn number(encoded: &[u8]) -> Option<(usize, &[u8])> {
    let end = memchr::memchr(b'\r', encoded)?;
    let number = std::str::from_utf8(encoded.get(1..end)?)
        .ok()?
        .parse()
        .ok()?;
    Some((number, encoded.get(end + 2..)?))
}

/// A cursor as the server reads one, by `strtoul`: an empty one is 0, and a sign is taken.
fn read_cursor(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return Some(0);
    }
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, text),
    };
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    let cursor: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if negative {
        cursor.wrapping_neg()
    } else {
        cursor
    })
}

/// 12 bits that tell this map from another: which server each node is on, and where the servers are. A server's own cursors mean
/// nothing to another process, so a server that has got another address counts as another.
fn map_tag(current: &Current<Server>) -> u16 {
    let mut places = String::new();
    for server in &current.servers {
        let endpoint = &server.settings().server.endpoint;
        places.push_str(&format!("{} {}\n", endpoint.address, endpoint.database));
    }
    let folded = crate::hash::xxh3(places.as_bytes()) & 0x0fff;
    current.topology.tag() ^ folded as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::NodeId;
    use crate::topology::Epoch;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_survives_packing(tag in 0u16..4096, server in 0u16..4096, inner in 0u64..1 << 40) {
            let cursor = Cursor { tag, server, inner };
            prop_assert_eq!(cursor.pack().map(Cursor::unpack), Some(cursor));
        }

        #[test]
        fn every_number_is_some_cursor(number: u64) {
            prop_assert_eq!(Cursor::unpack(number).pack(), Some(number));
        }

        #[test]
        fn the_cursor_is_found_whatever_surrounds_it(cursor: u64, pattern in "\\PC*") {
            let mut cmd = redis::cmd("SCAN");
            cmd.cursor_arg(cursor).arg("MATCH").arg(&pattern);
            prop_assert_eq!(cursor_argument(&cmd.get_packed_command()), Some(cursor.to_string().into_bytes()));
            let mut cmd = redis::cmd("scan");
            cmd.arg(&pattern).arg("x");
            prop_assert_eq!(cursor_argument(&cmd.get_packed_command()), Some(pattern.into_bytes()));
        }
    }

    #[test]
    fn a_part_that_is_too_large_is_not_cut_off() {
        assert_eq!(
            Cursor {
                tag: 0,
                server: 0,
                inner: 1 << 40
            }
            .pack(),
            None
        );
        assert_eq!(
            Cursor {
                tag: 0,
                server: 4096,
                inner: 0
            }
            .pack(),
            None
        );
        assert_eq!(
            Cursor {
                tag: 4096,
                server: 0,
                inner: 0
            }
            .pack(),
            None
        );
    }

    #[test]
    fn a_cursor_is_read_as_the_server_reads_it() {
        assert_eq!(read_cursor(b"0"), Some(0));
        assert_eq!(read_cursor(b"007"), Some(7));
        assert_eq!(read_cursor(b"+7"), Some(7));
        assert_eq!(read_cursor(b"-1"), Some(u64::MAX));
        assert_eq!(read_cursor(b""), Some(0));
        assert_eq!(read_cursor(b"18446744073709551615"), Some(u64::MAX));
        for wrong in [
            "18446744073709551616",
            "x",
            "1x",
            " 1",
            "1 ",
            "-",
            "+",
            "--1",
            "1.0",
        ] {
            assert_eq!(read_cursor(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_command_without_a_cursor_has_none() {
        assert_eq!(
            cursor_argument(&redis::cmd("SCAN").get_packed_command()),
            None
        );
    }

    #[test]
    fn servers_without_a_node_are_passed_over() {
        let servers = [
            ("a", vec![]),
            ("b", vec![NodeId(0)]),
            ("c", vec![]),
            ("d", vec![NodeId(1)]),
            ("e", vec![]),
        ];
        let servers = servers.map(|(name, nodes)| (name.into(), nodes)).to_vec();
        let topology = Topology::new(Epoch(0), 2, servers).unwrap();
        let next = |from| next_server(&topology, from).map(|server| server.0);
        assert_eq!(
            [next(0), next(1), next(2), next(4), next(5)],
            [Some(1), Some(1), Some(3), None, None]
        );
    }
}
