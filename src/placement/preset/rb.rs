//! rb (Sentry, from 2015), which took nydus's routers over.
//!
//! Source: rb 1.11.0, `rb/ketama.py`, `rb/router.py` and `rb/cluster.py`.

use super::{Algorithm, NodeSpec, Options, PlacementError, Recipe, nydus};

/// What `repr` of a `HostInfo` shows, in this order.
const ATTRIBUTES: [&str; 8] = [
    "db",
    "host",
    "host_id",
    "password",
    "port",
    "ssl",
    "ssl_options",
    "unix_socket_path",
];

pub(super) fn recipe(
    algorithm: Algorithm,
    options: &Options,
    nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    if algorithm == Algorithm::RbPartition {
        return nydus::recipe(Algorithm::NydusPartition, options, nodes);
    }
    for (node, spec) in nodes.iter().enumerate() {
        check(node, spec).map_err(|why| PlacementError::Refused { algorithm, why })?;
    }
    nydus::recipe(Algorithm::NydusKetama, options, nodes)
}

/// Hosts are hashed by their `repr`; one with a password in it must be no name, as names are shown.
fn check(node: usize, spec: &NodeSpec) -> Result<(), String> {
    let what = if spec.label.is_some() {
        "label"
    } else {
        "name"
    };
    if !is_host_info(spec.hashed()) {
        return Err(format!(
            "the {what} of node {node} is not what rb hashes, which is the repr of a host. Ask rb's cluster for repr(cluster.hosts[{node}]), \
             and take all of it, from <HostInfo to >: as the label, or as the name if it has no password"
        ));
    }
    let passwords = spec.name.matches("password").count();
    if passwords != spec.name.matches("password=None").count() {
        return Err(format!(
            "the name of node {node} has a password in it, and names are shown: put the text into the node's label, which is not, and give \
             the node another name"
        ));
    }
    Ok(())
}

fn is_host_info(text: &str) -> bool {
    let Some(mut rest) = text.strip_prefix("<HostInfo") else {
        return false;
    };
    for attribute in ATTRIBUTES {
        let Some((_, behind)) = rest.split_once(&format!(" {attribute}=")) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with('>')
}
