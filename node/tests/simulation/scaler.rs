//! The scaler's process: the real driver over a store that keeps what it was told, in order, after a while.

use std::collections::{BTreeSet, VecDeque};

use swell_node::handover::driver::{Action, Bounds, Driver, Input, Record};
use swell_node::handover::message::{FromSource, Group, SourcePhase, ToSource};
use swell_ring::{Epoch, Member, NodeId, SlotMap, SlotSet};

use super::Broken;
use super::world::{Event, PROXIES, Said, World};

const TICK_US: u64 = 20_000;

/// Driver, store, and what a provider of processes knows.
pub struct Scaler {
    pub driver: Option<Driver>,
    boot: u64,
    pub map: SlotMap,
    intents: Vec<Group>,
    next_id: u64,
    /// Written, not durable yet: in order.
    writes: VecDeque<(u64, Vec<Record>)>,
    last_write_us: u64,
    reaped: BTreeSet<NodeId>,
    pub next_ticket: u64,
}

/// A node as maps name it.
pub fn member(id: NodeId) -> Member {
    Member { id, address: format!("node:{id}"), zone: String::new() }
}

impl Scaler {
    pub fn new() -> Scaler {
        Scaler {
            driver: None,
            boot: 0,
            map: SlotMap::empty(),
            intents: Vec::new(),
            next_id: 1,
            writes: VecDeque::new(),
            last_write_us: 0,
            reaped: BTreeSet::new(),
            next_ticket: 0,
        }
    }

    fn keep(&mut self, records: Vec<Record>) {
        for record in records {
            match record {
                Record::Map(map) => self.map = map,
                Record::Intent(group) => self.intents.push(group),
                Record::Ended(id) => self.intents.retain(|group| group.id != id),
                Record::NextHandover(next) => self.next_id = next,
            }
        }
    }
}

fn shown(record: &Record) -> String {
    match record {
        Record::Map(map) => format!("map {}", map.epoch()),
        other => format!("{other:?}"),
    }
}

impl World {
    pub fn scaler_starts(&mut self) {
        let (map, intents, next_id) = (self.scaler.map.clone(), self.scaler.intents.clone(), self.scaler.next_id);
        self.scaler.driver = Some(Driver::recover(map.clone(), intents, next_id, Bounds::default()));
        let boot = self.scaler.boot;
        self.later(TICK_US, Event::ScalerTick { boot });
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            match self.scaler.reaped.contains(&id) {
                true if map.node(id).is_some() => self.driver_step(Input::Gone { node: id, keys: 0, bytes: 0 }),
                false if map.node(id).is_none() => self.driver_step(Input::Joined(member(id))),
                _ => {}
            }
        }
        if map.epoch() == Epoch(0) {
            self.place_all();
        }
    }

    /// The first map: the used slots side by side over the first nodes.
    pub fn place_all(&mut self) {
        let living = self.living();
        if living.is_empty() {
            return;
        }
        let part = |at: usize| -> SlotSet {
            SlotSet::all().iter().filter(|slot| slot.index() / 2048 % living.len() == at).collect()
        };
        let parts = living.iter().enumerate().map(|(at, id)| (part(at), *id)).collect();
        self.driver_step(Input::Place(parts));
    }

    pub fn scaler_tick(&mut self, boot: u64) {
        if boot == self.scaler.boot {
            self.later(TICK_US, Event::ScalerTick { boot });
            self.driver_step(Input::Tick);
        }
    }

    /// One step of the driver; with faults it sometimes dies in the middle of what follows.
    pub fn driver_step(&mut self, input: Input) {
        let Some(driver) = &mut self.scaler.driver else { return };
        let mut actions = driver.step(self.now_us, input);
        let dies = self.now_us > 200_000 && self.has_faults() && self.random.per_mille(1) && self.random.per_mille(500);
        if dies {
            let done = self.random.within(0..actions.len() as u64 + 1);
            actions.truncate(done as usize);
        }
        for action in actions {
            self.driver_does(action);
        }
        if dies {
            self.scaler_crashes();
        }
    }

    fn driver_does(&mut self, action: Action) {
        match action {
            Action::Persist { number, records } => {
                self.scaler.writes.push_back((number, records));
                let takes_us = self.random.within(50..2_500);
                let at_us = (self.now_us + takes_us).max(self.scaler.last_write_us + 1);
                self.scaler.last_write_us = at_us;
                let boot = self.scaler.boot;
                self.at(at_us, Event::Durable { boot, number });
            }
            Action::ToSource(node, message) => {
                if let (Broken::CommitBeforeReleased, ToSource::Release { id }) = (self.broken, &message) {
                    let said = FromSource::Is { id: *id, phase: SourcePhase::Released, keys: 0, bytes: 0 };
                    self.later(0, Event::ToDriver(Input::Source { node, message: said }));
                }
                self.send(Event::Control { node, said: Said::Source(message) });
            }
            Action::ToTarget(node, message) => self.send(Event::Control { node, said: Said::Target(message) }),
            Action::Push { map, first } => self.push(&map, first),
            Action::PushTo { map, node } => self.send(Event::Control { node, said: Said::Map(map) }),
            Action::Event(_) | Action::Progress { .. } | Action::Done { .. } => {}
        }
    }

    fn push(&mut self, map: &SlotMap, first: Vec<NodeId>) {
        let rest: Vec<NodeId> = map.nodes().iter().map(|node| node.id).filter(|id| !first.contains(id)).collect();
        for node in first.into_iter().chain(rest) {
            self.send(Event::Control { node, said: Said::Map(map.clone()) });
        }
        for proxy in 0..PROXIES {
            self.send(Event::ProxyMap { proxy, map: map.clone() });
        }
    }

    pub fn durable(&mut self, boot: u64, number: u64) {
        if boot != self.scaler.boot || self.scaler.driver.is_none() {
            return;
        }
        if let Some((_, records)) = self.scaler.writes.pop_front() {
            self.kept(records);
            self.driver_step(Input::Persisted { number });
        }
    }

    fn kept(&mut self, records: Vec<Record>) {
        self.trace_text(|| format!("kept: {}", records.iter().map(shown).collect::<Vec<_>>().join(", ")));
        self.seen.commits += match records.iter().any(|record| matches!(record, Record::Map(_))) {
            true => records.iter().filter(|record| matches!(record, Record::Ended(_))).count() as u64,
            false => 0,
        };
        self.scaler.keep(records);
        self.excuse_for_map();
    }

    /// Of what was written, some is durable: a beginning of it.
    pub fn scaler_crashes(&mut self) {
        if self.scaler.driver.take().is_none() {
            return;
        }
        self.seen.crashes += 1;
        self.scaler.boot += 1;
        let durable = self.random.within(0..self.scaler.writes.len() as u64 + 1);
        for _ in 0..durable {
            if let Some((_, records)) = self.scaler.writes.pop_front() {
                self.kept(records);
            }
        }
        self.scaler.writes.clear();
        let after_us = self.random.within(5_000..600_000);
        self.later(after_us, Event::ScalerStarts);
    }

    /// The provider has seen a process end.
    pub fn reap(&mut self, node: NodeId) {
        self.scaler.reaped.insert(node);
        self.driver_step(Input::Gone { node, keys: 0, bytes: 0 });
    }
}
