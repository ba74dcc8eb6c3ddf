//! One way to choose the number of nodes, under one load.

use swell_ring::{Slot, SlotMap, SlotSet};

use super::Options;
use super::cluster::{BURST, Cluster, Phase, Tick, no_map};
use super::report::Score;
use super::rivals::Rival;
use super::shapes::Load;
use crate::policy::view::{Action, Bounds, Free, NodeState, NodeView, Snapshot};
use crate::policy::{Plan, Policy, Step, Tuning};

/// A node's planning figure of ECPU/s; which one it is makes no difference here.
const NODE_ECPU: f64 = 100_000.0;

/// And of network bytes per second, of which half is used when all ECPUs are.
const NODE_NETWORK: f64 = 1e9;

/// A loop that cannot keep up is this late, milliseconds.
const LATE_MS: f64 = 100.0;

/// Runs our policy.
pub fn ours(options: &Options, loads: &[Load], tuning: &Tuning) -> Score {
    let has_hot = loads.iter().any(|load| load.hot > 0.0);
    let mut run = Ours::new(options, tuning, first_nodes(loads, options.nodes), has_hot);
    let mut score = Score::default();
    for (now, load) in (0u32..).zip(loads) {
        let tick = run.cluster.tick(now, load);
        score.note(load, &tick);
        run.step(now, load, &tick);
    }
    score.moves = run.cluster.moves;
    score
}

/// Runs another one.
pub fn rival(options: &Options, loads: &[Load], rival: &mut Rival) -> Score {
    let first = rival.first_nodes().unwrap_or_else(|| first_nodes(loads, options.nodes));
    let mut cluster = Cluster::new(&options.machine, first, false);
    let mut score = Score::default();
    for (now, load) in (0u32..).zip(loads) {
        let tick = cluster.tick(now, load);
        score.note(load, &tick);
        let there = cluster.staying();
        let wanted = rival.wanted(now, cluster.weight, there, &tick).clamp(1, options.nodes);
        match wanted > there {
            true => cluster.add(wanted - there, now),
            false => cluster.remove(there - wanted),
        }
    }
    score.moves = cluster.moves;
    score
}

/// Everybody begins with what the first minute needs.
fn first_nodes(loads: &[Load], nodes: u32) -> u32 {
    let most = loads.iter().take(60).map(Load::nodes).fold(0.0, f64::max);
    ((most * 1.2).ceil() as u32).clamp(1, nodes)
}

/// The policy, and the snapshot that it is shown.
struct Ours {
    cluster: Cluster,
    policy: Policy,
    nodes: Vec<NodeView>,
    map: SlotMap,
}

impl Ours {
    fn new(options: &Options, tuning: &Tuning, first: u32, has_slots: bool) -> Ours {
        let bounds = Bounds {
            nodes_min: 1,
            nodes_max: options.nodes,
            node_memory_bytes: options.machine.node_memory_bytes,
            node_ecpu_per_second: NODE_ECPU,
            node_network_bytes_per_second: NODE_NETWORK,
            node_cores: 1.0,
        };
        let tuning = Tuning { plan: Plan::NodesOnly, ..tuning.clone() };
        Ours {
            cluster: Cluster::new(&options.machine, first, has_slots),
            policy: Policy::new(bounds, tuning),
            nodes: Vec::new(),
            map: no_map(),
        }
    }

    fn step(&mut self, now: u32, load: &Load, tick: &Tick) {
        self.look(load, tick);
        let mut moving = SlotSet::new();
        self.cluster.moving.iter().flat_map(|(_, moves)| moves).for_each(|(slots, _)| moving.add(slots));
        if tick.is_filling {
            // Which ones is known to nobody here.
            Slot::new(0).into_iter().for_each(|slot| moving.insert(slot));
        }
        let snapshot = Snapshot {
            at_ms: 1000 * (u64::from(now) + 1),
            nodes: std::mem::take(&mut self.nodes),
            map: self.cluster.slots.as_ref().unwrap_or(&self.map),
            moving,
            free: Free { cores: f64::INFINITY, memory_bytes: u64::MAX },
        };
        let step = self.policy.step(&snapshot);
        self.nodes = snapshot.nodes;
        self.carry_out(step, now, load);
    }

    fn carry_out(&mut self, step: Step, now: u32, load: &Load) {
        let mut moves = Vec::new();
        for decision in step.decisions {
            match decision.action {
                Action::AddNodes { count } => self.cluster.add(count, now),
                Action::Remove { node } => self.cluster.drain(node.0),
                Action::Move { slots, to } => moves.push((slots, to)),
            }
        }
        if !moves.is_empty() {
            self.cluster.ring_weights = self.policy.ring_weights().clone();
            self.cluster.relocate(moves, load, now);
        }
    }

    /// What the nodes measure now.
    fn look(&mut self, load: &Load, tick: &Tick) {
        let spread = f64::from(load.work - load.hot) / tick.capacity.max(f64::MIN_POSITIVE);
        let each_memory = f64::from(load.memory) / self.cluster.weight.max(f64::MIN_POSITIVE);
        self.nodes.resize_with(self.cluster.nodes.len(), || NodeView::starting(swell_ring::NodeId(0)));
        for (at, (view, node)) in self.nodes.iter_mut().zip(&self.cluster.nodes).enumerate() {
            let part = node.fill.max(0.0) * node.part;
            let hot = if tick.hot_at == Some(at) { f64::from(load.hot) } else { 0.0 };
            let wanted = spread * part + hot;
            let served = wanted.min(BURST);
            view.id.0 = node.id;
            view.is_embedded = at == 0;
            view.state = match node.phase {
                Phase::Starting(_) => NodeState::Starting,
                Phase::Serving => NodeState::Serving,
                Phase::Draining => NodeState::Draining,
            };
            view.slots = (part * 16.0).ceil() as u32;
            view.used_bytes = (each_memory * part * self.cluster.node_memory_bytes()) as u64;
            view.busy_share = served / BURST;
            view.loop_delay_ms = if wanted > BURST { LATE_MS } else { 0.2 };
            view.network_bytes_per_second = served * NODE_NETWORK / 2.0;
            view.ecpu_per_second = served * NODE_ECPU;
            view.heat.clear();
            if hot > 0.0 {
                view.heat.push((load.hot_slot, hot / wanted));
            }
        }
    }
}
