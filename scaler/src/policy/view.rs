//! What the policy sees, what it is bound by, and what it wants done. Values only: no clock, no I/O.

use serde::{Deserialize, Serialize};
use swell_ring::{NodeId, SlotMap, SlotSet};

/// What nodes are planned for, and how many there may be. Planning figures: only the cache's own maxima throttle anybody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    pub nodes_min: u32,
    pub nodes_max: u32,
    /// Bytes that one node is planned to hold.
    pub node_memory_bytes: u64,
    /// ECPUs per second that one node is planned to serve; 0: not a limit.
    pub node_ecpu_per_second: f64,
    /// Bytes in and out per second that one node is planned to serve; 0: not a limit.
    pub node_network_bytes_per_second: f64,
    /// Cores that one node may use (its CPU limit); a busy share of 1 is all of them.
    pub node_cores: f64,
}

impl Bounds {
    /// The same with at least one node, and a maximum that is not below the minimum.
    pub fn sane(self) -> Bounds {
        let nodes_min = self.nodes_min.max(1);
        Bounds { nodes_min, nodes_max: self.nodes_max.max(nodes_min), ..self }
    }
}

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// Asked for, and not there yet.
    Starting,
    Serving,
    /// Its slots are going elsewhere.
    Draining,
}

/// One node, as of now. Rates are over the time since the snapshot before.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeView {
    pub id: NodeId,
    pub state: NodeState,
    /// It is in the scaler's own process: it leaves last.
    pub is_embedded: bool,
    pub slots: u32,
    pub used_bytes: u64,
    /// CPU time over wall time over the node's cores: 1 is all it may have.
    pub busy_share: f64,
    /// The longest that its event loops were late, milliseconds: queueing that a busy share does not show.
    pub loop_delay_ms: f64,
    pub network_bytes_per_second: f64,
    /// What proxies charged for its replies.
    pub ecpu_per_second: f64,
    /// The heaviest slots: number and share (0 to 1) of the node's work, most first.
    pub heat: Vec<(u16, f64)>,
}

impl NodeView {
    /// One that was asked for and is not there yet.
    pub fn starting(id: NodeId) -> NodeView {
        NodeView {
            id,
            state: NodeState::Starting,
            is_embedded: false,
            slots: 0,
            used_bytes: 0,
            busy_share: 0.0,
            loop_delay_ms: 0.0,
            network_bytes_per_second: 0.0,
            ecpu_per_second: 0.0,
            heat: Vec::new(),
        }
    }
}

/// What the provider of machines still has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Free {
    pub cores: f64,
    pub memory_bytes: u64,
}

/// Everything at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    /// Milliseconds on a clock that never goes back.
    pub at_ms: u64,
    pub nodes: Vec<NodeView>,
    pub map: &'a SlotMap,
    /// Slots on their way.
    pub moving: SlotSet,
    pub free: Free,
}

/// What is to be done. Slots are moved before a node is let go; several actions of one step belong together.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start so many more nodes.
    AddNodes { count: u32 },
    /// Move these slots, from wherever they are, to this node.
    Move { slots: SlotSet, to: NodeId },
    /// Move everything off a node; then it ends.
    Remove { node: NodeId },
}

/// Something decided, with the numbers behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub action: Action,
    pub why: Why,
}

/// Why: which signal, of whom, how high, against what, and where it is forecast to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    pub signal: Signal,
    /// The node that it was seen at; none if it is about all of them together.
    pub node: Option<u32>,
    pub value: f64,
    /// The level that it was compared with.
    pub limit: f64,
    /// Where it is expected to be when new capacity could be ready.
    pub forecast: f64,
    /// One sentence for a person, with the numbers.
    pub text: String,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    Memory,
    Cpu,
    Delay,
    Network,
    Ecpu,
    /// Load is uneven: one node, or one slot, has too much of it.
    Heat,
    /// Fewer nodes would do.
    Idle,
    /// More or fewer nodes than the bounds allow, or slots that are not spread.
    Bounds,
}

/// A decision that could not be carried out, or was left out, and why; for an event, told once until it changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub why: Why,
    /// Out of cores, out of memory, at the maximum of nodes.
    pub reason: String,
}

impl Held {
    /// Whether the other one tells a person nothing new.
    pub fn is_like(&self, other: &Held) -> bool {
        (self.why.signal, self.why.node, &self.reason) == (other.why.signal, other.why.node, &other.reason)
    }
}
