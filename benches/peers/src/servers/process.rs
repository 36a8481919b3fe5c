//! A redis-server process of ours.

use super::Certificates;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
/// Below the ports that the system gives to outgoing connections, of which there are thousands here.
const PORTS: std::ops::Range<u16> = 12_000..20_000;

/// Killed when dropped. Keeps nothing on disk.
pub(super) struct Server {
    pub(super) port: u16,
    /// Where it listens without TLS; the same port if it has no TLS.
    pub(super) plain_port: u16,
    /// Where the servers of a cluster talk to each other; 0 if it is in none.
    pub(super) bus_port: u16,
    process: Child,
    directory: TempDir,
}

impl Server {
    pub(super) fn plain() -> Result<Server> {
        let port = free_port()?;
        Server::start(port, port, &[])
    }

    pub(super) fn with_tls(certificates: &Certificates) -> Result<Server> {
        let port = free_port()?;
        let text = |path: std::path::PathBuf| path.display().to_string();
        let arguments = [
            ("--tls-port", port.to_string()),
            ("--tls-ca-cert-file", text(certificates.ca_file())),
            ("--tls-cert-file", text(certificates.server_file())),
            ("--tls-key-file", text(certificates.server_key_file())),
            ("--tls-auth-clients", "no".into()),
        ];
        Server::start(port, free_port()?, &arguments)
    }

    pub(super) fn for_cluster() -> Result<Server> {
        let port = free_port()?;
        let bus_port = free_port()?;
        let arguments = [
            ("--cluster-enabled", "yes".into()),
            ("--cluster-port", bus_port.to_string()),
            ("--cluster-announce-ip", "127.0.0.1".into()),
            // A busy machine is no reason to call a server dead.
            ("--cluster-node-timeout", "60000".into()),
        ];
        let mut server = Server::start(port, port, &arguments)?;
        server.bus_port = bus_port;
        Ok(server)
    }

    pub(super) fn connection(&self) -> Result<redis::Connection> {
        connection(self.plain_port)
    }

    fn start(port: u16, plain_port: u16, arguments: &[(&str, String)]) -> Result<Server> {
        let directory = tempfile::tempdir()?;
        let log = File::create(log_in(directory.path()))?;
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &plain_port.to_string()])
            .args(["--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .args(["--dir".as_ref(), directory.path().as_os_str()]);
        for (name, value) in arguments {
            command.args([name, value.as_str()]);
        }
        let process = command
            .stdin(Stdio::null())
            .stdout(log)
            .spawn()
            .context("cannot run redis-server (Debian: apt-get install redis-server)")?;
        let mut server = Server {
            port,
            plain_port,
            bus_port: 0,
            process,
            directory,
        };
        server.wait_until_it_answers()?;
        Ok(server)
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let started = Instant::now();
        while connection(self.plain_port).is_err() {
            let ended = self.process.try_wait()?.is_some();
            if ended || started.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(log_in(self.directory.path()))?;
                bail!("redis-server on port {} does not answer:\n{log}", self.port);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(super) fn connection(port: u16) -> Result<redis::Connection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
    Ok(client.get_connection()?)
}

/// A port that nobody listens on now, and that is not handed out again before all others.
pub(super) fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs at the same time begin in different places.
    let begin = std::process::id().wrapping_mul(97) as u16;
    for _ in PORTS {
        let offset = begin.wrapping_add(NEXT.fetch_add(1, Relaxed));
        let port = PORTS.start + offset % (PORTS.end - PORTS.start);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("every port of {PORTS:?} is taken")
}

fn log_in(directory: &Path) -> std::path::PathBuf {
    directory.join("redis.log")
}
