//! What was promised, and whether it was kept. The checker sees everything: what ran where, in one order.

use std::collections::{BTreeMap, BTreeSet};

use swell_engine::gate::Gate;
use swell_ring::NodeId;

use super::proxy::{Answer, Op, What};
use super::world::{World, index_of, used};

/// A request must have its answer within this: 2 s at the proxy, 2 s at a gate, and the way.
pub const ANSWER_US_MAX: u64 = 4_600_000;

/// The one order of all that took effect, and what follows from it.
#[derive(Default)]
pub struct Check {
    pub violation: Option<String>,
    /// What each key holds if nothing is lost.
    truth: BTreeMap<(usize, u8), u64>,
    /// Keys whose node has died since they were last looked at: they may have gone back to an earlier value.
    excused: BTreeSet<(usize, u8)>,
    /// Keys that were ever excused, or set.
    uncountable: BTreeSet<(usize, u8)>,
    /// Writes that have run.
    ran: BTreeSet<u64>,
    runs: u64,
    /// The last run that an answer on a connection came from, by slot.
    last_answered: BTreeMap<(usize, u64, usize), u64>,
    acknowledged: BTreeMap<(usize, u8), u64>,
    unknown: BTreeMap<(usize, u8), u64>,
}

impl Check {
    /// The first broken promise counts.
    pub fn fail(&mut self, text: String) {
        self.violation.get_or_insert(text);
    }

    /// A request takes effect; `before`: what the node has. Returns the number of this run.
    pub fn runs(&mut self, node: NodeId, op: &Op, before: u64) -> u64 {
        self.runs += 1;
        let key = (op.slot, op.key);
        let truth = self.truth.get(&key).copied().unwrap_or(0);
        if before != truth && !self.excused.contains(&key) {
            self.fail(format!("node {node} has {before} for {key:?}, which is {truth}: {op:?}"));
        }
        if before > truth {
            self.fail(format!("node {node} has {before} for {key:?}, which was never more than {truth}: {op:?}"));
        }
        self.excused.remove(&key);
        self.truth.insert(key, op.after(before));
        if matches!(op.what, What::Set(_)) {
            self.uncountable.insert(key);
        }
        if op.what != What::Get && !self.ran.insert(op.id) {
            self.fail(format!("applied twice: {op:?}"));
        }
        self.runs
    }

    /// A client has its answer.
    pub fn answered(&mut self, now_us: u64, op: &Op, answer: Answer) {
        if now_us - op.issued_us > ANSWER_US_MAX {
            self.fail(format!("answered after {} us: {op:?}", now_us - op.issued_us));
        }
        let key = (op.slot, op.key);
        match answer {
            Answer::Done { run, .. } => {
                if op.what == What::Incr {
                    *self.acknowledged.entry(key).or_default() += 1;
                }
                let last = self.last_answered.entry((op.client, op.connection, op.slot)).or_default();
                if run <= *last {
                    let text = format!("out of order: run {run} answers what was asked after run {last}: {op:?}");
                    return self.fail(text);
                }
                *last = run;
            }
            Answer::Unknown => *self.unknown.entry(key).or_default() += 1,
            Answer::Error if self.ran.contains(&op.id) => self.fail(format!("said not to have run, but has: {op:?}")),
            Answer::Error => {}
        }
    }

    /// Counts at the end, as a client would check them.
    pub fn judge_counts(&self) -> Result<(), String> {
        for (key, value) in &self.truth {
            let acknowledged = self.acknowledged.get(key).copied().unwrap_or(0);
            let unknown = self.unknown.get(key).copied().unwrap_or(0);
            if !self.uncountable.contains(key) && !(acknowledged..=acknowledged + unknown).contains(value) {
                return Err(format!("{key:?} is {value}: {acknowledged} acknowledged, {unknown} unknown"));
            }
        }
        Ok(())
    }

    fn excuse(&mut self, at: usize) {
        for key in self.truth.keys().filter(|(slot, _)| *slot == at) {
            self.excused.insert(*key);
            self.uncountable.insert(*key);
        }
    }
}

impl World {
    /// At most one living node serves a slot, reads included.
    pub fn check_gates(&mut self) {
        for slot in used() {
            let Some(at) = index_of(slot) else { continue };
            let serving: Vec<NodeId> =
                self.nodes.iter().filter(|(_, node)| node.alive && node.serves(at)).map(|(id, _)| *id).collect();
            if serving.len() > 1 {
                self.check.fail(format!("slot {at} is served by nodes {serving:?}"));
            }
        }
    }

    /// What may be lost with this node, which dies now: what it serves; of what it does not serve (any more, or yet),
    /// only what nobody else has.
    pub fn excuse_for_crash(&mut self, dead: NodeId) {
        for slot in used() {
            let Some(at) = index_of(slot) else { continue };
            let Some(node) = self.nodes.get(&dead) else { continue };
            let served = node.serves(at);
            let committed_to_it = self.scaler.map.owner(slot) == Some(dead) && node.gates[at] == Gate::Dark;
            let has_other = self.nodes.iter().any(|(id, node)| *id != dead && node.alive && node.has_copy(slot, at));
            if served || committed_to_it || !has_other {
                self.check.excuse(at);
            }
        }
    }

    /// A map that gives slots to a node that has died meanwhile, or that assigns a dead node's slots anew.
    pub fn excuse_for_map(&mut self) {
        for slot in used() {
            let (Some(at), Some(owner)) = (index_of(slot), self.scaler.map.owner(slot)) else { continue };
            if self.nodes.get(&owner).is_some_and(|node| !node.alive && !self.is_kept(slot, at)) {
                self.check.excuse(at);
            }
        }
    }

    /// Whether a living source keeps what this map says it owns no more, or still does.
    fn is_kept(&self, slot: swell_ring::Slot, at: usize) -> bool {
        self.nodes.values().any(|node| node.alive && node.serves(at))
            || self.scaler.map.owner(slot).is_some_and(|owner| {
                let ready = self.nodes.values().any(|node| node.alive && node.local.target().ready().contains(slot));
                ready && self.nodes.get(&owner).is_some_and(|node| node.gates[at] == Gate::Released)
            })
    }
}
