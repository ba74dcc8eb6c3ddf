//! What a node's process does beside serving sessions: it joins the scaler, listens for links, follows the slot map and
//! the cache state, and does what hand-overs ask of it. All on one thread of its own, the control thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use swell_engine::gate::Gate;
use swell_ring::{NodeId, all_slots};
use tokio::sync::watch;

use crate::control::Welcome;
use crate::embedded::Node;
use crate::host::control_link::{Caller, JoinError};
use crate::host::executor::Executor;
use crate::host::wire::Wire;
use crate::host::workers::Workers;
use crate::link::socket::{Address, Listener};
use crate::view::View;

pub use executor::{LEAVE_WAIT, STATS_IDLE_TICK, STATS_TICK};
pub use incoming::SILENCE_WAIT;
pub use listen::HALF_OPEN_MAX;
pub use outgoing::{SPOOL_SMALL_BYTES, STREAMS_MAX};
pub use wire::{GREETING_WAIT, STALL_WAIT};

mod bucket;
mod control_link;
mod executor;
mod incoming;
mod listen;
mod outgoing;
mod pace;
mod wire;
mod workers;

/// How long a new node tries to reach its scaler.
pub const JOIN_WAIT: Duration = Duration::from_secs(10);
/// The number of the node inside `swell serve`.
pub const EMBEDDED: NodeId = NodeId(1);
/// A node gives out memcached uniques from its number times two to this power on: no two nodes give out the same.
const CAS_BITS: u32 = 44;

/// How a node's process takes part in a cluster.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Where the scaler listens for members.
    pub join: Address,
    /// The cluster's secret; empty: callers on this host only.
    pub secret: String,
    /// Where the link server listens, and what it is called. TCP port 0: any free one, which is then announced.
    pub advertise: Address,
    /// The failure domain; empty where nobody says.
    pub zone: String,
    /// Threads that serve sessions.
    pub workers: usize,
}

/// Why a node's process could not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("cannot listen for links at {0}: {1}")]
    Listen(Address, std::io::Error),
    #[error("cannot join the cluster: {0}")]
    Join(#[from] JoinError),
    #[error("cannot join the cluster: the scaler gave this node no number")]
    NoNumber,
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a node's process has nothing more to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The scaler has said so: its slots are elsewhere.
    Left,
    /// The scaler does not take this node back: its slots are with others.
    Refused(String),
    /// [`Host::stop`].
    Stopped,
}

/// A running control thread. Ends when dropped.
pub struct Host {
    node: Arc<Node>,
    view: Arc<View>,
    id: NodeId,
    address: Address,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<Option<Ended>>,
    thread: Option<JoinHandle<()>>,
}

/// What the control thread says when it is ready.
struct Ready {
    node: Arc<Node>,
    id: NodeId,
    address: Address,
}

/// What the control thread is given.
struct Task {
    config: HostConfig,
    /// The node that serves already, if it is not to be made.
    embedded: Option<Arc<Node>>,
    view: Arc<View>,
    stop: watch::Receiver<bool>,
    ended: watch::Sender<Option<Ended>>,
}

impl Host {
    /// Joins the scaler, makes the node, and serves. Returns when it has joined and listens.
    ///
    /// # Errors
    /// The address cannot be listened at; the scaler refuses or cannot be reached for [`JOIN_WAIT`].
    pub fn start(config: HostConfig) -> Result<Host, HostError> {
        Host::spawn(config, None, Arc::default())
    }

    /// The same for the node inside `swell serve`, which serves everything from the start as node [`EMBEDDED`] and goes
    /// on until a map says otherwise. Returns when it listens; it joins as soon as the scaler can be reached. Workers
    /// for links are started when the first proxy of another process comes.
    ///
    /// # Errors
    /// The address cannot be listened at.
    pub fn embedded(node: Arc<Node>, view: Arc<View>, config: HostConfig) -> Result<Host, HostError> {
        Host::spawn(config, Some(node), view)
    }

    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// What it has seen of slot map and cache state.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Its number.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Where its link server listens, with the port that was chosen.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Waits until there is nothing more to do, and says why.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        let why = ended.wait_for(Option::is_some).await;
        why.ok().and_then(|why| why.clone()).unwrap_or(Ended::Stopped)
    }

    /// Ends the control thread and the link workers.
    pub fn stop(mut self) {
        self.end();
    }

    fn spawn(config: HostConfig, embedded: Option<Arc<Node>>, view: Arc<View>) -> Result<Host, HostError> {
        let ((stop, stopping), (ending, ended)) = (watch::channel(false), watch::channel(None));
        let task = Task { config, embedded, view: view.clone(), stop: stopping, ended: ending };
        let (say, heard) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("control".to_owned()).spawn(move || task.run(&say))?;
        match heard.recv() {
            Ok(Ok(Ready { node, id, address })) => {
                Ok(Host { node, view, id, address, stop, ended, thread: Some(thread) })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(std::io::Error::other("the control thread has panicked").into()),
        }
    }

    fn end(&mut self) {
        // The thread may have ended by itself.
        let _ = self.stop.send(true);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the control thread had panicked");
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end();
    }
}

impl Task {
    fn run(self, say: &SyncSender<Result<Ready, HostError>>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(say.send(Err(error.into()))),
        };
        let ended = self.ended.clone();
        let why = tokio::task::LocalSet::new().block_on(&runtime, self.serve(say));
        ended.send_replace(Some(why));
    }

    async fn serve(mut self, say: &SyncSender<Result<Ready, HostError>>) -> Ended {
        let started = match self.begin().await {
            Ok(started) => started,
            Err(error) => {
                // Who started the thread waits for this.
                let _ = say.send(Err(error));
                return Ended::Stopped;
            }
        };
        let Started { listener, node, workers, caller, id, joined } = started;
        let address = caller.advertise.parse().unwrap_or_else(|_| listener.address());
        let _ = say.send(Ok(Ready { node: node.clone(), id, address }));
        let executor = Executor::new(node, self.view.clone(), id, self.embedded.is_some(), workers);
        tokio::select! {
            why = executor.run(listener, caller, joined) => why,
            _ = self.stop.wait_for(|stop| *stop) => Ended::Stopped,
        }
    }

    async fn begin(&mut self) -> Result<Started, HostError> {
        let HostConfig { join, secret, advertise, zone, .. } = self.config.clone();
        let listener = Listener::bind(&advertise).await.map_err(|error| HostError::Listen(advertise.clone(), error))?;
        let announced = announced(&advertise, &listener.address());
        let mut caller = Caller { scaler: join, secret, advertise: announced, zone, boot: boot(), id: None };
        if let Some(node) = self.embedded.clone() {
            caller.id = Some(EMBEDDED);
            let workers = self.workers(&node);
            return Ok(Started { listener, node, workers, caller, id: EMBEDDED, joined: None });
        }
        let (wire, welcome) = caller.join_within(JOIN_WAIT).await?;
        let id = welcome.id.ok_or(HostError::NoNumber)?;
        caller.id = Some(id);
        let node = new_node(&welcome, id);
        let mut workers = self.workers(&node);
        workers.start()?;
        Ok(Started { listener, node, workers, caller, id, joined: Some((wire, welcome)) })
    }

    fn workers(&self, node: &Arc<Node>) -> Workers {
        Workers::new(self.config.workers, node.clone(), self.view.clone())
    }
}

/// What the executor begins with.
struct Started {
    listener: Listener,
    node: Arc<Node>,
    workers: Workers,
    caller: Caller,
    id: NodeId,
    joined: Option<(Wire, Box<Welcome>)>,
}

/// A node that serves nothing until a map gives it slots.
fn new_node(welcome: &Welcome, id: NodeId) -> Arc<Node> {
    let node = Node::new(welcome.hash_seed);
    let engine = node.engine();
    engine.set_cas_base(u64::from(id.0) << CAS_BITS);
    all_slots().for_each(|slot| engine.stripe(swell_engine::stripe::stripe_of(slot)).set_gate(slot, Gate::Released));
    node
}

/// What is announced: as configured, but for a port that the system chose.
fn announced(configured: &Address, bound: &Address) -> String {
    let (Address::Tcp(text), Address::Tcp(bound)) = (configured, bound) else { return configured.to_string() };
    match (text.strip_suffix(":0"), bound.parse::<SocketAddr>()) {
        (Some(host), Ok(bound)) => format!("{host}:{}", bound.port()),
        _ => text.clone(),
    }
}

/// Differs from start to start.
fn boot() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("{:x}-{now:x}", std::process::id())
}
