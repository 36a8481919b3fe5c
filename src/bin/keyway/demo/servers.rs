//! Two real redis-servers in a directory of their own. Both are gone when this is dropped, however the demo ends.

use redis::AsyncConnectionConfig;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Below the ports that Linux and macOS give to outgoing connections, so that nobody gets a killed server's port before it is back, and
/// a dial of a dead port never meets itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const START_ATTEMPTS: usize = 20;
const START_DEADLINE: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(2);
const NODES: u16 = 64;

/// Fields drop in this order: the processes first, then their files.
#[derive(Debug)]
pub(crate) struct Servers {
    servers: Vec<RedisServer>,
    directory: TempDir,
}

#[derive(Debug)]
struct RedisServer {
    name: &'static str,
    port: u16,
    directory: PathBuf,
    process: Option<Child>,
}

/// What a server says about itself when it is ready.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) version: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ServersError {
    #[error(
        "cannot run {program}: {source}. The demo needs a Redis server, 7.0 or newer. Debian, Ubuntu: apt-get install redis-server; \
         Fedora: dnf install redis; macOS: brew install redis; or set KEYWAY_REDIS_SERVER to the path of the program"
    )]
    Program { program: String, source: io::Error },
    #[error("redis-server {name} did not start on port {port}: {why}")]
    Start {
        name: &'static str,
        port: u16,
        why: String,
    },
    #[error("the port of redis-server {name} is taken")]
    PortTaken { name: &'static str },
    #[error("no free port from {} to {}", PORTS.start, PORTS.end)]
    NoPort,
    #[error("cannot use a temporary directory: {0}")]
    Directory(#[from] io::Error),
}

impl Servers {
    /// Starts servers a and b; returns when both answer.
    pub(crate) async fn start() -> Result<(Servers, Ready), ServersError> {
        let directory = tempfile::Builder::new().prefix("keyway-demo-").tempdir()?;
        let mut started = Servers {
            servers: Vec::new(),
            directory,
        };
        let mut ready = None;
        for name in ["a", "b"] {
            ready = Some(started.start_one(name).await?);
        }
        match ready {
            Some(ready) => Ok((started, ready)),
            None => Err(ServersError::NoPort),
        }
    }

    async fn start_one(&mut self, name: &'static str) -> Result<Ready, ServersError> {
        let directory = self.directory.path().join(name);
        fs::create_dir(&directory)?;
        for _ in 0..START_ATTEMPTS {
            let mut server = RedisServer {
                name,
                port: free_port().ok_or(ServersError::NoPort)?,
                directory: directory.clone(),
                process: None,
            };
            match server.launch().await {
                // Somebody was faster; the next port.
                Err(ServersError::PortTaken { .. }) => {}
                Err(error) => return Err(error),
                Ok(ready) => {
                    self.servers.push(server);
                    return Ok(ready);
                }
            }
        }
        Err(ServersError::PortTaken { name })
    }

    /// The cluster file: half of the nodes on each server.
    pub(crate) fn cluster_toml(&self) -> String {
        let mut text = format!(
            "name = \"demo\"\n\
             [placement]                          # key -> node: for the life of the data\n\
             algorithm = \"ketama\"\n\
             nodes = {NODES}\n"
        );
        let each = NODES / self.servers.len() as u16;
        for (at, server) in (0..).zip(&self.servers) {
            let comment = match at {
                0 => "                          # node -> server: may change",
                _ => "",
            };
            text.push_str(&format!(
                "[servers.{}]{comment}\nurl = \"redis://127.0.0.1:{}\"\nnodes = \"{}-{}\"\n",
                server.name,
                server.port,
                at * each,
                (at + 1) * each - 1
            ));
        }
        text.push_str("[timeouts]\nresponse = \"5s\"\n");
        text
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) fn kill(&mut self, name: &str) {
        for server in &mut self.servers {
            if server.name == name {
                server.kill();
            }
        }
    }

    /// Starts a killed server on its port with its files; returns when it has loaded them.
    pub(crate) async fn restart(&mut self, name: &str) -> Result<(), ServersError> {
        for server in &mut self.servers {
            if server.name == name {
                server.launch().await?;
            }
        }
        Ok(())
    }

    /// Ends the servers and removes their files, as dropping does, but says what went wrong.
    pub(crate) fn stop(self) -> Result<(), ServersError> {
        drop(self.servers);
        Ok(self.directory.close()?)
    }
}

impl RedisServer {
    async fn launch(&mut self) -> Result<Ready, ServersError> {
        let log = File::create(self.directory.join("redis.log"))?;
        let program = program();
        let mut command = Command::new(&program);
        // Ctrl-C on the terminal is for us; we end the servers.
        #[cfg(unix)]
        command.process_group(0);
        let process = command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .arg("--dir")
            .arg(&self.directory)
            .args(["--save", ""])
            // Written before the reply is sent, so a SIGKILL loses nothing that was acknowledged. A sync to disk would only help against
            // power cuts. No rewrite: its child process would outlive a killed server.
            .args(["--appendonly", "yes", "--appendfsync", "no"])
            .args(["--auto-aof-rewrite-percentage", "0"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        self.process = Some(process.map_err(|source| ServersError::Program {
            program: program.to_string_lossy().into_owned(),
            source,
        })?);
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if let Some(ready) = self.ready().await {
                return Ok(ready);
            }
            let has_ended = match &mut self.process {
                Some(process) => process.try_wait()?.is_some(),
                None => true,
            };
            if has_ended || Instant::now() > deadline {
                self.kill();
                let log = fs::read_to_string(self.directory.join("redis.log")).unwrap_or_default();
                return Err(match has_ended && log.contains("Address already in use") {
                    true => ServersError::PortTaken { name: self.name },
                    false => ServersError::Start {
                        name: self.name,
                        port: self.port,
                        why: why_not_ready(has_ended, &log),
                    },
                });
            }
            sleep(POLL_EVERY).await;
        }
    }

    /// Whether our process, and not another on the same port, answers and has loaded its data.
    async fn ready(&self) -> Option<Ready> {
        let pid = self.process.as_ref()?.id().to_string();
        let patience = Some(Duration::from_secs(1));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(patience)
            .set_response_timeout(patience);
        let client = redis::Client::open(("127.0.0.1", self.port)).ok()?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .ok()?;
        let info: String = redis::cmd("INFO").query_async(&mut connection).await.ok()?;
        let is_ready = info_field(&info, "process_id") == Some(&pid)
            && info_field(&info, "loading") == Some("0");
        is_ready.then(|| Ready {
            version: info_field(&info, "redis_version").unwrap_or("?").to_owned(),
        })
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // An error means that it has ended already; wait() reaps it in either case.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A field of an INFO reply.
pub(crate) fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

fn program() -> OsString {
    std::env::var_os("KEYWAY_REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

fn free_port() -> Option<u16> {
    let count = PORTS.end - PORTS.start;
    let first = fastrand::u16(..count);
    (0..count)
        .map(|step| {
            PORTS.start + (u32::from(first) + u32::from(step)).rem_euclid(count.into()) as u16
        })
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

fn why_not_ready(has_ended: bool, log: &str) -> String {
    let what = match has_ended {
        true => "it ended".to_owned(),
        false => format!("no answer within {START_DEADLINE:?}"),
    };
    let last: Vec<&str> = log.lines().rev().take(5).collect();
    match last.is_empty() {
        true => what,
        false => format!(
            "{what}; its log ends with\n{}",
            last.into_iter().rev().collect::<Vec<_>>().join("\n")
        ),
    }
}
