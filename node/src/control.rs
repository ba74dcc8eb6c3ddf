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
    Charged(Box<Charged>),
    /// A question; `id` comes back with the answer.
    Ask {
        id: u64,
        ask: Ask,
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
    ChargedAck {
        boot: String,
        sequence: u64,
    },
    /// To the asker with this number. Several may come while something goes on; `Answer::is_last` says when it is over.
    Answer {
        id: u64,
        answer: Answer,
    },
}

/// What a proxy has charged since its last number. What it says is between the proxy's meter and the ledger's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Charged {
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
    /// `serving`, `draining`, `empty`, `gone`.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub number: u64,
    pub at_ms: u64,
    pub text: String,
}

/// What a node says of itself. Counters rise for as long as its process lives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeStats {
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

impl Answer {
    /// Whether no further answer to the same question comes.
    pub fn is_last(&self) -> bool {
        !matches!(self, Answer::Progress(_))
    }
}
