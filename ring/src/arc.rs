//! Arcs: contiguous slots that are placed together.

use std::fmt;

use crate::slot::{SLOTS, Slot};

/// Slots of an arc while there are few nodes. As many as an engine's stripe has, so that an arc is one lock.
pub const ARC_SLOTS_MAX: usize = 64;

/// Arcs that there should be for each node: with fewer, shares could not be told apart.
pub const ARCS_PER_NODE_MIN: usize = 16;

/// Contiguous slots that are placed together. It begins at a multiple of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotArc {
    first: Slot,
    length: u16,
}

impl SlotArc {
    /// Its first slot.
    pub fn first(self) -> Slot {
        self.first
    }

    /// Its last slot.
    pub fn last(self) -> Slot {
        Slot::new(self.first.number() + self.length - 1).expect("an arc ends within the slots")
    }

    /// Its slots, ascending.
    pub fn slots(self) -> impl Iterator<Item = Slot> {
        (self.first.number()..=self.last().number()).filter_map(Slot::new)
    }

    /// Whether the slot is one of its.
    pub fn contains(self, slot: Slot) -> bool {
        (self.first..=self.last()).contains(&slot)
    }
}

impl fmt::Display for SlotArc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first.number(), self.last().number())
    }
}

/// Slots per arc with this number of nodes: 64, halved (to 1 at least) while a node would have fewer than 16 arcs.
///
/// Halving keeps the borders there were: an arc of before is two arcs now.
pub fn arc_slots(nodes: usize) -> usize {
    let mut length = ARC_SLOTS_MAX;
    while length > 1 && SLOTS / length < nodes.saturating_mul(ARCS_PER_NODE_MIN) {
        length /= 2;
    }
    length
}

/// All arcs with this number of nodes, ascending.
pub fn arcs(nodes: usize) -> impl ExactSizeIterator<Item = SlotArc> {
    let length = arc_slots(nodes);
    (0..SLOTS / length).map(move |index| SlotArc {
        first: Slot::new((index * length) as u16).expect("arcs begin within the slots"),
        length: length as u16,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arcs_get_shorter_with_more_nodes() {
        let lengths = [
            (0, 64),
            (1, 64),
            (16, 64),
            (17, 32),
            (32, 32),
            (33, 16),
            (512, 2),
            (513, 1),
            (1024, 1),
            (1025, 1),
            (usize::MAX, 1),
        ];
        for (nodes, length) in lengths {
            assert_eq!(arc_slots(nodes), length, "{nodes} nodes");
        }
    }

    #[test]
    fn arcs_cover_every_slot_once() {
        for nodes in [1, 17, 100, 5000] {
            let slots: Vec<u16> = arcs(nodes).flat_map(SlotArc::slots).map(Slot::number).collect();
            assert_eq!(slots, (0..SLOTS as u16).collect::<Vec<_>>(), "{nodes} nodes");
        }
    }

    #[test]
    fn an_arc_knows_its_ends() {
        let arc = arcs(1).nth(1).unwrap();
        assert_eq!(arc.to_string(), "64-127");
        assert_eq!((arc.first(), arc.last()), (Slot::new(64).unwrap(), Slot::new(127).unwrap()));
        for (number, inside) in [(63, false), (64, true), (127, true), (128, false)] {
            assert_eq!(arc.contains(Slot::new(number).unwrap()), inside, "slot {number}");
        }
    }
}
