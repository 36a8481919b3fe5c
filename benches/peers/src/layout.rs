//! Where a worker finds its servers, and which node is on which.

use keyway::Config;
use keyway::placement::Placement;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Layout {
    /// Ports of plain servers.
    pub servers: Vec<u16>,
    /// Ports of as many cluster-enabled servers, where there are any.
    pub cluster: Vec<u16>,
    /// The port of twemproxy in front of the plain servers.
    pub proxy: Option<u16>,
    pub nodes: u16,
    /// The plain servers speak TLS, with a certificate of this authority.
    pub ca_file: Option<PathBuf>,
}

impl Layout {
    /// Nodes are spread evenly, neighbours together.
    pub fn server_of(&self, node: u16) -> u16 {
        let servers = self.servers.len();
        u16::try_from(usize::from(node) * servers / usize::from(self.nodes))
            .expect("fewer servers than nodes")
    }

    pub fn url(&self, server: usize) -> String {
        let scheme = if self.ca_file.is_some() {
            "rediss"
        } else {
            "redis"
        };
        format!("{scheme}://127.0.0.1:{}", self.servers[server])
    }

    pub fn placement(&self) -> Placement {
        self.config().placement().clone()
    }

    /// A file as a user would write it: everything that is not said here is keyway's default.
    pub fn config(&self) -> Config {
        let mut file = format!(
            "name = \"bench\"\n[placement]\nalgorithm = \"ketama\"\nnodes = {}\n",
            self.nodes
        );
        if let Some(ca) = &self.ca_file {
            writeln!(file, "[defaults.tls]\nca_file = '{}'", ca.display()).expect("memory");
        }
        for server in 0..self.servers.len() {
            let nodes: Vec<u16> = (0..self.nodes)
                .filter(|node| usize::from(self.server_of(*node)) == server)
                .collect();
            writeln!(
                file,
                "[servers.s{server}]\nurl = \"{}\"\nnodes = \"{}-{}\"",
                self.url(server),
                nodes[0],
                nodes[nodes.len() - 1]
            )
            .expect("memory");
        }
        Config::parse(&file, Path::new("bench.toml"), &|_| None).expect("a right file")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyway_agrees_on_the_server_of_each_node() {
        for servers in [2, 8, 64] {
            let layout = Layout {
                servers: (1..=servers).collect(),
                nodes: 64,
                ..Layout::default()
            };
            let config = layout.config();
            for node in 0..64 {
                let server = config.topology().server_of(keyway::placement::NodeId(node));
                assert_eq!(
                    &**config.topology().server_name(server),
                    format!("s{}", layout.server_of(node))
                );
            }
        }
    }
}
