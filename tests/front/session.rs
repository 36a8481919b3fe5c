//! One client: its requests are carried out one after the other, and its replies come in their
//! order.

use super::listener::{Client, House, first_server};
use super::own::{Asked, Way};
use super::pubsub::Subscriptions;
use super::read::{Request, read_request};
use super::transaction::Transaction;
use super::write::{Protocol, Reply, bulk, write_value};
use keyway::{Cluster, NodeId, Routed};
use redis::{Cmd, FromRedisValue, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};

pub(crate) struct Session {
    pub(super) house: Arc<House>,
    pub(super) client: Arc<Client>,
    pub(super) protocol: Protocol,
    pub(super) is_authenticated: bool,
    pub(super) transaction: Transaction,
    pub(super) subscriptions: Subscriptions,
    /// Set when the client has sent its last byte.
    gone: Arc<Notify>,
    /// Nothing more is answered.
    pub(super) has_ended: bool,
}

/// How many requests wait while an earlier one is carried out.
const REQUESTS_MAX: usize = 1024;
/// Replies are written when this many bytes are there, or when no request waits.
const WRITE_BYTES: usize = 256 * 1024;

impl Session {
    pub(crate) fn new(house: Arc<House>, client: Arc<Client>) -> Session {
        let is_authenticated = house.password.lock().is_empty();
        Session {
            is_authenticated,
            house,
            client,
            protocol: Protocol::Resp2,
            transaction: Transaction::default(),
            subscriptions: Subscriptions::default(),
            gone: Arc::default(),
            has_ended: false,
        }
    }

    /// Until the client leaves or is cut off.
    pub(crate) async fn serve(mut self, stream: TcpStream) {
        let (from, to) = stream.into_split();
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let gone = self.gone.clone();
        let read = async {
            read_all(from, sender).await;
            gone.notify_one();
            // What has been read is still answered.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = read => {}
            () = self.answer_all(requests, to) => {}
        }
    }

    async fn answer_all(&mut self, mut requests: mpsc::Receiver<Request>, mut to: OwnedWriteHalf) {
        let client = self.client.clone();
        let mut out = Vec::new();
        loop {
            if (requests.is_empty() || out.len() >= WRITE_BYTES || self.has_ended)
                && !out.is_empty()
            {
                if to.write_all(&out).await.is_err() {
                    return;
                }
                out.clear();
            }
            if self.has_ended {
                return;
            }
            tokio::select! {
                biased;
                () = client.killed.notified() => return,
                request = requests.recv() => match request {
                    None => self.has_ended = true,
                    Some(Ok(args)) => {
                        self.answer(&args).await.write(&mut out, self.protocol);
                        *client.subscriptions.lock() = self.subscriptions.counts();
                    }
                    Some(Err(why)) => {
                        Reply::Error(why).write(&mut out, self.protocol);
                        self.has_ended = true;
                    }
                },
                message = self.subscriptions.next() => match message {
                    Some(message) => write_value(&mut out, &message, self.protocol),
                    None => return,
                },
            }
        }
    }

    async fn answer(&mut self, args: &[Vec<u8>]) -> Reply {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let asked = Asked::new(&args, self.is_one_node());
        *self.client.command.lock() = String::from_utf8_lossy(args[0]).to_lowercase();
        let way = asked.way();
        if !self.is_authenticated && !matches!(way, Way::Auth | Way::Hello | Way::Quit | Way::Reset)
        {
            return Reply::error("NOAUTH Authentication required.");
        }
        if self.protocol == Protocol::Resp2
            && self.subscriptions.is_some()
            && !is_for_subscribers(way)
        {
            let name = self.client.command.lock().clone();
            return Reply::error(format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
            ));
        }
        if self.transaction.is_open()
            && !matches!(
                way,
                Way::Multi | Way::Exec | Way::Discard | Way::Watch | Way::Quit | Way::Reset
            )
        {
            return self.transaction.queue(&self.house.grammar, &asked);
        }
        match way {
            Way::Cluster => self.send(&asked).await,
            Way::Ping => self.ping(&args),
            Way::Hello => self.hello(&args),
            Way::Auth => self.auth(&args),
            Way::Select => Session::select(&args),
            Way::Quit => self.quit(),
            Way::Reset => self.reset(),
            Way::Password => self.set_password(&args),
            Way::Client => self.client(&args),
            Way::Multi => self.transaction.begin(),
            Way::Exec => {
                let cluster = self.cluster().clone();
                self.transaction.exec(cluster).await
            }
            Way::Discard => self.transaction.discard(),
            Way::Watch => {
                let cluster = self.cluster().clone();
                self.transaction.watch(&cluster, &args).await
            }
            Way::Unwatch => self.transaction.unwatch(),
            Way::Subscribe | Way::PatternSubscribe => {
                let cluster = self.cluster().clone();
                let is_pattern = way == Way::PatternSubscribe;
                self.subscriptions.add(&cluster, is_pattern, &args).await
            }
            Way::Unsubscribe | Way::PatternUnsubscribe => {
                let is_pattern = way == Way::PatternUnsubscribe;
                self.subscriptions.remove(is_pattern, &args).await
            }
            Way::ReceiverCounts => self.receiver_counts(&args).await,
            Way::FirstServer => match first_server(self.cluster()) {
                Ok(server) => Reply::of(server.query(&command(&args)).await),
                Err(error) => Reply::of(Err(error)),
            },
            Way::EveryServer => self.every_server(&args).await,
            Way::HomeServer => self.home_server(&asked).await,
            Way::SomeNode => {
                let key = match asked.row {
                    Some(_) => asked.first_key(),
                    None => args.get(1).copied(),
                };
                match some_node(self.cluster(), key) {
                    Ok(node) => Reply::of(node.query(&command(&args)).await),
                    Err(error) => Reply::of(Err(error)),
                }
            }
        }
    }

    /// The cluster in the client's protocol.
    pub(super) fn cluster(&self) -> &Cluster {
        match self.protocol {
            Protocol::Resp2 => &self.house.resp2,
            Protocol::Resp3 => &self.house.resp3,
        }
    }

    /// By the cluster, as it came. What blocks ends when the client leaves, as a server lets go of
    /// it too.
    async fn send(&mut self, asked: &Asked<'_>) -> Reply {
        let cmd = command(asked.args);
        let blocks = asked.row.and_then(|row| row.blocks(asked.args).ok());
        if blocks.flatten().is_none() {
            return Reply::of(self.cluster().query(&cmd).await);
        }
        let (client, gone) = (self.client.clone(), self.gone.clone());
        *client.blocked.lock() = true;
        let reply = tokio::select! {
            reply = self.cluster().query(&cmd) => match reply {
                Ok(Value::Nil) => Reply::NilArray,
                reply => Reply::of(reply),
            },
            () = client.unblocked.notified() => match *client.unblocked_by_error.lock() {
                true => Reply::error("UNBLOCKED client unblocked via CLIENT UNBLOCK"),
                false => Reply::NilArray,
            },
            () = client.killed.notified() => self.end(),
            () = gone.notified() => self.end(),
        };
        *client.blocked.lock() = false;
        reply
    }

    fn end(&mut self) -> Reply {
        self.has_ended = true;
        Reply::Nothing
    }

    async fn every_server(&self, args: &[&[u8]]) -> Reply {
        let replies = self.cluster().servers().each(&command(args)).await;
        let mut replies: Vec<_> = replies.into_iter().map(|answer| answer.reply).collect();
        let first_good = replies.iter().position(Result::is_ok);
        Reply::of(replies.swap_remove(first_good.unwrap_or(0)))
    }

    async fn home_server(&self, asked: &Asked<'_>) -> Reply {
        let key = asked.first_key().unwrap_or_default();
        match self.cluster().on_server(&self.cluster().locate(key).server) {
            Ok(server) => Reply::of(server.query(&command(asked.args)).await),
            Err(error) => Reply::of(Err(error)),
        }
    }

    /// A channel's subscribers are all on the server of its node, so the others say 0.
    async fn receiver_counts(&self, args: &[&[u8]]) -> Reply {
        let mut sums: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for answer in self.cluster().servers().each(&command(args)).await {
            let counts: BTreeMap<Vec<u8>, i64> = match answer.reply.map(from_pairs) {
                Ok(counts) => counts,
                Err(error) => return Reply::of(Err(error)),
            };
            for (channel, count) in counts {
                *sums.entry(channel).or_default() += count;
            }
        }
        let channels = args.get(2..).unwrap_or_default();
        let count_of = |channel: &&[u8]| {
            [
                bulk(*channel),
                Value::Int(sums.get(*channel).copied().unwrap_or_default()),
            ]
        };
        Reply::Value(Value::Array(channels.iter().flat_map(count_of).collect()))
    }

    fn is_one_node(&self) -> bool {
        self.cluster().config().topology().node_count() == 1
    }
}

/// The node of this key, or any.
pub(super) fn some_node(cluster: &Cluster, key: Option<&[u8]>) -> Result<Routed, keyway::Error> {
    match key {
        Some(key) => Ok(cluster.for_key(key)),
        None => cluster.on_node(NodeId(0)),
    }
}

/// The command as keyway takes it.
pub(super) fn command(args: &[&[u8]]) -> Cmd {
    let mut cmd = Cmd::new();
    for arg in args {
        cmd.arg(*arg);
    }
    cmd
}

fn from_pairs(value: Value) -> BTreeMap<Vec<u8>, i64> {
    FromRedisValue::from_redis_value(value).unwrap_or_default()
}

fn is_for_subscribers(way: Way) -> bool {
    matches!(
        way,
        Way::Subscribe
            | Way::PatternSubscribe
            | Way::Unsubscribe
            | Way::PatternUnsubscribe
            | Way::Ping
            | Way::Quit
            | Way::Reset
    )
}

async fn read_all(from: OwnedReadHalf, requests: mpsc::Sender<Request>) {
    let mut from = BufReader::with_capacity(64 * 1024, from);
    while let Ok(Some(request)) = read_request(&mut from).await {
        if requests.send(request).await.is_err() {
            return;
        }
    }
}
