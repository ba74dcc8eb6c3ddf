//! The slot map: which node owns each slot now. A value: whoever changes it makes the next epoch's.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::epoch::Epoch;
use crate::slot::{SLOTS, Slot};
use crate::slots::SlotSet;

/// A node's number: given once, never to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A node as the map names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub id: NodeId,
    /// Where its link server listens: `unix:PATH` or `HOST:PORT`.
    pub address: String,
    /// Its failure domain; empty where nobody said.
    #[serde(default)]
    pub zone: String,
}

/// Which node owns each slot, and since which epoch. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct SlotMap {
    epoch: Epoch,
    nodes: Arc<[Member]>,
    /// Index into `nodes`, or [`NOBODY`].
    owners: Arc<[u16; SLOTS]>,
    /// The epoch at which a slot's content began to belong to its owner: data held since another epoch is stale.
    since: Arc<[Epoch; SLOTS]>,
}

const NOBODY: u16 = u16::MAX;

/// Why a written map is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMap {
    #[error("slots {0} belong to node {1}, which the map does not name")]
    UnknownNode(SlotSet, NodeId),
    #[error("a slot map names at most 65535 nodes")]
    TooManyNodes,
    #[error("the slot map names a node twice")]
    SameNodeTwice,
}

/// How a map is written: slots in ranges.
#[derive(Serialize, Deserialize)]
struct Written {
    epoch: Epoch,
    nodes: Vec<Member>,
    slots: Vec<WrittenSlots>,
}

#[derive(Serialize, Deserialize)]
struct WrittenSlots {
    slots: SlotSet,
    node: NodeId,
    since: Epoch,
}

impl SlotMap {
    /// The map before the first: no nodes, epoch 0.
    pub fn empty() -> SlotMap {
        SlotMap {
            epoch: Epoch(0),
            nodes: Arc::new([]),
            owners: Arc::new([NOBODY; SLOTS]),
            since: Arc::new([Epoch(0); SLOTS]),
        }
    }

    /// A map in which one node owns everything.
    pub fn single(epoch: Epoch, member: Member) -> SlotMap {
        let id = member.id;
        SlotMap { epoch: Epoch(epoch.0 - 1), ..SlotMap::empty() }.with_member(member).assigned(&SlotSet::all(), id)
    }

    /// Its number.
    #[inline]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The nodes it names, owners or not.
    pub fn nodes(&self) -> &[Member] {
        &self.nodes
    }

    /// A node by its number.
    pub fn node(&self, id: NodeId) -> Option<&Member> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// The owner of a slot, as an index into [`SlotMap::nodes`].
    #[inline]
    pub fn owner_index(&self, slot: Slot) -> Option<usize> {
        let index = self.owners[slot.index()];
        (index != NOBODY).then_some(index as usize)
    }

    /// The owner of a slot.
    #[inline]
    pub fn owner(&self, slot: Slot) -> Option<NodeId> {
        self.owner_index(slot).map(|index| self.nodes[index].id)
    }

    /// The epoch since which a slot's content belongs to its owner.
    #[inline]
    pub fn since(&self, slot: Slot) -> Epoch {
        self.since[slot.index()]
    }

    /// The slots of a node.
    pub fn slots_of(&self, id: NodeId) -> SlotSet {
        match self.index_of(id) {
            index if index == NOBODY => SlotSet::new(),
            index => self.slots_with(index),
        }
    }

    /// The slots that nobody owns.
    pub fn orphans(&self) -> SlotSet {
        self.slots_with(NOBODY)
    }

    /// The same with one more node (or another address for it). The epoch stays: give it to [`SlotMap::assigned`],
    /// or to [`SlotMap::renumbered`].
    pub fn with_member(mut self, member: Member) -> SlotMap {
        let mut nodes = self.nodes.to_vec();
        match nodes.iter_mut().find(|node| node.id == member.id) {
            Some(node) => *node = member,
            None => nodes.push(member),
        }
        self.nodes = nodes.into();
        self
    }

    /// The same without a node; its slots belong to nobody. The epoch stays.
    pub fn without_member(self, id: NodeId) -> SlotMap {
        let gone = self.index_of(id);
        if gone == NOBODY {
            return self;
        }
        let nodes: Vec<Member> = self.nodes.iter().filter(|node| node.id != id).cloned().collect();
        let mut owners = self.owners.clone();
        for owner in Arc::make_mut(&mut owners).iter_mut().filter(|owner| **owner != NOBODY && **owner >= gone) {
            *owner = if *owner == gone { NOBODY } else { *owner - 1 };
        }
        SlotMap { nodes: nodes.into(), owners, ..self }
    }

    /// The next epoch's map, in which these slots belong to this node (which must be a member) from then on.
    pub fn assigned(&self, slots: &SlotSet, id: NodeId) -> SlotMap {
        let epoch = self.epoch.next();
        let index = self.index_of(id);
        let (mut owners, mut since) = (self.owners.clone(), self.since.clone());
        let (owners_mut, since_mut) = (Arc::make_mut(&mut owners), Arc::make_mut(&mut since));
        for slot in slots.iter() {
            owners_mut[slot.index()] = index;
            since_mut[slot.index()] = epoch;
        }
        SlotMap { epoch, nodes: self.nodes.clone(), owners, since }
    }

    /// The next epoch's map with the same owners, whose content they keep: takes released slots back to their source.
    pub fn renumbered(&self) -> SlotMap {
        SlotMap { epoch: self.epoch.next(), ..self.clone() }
    }

    fn index_of(&self, id: NodeId) -> u16 {
        self.nodes.iter().position(|node| node.id == id).map_or(NOBODY, |at| at as u16)
    }

    fn slots_with(&self, index: u16) -> SlotSet {
        all_slots().filter(|slot| self.owners[slot.index()] == index).collect()
    }
}

impl TryFrom<Written> for SlotMap {
    type Error = BadMap;

    fn try_from(written: Written) -> Result<SlotMap, BadMap> {
        if written.nodes.len() >= NOBODY as usize {
            return Err(BadMap::TooManyNodes);
        }
        let indices: HashMap<NodeId, u16> = (0u16..).zip(&written.nodes).map(|(at, node)| (node.id, at)).collect();
        if indices.len() < written.nodes.len() {
            return Err(BadMap::SameNodeTwice);
        }
        let (mut owners, mut since) = ([NOBODY; SLOTS], [Epoch(0); SLOTS]);
        for range in written.slots {
            let Some(&index) = indices.get(&range.node) else {
                return Err(BadMap::UnknownNode(range.slots, range.node));
            };
            for slot in range.slots.iter() {
                owners[slot.index()] = index;
                since[slot.index()] = range.since;
            }
        }
        Ok(SlotMap {
            epoch: written.epoch,
            nodes: written.nodes.into(),
            owners: Arc::new(owners),
            since: Arc::new(since),
        })
    }
}

impl From<SlotMap> for Written {
    fn from(map: SlotMap) -> Written {
        let mut slots: Vec<WrittenSlots> = Vec::new();
        let mut written: HashMap<(NodeId, Epoch), usize> = HashMap::new();
        // A slot is mostly as the one before it, and maps are written while slots stand still.
        let mut last: Option<((NodeId, Epoch), usize)> = None;
        for slot in all_slots() {
            let (Some(node), since) = (map.owner(slot), map.since(slot)) else { continue };
            let at = match last {
                Some((same, at)) if same == (node, since) => at,
                _ => *written.entry((node, since)).or_insert(slots.len()),
            };
            if at == slots.len() {
                slots.push(WrittenSlots { slots: SlotSet::new(), node, since });
            }
            slots[at].slots.insert(slot);
            last = Some(((node, since), at));
        }
        Written { epoch: map.epoch, nodes: map.nodes.to_vec(), slots }
    }
}

/// All slots, ascending.
pub fn all_slots() -> impl Iterator<Item = Slot> {
    (0..SLOTS as u16).filter_map(Slot::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u32) -> Member {
        Member { id: NodeId(id), address: format!("unix:/n{id}"), zone: String::new() }
    }

    #[test]
    fn assigning_makes_the_next_epoch_and_notes_since_when() {
        let map = SlotMap::single(Epoch(1), member(1));
        assert_eq!(map.epoch(), Epoch(1));
        let moved: SlotSet = "100-163".parse().unwrap();
        let next = map.clone().with_member(member(2)).assigned(&moved, NodeId(2));
        assert_eq!(next.epoch(), Epoch(2));
        let slot = Slot::new(100).unwrap();
        assert_eq!((next.owner(slot), next.since(slot)), (Some(NodeId(2)), Epoch(2)));
        assert_eq!((map.owner(slot), map.since(slot)), (Some(NodeId(1)), Epoch(1)));
        assert_eq!(next.slots_of(NodeId(2)), moved);
        let again = next.renumbered();
        assert_eq!((again.epoch(), again.since(slot)), (Epoch(3), Epoch(2)));
    }

    #[test]
    fn a_node_that_goes_leaves_orphans() {
        let map = SlotMap::single(Epoch(1), member(1)).with_member(member(2));
        let map = map.assigned(&"0-9".parse().unwrap(), NodeId(2)).without_member(NodeId(1));
        assert_eq!(map.slots_of(NodeId(2)).to_string(), "0-9");
        assert_eq!(map.orphans().to_string(), "10-16383");
        assert_eq!(map.nodes().len(), 1);
    }

    #[test]
    fn written_and_read_back() {
        let map = SlotMap::single(Epoch(7), member(1)).with_member(member(2));
        let map = map.assigned(&"5,7,900-1000".parse().unwrap(), NodeId(2));
        let text = serde_json::to_string(&map).unwrap();
        assert_eq!(serde_json::from_str::<SlotMap>(&text).unwrap(), map);
        let unknown = r#"{"epoch":1,"nodes":[],"slots":[{"slots":"1","node":4,"since":1}]}"#;
        let why = serde_json::from_str::<SlotMap>(unknown).unwrap_err().to_string();
        assert!(why.contains("belong to node 4"), "{why}");
    }

    #[test]
    fn many_nodes_come_and_go() {
        let mut map = (0..40).map(member).fold(SlotMap::empty(), SlotMap::with_member);
        let of = |id: u32| all_slots().filter(move |slot| slot.index() % 40 == id as usize).collect::<SlotSet>();
        for id in 0..40 {
            map = map.assigned(&of(id), NodeId(id));
        }
        let mut gone = SlotSet::new();
        for id in [0, 39, 17, 1, 17] {
            map = map.without_member(NodeId(id));
            gone.add(&of(id));
            assert_eq!((map.orphans(), map.slots_of(NodeId(id))), (gone.clone(), SlotSet::new()), "without {id}");
            assert_eq!(map.slots_of(NodeId(18)), of(18), "without {id}");
        }
        assert_eq!((map.nodes().len(), map.epoch()), (36, Epoch(40)));
        let text = serde_json::to_string(&map).unwrap();
        let read: SlotMap = serde_json::from_str(&text).unwrap();
        assert!(all_slots().all(|slot| read.owner(slot) == map.owner(slot)));
    }

    #[test]
    fn a_map_that_names_a_node_twice_is_none() {
        let node = r#"{"id":4,"address":"unix:/n"}"#;
        let text = format!(r#"{{"epoch":1,"nodes":[{node},{node}],"slots":[]}}"#);
        let why = serde_json::from_str::<SlotMap>(&text).unwrap_err().to_string();
        assert!(why.contains("names a node twice"), "{why}");
    }
}
