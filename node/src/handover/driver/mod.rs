//! The scaler's part: drives hand-overs, and is the one place where a new slot map is made. No I/O, no clock.
//!
//! For each attempt the driver keeps two **facts**: the furthest that it has heard from the source and from the target.
//! What is needed next is a function of the facts ([`attempt::need`]), every command may be repeated, and a node's "that
//! is over" is final. So messages may be lost, doubled, late or out of order, and a driver that starts anew from what was
//! durable (the map, and one intent for each attempt that has not ended) finds its way by asking again.
//!
//! A record is durable before anything that depends on it goes out: the driver waits for [`Input::Persisted`].

pub mod attempt;
mod jobs;
mod maps;

use std::collections::{BTreeMap, BTreeSet};

use swell_ring::{Epoch, Member, NodeId, SlotMap, SlotSet};

use self::attempt::{Attempt, Need, SourceFact, TargetFact, need};
use self::jobs::Jobs;
use super::message::{FromSource, FromTarget, Group, HandoverId, SourcePhase, TargetPhase, ToSource, ToTarget};
use crate::control::Progress;

/// After so much silence a command goes out again, microseconds.
pub const RESEND_US: u64 = 250_000;
/// Attempts at one group before the driver gives it up.
pub const ATTEMPTS_MAX: u32 = 12;
/// Pause before the second attempt; doubled for each further one.
pub const PAUSE_US_MIN: u64 = 20_000;
/// Longest pause between two attempts.
pub const PAUSE_US_MAX: u64 = 2_000_000;
/// Groups that are copied at once, unless configured. (Groups that wait are bounded by the number of slots: no slot is
/// in two.)
pub const COPIES_MAX: usize = 8;

/// What may happen.
#[derive(Clone, Debug)]
pub enum Input {
    /// Move these slots from wherever they are to this node. `ticket` names the request in `Progress` and `Done`.
    Begin {
        ticket: u64,
        slots: SlotSet,
        to: NodeId,
    },
    /// Give up what of it has not been released.
    Cancel {
        ticket: u64,
    },
    Source {
        node: NodeId,
        message: FromSource,
    },
    Target {
        node: NodeId,
        message: FromTarget,
    },
    /// A node has taken over the map with this epoch.
    Seen {
        node: NodeId,
        epoch: Epoch,
    },
    /// A node that may own slots; or another address for it.
    Joined(Member),
    /// A node's process is gone for certain (reaped), with so much by its last report.
    Gone {
        node: NodeId,
        keys: u64,
        bytes: u64,
    },
    /// Slots that nobody owns belong to these nodes, empty.
    Place(Vec<(SlotSet, NodeId)>),
    /// The records with this number are durable.
    Persisted {
        number: u64,
    },
    /// Time has passed: several times in [`RESEND_US`].
    Tick,
}

/// What the driver wants to be kept. All records of one number become durable together or not at all, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Map(SlotMap),
    Intent(Group),
    /// The attempt is over.
    Ended(HandoverId),
    /// Numbers below this one were given to attempts.
    NextHandover(u64),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Numbers rise by one. Answer with `Persisted`, in the same order.
    Persist {
        number: u64,
        records: Vec<Record>,
    },
    ToSource(NodeId, ToSource),
    ToTarget(NodeId, ToTarget),
    /// This map is durable: to these nodes first, then to all members.
    Push {
        map: SlotMap,
        first: Vec<NodeId>,
    },
    /// The newest durable map once more, to a node that has not said that it has seen it.
    PushTo {
        map: SlotMap,
        node: NodeId,
    },
    /// News for a person.
    Event(String),
    Progress {
        ticket: u64,
        progress: Progress,
    },
    Done {
        ticket: u64,
        progress: Progress,
    },
}

/// How much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Groups that are being copied at once, one for each pair of nodes. While a pair's group is released and
    /// committed, its next one is copied already.
    pub copies: usize,
    /// Of each copy; 0: none.
    pub bytes_per_second_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { copies: COPIES_MAX, bytes_per_second_max: 0 }
    }
}

/// The driver.
#[derive(Clone, Debug)]
pub struct Driver {
    bounds: Bounds,
    /// The newest durable map.
    map: SlotMap,
    next_id: u64,
    next_record: u64,
    attempts: BTreeMap<HandoverId, Attempt>,
    jobs: Jobs,
    maps: maps::Wanted,
    /// Intents whose record is not durable yet, by the number of the record.
    intents: BTreeMap<u64, HandoverId>,
    /// What each node has said to have seen, and when the map went out to it.
    seen: BTreeMap<NodeId, (Epoch, u64)>,
    /// Dead nodes that the durable map still names.
    dead: BTreeSet<NodeId>,
}

impl Driver {
    /// From what was durable: the map, the attempts that had not ended, the lowest number that no attempt had.
    pub fn recover(map: SlotMap, intents: Vec<Group>, next_id: u64, bounds: Bounds) -> Driver {
        let highest = intents.iter().map(|group| group.id.0).max().unwrap_or(0);
        let attempts = intents.into_iter().map(|group| (group.id, Attempt::recovered(group, &map))).collect();
        let maps = maps::Wanted::recovered(&map);
        Driver {
            bounds,
            map,
            next_id: next_id.max(highest + 1),
            next_record: 1,
            attempts,
            jobs: Jobs::default(),
            maps,
            intents: BTreeMap::new(),
            seen: BTreeMap::new(),
            dead: BTreeSet::new(),
        }
    }

    /// Slots of dead nodes stay with nobody until [`Input::Place`] says whose they are. Otherwise living nodes get them
    /// at once.
    pub fn leave_orphans(&mut self) {
        self.maps.leave_orphans();
    }

    /// The newest durable map.
    pub fn map(&self) -> &SlotMap {
        &self.map
    }

    /// Whether nothing is under way: no attempt, no group that waits, no map that is not everywhere.
    pub fn is_idle(&self) -> bool {
        self.attempts.is_empty() && self.jobs.is_idle() && self.maps.is_idle() && self.unseen().is_empty()
    }

    /// The attempts under way: their groups and what was heard of them.
    pub fn attempts(&self) -> impl Iterator<Item = (&Group, SourceFact, TargetFact)> {
        self.attempts.values().map(|attempt| (&attempt.group, attempt.source, attempt.target))
    }

    /// One step. `now_us`: microseconds of a clock that never goes back while this driver lives.
    pub fn step(&mut self, now_us: u64, input: Input) -> Vec<Action> {
        let mut out = Vec::new();
        match input {
            Input::Begin { ticket, slots, to } => self.begin(now_us, ticket, slots, to),
            Input::Cancel { ticket } => self.cancel(now_us, ticket, &mut out),
            Input::Source { node, message } => self.hear_source(now_us, node, message, &mut out),
            Input::Target { node, message } => self.hear_target(now_us, node, message, &mut out),
            Input::Seen { node, epoch } => self.seen(now_us, node, epoch),
            Input::Joined(member) => self.maps.join(member),
            Input::Gone { node, keys, bytes } => self.gone(now_us, node, keys, bytes, &mut out),
            Input::Place(parts) => self.maps.place(parts),
            Input::Persisted { number } => self.persisted(now_us, number, &mut out),
            Input::Tick => self.tick(now_us, &mut out),
        }
        self.start_waiting(now_us, &mut out);
        self.make_map(now_us, &mut out);
        self.jobs.report(now_us, &mut out);
        out
    }

    fn begin(&mut self, now_us: u64, ticket: u64, slots: SlotSet, to: NodeId) {
        let mut busy = SlotSet::new();
        self.attempts.values().for_each(|attempt| busy.add(&attempt.group.slots));
        self.jobs.begin(now_us, ticket, slots, to, &self.map, &busy);
    }

    fn cancel(&mut self, now_us: u64, ticket: u64, out: &mut Vec<Action>) {
        self.jobs.cancel(ticket);
        for id in self.ids(|attempt| attempt.ticket == Some(ticket)) {
            self.attempts.entry(id).and_modify(|attempt| (attempt.cancelled, attempt.is_held) = (true, false));
            self.drive(now_us, id, out);
        }
    }

    fn hear_source(&mut self, now_us: u64, node: NodeId, message: FromSource, out: &mut Vec<Action>) {
        let (id, fact, why) = match message {
            FromSource::Failed { id, why } => (id, SourceFact::Over, Some(why)),
            FromSource::Is { id, phase, keys, bytes } => {
                if let Some(attempt) = self.attempts.get_mut(&id) {
                    (attempt.keys, attempt.bytes) = (attempt.keys.max(keys), attempt.bytes.max(bytes));
                    self.jobs.copied(attempt);
                }
                (id, SourceFact::from(phase), None)
            }
        };
        let Some(attempt) = self.attempts.get_mut(&id).filter(|attempt| attempt.group.from == node) else {
            return self.stray_source(node, id, fact, out);
        };
        attempt.why = attempt.why.take().or(why);
        if fact > attempt.source {
            attempt.source = fact;
            if fact == SourceFact::Sealed {
                attempt.sealed_us = now_us;
            }
            self.drive(now_us, id, out);
        }
    }

    fn hear_target(&mut self, now_us: u64, node: NodeId, message: FromTarget, out: &mut Vec<Action>) {
        let (id, fact, why) = match message {
            FromTarget::Failed { id, why } => (id, TargetFact::Over, Some(why)),
            FromTarget::Is { id, phase: TargetPhase::Serving } => return self.jobs.serving(now_us, id),
            FromTarget::Is { id, phase } => (id, TargetFact::from(phase), None),
        };
        let Some(attempt) = self.attempts.get_mut(&id).filter(|attempt| attempt.group.to == node) else {
            return self.stray_target(node, id, fact, out);
        };
        attempt.why = attempt.why.take().or(why);
        if fact > attempt.target {
            attempt.target = fact;
            self.drive(now_us, id, out);
        }
    }

    /// Of an attempt that is not under way (any more).
    fn stray_source(&self, node: NodeId, id: HandoverId, fact: SourceFact, out: &mut Vec<Action>) {
        match fact {
            SourceFact::Over | SourceFact::Gone => {}
            // Committed: it has not seen the map yet.
            SourceFact::Released => out.push(Action::PushTo { map: self.map.clone(), node }),
            _ => out.push(Action::ToSource(node, ToSource::Cancel { id })),
        }
    }

    /// It keeps something for an attempt that is over. If that was committed, it may be the only copy, until the target
    /// has seen the map; afterwards it has no use.
    fn stray_target(&self, node: NodeId, id: HandoverId, fact: TargetFact, out: &mut Vec<Action>) {
        if fact >= TargetFact::Over {
            return;
        }
        out.push(match self.has_seen_newest(node) {
            true => Action::ToTarget(node, ToTarget::Cancel { id }),
            false => Action::PushTo { map: self.map.clone(), node },
        });
    }

    fn seen(&mut self, now_us: u64, node: NodeId, epoch: Epoch) {
        let (seen, _) = self.seen.entry(node).or_default();
        *seen = epoch.max(*seen);
        self.jobs.seen(now_us, node, epoch);
    }

    fn gone(&mut self, now_us: u64, node: NodeId, keys: u64, bytes: u64, out: &mut Vec<Action>) {
        self.dead.insert(node);
        self.jobs.gone(node);
        self.maps.gone(node, keys, bytes);
        for id in self.ids(|attempt| attempt.group.from == node || attempt.group.to == node) {
            if let Some(attempt) = self.attempts.get_mut(&id) {
                attempt.gone(node);
            }
            self.drive(now_us, id, out);
        }
    }

    fn persisted(&mut self, now_us: u64, number: u64, out: &mut Vec<Action>) {
        if let Some(id) = self.intents.remove(&number) {
            if let Some(attempt) = self.attempts.get_mut(&id) {
                attempt.is_durable = true;
            }
            self.drive(now_us, id, out);
        }
        if let Some(made) = self.maps.persisted(number) {
            self.committed(now_us, made, out);
        }
    }

    /// A map is durable: everybody may know.
    fn committed(&mut self, now_us: u64, made: maps::Made, out: &mut Vec<Action>) {
        self.map = made.map.clone();
        let mut first = Vec::new();
        for id in &made.commits {
            let Some(attempt) = self.attempts.remove(id) else { continue };
            first.push(attempt.group.to);
            self.jobs.committed(now_us, attempt, made.map.epoch(), now_us.saturating_sub(made.begun_us));
        }
        first.extend(made.sources);
        self.map.nodes().iter().for_each(|node| self.seen.entry(node.id).or_default().1 = now_us);
        self.dead.iter().for_each(|node| self.jobs.gone(*node));
        self.seen.retain(|id, _| made.map.node(*id).is_some());
        self.dead.retain(|id| made.map.node(*id).is_some());
        out.push(Action::Push { map: made.map.clone(), first });
        out.extend(made.events.into_iter().map(Action::Event));
        for id in made.returns {
            if let Some(attempt) = self.attempts.get_mut(&id) {
                attempt.returned = Some(made.map.epoch());
            }
            self.drive(now_us, id, out);
        }
    }

    fn tick(&mut self, now_us: u64, out: &mut Vec<Action>) {
        for id in self.ids(|attempt| attempt.asked_us + RESEND_US <= now_us) {
            self.ask(id, out);
            self.drive(now_us, id, out);
        }
        for node in self.unseen() {
            let (_, sent_us) = self.seen.entry(node).or_default();
            if *sent_us + RESEND_US <= now_us {
                *sent_us = now_us;
                out.push(Action::PushTo { map: self.map.clone(), node });
            }
        }
    }

    /// Nodes that have not said to have seen the newest durable map.
    fn unseen(&self) -> Vec<NodeId> {
        let nodes = self.map.nodes().iter().map(|node| node.id);
        nodes.filter(|id| !self.has_seen_newest(*id) && !self.dead.contains(id)).collect()
    }

    fn has_seen_newest(&self, node: NodeId) -> bool {
        self.seen.get(&node).is_some_and(|(epoch, _)| *epoch >= self.map.epoch())
    }

    fn ids(&self, wanted: impl Fn(&Attempt) -> bool) -> Vec<HandoverId> {
        self.attempts.values().filter(|attempt| wanted(attempt)).map(|attempt| attempt.group.id).collect()
    }

    /// Starts groups whose time has come, within the bounds. Behind each group that is being copied the pair's next one is
    /// made durable already: no record stands between a group that is sealed and its commit.
    fn start_waiting(&mut self, now_us: u64, out: &mut Vec<Action>) {
        let mut copying: Vec<(NodeId, NodeId)> = self.attempts.values().filter_map(Attempt::copies).collect();
        for id in self.ids(|attempt| attempt.is_held && attempt.is_durable) {
            let Some(attempt) = self.attempts.get_mut(&id) else { continue };
            if copying.len() < self.bounds.copies && !copying.contains(&attempt.pair()) {
                attempt.is_held = false;
                copying.push(attempt.pair());
                self.drive(now_us, id, out);
            }
        }
        let held = self.attempts.values().filter(|attempt| attempt.is_held);
        let mut held: Vec<(NodeId, NodeId)> = held.map(Attempt::pair).collect();
        while copying.len() < self.bounds.copies {
            let is_free = |pair: &_| !copying.contains(pair) && !held.contains(pair);
            let Some(waiting) = self.jobs.next(now_us, &self.map, &self.dead, is_free) else { break };
            copying.push(self.intend(now_us, waiting, false, out));
        }
        while let Some(waiting) =
            self.jobs.next(now_us, &self.map, &self.dead, |pair| copying.contains(pair) && !held.contains(pair))
        {
            held.push(self.intend(now_us, waiting, true, out));
        }
    }

    /// A new attempt: it begins once its intent is durable, and once it is not held. Returns its pair.
    fn intend(
        &mut self,
        now_us: u64,
        waiting: jobs::Waiting,
        is_held: bool,
        out: &mut Vec<Action>,
    ) -> (NodeId, NodeId) {
        let id = HandoverId(self.next_id);
        self.next_id += 1;
        let attempt = Attempt { is_held, ..Attempt::new(id, waiting, now_us) };
        let (pair, group) = (attempt.pair(), attempt.group.clone());
        self.attempts.insert(id, attempt);
        let number = self.persist(vec![Record::NextHandover(self.next_id), Record::Intent(group)], out);
        self.intents.insert(number, id);
        pair
    }

    /// Makes the next map if one is wanted and none is on its way.
    fn make_map(&mut self, now_us: u64, out: &mut Vec<Action>) {
        let number = self.next_record;
        if let Some(records) = self.maps.make(now_us, number, &self.map, &mut self.attempts) {
            self.persist(records, out);
        }
    }

    fn persist(&mut self, records: Vec<Record>, out: &mut Vec<Action>) -> u64 {
        let number = self.next_record;
        self.next_record += 1;
        out.push(Action::Persist { number, records });
        number
    }

    /// Does what an attempt needs now.
    fn drive(&mut self, now_us: u64, id: HandoverId, out: &mut Vec<Action>) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        if !attempt.is_durable || attempt.is_held || attempt.in_map {
            return;
        }
        attempt.asked_us = now_us;
        let Group { from, to, .. } = attempt.group;
        match need(attempt.source, attempt.target, attempt.cancelled) {
            Need::Prepare => out.push(Action::ToTarget(to, ToTarget::Prepare { group: attempt.group.clone() })),
            Need::Copy => out.extend(self.copy(id)),
            // Both speak by themselves; after a silence they are asked.
            Need::Watch => {}
            Need::Release => out.push(Action::ToSource(from, ToSource::Release { id })),
            Need::Commit => self.maps.commit(id),
            Need::Return => match attempt.returned {
                Some(epoch) => out.push(Action::ToSource(from, ToSource::Return { id, epoch })),
                None => self.maps.give_back(id),
            },
            Need::CancelSource => out.push(Action::ToSource(from, ToSource::Cancel { id })),
            Need::CancelTarget => out.push(Action::ToTarget(to, ToTarget::Cancel { id })),
            Need::End => self.end(now_us, id, out),
        }
    }

    /// Asks both sides how far they are, if there is nothing to do but wait for them.
    fn ask(&self, id: HandoverId, out: &mut Vec<Action>) {
        let Some(attempt) = self.attempts.get(&id).filter(|attempt| attempt.is_durable && !attempt.in_map) else {
            return;
        };
        if need(attempt.source, attempt.target, attempt.cancelled) == Need::Watch {
            let (from, to) = attempt.pair();
            out.push(Action::ToSource(from, ToSource::Query { id }));
            out.push(Action::ToTarget(to, ToTarget::Query { id }));
        }
    }

    fn copy(&self, id: HandoverId) -> Option<Action> {
        let group = self.attempts.get(&id)?.group.clone();
        let target_address = self.map.node(group.to)?.address.clone();
        let bytes_per_second_max = self.bounds.bytes_per_second_max;
        Some(Action::ToSource(group.from, ToSource::Copy { group, target_address, bytes_per_second_max }))
    }

    /// Neither side has anything more to do with it: perhaps another attempt.
    fn end(&mut self, now_us: u64, id: HandoverId, out: &mut Vec<Action>) {
        self.persist(vec![Record::Ended(id)], out);
        if let Some(attempt) = self.attempts.remove(&id) {
            self.jobs.failed(now_us, attempt);
        }
    }
}

impl From<SourcePhase> for SourceFact {
    fn from(phase: SourcePhase) -> SourceFact {
        match phase {
            SourcePhase::Unknown => SourceFact::Over,
            SourcePhase::Copying => SourceFact::Copying,
            SourcePhase::Sealed => SourceFact::Sealed,
            SourcePhase::Released => SourceFact::Released,
        }
    }
}

impl From<TargetPhase> for TargetFact {
    fn from(phase: TargetPhase) -> TargetFact {
        match phase {
            TargetPhase::Unknown | TargetPhase::Serving => TargetFact::Over,
            TargetPhase::Prepared => TargetFact::Prepared,
            TargetPhase::Ready => TargetFact::Ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u32) -> Member {
        Member { id: NodeId(id), address: format!("n{id}"), zone: String::new() }
    }

    /// A driver over two nodes, the first of which owns everything.
    fn two_nodes() -> Driver {
        let map = SlotMap::single(Epoch(1), member(1)).with_member(member(2));
        Driver::recover(map, Vec::new(), 1, Bounds::default())
    }

    #[test]
    fn nothing_goes_out_before_its_intent_is_durable() {
        let mut driver = two_nodes();
        let slots: SlotSet = "0-511".parse().unwrap();
        let actions = driver.step(0, Input::Begin { ticket: 1, slots, to: NodeId(2) });
        let Action::Persist { number, records } = &actions[0] else { panic!("{actions:?}") };
        assert!(matches!(&records[1], Record::Intent(group) if group.slots.len() == 256), "{records:?}");
        assert!(!actions.iter().any(|action| matches!(action, Action::ToTarget(..) | Action::ToSource(..))));
        let actions = driver.step(1, Input::Persisted { number: *number });
        assert!(matches!(&actions[0], Action::ToTarget(NodeId(2), ToTarget::Prepare { .. })), "{actions:?}");
    }

    #[test]
    fn a_dead_nodes_slots_go_to_the_living_and_an_event_says_what_was_lost() {
        let mut driver = two_nodes();
        let actions = driver.step(0, Input::Gone { node: NodeId(1), keys: 12, bytes: 345 });
        let Action::Persist { number, .. } = &actions[0] else { panic!("{actions:?}") };
        let actions = driver.step(1, Input::Persisted { number: *number });
        let Action::Push { map, .. } = &actions[0] else { panic!("{actions:?}") };
        assert_eq!((map.slots_of(NodeId(2)).len(), map.nodes().len()), (16384, 1));
        let lost = "node 1 is gone: what it held of 16384 slots is lost, by its last report 12 keys, 345 bytes";
        assert_eq!(actions[1], Action::Event(lost.to_owned()));
    }
}
