//! Plan: which slots go where, and which node goes. The ring says where slots belong; only as many move as have to.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use swell_ring::{Candidate, NodeId, Slot, SlotSet, moves, place};

use super::observe::{Hottest, Press, Seen};
use super::tuning::{Plan, Tuning};
use super::view::{Action, Bounds, Decision, Held, NodeState, NodeView, Signal, Snapshot, Why};
use super::{Step, why};

/// A node's weight on the ring. One with hot slots has less, down to one.
pub const RING_WEIGHT: u32 = 100;

/// Placement leaves nodes alone that have nearly their share.
const LIGHT_WEIGHT_MAX: u32 = swell_ring::placement::LOAD_PERCENT_MIN as u32;

/// A node that was hot is so no more below this part of the average,
const COLD_TIMES: f64 = 0.8;

/// for so many times as long as it takes to see that one is hot.
const COLD_WAITS_TIMES: u64 = 3;

/// A node with less than this part of its share of slots is filled up,
const SHORT_PART: f64 = 0.8;

/// after so many times as long as it takes to see that one is hot: people may have moved slots to look at something.
const SHORT_WAITS_TIMES: u64 = 10;

/// Moves of one step at most take slots off one hot node to so many others.
const HOT_TARGETS_MAX: usize = 8;

/// What was planned before.
#[derive(Clone, Debug, Default)]
pub struct Planner {
    /// The node that is hot, and since when.
    hot: Option<(NodeId, u64)>,
    /// A node that was hot and has too little to do now, and since when.
    cold: Option<(NodeId, u64)>,
    /// Since when some node has far fewer slots than its share.
    short_since: Option<u64>,
    /// Nodes with hot slots, which keep fewer of the others.
    pub weights: BTreeMap<NodeId, u32>,
}

impl Planner {
    /// Adds moves to the step: slots for nodes that have none, then slots off a hot node.
    pub fn plan(&mut self, snapshot: &Snapshot<'_>, seen: &Seen, bounds: &Bounds, tuning: &Tuning, step: &mut Step) {
        if tuning.plan == Plan::Slots && (snapshot.nodes.iter().any(is_empty) || self.is_short(snapshot, tuning)) {
            self.hot = None;
            step.decisions.extend(self.fill(snapshot));
            return;
        }
        let (Some(hottest), Some(fullest)) = (seen.hottest, seen.fullest) else { return };
        if !seen.is_complete {
            return;
        }
        if self.forget_cold(snapshot, [&hottest, &fullest], bounds, tuning) {
            step.decisions.extend(self.fill(snapshot));
            return;
        }
        let hottest = if hottest.is_hot() { hottest } else { fullest };
        if !self.is_hot(snapshot, &hottest, tuning) {
            return;
        }
        match cool(snapshot, &hottest, bounds, tuning) {
            Some(decisions) => {
                self.hot = None;
                self.lighten(snapshot, &hottest, &decisions);
                step.decisions.extend(decisions);
            }
            None => step.held.push(alone(snapshot, &hottest)),
        }
    }

    /// Some node has had far fewer slots than its share for long: a move has failed, say.
    fn is_short(&mut self, snapshot: &Snapshot<'_>, tuning: &Tuning) -> bool {
        let staying = || snapshot.nodes.iter().filter(|node| node.state != NodeState::Draining);
        let weight = |node: &NodeView| f64::from(self.weights.get(&node.id).copied().unwrap_or(RING_WEIGHT));
        let each = swell_ring::SLOTS as f64 / staying().map(weight).sum::<f64>();
        let is_short = |node: &NodeView| f64::from(node.slots) < SHORT_PART * each * weight(node);
        if !staying().any(|node| node.state == NodeState::Serving && is_short(node)) {
            self.short_since = None;
            return false;
        }
        let since = *self.short_since.get_or_insert(snapshot.at_ms);
        let is_long = snapshot.at_ms.saturating_sub(since) >= SHORT_WAITS_TIMES * tuning.heat_ms;
        if is_long {
            self.short_since = None;
        }
        is_long
    }

    /// Slots for serving nodes that have none: the share that they keep when all that are starting have come.
    fn fill(&mut self, snapshot: &Snapshot<'_>) -> Vec<Decision> {
        self.weights.retain(|id, _| snapshot.nodes.iter().any(|node| node.id == *id));
        let staying = snapshot.nodes.iter().filter(|node| node.state != NodeState::Draining);
        let weight = |id: NodeId| self.weights.get(&id).copied().unwrap_or(RING_WEIGHT);
        let candidates: Vec<Candidate> =
            staying.map(|node| Candidate { id: node.id, weight: weight(node.id) }).collect();
        let serves = |id: NodeId| snapshot.nodes.iter().any(|node| node.id == id && node.state == NodeState::Serving);
        let mut by_target: BTreeMap<NodeId, SlotSet> = BTreeMap::new();
        for group in moves(snapshot.map, &place(&candidates, snapshot.map)) {
            by_target.entry(group.to).or_default().add(&group.slots);
        }
        let nodes = candidates.len() as f64;
        let decision = |(to, slots): (NodeId, SlotSet)| {
            let before = snapshot.map.slots_of(to).len();
            let text = format!("node {to} has {before} slots of its share and takes {}", slots.len());
            let share = swell_ring::SLOTS as f64 / nodes;
            let why = Why { node: Some(to.0), ..why(Signal::Bounds, before as f64, share, share, text) };
            Decision { action: Action::Move { slots, to }, why }
        };
        by_target.into_iter().filter(|(to, _)| serves(*to)).map(decision).collect()
    }

    /// Nodes that gave slots away for a heat that is over may hold their share again. Whether there are any.
    fn forget_cold(&mut self, snapshot: &Snapshot<'_>, most: [&Hottest; 2], bounds: &Bounds, tuning: &Tuning) -> bool {
        let weights = &mut self.weights;
        let is_cold = |node: &&NodeView| {
            weights.contains_key(&node.id)
                && most.iter().all(|most| {
                    let pressure = most.by.of(node, bounds, tuning);
                    pressure.is_some_and(|pressure| pressure < COLD_TIMES * most.average || pressure == 0.0)
                })
        };
        let Some(cold) = snapshot.nodes.iter().find(is_cold).map(|node| node.id) else {
            self.cold = None;
            return false;
        };
        match self.cold {
            Some((node, since)) if node == cold => {
                let is_over = snapshot.at_ms.saturating_sub(since) >= COLD_WAITS_TIMES * tuning.heat_ms;
                if is_over {
                    weights.remove(&cold);
                    self.cold = None;
                }
                is_over
            }
            _ => {
                self.cold = Some((cold, snapshot.at_ms));
                false
            }
        }
    }

    /// Whether the hottest node has been far above the others for a while.
    fn is_hot(&mut self, snapshot: &Snapshot<'_>, hottest: &Hottest, tuning: &Tuning) -> bool {
        let id = snapshot.nodes[hottest.at].id;
        let is_settled = snapshot.nodes.iter().all(|node| node.state == NodeState::Serving);
        if !hottest.is_hot() || !is_settled {
            self.hot = None;
            return false;
        }
        match self.hot {
            Some((hot, since)) if hot == id => snapshot.at_ms.saturating_sub(since) >= tuning.heat_ms,
            _ => {
                self.hot = Some((id, snapshot.at_ms));
                false
            }
        }
    }

    /// A node that gave slots away for its heat is not filled up again.
    fn lighten(&mut self, snapshot: &Snapshot<'_>, hottest: &Hottest, decisions: &[Decision]) {
        let node = &snapshot.nodes[hottest.at];
        let given: usize = decisions.iter().map(|decision| moved(decision).map_or(0, SlotSet::len)).sum();
        let stays = snapshot.map.slots_of(node.id).len().saturating_sub(given);
        let share = swell_ring::SLOTS / snapshot.nodes.len().max(1);
        let weight = (RING_WEIGHT as usize * stays / share.max(1)).clamp(1, RING_WEIGHT as usize) as u32;
        if weight < LIGHT_WEIGHT_MAX {
            self.weights.insert(node.id, weight);
        }
    }
}

/// The nodes whose leaving moves the fewest bytes: never the embedded one, never the last.
pub fn leavers(snapshot: &Snapshot<'_>, count: usize) -> Vec<NodeId> {
    let serving = snapshot.nodes.iter().filter(|node| node.state == NodeState::Serving);
    let mut nodes: Vec<&NodeView> = serving.clone().filter(|node| !node.is_embedded).collect();
    nodes.sort_by_key(|node| (node.used_bytes, Reverse(node.id)));
    nodes.truncate(count.min(serving.count().saturating_sub(1)));
    nodes.into_iter().map(|node| node.id).collect()
}

fn is_empty(node: &NodeView) -> bool {
    node.state == NodeState::Serving && node.slots == 0
}

fn moved(decision: &Decision) -> Option<&SlotSet> {
    match &decision.action {
        Action::Move { slots, .. } => Some(slots),
        _ => None,
    }
}

/// Moves that bring a hot node down to the average, to the nodes that have the least to do: its heaviest slots if
/// others have room for them, which moves the fewest bytes, else the slots beside them. None if that does not help.
fn cool(snapshot: &Snapshot<'_>, hottest: &Hottest, bounds: &Bounds, tuning: &Tuning) -> Option<Vec<Decision>> {
    let hot = &snapshot.nodes[hottest.at];
    let mut others: Vec<(f64, NodeId)> = snapshot
        .nodes
        .iter()
        .filter(|node| node.id != hot.id && node.state == NodeState::Serving)
        .filter_map(|node| Some((hottest.by.of(node, bounds, tuning)?, node.id)))
        .collect();
    others.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    others.truncate(HOT_TARGETS_MAX);
    let slots = by_weight(snapshot, hot, hottest);
    let mut given: BTreeMap<NodeId, SlotSet> = BTreeMap::new();
    let mut left = hottest.pressure;
    let mut stays = slots.len();
    for (slot, load) in slots {
        if left <= hottest.average || stays <= 1 {
            break;
        }
        let Some(coldest) = others.iter_mut().min_by(|one, other| one.0.total_cmp(&other.0)) else { break };
        // A slot that would only make another node as hot stays, and the others make room for it.
        if coldest.0 + load > hottest.average.max(coldest.0) + (left - hottest.average) / 2.0 {
            continue;
        }
        coldest.0 += load;
        left -= load;
        stays -= 1;
        given.entry(coldest.1).or_default().insert(slot);
    }
    let is_better = left < hottest.pressure - COOLER_MIN * (hottest.pressure - hottest.average);
    let decision = |(to, slots): (NodeId, SlotSet)| {
        let what = what(hottest.by);
        let text = format!(
            "node {} is at {:.0} % of a full node's {what} and the average at {:.0} %: {} of its slots go to node {to}",
            hot.id,
            100.0 * hottest.pressure,
            100.0 * hottest.average,
            slots.len()
        );
        let why = why(Signal::Heat, hottest.pressure, hottest.average, left, text);
        Decision { action: Action::Move { slots, to }, why: Why { node: Some(hot.id.0), ..why } }
    };
    (is_better && !given.is_empty()).then(|| given.into_iter().map(decision).collect())
}

/// Moves must take at least this part of what is above the average.
const COOLER_MIN: f64 = 0.2;

/// A node's slots with what each adds to its pressure, heaviest first: the known ones, then the rest, which is taken to
/// be spread evenly.
fn by_weight(snapshot: &Snapshot<'_>, node: &NodeView, hottest: &Hottest) -> Vec<(Slot, f64)> {
    let mut rest = snapshot.map.slots_of(node.id);
    let mut slots: Vec<(Slot, f64)> = Vec::new();
    let pressure = hottest.pressure;
    // What slots weigh in memory is not known.
    let heat = if hottest.by == Press::Work { node.heat.as_slice() } else { &[] };
    for &(number, share) in heat {
        let Some(slot) = Slot::new(number).filter(|slot| rest.contains(*slot)) else { continue };
        if share.is_finite() && share > 0.0 {
            rest.remove(slot);
            slots.push((slot, share.min(1.0) * pressure));
        }
    }
    slots.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    let known: f64 = slots.iter().map(|(_, load)| load).sum();
    let each = (pressure - known).max(0.0) / rest.len().max(1) as f64;
    slots.extend(rest.iter().map(|slot| (slot, each)));
    slots
}

fn what(by: Press) -> &'static str {
    match by {
        Press::Work => "work",
        Press::Memory => "memory",
    }
}

fn alone(snapshot: &Snapshot<'_>, hottest: &Hottest) -> Held {
    let node = &snapshot.nodes[hottest.at];
    let heaviest = node.heat.first().map_or(0.0, |(_, share)| *share);
    let text = format!(
        "node {} is at {:.0} % of a full node's {} and the average at {:.0} %; its heaviest slot has {:.0} % of its work",
        node.id,
        100.0 * hottest.pressure,
        what(hottest.by),
        100.0 * hottest.average,
        100.0 * heaviest
    );
    let why = why(Signal::Heat, hottest.pressure, hottest.average, hottest.pressure, text);
    Held { why: Why { node: Some(node.id.0), ..why }, reason: "no slots to move would make it cooler".to_string() }
}
