//! The source's part: copy, seal, release. One value for all attempts at a node; no I/O, no clock.
//!
//! - Sealed ends by itself after [`SEALED_MS_MAX`] unless released.
//! - Released ends only by a map that gives the slots to somebody else, or by the driver's `Return` together with the
//!   newer map that it names. A newer map alone is not enough: with several hand-overs at once there are new maps that
//!   still name this node for slots whose hand-over is about to be committed.
//! - `Unknown` and `Failed` are promises: an attempt that was called so never begins (again), however late its messages.

use std::collections::BTreeMap;

use swell_ring::{Epoch, SlotSet};

use super::action::Action;
use super::ended::Ended;
use super::message::{Failure, FromSource, Group, HandoverId, SEALED_MS_MAX, SourcePhase, ToSource};

/// What may happen to a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Message(ToSource),
    /// So much of the snapshot has gone out.
    Copied {
        id: HandoverId,
        keys: u64,
        bytes: u64,
    },
    /// The snapshot is out and the spool small: time to seal.
    CopyDrained {
        id: HandoverId,
    },
    /// The tail and the end have gone out.
    StreamSent {
        id: HandoverId,
    },
    StreamBroken {
        id: HandoverId,
        why: Failure,
    },
    /// Time has passed.
    Tick,
}

/// All attempts whose source this node is.
#[derive(Clone, Debug, Default)]
pub struct Source {
    attempts: BTreeMap<HandoverId, Attempt>,
    ended: Ended,
}

#[derive(Clone, Debug)]
struct Attempt {
    slots: SlotSet,
    phase: Phase,
    keys: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Copying,
    /// `sent`: the target may have all of it, and the stream's end means nothing any more.
    Sealed {
        at_ms: u64,
        sent: bool,
    },
    /// `returned`: the map with this epoch takes it back.
    Released {
        returned: Option<Epoch>,
    },
}

impl Source {
    /// Nothing under way.
    pub fn new() -> Source {
        Source::default()
    }

    /// One step. `owned`: the slots that are this node's by the newest map it has seen, whose epoch is `epoch`.
    pub fn step(&mut self, now_ms: u64, epoch: Epoch, owned: &SlotSet, input: Input) -> Vec<Action> {
        match input {
            Input::Message(message) => self.message(epoch, owned, message),
            Input::Copied { id, keys, bytes } => self.copied(id, keys, bytes),
            Input::CopyDrained { id } => self.drained(now_ms, id),
            Input::StreamSent { id } => self.sent(id),
            Input::StreamBroken { id, why } => self.broken(id, why),
            Input::Tick => self.tick(now_ms),
        }
    }

    /// A newer map was seen; `lost`: slots that it took away from this node, or emptied.
    pub fn on_map(&mut self, epoch: Epoch, lost: &SlotSet) -> Vec<Action> {
        let mut actions = Vec::new();
        for id in self.attempts.keys().copied().collect::<Vec<_>>() {
            self.lose(id, lost, &mut actions);
            self.take_back(id, epoch, &mut actions);
        }
        actions
    }

    /// When to tick at the latest, if nothing else happens.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.attempts.values().filter_map(Attempt::deadline_ms).min()
    }

    /// How far an attempt is.
    pub fn phase(&self, id: HandoverId) -> SourcePhase {
        self.attempts.get(&id).map_or(SourcePhase::Unknown, Attempt::phase)
    }

    /// Whether no attempt is under way.
    pub fn is_idle(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Whether slots are sealed or released: they may be somebody else's soon.
    pub fn is_leaving(&self) -> bool {
        self.attempts.values().any(|attempt| !matches!(attempt.phase, Phase::Copying))
    }

    fn message(&mut self, epoch: Epoch, owned: &SlotSet, message: ToSource) -> Vec<Action> {
        match message {
            ToSource::Copy { group, target_address, bytes_per_second_max } => {
                self.copy(owned, group, target_address, bytes_per_second_max)
            }
            ToSource::Release { id } => self.release(id),
            ToSource::Return { id, epoch: by } => self.give_back(id, by, epoch),
            ToSource::Cancel { id } => self.cancel(id),
            ToSource::Query { id } => self.answer(id),
        }
    }

    fn copy(&mut self, owned: &SlotSet, group: Group, target_address: String, bound: u64) -> Vec<Action> {
        let id = group.id;
        if self.attempts.contains_key(&id) || self.ended.contains(id) {
            return self.answer(id);
        }
        let mut missing = group.slots.clone();
        missing.subtract(owned);
        if !missing.is_empty() {
            return self.refuse(id, Failure::NotOwner(missing));
        }
        let rivals: Vec<HandoverId> = self.overlapping(&group.slots);
        if let Some(busy) = rivals.iter().find(|rival| **rival > id || self.is_released(**rival)) {
            let slots = self.attempts[busy].slots.clone();
            return self.refuse(id, Failure::Busy(slots));
        }
        // The driver has given those up: their cancel is still on its way.
        let mut actions: Vec<Action> = rivals.into_iter().flat_map(|old| self.fail(old, Failure::Cancelled)).collect();
        let attempt = Attempt { slots: group.slots.clone(), phase: Phase::Copying, keys: 0, bytes: 0 };
        self.attempts.insert(id, attempt);
        actions.push(Action::StartCopy { group, target_address, bytes_per_second_max: bound });
        actions.extend(self.answer(id));
        actions
    }

    fn copied(&mut self, id: HandoverId, keys: u64, bytes: u64) -> Vec<Action> {
        let Some(attempt) = self.attempts.get_mut(&id) else { return Vec::new() };
        (attempt.keys, attempt.bytes) = (keys, bytes);
        self.answer(id)
    }

    fn drained(&mut self, now_ms: u64, id: HandoverId) -> Vec<Action> {
        let Some(attempt) = self.attempts.get_mut(&id).filter(|attempt| attempt.phase == Phase::Copying) else {
            return Vec::new();
        };
        attempt.phase = Phase::Sealed { at_ms: now_ms, sent: false };
        let seal = Action::Seal { id, slots: attempt.slots.clone() };
        std::iter::once(seal).chain(self.answer(id)).collect()
    }

    fn sent(&mut self, id: HandoverId) -> Vec<Action> {
        if let Some(Phase::Sealed { sent, .. }) = self.attempts.get_mut(&id).map(|attempt| &mut attempt.phase) {
            *sent = true;
        }
        Vec::new()
    }

    fn broken(&mut self, id: HandoverId, why: Failure) -> Vec<Action> {
        match self.attempts.get(&id).map(|attempt| attempt.phase) {
            Some(Phase::Copying | Phase::Sealed { sent: false, .. }) => self.fail(id, why),
            _ => Vec::new(),
        }
    }

    fn tick(&mut self, now_ms: u64) -> Vec<Action> {
        let late = |attempt: &Attempt| attempt.deadline_ms().is_some_and(|at_ms| at_ms <= now_ms);
        let late: Vec<HandoverId> =
            self.attempts.iter().filter(|(_, attempt)| late(attempt)).map(|(id, _)| *id).collect();
        late.into_iter().flat_map(|id| self.fail(id, Failure::SealedTooLong)).collect()
    }

    fn release(&mut self, id: HandoverId) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(attempt) = self.attempts.get_mut(&id)
            && matches!(attempt.phase, Phase::Sealed { .. })
        {
            attempt.phase = Phase::Released { returned: None };
            actions.push(Action::Release { slots: attempt.slots.clone() });
        }
        actions.extend(self.answer(id));
        actions
    }

    fn give_back(&mut self, id: HandoverId, by: Epoch, epoch: Epoch) -> Vec<Action> {
        match self.attempts.get_mut(&id).map(|attempt| &mut attempt.phase) {
            Some(Phase::Released { returned }) => *returned = Some(by),
            _ => return self.cancel(id),
        }
        let mut actions = Vec::new();
        self.take_back(id, epoch, &mut actions);
        actions
    }

    fn cancel(&mut self, id: HandoverId) -> Vec<Action> {
        match self.attempts.contains_key(&id) && !self.is_released(id) {
            true => self.fail(id, Failure::Cancelled),
            false => self.answer(id),
        }
    }

    /// Says how far it is. One that is not known is over from now on: a `Copy` that comes later finds it so.
    fn answer(&mut self, id: HandoverId) -> Vec<Action> {
        let (phase, keys, bytes) = match self.attempts.get(&id) {
            Some(attempt) => (attempt.phase(), attempt.keys, attempt.bytes),
            None => (SourcePhase::Unknown, 0, 0),
        };
        if phase == SourcePhase::Unknown {
            self.ended.insert(id);
        }
        vec![Action::Source(FromSource::Is { id, phase, keys, bytes })]
    }

    fn refuse(&mut self, id: HandoverId, why: Failure) -> Vec<Action> {
        self.ended.insert(id);
        vec![Action::Source(FromSource::Failed { id, why })]
    }

    /// Ends an attempt that is not released; the slots are served again.
    fn fail(&mut self, id: HandoverId, why: Failure) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(attempt) = self.attempts.remove(&id) {
            if matches!(attempt.phase, Phase::Sealed { .. }) {
                actions.push(Action::Serve { slots: attempt.slots });
            }
            actions.push(Action::StopStream { id });
        }
        actions.extend(self.refuse(id, why));
        actions
    }

    /// Slots of an attempt are not this node's any more: released ones are where they should be; otherwise the attempt
    /// has failed, and what is left of it is served again.
    fn lose(&mut self, id: HandoverId, lost: &SlotSet, actions: &mut Vec<Action>) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let mut gone = attempt.slots.clone();
        gone.intersect(lost);
        if gone.is_empty() {
            return;
        }
        attempt.slots.subtract(lost);
        if !matches!(attempt.phase, Phase::Released { .. }) {
            return actions.extend(self.fail(id, Failure::NotOwner(gone)));
        }
        if attempt.slots.is_empty() {
            self.attempts.remove(&id);
            self.ended.insert(id);
            actions.push(Action::StopStream { id });
        }
    }

    /// Serves a released group again if the map that takes it back has been seen.
    fn take_back(&mut self, id: HandoverId, epoch: Epoch, actions: &mut Vec<Action>) {
        let Some(attempt) = self.attempts.get(&id) else { return };
        if matches!(attempt.phase, Phase::Released { returned: Some(by) } if by <= epoch) {
            actions.push(Action::Serve { slots: attempt.slots.clone() });
            self.attempts.remove(&id);
            actions.push(Action::StopStream { id });
            actions.extend(self.refuse(id, Failure::Cancelled));
        }
    }

    fn overlapping(&self, slots: &SlotSet) -> Vec<HandoverId> {
        self.attempts.iter().filter(|(_, attempt)| attempt.slots.overlaps(slots)).map(|(id, _)| *id).collect()
    }

    fn is_released(&self, id: HandoverId) -> bool {
        self.phase(id) == SourcePhase::Released
    }
}

impl Attempt {
    fn phase(&self) -> SourcePhase {
        match self.phase {
            Phase::Copying => SourcePhase::Copying,
            Phase::Sealed { .. } => SourcePhase::Sealed,
            Phase::Released { .. } => SourcePhase::Released,
        }
    }

    fn deadline_ms(&self) -> Option<u64> {
        match self.phase {
            Phase::Sealed { at_ms, .. } => Some(at_ms + SEALED_MS_MAX),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swell_ring::NodeId;

    const ID: HandoverId = HandoverId(1);
    const EPOCH: Epoch = Epoch(5);

    fn step(source: &mut Source, now_ms: u64, input: Input) -> Vec<Action> {
        source.step(now_ms, EPOCH, &SlotSet::all(), input)
    }

    fn copy(id: HandoverId) -> Input {
        let group = Group { id, slots: slots(), from: NodeId(1), to: NodeId(2) };
        Input::Message(ToSource::Copy { group, target_address: String::new(), bytes_per_second_max: 0 })
    }

    fn slots() -> SlotSet {
        "3-4".parse().unwrap()
    }

    fn is(phase: SourcePhase) -> Action {
        Action::Source(FromSource::Is { id: ID, phase, keys: 0, bytes: 0 })
    }

    fn sealed() -> Source {
        let mut source = Source::new();
        step(&mut source, 0, copy(ID));
        let actions = step(&mut source, 10, Input::CopyDrained { id: ID });
        assert_eq!(actions, [Action::Seal { id: ID, slots: slots() }, is(SourcePhase::Sealed)]);
        source
    }

    #[test]
    fn sealed_ends_by_itself_and_a_late_release_finds_nothing() {
        let mut source = sealed();
        assert_eq!(source.deadline_ms(), Some(10 + SEALED_MS_MAX));
        assert!(step(&mut source, 9 + SEALED_MS_MAX, Input::Tick).is_empty());
        let actions = step(&mut source, 10 + SEALED_MS_MAX, Input::Tick);
        let failed = Action::Source(FromSource::Failed { id: ID, why: Failure::SealedTooLong });
        assert_eq!(actions, [Action::Serve { slots: slots() }, Action::StopStream { id: ID }, failed]);
        let late = step(&mut source, 40, Input::Message(ToSource::Release { id: ID }));
        assert_eq!(late, [is(SourcePhase::Unknown)]);
    }

    #[test]
    fn released_is_not_ended_by_time_cancel_a_broken_stream_or_any_newer_map() {
        let mut source = sealed();
        let released = step(&mut source, 11, Input::Message(ToSource::Release { id: ID }));
        assert_eq!(released, [Action::Release { slots: slots() }, is(SourcePhase::Released)]);
        assert!(step(&mut source, 10_000, Input::Tick).is_empty());
        let why = Failure::Stream("reset".to_owned());
        assert!(step(&mut source, 10_000, Input::StreamBroken { id: ID, why }).is_empty());
        let cancel = Input::Message(ToSource::Cancel { id: ID });
        assert_eq!(step(&mut source, 10_000, cancel), [is(SourcePhase::Released)]);
        assert!(source.on_map(Epoch(6), &SlotSet::new()).is_empty());
        // Given back by the map with epoch 7: not before it was seen.
        let back = Input::Message(ToSource::Return { id: ID, epoch: Epoch(7) });
        assert!(source.step(10_000, Epoch(6), &SlotSet::all(), back).is_empty());
        assert_eq!(source.on_map(Epoch(7), &SlotSet::new())[0], Action::Serve { slots: slots() });
    }

    #[test]
    fn what_was_called_unknown_never_begins() {
        let mut source = Source::new();
        assert_eq!(step(&mut source, 0, Input::Message(ToSource::Query { id: ID })), [is(SourcePhase::Unknown)]);
        assert_eq!(step(&mut source, 1, copy(ID)), [is(SourcePhase::Unknown)]);
        assert!(source.is_idle());
    }

    #[test]
    fn a_map_that_gives_the_slots_away_ends_it() {
        let mut source = sealed();
        step(&mut source, 11, Input::Message(ToSource::Release { id: ID }));
        assert_eq!(source.on_map(Epoch(6), &slots()), [Action::StopStream { id: ID }]);
        assert!(source.is_idle());
    }
}
