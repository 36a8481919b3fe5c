//! Who gives which nodes to whom, once it is known how many each server gives or gets.

use crate::plan::problem::Problem;
use std::collections::VecDeque;

/// The server of every node when servers end with so many nodes: each gives its smallest. Few pairs of servers have to do with each other, since
/// each pair is a move: equal needs are matched first, the rest in a chain.
pub(super) fn pair(problem: &Problem<'_>, counts: &[usize]) -> Vec<usize> {
    let mut assignment = problem.origin.clone();
    let mut given: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut taken: Vec<(usize, usize)> = Vec::new();
    for (server, mut nodes) in problem
        .nodes_by_server(&problem.origin)
        .into_iter()
        .enumerate()
    {
        match counts[server] {
            count if count < nodes.len() => {
                problem.by_size(&mut nodes);
                nodes.truncate(nodes.len() - count);
                given.push((server, nodes));
            }
            count if count > nodes.len() => taken.push((server, count - nodes.len())),
            _ => {}
        }
    }
    // Stable: of equal needs the first by name.
    given.sort_by_key(|(_, nodes)| std::cmp::Reverse(nodes.len()));
    taken.sort_by_key(|(_, wanted)| std::cmp::Reverse(*wanted));

    let mut left = VecDeque::new();
    for (_, nodes) in given {
        match taken.iter().position(|(_, wanted)| *wanted == nodes.len()) {
            Some(at) => {
                let (server, _) = taken.remove(at);
                for node in nodes {
                    assignment[node] = server;
                }
            }
            None => left.extend(nodes),
        }
    }
    for (server, wanted) in taken {
        for node in left.drain(..wanted.min(left.len())) {
            assignment[node] = server;
        }
    }
    assignment
}
