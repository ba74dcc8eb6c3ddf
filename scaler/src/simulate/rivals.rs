//! Other ways to choose the number of nodes.

use super::cluster::Tick;

/// A way to choose the number of nodes from what is measured.
#[derive(Clone, Debug)]
pub enum Rival {
    /// Always as many.
    Fixed(u32),
    Threshold(Threshold),
    Doubling(Doubling),
}

/// As many nodes as bring the hardest pressed one to the threshold, looked at every 15 s; fewer only when fewer would
/// have done for 5 minutes. So do Kubernetes' horizontal autoscaler and target tracking on clouds.
#[derive(Clone, Debug)]
pub struct Threshold {
    at: f64,
    /// What was wanted at each look of the last 5 minutes.
    wanted: std::collections::VecDeque<u32>,
}

/// What is published of ElastiCache Serverless on Valkey 8: what it can serve doubles every 2 to 3 minutes (from *Scaling
/// ElastiCache*: here every 2½). When it doubles and when it halves is not published: here when the hardest pressed
/// node is above a trigger, and below a third of it for 15 minutes.
#[derive(Clone, Debug)]
pub struct Doubling {
    trigger: f64,
    changed: Option<u32>,
    low_since: Option<u32>,
}

const LOOK_SECONDS: u32 = 15;
const STABLE_LOOKS: usize = 20;
const DOUBLE_SECONDS: u32 = 150;
const HALVE_SECONDS: u32 = 900;

impl Rival {
    /// The threshold policy at these thresholds.
    pub fn thresholds() -> Vec<(String, Rival)> {
        let at = [0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 1.0];
        let rival = |at| Rival::Threshold(Threshold { at, wanted: Default::default() });
        at.into_iter().map(|at| (format!("threshold {at}"), rival(at))).collect()
    }

    /// ElastiCache's rule at these triggers.
    pub fn doublings() -> Vec<(String, Rival)> {
        let at = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
        let rival = |trigger| Rival::Doubling(Doubling { trigger, changed: None, low_since: None });
        at.into_iter().map(|at| (format!("doubling from {at}"), rival(at))).collect()
    }

    /// How many nodes it begins with, if it says.
    pub fn first_nodes(&self) -> Option<u32> {
        match self {
            Rival::Fixed(nodes) => Some(*nodes),
            _ => None,
        }
    }

    /// How many nodes there should be. `weight`: as many full nodes as what serves is worth.
    pub fn wanted(&mut self, now: u32, weight: f64, there: u32, tick: &Tick) -> u32 {
        match self {
            Rival::Fixed(nodes) => *nodes,
            Rival::Threshold(threshold) => threshold.wanted(now, weight, there, tick),
            Rival::Doubling(doubling) => doubling.wanted(now, there, tick),
        }
    }
}

impl Threshold {
    fn wanted(&mut self, now: u32, weight: f64, there: u32, tick: &Tick) -> u32 {
        if !now.is_multiple_of(LOOK_SECONDS) {
            return there;
        }
        let wanted = (weight * tick.measured / self.at).ceil() as u32;
        if self.wanted.len() == STABLE_LOOKS {
            self.wanted.pop_front();
        }
        self.wanted.push_back(wanted);
        let most = self.wanted.iter().copied().max().unwrap_or(wanted);
        match self.wanted.len() < STABLE_LOOKS {
            true => wanted.max(there),
            false if wanted > there => wanted,
            false => most.min(there),
        }
    }
}

impl Doubling {
    fn wanted(&mut self, now: u32, there: u32, tick: &Tick) -> u32 {
        if tick.measured >= self.trigger / 3.0 {
            self.low_since = None;
        } else if self.low_since.is_none() {
            self.low_since = Some(now);
        }
        let waits = self.changed.is_some_and(|changed| now - changed < DOUBLE_SECONDS);
        if tick.measured > self.trigger && !waits {
            self.changed = Some(now);
            return 2 * there;
        }
        if self.low_since.is_some_and(|since| now - since >= HALVE_SECONDS) {
            self.low_since = Some(now);
            return there.div_ceil(2);
        }
        there
    }
}
