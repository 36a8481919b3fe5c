//! Data spread over many plain Redis servers, behind one handle.
//!
//! A [placement](placement::Placement) maps every key to one of a fixed number of **nodes** by consistent hashing; a
//! [topology](topology::Topology) says on which **server** each node lives now. [`Cluster`] is made from a [`Config`], which is a TOML file
//! or built in code, and is a [`redis::aio::ConnectionLike`]: `redis::AsyncCommands`, `redis::pipe()`, `redis::Script` and every crate that
//! takes such a connection work on it.
//!
//! ```no_run
//! use keyway::Cluster;
//! use redis::AsyncCommands;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::connect("cluster.toml").await?;
//! let mut redis = cluster.clone();
//! let _: () = redis.set("user:42:name", "ada").await?;
//! let names: Vec<Option<String>> = redis.mget(&["user:42:name", "user:7:name"]).await?; // one round trip per server
//! # Ok(()) }
//! ```
//!
//! What decides where a key goes is pure, and can be asked without a server:
//!
//! ```
//! use keyway::Config;
//!
//! let file = r#"
//!     name = "feeds"
//!     [placement]
//!     algorithm = "ketama"
//!     nodes = 64
//!     [servers.a]
//!     url = "redis://10.0.0.1:6379"
//!     nodes = "0-31"
//!     [servers.b]
//!     url = "redis://10.0.0.2:6379"
//!     nodes = "32-63"
//! "#;
//! let config = Config::parse(file, "cluster.toml".as_ref(), &|_| None)?;
//! let node = config.placement().node(b"{user:42}:name");
//! assert_eq!(node, config.placement().node(b"{user:42}:mail"), "one hash tag, one node");
//! let server = config.topology().server_of(node);
//! assert_eq!(&**config.topology().server_name(server), if node.0 < 32 { "a" } else { "b" });
//! # Ok::<(), keyway::config::ConfigError>(())
//! ```
//!
//! **Semantics depend on nodes, which are fixed, never on servers, which change.** A command whose keys are on several nodes is split (MGET,
//! MSET, DEL, UNLINK, EXISTS, TOUCH), computed exactly from several replies (SINTER, ZUNION and their kin), or refused with
//! [`ErrorKind::CrossNode`]; what happens to each command is in its [row](command::Row). Keys with the same hash tag, `{user:42}:a` and
//! `{user:42}:b`, share a node.
//!
//! | to | use |
//! |---|---|
//! | send commands | `redis::AsyncCommands` on a clone, or [`Cluster::query`] for this crate's own [`Error`] |
//! | send many at once | `redis::pipe()`, or [`Cluster::batch`] with a typed result for each |
//! | WATCH, MULTI by hand, WAIT | [`Cluster::dedicated`] |
//! | combine sets on any nodes | [`Cluster::sets`]: typed, limited, streamed, explained |
//! | subscribe | [`Cluster::pubsub`] |
//! | deliver posts to followers, page through timelines | [`Timeline`], [`Hybrid`], [`PublicTimeline`] |
//! | send scripts without keys, or unknown commands | [`Cluster::for_key`], [`Cluster::on_node`] |
//! | administer | [`Cluster::on_server`], [`Cluster::servers`] |
//! | know where a key lives, what is up, what was slow | [`Cluster::locate`], [`Cluster::health`], [`Cluster::stats`] |
//! | give nodes another server | [`Cluster::reload`] |
//! | know which nodes should move, in which order | [`plan::Plan`] |
//! | see what a change of servers costs before anything moves | [`mod@simulation`] |
//! | know how even a live cluster is | [`mod@survey`] |
//!
//! # What can be watched
//!
//! [`Cluster::stats`] is plain data: counters and latency histograms per server and command. Beside it there are [`tracing`] spans and
//! events, whose names are part of the API; none carries a key, a value or a password. While nobody listens they cost a branch each.
//!
//! | target | name | level | fields |
//! |---|---|---|---|
//! | `keyway::call` | spans `keyway.call`, `keyway.dedicated` | trace | `command` |
//! | `keyway::call` | spans `keyway.pipeline`, `keyway.batch` | trace | `commands` |
//! | `keyway::scatter` | event `retry` | debug | `command`, `attempt` |
//! | `keyway::connection` | events `connected`, `dial failed`, `disconnected` | info, warn, warn | `server`, `address`, `error`, `cause` |
//! | `keyway::connection` | event of replies that went to the wrong callers | error | `server`, `commands` |
//! | `keyway::pubsub` | event `subscriber disconnected` | warn | `server`, `why` |
//! | `keyway::control` | event `topology switched` | info | `generation`, `moved`, `connected`, `dropped` |
//!
//! Errors are asked, not matched: [`Error::kind`] says whether the command may have been executed, [`Error::is_retryable`] whether it may be
//! repeated without a risk. Every setting is in [`config::REFERENCE`].
//!
//! Features: `tls` (default) for `rediss://`, by rustls; `import`, to read configurations of other programs; `plots`, for reports of simulations
//! as SVG and HTML; `cli` for the command line, which has both, and which a library does not need.
#![forbid(unsafe_code)]

pub mod check;
mod cluster;
pub mod command;
pub mod config;
mod connection;
mod control;
mod deadline;
mod error;
mod gather;
pub mod hash;
#[cfg(feature = "import")]
pub mod import;
pub mod inspect;
pub mod placement;
pub mod plan;
mod planted;
mod pool;
mod pubsub;
mod reply_code;
mod resp;
mod routing;
mod sampling;
mod scatter;
pub mod sets;
pub mod simulation;
pub mod stats;
pub mod survey;
pub mod timeline;
pub mod topology;

/// What the fuzz targets reach. Not part of the API.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    /// Panics if the decoder and redis-rs's parser disagree; the first bytes say how the rest is cut into pieces.
    pub fn decode(data: &[u8]) {
        crate::resp::differential::check_cut_by_input(data);
    }
}

#[cfg(keyway_instructions)]
#[doc(hidden)]
pub mod instructions;

pub use cluster::{
    Batch, BatchReply, Cluster, Dedicated, Health, Location, Message, PubSub, PubSubEvent,
    Reloaded, Replies, Routed, ServerHealth, ServerReply, Servers, Subscription,
};
pub use config::Config;
pub use error::{Error, ErrorKind, Partial, PartialKeys, PartialServers};
pub use placement::NodeId;
pub use timeline::{Cursor, Hybrid, PublicTimeline, Timeline};

/// The code of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
