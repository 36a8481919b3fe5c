//! Ways to place keys on servers, as they are written: `ketama@64`, `modulo`, `twemproxy-ketama/murmur`.

use super::study::{Built, Study, StudyError};
use crate::config::closest;
use crate::placement::{Algorithm, NODES_MAX, NodeSpec, Options, Placement, PlacementError};
use crate::topology::Topology;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest text of a scheme, in bytes.
pub const SCHEME_BYTES_MAX: usize = 100;

/// One way to place keys on servers. As text: `ALGORITHM[/PARAMETER][@NODES]`.
///
/// - `ketama@64`: keys belong to 64 nodes by ketama, nodes are given to servers by the plan. What a keyway cluster does. A change of servers moves whole
///   nodes, and no key changes its node.
/// - `ketama`, `modulo`, `twemproxy-ketama`: **plain**. Every server is one node, and the placement is made anew when servers change: what
///   most programs do that shard by themselves. Weights are those of the servers, where the algorithm knows weights.
/// - `ring/100`, `multi-probe/21`: a [study](super::study), plain or with nodes, of an algorithm that no cluster can use.
/// - Of the others, presets take a parameter where their originals have to be told something: `twemproxy-ketama/murmur` and libmemcached's the
///   hash of keys, `envoy-ring-xxhash/2048` the least number of points, `envoy-maglev/65537` the entries of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheme {
    name: String,
    pub(super) method: Method,
    /// `None`: a node for each server.
    pub(super) nodes: Option<u16>,
}

/// From a key to a unit, which is a node or a server.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Method {
    Algorithm(Algorithm, Options),
    /// Of no cluster.
    Study(Study),
    /// As it is, with the names that it has, on the servers that it is on.
    Given(Placement, Arc<Topology>),
}

/// Why a text is no scheme.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {}", .help.as_ref().unwrap_or(.expected))]
pub struct SchemeError {
    what: String,
    expected: String,
    help: Option<String>,
}

impl SchemeError {
    fn new(what: impl Into<String>, expected: impl Into<String>) -> SchemeError {
        SchemeError {
            what: what.into(),
            expected: expected.into(),
            help: None,
        }
    }

    /// What was read, and what is wrong with it.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What would be right.
    pub fn expected(&self) -> &str {
        self.expected.trim_start_matches("expected ")
    }

    /// What was meant, if that can be guessed.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl Scheme {
    /// Nodes that are given to servers by the plan. `nodes` is 1 to [`NODES_MAX`].
    ///
    /// # Errors
    /// An algorithm that places no keys, or that has another number of nodes.
    pub fn with_nodes(algorithm: Algorithm, nodes: u16) -> Result<Scheme, SchemeError> {
        format!("{algorithm}@{nodes}").parse()
    }

    /// A node for each server. Where an algorithm has a fixed number of nodes (the slots of Codis), it has those, given to servers by the plan.
    ///
    /// # Errors
    /// An algorithm that places no keys.
    pub fn plain(algorithm: Algorithm) -> Result<Scheme, SchemeError> {
        algorithm.name().parse()
    }

    /// A placement as it is, its nodes on servers as the topology says: those of the scenario must have the same names.
    pub fn given(name: impl Into<String>, placement: Placement, topology: Arc<Topology>) -> Scheme {
        Scheme {
            name: name.into(),
            nodes: Some(placement.node_count() as u16),
            method: Method::Given(placement, topology),
        }
    }

    /// As it was asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Keys belong to nodes, which are given to servers.
    pub fn has_nodes(&self) -> bool {
        self.nodes.is_some()
    }

    /// In words: `64 nodes by ketama`, `modulo over the servers`.
    pub fn title(&self) -> String {
        match (&self.method, self.nodes) {
            (Method::Given(placement, _), _) => format!("{} as given", placement.describe()),
            (_, Some(nodes)) => format!("{nodes} nodes by {}", self.algorithm_name()),
            (_, None) => format!("{} over the servers", self.algorithm_name()),
        }
    }

    /// Without the nodes: `ketama`, `twemproxy-ketama/murmur`.
    pub(super) fn algorithm_name(&self) -> &str {
        match &self.method {
            Method::Given(placement, _) => placement.algorithm().name(),
            _ => self.name.split('@').next().unwrap_or_default(),
        }
    }

    /// The same method with so many nodes, named after its algorithm; `None` if it has only those that it has.
    pub(super) fn resized(&self, nodes: u16) -> Option<Scheme> {
        let method = match &self.method {
            Method::Given(placement, _) => {
                Method::Algorithm(placement.algorithm(), placement.options())
            }
            other => other.clone(),
        };
        let fixed = matches!(
            method,
            Method::Algorithm(
                Algorithm::Custom | Algorithm::CodisSlots | Algorithm::RedisClusterSlots,
                _
            )
        );
        (!fixed).then(|| Scheme {
            name: format!("{}@{nodes}", self.algorithm_name()),
            method,
            nodes: Some(nodes),
        })
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl FromStr for Scheme {
    type Err = SchemeError;

    fn from_str(text: &str) -> Result<Scheme, SchemeError> {
        const SHAPE: &str = "expected ALGORITHM[/PARAMETER][@NODES], such as ketama@64, ketama or twemproxy-ketama/murmur";
        if text.len() > SCHEME_BYTES_MAX {
            return Err(SchemeError::new("a scheme of more than 100 bytes", SHAPE));
        }
        let (method, nodes) = match text.split_once('@') {
            None => (text, None),
            Some((method, nodes)) => (method, Some(nodes)),
        };
        let nodes = nodes.map(|read| match read.parse::<u16>() {
            Ok(nodes) if (1..=NODES_MAX).contains(&usize::from(nodes)) => Ok(nodes),
            _ => Err(SchemeError::new(
                format!("{text:?} has {read:?} nodes"),
                "expected a number from 1 to 16384 after the @",
            )),
        });
        let mut nodes = nodes.transpose()?;
        let (name, parameter) = match method.split_once('/') {
            None => (method, None),
            Some((name, parameter)) => (name, Some(parameter)),
        };
        let Ok(algorithm) = name.parse::<Algorithm>() else {
            return study(text, method, nodes);
        };
        if !algorithm.has_homes() {
            return Err(SchemeError::new(
                format!("by {algorithm} no key has a home"),
                "expected an algorithm that says where a key is",
            ));
        }
        let fixed = match algorithm {
            Algorithm::Custom => {
                return Err(SchemeError::new(
                    "custom is a function in a program",
                    "expected an algorithm by name; in code, Scheme::given takes any placement",
                ));
            }
            Algorithm::CodisSlots => Some(1_024),
            Algorithm::RedisClusterSlots => Some(16_384),
            _ => None,
        };
        if let (Some(fixed), Some(asked)) = (fixed, nodes)
            && fixed != asked
        {
            return Err(SchemeError::new(
                format!("{algorithm} with {asked} nodes"),
                format!("expected {algorithm}@{fixed}, as it has no other number"),
            ));
        }
        nodes = nodes.or(fixed);
        let options = match parameter {
            None => Options::default(),
            Some(parameter) => options(algorithm, parameter)?,
        };
        let method = Method::Algorithm(algorithm, options);
        Ok(Scheme {
            name: text.to_owned(),
            method,
            nodes,
        })
    }
}

fn study(text: &str, method: &str, nodes: Option<u16>) -> Result<Scheme, SchemeError> {
    match method.parse() {
        Ok(study) => Ok(Scheme {
            name: text.to_owned(),
            method: Method::Study(study),
            nodes,
        }),
        Err(StudyError::Malformed { expected, .. }) => Err(SchemeError::new(
            format!("{method:?} cannot be used"),
            format!("expected {expected}"),
        )),
        Err(_) => {
            let names: Vec<&str> = Algorithm::all().map(Algorithm::name).collect();
            let expected = "expected ketama, modulo, rendezvous, jump or maglev, a preset such as twemproxy-ketama, or a study such as ring/100; \
                            with @64 for 64 nodes";
            let meant = closest(method, &names);
            Err(SchemeError {
                help: meant.map(|meant| format!("did you mean {meant}?")),
                ..SchemeError::new(format!("unknown algorithm {method:?}"), expected)
            })
        }
    }
}

fn options(algorithm: Algorithm, parameter: &str) -> Result<Options, SchemeError> {
    let none = Options::default();
    let wrong = |expected: &str| {
        SchemeError::new(
            format!("{parameter:?} as the parameter of {algorithm}"),
            format!("expected {expected}"),
        )
    };
    if algorithm.takes("hash") {
        let hash = parameter
            .parse()
            .map_err(|_| wrong("a hash, such as md5, murmur or fnv1a_64"))?;
        return Ok(Options {
            hash: Some(hash),
            ..none
        });
    }
    if algorithm.takes("ring_points_min") {
        let points = parameter
            .parse()
            .map_err(|_| wrong("the ring's least number of points"))?;
        return Ok(Options {
            ring_points_min: Some(points),
            ..none
        });
    }
    if algorithm.takes("table_entries") {
        let entries = parameter
            .parse()
            .map_err(|_| wrong("the number of the table's entries, a prime"))?;
        return Ok(Options {
            table_entries: Some(entries),
            ..none
        });
    }
    Err(wrong("none, as it takes none"))
}

/// Why a list of servers or nodes cannot be placed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// By an algorithm.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// By a study.
    #[error(transparent)]
    Study(#[from] StudyError),
}

/// A method built for some units. Cloned cheaply.
#[derive(Clone, Debug)]
pub(super) enum Lookup {
    Placement(Placement),
    Study(Arc<Built>),
}

impl Method {
    /// `before` is what was in use before: some studies go by it.
    ///
    /// # Errors
    /// What the algorithm refuses.
    pub(super) fn build(
        &self,
        units: Vec<NodeSpec>,
        before: Option<&Lookup>,
    ) -> Result<Lookup, BuildError> {
        match self {
            Method::Algorithm(algorithm, options) => {
                let placement = Placement::with_options(*algorithm, *options, units)?;
                Ok(Lookup::Placement(placement))
            }
            Method::Study(study) => {
                let built = match before {
                    Some(Lookup::Study(before)) if before.study() == *study => {
                        before.changed(&units)?
                    }
                    _ => study.build(&units)?,
                };
                Ok(Lookup::Study(Arc::new(built)))
            }
            Method::Given(placement, _) => Ok(Lookup::Placement(placement.clone())),
        }
    }

    /// `None` for a study.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Method::Algorithm(algorithm, _) => Some(*algorithm),
            Method::Study(_) => None,
            Method::Given(placement, _) => Some(placement.algorithm()),
        }
    }

    /// The largest weight that it takes; 1 if it knows no weights.
    pub(super) fn weight_max(&self) -> u32 {
        match self {
            // Its points are limited.
            Method::Study(study) if study.has_weights() => u32::MAX,
            _ => self.algorithm().map_or(1, Algorithm::weight_max),
        }
    }
}

impl Lookup {
    /// The unit of every key.
    pub(super) fn units<'k>(&self, keys: impl Iterator<Item = &'k [u8]>, units: &mut Vec<u16>) {
        units.clear();
        match self {
            Lookup::Placement(placement) => units.extend(keys.map(|key| placement.node(key).0)),
            Lookup::Study(built) => units.extend(keys.map(|key| built.index(key))),
        }
    }

    /// What a lookup reads, in bytes, if that is known.
    pub(super) fn table_bytes(&self) -> Option<u64> {
        match self {
            Lookup::Placement(placement) => placement.table_bytes(),
            Lookup::Study(built) => Some(built.table_bytes()),
        }
    }
}

/// The text by which a program knows a server, or a node of that name: some hash an address, some an URL, some whatever it is called.
pub(super) fn identity(algorithm: Option<Algorithm>, name: &str, address: &str) -> String {
    use Algorithm::*;
    let Some(algorithm) = algorithm else {
        return name.to_owned();
    };
    match algorithm {
        TwemproxyKetama
        | TwemproxyModula
        | LibmemcachedWeighted
        | LibmemcachedKetama
        | LibmemcachedModula
        | LibmemcachedSpy
        | LibmemcachedSpyWeighted
        | Libketama
        | PredisHashring
        | PredisKetama
        | EnvoyRingXxhash
        | EnvoyRingMurmur2
        | EnvoyMaglev => address.to_owned(),
        NydusKetama => format!("redis://{address}/0"),
        RedisRb4 | RedisRb5 | RedisRb5Db => format!("redis://{address}"),
        RbKetama => {
            let (host, port) = address.rsplit_once(':').unwrap_or((address, "6379"));
            format!(
                "<HostInfo db=0 host='{host}' host_id=0 password=None port={port} ssl=False ssl_options=None unix_socket_path=None>"
            )
        }
        _ => name.to_owned(),
    }
}
