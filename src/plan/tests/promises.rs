//! Random fleets: whatever is asked, a plan keeps what it promises.

use super::replay::{is_full, replay};
use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Fleet {
    old: Topology,
    servers: Vec<ServerSpec>,
    sizes: Sizes,
    moves_per_server_max: usize,
    tolerance: Option<f64>,
}

impl Fleet {
    fn limits(&self) -> Limits {
        Limits {
            moves_per_server_max: self.moves_per_server_max,
            balance: self
                .tolerance
                .map_or(Balance::Nodes, |tolerance| Balance::Bytes { tolerance }),
        }
    }

    fn plan(&self, goal: &Goal) -> Result<Plan, PlanError> {
        Plan::for_goal(&self.old, goal, &self.servers, &self.sizes, &self.limits())
    }

    fn replay(&self, plan: &Plan) {
        replay(
            &self.old,
            plan,
            &self.servers,
            &self.sizes,
            self.moves_per_server_max,
        );
    }

    fn without_limits(mut self) -> Fleet {
        for server in &mut self.servers {
            server.memory_bytes_max = None;
        }
        self
    }
}

fn server_name(number: usize) -> Arc<str> {
    Arc::from(format!("s{number:02}"))
}

/// On up to 12 servers, of which the last one or two may be new; some have little room.
fn fleet() -> impl Strategy<Value = Fleet> {
    (2_usize..=12, 1_usize..=80, 0_usize..=2).prop_flat_map(|(servers, nodes, new)| {
        let there = servers.saturating_sub(new).max(1);
        (
            proptest::collection::vec(0..there, nodes),
            proptest::collection::vec(0_u64..=100, nodes),
            proptest::collection::vec(0_u32..=4, servers),
            proptest::collection::vec(proptest::option::of(100_u64..=300), servers),
            1_usize..=3,
            proptest::option::of(0.0..0.3_f64),
        )
            .prop_map(
                move |(origin, mut bytes, mut weights, room, moves_per_server_max, tolerance)| {
                    weights[0] = weights[0].max(1);
                    bytes[0] = bytes[0].max(1);
                    let total: u64 = bytes.iter().sum();
                    let total_weight: u64 = weights.iter().copied().map(u64::from).sum();
                    let mut sizes = Sizes::even(nodes, 0, 0);
                    for (size, bytes) in sizes.nodes.iter_mut().zip(bytes) {
                        *size = NodeSize {
                            keys: bytes / 2,
                            bytes,
                        };
                    }
                    let owners = (0..there)
                        .map(|server| {
                            let nodes = (0..nodes).filter(|node| origin[*node] == server);
                            (
                                server_name(server),
                                nodes.map(|node| NodeId(node as u16)).collect(),
                            )
                        })
                        .collect();
                    Fleet {
                        old: Topology::new(Epoch(3), nodes, owners).unwrap(),
                        servers: (0..servers)
                            .map(|server| ServerSpec {
                                name: server_name(server),
                                weight: weights[server],
                                // A tenth over its share to twice as much again, in percent.
                                memory_bytes_max: room[server].map(|percent| {
                                    100 + total * u64::from(weights[server]) * percent
                                        / (total_weight * 100)
                                }),
                            })
                            .collect(),
                        sizes,
                        moves_per_server_max,
                        tolerance,
                    }
                },
            )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(keyway_testing::swept(100, 400)))]

    #[test]
    fn an_even_plan_keeps_its_promises(fleet in fleet()) {
        match fleet.plan(&Goal::Even) {
            Ok(plan) => fleet.replay(&plan),
            Err(error) => prop_assert!(error.is_about_room(), "{}", error),
        }
    }

    #[test]
    fn a_drained_server_has_nothing_left_and_no_other_node_moves(fleet in fleet(), which in 0_usize..12) {
        let gone = server_name(which % fleet.old.server_count());
        let Ok(plan) = fleet.plan(&Goal::Drain(vec![gone.clone()])) else {
            return Ok(());
        };
        fleet.replay(&plan);
        let new = plan.apply(&fleet.old).unwrap();
        prop_assert_eq!(new.nodes_of(new.server_by_name(&gone).unwrap()).count(), 0);
        prop_assert!(plan.moves().iter().all(|one| one.from == gone));
    }

    #[test]
    fn what_is_added_is_all_that_gets_nodes(fleet in fleet()) {
        let goal = Goal::Add(vec!["new".into(), "other".into()]);
        let Ok(plan) = fleet.plan(&goal) else {
            return Ok(());
        };
        fleet.replay(&plan);
        for one in plan.moves() {
            prop_assert!(fleet.old.server_by_name(&one.to).is_none(), "{}", plan);
        }
    }

    #[test]
    fn the_number_of_servers_is_reached(fleet in fleet(), count in 1_usize..=14) {
        // Equal weights, and nodes enough for all to have one.
        let mut fleet = fleet.without_limits();
        fleet.servers.truncate(fleet.old.server_count());
        for server in &mut fleet.servers {
            server.weight = 1;
        }
        fleet.tolerance = None;
        let even = fleet.plan(&Goal::Even).unwrap();
        fleet.old = even.apply(&fleet.old).unwrap();
        let plan = fleet.plan(&Goal::Servers(count)).unwrap();
        fleet.replay(&plan);
        let new = plan.apply(&fleet.old).unwrap();
        let with_nodes = new.servers().filter(|&server| new.nodes_of(server).count() > 0).count();
        prop_assert_eq!(with_nodes, count.min(fleet.old.node_count()), "{}", plan);
    }

    #[test]
    fn the_plan_between_two_topologies_leads_from_one_to_the_other(
        fleet in fleet(), seed in proptest::collection::vec(0_usize..14, 80),
    ) {
        let fleet = fleet.without_limits();
        let nodes = fleet.old.node_count();
        let owners = (0..14)
            .map(|server| {
                let nodes = (0..nodes).filter(|node| seed[*node] == server);
                (server_name(server), nodes.map(|node| NodeId(node as u16)).collect::<Vec<_>>())
            })
            // A server without nodes may be there, or not.
            .filter(|(name, nodes)| !nodes.is_empty() || &**name != "s00")
            .collect();
        let new = Topology::new(Epoch(3), nodes, owners).unwrap();
        let plan = Plan::between(&fleet.old, &new, &fleet.servers, &fleet.sizes, &fleet.limits()).unwrap();
        fleet.replay(&plan);
        prop_assert_eq!(plan.apply(&fleet.old).unwrap(), new.clone());
        let moved: usize = fleet.old.diff(&new).len();
        prop_assert_eq!(plan.nodes_moved(), moved);
        is_full(&plan, fleet.moves_per_server_max);
        // With full servers: within limits, or refused for them.
        let mut tight = fleet.clone();
        for server in &mut tight.servers {
            let bytes = |topology: &Topology| topology.server_by_name(&server.name).map_or(0, |id| {
                topology.nodes_of(id).map(|node| fleet.sizes.nodes[node.index()].bytes).sum::<u64>()
            });
            server.memory_bytes_max = Some(bytes(&fleet.old).max(bytes(&new)) + 60);
        }
        match Plan::between(&tight.old, &new, &tight.servers, &tight.sizes, &tight.limits()) {
            Ok(plan) => tight.replay(&plan),
            Err(error) => prop_assert!(matches!(error, PlanError::Stuck { .. }), "{}", error),
        }
    }

    #[test]
    fn the_same_question_gets_the_same_plan_in_whatever_order_servers_are_listed(fleet in fleet()) {
        let plan = fleet.plan(&Goal::Even);
        let mut turned = fleet.clone();
        turned.servers.reverse();
        prop_assert_eq!(&plan, &turned.plan(&Goal::Even));
        if let Ok(plan) = plan {
            let json = serde_json::to_string(&plan).unwrap();
            let read: Plan = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read.moves(), plan.moves());
            prop_assert_eq!(read.servers(), plan.servers());
            prop_assert_eq!(read.apply(&fleet.old), plan.apply(&fleet.old));
        }
    }

    #[test]
    fn waves_are_as_full_as_can_be(fleet in fleet()) {
        let fleet = fleet.without_limits();
        if let Ok(plan) = fleet.plan(&Goal::Even) {
            is_full(&plan, fleet.moves_per_server_max);
        }
    }
}

/// Figures of how long it takes are in the documentation. Squares of the number of nodes would be noticed: minutes in place of
/// seconds.
#[test]
fn many_nodes_on_many_servers_have_a_good_plan() {
    let names: Vec<String> = (0..250).map(|number| format!("s{number:03}")).collect();
    let owners: Vec<(&str, usize)> = names[..200]
        .iter()
        .enumerate()
        .map(|(number, name)| (name.as_str(), 81 + usize::from(number < 184)))
        .collect();
    let old = topology(&owners);
    assert_eq!(old.node_count(), 16_384);
    let servers: Vec<ServerSpec> = names
        .iter()
        .map(|name| ServerSpec::new(name.as_str()))
        .collect();
    let mut sizes = Sizes::even(16_384, 0, 0);
    for (node, size) in sizes.nodes.iter_mut().enumerate() {
        *size = NodeSize {
            keys: 1,
            bytes: 900 + (node as u64 * 7_919) % 200,
        };
    }
    let mut tight = servers.clone();
    for server in &mut tight {
        server.memory_bytes_max = Some(66_500);
    }
    let by_bytes = Limits {
        balance: Balance::Bytes { tolerance: 0.02 },
        ..Limits::default()
    };
    for (servers, limits) in [
        (&servers, Limits::default()),
        (&tight, Limits::default()),
        (&servers, by_bytes),
        (&tight, by_bytes),
    ] {
        let plan = Plan::for_goal(&old, &Goal::Even, servers, &sizes, &limits).unwrap();
        replay(&old, &plan, servers, &sizes, 1);
        // A server that gets 66 nodes from others that give 16 or 17 has four moves at least.
        assert!(plan.waves().count() <= 8, "{}", plan.waves().count());
        match limits.balance {
            // 50 servers get 65 or 66 nodes; exchanges come on top where limits bind.
            Balance::Nodes if servers[0].memory_bytes_max.is_none() => {
                assert_eq!(plan.nodes_moved(), 50 * 65);
            }
            Balance::Nodes => assert!(plan.nodes_moved() < 50 * 70),
            Balance::Bytes { .. } => {
                assert_eq!(plan.reached().unwrap().is_within_tolerance, Some(true));
            }
        }
    }
}
