//! twemproxy in front of the plain servers, if it is installed.

use super::process::free_port;
use anyhow::{Context, Result, bail};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

/// Killed when dropped.
pub(super) struct Proxy {
    pub(super) port: u16,
    process: Child,
    _directory: TempDir,
}

impl Proxy {
    /// None where there is no nutcracker.
    pub(super) fn start(servers: &[u16]) -> Result<Option<Proxy>> {
        let (port, statistics_port) = (free_port()?, free_port()?);
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("nutcracker.yml");
        let mut text = format!(
            "bench:\n  listen: 127.0.0.1:{port}\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  servers:\n"
        );
        for (at, server) in servers.iter().enumerate() {
            text += &format!("   - 127.0.0.1:{server}:1 s{at}\n");
        }
        std::fs::write(&file, text)?;
        let process = Command::new("nutcracker")
            .arg("-c")
            .arg(&file)
            .args(["-a", "127.0.0.1", "-s", &statistics_port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .arg("-p")
            .arg(directory.path().join("nutcracker.pid"))
            .arg("-o")
            .arg(directory.path().join("nutcracker.log"))
            .spawn();
        let process = match process {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.context("cannot run nutcracker")?,
        };
        let proxy = Proxy {
            port,
            process,
            _directory: directory,
        };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if started.elapsed() > PATIENCE {
                bail!("nutcracker does not listen on port {port}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Some(proxy))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
