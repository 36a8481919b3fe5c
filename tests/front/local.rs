//! What concerns the client's connection, which ends here: PING, HELLO, AUTH, SELECT, QUIT, RESET
//! and CLIENT.

use super::listener::Client;
use super::pubsub::Subscriptions;
use super::session::Session;
use super::transaction::{Transaction, wrong_arity};
use super::write::{Protocol, Reply, bulk};
use redis::Value;

const SYNTAX: &str = "ERR syntax error";

impl Session {
    pub(super) fn ping(&self, args: &[&[u8]]) -> Reply {
        let is_plain = self.protocol == Protocol::Resp3 || !self.subscriptions.is_some();
        match args {
            [_] if is_plain => Reply::Value(Value::SimpleString("PONG".to_owned())),
            [_, text] if is_plain => Reply::bulk(*text),
            [_] => Reply::Value(Value::Array(vec![bulk("pong"), bulk("")])),
            [_, text] => Reply::Value(Value::Array(vec![bulk("pong"), bulk(*text)])),
            _ => wrong_arity("ping"),
        }
    }

    pub(super) fn hello(&mut self, args: &[&[u8]]) -> Reply {
        let protocol = match args.get(1).copied() {
            None => self.protocol,
            Some(b"2") => Protocol::Resp2,
            Some(b"3") => Protocol::Resp3,
            Some(version) if version.iter().all(u8::is_ascii_digit) => {
                return Reply::error("NOPROTO unsupported protocol version");
            }
            Some(_) => {
                return Reply::error("ERR Protocol version is not an integer or out of range");
            }
        };
        let mut options = args.get(2..).unwrap_or_default();
        while let [option, rest @ ..] = options {
            options = match (option.to_ascii_uppercase().as_slice(), rest) {
                (b"AUTH", [user, password, rest @ ..]) => {
                    if let Err(line) = self.authenticate(user, password) {
                        return Reply::error(line);
                    }
                    rest
                }
                (b"SETNAME", [name, rest @ ..]) => {
                    *self.client.name.lock() = name.to_vec();
                    rest
                }
                _ => {
                    return Reply::error(format!(
                        "{SYNTAX} in HELLO option '{}'",
                        option.escape_ascii()
                    ));
                }
            };
        }
        if !self.is_authenticated {
            return Reply::error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> \
                 option can be used to authenticate the client and select the RESP protocol version at the same time",
            );
        }
        self.protocol = protocol;
        let pair = |name: &str, value: Value| (bulk(name), value);
        Reply::Value(Value::Map(vec![
            pair("server", bulk("redis")),
            pair("version", bulk(self.house.version.as_str())),
            pair(
                "proto",
                Value::Int(if protocol == Protocol::Resp3 { 3 } else { 2 }),
            ),
            pair("id", Value::Int(self.client.id as i64)),
            pair("mode", bulk("standalone")),
            pair("role", bulk("master")),
            pair("modules", Value::Array(Vec::new())),
        ]))
    }

    pub(super) fn auth(&mut self, args: &[&[u8]]) -> Reply {
        let result = match args {
            [_, _] if self.house.password.lock().is_empty() => Err(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is \
                 correct?",
            ),
            [_, password] => self.authenticate(b"default", password),
            [_, user, password] => self.authenticate(user, password),
            [_] => return wrong_arity("auth"),
            _ => Err(SYNTAX),
        };
        result.map_or_else(Reply::error, |()| Reply::ok())
    }

    /// There is one user, `default`; without a password, any is right, as for Redis.
    fn authenticate(&mut self, user: &[u8], password: &[u8]) -> Result<(), &'static str> {
        let right = self.house.password.lock();
        let is_right = right.is_empty() || *right == password;
        drop(right);
        if user != b"default" || !is_right {
            return Err("WRONGPASS invalid username-password pair or user is disabled.");
        }
        self.is_authenticated = true;
        Ok(())
    }

    /// Whoever is connected stays so, as with Redis.
    pub(super) fn set_password(&self, args: &[&[u8]]) -> Reply {
        let [_, _, _, password] = args else {
            return wrong_arity("config|set");
        };
        *self.house.password.lock() = password.to_vec();
        Reply::ok()
    }

    pub(super) fn select(args: &[&[u8]]) -> Reply {
        match args {
            [_, b"0"] => Reply::ok(),
            [_, index] if !index.is_empty() && index.iter().all(u8::is_ascii_digit) => {
                Reply::error("ERR DB index is out of range")
            }
            [_, _] => Reply::error("ERR value is not an integer or out of range"),
            _ => wrong_arity("select"),
        }
    }

    pub(super) fn quit(&mut self) -> Reply {
        self.has_ended = true;
        Reply::ok()
    }

    pub(super) fn reset(&mut self) -> Reply {
        self.transaction = Transaction::default();
        self.subscriptions = Subscriptions::default();
        self.protocol = Protocol::Resp2;
        self.is_authenticated = self.house.password.lock().is_empty();
        self.client.name.lock().clear();
        Reply::Value(Value::SimpleString("RESET".to_owned()))
    }

    pub(super) fn client(&mut self, args: &[&[u8]]) -> Reply {
        let [_, subcommand, rest @ ..] = args else {
            return wrong_arity("client");
        };
        let subcommand = subcommand.to_ascii_uppercase();
        match (subcommand.as_slice(), rest) {
            (b"ID", []) => Reply::Value(Value::Int(self.client.id as i64)),
            (b"GETNAME", []) => match self.client.name.lock().as_slice() {
                [] => Reply::Value(Value::Nil),
                name => Reply::bulk(name),
            },
            (b"SETNAME", [name]) => self.set_name(name),
            (b"INFO", []) => Reply::bulk(self.describe(&self.client)),
            (b"LIST", _) => self.list(rest),
            (b"KILL", _) => self.kill(rest),
            (b"UNBLOCK", [id]) => self.unblock(id, false),
            (b"UNBLOCK", [id, how]) if how.eq_ignore_ascii_case(b"TIMEOUT") => {
                self.unblock(id, false)
            }
            (b"UNBLOCK", [id, how]) if how.eq_ignore_ascii_case(b"ERROR") => self.unblock(id, true),
            (b"SETINFO", [_, _]) => Reply::ok(),
            (b"NO-EVICT" | b"NO-TOUCH" | b"REPLY", [switch])
                if switch.eq_ignore_ascii_case(b"ON") =>
            {
                Reply::ok()
            }
            (b"NO-EVICT" | b"NO-TOUCH", [switch]) if switch.eq_ignore_ascii_case(b"OFF") => {
                Reply::ok()
            }
            (b"TRACKING", [switch]) if switch.eq_ignore_ascii_case(b"OFF") => Reply::ok(),
            (b"ID" | b"GETNAME" | b"SETNAME" | b"INFO" | b"SETINFO", _) => {
                let name = String::from_utf8_lossy(&subcommand).to_lowercase();
                wrong_arity(&format!("client|{name}"))
            }
            _ => Reply::error(format!(
                "ERR the front does not have CLIENT {}",
                subcommand.escape_ascii()
            )),
        }
    }

    fn set_name(&self, name: &[u8]) -> Reply {
        if !name.iter().all(u8::is_ascii_graphic) {
            return Reply::error(
                "ERR Client names cannot contain spaces, newlines or special characters.",
            );
        }
        *self.client.name.lock() = name.to_vec();
        Reply::ok()
    }

    fn list(&self, options: &[&[u8]]) -> Reply {
        let mut clients = self.house.clients();
        match options {
            [] => {}
            [kind, value] if kind.eq_ignore_ascii_case(b"TYPE") => {
                let types = [&b"normal"[..], b"pubsub", b"master", b"replica"];
                if !types.contains(value) {
                    let value = value.escape_ascii();
                    return Reply::error(format!("ERR Unknown client type '{value}'"));
                }
                clients.retain(|client| client.kind() == *value);
            }
            [kind, ids @ ..] if kind.eq_ignore_ascii_case(b"ID") && !ids.is_empty() => {
                let ids: Option<Vec<u64>> = ids.iter().map(|id| number(id)).collect();
                let Some(ids) = ids else {
                    return Reply::error("ERR Invalid client ID");
                };
                clients.retain(|client| ids.contains(&client.id));
            }
            _ => return Reply::error(SYNTAX),
        }
        let lines: Vec<String> = clients.iter().map(|client| self.describe(client)).collect();
        Reply::bulk(lines.concat())
    }

    fn describe(&self, client: &Client) -> String {
        let (channels, patterns) = *client.subscriptions.lock();
        format!(
            "id={} addr={} laddr={} fd=8 name={} age={} idle=0 flags={} db=0 sub={channels} psub={patterns} multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 \
             multi-mem=0 rbs=1024 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd={} user=default redir=-1 resp={}\n",
            client.id,
            client.address,
            client.local,
            String::from_utf8_lossy(&client.name.lock()),
            client.since.elapsed().as_secs(),
            if *client.blocked.lock() { "b" } else { "N" },
            client.command.lock(),
            if self.protocol == Protocol::Resp3 {
                3
            } else {
                2
            },
        )
    }

    /// By address alone, as the old form has it, or by filters.
    fn kill(&mut self, filters: &[&[u8]]) -> Reply {
        let mut victims = self.house.clients();
        if let [address] = filters {
            victims.retain(|client| client.address.to_string().as_bytes() == *address);
            return match victims.is_empty() {
                true => Reply::error("ERR No such client"),
                false => {
                    self.cut(&victims, true);
                    Reply::ok()
                }
            };
        }
        let mut skip_me = true;
        if filters.is_empty() || !filters.len().is_multiple_of(2) {
            return Reply::error(SYNTAX);
        }
        for filter in filters.chunks_exact(2) {
            let value = filter[1];
            match filter[0].to_ascii_uppercase().as_slice() {
                b"ID" => match number(value) {
                    Some(id) if id > 0 => victims.retain(|client| client.id == id),
                    _ => return Reply::error("ERR client-id should be greater than 0"),
                },
                b"ADDR" => {
                    victims.retain(|client| client.address.to_string().as_bytes() == value);
                }
                b"LADDR" => victims.retain(|client| client.local.to_string().as_bytes() == value),
                b"TYPE" => victims.retain(|client| client.kind() == value),
                b"USER" if value == b"default" => {}
                b"USER" => {
                    let user = String::from_utf8_lossy(value);
                    return Reply::error(format!("ERR No such user '{user}'"));
                }
                b"SKIPME" if value.eq_ignore_ascii_case(b"YES") => skip_me = true,
                b"SKIPME" if value.eq_ignore_ascii_case(b"NO") => skip_me = false,
                _ => return Reply::error(SYNTAX),
            }
        }
        Reply::Value(Value::Int(self.cut(&victims, !skip_me)))
    }

    /// How many were cut off. This client itself still gets its reply.
    fn cut(&mut self, victims: &[std::sync::Arc<Client>], with_self: bool) -> i64 {
        let mut count = 0;
        for victim in victims {
            match victim.id == self.client.id {
                true if with_self => self.has_ended = true,
                true => continue,
                false => self.house.kill(victim),
            }
            count += 1;
        }
        count
    }

    fn unblock(&self, id: &[u8], by_error: bool) -> Reply {
        let Some(id) = number(id) else {
            return Reply::error("ERR value is not an integer or out of range");
        };
        let client = self
            .house
            .client(id)
            .filter(|client| *client.blocked.lock());
        let found = client.map(|client| {
            *client.unblocked_by_error.lock() = by_error;
            client.unblocked.notify_one();
        });
        Reply::Value(Value::Int(i64::from(found.is_some())))
    }
}

impl Client {
    fn kind(&self) -> &'static [u8] {
        match *self.subscriptions.lock() {
            (0, 0) => b"normal",
            _ => b"pubsub",
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
