//! Addresses, one a line. They do not say how keys were placed; whoever imports them does.

use super::draft::{Draft, Node, Nodes, Server, Tls};
use super::error::{Place, Problem, shown};
use super::fresh::{self, NODES_DEFAULT};
use super::remark::Kind;
use super::{Found, Options, host};
use crate::config::{Address, Endpoint, Password};
use crate::placement::{Algorithm, NODES_MAX};

struct Line {
    place: Place,
    address: Address,
    database: u32,
    username: Option<String>,
    password: Option<String>,
    has_tls: bool,
    weight: u32,
    /// As it stands there, if it is no URL.
    written: Option<String>,
}

const SHAPE: &str = "host:port, host, /path, or a URL as in a cluster file; and maybe a weight behind a space; # starts a comment";

pub(super) fn read(text: &str, options: &Options) -> Result<Vec<Found>, Problem> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = Place {
            line: index + 1,
            column: 1 + line.chars().take_while(|c| c.is_whitespace()).count(),
        };
        if let Some(line) = read_line(line, place).map_err(|problem| problem.at(place))? {
            lines.push(line);
        }
        if lines.len() > NODES_MAX {
            return Err(Problem::new("too many addresses")
                .at(place)
                .expected(format!("at most {NODES_MAX}"))
                .help("is this the list?"));
        }
    }
    if lines.is_empty() {
        return Err(Problem::new("there are no addresses")
            .expected(SHAPE)
            .help("write one a line"));
    }
    let algorithm = options.algorithm.unwrap_or(Algorithm::Ketama);
    let mut draft = Draft::new("the list".to_owned(), "cluster", lines[0].place, algorithm);
    let node_of_line = nodes(&mut draft, &lines, options)?;
    for (line, nodes) in lines.iter().zip(node_of_line) {
        server(&mut draft, line, nodes);
    }
    Ok(vec![Found::Cluster(Box::new(draft))])
}

fn read_line(line: &str, place: Place) -> Result<Option<Line>, Problem> {
    // A # inside of a word is no comment: it may be a password's, and then the URL is refused.
    let words: Vec<&str> = line
        .split_whitespace()
        .take_while(|word| !word.starts_with('#'))
        .collect();
    let (address, weight) = match words.as_slice() {
        [] => return Ok(None),
        [address] => (*address, 1),
        [address, weight] => match weight.parse() {
            Ok(weight @ 1..) => (*address, weight),
            _ => {
                return Err(Problem::new("the weight is not a number from 1")
                    .expected(SHAPE)
                    .help("1 is an equal share"));
            }
        },
        _ => {
            return Err(Problem::new("more than an address and a weight")
                .read(format!("{} words", words.len()))
                .expected(SHAPE)
                .help("if this is no list of addresses, say its format"));
        }
    };
    let mut read = Line {
        place,
        address: Address::Unix("/".into()),
        database: 0,
        username: None,
        password: None,
        has_tls: false,
        weight,
        written: None,
    };
    if !address.contains("://") {
        if address.contains('@') {
            return Err(Problem::new("an address with an @")
                .expected(SHAPE)
                .help("write redis:// before it if it has a user or a password"));
        }
        read.address = host::read(address).map_err(|problem| problem.expected(SHAPE))?;
        read.written = Some(address.to_owned());
        return Ok(Some(read));
    }
    let endpoint = Endpoint::from_url(address).map_err(|error| {
        let text = error.to_string();
        let what = text.lines().next().unwrap_or_default();
        Problem::new(what.trim_start_matches("endpoint: url: ").to_owned())
            .expected(SHAPE)
            .help("user and password are percent-encoded")
    })?;
    read.address = endpoint.address;
    read.database = endpoint.database;
    read.username = endpoint.username;
    read.has_tls = endpoint.tls.is_some();
    read.password = match endpoint.password {
        Some(Password::Inline(secret)) => Some(secret.expose().to_owned()),
        _ => None,
    };
    Ok(Some(read))
}

/// The placement, and the nodes of each line.
fn nodes(draft: &mut Draft, lines: &[Line], options: &Options) -> Result<Vec<Vec<u16>>, Problem> {
    use Algorithm::*;
    let algorithm = draft.algorithm;
    if algorithm.is_preset() && options.node_count.is_some() {
        return Err(Problem::new(format!(
            "by {algorithm} every address is a node, or their number is fixed"
        ))
        .expected("a number of nodes with an algorithm of keyway's own only")
        .help("leave it out"));
    }
    let weights: Vec<u32> = lines.iter().map(|line| line.weight).collect();
    let slots = match algorithm {
        CodisSlots => Some(1_024),
        RedisClusterSlots => Some(16_384),
        _ if algorithm.is_preset() => None,
        _ => Some(options.node_count.unwrap_or(NODES_DEFAULT)),
    };
    if let Some(count) = slots {
        draft.nodes = Nodes::Numbered(count);
        match algorithm.is_preset() {
            true => draft.remark(
                Kind::ToDo,
                "slots",
                "the list does not say which slots each server has: they are spread evenly here, in the order of the list. Put in what the original says",
            ),
            false => fresh_remarks(draft, options, count),
        }
        return fresh::spread(&weights, count);
    }
    if let Some(line) = lines
        .iter()
        .find(|line| line.weight > algorithm.weight_max())
    {
        return Err(Problem::new(format!("{algorithm} takes no such weight"))
            .at(line.place)
            .read(line.weight.to_string())
            .expected(match algorithm.weight_max() {
                1 => "no weights".to_owned(),
                most => format!("1 to {most}"),
            })
            .help("is this the algorithm that the data was placed by?"));
    }
    match algorithm {
        Custom | RbKetama | GoRedisRing | JedisMurmurNamed | JedisMd5Named => {
            return Err(Problem::new(format!("addresses are not enough for {algorithm}"))
                .expected(match algorithm {
                    RbKetama => "the arguments of rb's Cluster, as it hashes them all",
                    GoRedisRing => "the JSON map from names of shards to addresses, as a Ring hashes the names",
                    Custom => "a function in your own code",
                    _ => "the names of the shards, which Jedis hashes: write the cluster file by hand",
                })
                .help("give that"));
        }
        NydusPartition | NydusRoundRobin | RbPartition | JedisMurmur | JedisMd5 => {
            draft.nodes = Nodes::Numbered(lines.len() as u16);
            draft.remark(
                Kind::ToDo,
                "order",
                "a node is an address by its place in the list: hold the order against the original's",
            );
        }
        _ => {
            let named = lines.iter().map(|line| {
                Ok(Node {
                    name: node_name(algorithm, line)?,
                    weight: line.weight,
                    label: None,
                })
            });
            draft.nodes = Nodes::Named(named.collect::<Result<_, Problem>>()?);
            draft.remark(
                Kind::ToDo,
                "names",
                "what the original hashes for each server is taken to be its address: hold the names against its configuration",
            );
        }
    }
    if algorithm.takes("hash") || algorithm.takes("hash_tag") {
        draft.remark(
            Kind::ToDo,
            "hash, hash_tag",
            "the list does not say the original's hash of keys, or its hash tags: its defaults are taken. Put them in where they are others",
        );
    }
    Ok((0..lines.len()).map(|node| vec![node as u16]).collect())
}

fn fresh_remarks(draft: &mut Draft, options: &Options, count: u16) {
    if options.algorithm.is_none() {
        draft.remark(
            Kind::ToDo,
            "algorithm",
            format!(
                "the list does not say how keys were placed, so this is a new cluster of {count} nodes, and the original's keys are not found by it. If data \
                 is there, import again with the algorithm that placed it"
            ),
        );
    }
}

/// What the original hashes for a server, as far as an address tells.
fn node_name(algorithm: Algorithm, line: &Line) -> Result<String, Problem> {
    use Algorithm::*;
    let scheme = if line.has_tls { "rediss" } else { "redis" };
    let name = match (algorithm, &line.address, &line.written) {
        (NydusKetama | RedisRb4 | RedisRb5 | RedisRb5Db, Address::Tcp { .. }, _) => {
            format!("{scheme}://{}/{}", line.address, line.database)
        }
        (NydusKetama, Address::Unix(_), _) => {
            return Err(Problem::new("nydus does not hash the path of a socket")
                .at(line.place)
                .expected("nydus's settings, which say what it hashes")
                .help("give them"));
        }
        (RedisRb4 | RedisRb5 | RedisRb5Db, Address::Unix(path), _) => {
            format!("unix://{}", path.display())
        }
        (
            LibmemcachedWeighted
            | LibmemcachedKetama
            | LibmemcachedModula
            | LibmemcachedSpy
            | LibmemcachedSpyWeighted,
            Address::Tcp { host, port: 11_211 },
            _,
        ) => host.clone(),
        (_, _, Some(written)) => written.clone(),
        (_, address, None) => address.to_string(),
    };
    Ok(name)
}

fn server(draft: &mut Draft, line: &Line, nodes: Vec<u16>) {
    let mut server = Server::new("", line.address.clone(), line.database);
    server.username = line.username.clone();
    server.tls = line.has_tls.then(Tls::default);
    server.nodes = nodes;
    server.notes.push(match &line.written {
        Some(written) => format!("Line {}: {}", line.place.line, shown(written)),
        None => format!("Line {}", line.place.line),
    });
    if let Some(password) = &line.password {
        let variable = draft.variable("PASSWORD", password);
        draft.remark_at(
            Kind::ToDo,
            ("password", line.place.line),
            format!(
                "set the variable {variable} to this server's password, which is not in this file"
            ),
        );
        server.password = Some(variable);
    }
    draft.add(server);
}
