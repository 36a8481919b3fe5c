//! A configuration in the making: what a file is read into, and what code fills. The checks are the same for both.

use super::{
    Address, Config, ConfigError, Endpoint, Limits, Mode, MultiKey, Password, Pool, Protocol,
    ReceiveBuffer, Retry, Server, Startup, Tcp, Timeouts, Tls,
    address::DATABASE_MAX,
    nodes::show_ranges,
    quantity::{show_duration, show_size},
    source::Problem,
};
use crate::{
    placement::{NodeId, Placement},
    topology::{Epoch, Topology},
};
use std::{
    collections::{BTreeSet, HashMap},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

/// A configuration in the making, in code. [`build`](ConfigBuilder::build) makes the same checks as a file gets.
#[derive(Clone, Debug)]
pub struct ConfigBuilder {
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) protocol: Protocol,
    pub(super) multi_key: MultiKey,
    pub(super) startup: Startup,
    pub(super) placement: Option<Placement>,
    pub(super) servers: Vec<ServerDraft>,
    pub(super) timeouts: Timeouts,
    pub(super) retry: Retry,
    pub(super) pool: Pool,
    pub(super) limits: Limits,
    pub(super) tcp: Tcp,
}

#[derive(Clone, Debug)]
pub(super) struct ServerDraft {
    pub(super) name: String,
    pub(super) endpoint: Endpoint,
    pub(super) nodes: Vec<NodeId>,
}

impl ConfigBuilder {
    pub(super) fn new(name: String) -> ConfigBuilder {
        ConfigBuilder {
            name,
            mode: Mode::default(),
            protocol: Protocol::default(),
            multi_key: MultiKey::default(),
            startup: Startup::default(),
            placement: None,
            servers: Vec::new(),
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            pool: Pool::default(),
            limits: Limits::default(),
            tcp: Tcp::default(),
        }
    }

    /// Key to node. Required.
    pub fn placement(self, placement: Placement) -> Self {
        ConfigBuilder {
            placement: Some(placement),
            ..self
        }
    }

    /// Adds a server and the nodes that live on it, by number: `0..32`, `[0, 7]`; none is allowed. At least one server is required.
    pub fn server(
        mut self,
        name: impl Into<String>,
        endpoint: Endpoint,
        nodes: impl IntoIterator<Item = u16>,
    ) -> Self {
        let nodes = nodes.into_iter().map(NodeId).collect();
        self.servers.push(ServerDraft {
            name: name.into(),
            endpoint,
            nodes,
        });
        self
    }

    /// What a dead server means. Default [`Mode::Store`].
    pub fn mode(self, mode: Mode) -> Self {
        ConfigBuilder { mode, ..self }
    }

    /// Version of the Redis protocol. Default [`Protocol::Resp2`].
    pub fn protocol(self, protocol: Protocol) -> Self {
        ConfigBuilder { protocol, ..self }
    }

    /// Whether commands with keys on several nodes are split. Default [`MultiKey::Split`].
    pub fn multi_key(self, multi_key: MultiKey) -> Self {
        ConfigBuilder { multi_key, ..self }
    }

    /// Whether connecting needs every server. Default [`Startup::Lazy`].
    pub fn startup(self, startup: Startup) -> Self {
        ConfigBuilder { startup, ..self }
    }

    /// How long things may take. Default [`Timeouts::default`].
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        ConfigBuilder { timeouts, ..self }
    }

    /// What happens to commands that are safe to send again. Default [`Retry::default`].
    pub fn retry(self, retry: Retry) -> Self {
        ConfigBuilder { retry, ..self }
    }

    /// How many connections each server gets. Default [`Pool::default`].
    pub fn pool(self, pool: Pool) -> Self {
        ConfigBuilder { pool, ..self }
    }

    /// Bounds on memory. Default [`Limits::default`].
    pub fn limits(self, limits: Limits) -> Self {
        ConfigBuilder { limits, ..self }
    }

    /// Socket options. Default [`Tcp::default`].
    pub fn tcp(self, tcp: Tcp) -> Self {
        ConfigBuilder { tcp, ..self }
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`ConfigError`], the same as a file gets, without a line.
    pub fn build(self) -> Result<Config, ConfigError> {
        let cluster = match is_name(&self.name) {
            true => format!("cluster {}", self.name),
            false => "cluster".to_owned(),
        };
        self.check().map_err(|problem| problem.in_code(&cluster))
    }

    pub(super) fn check(self) -> Result<Config, Problem> {
        check_name("name", "the cluster's name", &self.name)?;
        check_timeouts(&self.timeouts)?;
        check_retry(&self.retry)?;
        check_pool(&self.pool)?;
        check_limits(&self.limits)?;
        check_tcp(&self.tcp)?;
        let Some(placement) = self.placement else {
            return Err(Problem::new("placement", "there is no placement")
                .expected("an algorithm and a number of nodes, which stay for as long as the data")
                .help("add [placement] with algorithm = \"ketama\" and nodes = 64"));
        };
        if self.servers.is_empty() {
            return Err(Problem::new("servers", "there is no server")
                .expected("at least one server, with a url and nodes")
                .help("add [servers.a] with url = \"redis://host:6379\" and nodes"));
        }
        for server in &self.servers {
            check_server(server)?;
        }
        check_distinct(&self.servers)?;
        check_nodes(&self.servers, &placement)?;

        let mut drafts = self.servers;
        // The order of the topology's ids.
        drafts.sort_by(|a, b| a.name.cmp(&b.name));
        let mut owners = Vec::with_capacity(drafts.len());
        let mut servers = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let name: Arc<str> = draft.name.into();
            owners.push((name.clone(), draft.nodes));
            servers.push(Server {
                name,
                endpoint: draft.endpoint,
            });
        }
        let topology = Topology::new(Epoch(0), placement.node_count(), owners)
            .map_err(|error| Problem::new("servers", error.to_string()))?;
        Ok(Config {
            name: self.name.into(),
            mode: self.mode,
            protocol: self.protocol,
            multi_key: self.multi_key,
            startup: self.startup,
            placement,
            topology: Arc::new(topology),
            servers: servers.into(),
            timeouts: self.timeouts,
            retry: self.retry,
            pool: self.pool,
            limits: self.limits,
            tcp: self.tcp,
        })
    }
}

/// Longest name of a cluster or a server: it is part of the name of every connection.
const NAME_BYTES_MAX: usize = 40;

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(allowed)
}

fn check_name(path: &str, subject: &str, name: &str) -> Result<(), Problem> {
    if is_name(name) {
        return Ok(());
    }
    let (what, help) = match name.chars().find(|c| !is_name(c.encode_utf8(&mut [0; 4]))) {
        _ if name.is_empty() => (
            format!("{subject} is empty"),
            "give it one, such as \"feeds\"",
        ),
        Some(' ') => (
            format!("{subject} has a space in it"),
            "use - or _ in its place",
        ),
        Some(c) => (
            format!("{subject} has {c:?} in it"),
            "use - or _ in its place",
        ),
        None => (
            format!("{subject} has {} characters", name.len()),
            "shorten it",
        ),
    };
    Err(Problem::new(path, what)
        .value(format!("{name:?}"))
        .expected(format!("1 to {NAME_BYTES_MAX} letters, digits, _ . or - (it is part of the names of connections)"))
        .help(help))
}

/// What is printed and compared of a setting with bounds.
struct Bounded<T> {
    path: &'static str,
    value: T,
    bounds: RangeInclusive<T>,
    default: T,
}

impl<T: PartialOrd + Copy> Bounded<T> {
    fn check(self, show: impl Fn(T) -> String) -> Result<(), Problem> {
        if self.bounds.contains(&self.value) {
            return Ok(());
        }
        let (least, most) = (*self.bounds.start(), *self.bounds.end());
        let side = match self.value < least {
            true => "small",
            false => "large",
        };
        let name = self.path.rsplit('.').next().unwrap_or(self.path);
        Err(Problem::new(self.path, format!("{name} is too {side}"))
            .value(show(self.value))
            .expected(format!("{} to {}", show(least), show(most)))
            .help(format!(
                "leave it out for the default, {}",
                show(self.default)
            )))
    }
}

fn check_count<T: PartialOrd + Copy + ToString>(
    path: &'static str,
    value: T,
    bounds: RangeInclusive<T>,
    default: T,
) -> Result<(), Problem> {
    Bounded {
        path,
        value,
        bounds,
        default,
    }
    .check(|count| count.to_string())
}

fn check_duration(
    path: &'static str,
    value: Duration,
    bounds: RangeInclusive<Duration>,
    default: Duration,
) -> Result<(), Problem> {
    Bounded {
        path,
        value,
        bounds,
        default,
    }
    .check(show_duration)
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn check_timeouts(timeouts: &Timeouts) -> Result<(), Problem> {
    let default = Timeouts::default();
    let bounds = || MILLISECOND..=DAY;
    check_duration(
        "timeouts.connect",
        timeouts.connect,
        bounds(),
        default.connect,
    )?;
    check_duration(
        "timeouts.response",
        timeouts.response,
        bounds(),
        default.response,
    )?;
    check_duration(
        "timeouts.idle_ping",
        timeouts.idle_ping,
        bounds(),
        default.idle_ping,
    )?;
    check_duration("timeouts.close", timeouts.close, bounds(), default.close)?;
    if timeouts.dead <= timeouts.response {
        return Err(
            Problem::new("timeouts.dead", "dead is not more than response")
                .value(show_duration(timeouts.dead))
                .note(format!(
                    "where response is {}",
                    show_duration(timeouts.response)
                ))
                .expected(
                    "more than response, or one slow reply would cost every caller the connection",
                )
                .help(format!(
                    "leave it out for 4 times response, {}",
                    show_duration(timeouts.response.saturating_mul(4))
                )),
        );
    }
    // The default of a response of 24 h is longer than a day.
    check_duration(
        "timeouts.dead",
        timeouts.dead,
        MILLISECOND..=DAY * 4,
        default.dead,
    )?;
    // The default stands for `dead` where that is more.
    if timeouts.silence_max < timeouts.dead && timeouts.silence_max != default.silence_max {
        return Err(
            Problem::new("timeouts.silence_max", "silence_max is less than dead")
                .value(show_duration(timeouts.silence_max))
                .note(format!("where dead is {}", show_duration(timeouts.dead)))
                .expected("dead or more: it bounds how much longer than dead a silence may be")
                .help("leave it out for 10s, or for dead if that is more"),
        );
    }
    check_duration(
        "timeouts.silence_max",
        timeouts.silence_max,
        MILLISECOND..=DAY * 4,
        default.silence_max,
    )
}

fn check_retry(retry: &Retry) -> Result<(), Problem> {
    let default = Retry::default();
    check_count(
        "retry.attempts_max",
        retry.attempts_max,
        1..=100,
        default.attempts_max,
    )?;
    check_count(
        "retry.budget_percent",
        retry.budget_percent,
        0..=100,
        default.budget_percent,
    )?;
    let bounds = || MILLISECOND..=Duration::from_secs(60);
    check_duration(
        "retry.backoff_min",
        retry.backoff_min,
        bounds(),
        default.backoff_min,
    )?;
    check_duration(
        "retry.backoff_max",
        retry.backoff_max,
        bounds(),
        default.backoff_max,
    )?;
    if retry.backoff_min > retry.backoff_max {
        return Err(
            Problem::new("retry.backoff_min", "backoff_min is more than backoff_max")
                .value(show_duration(retry.backoff_min))
                .note(format!(
                    "where backoff_max is {}",
                    show_duration(retry.backoff_max)
                ))
                .expected("at most backoff_max")
                .help("make one smaller or the other larger"),
        );
    }
    Ok(())
}

fn check_pool(pool: &Pool) -> Result<(), Problem> {
    let default = Pool::default();
    check_count(
        "pool.connections",
        pool.connections,
        1..=64,
        default.connections,
    )?;
    check_count(
        "pool.bulk_connections",
        pool.bulk_connections,
        1..=64,
        default.bulk_connections,
    )?;
    check_count(
        "pool.dedicated_max",
        pool.dedicated_max,
        1..=10_000,
        default.dedicated_max,
    )?;
    if pool.dedicated_idle_max > pool.dedicated_max {
        return Err(Problem::new(
            "pool.dedicated_idle_max",
            "dedicated_idle_max is more than dedicated_max",
        )
        .value(pool.dedicated_idle_max)
        .note(format!("where dedicated_max is {}", pool.dedicated_max))
        .expected("0 to dedicated_max")
        .help(format!("make it {} or less", pool.dedicated_max)));
    }
    Ok(())
}

fn check_limits(limits: &Limits) -> Result<(), Problem> {
    const COUNT_MAX: u32 = 1 << 20;
    let default = Limits::default();
    check_count(
        "limits.in_flight_max",
        limits.in_flight_max,
        1..=COUNT_MAX,
        default.in_flight_max,
    )?;
    check_count(
        "limits.scripts_max",
        limits.scripts_max,
        1..=COUNT_MAX,
        default.scripts_max,
    )?;
    check_count(
        "limits.pubsub_buffer",
        limits.pubsub_buffer,
        1..=COUNT_MAX,
        default.pubsub_buffer,
    )?;
    for (path, value, default) in [
        (
            "limits.request_bytes_max",
            limits.request_bytes_max,
            default.request_bytes_max,
        ),
        (
            "limits.reply_bytes_max",
            limits.reply_bytes_max,
            default.reply_bytes_max,
        ),
        (
            "limits.gather_bytes_max",
            limits.gather_bytes_max,
            default.gather_bytes_max,
        ),
        (
            "limits.pubsub_bytes",
            limits.pubsub_bytes,
            default.pubsub_bytes,
        ),
    ] {
        Bounded {
            path,
            value,
            bounds: 1 << 10..=1 << 34,
            default,
        }
        .check(show_size)?;
    }
    Ok(())
}

fn check_tcp(tcp: &Tcp) -> Result<(), Problem> {
    let default = Tcp::default();
    check_count(
        "tcp.keepalive_retries",
        tcp.keepalive_retries,
        1..=100,
        default.keepalive_retries,
    )?;
    if let ReceiveBuffer::Bytes(value) = tcp.bulk_receive_buffer {
        Bounded {
            path: "tcp.bulk_receive_buffer",
            value,
            bounds: 16 << 10..=1 << 30,
            default: value,
        }
        .check(show_size)
        .map_err(|problem| problem.help("leave it out for the default, auto"))?;
    }
    for (path, value, default) in [
        (
            "tcp.keepalive_idle",
            tcp.keepalive_idle,
            default.keepalive_idle,
        ),
        (
            "tcp.keepalive_interval",
            tcp.keepalive_interval,
            default.keepalive_interval,
        ),
    ] {
        check_duration(path, value, SECOND..=DAY, default)?;
        if value.subsec_nanos() != 0 {
            return Err(Problem::new(path, "not a whole number of seconds")
                .value(show_duration(value))
                .expected("whole seconds, which is what the kernel counts")
                .help(format!(
                    "make it {}",
                    show_duration(Duration::from_secs(value.as_secs() + 1))
                )));
        }
    }
    Ok(())
}

fn check_server(server: &ServerDraft) -> Result<(), Problem> {
    let path = format!("servers.{}", server.name);
    check_name(&path, "the server's name", &server.name)?;
    let endpoint = &server.endpoint;
    match &endpoint.address {
        Address::Tcp { host, port } => {
            let bare = host.parse::<std::net::Ipv6Addr>().is_ok();
            if !bare && url::Host::parse(host).is_err() {
                return Err(Problem::new(
                    format!("{path}.url"),
                    "the host is not a name that a host can have",
                )
                .value(format!("{host:?}"))
                .expected("a host name or an IP address, without port")
                .help("check the host"));
            }
            if *port == 0 {
                return Err(Problem::new(format!("{path}.url"), "the port is 0")
                    .value(&endpoint.address)
                    .expected("1 to 65535")
                    .help("servers listen on 6379 by default"));
            }
        }
        Address::Unix(socket) if !socket.is_absolute() => {
            return Err(
                Problem::new(format!("{path}.url"), "the socket is not an absolute path")
                    .value(socket.display())
                    .expected("a path from /")
                    .help("write the whole path"),
            );
        }
        Address::Unix(_) => {}
    }
    if endpoint.database > DATABASE_MAX {
        return Err(
            Problem::new(format!("{path}.database"), "database is too large")
                .value(endpoint.database)
                .expected(format!("0 to {DATABASE_MAX}"))
                .help("leave it out for the default, 0"),
        );
    }
    if let Some(Password::Inline(secret)) = &endpoint.password
        && secret.expose().is_empty()
    {
        return Err(
            Problem::new(format!("{path}.password"), "the password is empty")
                .expected("a password, or none at all")
                .help("leave it out if the server has none; if it comes from a variable, set it"),
        );
    }
    match (&endpoint.username, &endpoint.password) {
        (Some(user), _) if user.is_empty() => Err(Problem::new(
            format!("{path}.username"),
            "the user name is empty",
        )
        .expected("an ACL user, or none at all")
        .help("leave it out for the user default")),
        (Some(_), None) => Err(Problem::new(
            format!("{path}.username"),
            format!("server {} has a user without a password", server.name),
        )
        .expected("both, or only a password (for the user default), or neither")
        .help("add password or password_file")),
        _ => endpoint
            .tls
            .as_ref()
            .map_or(Ok(()), |tls| check_tls(tls, endpoint, &path)),
    }
}

fn check_tls(tls: &Tls, endpoint: &Endpoint, path: &str) -> Result<(), Problem> {
    if cfg!(not(feature = "tls")) {
        return Err(
            Problem::new(format!("{path}.url"), "TLS is not built into this program")
                .expected("redis://, since keyway was built without its feature tls")
                .help("build with the feature tls"),
        );
    }
    if matches!(endpoint.address, Address::Unix(_)) {
        return Err(
            Problem::new(format!("{path}.tls"), "a unix socket has no TLS")
                .expected("tls only for a server with a host")
                .help("remove tls"),
        );
    }
    let lacking = match (&tls.client_cert_file, &tls.client_key_file) {
        (Some(_), None) => Some(("client_cert_file", "client_key_file")),
        (None, Some(_)) => Some(("client_key_file", "client_cert_file")),
        _ => None,
    };
    if let Some((given, lacking)) = lacking {
        return Err(Problem::new(
            format!("{path}.tls.{given}"),
            format!("{given} without {lacking}"),
        )
        .expected("a client certificate and its key, or neither")
        .help(format!("add {lacking}")));
    }
    if let Some(name) = &tls.server_name
        && url::Host::parse(name).is_err()
        && name.parse::<std::net::Ipv6Addr>().is_err()
    {
        return Err(Problem::new(
            format!("{path}.tls.server_name"),
            "server_name is not a name that a host can have",
        )
        .value(format!("{name:?}"))
        .expected("a host name or an IP address, as it stands in the server's certificate")
        .help("leave it out for the host of the url"));
    }
    Ok(())
}

fn check_distinct(servers: &[ServerDraft]) -> Result<(), Problem> {
    let mut names: HashMap<&str, ()> = HashMap::new();
    let mut keyspaces: HashMap<(String, u32), &str> = HashMap::new();
    for server in servers {
        if names.insert(&server.name, ()).is_some() {
            return Err(Problem::new(
                format!("servers.{}", server.name),
                "two servers have one name",
            )
            .value(&server.name)
            .expected("each name once")
            .help("rename one"));
        }
        let keyspace = (
            server.endpoint.address.to_string().to_ascii_lowercase(),
            server.endpoint.database,
        );
        if let Some(first) = keyspaces.insert(keyspace, &server.name) {
            return Err(Problem::new(
                format!("servers.{}.url", server.name),
                format!("servers {first} and {} are the same keyspace", server.name),
            )
            .value(format!(
                "{} database {}",
                server.endpoint.address, server.endpoint.database
            ))
            .note(format!(
                "which repeats address and database of [servers.{first}]"
            ))
            .related(format!("servers.{first}.url"))
            .expected("each address and database once; any number of nodes may live on one server")
            .help("name another address or database, or give all the nodes to one of the two"));
        }
    }
    Ok(())
}

fn check_nodes(servers: &[ServerDraft], placement: &Placement) -> Result<(), Problem> {
    let node_count = placement.node_count();
    let last = node_count.saturating_sub(1);
    let each_once = format!("every node from 0 to {last} on exactly one server");
    let mut owner: Vec<Option<&str>> = vec![None; node_count];
    for server in servers {
        let path = format!("servers.{}.nodes", server.name);
        let shown = summary(&server.nodes);
        for node in &server.nodes {
            let Some(claim) = owner.get_mut(node.index()) else {
                return Err(Problem::new(path, format!("node {node} does not exist"))
                    .value(shown)
                    .note(format!("of a placement with {node_count} nodes"))
                    .expected(each_once)
                    .help(format!("leave it out: the last node is {last}")));
            };
            let Some(first) = claim.replace(&server.name) else {
                continue;
            };
            let node_name = describe(placement, &[*node]);
            if first == server.name {
                return Err(
                    Problem::new(path, format!("node {node_name} is listed twice"))
                        .value(shown)
                        .expected(each_once)
                        .help("list it once"),
                );
            }
            return Err(
                Problem::new(path, format!("node {node_name} is on two servers"))
                    .value(shown)
                    .note(format!(
                        "which repeats node {node_name} of [servers.{first}]"
                    ))
                    .related(format!("servers.{first}.nodes"))
                    .expected(each_once)
                    .help(without(server, servers, first)),
            );
        }
    }
    let missing: Vec<NodeId> = (0_u16..)
        .map(NodeId)
        .zip(&owner)
        .filter(|(_, owner)| owner.is_none())
        .map(|(node, _)| node)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let nodes = describe(placement, &missing);
    let (noun, verb) = if missing.len() == 1 {
        ("node", "is")
    } else {
        ("nodes", "are")
    };
    Err(
        Problem::new("servers", format!("{noun} {nodes} {verb} on no server"))
            .expected(each_once)
            .help(format!("add {nodes} to the nodes of a server")),
    )
}

/// A server's nodes for a message.
fn summary(nodes: &[NodeId]) -> String {
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    shorten(show_ranges(&nodes))
}

/// Ranges for numbered nodes, names for named ones.
fn describe(placement: &Placement, nodes: &[NodeId]) -> String {
    if nodes
        .iter()
        .all(|node| placement.node_name(*node) == node.to_string())
    {
        return shorten(show_ranges(nodes));
    }
    shorten(
        nodes
            .iter()
            .map(|node| format!("{:?}", placement.node_name(*node)))
            .collect::<Vec<_>>()
            .join(", "),
    )
}

fn shorten(text: String) -> String {
    const CHARS_MAX: usize = 60;
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

/// What to write so that `server` leaves its nodes to `first`.
fn without(server: &ServerDraft, servers: &[ServerDraft], first: &str) -> String {
    let taken: &[NodeId] = servers
        .iter()
        .find(|other| other.name == first)
        .map_or(&[], |other| &other.nodes);
    let left: BTreeSet<NodeId> = server.nodes.iter().copied().collect();
    let left: Vec<NodeId> = left
        .difference(&taken.iter().copied().collect())
        .copied()
        .collect();
    match left.is_empty() {
        true => format!("make it [] if all of them live on {first}"),
        false => format!("make it \"{}\"", shorten(show_ranges(&left))),
    }
}
