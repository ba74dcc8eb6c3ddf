//! Nodes in virtual time: they take a while to start, then to be filled with slots, and cost from the first second.

use std::collections::BTreeMap;

use swell_ring::{Candidate, Epoch, Member, NodeId, Slot, SlotMap, SlotSet, all_slots, place};

use super::Machine;
use super::shapes::Load;
use crate::policy::RING_WEIGHT;

/// Planning figures leave so much room before a node is at its end.
pub const BURST: f64 = 1.25;

/// Part of a node's capacity that is gone while all nodes give or take slots.
const MOVE_COST: f64 = 0.1;

/// A node in virtual time.
#[derive(Clone, Debug)]
pub struct SimNode {
    pub id: u32,
    pub phase: Phase,
    /// How much of its share of slots it has, 0 to 1.
    pub fill: f64,
    /// Its share beside the others': 1, unless slots were moved off it or to it for their heat.
    pub part: f64,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Until then.
    Starting(u32),
    Serving,
    Draining,
}

/// What happened in one second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tick {
    /// Nodes that cost.
    pub nodes: u32,
    /// The full nodes that what serves is as good as.
    pub capacity: f64,
    /// The hardest pressed node's share of its limit, as wanted and as measured.
    pub wanted: f64,
    pub measured: f64,
    /// The place of the node with the hot slot.
    pub hot_at: Option<usize>,
    /// Some node takes or gives slots.
    pub is_filling: bool,
}

/// All nodes.
#[derive(Clone, Debug)]
pub struct Cluster {
    machine: Machine,
    pub nodes: Vec<SimNode>,
    next_id: u32,
    /// Sum of `fill × part` of what serves.
    pub weight: f64,
    /// Who has which slot, for a policy that moves them. The others' hot slot is where its number falls.
    pub slots: Option<SlotMap>,
    /// Slots on their way for their heat: until when.
    pub moving: Option<(u32, Vec<(SlotSet, NodeId)>)>,
    pub moves: u64,
    /// All nodes serve and are full: nothing changes by itself, and nobody need be looked at.
    is_quiet: bool,
    /// Nodes that should hold less than the others, by what the policy says.
    pub ring_weights: BTreeMap<NodeId, u32>,
}

impl Cluster {
    /// So many nodes that serve, and the first of which stays.
    pub fn new(machine: &Machine, nodes: u32, with_slots: bool) -> Cluster {
        let slots = with_slots.then(SlotMap::empty);
        let mut cluster = Cluster {
            machine: machine.clone(),
            nodes: Vec::new(),
            next_id: 1,
            weight: 0.0,
            slots,
            moving: None,
            moves: 0,
            is_quiet: false,
            ring_weights: BTreeMap::new(),
        };
        cluster.add(nodes, 0);
        for node in &mut cluster.nodes {
            (node.phase, node.fill) = (Phase::Serving, 1.0);
        }
        cluster.weight = f64::from(nodes);
        cluster.spread();
        cluster
    }

    /// Asks for more nodes.
    pub fn add(&mut self, count: u32, now: u32) {
        self.is_quiet &= count == 0;
        for id in self.next_id..self.next_id + count {
            let phase = Phase::Starting(now + self.machine.ready_seconds);
            self.nodes.push(SimNode { id, phase, fill: 0.0, part: 1.0 });
        }
        self.next_id += count;
    }

    /// Drains nodes: those that have the least, then the youngest. The first of all stays.
    pub fn remove(&mut self, count: u32) {
        for _ in 0..count.min(self.staying().saturating_sub(1)) {
            let starting = self.nodes.iter().rposition(|node| matches!(node.phase, Phase::Starting(_)));
            if let Some(at) = starting {
                self.nodes.remove(at);
                continue;
            }
            let Some(node) = self.nodes.iter().skip(1).rev().find(|node| node.phase == Phase::Serving) else { return };
            self.drain(node.id);
        }
    }

    /// Drains this node.
    pub fn drain(&mut self, id: u32) {
        self.is_quiet = false;
        if let Some(node) = self.nodes.iter_mut().find(|node| node.id == id) {
            node.phase = Phase::Draining;
        }
    }

    /// A full node's bytes.
    pub fn node_memory_bytes(&self) -> f64 {
        self.machine.node_memory_bytes as f64
    }

    /// Nodes that are not leaving.
    pub fn staying(&self) -> u32 {
        if self.is_quiet {
            return self.nodes.len() as u32;
        }
        self.nodes.iter().filter(|node| node.phase != Phase::Draining).count() as u32
    }

    /// Moves slots off a hot node, as fast as its bytes go.
    pub fn relocate(&mut self, moves: Vec<(SlotSet, NodeId)>, load: &Load, now: u32) {
        let slots: usize = moves.iter().map(|(slots, _)| slots.len()).sum();
        let bytes =
            f64::from(load.memory) * self.machine.node_memory_bytes as f64 * slots as f64 / swell_ring::SLOTS as f64;
        let seconds = bytes / self.machine.move_bytes_per_second as f64;
        self.moves += slots as u64;
        self.moving = Some((now + seconds.ceil().max(1.0) as u32, moves));
    }

    /// A second goes by.
    pub fn tick(&mut self, now: u32, load: &Load) -> Tick {
        let busy = if self.is_quiet { 0 } else { self.go_on(now, load) };
        self.arrive(now);
        self.measure(load, busy)
    }

    /// Nodes start, are filled and leave. How many take or give slots.
    fn go_on(&mut self, now: u32, load: &Load) -> u32 {
        let per_second = self.filled_per_second(load);
        let (mut weight, mut busy, mut left, mut served) = (0.0, 0u32, false, false);
        for node in &mut self.nodes {
            match node.phase {
                Phase::Starting(until) if now < until => continue,
                Phase::Starting(_) => {
                    node.phase = Phase::Serving;
                    served = true;
                }
                Phase::Serving if node.fill < 1.0 => {
                    node.fill = (node.fill + per_second).min(1.0);
                    busy += 1;
                    self.moves += (per_second * swell_ring::SLOTS as f64 / self.weight.max(1.0)) as u64;
                }
                Phase::Serving => {}
                Phase::Draining => {
                    node.fill -= per_second;
                    busy += 1;
                    left |= node.fill <= 0.0;
                }
            }
            weight += node.fill.max(0.0) * node.part;
        }
        if left {
            self.nodes.retain(|node| node.phase != Phase::Draining || node.fill > 0.0);
        }
        self.weight = weight;
        self.is_quiet = self.nodes.iter().all(|node| node.phase == Phase::Serving && node.fill >= 1.0);
        if left || served {
            self.spread();
        }
        busy
    }

    /// Part of a node's share that is filled or emptied in a second.
    fn filled_per_second(&self, load: &Load) -> f64 {
        let share = f64::from(load.memory) / self.weight.max(1.0) * self.machine.node_memory_bytes as f64;
        self.machine.move_bytes_per_second as f64 / share.max(1.0)
    }

    fn measure(&self, load: &Load, busy: u32) -> Tick {
        let count = self.nodes.len() as f64;
        let capacity = self.weight * (1.0 - MOVE_COST * f64::from(busy) / count.max(1.0));
        let each_work = f64::from(load.work - load.hot) / capacity.max(ALMOST_NONE);
        let each_memory = f64::from(load.memory) / self.weight.max(ALMOST_NONE);
        let part = |node: &SimNode| node.fill * node.part;
        let fullest = match self.slots {
            Some(_) => self.nodes.iter().map(part).fold(0.0, f64::max),
            None => 1.0,
        };
        let hot_at = (load.hot > 0.0).then(|| self.hot_at(load.hot_slot)).flatten();
        let hot_work = hot_at.map_or(0.0, |at| each_work * part(&self.nodes[at]) + f64::from(load.hot));
        let work = (each_work * fullest).max(hot_work);
        let memory = each_memory * fullest;
        Tick {
            nodes: self.nodes.len() as u32,
            capacity,
            wanted: work.max(memory),
            measured: work.min(BURST).max(memory),
            hot_at,
            is_filling: busy > 0,
        }
    }

    fn hot_at(&self, slot: u16) -> Option<usize> {
        match &self.slots {
            Some(map) => {
                let owner = map.owner(Slot::new(slot)?)?;
                self.nodes.iter().position(|node| node.id == owner.0)
            }
            None => Some(usize::from(slot) % self.nodes.len().max(1)),
        }
    }

    /// Gives the slots to those who serve, as the ring says.
    fn spread(&mut self) {
        let Some(known) = &mut self.slots else { return };
        let serving = self.nodes.iter().filter(|node| node.phase == Phase::Serving);
        let weight = |id| self.ring_weights.get(&id).copied().unwrap_or(RING_WEIGHT);
        let candidate = |id| Candidate { id, weight: weight(id) };
        let serving: Vec<Candidate> = serving.map(|node| candidate(NodeId(node.id))).collect();
        let placed = place(&serving, known);
        let member = |node: &Candidate| Member { id: node.id, address: String::new(), zone: String::new() };
        let map = serving.iter().map(member).fold(SlotMap::empty(), SlotMap::with_member);
        *known = placed.iter().fold(map, |map, (slots, id)| map.assigned(slots, *id));
        self.parts();
    }

    /// Slots that were moved for their heat are there.
    fn arrive(&mut self, now: u32) {
        let Some((_, moves)) = self.moving.take_if(|(until, _)| *until <= now) else { return };
        let Some(known) = &mut self.slots else { return };
        for (slots, to) in moves {
            if known.node(to).is_some() {
                *known = known.assigned(&slots, to);
            }
        }
        self.parts();
    }

    fn parts(&mut self) {
        let Some(map) = &self.slots else { return };
        self.is_quiet = false;
        let mut owned = vec![0u32; map.nodes().len()];
        all_slots().filter_map(|slot| map.owner_index(slot)).for_each(|owner| owned[owner] += 1);
        let share = swell_ring::SLOTS as f64 / owned.len().max(1) as f64;
        for node in &mut self.nodes {
            let at = map.nodes().iter().position(|member| member.id.0 == node.id);
            node.part = at.map_or(1.0, |at| f64::from(owned[at]) / share);
        }
    }
}

/// So that nothing is divided by nothing.
const ALMOST_NONE: f64 = 1e-9;

/// The map of a cluster without one.
pub fn no_map() -> SlotMap {
    let member = Member { id: NodeId(1), address: String::new(), zone: String::new() };
    SlotMap::single(Epoch(1), member)
}
