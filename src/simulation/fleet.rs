//! The servers, and how steps change them.

use super::scheme::Scheme;
use crate::config::Problem;
use std::sync::Arc;

/// Most servers that may be there at any time of a scenario, all together.
pub const SERVERS_MAX: usize = 4_096;

/// Longest name of a server, in bytes.
pub const NAME_BYTES_MAX: usize = 40;

/// One server of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name: `[A-Za-z0-9_.-]{1,40}`.
    pub name: Arc<str>,
    /// Its share relative to the other servers (default 1). 0: it has no keys.
    pub weight: u32,
    /// What it may hold, in bytes; `None`: no limit.
    pub memory_bytes_max: Option<u64>,
    /// `host:port`, which presets hash whose originals do; `None`: one is made up.
    pub address: Option<String>,
}

impl Server {
    /// Of weight 1, without a limit.
    pub fn new(name: impl Into<Arc<str>>) -> Server {
        Server {
            name: name.into(),
            weight: 1,
            memory_bytes_max: None,
            address: None,
        }
    }

    /// Another weight.
    pub fn weight(mut self, weight: u32) -> Server {
        self.weight = weight;
        self
    }

    /// What it may hold, in bytes.
    pub fn memory_bytes_max(mut self, bytes: u64) -> Server {
        self.memory_bytes_max = Some(bytes);
        self
    }
}

/// What happens next.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// New servers, after those that are there.
    Add(Vec<Server>),
    /// They hand over what they have and are taken out.
    Remove(Vec<String>),
    /// Another server in its place, with its weight unless it has another.
    Replace {
        /// The one that goes.
        from: String,
        /// The one that comes.
        with: Server,
    },
    /// Other weights.
    Reweight(Vec<(String, u32)>),
    /// They die. Their keys stay theirs, and cannot be reached.
    Kill(Vec<String>),
    /// All schemes go over to this one. One with as many nodes keeps them on their servers.
    Placement(Scheme),
}

/// Index in [`Fleet::servers`].
pub(super) type Id = u16;

/// All servers that there ever are, and the stages.
#[derive(Clone, Debug)]
pub(super) struct Fleet {
    pub(super) servers: Vec<Server>,
    /// The start, and one after each step.
    pub(super) stages: Vec<Stage>,
}

/// Who is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    /// In words: `start`, `add f`.
    pub(super) step: String,
    /// In the order in which they were named.
    pub(super) members: Vec<Member>,
    /// What the step did to servers, by id; none at the start.
    pub(super) touched: Vec<(Id, Touch)>,
    /// From this step on.
    pub(super) placement: Option<Scheme>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: Id,
    pub(super) weight: u32,
    pub(super) is_up: bool,
    pub(super) memory_bytes_max: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    Added,
    /// Removed or killed.
    Gone,
    Reweighted,
}

impl Stage {
    pub(super) fn member(&self, id: Id) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// What each server should have, as a fraction of all, in the order of the members.
    pub(super) fn targets(&self) -> Vec<f64> {
        let total: u64 = self
            .members
            .iter()
            .map(|member| u64::from(member.weight))
            .sum();
        let of = |member: &Member| f64::from(member.weight) / total.max(1) as f64;
        self.members.iter().map(of).collect()
    }

    pub(super) fn has_weights(&self) -> bool {
        self.members.iter().any(|member| member.weight != 1)
    }
}

impl Fleet {
    /// # Errors
    /// What does not fit together, with the setting that says it.
    pub(super) fn new(servers: &[Server], steps: &[Step]) -> Result<Fleet, Problem> {
        let mut fleet = Fleet {
            servers: Vec::new(),
            stages: Vec::new(),
        };
        let mut start = Stage {
            step: "start".to_owned(),
            ..Stage::default()
        };
        for server in servers {
            fleet.enter(&mut start, server, "servers")?;
        }
        start.touched.clear();
        fleet.settle(start, "servers")?;
        for (number, step) in steps.iter().enumerate() {
            let mut stage = Stage {
                members: fleet.last().members.clone(),
                ..Stage::default()
            };
            let path = format!("steps[{number}]");
            fleet.apply(step, &mut stage, &path)?;
            fleet.settle(stage, &path)?;
        }
        Ok(fleet)
    }

    fn last(&self) -> &Stage {
        // `new` begins with one.
        &self.stages[self.stages.len() - 1]
    }

    fn apply(&mut self, step: &Step, stage: &mut Stage, path: &str) -> Result<(), Problem> {
        match step {
            Step::Add(servers) => {
                let at = format!("{path}.add");
                some(servers.len(), &at)?;
                for server in servers {
                    self.enter(stage, server, &at)?;
                }
                stage.step = format!("add {}", list(servers.iter().map(|server| &*server.name)));
            }
            Step::Remove(names) => {
                let at = format!("{path}.remove");
                some(names.len(), &at)?;
                for name in names {
                    let index = self.find(stage, name, &at)?;
                    let gone = stage.members.remove(index);
                    stage.touched.push((gone.id, Touch::Gone));
                }
                stage.step = format!("remove {}", list(names.iter().map(String::as_str)));
            }
            Step::Replace { from, with } => {
                let index = self.find(stage, from, &format!("{path}.replace"))?;
                let old = stage.members[index];
                stage.touched.push((old.id, Touch::Gone));
                let mut with = with.clone();
                if with.weight == 1 {
                    with.weight = old.weight;
                }
                with.memory_bytes_max = with.memory_bytes_max.or(old.memory_bytes_max);
                self.enter(stage, &with, &format!("{path}.with"))?;
                // In its place: some algorithms go by it.
                stage.members.swap_remove(index);
                stage.step = format!("replace {from} by {}", with.name);
            }
            Step::Reweight(weights) => {
                let at = format!("{path}.reweight");
                some(weights.len(), &at)?;
                for (name, weight) in weights {
                    check_weight(*weight, &at)?;
                    let index = self.find(stage, name, &at)?;
                    stage.members[index].weight = *weight;
                    stage
                        .touched
                        .push((stage.members[index].id, Touch::Reweighted));
                }
                let words: Vec<String> = weights
                    .iter()
                    .map(|(name, weight)| format!("{name} to {weight}"))
                    .collect();
                stage.step = format!("reweight {}", list(words.iter().map(String::as_str)));
            }
            Step::Kill(names) => {
                let at = format!("{path}.kill");
                some(names.len(), &at)?;
                for name in names {
                    let index = self.find(stage, name, &at)?;
                    if !std::mem::replace(&mut stage.members[index].is_up, false) {
                        return Err(Problem::new(&at, format!("{name} is dead already"))
                            .expected("a server that is up"));
                    }
                    stage.touched.push((stage.members[index].id, Touch::Gone));
                }
                stage.step = format!("kill {}", list(names.iter().map(String::as_str)));
            }
            Step::Placement(scheme) => {
                stage.step = format!("place by {scheme}");
                stage.placement = Some(scheme.clone());
            }
        }
        Ok(())
    }

    fn enter(&mut self, stage: &mut Stage, server: &Server, at: &str) -> Result<(), Problem> {
        let name = &server.name;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_name) {
            return Err(Problem::new(at, format!("{name:?} is no name of a server"))
                .expected("1 to 40 letters, digits, _ . or -"));
        }
        check_weight(server.weight, at)?;
        let known = self.servers.iter().position(|other| other.name == *name);
        let id = known.unwrap_or(self.servers.len());
        if id >= SERVERS_MAX {
            return Err(Problem::new(at, format!("more than {SERVERS_MAX} servers"))
                .expected(format!("at most {SERVERS_MAX} servers over all steps")));
        }
        if known.is_none() {
            self.servers.push(server.clone());
        }
        let id = id as Id;
        if stage.member(id).is_some() {
            return Err(Problem::new(at, format!("{name} is there already"))
                .expected("every name once")
                .help("give the new server another name"));
        }
        stage.members.push(Member {
            id,
            weight: server.weight,
            is_up: true,
            memory_bytes_max: server.memory_bytes_max,
        });
        stage.touched.push((id, Touch::Added));
        Ok(())
    }

    fn find(&self, stage: &Stage, name: &str, at: &str) -> Result<usize, Problem> {
        let of = |member: &Member| &*self.servers[usize::from(member.id)].name;
        let found = stage.members.iter().position(|member| of(member) == name);
        found.ok_or_else(|| {
            Problem::new(at, format!("there is no server {name:?} then"))
                .expected(format!("one of {}", list(stage.members.iter().map(of))))
        })
    }

    fn settle(&mut self, stage: Stage, at: &str) -> Result<(), Problem> {
        if !stage.members.iter().any(|member| member.weight > 0) {
            return Err(Problem::new(at, "no server is left that may have keys")
                .expected("at least one server with a weight above 0"));
        }
        if !stage
            .members
            .iter()
            .any(|member| member.is_up && member.weight > 0)
        {
            return Err(Problem::new(at, "no server is left that is up")
                .expected("at least one server that is up, with a weight above 0"));
        }
        self.stages.push(stage);
        Ok(())
    }
}

fn some(count: usize, at: &str) -> Result<(), Problem> {
    match count {
        0 => Err(Problem::new(at, "no server is named").expected("at least one name")),
        _ => Ok(()),
    }
}

fn check_weight(weight: u32, at: &str) -> Result<(), Problem> {
    match weight {
        0..=1_000_000 => Ok(()),
        _ => Err(Problem::new(at, format!("the weight {weight}")).expected("0 to 1000000")),
    }
}

/// For people: the first few, and how many more.
pub(super) fn list<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    const SHOWN_MAX: usize = 8;
    let more = names.len().saturating_sub(SHOWN_MAX);
    let shown: Vec<&str> = names.take(SHOWN_MAX).collect();
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Names as they are made up: `a` to `z`, then `s27` and so on.
pub(super) fn made_name(index: usize) -> String {
    match u8::try_from(index) {
        Ok(letter @ 0..26) => char::from(b'a' + letter).to_string(),
        _ => format!("s{}", index + 1),
    }
}
