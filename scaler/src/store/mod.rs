//! What must outlive the scaler: the slot map, the cache state, which numbers were given, which hand-overs are under
//! way. A trait, so that an embedded file (one machine) and etcd (several) are the same to the scaler.

pub mod file;
pub mod memory;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use swell_node::control::ScalingMode;
use swell_node::handover::message::{Group, HandoverId};
use swell_ring::{CacheState, NodeId, SlotMap};

use crate::error::StoreError;

/// All that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Which start of the scaler wrote last; 0: none yet.
    pub incarnation: u64,
    pub map: SlotMap,
    pub state: CacheState,
    /// The entries that the configuration gave when the state was made: a later start sees what was configured anew.
    pub configured: BTreeMap<String, String>,
    /// The lowest number that no node ever had.
    pub next_node: u32,
    /// The lowest number that no attempt at a hand-over ever had.
    pub next_handover: u64,
    /// Nodes that are not this process's children, so that they get their number back.
    pub guests: Vec<Guest>,
    /// Hand-overs that were begun and have not ended.
    pub intents: Vec<Group>,
    /// How the scaler is to act, if somebody wants it otherwise than it is configured.
    #[serde(default)]
    pub asked_mode: Option<AskedMode>,
}

/// What somebody has asked for with `swell scale`. It holds until it is asked otherwise, or configured otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedMode {
    pub mode: ScalingMode,
    /// What was configured then.
    pub configured: ScalingMode,
}

/// A node that somebody else started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    pub id: NodeId,
    /// Names the start of its process.
    pub boot: String,
    pub pid: u32,
}

/// One change of what is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// Everything: begins a file.
    All(Box<Kept>),
    /// The scaler has started anew.
    Incarnation(u64),
    Map(SlotMap),
    State {
        state: CacheState,
        configured: BTreeMap<String, String>,
    },
    /// Numbers below these were given.
    NextNode(u32),
    NextHandover(u64),
    Guest(Guest),
    GuestGone(NodeId),
    Intent(Group),
    /// The hand-over has ended, one way or the other.
    Ended(HandoverId),
    /// None: as configured.
    AskedMode(Option<AskedMode>),
}

/// Where it is kept. Calls block the scaler's thread: nothing may go on before a change is durable.
pub trait Store {
    /// What was kept.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    fn load(&mut self) -> Result<Kept, StoreError>;

    /// Adds records, all or none of them; they are durable when this returns.
    ///
    /// # Errors
    /// They may or may not be kept: act as if they were not, and append again before anything else.
    fn append(&mut self, records: &[Record]) -> Result<(), StoreError>;
}

impl Default for Kept {
    fn default() -> Kept {
        Kept {
            incarnation: 0,
            map: SlotMap::empty(),
            state: CacheState::default(),
            configured: BTreeMap::new(),
            next_node: 1,
            next_handover: 1,
            guests: Vec::new(),
            intents: Vec::new(),
            asked_mode: None,
        }
    }
}

impl Kept {
    /// What is kept after one more record.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::All(all) => *self = (**all).clone(),
            Record::Incarnation(number) => self.incarnation = *number,
            Record::Map(map) => self.map = map.clone(),
            Record::State { state, configured } => {
                self.state = state.clone();
                self.configured = configured.clone();
            }
            Record::NextNode(next) => self.next_node = *next,
            Record::NextHandover(next) => self.next_handover = *next,
            Record::Guest(guest) => {
                self.guests.retain(|known| known.id != guest.id);
                self.guests.push(guest.clone());
            }
            Record::GuestGone(id) => self.guests.retain(|known| known.id != *id),
            Record::Intent(group) => {
                self.intents.retain(|known| known.id != group.id);
                self.intents.push(group.clone());
            }
            Record::Ended(id) => self.intents.retain(|known| known.id != *id),
            Record::AskedMode(asked) => self.asked_mode = *asked,
        }
    }
}
