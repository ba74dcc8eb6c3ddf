//! What `swell serve` runs beside its proxy: the scaler, the link of the embedded node, child processes that are nodes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use anyhow::Context;
use swell_engine::commands::table::tables;
use swell_engine::spec::{Spec, Spread};
use swell_node::Node;
use swell_node::control::ScalingMode;
use swell_node::host::{EMBEDDED, Host, HostConfig, HostError};
use swell_node::link::socket::Address;
use swell_node::view::View;
use swell_proxy::access::USERS;
use swell_proxy::route::NODES_MAX;
use swell_ring::{CacheState, Member};
use swell_scaler::policy::Tuning;
use swell_scaler::policy::view::Bounds;
use swell_scaler::scale::READY_MS;
use swell_scaler::{Charges, Limits, ProcessConfig, Scaler, ScalerConfig, ScalerError, ScalingConfig};

use crate::config::Config;
use crate::config::values::{FirstNode, LogFormat, LogLevel, OneOf, Reader, Scaling};
use crate::identity::Identity;
use crate::place::Place;
use crate::users;

/// How long all nodes may take to be there at the start.
pub const READY_MAX: Duration = Duration::from_secs(30);
/// Between two looks at whether somebody wants to leave meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a proxy is built on: the scaler that it asks, and the node that it can call as a function.
#[derive(Clone)]
pub struct Topology {
    /// Where the scaler listens. None: nobody can reach one, and the embedded node is all there is.
    pub control: Option<Address>,
    /// The cluster's secret; empty: none.
    pub secret: String,
    /// The node in this process, if there is one, and what it has seen of slot map and cache state.
    pub embedded: Option<Embedded>,
}

/// The node in this process.
#[derive(Clone)]
pub struct Embedded {
    pub node: Arc<Node>,
    pub view: Arc<View>,
}

/// The scaler and the nodes of this process.
pub struct Cluster {
    scaler: Scaler,
    host: Option<Host>,
    place: Place,
}

/// How long nodes that are processes of their own live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as this process.
    OfParent,
    /// They live on, and the next scaler with this data directory takes them over.
    TheirOwn,
}

/// Wakes a thread that waits.
struct Unpark(Thread);

/// Why scaler and nodes did not start. Each says all there is to say.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("cannot start the node's link: {0}")]
    Node(HostError),
    #[error("cannot start the scaler: {0}")]
    Scaler(ScalerError),
    #[error("cannot find this program's file to start nodes with: {0}")]
    Program(io::Error),
    #[error("cannot start: {0}")]
    NotReady(ScalerError),
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Embedded {
    /// A node with an empty engine, as configured.
    pub fn new(config: &Config, identity: &Identity) -> Embedded {
        let node = Node::new(identity.hash_seed);
        let settings = node.engine().settings();
        settings.set_maxmemory_total_bytes(config.maxmemory);
        settings.set_policy(config.maxmemory_policy);
        settings.set_spares_only_resp(config.is_default("maxmemory_policy"));
        settings.set_item_bytes_max(config.memcached_item_bytes_max);
        Embedded { node, view: Arc::default() }
    }
}

/// Whether the embedded node is all there will be: then clients need not wait for anything else.
pub fn is_alone(config: &Config) -> bool {
    config.first_node == FirstNode::Embedded && config.nodes_max == 1
}

/// The commands that are atomic over several keys: where there may be several nodes, they answer CROSSSLOT when their keys
/// lie in several slots, whoever owns those now.
pub fn atomic_commands() -> Vec<String> {
    let is_atomic = |spec: &&Spec| spec.spread == Spread::Gather;
    let mut names: Vec<String> = tables()
        .resp
        .iter()
        .map(|command| command.spec)
        .filter(is_atomic)
        .map(|spec| spec.name.to_uppercase())
        .collect();
    names.sort_unstable();
    names
}

impl ClusterError {
    /// Whether it is that an address could not be listened at.
    pub fn is_about_listening(&self) -> bool {
        matches!(self, ClusterError::Node(HostError::Listen(..)) | ClusterError::Scaler(ScalerError::Listen(..)))
    }
}

impl Cluster {
    /// Starts the scaler, the embedded node's link and the child processes; see [`Cluster::wait_ready`]. `place` is
    /// made; `charges` is where what other processes' proxies have charged goes.
    ///
    /// # Errors
    /// Somebody listens there already, the store is damaged, threads are refused; nodes of an earlier start that cannot be
    /// ended.
    pub fn start(
        config: &Config,
        identity: &Identity,
        place: Place,
        embedded: Option<&Embedded>,
        lifetime: Lifetime,
        charges: Charges,
    ) -> Result<Cluster, ClusterError> {
        let secret = config.token.get().unwrap_or("").to_owned();
        let host = embedded.map(|embedded| {
            let host = HostConfig {
                join: place.link.clone(),
                secret: secret.clone(),
                advertise: node_address(&place, &config.advertise),
                zone: config.zone.clone(),
                workers: config.node_workers,
            };
            Host::embedded(embedded.node.clone(), embedded.view.clone(), host).map_err(ClusterError::Node)
        });
        let host = host.transpose()?;
        let member =
            |host: &Host| Member { id: EMBEDDED, address: host.address().to_string(), zone: config.zone.clone() };
        let scaler = Scaler::start(ScalerConfig {
            listen: place.link.clone(),
            secret,
            data_dir: config.data_dir.clone(),
            hash_seed: identity.hash_seed,
            virtual_node: identity.node_id.clone(),
            state: state(config),
            embedded: host.as_ref().map(member),
            process: process(config, &place, lifetime)?,
            charges,
            scaling: scaling(config),
        })
        .map_err(ClusterError::Scaler)?;
        Ok(Cluster { scaler, host, place })
    }

    /// Where the scaler listens.
    pub fn link(&self) -> &Address {
        self.scaler.address()
    }

    /// Bytes of keys and values that all nodes together hold, as of their last reports.
    pub fn stored_bytes(&self) -> u64 {
        self.scaler.stored_bytes()
    }

    /// Waits until all nodes that were asked for serve, the embedded one by its first map. `leaves` is asked now and
    /// then; true ends the waiting.
    ///
    /// # Errors
    /// They do not after [`READY_MAX`], or the scaler has ended.
    pub fn wait_ready(&self, mut leaves: impl FnMut() -> bool) -> Result<(), ClusterError> {
        let until = Instant::now() + READY_MAX;
        let late = |missing| ScalerError::NotReady { after_ms: READY_MAX.as_millis(), missing };
        while let Err(error) = self.scaler.wait_ready(LOOK_EVERY) {
            match error {
                ScalerError::NotReady { missing, .. } if Instant::now() >= until => {
                    return Err(ClusterError::NotReady(late(missing)));
                }
                ScalerError::NotReady { .. } if leaves() => return Ok(()),
                ScalerError::NotReady { .. } => {}
                error => return Err(ClusterError::NotReady(error)),
            }
        }
        let Some(view) = self.host.as_ref().map(Host::view) else { return Ok(()) };
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            view.wait(&waker);
            if view.epoch() > 0 {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(ClusterError::NotReady(late("the embedded node has not joined".to_owned())));
            }
            thread::park_timeout(LOOK_EVERY);
            if leaves() {
                return Ok(());
            }
        }
    }

    /// Ends the embedded node's link, which would miss its scaler, then the scaler and those child processes that are not
    /// to outlive it.
    pub fn stop(self) {
        if let Some(host) = self.host {
            host.stop();
        }
        self.scaler.stop();
        self.place.leave();
    }
}

/// The cache state as configured, by the names that engines know.
fn state(config: &Config) -> CacheState {
    let spares = if config.is_default("maxmemory_policy") { "yes" } else { "no" };
    let entries = [
        ("maxmemory", config.maxmemory.to_string()),
        ("maxmemory-policy", config.maxmemory_policy.name().to_owned()),
        ("memcached-item-bytes-max", config.memcached_item_bytes_max.to_string()),
        (NODES_MAX, config.nodes_max.to_string()),
        ("spares-only-resp", spares.to_owned()),
    ];
    let users = users::entry(config).map(|users| (USERS.to_owned(), users));
    CacheState::default().changed(entries.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(users))
}

/// Where the link of a node of this process is: beside the scaler's, or at a free port of its host, or of `advertise` if
/// that is not empty. The scaler's child processes count from 1.
fn node_address(place: &Place, advertise: &str) -> Address {
    match &place.link {
        Address::Unix(_) => Address::Unix(place.folder.join(format!("node-{}-0.sock", std::process::id()))),
        Address::Tcp(_) if !advertise.is_empty() => Address::Tcp(match advertise.parse() {
            Ok(ip) => with_port(ip, 0),
            Err(_) => format!("{advertise}:0"),
        }),
        Address::Tcp(link) => {
            let host = link.rsplit_once(':').map_or(link.as_str(), |(host, _)| host);
            let is_any = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
            let address = if is_any { with_port(outward(), 0) } else { format!("{host}:0") };
            Address::Tcp(address)
        }
    }
}

/// The address of this machine that packets to elsewhere leave from. None are sent.
fn outward() -> IpAddr {
    // A documentation address: only the routing table is asked.
    local_towards(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9))).unwrap_or(Ipv4Addr::LOCALHOST.into())
}

/// The address of this machine that packets to `peer` leave from. None are sent.
fn local_towards(peer: SocketAddr) -> Option<IpAddr> {
    let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(peer).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Where a node that joins `scaler` is reached, where nobody says: a Unix socket beside the scaler's, or a free port of
/// the address that faces it. `unique` tells the sockets of one folder apart.
///
/// # Errors
/// The scaler's host has no address.
pub fn advertised_towards(scaler: &Address, unique: u64) -> anyhow::Result<Address> {
    match scaler {
        Address::Unix(path) => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            Ok(Address::Unix(folder.join(format!("node-{unique:016x}.sock"))))
        }
        Address::Tcp(text) => {
            let mut peers = text.to_socket_addrs().with_context(|| format!("cannot find {text}"))?;
            let ip = peers.find_map(local_towards).with_context(|| format!("there is no way to {text}"))?;
            Ok(Address::Tcp(with_port(ip, 0)))
        }
    }
}

fn with_port(ip: IpAddr, port: u16) -> String {
    SocketAddr::new(ip, port).to_string()
}

/// How many nodes there may be, and what each is planned for.
fn scaling(config: &Config) -> ScalingConfig {
    let mode = match config.scaling {
        Scaling::On => ScalingMode::On,
        Scaling::Off => ScalingMode::Off,
        Scaling::DryRun => ScalingMode::DryRun,
    };
    let bounds = Bounds {
        nodes_min: config.nodes_min as u32,
        nodes_max: config.nodes_max as u32,
        node_memory_bytes: config.node_memory,
        node_ecpu_per_second: config.node_ecpu_per_second as f64,
        node_network_bytes_per_second: config.node_network_bytes_per_second as f64,
        node_cores: node_cores(config),
    };
    ScalingConfig { mode, bounds, tuning: Tuning::for_ready_ms(READY_MS) }
}

/// Cores that a node which is a process of its own can keep busy.
fn node_cores(config: &Config) -> f64 {
    if config.node_cpus > 0.0 { config.node_cpus } else { config.node_workers as f64 }
}

/// The nodes that are processes of their own.
fn process(config: &Config, place: &Place, lifetime: Lifetime) -> Result<Option<ProcessConfig>, ClusterError> {
    let count = match config.first_node {
        FirstNode::Embedded => config.nodes_min - 1,
        FirstNode::Process => config.nodes_min,
    };
    if config.nodes_max == 1 && count == 0 {
        return Ok(None);
    }
    let mut extra_args = vec![
        ("--workers", config.node_workers.to_string()),
        ("--log-format", OneOf(LogFormat::NAMES).show(&config.log_format)),
        ("--log-level", OneOf(LogLevel::NAMES).show(&config.log_level)),
    ];
    if !config.zone.is_empty() {
        extra_args.push(("--zone", config.zone.clone()));
    }
    Ok(Some(ProcessConfig {
        binary: std::env::current_exe().map_err(ClusterError::Program)?,
        count,
        run_dir: place.folder.clone(),
        advertise: (!place.link.is_local()).then(|| node_address(place, &config.advertise).to_string()),
        extra_args: extra_args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect(),
        node_cores: node_cores(config),
        node_memory_bytes: config.node_memory,
        limits: Limits {
            cores: Some(config.node_cpus).filter(|cores| *cores > 0.0),
            memory_bytes: Some(config.node_memory_max).filter(|bytes| *bytes > 0),
        },
        pin: config.pin,
        outlives: lifetime == Lifetime::TheirOwn,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Runtime;
    use crate::testing::config;

    fn place(link: &str) -> Place {
        let config = config(&[("link", link), ("token", "t"), ("data_dir", "/d")]);
        Place::to_find(&config, &Runtime { bases: Vec::new(), uid: 7 })
    }

    #[test]
    fn the_embedded_nodes_link_is_beside_the_scalers() {
        let pid = std::process::id();
        let address = |link, advertise| node_address(&place(link), advertise).to_string();
        assert_eq!(address("unix:/run/x.sock", ""), format!("unix:/run/node-{pid}-0.sock"));
        assert_eq!(address("10.1.2.3:7000", ""), "10.1.2.3:0");
        assert_eq!(address("[::1]:7000", ""), "[::1]:0");
        assert_eq!(address("0.0.0.0:7000", "cache-1.team"), "cache-1.team:0");
        assert_eq!(address("0.0.0.0:7000", "fd00::5"), "[fd00::5]:0");
        let any = address("0.0.0.0:7000", "");
        assert!(any.ends_with(":0") && !any.starts_with("0.0.0.0"), "{any}");
    }

    #[test]
    fn a_node_is_reached_where_it_reaches_the_scaler() {
        let advertised = |scaler: &str| {
            let scaler = scaler.parse().expect("it is an address");
            advertised_towards(&scaler, 0xab).map(|address| address.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(advertised("unix:/run/x.sock").as_deref(), Ok("unix:/run/node-00000000000000ab.sock"));
        assert_eq!(advertised("127.0.0.1:7000").as_deref(), Ok("127.0.0.1:0"));
        assert_eq!(advertised("no such host:1"), Err("cannot find no such host:1".to_owned()));
    }

    #[test]
    fn children_are_what_is_not_embedded() {
        let count = |flags: &[(&'static str, &str)]| {
            process(&config(flags), &place("unix:/run/x.sock"), Lifetime::OfParent)
                .expect("the program has a file")
                .map(|process| process.count)
        };
        assert_eq!(count(&[]), None);
        assert_eq!(count(&[("nodes_min", "3")]), Some(2));
        assert_eq!(count(&[("nodes_min", "3"), ("first_node", "process")]), Some(3));
        assert_eq!(count(&[("first_node", "process")]), Some(1));
        assert_eq!(count(&[("nodes_max", "4")]), Some(0), "more may be wanted later");
        let zoned = config(&[("first_node", "process"), ("zone", "a"), ("node_workers", "5"), ("token", "geheim")]);
        let beside =
            |link| process(&zoned, &place(link), Lifetime::TheirOwn).expect("it has a file").expect("one child");
        let local = beside("unix:/run/x.sock");
        assert_eq!((local.run_dir.as_path(), local.advertise), (Path::new("/run"), None));
        assert_eq!(beside("10.1.2.3:7000").advertise.as_deref(), Some("10.1.2.3:0"));
        let args = local.extra_args.join(" ");
        assert_eq!(args, "--workers 5 --log-format auto --log-level info --zone a");
        assert_eq!((local.outlives, local.limits, local.node_cores), (true, Limits::default(), 5.0));
        let held = config(&[("first_node", "process"), ("node_cpus", "0.1"), ("pin", "off")]);
        let held = process(&held, &place("unix:/run/x.sock"), Lifetime::OfParent).expect("it has a file").expect("one");
        assert_eq!((held.outlives, held.pin, held.node_cores), (false, false, 0.1));
        assert_eq!(held.limits, Limits { cores: Some(0.1), memory_bytes: None });
        assert_eq!(held.extra_args[..2], ["--workers", "1"]);
        assert!(is_alone(&config(&[])) && !is_alone(&zoned) && !is_alone(&config(&[("nodes_min", "2")])));
    }
}
