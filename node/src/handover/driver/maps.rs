//! The next slot map: what it has to say, collected while the one before becomes durable.

use std::collections::BTreeMap;

use swell_ring::{Epoch, Member, NodeId, SlotMap, SlotSet};

use super::Record;
use super::attempt::{Attempt, Need, need};
use crate::handover::message::HandoverId;

/// Slots of a dead node that go to one living node in one piece: an arc of the ring.
const PIECE_SLOTS: usize = 64;

/// What the next map has to say.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    joined: Vec<Member>,
    commits: Vec<HandoverId>,
    returns: Vec<HandoverId>,
    gone: Vec<Gone>,
    places: Vec<(SlotSet, NodeId)>,
    /// Slots whose node has gone, and that wait for another.
    adrift: SlotSet,
    /// Slots that are adrift wait for `place`.
    leaves_orphans: bool,
    on_its_way: Option<Made>,
}

#[derive(Clone, Debug)]
struct Gone {
    node: NodeId,
    keys: u64,
    bytes: u64,
}

/// A map that is becoming durable.
#[derive(Clone, Debug)]
pub(super) struct Made {
    number: u64,
    pub(super) begun_us: u64,
    pub(super) map: SlotMap,
    pub(super) commits: Vec<HandoverId>,
    pub(super) returns: Vec<HandoverId>,
    /// Sources of the commits.
    pub(super) sources: Vec<NodeId>,
    pub(super) events: Vec<String>,
}

impl Wanted {
    /// After a start: slots without a node in a map that is not the very first have lost it.
    pub(super) fn recovered(map: &SlotMap) -> Wanted {
        let adrift = if map.epoch() > Epoch(0) { map.orphans() } else { SlotSet::new() };
        Wanted { adrift, ..Wanted::default() }
    }

    pub(super) fn leave_orphans(&mut self) {
        self.leaves_orphans = true;
    }

    pub(super) fn join(&mut self, member: Member) {
        self.joined.push(member);
    }

    pub(super) fn commit(&mut self, id: HandoverId) {
        self.commits.push(id);
    }

    pub(super) fn give_back(&mut self, id: HandoverId) {
        self.returns.push(id);
    }

    pub(super) fn gone(&mut self, node: NodeId, keys: u64, bytes: u64) {
        self.gone.push(Gone { node, keys, bytes });
    }

    pub(super) fn place(&mut self, parts: Vec<(SlotSet, NodeId)>) {
        self.places.extend(parts);
    }

    pub(super) fn is_idle(&self) -> bool {
        let nothing = self.joined.is_empty() && self.commits.is_empty() && self.returns.is_empty();
        nothing && self.gone.is_empty() && self.places.is_empty() && self.on_its_way.is_none()
    }

    /// The map that these records hold is durable.
    pub(super) fn persisted(&mut self, number: u64) -> Option<Made> {
        self.on_its_way.take_if(|made| made.number == number)
    }

    /// The records of the next map, if there is anything to say and no other map is on its way.
    pub(super) fn make(
        &mut self,
        now_us: u64,
        number: u64,
        map: &SlotMap,
        attempts: &mut BTreeMap<HandoverId, Attempt>,
    ) -> Option<Vec<Record>> {
        if self.on_its_way.is_some() || self.is_idle() && self.adrift.is_empty() {
            return None;
        }
        let mut made = Made {
            number,
            begun_us: now_us,
            map: map.clone(),
            commits: Vec::new(),
            returns: Vec::new(),
            sources: Vec::new(),
            events: Vec::new(),
        };
        self.add_joined(&mut made);
        self.add_commits(&mut made, attempts);
        self.add_returns(&mut made, attempts);
        self.take_gone(&mut made);
        let open = open_slots(&made, attempts);
        self.add_places(&mut made, &open);
        self.settle_adrift(&mut made, &open);
        if made.map == *map && made.returns.is_empty() {
            return None;
        }
        if made.map.epoch() == map.epoch() {
            made.map = made.map.renumbered();
        }
        let map = Record::Map(made.map.clone());
        let records = made.commits.iter().map(|id| Record::Ended(*id)).chain([map]).collect();
        self.on_its_way = Some(made);
        Some(records)
    }

    fn add_joined(&mut self, made: &mut Made) {
        for member in std::mem::take(&mut self.joined) {
            made.map = made.map.clone().with_member(member);
        }
    }

    /// Only what still needs it: a target may have died since.
    fn add_commits(&mut self, made: &mut Made, attempts: &mut BTreeMap<HandoverId, Attempt>) {
        for id in std::mem::take(&mut self.commits) {
            let Some(attempt) = attempts.get_mut(&id).filter(|attempt| wants(attempt, Need::Commit)) else { continue };
            if made.commits.contains(&id) {
                continue;
            }
            let group = &attempt.group;
            made.map = made.map.assigned(&group.slots, group.to);
            self.adrift.subtract(&group.slots);
            made.sources.push(group.from);
            made.commits.push(id);
            attempt.in_map = true;
        }
    }

    fn add_returns(&mut self, made: &mut Made, attempts: &mut BTreeMap<HandoverId, Attempt>) {
        for id in std::mem::take(&mut self.returns) {
            let wanted = attempts.get(&id).is_some_and(|attempt| wants(attempt, Need::Return));
            if wanted && !made.returns.contains(&id) {
                made.returns.push(id);
            }
        }
    }

    fn take_gone(&mut self, made: &mut Made) {
        for Gone { node, keys, bytes } in std::mem::take(&mut self.gone) {
            let lost = made.map.slots_of(node);
            if made.map.node(node).is_none() {
                continue;
            }
            made.map = made.map.clone().without_member(node);
            made.events.push(match lost.len() {
                0 => format!("node {node} is gone; it had no slots"),
                slots => format!(
                    "node {node} is gone: what it held of {slots} slots is lost, by its last report {keys} keys, {bytes} bytes"
                ),
            });
            self.adrift.add(&lost);
        }
    }

    fn add_places(&mut self, made: &mut Made, open: &SlotSet) {
        for (mut slots, to) in std::mem::take(&mut self.places) {
            slots.intersect(&made.map.orphans());
            slots.subtract(open);
            if made.map.node(to).is_some() && !slots.is_empty() {
                self.adrift.subtract(&slots);
                made.map = made.map.assigned(&slots, to);
            }
        }
    }

    /// Gives slots that are adrift to living nodes, empty. Not those of an attempt that has not ended (`open`): its
    /// target may be Ready, and would take the map for a commit.
    fn settle_adrift(&mut self, made: &mut Made, open: &SlotSet) {
        if self.leaves_orphans {
            return;
        }
        let mut free = self.adrift.clone();
        free.subtract(open);
        if free.is_empty() || made.map.nodes().is_empty() {
            return;
        }
        self.adrift.subtract(&free);
        let count = free.len();
        let mut loads: Vec<(usize, NodeId, SlotSet)> = made
            .map
            .nodes()
            .iter()
            .map(|node| node.id)
            .map(|id| (made.map.slots_of(id).len(), id, SlotSet::new()))
            .collect();
        let slots: Vec<_> = free.iter().collect();
        for piece in slots.chunks(PIECE_SLOTS) {
            if let Some((load, _, gets)) = loads.iter_mut().min_by_key(|(load, id, _)| (*load, *id)) {
                *load += piece.len();
                piece.iter().for_each(|slot| gets.insert(*slot));
            }
        }
        for (_, id, gets) in loads.into_iter().filter(|(.., gets)| !gets.is_empty()) {
            made.map = made.map.assigned(&gets, id);
        }
        made.events.push(format!("{count} slots of a dead node begin again, empty, on the living ones"));
    }
}

/// The slots of attempts that have not ended. They are given to nobody, even if their node is dead: a target may be
/// Ready, and would take the map for a commit.
fn open_slots(made: &Made, attempts: &BTreeMap<HandoverId, Attempt>) -> SlotSet {
    let mut open = SlotSet::new();
    let still = attempts.values().filter(|attempt| !made.commits.contains(&attempt.group.id));
    still.for_each(|attempt| open.add(&attempt.group.slots));
    open
}

fn wants(attempt: &Attempt, what: Need) -> bool {
    need(attempt.source, attempt.target, attempt.cancelled) == what
}
