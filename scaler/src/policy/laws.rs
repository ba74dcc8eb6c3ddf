//! Laws of the policy, on nodes that exist only here: they start, take slots and leave as real ones do, four times a
//! second. Each law holds for many seeds; a broken one names its seed.

use swell_ring::{Epoch, Member, NodeId, SLOTS, SlotMap, SlotSet};

use super::view::{Action, Bounds, Free, NodeState, NodeView, Signal, Snapshot};
use super::{Policy, Step, Tuning};
use crate::simulate::shapes::Random;

const TICK_MS: u64 = 250;
const START_MS: u64 = 1_250;
const SLOTS_PER_TICK: usize = 1_024;
const SEEDS: u64 = 24;

/// What is wanted at one moment, in nodes.
#[derive(Clone, Copy, Default)]
struct Load {
    work: f64,
    memory: f64,
    /// Work of one slot besides.
    hot: Option<(u16, f64)>,
}

struct World {
    now: u64,
    map: SlotMap,
    /// How many slots each node has, by its number.
    counts: Vec<usize>,
    nodes: Vec<(NodeId, NodeState, u64)>,
    /// Slots that wait to be moved.
    queue: Vec<(SlotSet, NodeId)>,
    policy: Policy,
    free: Free,
    adds: u32,
    removes: u32,
    moved: usize,
}

fn bounds(nodes_min: u32, nodes_max: u32) -> Bounds {
    Bounds {
        nodes_min,
        nodes_max,
        node_memory_bytes: 64 << 20,
        node_ecpu_per_second: 10_000.0,
        node_network_bytes_per_second: 0.0,
        node_cores: 0.1,
    }
}

fn member(id: NodeId) -> Member {
    Member { id, address: format!("unix:/{id}"), zone: String::new() }
}

impl World {
    fn new(bounds: Bounds) -> World {
        World {
            now: 1_000,
            map: SlotMap::single(Epoch(1), member(NodeId(1))),
            counts: vec![0, SLOTS],
            nodes: vec![(NodeId(1), NodeState::Serving, 0)],
            queue: Vec::new(),
            policy: Policy::new(bounds, Tuning::default()),
            free: Free { cores: 64.0, memory_bytes: 1 << 40 },
            adds: 0,
            removes: 0,
            moved: 0,
        }
    }

    fn view(&self, id: NodeId, state: NodeState, load: &Load) -> NodeView {
        let part = self.count(id) as f64 / SLOTS as f64;
        let hot = load.hot.filter(|(slot, _)| self.has(id, *slot));
        let hot_work = hot.map_or(0.0, |(_, work)| work);
        let work = load.work * part + hot_work;
        // A node's CPU is at its end where its planning figure is.
        let served = work.min(1.0);
        NodeView {
            id,
            state,
            is_embedded: id == NodeId(1),
            slots: self.count(id) as u32,
            used_bytes: (load.memory * part * (64u64 << 20) as f64) as u64,
            busy_share: served,
            loop_delay_ms: if work > 1.0 { 60.0 } else { 0.5 },
            network_bytes_per_second: served * 1e6,
            ecpu_per_second: served * 9_000.0,
            heat: hot.map(|(slot, hot)| (slot, hot / work)).into_iter().collect(),
        }
    }

    fn tick(&mut self, load: &Load) -> Step {
        self.now += TICK_MS;
        self.carry();
        let nodes: Vec<NodeView> = self.nodes.iter().map(|(id, state, _)| self.view(*id, *state, load)).collect();
        let mut moving = SlotSet::new();
        self.queue.iter().for_each(|(slots, _)| moving.add(slots));
        let snapshot = Snapshot { at_ms: self.now, nodes, map: &self.map, moving, free: self.free };
        let step = self.policy.step(&snapshot);
        self.check(&snapshot, &step);
        self.obey(&step);
        step
    }

    /// What holds at every step, whatever the load.
    fn check(&self, snapshot: &Snapshot<'_>, step: &Step) {
        let bounds = self.policy.bounds();
        let state = |id: NodeId| snapshot.nodes.iter().find(|node| node.id == id).map(|node| node.state);
        let staying = snapshot.nodes.iter().filter(|node| node.state != NodeState::Draining).count() as u32;
        let (mut adds, mut removes) = (0, 0);
        for decision in &step.decisions {
            assert!(!decision.why.text.is_empty());
            match &decision.action {
                Action::AddNodes { count } => adds += count,
                Action::Remove { node } => {
                    removes += 1;
                    assert_eq!(state(*node), Some(NodeState::Serving), "removes {node}");
                    assert_ne!(*node, NodeId(1), "the embedded node leaves last");
                    assert!(snapshot.moving.is_empty(), "removes {node} while slots move");
                }
                Action::Move { slots, to } => {
                    assert_eq!(state(*to), Some(NodeState::Serving), "moves slots to {to}");
                    assert!(snapshot.moving.is_empty() && !slots.is_empty());
                    assert!(slots.iter().all(|slot| self.map.owner(slot) != Some(*to)), "moves to where they are");
                }
            }
        }
        assert!(adds == 0 || removes == 0, "adds and removes at once");
        assert!(adds == 0 || staying + adds <= bounds.nodes_max, "{staying} + {adds}");
        assert!(removes == 0 || staying - removes >= bounds.nodes_min.max(1), "{staying} - {removes}");
    }

    fn obey(&mut self, step: &Step) {
        for decision in &step.decisions {
            match &decision.action {
                Action::AddNodes { count } => {
                    self.adds += count;
                    for _ in 0..*count {
                        let id = NodeId(self.nodes.iter().map(|(id, ..)| id.0).max().unwrap_or(0) + 1);
                        self.nodes.push((id, NodeState::Starting, self.now + START_MS));
                        self.map = self.map.clone().with_member(member(id));
                    }
                }
                Action::Move { slots, to } => self.queue.push((slots.clone(), *to)),
                Action::Remove { node } => {
                    self.removes += 1;
                    let stay = self.nodes.iter().find(|(id, state, _)| id != node && *state == NodeState::Serving);
                    let to = stay.expect("a node that stays").0;
                    self.queue.push((self.map.slots_of(*node), to));
                    let leaver = self.nodes.iter_mut().find(|(id, ..)| id == node).expect("it was there");
                    leaver.1 = NodeState::Draining;
                }
            }
        }
    }

    /// Slots go, nodes come and leave.
    fn carry(&mut self) {
        for (_, state, until) in &mut self.nodes {
            if *state == NodeState::Starting && *until <= self.now {
                *state = NodeState::Serving;
            }
        }
        if let Some((slots, to)) = self.queue.first_mut() {
            let group: SlotSet = slots.iter().take(SLOTS_PER_TICK).collect();
            self.moved += group.len();
            slots.subtract(&group);
            self.map = self.map.assigned(&group, *to);
            self.counts = vec![0; self.nodes.iter().map(|(id, ..)| id.0 as usize + 1).max().unwrap_or(0)];
            let owners = swell_ring::all_slots().filter_map(|slot| self.map.owner(slot));
            owners.for_each(|owner| self.counts[owner.0 as usize] += 1);
            if slots.is_empty() {
                self.queue.remove(0);
            }
        }
        let counts = &self.counts;
        self.nodes.retain(|(id, state, _)| *state != NodeState::Draining || counts[id.0 as usize] > 0);
    }

    fn serving(&self) -> usize {
        self.nodes.iter().filter(|(id, state, _)| *state == NodeState::Serving && self.count(*id) > 0).count()
    }

    fn count(&self, id: NodeId) -> usize {
        self.counts.get(id.0 as usize).copied().unwrap_or(0)
    }

    fn has(&self, id: NodeId, slot: u16) -> bool {
        swell_ring::Slot::new(slot).and_then(|slot| self.map.owner(slot)) == Some(id)
    }

    /// The highest share of a node's capacity that is wanted of it.
    fn worst(&self, load: &Load) -> f64 {
        let of = |id: NodeId| {
            let hot = load.hot.filter(|(slot, _)| self.has(id, *slot));
            load.work * self.count(id) as f64 / SLOTS as f64 + hot.map_or(0.0, |(_, work)| work)
        };
        self.nodes.iter().map(|(id, ..)| of(*id)).fold(0.0, f64::max)
    }

    fn run(&mut self, seconds: u64, load: impl Fn(f64) -> Load) {
        let from = self.now;
        while self.now < from + 1000 * seconds {
            let at = (self.now - from) as f64 / 1000.0;
            self.tick(&load(at));
        }
    }
}

fn steady(work: f64, memory: f64) -> impl Fn(f64) -> Load {
    move |_| Load { work, memory, hot: None }
}

#[test]
fn a_step_to_three_nodes_work_is_seen_within_a_second_and_balanced_within_fifteen() {
    let mut world = World::new(bounds(1, 8));
    world.run(60, steady(0.3, 0.2));
    assert_eq!(world.adds, 0);
    let (from, load) = (world.now, Load { work: 3.0, memory: 0.2, hot: None });
    while world.adds == 0 {
        world.tick(&load);
        assert!(world.now - from <= 1_000, "not seen after {} ms", world.now - from);
    }
    while world.worst(&load) > 0.9 {
        world.tick(&load);
        assert!(world.now - from <= 15_000, "{} of {} nodes have slots", world.serving(), world.nodes.len());
    }
    world.run(120, |_| load);
    assert!((4..=5).contains(&world.serving()), "{} nodes stay", world.serving());
    world.run(600, steady(0.1, 0.1));
    assert_eq!(world.nodes.len(), 1, "the last one stays alone");
}

#[test]
fn memory_that_grows_finds_nodes_before_it_needs_them() {
    let mut world = World::new(bounds(1, 16));
    world.run(20, steady(0.1, 0.1));
    let growing = |at: f64| Load { work: 0.1, memory: 0.1 + 0.05 * at, hot: None };
    let from = world.now;
    while world.now < from + 120_000 {
        let load = growing((world.now - from) as f64 / 1000.0);
        world.tick(&load);
        let fullest = world.nodes.iter().map(|(id, ..)| world.count(*id)).max().unwrap_or(0);
        let share = load.memory * fullest as f64 / SLOTS as f64;
        assert!(share <= 1.15, "a node has {share:.2} of its memory after {} ms", world.now - from);
    }
    assert!(world.serving() >= 6);
}

#[test]
fn a_load_that_comes_and_goes_faster_than_nodes_do_comes_to_rest() {
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let period = 1.0 + 9.0 * random.unit();
        let (middle, swing) = (1.0 + 3.0 * random.unit(), 0.5 * random.unit());
        let wave = |at: f64| Load {
            work: middle * (1.0 + swing * (std::f64::consts::TAU * at / period).sin()),
            memory: 0.5,
            hot: None,
        };
        let mut world = World::new(bounds(1, 32));
        world.run(1_200, wave);
        let (adds, removes) = (world.adds, world.removes);
        world.run(1_200, wave);
        let after = (world.adds - adds, world.removes - removes);
        assert!(after.0 <= 1 && after.1 <= 1, "seed {seed}: {after:?} changes, period {period:.1} s, swing {swing:.2}");
    }
}

#[test]
fn a_load_that_stays_with_its_noise_comes_to_rest() {
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let work = 0.2 + 6.0 * random.unit();
        let memory = 6.0 * random.unit();
        let noise: Vec<f64> = (0..4_096).map(|_| 1.0 + 0.1 * (random.unit() - 0.5)).collect();
        let load = |at: f64| Load { work: work * noise[(at * 4.0) as usize % noise.len()], memory, hot: None };
        let mut world = World::new(bounds(1, 32));
        world.run(2_400, load);
        let (adds, removes, moved) = (world.adds, world.removes, world.moved);
        world.run(1_200, load);
        let (adds, removes, moved) = (world.adds - adds, world.removes - removes, world.moved - moved);
        let text = format!("seed {seed}: work {work:.2}, memory {memory:.2}, {} nodes", world.nodes.len());
        assert!(adds <= 2 && removes <= 2, "{adds} added, {removes} removed; {text}");
        assert!(adds + removes > 0 || moved == 0, "{moved} slots moved; {text}");
    }
}

#[test]
fn bounds_are_kept_whatever_comes() {
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let nodes_min = 1 + (random.bits() % 3) as u32;
        let nodes_max = nodes_min + (random.bits() % 6) as u32;
        let mut world = World::new(bounds(nodes_min, nodes_max));
        for _ in 0..20 {
            let hot = (random.unit() < 0.3).then(|| ((random.bits() % SLOTS as u64) as u16, random.unit()));
            let load = Load { work: 10.0 * random.unit().powi(2), memory: 10.0 * random.unit().powi(3), hot };
            // Every step is checked against the bounds.
            world.run(5 + random.bits() % 90, |_| load);
            let nodes = world.nodes.len() as u32;
            assert!((nodes_min..=nodes_max).contains(&nodes), "seed {seed}: {nodes} nodes");
        }
    }
}

#[test]
fn silence_is_no_reason_for_anything() {
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let load = Load { work: 3.0 * random.unit(), memory: 3.0 * random.unit(), hot: None };
        let mut world = World::new(bounds(1, 8));
        world.run(120, |_| load);
        assert!(world.queue.is_empty());
        for at in 0..4_000u64 {
            world.now += TICK_MS;
            let mut nodes: Vec<NodeView> =
                world.nodes.iter().map(|(id, state, _)| world.view(*id, *state, &load)).collect();
            match (seed + at / 1_000) % 2 {
                0 => nodes.clear(),
                _ => nodes.iter_mut().for_each(|node| {
                    (node.busy_share, node.loop_delay_ms) = (f64::NAN, f64::NAN);
                    (node.network_bytes_per_second, node.ecpu_per_second) = (f64::NAN, f64::NAN);
                }),
            }
            let snapshot =
                Snapshot { at_ms: world.now, nodes, map: &world.map, moving: SlotSet::new(), free: world.free };
            assert_eq!(world.policy.step(&snapshot), Step::default(), "seed {seed} at {at}");
        }
    }
}

#[test]
fn one_silent_node_is_no_reason_to_let_one_go() {
    let mut world = World::new(bounds(1, 8));
    world.run(60, steady(3.0, 0.5));
    let load = Load { work: 0.1, memory: 0.1, hot: None };
    for _ in 0..2_000 {
        world.now += TICK_MS;
        let mut nodes: Vec<NodeView> =
            world.nodes.iter().map(|(id, state, _)| world.view(*id, *state, &load)).collect();
        let silent = nodes.last_mut().expect("nodes");
        (silent.busy_share, silent.ecpu_per_second) = (f64::NAN, f64::NAN);
        silent.network_bytes_per_second = f64::INFINITY;
        let snapshot = Snapshot { at_ms: world.now, nodes, map: &world.map, moving: SlotSet::new(), free: world.free };
        assert_eq!(world.policy.step(&snapshot).decisions, []);
    }
}

#[test]
fn a_clock_that_stands_still_or_goes_back_does_nothing() {
    let mut world = World::new(bounds(1, 8));
    world.run(10, steady(0.5, 0.5));
    let load = Load { work: 5.0, memory: 5.0, hot: None };
    for back in [0, 1, 5_000] {
        let nodes = vec![world.view(NodeId(1), NodeState::Serving, &load)];
        let at_ms = world.now - back;
        let snapshot = Snapshot { at_ms, nodes, map: &world.map, moving: SlotSet::new(), free: world.free };
        assert_eq!(world.policy.step(&snapshot), Step::default());
    }
}

#[test]
fn a_machine_without_cores_gets_no_nodes_for_cpu_and_says_so() {
    let mut world = World::new(bounds(1, 8));
    world.free.cores = 0.05;
    world.run(20, steady(0.2, 0.2));
    let mut held = Vec::new();
    for _ in 0..80 {
        held.extend(world.tick(&Load { work: 2.0, memory: 0.2, hot: None }).held);
    }
    assert_eq!(world.adds, 0);
    assert!(held.iter().all(|one| one.is_like(&held[0])), "{held:?}");
    assert!(held[0].reason.contains("cores"), "{}", held[0].reason);
    assert!(matches!(held[0].why.signal, Signal::Cpu | Signal::Delay));
    // Memory needs none of them.
    world.run(20, steady(0.2, 1.5));
    assert_eq!(world.adds, 1);
    world.free.memory_bytes = 1 << 20;
    let step = world.tick(&Load { work: 0.2, memory: 9.0, hot: None });
    let more = (0..8).map(|_| world.tick(&Load { work: 0.2, memory: 9.0, hot: None }));
    let held: Vec<_> = step.held.into_iter().chain(more.flat_map(|step| step.held)).collect();
    assert!(held.iter().any(|held| held.reason.contains("memory")), "{held:?}");
    assert_eq!(world.adds, 1);
}

#[test]
fn a_hot_slot_gets_room_and_comes_to_rest() {
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let hot = (random.bits() % SLOTS as u64) as u16;
        let load = Load { work: 2.0, memory: 1.0, hot: Some((hot, 0.5)) };
        let mut world = World::new(bounds(4, 4));
        world.run(60, steady(2.0, 1.0));
        assert_eq!(world.serving(), 4);
        assert!(world.worst(&load) > 0.95, "seed {seed}: it is hot");
        world.run(60, |_| load);
        let worst = world.worst(&load);
        assert!(worst < 0.85, "seed {seed}: still {worst:.2} where {:.2} is the average", 2.5 / 4.0);
        let moved = world.moved;
        world.run(600, |_| load);
        assert_eq!(world.moved, moved, "seed {seed}: slots go to and fro");
        // The heat is over: every node has its share again.
        world.run(120, steady(2.0, 1.0));
        assert!(world.worst(&Load { work: 2.0, ..Load::default() }) < 0.6, "seed {seed}");
    }
}

#[test]
fn who_comes_gets_its_share_and_no_slot_moves_twice() {
    for nodes in [2, 3, 4, 7, 12] {
        let mut world = World::new(bounds(nodes, nodes));
        world.run(120, steady(0.5, 0.5));
        assert_eq!(world.serving() as u32, nodes);
        let stays = SLOTS / nodes as usize;
        assert!(world.moved <= SLOTS - stays + SLOTS / 20, "{} slots moved for {nodes} nodes", world.moved);
        let most = world.nodes.iter().map(|(id, ..)| world.count(*id)).max().unwrap_or(0);
        assert!(most as f64 <= 1.15 * SLOTS as f64 / f64::from(nodes), "{most} slots of {nodes} nodes");
    }
}

#[test]
fn a_node_whose_moves_failed_is_filled_up() {
    let mut world = World::new(bounds(2, 2));
    world.run(30, steady(0.5, 0.5));
    let node = world.nodes[1].0;
    let lost: SlotSet = world.map.slots_of(node).iter().take(4_000).collect();
    world.queue.push((lost, NodeId(1)));
    world.run(20, steady(0.5, 0.5));
    let left = world.count(node);
    assert!(left < 5_000, "{left} slots");
    world.run(60, steady(0.5, 0.5));
    assert!(world.count(node) > 7_300, "{} slots", world.count(node));
}

#[test]
fn a_node_with_too_much_memory_gives_slots_away_and_keeps_them_away() {
    let mut world = World::new(bounds(2, 2));
    world.run(30, steady(0.2, 0.5));
    // One half of the slots is ten times as heavy as the other.
    let heavy = world.map.slots_of(NodeId(1));
    let bytes = |world: &World, id: NodeId| {
        let slots = world.map.slots_of(id);
        let heavy = slots.iter().filter(|slot| heavy.contains(*slot)).count() as f64;
        ((heavy + (slots.len() as f64 - heavy) / 10.0) / 8192.0 * 1.5 * (64u64 << 20) as f64) as u64
    };
    let full =
        |world: &World| bytes(world, NodeId(1)).max(bytes(world, world.nodes[1].0)) as f64 / (64u64 << 20) as f64;
    assert!(full(&world) > 1.4);
    let load = Load { work: 0.2, memory: 0.5, hot: None };
    let mut moves = Vec::new();
    for at in 0..4_000 {
        world.now += TICK_MS;
        world.carry();
        let mut nodes: Vec<NodeView> =
            world.nodes.iter().map(|(id, state, _)| world.view(*id, *state, &load)).collect();
        nodes.iter_mut().for_each(|node| node.used_bytes = bytes(&world, node.id));
        let mut moving = SlotSet::new();
        world.queue.iter().for_each(|(slots, _)| moving.add(slots));
        let snapshot = Snapshot { at_ms: world.now, nodes, map: &world.map, moving, free: world.free };
        let step = world.policy.step(&snapshot);
        world.check(&snapshot, &step);
        world.obey(&step);
        if !step.decisions.is_empty() {
            moves.push(at);
        }
    }
    assert!(full(&world) <= 1.05, "{:.2} after {moves:?}", full(&world));
    assert!(moves.len() <= 6 && moves.last().is_none_or(|at| *at < 1_000), "{moves:?}");
}

#[test]
fn without_cores_memory_gets_its_nodes_though_cpu_wants_more() {
    let mut world = World::new(bounds(1, 8));
    world.free.cores = 0.05;
    world.run(20, steady(0.2, 0.2));
    let load = Load { work: 5.0, memory: 2.2, hot: None };
    let steps: Vec<Step> = (0..200).map(|_| world.tick(&load)).collect();
    assert_eq!(world.nodes.len(), 3, "as many as memory wants, and no more");
    let decisions: Vec<_> = steps.iter().flat_map(|step| &step.decisions).collect();
    let is_add = |action: &Action| matches!(action, Action::AddNodes { .. });
    let mut adds = decisions.iter().filter(|decision| is_add(&decision.action));
    assert!(adds.all(|decision| decision.why.signal == Signal::Memory), "{decisions:?}");
    let mut held = steps.iter().flat_map(|step| &step.held);
    assert!(held.any(|held| held.reason.contains("cores")), "and CPU's wish is told of");
    // Too few nodes are too few, cores or not.
    let mut world = World::new(bounds(3, 8));
    world.free.cores = 0.0;
    world.run(30, steady(5.0, 0.2));
    assert_eq!(world.nodes.len(), 3);
}

#[test]
fn the_last_of_few_nodes_leaves_soon_after_the_others() {
    for grows_s in [15, 40, 200] {
        let mut world = World::new(bounds(1, 4));
        world.run(30, steady(0.1, 0.1));
        world.run(grows_s, |at| {
            let load = 0.1 + 2.9 * (1.5 * at / grows_s as f64).min(1.0);
            Load { work: load, memory: load, hot: None }
        });
        assert_eq!(world.nodes.len(), 4);
        // What was learnt of how uneven several nodes are says nothing of one.
        world.run(40, steady(0.1, 0.7));
        assert_eq!(world.nodes.len(), 1, "after {grows_s} s of growth");
        world.run(600, steady(0.1, 0.7));
        assert_eq!((world.nodes.len(), world.adds), (1, 3), "and it comes to rest");
    }
}
