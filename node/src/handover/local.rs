//! All that one node does about hand-overs and maps: source, target and ownership in one step function. This is what
//! the node's executor holds.

use swell_ring::{Epoch, NodeId, SlotMap};

use super::action::Action;
use super::message::{ToSource, ToTarget};
use super::ownership::Ownership;
use super::source::{self, Source};
use super::target::{self, Target};

/// What may happen.
#[derive(Clone, Debug)]
pub enum Input {
    /// A map, from the scaler. One that is not newer than what was seen is only confirmed again.
    Map(SlotMap),
    Source(source::Input),
    Target(target::Input),
    /// Time has passed.
    Tick,
}

/// One node's part.
#[derive(Clone, Debug)]
pub struct Local {
    me: NodeId,
    epoch: Epoch,
    source: Source,
    target: Target,
    ownership: Ownership,
}

impl Local {
    /// Of a node that has seen no map. All its gates are Released.
    pub fn new(me: NodeId) -> Local {
        let (source, target, ownership) = (Source::new(), Target::new(), Ownership::new());
        Local { me, epoch: Epoch(0), source, target, ownership }
    }

    /// One step: what is to be done, in this order. `now_ms` is any clock that never goes back.
    pub fn step(&mut self, now_ms: u64, input: Input) -> Vec<Action> {
        match input {
            Input::Map(map) => self.on_map(&map),
            Input::Source(input) => self.source.step(now_ms, self.epoch, self.ownership.owned(), input),
            Input::Target(input) => self.target.step(self.ownership.owned(), input),
            Input::Tick => self.source.step(now_ms, self.epoch, self.ownership.owned(), source::Input::Tick),
        }
    }

    /// When a `Tick` is due at the latest, on `step`'s clock.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.source.deadline_ms()
    }

    /// The newest epoch that was taken over.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The source's part, to look at.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The target's part, to look at.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Which slots are this node's.
    pub fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    fn on_map(&mut self, map: &SlotMap) -> Vec<Action> {
        if map.epoch() <= self.epoch {
            return vec![Action::Seen(self.epoch)];
        }
        self.epoch = map.epoch();
        let changes = self.ownership.on_map(self.me, map, &self.target.ready());
        let mut lost = changes.lost.clone();
        lost.add(&changes.emptied);
        // Imports that are over leave their gates Released, so they come before the gates that open.
        let mut actions = self.target.on_map(self.me, map);
        let gates = [
            (!changes.lost.is_empty()).then_some(Action::Free { slots: changes.lost }),
            (!changes.imported.is_empty()).then_some(Action::Serve { slots: changes.imported }),
            (!changes.emptied.is_empty()).then_some(Action::ServeEmpty { slots: changes.emptied }),
        ];
        actions.extend(gates.into_iter().flatten());
        actions.extend(self.source.on_map(self.epoch, &lost));
        // What is said must be so: messages last.
        let (messages, mut actions): (Vec<Action>, Vec<Action>) = actions.into_iter().partition(Action::is_message);
        actions.extend(messages);
        actions.push(Action::Seen(self.epoch));
        actions
    }
}

impl From<ToSource> for Input {
    fn from(message: ToSource) -> Input {
        Input::Source(source::Input::Message(message))
    }
}

impl From<ToTarget> for Input {
    fn from(message: ToTarget) -> Input {
        Input::Target(target::Input::Message(message))
    }
}
