//! The target's part: prepare, take the stream, be ready, open. One value for all attempts at a node; no I/O, no clock.
//!
//! A target that is Ready stays so (Dark) until a map decides:
//! - the map gives it the slots: it serves them with what came. The driver makes such a map only when the source has
//!   released them or is dead, and never gives slots to a node that may still hold another attempt's copy of them;
//! - the map names anybody else, or nobody: that says nothing. Several hand-overs run at once, and each commit is a newer
//!   map in which the others' sources still own their slots; and a map that comes late, though newer than what the target
//!   has seen, may be older than the attempt, and name an owner before the source. Were the target to forget, a released
//!   group would be lost; to stay costs memory until the driver's `Cancel`, which is repeated until it is answered.

use std::collections::BTreeMap;

use swell_ring::{NodeId, SlotMap, SlotSet};

use super::action::Action;
use super::ended::Ended;
use super::message::{Failure, FromTarget, Group, HandoverId, TargetPhase, ToTarget};

/// What may happen to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Message(ToTarget),
    /// The slots are Dark and empty.
    Prepared {
        id: HandoverId,
    },
    /// The whole stream has come and its counts agree; or why not.
    StreamEnd {
        id: HandoverId,
        result: Result<(), Failure>,
    },
    StreamBroken {
        id: HandoverId,
        why: Failure,
    },
}

/// All attempts whose target this node is.
#[derive(Clone, Debug, Default)]
pub struct Target {
    attempts: BTreeMap<HandoverId, Attempt>,
    ended: Ended,
}

#[derive(Clone, Debug)]
struct Attempt {
    slots: SlotSet,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Preparing,
    Prepared,
    Ready,
}

impl Target {
    /// Nothing under way.
    pub fn new() -> Target {
        Target::default()
    }

    /// One step. `owned`: the slots that are this node's by the newest map it has seen.
    pub fn step(&mut self, owned: &SlotSet, input: Input) -> Vec<Action> {
        match input {
            Input::Message(ToTarget::Prepare { group }) => self.prepare(owned, group),
            Input::Message(ToTarget::Cancel { id }) => self.cancel(id),
            Input::Message(ToTarget::Query { id }) => self.answer(id),
            Input::Prepared { id } => self.advance(id, Phase::Preparing, Phase::Prepared),
            Input::StreamEnd { id, result: Ok(()) } => self.advance(id, Phase::Prepared, Phase::Ready),
            Input::StreamEnd { id, result: Err(why) } | Input::StreamBroken { id, why } => self.broken(id, why),
        }
    }

    /// The slots whose import is complete: a map that gives them to this node opens them with their data.
    pub fn ready(&self) -> SlotSet {
        let mut ready = SlotSet::new();
        self.attempts.values().filter(|attempt| attempt.phase == Phase::Ready).for_each(|a| ready.add(&a.slots));
        ready
    }

    /// The slots of all attempts, complete or not.
    pub fn slots(&self) -> SlotSet {
        let mut slots = SlotSet::new();
        self.attempts.values().for_each(|attempt| slots.add(&attempt.slots));
        slots
    }

    /// A newer map was seen. Opening is [`super::ownership::Ownership`]'s; here attempts end.
    pub fn on_map(&mut self, me: NodeId, map: &SlotMap) -> Vec<Action> {
        let ids: Vec<HandoverId> = self.attempts.keys().copied().collect();
        ids.into_iter().flat_map(|id| self.judge(id, me, map)).collect()
    }

    /// How far an attempt is.
    pub fn phase(&self, id: HandoverId) -> TargetPhase {
        match self.attempts.get(&id).map(|attempt| attempt.phase) {
            None => TargetPhase::Unknown,
            // Nobody is told before it is so; asked, it says nothing new.
            Some(Phase::Preparing | Phase::Prepared) => TargetPhase::Prepared,
            Some(Phase::Ready) => TargetPhase::Ready,
        }
    }

    /// Whether a stream for this attempt is welcome: the group's slots are Dark and wait for it.
    pub fn awaits(&self, id: HandoverId) -> bool {
        self.attempts.get(&id).is_some_and(|attempt| attempt.phase == Phase::Prepared)
    }

    /// Whether no attempt is under way.
    pub fn is_idle(&self) -> bool {
        self.attempts.is_empty()
    }

    fn prepare(&mut self, owned: &SlotSet, group: Group) -> Vec<Action> {
        let id = group.id;
        if self.attempts.contains_key(&id) || self.ended.contains(id) {
            return self.answer(id);
        }
        let mut mine = group.slots.clone();
        mine.intersect(owned);
        let rivals: Vec<HandoverId> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.slots.overlaps(&group.slots))
            .map(|(id, _)| *id)
            .collect();
        if !mine.is_empty() || rivals.iter().any(|rival| *rival > id) {
            // A map that takes them away has not come yet; or the message is older than what is under way.
            return self.fail(id, Failure::Busy(group.slots));
        }
        let mut actions: Vec<Action> = rivals.into_iter().flat_map(|old| self.fail(old, Failure::Cancelled)).collect();
        let attempt = Attempt { slots: group.slots.clone(), phase: Phase::Preparing };
        self.attempts.insert(id, attempt);
        actions.push(Action::Prepare { group });
        actions
    }

    fn advance(&mut self, id: HandoverId, before: Phase, after: Phase) -> Vec<Action> {
        match self.attempts.get_mut(&id) {
            Some(attempt) if attempt.phase == before => attempt.phase = after,
            _ => return Vec::new(),
        }
        self.answer(id)
    }

    fn broken(&mut self, id: HandoverId, why: Failure) -> Vec<Action> {
        match self.attempts.get(&id) {
            Some(attempt) if attempt.phase != Phase::Ready => self.fail(id, why),
            _ => Vec::new(),
        }
    }

    fn cancel(&mut self, id: HandoverId) -> Vec<Action> {
        match self.attempts.contains_key(&id) {
            true => self.fail(id, Failure::Cancelled),
            false => self.answer(id),
        }
    }

    /// Says how far it is, but not `Prepared` too early. One that is not known is over from now on.
    fn answer(&mut self, id: HandoverId) -> Vec<Action> {
        let phase = self.phase(id);
        match self.attempts.get(&id) {
            Some(attempt) if attempt.phase == Phase::Preparing => return Vec::new(),
            Some(_) => {}
            None => self.ended.insert(id),
        }
        vec![Action::Target(FromTarget::Is { id, phase })]
    }

    /// Ends an attempt; what came is dropped.
    fn fail(&mut self, id: HandoverId, why: Failure) -> Vec<Action> {
        self.ended.insert(id);
        let attempt = self.attempts.remove(&id);
        let abandon = attempt.map(|attempt| Action::Abandon { id, slots: attempt.slots });
        abandon.into_iter().chain([Action::Target(FromTarget::Failed { id, why })]).collect()
    }

    fn judge(&mut self, id: HandoverId, me: NodeId, map: &SlotMap) -> Vec<Action> {
        let Some(attempt) = self.attempts.get(&id) else { return Vec::new() };
        let mine: SlotSet = attempt.slots.iter().filter(|slot| map.owner(*slot) == Some(me)).collect();
        if mine.is_empty() {
            return Vec::new();
        }
        if attempt.phase != Phase::Ready {
            return self.fail(id, Failure::Busy(mine));
        }
        let mut rest = attempt.slots.clone();
        rest.subtract(&mine);
        self.attempts.remove(&id);
        self.ended.insert(id);
        let abandon = (!rest.is_empty()).then_some(Action::Abandon { id, slots: rest });
        let serving = Action::Target(FromTarget::Is { id, phase: TargetPhase::Serving });
        abandon.into_iter().chain([serving]).collect()
    }
}
