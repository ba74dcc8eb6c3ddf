//! The proxy's options: what is fixed at start, and what CONFIG SET may change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use swell_meter::Tariff;
use swell_node::view::View;
use swell_ring::NodeId;

use crate::access::AclFile;
use crate::membership::Control;
use crate::push::OutputLimits;

/// What the proxy is started with.
#[derive(Clone)]
pub struct ProxyConfig {
    /// Worker threads.
    pub workers: usize,
    /// Most clients at once.
    pub maxclients: usize,
    /// Most bytes of unfinished requests of one client (`client-query-buffer-limit`).
    pub query_buffer_bytes_max: u64,
    /// A client with more unsent reply bytes than this is not read.
    pub output_buffer_bytes_max: u64,
    /// Seconds after which an idle client is closed; 0: never.
    pub timeout_seconds: u64,
    /// The default user's password; none: only local clients are let in.
    pub requirepass: Option<String>,
    /// The users to begin with, instead of that.
    pub acl_file: Option<AclFile>,
    /// Whether requests are metered.
    pub metering: bool,
    /// The byte that ends a key's prefix on bills; none: prefixes are not counted.
    pub prefix_separator: Option<u8>,
    /// What they cost.
    pub tariff: Tariff,
    /// 40 hexadecimal digits: the one virtual node's name in CLUSTER replies.
    pub node_id: String,
    /// The product's version, for INFO and HELLO.
    pub version: &'static str,
    /// Where the scaler is; nothing: the node inside this process is all there is.
    pub control: Option<Control>,
    /// The number of the node inside this process, if there is one.
    pub local: Option<NodeId>,
    /// What that node has seen.
    pub view: Arc<View>,
}

/// Options that may change while running.
pub struct Settings {
    pub maxclients: AtomicUsize,
    pub query_buffer_bytes_max: AtomicU64,
    pub output_buffer_bytes_max: AtomicU64,
    pub timeout_seconds: AtomicU64,
    /// When clients that do not take what they are sent are closed.
    pub output_limits: OutputLimits,
}

impl Settings {
    /// The settings as started.
    pub fn new(config: &ProxyConfig) -> Settings {
        Settings {
            maxclients: AtomicUsize::new(config.maxclients),
            query_buffer_bytes_max: AtomicU64::new(config.query_buffer_bytes_max),
            output_buffer_bytes_max: AtomicU64::new(config.output_buffer_bytes_max),
            timeout_seconds: AtomicU64::new(config.timeout_seconds),
            output_limits: OutputLimits::default(),
        }
    }

    /// Most bytes of unfinished requests of one client.
    pub fn query_buffer_bytes_max(&self) -> u64 {
        self.query_buffer_bytes_max.load(Relaxed)
    }

    /// A client with more unsent reply bytes than this is not read.
    pub fn output_buffer_bytes_max(&self) -> u64 {
        self.output_buffer_bytes_max.load(Relaxed)
    }
}
