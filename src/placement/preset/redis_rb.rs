//! redis-rb's `Redis::Distributed`.
//!
//! Source: redis-rb 3.3.5, 4.8.1 and 5.4.1, `lib/redis/hash_ring.rb`, `lib/redis/distributed.rb` and `lib/redis/client.rb`; redis-client 0.7.0 to
//! 0.30.0, `lib/redis_client/config.rb` and `url_config.rb`.

use super::{
    Algorithm, Circle, Clash, Find, KeyHash, NodeSpec, Options, Pick, PlacementError, Recipe,
    is_port, refused_name,
};
use crate::hash::{TagRule, crc32, md5};
use std::collections::HashMap;

/// `POINTS_PER_SERVER`.
const POINTS: u32 = 160;

pub(super) fn recipe(
    algorithm: Algorithm,
    _options: &Options,
    nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    let mut by_id = HashMap::new();
    for (node, spec) in nodes.iter().enumerate() {
        let id = id(algorithm, spec).map_err(|why| refused_name(algorithm, node, spec, &why))?;
        if let Some(first) = by_id.insert(id, node) {
            let why = format!(
                "has the same id in redis-rb as node {first}, which gets no keys there for that reason: leave node {first} out"
            );
            return Err(refused_name(algorithm, node, spec, &why));
        }
    }
    Ok(Recipe {
        tag: TagRule::RubyLineStart,
        hash: KeyHash::Crc32,
        find: Find::Circle(Circle {
            is_wide: false,
            pick: Pick::AtOrBefore,
            clash: Clash::LaterWins,
            marks,
        }),
    })
}

fn marks(
    algorithm: Algorithm,
    _options: &Options,
    nodes: &[NodeSpec],
    each: &mut dyn FnMut(u16, &str, &[u64]),
) {
    for (node, spec) in nodes.iter().enumerate() {
        #[expect(
            clippy::expect_used,
            reason = "the recipe was made from the same nodes"
        )]
        let id = id(algorithm, spec).expect("an id");
        for i in 0..POINTS {
            let text = format!("{id}:{i}");
            let point = match algorithm {
                Algorithm::RedisRb4 => crc32(text.as_bytes()),
                _ => {
                    let [a, b, c, d, ..] = md5(text.as_bytes());
                    u32::from_be_bytes([a, b, c, d])
                }
            };
            each(node as u16, &text, &[u64::from(point)]);
        }
    }
}

/// What `Redis#id` gives for a node, or why it is not known.
fn id(algorithm: Algorithm, spec: &NodeSpec) -> Result<String, String> {
    if spec.label.is_some() {
        return Ok(spec.hashed().to_owned());
    }
    let name = spec.name.as_str();
    if let Some(rest) = name.strip_prefix("redis://") {
        return Tcp::read("redis", rest)?.id(algorithm);
    }
    if let Some(rest) = name.strip_prefix("rediss://") {
        return Tcp::read("rediss", rest)?.id(algorithm);
    }
    if let Some(rest) = name.strip_prefix("unix:") {
        return unix_id(algorithm, rest.strip_prefix("//").unwrap_or(rest));
    }
    if name.contains("://") || name.starts_with('/') {
        return Err(format!(
            "is no redis://, rediss:// or unix: URL: write one of these as it stood in the list that was given to Redis::Distributed, or {ASK}"
        ));
    }
    if let Some((_, port)) = name.rsplit_once(':')
        && is_port(port)
    {
        return Err(format!(
            "looks like host:port, whose id in redis-rb is that of a URL: write redis://{name}. If it is an :id of its own, put it into the node's \
             label, which is hashed as it is"
        ));
    }
    Ok(name.to_owned())
}

/// Where the id hangs on a version, the program itself must be asked.
const ASK: &str = "ask redis-rb, distributed.nodes.map(&:id), and put what it prints into the node's label, which is hashed as it is";

/// `redis://host:port/db` or `rediss://host:port/db`.
struct Tcp<'n> {
    scheme: &'static str,
    host: &'n str,
    is_v6: bool,
    port: &'n str,
    database: &'n str,
}

impl<'n> Tcp<'n> {
    fn read(scheme: &'static str, rest: &'n str) -> Result<Tcp<'n>, String> {
        let unknown = |what| {
            Err(format!(
                "{what}: expected {scheme}://host:port/database, where :port and /database may be left out; or {ASK}"
            ))
        };
        let (server, database) = rest.split_once('/').unwrap_or((rest, ""));
        if server.contains('@') {
            return unknown(
                "has a user or a password, which redis-rb does not hash and a name would show: leave it out",
            );
        }
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (server, "6379"),
        };
        let in_brackets = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_v6 = |byte: u8| byte.is_ascii_hexdigit() || b":.".contains(&byte);
        let is_known = match in_brackets {
            Some(address) => !address.is_empty() && address.bytes().all(is_v6),
            None => !host.is_empty() && host.bytes().all(is_host),
        };
        if !is_known {
            return unknown("has a host that redis-rb may not read as it stands");
        }
        if !is_port(port) {
            return unknown("has a port that redis-rb may not read as it stands");
        }
        let database = if database.is_empty() { "0" } else { database };
        if !is_number(database) {
            return unknown("has a database that redis-rb may not read as it stands");
        }
        Ok(Tcp {
            scheme,
            host: in_brackets.unwrap_or(host),
            is_v6: in_brackets.is_some(),
            port,
            database,
        })
    }

    fn id(&self, algorithm: Algorithm) -> Result<String, String> {
        let Tcp {
            scheme,
            host,
            port,
            database,
            ..
        } = self;
        match algorithm {
            Algorithm::RedisRb4 if *scheme == "rediss" => Err(format!(
                "is hashed as redis:// by redis-rb before 4.7 and as rediss:// from there on: {ASK}"
            )),
            Algorithm::RedisRb4 if self.is_v6 => Err(format!(
                "has an address in brackets, which redis-rb hashes with them before 4.7 and without them from there on: {ASK}"
            )),
            Algorithm::RedisRb5 if self.is_v6 => Err(format!(
                "has an address in brackets, which are hashed with redis-client from 0.22.2 and not before it: {ASK}"
            )),
            Algorithm::RedisRb5 if *database == "0" => Ok(format!("{scheme}://{host}:{port}")),
            _ => Ok(format!("{scheme}://{host}:{port}/{database}")),
        }
    }
}

/// Of `unix:///path?db=1`.
fn unix_id(algorithm: Algorithm, rest: &str) -> Result<String, String> {
    let (path, database) = rest.split_once("?db=").unwrap_or((rest, "0"));
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    if !path.starts_with('/') || path.contains("//") || !path.bytes().all(is_path) {
        return Err(format!(
            "has a path that redis-rb may not read as it stands: expected unix:///path, followed by ?db=1 if the database is not 0; or {ASK}"
        ));
    }
    if !is_number(database) {
        return Err(format!(
            "has a database that redis-rb may not read as it stands: expected for example ?db=1; or {ASK}"
        ));
    }
    match algorithm {
        Algorithm::RedisRb4 => Err(format!(
            "is hashed as redis:// and the path by redis-rb before 4.7 and as unix:// and the path from there on: {ASK}"
        )),
        Algorithm::RedisRb5Db => Ok(format!("{path}/{database}")),
        _ if database == "0" => Ok(format!("unix://{path}")),
        _ => Ok(format!("unix://{path}?db={database}")),
    }
}

/// A number as Ruby prints it.
fn is_number(text: &str) -> bool {
    text.parse::<u32>()
        .is_ok_and(|number| number.to_string() == text)
}
