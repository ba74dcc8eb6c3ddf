//! Runs the hand-over's driver, which makes every slot map: hands it what happens, does what it wants done.

pub mod job;

use std::collections::VecDeque;
use std::time::Duration;

use swell_node::control::ToMember;
use swell_node::handover::driver::{Action, Bounds, Driver, Input as Step, Record as Wanted};
use swell_ring::{NodeId, SlotMap, SlotSet};
use tokio::time::Instant;

use self::job::Job;
use crate::error::StoreError;
use crate::members::encoded;
use crate::store::{Kept, Record};
use crate::writer::Writer;

/// How often the driver is told that time has passed, while somebody waits for slots to move ...
pub const TICK_MOVING: Duration = Duration::from_millis(20);
/// ... and while there is something to do at all.
pub const TICK: Duration = Duration::from_millis(100);

/// The driver, and what belongs to it.
#[derive(Debug)]
pub(crate) struct Drive {
    driver: Driver,
    /// Its clock's zero.
    began: Instant,
    next_tick: Instant,
    /// Records that the store would not take, in their order.
    unwritten: VecDeque<(u64, Vec<Record>)>,
    pub(crate) jobs: Vec<Job>,
    /// Given to the driver so far.
    pub(crate) last_ticket: u64,
}

impl Drive {
    /// From what is kept.
    pub(crate) fn new(kept: &Kept, now: Instant) -> Drive {
        let mut driver = Driver::recover(kept.map.clone(), kept.intents.clone(), kept.next_handover, Bounds::default());
        driver.leave_orphans();
        Drive { driver, began: now, next_tick: now, unwritten: VecDeque::new(), jobs: Vec::new(), last_ticket: 0 }
    }

    /// The groups of slots that are on their way.
    pub(crate) fn moving(&self) -> impl Iterator<Item = &SlotSet> {
        self.driver.attempts().map(|(group, ..)| &group.slots)
    }

    /// Whether the store refuses what the driver needs.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// When [`Writer::tick_drive`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.driver.is_idle() || self.is_stuck() || !self.jobs.is_empty()).then_some(self.next_tick)
    }
}

impl Writer {
    /// One thing has happened: the driver says what to do, and it is done, with all that follows at once.
    pub(crate) fn step(&mut self, input: Step, now: Instant) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            // Time passes while the store writes, and the driver measures that.
            let now_us = self.drive.began.elapsed().as_micros() as u64;
            let actions = self.drive.driver.step(now_us, input);
            inputs.extend(actions.into_iter().filter_map(|action| self.act(action, now)));
        }
    }

    /// Tells the driver that time has passed, if it is time to; writes what could not be written.
    pub(crate) fn tick_drive(&mut self, now: Instant) {
        if self.drive.due().is_none_or(|due| due > now) {
            return;
        }
        let every = if self.drive.jobs.is_empty() { TICK } else { TICK_MOVING };
        self.drive.next_tick = now + every;
        while let Some((number, records)) = self.drive.unwritten.pop_front() {
            if self.keep(&records).is_err() {
                self.drive.unwritten.push_front((number, records));
                return;
            }
            if !self.drive.is_stuck() {
                self.events.news("the store takes records again");
            }
            self.step(Step::Persisted { number }, now);
        }
        self.step(Step::Tick, now);
        self.report_jobs(now);
    }

    /// Does what the driver wants; returns what that makes happen.
    fn act(&mut self, action: Action, now: Instant) -> Option<Step> {
        match action {
            Action::Persist { number, records } => return self.persist(number, records, now),
            Action::ToSource(node, message) => self.tell(node, &ToMember::Source(message)),
            Action::ToTarget(node, message) => self.tell(node, &ToMember::Target(message)),
            Action::Push { map, first } => self.push_map(&map, &first),
            Action::PushTo { map, node } => self.push_map_to(map, node),
            Action::Event(text) => self.events.news(text),
            Action::Progress { ticket, progress } => self.progressed(ticket, progress),
            Action::Done { ticket, progress } => self.ticket_done(ticket, progress, now),
        }
        None
    }

    fn persist(&mut self, number: u64, records: Vec<Wanted>, now: Instant) -> Option<Step> {
        let records: Vec<Record> = records.into_iter().map(Record::from).collect();
        let written = match self.drive.is_stuck() {
            true => None,
            false => Some(self.keep(&records)),
        };
        match written {
            Some(Ok(())) => return Some(Step::Persisted { number }),
            Some(Err(why)) => self.stuck(&why, now),
            None => {}
        }
        self.drive.unwritten.push_back((number, records));
        None
    }

    fn stuck(&mut self, why: &StoreError, now: Instant) {
        self.drive.next_tick = now + TICK;
        self.events.trouble(format!("the slot map cannot change until the store can be written: {why}"));
    }

    /// Says something to a node; without a link it is lost, and the driver will say it again.
    pub(crate) fn tell(&self, node: NodeId, message: &ToMember) {
        if let Some(link) = self.link_of(node) {
            link.send(message);
        }
    }

    fn push_map(&self, map: &SlotMap, first: &[NodeId]) {
        self.push(&encoded(&ToMember::Map(map.clone())), first);
    }

    fn push_map_to(&self, map: SlotMap, node: NodeId) {
        if let Some(link) = self.link_of(node) {
            link.send(&ToMember::Map(map));
        }
    }
}

impl From<Wanted> for Record {
    fn from(wanted: Wanted) -> Record {
        match wanted {
            Wanted::Map(map) => Record::Map(map),
            Wanted::Intent(group) => Record::Intent(group),
            Wanted::Ended(id) => Record::Ended(id),
            Wanted::NextHandover(next) => Record::NextHandover(next),
        }
    }
}
