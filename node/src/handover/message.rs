//! What driver, source and target of a hand-over say to each other. Each message may be lost, doubled, late or out of
//! order: the step functions answer for that.

use serde::{Deserialize, Serialize};
use swell_ring::{Epoch, NodeId, SlotSet};

/// How long a source keeps a group sealed before it serves it again by itself, milliseconds.
pub const SEALED_MS_MAX: u64 = 20;

/// Names one attempt at one hand-over; never used twice. A retry has another, and later ones have higher ones. 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HandoverId(pub u64);

/// What is handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub id: HandoverId,
    pub slots: SlotSet,
    pub from: NodeId,
    pub to: NodeId,
}

/// From the driver to the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToSource {
    /// Copy the group to its target (which is prepared), then seal it. `bytes_per_second_max`: 0 is no bound.
    Copy { group: Group, target_address: String, bytes_per_second_max: u64 },
    /// The target is ready: never serve these slots again without a newer map that names you. Only a source that is
    /// still sealed obeys.
    Release { id: HandoverId },
    /// The target has lost it: once you have seen the map with this epoch, which names you, serve them again. Needed
    /// besides the map, because while other groups are handed over there are newer maps that name you as well.
    Return { id: HandoverId, epoch: Epoch },
    /// Serve them again, unless released.
    Cancel { id: HandoverId },
    /// Say how far you are.
    Query { id: HandoverId },
}

/// From the driver to the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToTarget {
    /// Make the slots Dark and empty; a stream will come.
    Prepare { group: Group },
    /// Forget what has come.
    Cancel { id: HandoverId },
    /// Say how far you are.
    Query { id: HandoverId },
}

/// From the source to the driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromSource {
    /// How far the copy is: an answer to `Query`, and now and then by itself.
    Is { id: HandoverId, phase: SourcePhase, keys: u64, bytes: u64 },
    /// It serves the group (again): this attempt has failed.
    Failed { id: HandoverId, why: Failure },
}

/// How far a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourcePhase {
    /// It does not know this attempt (any more): it serves the slots, unless a newer map has taken them away. A promise:
    /// once this was said, the attempt never begins (again) here.
    Unknown,
    Copying,
    Sealed,
    Released,
}

/// From the target to the driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromTarget {
    /// How far it is: sent at each change, and as an answer to `Query`.
    Is { id: HandoverId, phase: TargetPhase },
    /// It has forgotten what had come: this attempt has failed.
    Failed { id: HandoverId, why: Failure },
}

/// How far a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetPhase {
    /// It does not know this attempt (any more). A promise: it never begins (again) here.
    Unknown,
    /// The slots are Dark and wait for the stream.
    Prepared,
    /// Everything has come, counts agree.
    Ready,
    /// It has seen the epoch that gives it the slots, and serves them.
    Serving,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    #[error("cancelled")]
    Cancelled,
    #[error("sealed for longer than {SEALED_MS_MAX} ms")]
    SealedTooLong,
    #[error("clients write faster than the link takes it: the spool is full")]
    SpoolFull,
    #[error("the stream between the nodes broke: {0}")]
    Stream(String),
    #[error("the target counts {target} keys, the source {source_keys}")]
    Counts { source_keys: u64, target: u64 },
    #[error("the target has not the memory for it")]
    NoMemory,
    #[error("the node does not own slots {0}")]
    NotOwner(SlotSet),
    #[error("another hand-over of slots {0} is under way")]
    Busy(SlotSet),
    #[error("the node is gone")]
    NodeGone,
}
