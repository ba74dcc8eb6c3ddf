//! Carries out what the policy decides: nodes are asked for, slots moved, nodes drained and let go.

use swell_node::control::{Event, EventWhy};
use swell_ring::{NodeId, SlotSet};
use tokio::time::Instant;

use crate::ask::Asker;
use crate::drive::job::JOBS_MAX;
use crate::members::LinkId;
use crate::policy::view::{Action, Decision, Signal, Why};
use crate::writer::Writer;

/// Whom the scaler's own moves report to: no link has this number.
pub(crate) const NOBODY: Asker = Asker { link: LinkId(0), number: 0 };

impl Writer {
    /// Does it all, in order.
    pub(crate) fn carry_out(&mut self, decisions: Vec<Decision>, now: Instant) {
        // Nobody that leaves is given the slots of another that leaves.
        let leaving: Vec<NodeId> = decisions.iter().filter_map(|decision| leaver(&decision.action)).collect();
        let leaving: Vec<NodeId> = leaving.into_iter().filter(|id| self.may_leave(*id)).collect();
        leaving.iter().for_each(|id| self.set_draining(*id, true));
        for decision in decisions {
            if self.drive.jobs.len() >= JOBS_MAX {
                if let Some(id) = leaver(&decision.action).filter(|id| leaving.contains(id)) {
                    self.set_draining(id, false);
                }
                tracing::warn!(JOBS_MAX, "a decision waits: so many moves are under way");
                continue;
            }
            match &decision.action {
                Action::AddNodes { count } => self.add_nodes(*count, &decision),
                Action::Move { slots, to } => self.move_for_scaling(slots, *to, &decision, now),
                Action::Remove { node } if leaving.contains(node) => {
                    self.note_count();
                    self.decided(&decision, false);
                    self.begin_drain(NOBODY, *node, now);
                }
                Action::Remove { .. } => {}
            }
        }
    }

    /// Makes it an event, and counts it.
    pub(crate) fn decided(&mut self, decision: &Decision, is_dry_run: bool) {
        let (kind, action) = (kind(&decision.action), words(&decision.action));
        let said = if is_dry_run { "would " } else { "" };
        let text = format!("{said}{action}: {}", decision.why.text);
        let message = match (&decision.action, is_dry_run) {
            (_, true) | (Action::Move { .. }, _) => String::new(),
            (Action::AddNodes { .. }, _) => "Increasing number of requested nodes".to_owned(),
            (Action::Remove { .. }, _) => "Decreasing number of requested nodes".to_owned(),
        };
        let mut event = Event { kind: kind.to_owned(), message, text, ..event_of(&decision.why, is_dry_run) };
        if let Action::Move { to: node, .. } | Action::Remove { node } = &decision.action {
            event.node = Some(*node);
        }
        let event = self.events.add(false, event);
        self.scale.last_decision = Some(event);
        if !is_dry_run {
            let key = (signal(decision.why.signal).to_owned(), kind);
            *self.scale.decisions.entry(key).or_default() += 1;
        }
    }

    /// When all that was asked for is there and everything is where it should be, an event says so.
    pub(crate) fn told_scaled(&mut self) {
        let Some(from) = self.scale.from_nodes else { return };
        let is_over = self.starting() == 0 && !self.nodes.values().any(|node| node.is_draining || node.is_leaving);
        let to = self.nodes.len();
        if is_over {
            self.scale.from_nodes = None;
        }
        if is_over && from != to {
            let message = format!("Finished modifying number of nodes from {from} to {to}");
            let text = format!("there are {to} nodes now, {from} before");
            self.events.add(false, Event { kind: "scaled".to_owned(), message, text, ..Event::default() });
        }
    }

    fn add_nodes(&mut self, count: u32, decision: &Decision) {
        if self.provider.is_none() {
            return tracing::warn!("nodes are wanted, and nobody provides machines");
        }
        self.note_count();
        self.decided(decision, false);
        if let Some(provider) = &mut self.provider {
            provider.add(count as usize);
        }
    }

    fn move_for_scaling(&mut self, slots: &SlotSet, to: NodeId, decision: &Decision, now: Instant) {
        if self.nodes.get(&to).is_some_and(|node| node.may_get_slots()) && !slots.is_empty() {
            self.decided(decision, false);
            self.move_slots(NOBODY, slots, to, now);
        }
    }

    fn may_leave(&self, id: NodeId) -> bool {
        let is_there = self.nodes.get(&id).is_some_and(|node| node.may_get_slots());
        is_there && self.takers().any(|other| other != id)
    }

    fn note_count(&mut self) {
        let nodes = self.nodes.len();
        self.scale.from_nodes.get_or_insert(nodes);
    }
}

/// An event with a reason's numbers.
pub(crate) fn event_of(why: &Why, is_dry_run: bool) -> Event {
    let numbers = EventWhy {
        signal: signal(why.signal).to_owned(),
        value: why.value,
        limit: why.limit,
        forecast: why.forecast,
        is_dry_run,
    };
    Event { node: why.node.map(NodeId), why: Some(numbers), ..Event::default() }
}

/// What is to be done, for a person.
pub(crate) fn words(action: &Action) -> String {
    match action {
        Action::AddNodes { count: 1 } => "add a node".to_owned(),
        Action::AddNodes { count } => format!("add {count} nodes"),
        Action::Move { slots, to } => format!("move {} slots to node {to}", slots.len()),
        Action::Remove { node } => format!("let node {node} go"),
    }
}

/// As events and metrics name it.
pub(crate) fn signal(signal: Signal) -> &'static str {
    match signal {
        Signal::Memory => "memory",
        Signal::Cpu => "cpu",
        Signal::Delay => "delay",
        Signal::Network => "network",
        Signal::Ecpu => "ecpu",
        Signal::Heat => "heat",
        Signal::Idle => "idle",
        Signal::Bounds => "bounds",
    }
}

fn kind(action: &Action) -> &'static str {
    match action {
        Action::AddNodes { .. } => "scale-out",
        Action::Move { .. } => "move",
        Action::Remove { .. } => "scale-in",
    }
}

fn leaver(action: &Action) -> Option<NodeId> {
    match action {
        Action::Remove { node } => Some(*node),
        _ => None,
    }
}
