//! A Redis Cluster without replicas, its slots spread evenly.

use super::process::Server;
use anyhow::{Result, bail};
use redis::cmd;
use std::time::{Duration, Instant};

const SLOTS: u32 = 16_384;
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn form(count: u16) -> Result<Vec<Server>> {
    let servers: Vec<Server> = (0..count)
        .map(|_| Server::for_cluster())
        .collect::<Result<_>>()?;
    for (at, server) in servers.iter().enumerate() {
        let mut connection = server.connection()?;
        // Different epochs from the start, or the servers would have to settle that among themselves first.
        let epoch = at + 1;
        let _: () = cmd("CLUSTER")
            .arg(&["SET-CONFIG-EPOCH", &epoch.to_string()])
            .query(&mut connection)?;
        let at = u32::try_from(at)?;
        let begin = |at| SLOTS * at / u32::from(count);
        let _: () = cmd("CLUSTER")
            .arg("ADDSLOTSRANGE")
            .arg(begin(at))
            .arg(begin(at + 1) - 1)
            .query(&mut connection)?;
    }
    let mut first = servers[0].connection()?;
    for server in &servers[1..] {
        let _: () = cmd("CLUSTER")
            .arg(&["MEET", "127.0.0.1"])
            .arg(server.port)
            .arg(server.bus_port)
            .query(&mut first)?;
    }
    for server in &servers {
        wait_until_ok(server, count)?;
    }
    Ok(servers)
}

fn wait_until_ok(server: &Server, count: u16) -> Result<()> {
    let mut connection = server.connection()?;
    let started = Instant::now();
    loop {
        let info: String = cmd("CLUSTER").arg("INFO").query(&mut connection)?;
        let says = |line: &str| info.lines().any(|other| other == line);
        if says("cluster_state:ok")
            && says("cluster_slots_ok:16384")
            && says(&format!("cluster_known_nodes:{count}"))
        {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            bail!(
                "{count} servers did not become a cluster within {PATIENCE:?}; port {} says:\n{info}",
                server.port
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
