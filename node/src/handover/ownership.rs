//! Which slots a node serves, by the maps it has seen: what a new map changes. No I/O.

use swell_ring::{Epoch, NodeId, SLOTS, SlotMap, SlotSet, all_slots};

/// For each slot, the epoch since which the data this node holds is the slot's content.
#[derive(Clone, Debug)]
pub struct Ownership {
    /// Epoch 0: this node holds nothing for the slot.
    held_since: Box<[Epoch]>,
    owned: SlotSet,
}

/// What a map changes. Slots that are in none of the sets keep gate and data: still not this node's, or this node's
/// since the same epoch (served, copying, sealed or released: the source's business).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Handed over to this node: served with what was imported.
    pub imported: SlotSet,
    /// This node's, with nothing that belongs to it: what lies there is dropped, then served.
    pub emptied: SlotSet,
    /// Not this node's any more: not served, then freed.
    pub lost: SlotSet,
}

impl Ownership {
    /// Of a node that has seen no map: it owns nothing, all its gates are Released.
    pub fn new() -> Ownership {
        Ownership { held_since: vec![Epoch(0); SLOTS].into(), owned: SlotSet::new() }
    }

    /// The slots that are this node's by the newest map it has seen.
    pub fn owned(&self) -> &SlotSet {
        &self.owned
    }

    /// Takes over a map that is newer than all before. `ready`: the slots whose import is complete.
    pub fn on_map(&mut self, me: NodeId, map: &SlotMap, ready: &SlotSet) -> Changes {
        let mut changes = Changes::default();
        let my_index = map.nodes().iter().position(|node| node.id == me);
        for slot in all_slots() {
            let mine = my_index.is_some() && map.owner_index(slot) == my_index;
            let since = if mine { map.since(slot) } else { Epoch(0) };
            let held = std::mem::replace(&mut self.held_since[slot.index()], since);
            if held == since {
                continue;
            }
            match () {
                () if !mine => changes.lost.insert(slot),
                () if ready.contains(slot) => changes.imported.insert(slot),
                () => changes.emptied.insert(slot),
            }
        }
        self.owned.subtract(&changes.lost);
        self.owned.add(&changes.imported);
        self.owned.add(&changes.emptied);
        changes
    }
}

impl Default for Ownership {
    fn default() -> Self {
        Ownership::new()
    }
}
