//! A scenario in the making, and its checks.

use super::{CELLS_MAX, REPEATS_MAX, SCHEMES_MAX, SENSITIVITY_MAX, STEPS_MAX, Scenario, Vary};
use crate::config::{Config, ConfigError, Problem};
use crate::placement::NODES_MAX;
use crate::plan::{NodeSize, Pace};
use crate::simulation::capacity::CapacitySpec;
use crate::simulation::fleet::{Fleet, Server, Step, list, made_name};
use crate::simulation::scheme::{Method, Scheme};
use crate::simulation::storm::StormSpec;
use crate::simulation::track::{Track, weight_excess};
use crate::simulation::workload::{Keys, Popularity};
use std::collections::BTreeSet;

/// Makes a [`Scenario`]. What is not said has the defaults of the reference file.
#[derive(Clone, Debug)]
#[must_use]
pub struct ScenarioBuilder {
    pub(super) title: Option<String>,
    pub(super) seed: u64,
    pub(super) repeats: u32,
    pub(super) vary: Option<Vary>,
    pub(super) keys: Keys,
    pub(super) servers: Vec<Server>,
    pub(super) has_names: bool,
    pub(super) steps: Vec<Step>,
    pub(super) schemes: Vec<Scheme>,
    pub(super) sensitivity: Vec<u16>,
    pub(super) costs: bool,
    pub(super) threads: usize,
    pub(super) pace: Pace,
    pub(super) requests_per_s: f64,
    pub(super) storm: Option<StormSpec>,
    pub(super) capacity: Option<CapacitySpec>,
}

impl Default for ScenarioBuilder {
    fn default() -> ScenarioBuilder {
        ScenarioBuilder {
            title: None,
            seed: 1,
            repeats: 10,
            vary: None,
            keys: Keys::made(100_000),
            servers: Vec::new(),
            has_names: false,
            steps: Vec::new(),
            schemes: Vec::new(),
            sensitivity: Vec::new(),
            costs: false,
            threads: 0,
            pace: Pace::default(),
            requests_per_s: 0.0,
            storm: None,
            capacity: None,
        }
    }
}

impl ScenarioBuilder {
    /// What was asked, in a line; by default made from the rest.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Of everything random (default 1).
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How often it is repeated: 1 to [`REPEATS_MAX`], default 10. A repeat is the unit of confidence.
    pub fn repeats(mut self, repeats: u32) -> Self {
        self.repeats = repeats;
        self
    }

    /// What differs between repeats: by default everything if the servers are made up, else the keys.
    pub fn vary(mut self, vary: Vary) -> Self {
        self.vary = Some(vary);
        self
    }

    /// The keys (default: 100,000 made ones of 100 bytes, uniform).
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = keys;
        self
    }

    /// So many servers with made-up names: `a`, `b` and so on.
    pub fn servers_made(mut self, count: usize) -> Self {
        // One too many is enough for the check to see.
        let count = count.min(crate::simulation::fleet::SERVERS_MAX + 1);
        self.servers
            .extend((0..count).map(|index| Server::new(made_name(index))));
        self
    }

    /// A server with its name.
    pub fn server(mut self, server: Server) -> Self {
        self.servers.push(server);
        self.has_names = true;
        self
    }

    /// The servers of a cluster, and its placement on them as the first scheme, named `cluster`.
    pub fn cluster(mut self, config: &Config) -> Self {
        let servers = config.servers().iter().map(|server| Server {
            address: Some(server.endpoint.address.to_string()),
            ..Server::new(server.name.clone())
        });
        self.servers.extend(servers);
        self.has_names = true;
        let placement = config.placement().clone();
        let scheme = Scheme::given("cluster", placement, config.topology().clone());
        self.schemes.insert(0, scheme);
        self
    }

    /// A step that adds so many servers, with made-up names.
    pub fn add_made(self, count: usize) -> Self {
        let added = self.steps.iter().flat_map(|step| match step {
            Step::Add(servers) => servers.as_slice(),
            Step::Replace { with, .. } => std::slice::from_ref(with),
            _ => &[],
        });
        let taken: BTreeSet<&str> = self
            .servers
            .iter()
            .chain(added)
            .map(|server| &*server.name)
            .collect();
        let count = count.min(crate::simulation::fleet::SERVERS_MAX + 1);
        let names = (0..)
            .map(made_name)
            .filter(|name| !taken.contains(name.as_str()));
        let servers = names.take(count).map(Server::new).collect();
        self.step(Step::Add(servers))
    }

    /// What happens next; at most [`STEPS_MAX`].
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// One more way to place the keys; 1 to [`SCHEMES_MAX`].
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.schemes.push(scheme);
        self
    }

    /// These in place of all so far, but for a cluster's own.
    pub fn schemes(mut self, schemes: impl IntoIterator<Item = Scheme>) -> Self {
        self.schemes
            .retain(|scheme| matches!(scheme.method, Method::Given(..)));
        self.schemes.extend(schemes);
        self
    }

    /// Changes the keys so far.
    pub fn change_keys(mut self, change: impl FnOnce(Keys) -> Keys) -> Self {
        self.keys = change(self.keys);
        self
    }

    /// Numbers of nodes to compare at the start, with each algorithm of the schemes; at most [`SENSITIVITY_MAX`].
    pub fn sensitivity(mut self, nodes: impl IntoIterator<Item = u16>) -> Self {
        self.sensitivity = nodes.into_iter().collect();
        self
    }

    /// Whether to measure what building and looking up cost on this machine. By default not.
    pub fn costs(mut self, costs: bool) -> Self {
        self.costs = costs;
        self
    }

    /// How many threads count; 0, the default, for as many as the machine has. The result is the same for any number.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// How fast data moves.
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Requests of clients per second while nodes move, in all; 0, the default, for none.
    pub fn requests_per_s(mut self, requests_per_s: f64) -> Self {
        self.requests_per_s = requests_per_s;
        self
    }

    /// What the database behind a cache sees when the first step that moves keys is taken.
    pub fn storm(mut self, storm: StormSpec) -> Self {
        self.storm = Some(storm);
        self
    }

    /// How many servers will be needed when.
    pub fn capacity(mut self, capacity: CapacitySpec) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// Checks all of it.
    ///
    /// # Errors
    /// [`ConfigError`], with what was said, what is expected and what to do.
    pub fn build(self) -> Result<Scenario, ConfigError> {
        self.check().map_err(|problem| problem.in_code("scenario"))
    }

    pub(super) fn check(self) -> Result<Scenario, Problem> {
        range("repeats", self.repeats.into(), 1, REPEATS_MAX.into())?;
        range("schemes", self.schemes.len() as u64, 1, SCHEMES_MAX as u64)?;
        range("steps", self.steps.len() as u64, 0, STEPS_MAX as u64)?;
        range("threads", self.threads as u64, 0, 1_024)?;
        if let Some((setting, value, expected)) = self.keys.problem() {
            return Err(Problem::new(
                format!("keys.{setting}"),
                format!("{setting} is out of range"),
            )
            .value(value)
            .expected(expected));
        }
        if !(0.0..=1e12).contains(&self.requests_per_s) {
            return Err(
                Problem::new("requests_per_s", "requests_per_s is out of range")
                    .value(self.requests_per_s)
                    .expected("0 to 1000000000000"),
            );
        }
        if let Err((setting, why)) = self.pace.check() {
            return Err(of_model("pace", setting, &why));
        }
        if let Some(Err((setting, why))) = self.storm.as_ref().map(StormSpec::check) {
            return Err(of_model("storm", setting, &why));
        }
        if let Some(Err((setting, why))) = self.capacity.as_ref().map(CapacitySpec::check) {
            return Err(of_model("capacity", setting, &why));
        }
        if self.servers.is_empty() {
            return Err(Problem::new("servers", "there are no servers")
                .expected("count, names or cluster")
                .help("add count = 5"));
        }
        let fleet = Fleet::new(&self.servers, &self.steps)?;
        let sizes = NodeSize {
            keys: self.keys.count(),
            bytes: self.keys.bytes_expected(),
        };
        let mut tracks = Vec::new();
        let mut names = BTreeSet::new();
        for (number, scheme) in self.schemes.iter().enumerate() {
            let at = format!("schemes[{number}]");
            if !names.insert(scheme.name()) {
                return Err(Problem::new(at, format!("{scheme} is there twice"))
                    .expected("every scheme once")
                    .help("remove one"));
            }
            let track = Track::new(scheme, &fleet, sizes, &at)?;
            check_weights(&track, &at)?;
            tracks.push(track);
        }
        let schemes = tracks.len();
        tracks.extend(self.sizes_to_compare(&fleet)?);

        let repeats = self.repeats;
        let stages = fleet.stages.len() as u64;
        let cells = u64::from(repeats) * tracks.len() as u64 * stages * fleet.servers.len() as u64;
        if cells > CELLS_MAX {
            return Err(Problem::new("repeats", "too much to keep")
                .value(repeats)
                .note(format!(
                    "{cells} figures: repeats x schemes x stages x servers"
                ))
                .expected(format!("at most {CELLS_MAX} of them"))
                .help("take fewer repeats, schemes, steps or servers"));
        }
        let notes = notes(&self, &fleet, &tracks);
        let title = match &self.title {
            Some(title) => title.clone(),
            None => title(&self, &fleet),
        };
        let vary = self.vary.unwrap_or(match self.has_names {
            true => Vary::Keys,
            false => Vary::Both,
        });
        let mut scenario = Scenario {
            title,
            seed: self.seed,
            repeats,
            vary,
            keys: self.keys,
            fleet,
            tracks,
            schemes,
            costs: self.costs,
            threads: self.threads,
            pace: self.pace,
            requests_per_s: self.requests_per_s,
            storm: self.storm,
            capacity: self.capacity,
            notes,
        };
        if !scenario.varies_keys() && !scenario.varies_names() && repeats > 1 {
            scenario.repeats = 1;
            scenario.notes.push(
                "One repeat: the same keys under the same names give the same again.".to_owned(),
            );
        }
        scenario.check_placements()?;
        Ok(scenario)
    }

    /// Every algorithm with every number of nodes, at the start.
    fn sizes_to_compare(&self, fleet: &Fleet) -> Result<Vec<Track>, Problem> {
        range(
            "sensitivity",
            self.sensitivity.len() as u64,
            0,
            SENSITIVITY_MAX as u64,
        )?;
        let start = Fleet {
            servers: fleet.servers.clone(),
            stages: fleet.stages[..1].to_vec(),
        };
        let mut tracks = Vec::new();
        let mut known = BTreeSet::new();
        for scheme in &self.schemes {
            for (number, &nodes) in self.sensitivity.iter().enumerate() {
                range(
                    &format!("sensitivity[{number}]"),
                    nodes.into(),
                    1,
                    NODES_MAX as u64,
                )?;
                let Some(scheme) = scheme.resized(nodes) else {
                    continue;
                };
                if known.insert(scheme.name().to_owned()) {
                    tracks.push(Track::new(
                        &scheme,
                        &start,
                        NodeSize::default(),
                        "sensitivity",
                    )?);
                }
            }
        }
        Ok(tracks)
    }
}

impl Scenario {
    /// That every placement can be built, at least with the first names.
    fn check_placements(&self) -> Result<(), Problem> {
        for (number, track) in self.tracks.iter().enumerate() {
            let at = match number < self.schemes {
                true => format!("schemes[{number}]"),
                false => "sensitivity".to_owned(),
            };
            self.naming()
                .build(track, &self.fleet, 0)
                .map_err(|error| {
                    Problem::new(at, format!("{} places no keys: {error}", track.scheme))
                        .expected("an algorithm that takes these servers")
                })?;
        }
        Ok(())
    }
}

/// What the models say has what was read before what is expected.
fn of_model(table: &str, setting: &str, why: &str) -> Problem {
    let (read, expected) = why.split_once(": expected ").unwrap_or((why, ""));
    Problem::new(
        format!("{table}.{setting}"),
        format!("{setting} cannot be {read}"),
    )
    .expected(expected)
}

fn range(setting: &str, value: u64, min: u64, max: u64) -> Result<(), Problem> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let (what, noun) = match setting {
        "schemes" | "steps" | "sensitivity" => (format!("{value} {setting}"), " of them"),
        _ if setting.starts_with("sensitivity") => (format!("{value} nodes"), " of them"),
        _ => (format!("{setting} is out of range"), ""),
    };
    Err(Problem::new(setting, what)
        .value(value)
        .expected(format!("{min} to {max}{noun}")))
}

fn check_weights(track: &Track, at: &str) -> Result<(), Problem> {
    match weight_excess(track) {
        None => Ok(()),
        Some((weight, weight_max, algorithm)) => Err(Problem::new(
            at,
            format!("{algorithm} takes no weight of {weight}"),
        )
        .expected(format!("weights up to {weight_max}"))
        .help("divide all weights by a common factor")),
    }
}

fn title(scenario: &ScenarioBuilder, fleet: &Fleet) -> String {
    let plural = |count: usize, noun: &str| match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    };
    let mut title = plural(scenario.servers.len(), "server");
    let steps = fleet.stages[1..].iter().map(|stage| stage.step.as_str());
    if steps.len() > 0 {
        title += &format!(", {}", list(steps));
    }
    title += &format!("; {}", plural(scenario.keys.count() as usize, "key"));
    if let Popularity::Zipf { exponent } = scenario.keys.popularity {
        title += &format!(", Zipf {exponent}");
    }
    title
}

/// What a reader must know.
fn notes(scenario: &ScenarioBuilder, fleet: &Fleet, tracks: &[Track]) -> Vec<String> {
    let mut notes = Vec::new();
    let named = |fits: &dyn Fn(&Track) -> bool| {
        let names: Vec<&str> = tracks[..scenario.schemes.len()]
            .iter()
            .filter(|track| fits(track))
            .map(|track| track.scheme.name())
            .collect();
        (!names.is_empty()).then(|| list(names.into_iter()))
    };
    let is_plain = |track: &Track| !track.scheme.has_nodes();
    let has_weights = fleet.stages.iter().any(|stage| stage.has_weights());
    let ignores = |track: &Track| is_plain(track) && track.scheme.method.weight_max() == 1;
    if has_weights && let Some(names) = named(&ignores) {
        notes.push(format!("{names}: knows no weights, so that every server has the same share, whatever its target."));
    }
    let kills = scenario
        .steps
        .iter()
        .any(|step| matches!(step, Step::Kill(_)));
    if kills {
        notes.push("A server that dies keeps its keys, which cannot be reached: health never changes placement.".to_owned());
        let is_preset = |track: &Track| {
            is_plain(track)
                && matches!(track.scheme.method, Method::Algorithm(algorithm, _) if algorithm.is_preset())
        };
        if let Some(names) = named(&is_preset) {
            notes.push(format!("{names}: where the original takes dead servers out (as twemproxy does with auto_eject_hosts), see a step that removes them."));
        }
    }
    if tracks.iter().any(|track| track.scheme.has_nodes()) && fleet.stages.len() > 1 {
        notes.push("Plans take nodes to be of one size.".to_owned());
    }
    notes
}
