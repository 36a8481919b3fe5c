//! Real Redis servers for tests, and a proxy that injects faults.
//!
//! A [`RedisServer`] is a `redis-server` process in a temporary directory, on a free port of 127.0.0.1. A test can
//! kill it, restart it, stop it with its sockets open, and give it users, TLS or a replica. A [`FaultProxy`] is put
//! between a client and a server. It cuts connections, also at a given byte, delays bytes, or holds them back.
//!
//! Each test owns its servers, so tests run in parallel. A server is killed when it is dropped, also by a test that
//! panics. Nothing here is a mock, and no test is skipped: without a `redis-server` the test fails and says what to
//! install.
//!
//! The crate does not depend on keyway. It serves tests of any Redis client.
//!
//! # Example
//!
//! A reply is lost, and the command was executed all the same:
//!
//! ```
//! use keyway_testing::{FaultProxy, RedisServer};
//! use redis::AsyncCommands;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> redis::RedisResult<()> {
//! let server = RedisServer::start().await;
//! let proxy = FaultProxy::start(server.port()).await;
//!
//! let client = redis::Client::open(proxy.url())?;
//! let mut through_proxy = client.get_multiplexed_async_connection().await?;
//! let _: i64 = through_proxy.incr("counter", 1).await?;
//!
//! // The next byte of a reply cuts the connection.
//! proxy.cut_after_bytes_to_client(0);
//! let lost = through_proxy.incr::<_, _, i64>("counter", 1).await;
//! assert!(lost.is_err());
//!
//! // The server's own connection goes past the proxy.
//! let counter: i64 = server.connection().await.get("counter").await?;
//! assert_eq!(counter, 2);
//! # Ok(())
//! # }
//! ```
//!
//! # What it needs
//!
//! - Linux or macOS.
//! - A `redis-server` in the `PATH`, or the path of one in `KEYWAY_REDIS_SERVER`.
//! - A tokio runtime with its clock running. With a stopped clock (`start_paused`) the waits for a server would end
//!   at once.
//!
//! # What can go wrong
//!
//! A fixture that cannot do its work fails the test: it panics with the cause and with the server's log. Each function
//! says so under "Panics".
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a fixture that cannot go on fails the test, with the cause; `# Panics` says when"
)]

mod certificates;
mod fault_proxy;
mod redis_server;
mod seed;
mod sweep;
mod waiting;

pub use certificates::Certificates;
pub use fault_proxy::{Cut, FaultProxy};
pub use redis_server::{RedisServer, RedisServerBuilder};
pub use seed::{SEED_VARIABLE, seed, seed_or};
pub use sweep::{SWEEP_VARIABLE, swept};
pub use waiting::eventually;
