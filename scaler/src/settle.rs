//! Nodes that go, and slots that nobody has: who gets them.

use swell_node::handover::driver::Input as Step;
use swell_ring::{Candidate, NodeId, SlotSet, place};
use tokio::time::Instant;

use crate::nodes::{Node, Origin};
use crate::provider::process::Process;
use crate::store::Record;
use crate::writer::Writer;

impl Writer {
    /// A node is gone for good, with what it held.
    pub(crate) fn gone(&mut self, id: NodeId, how: &str, now: Instant) {
        let Some(node) = self.nodes.remove(&id) else { return };
        if let Some(party) = node.link.and_then(|link| self.parties.remove(&link)) {
            party.link.close();
        }
        self.scale.observer.forget(id);
        self.sum_stored();
        let message = format!("Cache node {:04} shutdown", id.0);
        match node.is_leaving {
            true => self.events.of_node(false, "node-left", id, message, format!("node {id} has left: {how}")),
            false => self.events.of_node(true, "node-lost", id, message, format!("node {id} is gone: {how}")),
        }
        if node.origin == Origin::Guest
            && let Err(why) = self.keep(&[Record::GuestGone(id)])
        {
            // No harm: without a place in the map nobody gets this number back.
            tracing::warn!(%why, node = %id, "cannot note that it is gone");
        }
        self.step(Step::Gone { node: id, keys: node.stats.keys, bytes: node.stats.used_bytes }, now);
        self.place_orphans(now);
        self.confirm_changes();
    }

    /// Slots that nobody has go, empty, to whom the ring says. Not before all children that were asked for are there
    /// for the first time.
    pub(crate) fn place_orphans(&mut self, now: Instant) {
        if self.is_first_spread_due {
            let (wanted, joined) = self.provider.as_ref().map_or((0, 0), Process::counts);
            self.is_first_spread_due = joined < wanted;
        }
        let orphans = self.free_orphans();
        if orphans.is_empty() || self.is_first_spread_due {
            return;
        }
        let mut parts = place(&self.candidates(), &self.kept.map);
        parts.iter_mut().for_each(|(slots, _)| slots.intersect(&orphans));
        parts.retain(|(slots, _)| !slots.is_empty());
        if parts.is_empty() {
            return;
        }
        let owners: Vec<String> = parts.iter().map(|(slots, id)| format!("{} at node {id}", slots.len())).collect();
        self.events.news(format!("slots that nobody had begin empty: {}", owners.join(", ")));
        self.step(Step::Place(parts), now);
    }

    /// Those of the slots that nobody has begin empty at this node: there is nothing to hand over.
    pub(crate) fn place_some(&mut self, slots: &SlotSet, to: NodeId, now: Instant) {
        let mut free = self.free_orphans();
        free.intersect(slots);
        if !free.is_empty() {
            self.step(Step::Place(vec![(free, to)]), now);
        }
    }

    /// The nodes that slots may be given to.
    pub(crate) fn takers(&self) -> impl Iterator<Item = NodeId> {
        // The embedded node owns slots from the start, before its link is there.
        let waits = |node: &Node| node.origin == Origin::Embedded && !node.has_joined;
        self.nodes.values().filter(move |node| node.may_get_slots() || waits(node)).map(|node| node.member.id)
    }

    /// The same with their weights on the ring.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        self.takers().map(|id| Candidate { id, weight: self.scale.ring_weight(id) }).collect()
    }

    /// Slots that nobody has, but for those of a hand-over that has not ended: its target may have them.
    fn free_orphans(&mut self) -> SlotSet {
        let epoch = self.kept.map.epoch();
        if self.orphans.0 != epoch {
            self.orphans = (epoch, self.kept.map.orphans());
        }
        let mut free = self.orphans.1.clone();
        if !free.is_empty() {
            self.drive.moving().for_each(|slots| free.subtract(slots));
        }
        free
    }
}
