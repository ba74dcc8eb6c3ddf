//! The world of one run: virtual time, the queue of what happens next, the network, the faults.

use std::collections::{BTreeMap, BTreeSet};

use swell_node::handover::driver;
use swell_node::handover::message::{Failure, HandoverId, ToSource, ToTarget};
use swell_ring::{NodeId, Slot, SlotMap, SlotSet};

use super::Broken;
use super::check::Check;
use super::clients::Client;
use super::node::{Item, Node, Stream};
use super::proxy::{Frame, Proxy, Reply};
use super::random::Random;
use super::scaler::Scaler;

/// Slots that are used. They stand far apart, so that a dead node's go to several.
pub const SLOTS_USED: usize = 6;
const FAULTS_END_US: u64 = 3_000_000;
const CLIENTS_END_US: u64 = 4_000_000;
const RUN_END_US: u64 = 11_000_000;
const NODES: u32 = 3;
const NODES_EVER: u32 = 6;
pub const PROXIES: usize = 2;
const CLIENTS: usize = 4;

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Event {
    ScalerTick { boot: u64 },
    ScalerStarts,
    Durable { boot: u64, number: u64 },
    ToDriver(driver::Input),
    Control { node: NodeId, said: Said },
    ProxyMap { proxy: usize, map: SlotMap },
    ProxyTick { proxy: usize },
    ProxyStarts { proxy: usize },
    NodeTick { node: NodeId },
    NodeWake { node: NodeId },
    Prepared { node: NodeId, id: HandoverId },
    CopyStep { node: NodeId, id: HandoverId },
    StreamSent { node: NodeId, id: HandoverId },
    StreamItem { id: HandoverId, item: Item },
    StreamLost { node: NodeId, id: HandoverId, at_source: bool },
    Reopen { node: NodeId, slots: SlotSet },
    Frame { node: NodeId, frame: Frame },
    Apply { node: NodeId, frame: Frame },
    Reply { proxy: usize, reply: Reply },
    LinkLost { proxy: usize, node: NodeId, link: u64 },
    Issue { client: usize },
    Reap { node: NodeId },
    Move,
    Fault,
}

/// From the scaler to a node.
#[derive(Clone, Debug)]
pub enum Said {
    Map(SlotMap),
    Source(ToSource),
    Target(ToTarget),
}

/// What a run was like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub events: u64,
    pub commits: u64,
    pub crashes: u64,
    pub answered: u64,
    pub unknown: u64,
    pub errors: u64,
}

pub struct World {
    pub now_us: u64,
    pub broken: Broken,
    pub random: Random,
    queue: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    pub scaler: Scaler,
    pub nodes: BTreeMap<NodeId, Node>,
    pub streams: BTreeMap<HandoverId, Stream>,
    pub proxies: Vec<Proxy>,
    pub clients: Vec<Client>,
    /// Links that were cut, and when: what would arrive later does not.
    pub cut: BTreeMap<u64, u64>,
    pub next_link: u64,
    /// In-order channels: when the last thing arrives, by link and direction.
    pub last: BTreeMap<(u64, bool), u64>,
    pub check: Check,
    pub seen: Seen,
    next_node: u32,
    /// Messages lost, of a thousand.
    loss: u64,
    traces: bool,
}

/// Runs one seed.
///
/// # Errors
/// The promise that was broken, with what happened.
pub fn run(seed: u64, broken: Broken) -> Result<Seen, String> {
    let mut world = World::new(seed, broken);
    while let Some(((at_us, _), event)) = world.queue.pop_first() {
        if at_us > RUN_END_US {
            break;
        }
        world.now_us = at_us;
        world.seen.events += 1;
        world.trace(&event);
        world.happen(event);
        if let Some(violation) = world.check.violation.take() {
            return Err(format!("at {at_us} us: {violation}"));
        }
    }
    world.judge_end()?;
    Ok(world.seen)
}

/// The slots that are used.
pub fn used() -> impl Iterator<Item = Slot> {
    (0..SLOTS_USED).filter_map(|at| Slot::new((at * 2048) as u16))
}

/// Where a used slot stands among the used ones.
pub fn index_of(slot: Slot) -> Option<usize> {
    let at = slot.index() / 2048;
    (slot.index().is_multiple_of(2048) && at < SLOTS_USED).then_some(at)
}

/// The used slots of a set.
pub fn used_of(slots: &SlotSet) -> Vec<usize> {
    used().filter(|slot| slots.contains(*slot)).filter_map(index_of).collect()
}

impl World {
    fn new(seed: u64, broken: Broken) -> World {
        let mut random = Random::new(seed);
        let loss = random.pick(&[0, 20, 150]).unwrap_or(0);
        let mut world = World {
            now_us: 0,
            broken,
            random,
            queue: BTreeMap::new(),
            next_event: 0,
            scaler: Scaler::new(),
            nodes: BTreeMap::new(),
            streams: BTreeMap::new(),
            proxies: (0..PROXIES).map(|_| Proxy::new()).collect(),
            clients: (0..CLIENTS).map(|at| Client::new(at % PROXIES)).collect(),
            cut: BTreeMap::new(),
            next_link: 1,
            last: BTreeMap::new(),
            check: Check::default(),
            seen: Seen::default(),
            next_node: 1,
            loss,
            traces: std::env::var_os("SWELL_SIMULATION_TRACE").is_some(),
        };
        world.scaler_starts();
        (0..NODES).for_each(|_| world.node_starts());
        world.place_all();
        (0..PROXIES).for_each(|proxy| world.later(1000, Event::ProxyTick { proxy }));
        (0..CLIENTS).for_each(|client| world.later(100_000, Event::Issue { client }));
        world.later(100_000, Event::Move);
        world.later(300_000, Event::Fault);
        world
    }

    /// Whether faults happen now.
    pub fn has_faults(&self) -> bool {
        self.now_us < FAULTS_END_US
    }

    /// Whether clients still ask.
    pub fn has_clients(&self) -> bool {
        self.now_us < CLIENTS_END_US
    }

    /// Something happens after so many microseconds.
    pub fn later(&mut self, after_us: u64, event: Event) {
        self.at(self.now_us + after_us, event);
    }

    pub fn at(&mut self, at_us: u64, event: Event) {
        self.next_event += 1;
        self.queue.insert((at_us, self.next_event), event);
    }

    /// A control message: it may be lost, doubled, late, and overtaken.
    pub fn send(&mut self, event: Event) {
        let copies = match () {
            () if !self.has_faults() => 1,
            () if self.random.per_mille(self.loss) => 0,
            () if self.random.per_mille(30) => 2,
            () => 1,
        };
        for _ in 0..copies {
            let delay_us = self.delay_us();
            self.later(delay_us, event.clone());
        }
    }

    /// How long a message takes.
    pub fn delay_us(&mut self) -> u64 {
        match self.has_faults() && self.random.per_mille(20) {
            true => self.random.within(5_000..900_000),
            false => self.random.within(20..1_500),
        }
    }

    /// When something arrives that goes down an in-order channel now.
    pub fn in_order_us(&mut self, link: u64, up: bool) -> u64 {
        let slow = self.has_faults() && self.random.per_mille(10);
        let delay_us = if slow { self.random.within(5_000..40_000) } else { self.random.within(20..600) };
        let last = self.last.entry((link, up)).or_default();
        *last = (self.now_us + delay_us).max(*last + 1);
        *last
    }

    pub fn living(&self) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, node)| node.alive).map(|(id, _)| *id).collect()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ScalerTick { boot } => self.scaler_tick(boot),
            Event::ScalerStarts => self.scaler_starts(),
            Event::Durable { boot, number } => self.durable(boot, number),
            Event::ToDriver(input) => self.driver_step(input),
            Event::Control { node, said } => self.node_hears(node, said),
            Event::ProxyMap { proxy, map } => self.proxy_map(proxy, map),
            Event::ProxyTick { proxy } => self.proxy_tick(proxy),
            Event::ProxyStarts { proxy } => self.proxy_starts(proxy),
            Event::NodeTick { node } => self.node_tick(node),
            Event::NodeWake { node } => self.serve_all(node),
            Event::Prepared { node, id } => self.node_prepared(node, id),
            Event::CopyStep { node, id } => self.copy_step(node, id),
            Event::StreamSent { node, id } => self.stream_sent(node, id),
            Event::StreamItem { id, item } => self.stream_item(id, item),
            Event::StreamLost { node, id, at_source } => self.stream_lost(node, id, at_source),
            Event::Reopen { node, slots } => self.reopen(node, &slots),
            Event::Frame { node, frame } => self.frame_comes(node, frame),
            Event::Apply { node, frame } => self.apply(node, &frame),
            Event::Reply { proxy, reply } => self.reply_comes(proxy, reply),
            Event::LinkLost { proxy, node, link } => self.link_lost(proxy, node, link),
            Event::Issue { client } => self.issue(client),
            Event::Reap { node } => self.reap(node),
            Event::Move => self.moves(),
            Event::Fault => self.fault(),
        }
    }

    /// For a person who looks for the reason of a failure: what happens, but for time passing and requests.
    fn trace(&self, event: &Event) {
        if !self.traces {
            return;
        }
        let shown = match event {
            Event::Frame { .. } | Event::Reply { .. } | Event::Issue { .. } | Event::NodeWake { .. } => return,
            Event::ScalerTick { .. } | Event::ProxyTick { .. } | Event::NodeTick { .. } => return,
            Event::Control { node, said: Said::Map(map) } => format!("map {} to node {node}", short(map)),
            Event::ProxyMap { proxy, map } => format!("map {} to proxy {proxy}", map.epoch()),
            other => format!("{other:?}"),
        };
        self.trace_text(|| shown);
    }

    /// One line more for that person.
    pub fn trace_text(&self, text: impl FnOnce() -> String) {
        if self.traces {
            println!("{:>9} {}", self.now_us, text());
        }
    }

    /// Somebody asks for slots to be moved, again and again.
    fn moves(&mut self) {
        if !self.has_faults() {
            return;
        }
        let count = self.random.within(1..4);
        let all: Vec<Slot> = used().collect();
        let slots: SlotSet = (0..count).filter_map(|_| self.random.pick(&all)).collect();
        let living = self.living();
        if let Some(to) = self.random.pick(&living) {
            self.scaler.next_ticket += 1;
            let ticket = self.scaler.next_ticket;
            self.driver_step(driver::Input::Begin { ticket, slots, to });
            if self.random.per_mille(100) {
                let after_us = self.random.within(100..20_000);
                self.later(after_us, Event::ToDriver(driver::Input::Cancel { ticket }));
            }
        }
        let after_us = self.random.within(5_000..80_000);
        self.later(after_us, Event::Move);
    }

    fn fault(&mut self) {
        if !self.has_faults() {
            return;
        }
        match self.random.within(0..10) {
            0 => self.some_node_crashes(),
            1 | 2 => self.scaler_crashes(),
            3 => {
                let proxy = self.random.within(0..PROXIES as u64) as usize;
                self.proxy_crashes(proxy);
            }
            4 | 5 => self.some_stream_breaks(),
            _ => self.some_link_breaks(),
        }
        let after_us = self.random.within(20_000..300_000);
        self.later(after_us, Event::Fault);
    }

    fn some_node_crashes(&mut self) {
        let living = self.living();
        if living.len() < 2 || self.next_node > NODES_EVER {
            return;
        }
        let Some(id) = self.random.pick(&living) else { return };
        self.node_crashes(id);
        self.node_starts();
        let after_us = self.random.within(1_000..500_000);
        self.later(after_us, Event::Reap { node: id });
    }

    fn node_starts(&mut self) {
        let id = NodeId(self.next_node);
        self.next_node += 1;
        self.nodes.insert(id, Node::new(id));
        self.driver_step(driver::Input::Joined(super::scaler::member(id)));
    }

    fn some_stream_breaks(&mut self) {
        let ids: Vec<HandoverId> = self.streams.keys().copied().collect();
        if let Some(id) = self.random.pick(&ids) {
            self.break_stream(id);
        }
    }

    fn some_link_breaks(&mut self) {
        let links: Vec<(usize, NodeId, u64)> = (0..PROXIES)
            .flat_map(|proxy| self.proxies[proxy].links.iter().map(move |(node, link)| (proxy, *node, *link)))
            .collect();
        if let Some((proxy, node, link)) = self.random.pick(&links) {
            self.cut_link(proxy, node, link);
        }
    }

    /// A link ends: what is under way may still arrive at the node, not at the proxy.
    pub fn cut_link(&mut self, proxy: usize, node: NodeId, link: u64) {
        let until_us = self.now_us + self.random.within(0..2_000);
        self.cut.entry(link).or_insert(until_us);
        let after_us = self.random.within(0..3_000);
        self.later(after_us, Event::LinkLost { proxy, node, link });
    }

    /// A stream ends in the middle; both sides find out when they do.
    pub fn break_stream(&mut self, id: HandoverId) {
        let Some(stream) = self.streams.remove(&id) else { return };
        for (node, at_source) in [(stream.from, true), (stream.to, false)] {
            let after_us = self.random.within(10..10_000);
            self.later(after_us, Event::StreamLost { node, id, at_source });
        }
    }

    /// After the faults: everything is served by whom the map names, and nothing hangs.
    fn judge_end(&mut self) -> Result<(), String> {
        let Some(driver) = &self.scaler.driver else { return Err("the scaler is down".to_owned()) };
        if !driver.is_idle() {
            return Err(format!("something hangs: {:?}", driver.attempts().collect::<Vec<_>>()));
        }
        let map = driver.map().clone();
        for slot in used() {
            let at = index_of(slot).unwrap_or(0);
            let serving: BTreeSet<NodeId> =
                self.nodes.iter().filter(|(_, node)| node.alive && node.serves(at)).map(|(id, _)| *id).collect();
            if serving != map.owner(slot).into_iter().collect() || serving.is_empty() {
                return Err(format!("slot {at} belongs to {:?} but is served by {serving:?}", map.owner(slot)));
            }
        }
        for (id, node) in self.nodes.iter().filter(|(_, node)| node.alive) {
            if !node.local.source().is_idle() || !node.local.target().is_idle() {
                return Err(format!("an attempt hangs at node {id}: {:?}", node.local.source()));
            }
        }
        let unanswered: usize = self.clients.iter().map(|client| client.waiting.len()).sum();
        if unanswered > 0 {
            return Err(format!("{unanswered} requests were never answered"));
        }
        self.check.judge_counts()
    }
}

/// A map's epoch, and the owners of the used slots with since when.
fn short(map: &SlotMap) -> String {
    let owners = used().map(|slot| format!("{}@{}", map.owner(slot).unwrap_or(NodeId(0)), map.since(slot)));
    format!("{}: {}", map.epoch(), owners.collect::<Vec<_>>().join(" "))
}

/// Why a stream ended in this world.
pub fn reset() -> Failure {
    Failure::Stream("reset".to_owned())
}
