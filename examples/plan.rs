//! A plan: which nodes a new server would take over, in which order, and why. It reads the cluster file, and asks no server.
//!
//! The cluster file is `$KEYWAY_EXAMPLE_CONFIG`, or `cluster.toml`.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use keyway::Config;
use keyway::plan::{Goal, Limits, Pace, Plan, ServerSpec, Sizes};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var("KEYWAY_EXAMPLE_CONFIG").unwrap_or_else(|_| "cluster.toml".to_owned());
    let config = Config::from_file(path)?;
    let now = config.topology();

    // Every server there is, and the new one, with room for 16 GiB each.
    let mut servers: Vec<ServerSpec> = config
        .servers()
        .iter()
        .map(|server| ServerSpec::new(server.name.clone()))
        .collect();
    servers.push(ServerSpec::new("c"));
    for server in &mut servers {
        server.memory_bytes_max = Some(16 << 30);
    }
    // 10 million keys of 1 KiB, evenly; Sizes::from_keys counts a list, Sizes::sampled takes samples of live servers.
    let sizes = Sizes::even(now.node_count(), 10_000_000, 10_000_000 << 10);

    let goal = Goal::Add(vec!["c".into()]);
    let plan = Plan::for_goal(now, &goal, &servers, &sizes, &Limits::default())?;
    println!("{plan}");
    let pace = Pace::default();
    for one in plan.moves() {
        let time = pace.time(one.kind, one.source, one.size());
        println!(
            "{} -> {}: {:.0?} in all, of which the nodes are frozen for {:.0?}",
            one.from,
            one.to,
            time.total(),
            time.freeze
        );
    }

    let then = plan.apply(now)?;
    println!(
        "{} of {} nodes are on another server then",
        now.diff(&then).len(),
        now.node_count()
    );
    Ok(())
}
