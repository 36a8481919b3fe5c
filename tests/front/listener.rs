//! Takes connections, and knows the clients that are connected now.

use super::session::Session;
use super::transaction::Grammar;
use keyway::{Cluster, Config};
use parking_lot::Mutex;
use redis::InfoDict;
use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What the front is started with.
pub(crate) struct Settings {
    /// The cluster file. Its `protocol` is not used: each client chooses its own.
    pub(crate) cluster: String,
    /// Where that file is, for relative paths in it.
    pub(crate) path: PathBuf,
    /// `host:port`; port 0 takes a free one.
    pub(crate) listen: String,
}

/// A front that listens. It ends, and cuts its clients off, when it is dropped.
pub(crate) struct Front {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// What all sessions share.
pub(crate) struct House {
    /// The same cluster twice, as the protocol decides what replies look like.
    pub(crate) resp2: Cluster,
    pub(crate) resp3: Cluster,
    /// The version of the first server.
    pub(crate) version: String,
    /// What AUTH must say; empty: nothing. Set by CONFIG SET requirepass.
    pub(crate) password: Mutex<Vec<u8>>,
    pub(crate) grammar: Grammar,
    clients: Mutex<BTreeMap<u64, Arc<Client>>>,
    next_id: AtomicU64,
}

/// One connected client, as the others see it.
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) address: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) since: Instant,
    pub(crate) name: Mutex<Vec<u8>>,
    /// CLIENT KILL.
    pub(crate) killed: Notify,
    /// CLIENT UNBLOCK: whether the blocked command is to end with an error.
    pub(crate) unblocked: Notify,
    pub(crate) unblocked_by_error: Mutex<bool>,
    /// Whether it waits in a blocking command.
    pub(crate) blocked: Mutex<bool>,
    /// Its channels and its patterns.
    pub(crate) subscriptions: Mutex<(usize, usize)>,
    /// Its last command, in lower case.
    pub(crate) command: Mutex<String>,
}

impl Front {
    /// Connects to the cluster, and then listens.
    pub(crate) async fn start(settings: Settings) -> Result<Front, Box<dyn Error>> {
        let resp2 = connect(&settings, "resp2").await?;
        let resp3 = connect(&settings, "resp3").await?;
        let first = first_server(&resp2)?;
        let mut info_command = redis::cmd("INFO");
        info_command.arg("server");
        let info: InfoDict = first.query(&info_command).await?;
        let house = Arc::new(House {
            version: info.get("redis_version").unwrap_or_default(),
            grammar: Grammar::of(&first.query(&redis::cmd("COMMAND")).await?),
            resp2,
            resp3,
            password: Mutex::default(),
            clients: Mutex::default(),
            next_id: AtomicU64::new(1),
        });
        let listener = TcpListener::bind(&settings.listen).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, house));
        Ok(Front { address, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl House {
    /// Everybody who is connected, by id.
    pub(crate) fn clients(&self) -> Vec<Arc<Client>> {
        self.clients.lock().values().cloned().collect()
    }

    pub(crate) fn client(&self, id: u64) -> Option<Arc<Client>> {
        self.clients.lock().get(&id).cloned()
    }

    /// Cuts a client off. It is gone at once, for whoever asks.
    pub(crate) fn kill(&self, client: &Client) {
        self.clients.lock().remove(&client.id);
        client.killed.notify_one();
    }

    fn arrive(&self, stream: &TcpStream) -> std::io::Result<Arc<Client>> {
        let client = Arc::new(Client {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            address: stream.peer_addr()?,
            local: stream.local_addr()?,
            since: Instant::now(),
            name: Mutex::default(),
            killed: Notify::new(),
            unblocked: Notify::new(),
            unblocked_by_error: Mutex::default(),
            blocked: Mutex::default(),
            subscriptions: Mutex::default(),
            command: Mutex::default(),
        });
        self.clients.lock().insert(client.id, client.clone());
        Ok(client)
    }
}

/// The server that is asked where one answer has to do for all.
pub(crate) fn first_server(cluster: &Cluster) -> Result<keyway::Routed, keyway::Error> {
    let name = cluster.servers().names().into_iter().next();
    cluster.on_server(&name.unwrap_or_default())
}

async fn connect(settings: &Settings, protocol: &str) -> Result<Cluster, Box<dyn Error>> {
    let mut file: toml::Table = settings.cluster.parse()?;
    file.insert("protocol".into(), protocol.into());
    let environment = |name: &str| std::env::var(name).ok();
    let config = Config::parse(&toml::to_string(&file)?, &settings.path, &environment)?;
    Ok(Cluster::connect_config(config).await?)
}

async fn accept(listener: TcpListener, house: Arc<House>) {
    // Owned by this task, so that its end is the end of all sessions.
    let mut sessions = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let house = house.clone();
                sessions.spawn(async move {
                    // A client that is gone by now needs no session.
                    let Ok(client) = house.arrive(&stream) else { return };
                    let _ = stream.set_nodelay(true);
                    Session::new(house.clone(), client.clone()).serve(stream).await;
                    house.clients.lock().remove(&client.id);
                });
            }
            Some(_) = sessions.join_next() => {}
        }
    }
}
