//! Which server each key lives on, by the round's seed: the coordinator and all workers compute the
//! same maps.

use crate::history::Window;
use keyway::Config;
use std::path::Path;

pub(crate) const NODES: usize = 32;
/// Every key has one of these hash tags, so that each server can hold its own name beside each key.
pub(crate) const TAGS: u32 = 64;
/// The counters of server n begin at (n + 1) times this, so that each of their values says which
/// server it is of.
pub(crate) const COUNTERS_APART: i64 = 1_000_000_000_000;

/// The maps of one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maps {
    pub(crate) seed: u64,
    pub(crate) servers: usize,
}

impl Maps {
    /// The server of each node. Even generations are all the same one, so each reload leads away
    /// from it or back to it.
    pub(crate) fn homes(self, generation: u32) -> Vec<usize> {
        let mut homes: Vec<usize> = (0..NODES).map(|node| node % self.servers).collect();
        if generation % 2 == 1 {
            let mut rng = fastrand::Rng::with_seed(self.seed ^ u64::from(generation) << 32);
            let emptied = (rng.u8(..4) == 0).then(|| rng.usize(..self.servers));
            for home in &mut homes {
                if Some(*home) == emptied || rng.u8(..3) == 0 {
                    *home = rng.usize(..self.servers);
                }
                if Some(*home) == emptied {
                    *home = (*home + 1) % self.servers;
                }
            }
        }
        homes
    }

    /// The cluster file. A server without nodes is left out, so a reload drops it and a later one
    /// dials it again.
    pub(crate) fn config(self, generation: u32, settings: &str, ports: &[u16]) -> Config {
        let homes = self.homes(generation);
        let mut toml = format!("name = \"chaos\"\n{settings}\n");
        toml += &format!("[placement]\nalgorithm = \"ketama\"\nnodes = {NODES}\n");
        for (server, port) in ports.iter().enumerate() {
            let nodes: Vec<String> = (0..NODES)
                .filter(|node| homes[*node] == server)
                .map(|node| node.to_string())
                .collect();
            if !nodes.is_empty() {
                let nodes = nodes.join(",");
                toml += &format!("[servers.s{server}]\nurl = \"redis://127.0.0.1:{port}\"\n");
                toml += &format!("nodes = \"{nodes}\"\n");
            }
        }
        Config::parse(&toml, Path::new("chaos.toml"), &|_| None)
            .unwrap_or_else(|error| panic!("{error}\n{toml}"))
    }

    /// The servers on which a command may have been executed.
    pub(crate) fn allowed(self, node: usize, window: Window) -> Vec<usize> {
        let mut servers: Vec<usize> = (window.from..=window.to)
            .map(|generation| self.homes(generation)[node])
            .collect();
        servers.sort_unstable();
        servers.dedup();
        servers
    }
}

/// The node of each tag.
pub(crate) fn nodes_of_tags() -> Vec<usize> {
    let maps = Maps {
        seed: 0,
        servers: 1,
    };
    let config = maps.config(0, "", &[1]);
    (0..TAGS)
        .map(|tag| {
            let key = key("any", tag);
            usize::from(config.placement().node(key.as_bytes()).0)
        })
        .collect()
}

/// `count:{7}`
pub(crate) fn key(kind: &str, tag: u32) -> String {
    format!("{kind}:{{{tag}}}")
}

/// The lists of one worker: nobody else writes to them.
pub(crate) fn list_of(worker: usize, tag: u32) -> String {
    format!("{}:{worker}", key("list", tag))
}

/// What a worker writes to its lists when a reload has returned.
pub(crate) fn mark_of(generation: u32) -> String {
    format!("reload.{generation}")
}

/// The generation of what [`mark_of`] made.
pub(crate) fn marked_by(id: &str) -> Option<u32> {
    id.strip_prefix("reload.")?.parse().ok()
}

/// The tag of a key that [`key`] made.
pub(crate) fn tag_of(key: &str) -> Option<u32> {
    let (_, rest) = key.split_once('{')?;
    rest.split_once('}')?.0.parse().ok()
}

/// `s1`
pub(crate) fn name_of(server: usize) -> String {
    format!("s{server}")
}

/// The server and the count of a counter's value.
pub(crate) fn split_count(value: i64) -> (Option<usize>, i64) {
    let server = usize::try_from(value / COUNTERS_APART - 1).ok();
    (server, value % COUNTERS_APART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_go_there_and_back_and_name_every_node_once() {
        let maps = Maps {
            seed: 7,
            servers: 3,
        };
        assert_eq!(maps.homes(0), maps.homes(2));
        assert_ne!(maps.homes(0), maps.homes(1));
        let dropped = (0..50).filter(|generation| {
            let config = maps.config(*generation, "", &[1, 2, 3]);
            assert_eq!(config.topology().node_count(), NODES);
            config.servers().len() == 2
        });
        assert!(dropped.count() > 0);
    }

    #[test]
    fn a_counter_says_its_server() {
        assert_eq!(split_count(COUNTERS_APART * 2 + 5), (Some(1), 5));
        assert_eq!(split_count(5), (None, 5));
        assert_eq!(tag_of(&key("count", 17)), Some(17));
    }
}
