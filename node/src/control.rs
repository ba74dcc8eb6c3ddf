//! What members (nodes, proxies) and people's commands say to the scaler, and it to them, over control links: JSON.

use serde::{Deserialize, Serialize};
use swell_ring::{CacheState, Epoch, NodeId, SlotMap, SlotSet};

use crate::handover::message::{FromSource, FromTarget, ToSource, ToTarget};

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Node,
    Proxy,
    /// A person's command: it asks, and follows.
    Person,
}

/// From a member to the scaler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromMember {
    /// The first message.
    Join(Join),
    /// It has taken over this map and this state.
    Seen {
        epoch: Epoch,
        state: u64,
    },
    Source(FromSource),
    Target(FromTarget),
    /// Several times a second, from nodes.
    Stats(Box<NodeStats>),
    /// From proxies: what they have charged, for the ledger. Said again until it is acknowledged.
    Account(Box<Account>),
    /// Several times a second while it changes, from proxies: thousandths of ECPUs that they have charged for each node's
    /// replies since they said so last.
    Charged {
        ecpu_milli: Vec<(NodeId, u64)>,
    },
    /// A question; `id` comes back with the answer.
    Ask {
        id: u64,
        ask: Ask,
    },
    /// From proxies: the answer to `ToMember::Question` of this number.
    Told {
        id: u64,
        told: serde_json::Value,
    },
    /// From proxies: commands of their clients, as MONITOR shows them, for other proxies' clients.
    Shown {
        lines: Vec<String>,
    },
}

/// Who joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    pub role: Role,
    /// Where others reach its link server (nodes).
    #[serde(default)]
    pub advertise: String,
    #[serde(default)]
    pub zone: String,
    pub pid: u32,
    /// Differs from start to start.
    pub boot: String,
    /// The number it has from an earlier link of this start.
    #[serde(default)]
    pub id: Option<NodeId>,
}

/// From the scaler to a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToMember {
    /// The answer to `Join`.
    Welcome(Box<Welcome>),
    Refused {
        why: String,
    },
    Map(SlotMap),
    State(CacheState),
    Source(ToSource),
    Target(ToTarget),
    /// Its slots are elsewhere: end.
    Leave,
    /// This charge is in the ledger, durably.
    AccountStored {
        boot: String,
        sequence: u64,
    },
    /// To the asker with this number. Several may come while something goes on; `Answer::is_last` says when it is over.
    Answer {
        id: u64,
        answer: Answer,
    },
    /// Another proxy asks; what it says is between proxies. To be answered by `FromMember::Told`.
    Question {
        id: u64,
        question: serde_json::Value,
    },
    /// To proxies: how many others there are, and whether a client of one of them monitors.
    Proxies {
        others: u32,
        monitored: bool,
    },
    /// To proxies whose clients monitor: commands of another proxy's clients.
    Shown {
        lines: Vec<String>,
    },
}

/// What a proxy has charged since its last number. What it says is between the proxy's meter and the ledger's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub proxy: String,
    /// Differs from start to start of the proxy.
    pub boot: String,
    /// 1, 2, 3 … in each start. A number counts once.
    pub sequence: u64,
    pub minutes: serde_json::Value,
}

/// What a member learns when it joins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// Its number, if it is a node.
    pub id: Option<NodeId>,
    /// The cache's hash seed: the same on every node.
    pub hash_seed: u64,
    /// 40 hexadecimal digits: the one virtual node's name in CLUSTER replies.
    pub virtual_node: String,
    pub map: SlotMap,
    pub state: CacheState,
}

/// What may be asked of the scaler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Change entries of the cache state document, if it still has this version. Answered when every living member has
    /// confirmed it.
    ChangeState {
        base: u64,
        entries: Vec<(String, String)>,
    },
    Nodes,
    Slots,
    /// Move slots to a node.
    Move {
        slots: SlotSet,
        to: NodeId,
    },
    /// Move everything off a node; then it leaves.
    Drain {
        node: NodeId,
    },
    /// The latest events.
    Events {
        after: u64,
    },
    /// Everything at a glance: nodes, moves, scaling.
    Status,
    /// Change how the scaler acts, also after its next start, until somebody or a changed configuration says otherwise.
    Scale(ScalingMode),
    /// Ask all other proxies. `monitors`: from now on (or no longer) this proxy has clients that monitor.
    Proxies {
        question: serde_json::Value,
        monitors: Option<bool>,
    },
}

/// Whether the scaler acts on what it decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScalingMode {
    /// It does what it decides.
    #[default]
    On,
    /// It decides nothing.
    Off,
    /// Decisions are events and nothing else.
    DryRun,
    /// As off, because a person has said so.
    Paused,
}

/// The scaler's answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Every living member has this state.
    StateChanged(CacheState),
    /// Somebody else has changed it first: this is what it is now.
    StateDiffers(CacheState),
    Nodes(Vec<NodeLine>),
    Slots(SlotMap),
    /// How far a move or drain is.
    Progress(Progress),
    /// It is over.
    Done(Progress),
    Events(Vec<Event>),
    Status(Box<Status>),
    /// What other proxies said. Those that did not answer in time are left out.
    Told(Vec<serde_json::Value>),
    Refused {
        why: String,
    },
}

/// One node in `swell nodes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeLine {
    pub id: NodeId,
    pub address: String,
    pub zone: String,
    pub pid: u32,
    /// `serving`, `draining`, `empty`, `gone` (no link), `silent` (a link, and no word over it).
    pub state: String,
    pub slots: u32,
    pub stats: NodeStats,
}

/// How far a move is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub slots_done: u32,
    pub slots_total: u32,
    pub keys: u64,
    pub bytes: u64,
    /// Attempts that were begun again.
    pub retries: u32,
    pub elapsed_ms: u64,
    /// Sealed at the source to Serving at the target, of each group, microseconds on the driver's clock.
    pub sealed_us: Vec<u64>,
    /// Of these, what the store's write took.
    pub commit_us: Vec<u64>,
    /// What went wrong last, for a person.
    #[serde(default)]
    pub note: String,
}

/// Something that a person may want to know, with its number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub number: u64,
    /// Unix time.
    pub at_ms: u64,
    /// What happened, for programs: `scale-out`, `scale-in`, `move`, `moved`, `node-joined`, `node-left`, `node-lost`,
    /// `held`, ...; `news` and `trouble` where it is none of those.
    #[serde(default)]
    pub kind: String,
    /// In ElastiCache's words, where it has an event for this; else empty.
    #[serde(default)]
    pub message: String,
    pub text: String,
    /// The node it is about, where it is about one.
    #[serde(default)]
    pub node: Option<NodeId>,
    /// Of a decision: why.
    #[serde(default)]
    pub why: Option<EventWhy>,
}

/// The numbers behind a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventWhy {
    /// `memory`, `cpu`, `delay`, `network`, `ecpu`, `heat`, `idle`, `bounds`.
    pub signal: String,
    /// What was seen, in the signal's own unit.
    pub value: f64,
    /// What it was compared with.
    pub limit: f64,
    /// Where it is expected to be when new capacity could be ready.
    pub forecast: f64,
    /// Whether it was only said, and not done.
    pub is_dry_run: bool,
}

/// Everything at a glance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub nodes: Vec<NodeStatus>,
    pub epoch: Epoch,
    /// Slots that went from one living node to another since the scaler started.
    pub slots_moved_total: u64,
    /// Keys in them.
    pub keys_moved_total: u64,
    /// Hand-overs that were begun again since the scaler started.
    pub handover_retries_total: u64,
    /// Slots on their way now.
    pub slots_moving: u32,
    pub scaling: ScalingStatus,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    #[serde(flatten)]
    pub line: NodeLine,
    /// Thousandths of ECPUs that proxies have charged for its replies since the scaler started.
    pub ecpu_milli: u64,
    /// CPU time over wall time over the cores it may use, as of the last reports.
    pub busy_share: f64,
    pub ecpu_per_second: f64,
    pub network_bytes_per_second: f64,
}

/// What the scaler is set to, and what it did last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScalingStatus {
    pub mode: ScalingMode,
    /// What `mode` is while nobody asks for another.
    #[serde(default)]
    pub configured_mode: ScalingMode,
    pub nodes_min: u32,
    pub nodes_max: u32,
    pub node_memory_bytes: u64,
    pub node_ecpu_per_second: f64,
    pub node_network_bytes_per_second: f64,
    /// Nodes asked for that have not joined.
    pub nodes_starting: u32,
    /// Whether nodes that are processes of their own are held to the cores and bytes that were asked for. None: none were.
    #[serde(default)]
    pub limits_enforced: Option<bool>,
    pub last_decision: Option<Event>,
    /// Decisions since the scaler started: signal, action, how many.
    pub decisions: Vec<(String, String, u64)>,
}

/// What a node says of itself. Counters rise for as long as its process lives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeStats {
    /// The node's own clock when it looked, microseconds since its process began to serve; 0: it does not say.
    #[serde(default)]
    pub at_us: u64,
    pub used_bytes: u64,
    pub resident_bytes: u64,
    pub keys: u64,
    /// CPU time of the process so far, microseconds.
    pub cpu_us: u64,
    /// The longest that a worker's loop was late since the last report, microseconds.
    pub loop_delay_us: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub requests: u64,
    /// Logical work so far.
    pub work: u64,
    /// The slots with the most work since the last report, most first.
    #[serde(default)]
    pub heat: Vec<(u16, u64)>,
    /// Most bytes of other sessions' frames that one session's frame stood behind: never above one chunk.
    #[serde(default)]
    pub behind_bytes_max: u64,
}

impl ScalingMode {
    /// As it is written in options and shown.
    pub fn name(self) -> &'static str {
        match self {
            ScalingMode::On => "on",
            ScalingMode::Off => "off",
            ScalingMode::DryRun => "dry-run",
            ScalingMode::Paused => "paused",
        }
    }
}

impl Answer {
    /// Whether no further answer to the same question comes.
    pub fn is_last(&self) -> bool {
        !matches!(self, Answer::Progress(_))
    }
}
