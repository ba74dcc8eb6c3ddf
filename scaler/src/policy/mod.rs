//! What a cache's nodes should be: observe → decide → plan, as pure functions of what was seen and of time. The live
//! scaler, `swell simulate` and property tests run the same code.

mod decide;
mod observe;
mod plan;
mod tuning;
pub mod view;

#[cfg(test)]
mod laws;

use std::collections::BTreeMap;

use swell_ring::NodeId;

use view::{Action, Bounds, Decision, Held, NodeState, Signal, Snapshot, Why};

pub use plan::RING_WEIGHT;
pub use tuning::{Plan, Tuning};

use decide::{Decider, Wish};
use observe::Observer;
use plan::Planner;

/// Looks at one snapshot after the other and says what is to be done. Remembers what it saw; has no clock of its own.
#[derive(Clone, Debug)]
pub struct Policy {
    bounds: Bounds,
    tuning: Tuning,
    observer: Observer,
    decider: Decider,
    planner: Planner,
}

/// What one step comes to. Both are empty most of the time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// To be carried out, in this order.
    pub decisions: Vec<Decision>,
    /// What is wanted and cannot be: told at every step as long as it is true, so tell people only what
    /// [`Held::is_like`] nothing of the step before.
    pub held: Vec<Held>,
}

impl Policy {
    /// A policy that has seen nothing yet.
    pub fn new(bounds: Bounds, tuning: Tuning) -> Policy {
        let (observer, decider, planner) = (Observer::new(&tuning), Decider::new(&tuning), Planner::default());
        Policy { bounds: bounds.sane(), tuning, observer, decider, planner }
    }

    /// The same policy that has seen nothing yet, but for which nodes gave slots away for their heat: whoever places
    /// slots meanwhile has to know that.
    pub fn afresh(&self) -> Policy {
        let mut fresh = Policy::new(self.bounds.clone(), self.tuning.clone());
        fresh.planner.weights.clone_from(&self.planner.weights);
        fresh
    }

    /// What nodes are planned for from now on; what was seen stays known.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds.sane();
    }

    /// What nodes are planned for.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The weights on the ring of nodes that gave slots away for their heat; all others have [`RING_WEIGHT`]. Whoever
    /// places a leaving node's slots must use them, or those nodes are filled up again.
    pub fn ring_weights(&self) -> &BTreeMap<NodeId, u32> {
        &self.planner.weights
    }

    /// What is to be done now. A snapshot that is not later than the one before, names no serving node, or has not one
    /// finite figure, changes nothing.
    pub fn step(&mut self, snapshot: &Snapshot<'_>) -> Step {
        let mut step = Step::default();
        let Some(seen) = self.observer.note(snapshot, &self.bounds, &self.tuning) else { return step };
        let wish = self.decider.wish(snapshot, &seen, &self.bounds, &self.tuning, &mut step.held);
        let adds = matches!(wish, Some(Wish::Add { .. }));
        match wish {
            Some(Wish::Add { count, why }) => {
                step.decisions.push(Decision { action: Action::AddNodes { count }, why });
            }
            Some(Wish::Remove { count, why }) => {
                let nodes = plan::leavers(snapshot, count as usize);
                let removes = nodes.into_iter().map(|node| Action::Remove { node });
                step.decisions.extend(removes.map(|action| Decision { action, why: why.clone() }));
            }
            None => {}
        }
        let leaves = !step.decisions.is_empty() && !adds;
        if !leaves && can_move(snapshot) {
            self.planner.plan(snapshot, &seen, &self.bounds, &self.tuning, &mut step);
        }
        step
    }
}

/// Nothing is on its way that a new plan could contradict.
fn can_move(snapshot: &Snapshot<'_>) -> bool {
    snapshot.moving.is_empty() && snapshot.nodes.iter().all(|node| node.state != NodeState::Draining)
}

/// A reason about all nodes together.
fn why(signal: Signal, value: f64, limit: f64, forecast: f64, text: String) -> Why {
    Why { signal, node: None, value, limit, forecast, text }
}
