//! A node: the real `Local` over a model of an engine (per slot a gate and a few counters), of streams, of sessions.

use std::collections::{BTreeMap, VecDeque};

use swell_engine::gate::{Gate, Refusal};
use swell_node::handover::action::Action;
use swell_node::handover::driver;
use swell_node::handover::local::{Input, Local};
use swell_node::handover::message::{Failure, FromTarget, Group, HandoverId, SourcePhase, TargetPhase};
use swell_node::handover::{source, target};
use swell_ring::{Epoch, NodeId, Slot, SlotSet};

use super::Broken;
use super::proxy::{Frame, Reply, Status, WAIT_US, What};
use super::world::{Event, SLOTS_USED, Said, World, reset, used_of};

pub struct Node {
    pub alive: bool,
    pub local: Local,
    pub gates: [Gate; SLOTS_USED],
    pub data: [BTreeMap<u8, u64>; SLOTS_USED],
    /// By link and client: one FIFO each.
    sessions: BTreeMap<(u64, usize), Session>,
}

#[derive(Default)]
struct Session {
    /// Frames, and when they came.
    queue: VecDeque<(Frame, u64)>,
    refused: bool,
    /// A frame has passed its gate and not taken effect (only where that rule is broken).
    half_done: bool,
}

/// One stream, while both ends are there.
pub struct Stream {
    pub from: NodeId,
    pub to: NodeId,
    slots: Vec<usize>,
    /// Keys of the snapshot that have not gone out.
    left: VecDeque<(usize, u8)>,
    sealed: bool,
}

/// What goes down a stream.
#[derive(Clone, Debug)]
pub enum Item {
    Put { slot: usize, key: u8, value: u64 },
    End { keys: u64 },
}

impl Node {
    pub fn new(id: NodeId) -> Node {
        Node {
            alive: true,
            local: Local::new(id),
            gates: [Gate::Released; SLOTS_USED],
            data: std::array::from_fn(|_| BTreeMap::new()),
            sessions: BTreeMap::new(),
        }
    }

    /// Whether it answers reads of a slot.
    pub fn serves(&self, at: usize) -> bool {
        matches!(self.gates[at], Gate::Serving | Gate::Sealed)
    }

    /// Whether it has a whole copy that may come to be served.
    pub fn has_copy(&self, slot: Slot, at: usize) -> bool {
        let released = self.gates[at] == Gate::Released && self.local.ownership().owned().contains(slot);
        self.serves(at) || released || self.local.target().ready().contains(slot)
    }

    pub fn forget_link(&mut self, link: u64) {
        self.sessions.retain(|(of, _), _| *of != link);
    }
}

impl World {
    pub fn node_hears(&mut self, node: NodeId, said: Said) {
        self.node_step(
            node,
            match said {
                Said::Map(map) => Input::Map(map),
                Said::Source(message) => message.into(),
                Said::Target(message) => message.into(),
            },
        );
    }

    pub fn node_tick(&mut self, node: NodeId) {
        self.node_step(node, Input::Tick);
    }

    pub fn node_prepared(&mut self, node: NodeId, id: HandoverId) {
        self.node_step(node, Input::Target(target::Input::Prepared { id }));
    }

    pub fn stream_sent(&mut self, node: NodeId, id: HandoverId) {
        self.node_step(node, Input::Source(source::Input::StreamSent { id }));
    }

    pub fn stream_lost(&mut self, node: NodeId, id: HandoverId, at_source: bool) {
        let why = reset();
        self.node_step(
            node,
            match at_source {
                true => Input::Source(source::Input::StreamBroken { id, why }),
                false => Input::Target(target::Input::StreamBroken { id, why }),
            },
        );
    }

    fn node_step(&mut self, id: NodeId, input: Input) {
        let now_ms = self.now_us / 1000;
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.alive) else { return };
        let held: Vec<usize> = match self.broken {
            Broken::AnyMapReturns => (0..SLOTS_USED).filter(|at| node.gates[*at] == Gate::Released).collect(),
            _ => Vec::new(),
        };
        let before = node.local.epoch();
        let actions = node.local.step(now_ms, input);
        let is_new_map = node.local.epoch() > before;
        let deadline_ms = node.local.deadline_ms();
        for action in actions {
            self.node_does(id, action);
        }
        if is_new_map {
            self.return_all(id, &held);
        }
        if let Some(deadline_ms) = deadline_ms {
            let late_us = self.random.within(0..4_000);
            self.at((deadline_ms * 1000).max(self.now_us) + late_us, Event::NodeTick { node: id });
        }
        self.check_gates();
        self.serve_all(id);
    }

    fn node_does(&mut self, id: NodeId, action: Action) {
        match action {
            Action::StartCopy { group, .. } => self.start_copy(id, group),
            Action::Seal { id: attempt, slots } => {
                self.set_gates(id, &slots, Gate::Sealed);
                self.seal_stream(id, attempt);
            }
            Action::StopStream { id: attempt } => {
                if self.streams.get(&attempt).is_some_and(|stream| stream.from == id) {
                    self.break_stream(attempt);
                }
            }
            Action::Prepare { group } => {
                self.drop_data(id, &group.slots);
                self.set_gates(id, &group.slots, Gate::Dark);
                let after_us = self.random.within(10..2_000);
                self.later(after_us, Event::Prepared { node: id, id: group.id });
            }
            Action::Abandon { id: attempt, slots } => {
                if self.streams.get(&attempt).is_some_and(|stream| stream.to == id) {
                    self.break_stream(attempt);
                }
                self.drop_data(id, &slots);
                self.set_gates(id, &slots, Gate::Released);
            }
            Action::Serve { slots } => self.set_gates(id, &slots, Gate::Serving),
            Action::ServeEmpty { slots } => {
                self.drop_data(id, &slots);
                self.set_gates(id, &slots, Gate::Serving);
            }
            Action::Release { slots } => {
                self.set_gates(id, &slots, Gate::Released);
                if self.broken == Broken::UnsealsAfterReleased {
                    let after_us = self.random.within(500..30_000);
                    self.later(after_us, Event::Reopen { node: id, slots });
                }
            }
            Action::Free { slots } => {
                self.set_gates(id, &slots, Gate::Released);
                self.drop_data(id, &slots);
            }
            Action::Source(message) => self.send(Event::ToDriver(driver::Input::Source { node: id, message })),
            Action::Target(message) => {
                self.open_on_ready(id, &message);
                self.send(Event::ToDriver(driver::Input::Target { node: id, message }));
            }
            Action::Seen(epoch) => self.send(Event::ToDriver(driver::Input::Seen { node: id, epoch })),
        }
    }

    fn set_gates(&mut self, id: NodeId, slots: &SlotSet, gate: Gate) {
        if let Some(node) = self.nodes.get_mut(&id) {
            used_of(slots).into_iter().for_each(|at| node.gates[at] = gate);
        }
    }

    fn drop_data(&mut self, id: NodeId, slots: &SlotSet) {
        if let Some(node) = self.nodes.get_mut(&id) {
            used_of(slots).into_iter().for_each(|at| node.data[at].clear());
        }
    }

    pub fn node_crashes(&mut self, id: NodeId) {
        self.excuse_for_crash(id);
        self.seen.crashes += 1;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        *node = Node { alive: false, ..Node::new(id) };
        let streams: Vec<HandoverId> =
            self.streams.iter().filter(|(_, s)| s.from == id || s.to == id).map(|(id, _)| *id).collect();
        streams.into_iter().for_each(|stream| self.break_stream(stream));
        for proxy in 0..self.proxies.len() {
            if let Some(link) = self.proxies[proxy].links.get(&id).copied() {
                self.cut_link(proxy, id, link);
            }
        }
    }

    // Streams.

    fn start_copy(&mut self, from: NodeId, group: Group) {
        let Some(node) = self.nodes.get(&from) else { return };
        let slots = used_of(&group.slots);
        let left = slots.iter().flat_map(|at| node.data[*at].keys().map(|key| (*at, *key))).collect();
        self.streams.insert(group.id, Stream { from, to: group.to, slots, left, sealed: false });
        self.copy_later(from, group.id);
    }

    fn copy_later(&mut self, node: NodeId, id: HandoverId) {
        let after_us = self.random.within(20..1_500);
        self.later(after_us, Event::CopyStep { node, id });
    }

    /// One key more of the snapshot; at the end of it, time to seal.
    pub fn copy_step(&mut self, node: NodeId, id: HandoverId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match stream.left.pop_front() {
            Some((slot, key)) => {
                let value = self.nodes.get(&node).and_then(|node| node.data[slot].get(&key)).copied();
                if let Some(value) = value {
                    self.stream_out(id, Item::Put { slot, key, value });
                }
                self.copy_later(node, id);
            }
            None => self.node_step(node, Input::Source(source::Input::CopyDrained { id })),
        }
    }

    fn seal_stream(&mut self, node: NodeId, id: HandoverId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.sealed = true;
        let slots = stream.slots.clone();
        let keys = self.nodes.get(&node).map_or(0, |node| slots.iter().map(|at| node.data[*at].len()).sum());
        self.stream_out(id, Item::End { keys: keys as u64 });
        let after_us = self.random.within(10..1_000);
        self.later(after_us, Event::StreamSent { node, id });
    }

    fn stream_out(&mut self, id: HandoverId, item: Item) {
        // Streams and links are numbered apart.
        let at_us = self.in_order_us(u64::MAX - id.0, true);
        self.at(at_us, Event::StreamItem { id, item });
    }

    pub fn stream_item(&mut self, id: HandoverId, item: Item) {
        let Some(stream) = self.streams.get(&id) else { return };
        let (to, slots) = (stream.to, stream.slots.clone());
        let Some(node) = self.nodes.get_mut(&to).filter(|node| node.alive && node.local.target().awaits(id)) else {
            return self.break_stream(id);
        };
        match item {
            Item::Put { slot, key, value } => drop(node.data[slot].insert(key, value)),
            Item::End { keys } => {
                let target = slots.iter().map(|at| node.data[*at].len()).sum::<usize>() as u64;
                let result = if keys == target { Ok(()) } else { Err(Failure::Counts { source_keys: keys, target }) };
                self.streams.remove(&id);
                self.node_step(to, Input::Target(target::Input::StreamEnd { id, result }));
            }
        }
    }

    // Sessions.

    pub fn frame_comes(&mut self, id: NodeId, frame: Frame) {
        let is_cut = self.cut.get(&frame.link).is_some_and(|until_us| *until_us < self.now_us);
        let now_us = self.now_us;
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.alive && !is_cut) else { return };
        let key = (frame.link, frame.op.client);
        node.sessions.entry(key).or_default().queue.push_back((frame, now_us));
        self.serve(id, key);
    }

    /// Something has changed: all that waits looks again.
    pub fn serve_all(&mut self, id: NodeId) {
        let keys: Vec<(u64, usize)> = match self.nodes.get(&id).filter(|node| node.alive) {
            Some(node) => node.sessions.keys().copied().collect(),
            None => return,
        };
        keys.into_iter().for_each(|key| self.serve(id, key));
    }

    fn serve(&mut self, id: NodeId, key: (u64, usize)) {
        loop {
            let runs_behind = self.broken == Broken::RunsBehindRefusal;
            let Some(node) = self.nodes.get_mut(&id) else { return };
            let (epoch, gates) = (node.local.epoch(), node.gates);
            let Some(session) = node.sessions.get_mut(&key).filter(|session| !session.half_done) else { return };
            let Some((frame, came_us)) = session.queue.front().cloned() else { return };
            session.refused &= !frame.restart && !runs_behind;
            let is_late = came_us + WAIT_US <= self.now_us;
            let status = match gates[frame.op.slot].check(frame.op.what != What::Get) {
                _ if session.refused => Status::Behind,
                _ if frame.epoch > epoch && is_late => Status::Paused,
                _ if frame.epoch > epoch => return self.later(WAIT_US, Event::NodeWake { node: id }),
                Ok(()) if self.broken == Broken::GateBeforeLock => {
                    session.half_done = true;
                    let after_us = self.random.within(1..3_000);
                    return self.later(after_us, Event::Apply { node: id, frame });
                }
                Ok(()) => {
                    session.queue.pop_front();
                    self.apply(id, &frame);
                    continue;
                }
                Err(Refusal::Paused) if is_late => Status::Paused,
                Err(Refusal::Paused) => return self.later(WAIT_US, Event::NodeWake { node: id }),
                Err(Refusal::Moved) => Status::Moved(moved_until(epoch, frame.epoch)),
            };
            session.refused = true;
            session.queue.pop_front();
            self.reply(id, &frame, status);
        }
    }

    /// Takes effect: this is one step, under the lock.
    pub fn apply(&mut self, id: NodeId, frame: &Frame) {
        let op = &frame.op;
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.alive) else { return };
        let mut half_done = false;
        if let Some(session) = node.sessions.get_mut(&(frame.link, op.client)).filter(|session| session.half_done) {
            session.half_done = false;
            half_done = session.queue.pop_front().is_some();
        }
        let before = node.data[op.slot].get(&op.key).copied().unwrap_or(0);
        let value = op.after(before);
        let run = self.check.runs(id, op, before);
        if op.what != What::Get {
            node.data[op.slot].insert(op.key, value);
            self.observe(id, op.slot, op.key, value);
        }
        self.reply(id, frame, Status::Done { value, run });
        if half_done {
            self.serve(id, (frame.link, frame.op.client));
        }
    }

    /// A write goes down every stream of its slot. After the seal nothing should be written.
    fn observe(&mut self, id: NodeId, slot: usize, key: u8, value: u64) {
        let concerned = |stream: &Stream| stream.from == id && stream.slots.contains(&slot) && !stream.sealed;
        let streams: Vec<HandoverId> =
            self.streams.iter().filter(|(_, stream)| concerned(stream)).map(|(id, _)| *id).collect();
        streams.into_iter().for_each(|stream| self.stream_out(stream, Item::Put { slot, key, value }));
    }

    fn reply(&mut self, node: NodeId, frame: &Frame, status: Status) {
        let at_us = self.in_order_us(frame.link, false);
        let reply = Reply { link: frame.link, node, number: frame.number, client: frame.op.client, status };
        self.at(at_us, Event::Reply { proxy: frame.proxy, reply });
    }

    // Rules broken on purpose.

    /// A released source that serves again.
    pub fn reopen(&mut self, id: NodeId, slots: &SlotSet) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.alive) else { return };
        let mut still = slots.clone();
        still.intersect(node.local.ownership().owned());
        for at in used_of(&still) {
            if node.gates[at] == Gate::Released {
                node.gates[at] = Gate::Serving;
            }
        }
        self.check_gates();
        self.serve_all(id);
    }

    fn return_all(&mut self, id: NodeId, held: &[usize]) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let owned = used_of(node.local.ownership().owned());
        for at in held.iter().filter(|at| owned.contains(at)) {
            if node.gates[*at] == Gate::Released {
                node.gates[*at] = Gate::Serving;
            }
        }
    }

    fn open_on_ready(&mut self, id: NodeId, message: &FromTarget) {
        let FromTarget::Is { id: attempt, phase: TargetPhase::Ready } = message else { return };
        if self.broken != Broken::OpensOnReady {
            return;
        }
        let Some(node) = self.nodes.get_mut(&id) else { return };
        debug_assert_eq!(node.local.source().phase(*attempt), SourcePhase::Unknown);
        for at in used_of(&node.local.target().ready()) {
            node.gates[at] = Gate::Serving;
        }
    }
}

/// The lowest epoch that can help a request whose slot is not served here.
fn moved_until(mine: Epoch, theirs: Epoch) -> Epoch {
    if mine > theirs { mine } else { mine.next() }
}
