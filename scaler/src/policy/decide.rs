//! Decide: how many nodes there should be. More at once, as many as the trend asks for; fewer slowly, when fewer would
//! have been enough for a while and would sit well under the level at which more are added.

use super::observe::{COUNTED, Seen, Total};
use super::tuning::Tuning;
use super::view::{Bounds, Free, Held, NodeState, Signal, Snapshot, Why};
use super::why;

/// The window in which fewer nodes must have been enough is looked at in so many parts.
const WINDOW_PARTS: usize = 8;

/// So much of a node's memory must be free for one that is wanted for its CPU: slots on their way are twice there.
const MEMORY_SPARE_SHARE: f64 = 0.1;

/// What is wished for; whether it can be is settled.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    Add { count: u32, why: Why },
    Remove { count: u32, why: Why },
}

/// What was decided before.
#[derive(Clone, Debug)]
pub struct Decider {
    window: Window,
    /// Nodes that there will be by what was asked for, and until when that is believed.
    asked: Option<(u32, u64)>,
    changed_ms: u64,
    started_ms: Option<u64>,
    /// Since when fewer nodes would do.
    low_since_ms: Option<u64>,
    patience: Patience,
}

impl Decider {
    pub fn new(_: &Tuning) -> Decider {
        Decider {
            window: Window::default(),
            asked: None,
            changed_ms: 0,
            started_ms: None,
            low_since_ms: None,
            patience: Patience::default(),
        }
    }

    /// What is wished for now; what is not possible goes to `held`.
    pub fn wish(
        &mut self,
        snapshot: &Snapshot<'_>,
        seen: &Seen,
        bounds: &Bounds,
        tuning: &Tuning,
        held: &mut Vec<Held>,
    ) -> Option<Wish> {
        let now = snapshot.at_ms;
        let started = *self.started_ms.get_or_insert(now);
        let count = Count::of(snapshot);
        let there = self.there(now, &count, tuning);
        let out = most_wanted(seen, tuning, 1.0);
        let enough = most_wanted(seen, tuning, in_part(there, tuning)).nodes.max(bounds.nodes_min);
        let most_enough = self.window.note(now, enough, tuning.stable_ms);
        let wanted = out.nodes.max(bounds.nodes_min);
        if wanted > there {
            let why = |wanted: &Wanted| match wanted.nodes > there {
                true => wanted.why(seen, there, tuning),
                false => too_few(there, bounds),
            };
            let mut wishes = vec![(wanted, why(&out))];
            // Without free cores one more node is of no use to the CPU, and it is to memory and the network.
            let needs_no_cores = |signal| matches!(signal, Signal::Memory | Signal::Network);
            let other = most_wanted_of(seen, tuning, 1.0, needs_no_cores);
            let wanted = other.nodes.max(bounds.nodes_min);
            if out.signal == Signal::Cpu && wanted > there {
                wishes.push((wanted, why(&other)));
            }
            return self.add(now, there, wishes, bounds, snapshot.free, held, tuning);
        }
        let is_busy = count.draining > 0 || count.starting > 0 || there > count.serving || !snapshot.moving.is_empty();
        if is_busy || !seen.is_complete || count.serving <= 1 {
            return None;
        }
        if there > bounds.nodes_max {
            let over = why(
                Signal::Bounds,
                f64::from(there),
                f64::from(bounds.nodes_max),
                f64::from(there),
                format!("{there} nodes are more than the maximum of {}", bounds.nodes_max),
            );
            return self.remove(now, there, there - bounds.nodes_max, over, tuning);
        }
        let low_since = match most_enough < there {
            true => *self.low_since_ms.get_or_insert(now),
            false => {
                self.low_since_ms = None;
                now
            }
        };
        let has_waited = now.saturating_sub(started) >= tuning.stable_ms
            && now - low_since >= self.patience.wait_ms(tuning)
            && now.saturating_sub(self.changed_ms.max(started)) >= tuning.in_pause_ms;
        if most_enough < there && has_waited {
            let fewer = idle(seen, there, most_enough, tuning);
            self.patience.removed(now, there, tuning);
            return self.remove(now, there, there - most_enough, fewer, tuning);
        }
        None
    }

    /// The nodes that there are or soon will be.
    fn there(&mut self, now: u64, count: &Count, _: &Tuning) -> u32 {
        let there = count.serving + count.starting;
        match self.asked {
            Some((asked, until)) if now < until && there < asked => asked,
            _ => {
                self.asked = None;
                there
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn add(
        &mut self,
        now: u64,
        there: u32,
        wishes: Vec<(u32, Why)>,
        bounds: &Bounds,
        free: Free,
        held: &mut Vec<Held>,
        tuning: &Tuning,
    ) -> Option<Wish> {
        let by_bounds = bounds.nodes_max.saturating_sub(there);
        let mut most: Option<(u32, Why)> = None;
        for (wanted, why) in wishes {
            let (by_machine, reason) = fits(why.signal, bounds, free);
            let wanted = wanted - there;
            let count = wanted.min(by_bounds).min(by_machine);
            if count < wanted {
                let reason = match by_bounds <= by_machine {
                    true => format!("at the maximum of {} nodes", bounds.nodes_max),
                    false => reason.to_string(),
                };
                held.push(Held { why: why.clone(), reason });
            }
            if count > most.as_ref().map_or(0, |(count, _)| *count) {
                most = Some((count, why));
            }
        }
        let (count, why) = most?;
        self.patience.added(now, there, count, tuning);
        self.asked = Some((there + count, now + 2 * tuning.ready_ms));
        self.changed_ms = now;
        Some(Wish::Add { count, why })
    }

    fn remove(&mut self, now: u64, there: u32, count: u32, why: Why, tuning: &Tuning) -> Option<Wish> {
        let at_once = (there / tuning.in_parts.max(1)).max(1);
        self.changed_ms = now;
        Some(Wish::Remove { count: count.min(at_once).min(there - 1), why })
    }
}

/// Nodes that were let go and are wanted again soon after were let go too early: each time the wait doubles. So a load
/// that comes and goes, with whatever period, keeps its nodes after a few times.
#[derive(Clone, Debug, Default)]
struct Patience {
    doublings: u32,
    /// The last of some removals that followed each other: when, and how many nodes there were before the first.
    removed: Option<(u64, u32)>,
    regretted_ms: u64,
}

impl Patience {
    /// How long fewer nodes must have been enough besides the window.
    fn wait_ms(&self, tuning: &Tuning) -> u64 {
        ((1 << self.doublings) - 1) * tuning.stable_ms
    }

    /// Nodes are added: too early were they let go if half of them or more come back. One that comes back while
    /// many go is nothing to learn from.
    fn added(&mut self, now: u64, there: u32, count: u32, tuning: &Tuning) {
        let soon = REGRET_TIMES * (self.wait_ms(tuning) + tuning.stable_ms);
        let Some((_, before)) = self.removed.filter(|(at, _)| now - at <= soon) else { return };
        if 2 * count >= before.saturating_sub(there) {
            self.doublings = (self.doublings + 1).min(DOUBLINGS_MAX);
            (self.regretted_ms, self.removed) = (now, None);
        }
    }

    fn removed(&mut self, now: u64, there: u32, tuning: &Tuning) {
        let wait = self.wait_ms(tuning) + tuning.stable_ms;
        let forgotten = (now - self.regretted_ms) / (FORGET_TIMES * wait);
        if self.doublings > 0 && forgotten > 0 {
            self.doublings -= forgotten.min(u64::from(self.doublings)) as u32;
            self.regretted_ms = now;
        }
        let before = match self.removed {
            Some((at, before)) if now - at <= REGRET_TIMES * wait => before,
            _ => there,
        };
        self.removed = Some((now, before));
    }
}

/// Nodes that are wanted again within so many waits were let go too early.
const REGRET_TIMES: u64 = 2;

/// After so many waits without that, one doubling is taken back.
const FORGET_TIMES: u64 = 16;

/// Waits are at most 2 to this power times as long as `stable_ms`.
const DOUBLINGS_MAX: u32 = 6;

/// Nodes by what they do.
struct Count {
    starting: u32,
    serving: u32,
    draining: u32,
}

impl Count {
    fn of(snapshot: &Snapshot<'_>) -> Count {
        let mut count = Count { starting: 0, serving: 0, draining: 0 };
        for node in &snapshot.nodes {
            match node.state {
                NodeState::Starting => count.starting += 1,
                NodeState::Serving => count.serving += 1,
                NodeState::Draining => count.draining += 1,
            }
        }
        count
    }
}

/// How many nodes a signal wants.
struct Wanted {
    nodes: u32,
    signal: Signal,
    total: Total,
}

impl Wanted {
    fn why(&self, seen: &Seen, there: u32, tuning: &Tuning) -> Why {
        let limit = tuning.full_share(self.signal);
        let nodes = f64::from(there.max(1));
        let (value, forecast) = (self.total.level / nodes, self.total.forecast / nodes);
        let is_delay = self.signal == Signal::Cpu && seen.saturated > 0;
        let text = match is_delay {
            true => format!(
                "{} of {there} nodes have no CPU time left (loops up to {:.0} ms late): {} nodes are wanted",
                seen.saturated, seen.delay_ms, self.nodes
            ),
            false => format!(
                "{} is at {:.0} % of {there} nodes' limits and will be at {:.0} % in {:.0} s, and more are added from \
                 {:.0} %: {} nodes are wanted",
                name(self.signal),
                100.0 * value,
                100.0 * forecast,
                tuning.ready_ms as f64 / 1000.0,
                100.0 * limit,
                self.nodes
            ),
        };
        let signal = if is_delay && seen.delay_ms > tuning.delay_ms_max { Signal::Delay } else { self.signal };
        why(signal, value, limit, forecast, text)
    }
}

/// The signal that wants the most nodes, each filled to `part` of the level at which more are added.
fn most_wanted(seen: &Seen, tuning: &Tuning, part: f64) -> Wanted {
    most_wanted_of(seen, tuning, part, |_| true)
}

/// The same of some signals.
fn most_wanted_of(seen: &Seen, tuning: &Tuning, part: f64, is_meant: impl Fn(Signal) -> bool) -> Wanted {
    let mut most = Wanted { nodes: 1, signal: Signal::Memory, total: seen.totals[0] };
    let known = COUNTED.into_iter().zip(&seen.totals).filter(|(signal, total)| total.is_known && is_meant(*signal));
    for (signal, total) in known {
        let used = total.level.max(total.forecast) + total.margin;
        let full = part * tuning.full_share(signal);
        // How uneven several are is nothing to one that has it all.
        let used = if used <= full { used } else { used * total.uneven };
        let nodes = (used / full - ROUNDING).ceil().clamp(1.0, f64::from(u32::MAX)) as u32;
        if nodes > most.nodes {
            most = Wanted { nodes, signal, total: *total };
        }
    }
    most
}

/// Of few nodes one is much: they keep further away from being added again.
fn in_part(there: u32, tuning: &Tuning) -> f64 {
    let there = f64::from(there.max(1));
    tuning.in_part - FEW_NODES_PART / (there * there)
}

/// Two nodes become one where that one would be filled to 80 %; of three the third goes at 91 %, and so on.
const FEW_NODES_PART: f64 = 0.8;

/// A node more is not wanted for less than this part of one.
const ROUNDING: f64 = 1e-6;

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Memory => "memory",
        Signal::Cpu => "CPU time",
        Signal::Network => "the network",
        Signal::Ecpu => "ECPU/s",
        Signal::Delay => "the loops' delay",
        Signal::Heat | Signal::Idle | Signal::Bounds => "load",
    }
}

/// How many more nodes the machine has room for, and what it is out of.
fn fits(signal: Signal, bounds: &Bounds, free: Free) -> (u32, &'static str) {
    let memory = bounds.node_memory_bytes as f64;
    let needed = if signal == Signal::Memory { memory } else { memory * MEMORY_SPARE_SHARE };
    let by_memory = whole(free.memory_bytes as f64 / needed.max(1.0));
    let by_cores = match signal {
        Signal::Cpu | Signal::Delay if bounds.node_cores > 0.0 => whole(free.cores / bounds.node_cores),
        _ => u32::MAX,
    };
    match by_cores < by_memory {
        true => (by_cores, "no free cores on this machine"),
        false => (by_memory, "no free memory on this machine"),
    }
}

fn whole(nodes: f64) -> u32 {
    (nodes + ROUNDING).floor().clamp(0.0, f64::from(u32::MAX)) as u32
}

fn too_few(there: u32, bounds: &Bounds) -> Why {
    let text = format!("{there} nodes are fewer than the minimum of {}", bounds.nodes_min);
    why(Signal::Bounds, f64::from(there), f64::from(bounds.nodes_min), f64::from(there), text)
}

fn idle(seen: &Seen, there: u32, enough: u32, tuning: &Tuning) -> Why {
    let now = most_wanted(seen, tuning, in_part(there, tuning));
    let limit = tuning.full_share(now.signal) * in_part(there, tuning);
    let nodes = f64::from(there);
    let text = format!(
        "{enough} of {there} nodes would have been enough for {:.0} s: {} is at {:.0} % of their limits",
        tuning.stable_ms as f64 / 1000.0,
        name(now.signal),
        100.0 * now.total.level / nodes
    );
    why(Signal::Idle, now.total.level / nodes, limit, now.total.forecast / nodes, text)
}

/// The highest of the figures of a window, in a few parts.
#[derive(Clone, Debug, Default)]
struct Window {
    parts: [u32; WINDOW_PARTS],
    part: u64,
}

impl Window {
    /// Adds a figure; the highest of the last `window_ms`, rounded up to whole parts.
    fn note(&mut self, now: u64, figure: u32, window_ms: u64) -> u32 {
        let part = now / (window_ms / (WINDOW_PARTS as u64 - 1)).max(1);
        for gone in (self.part + 1..=part).take(WINDOW_PARTS) {
            self.parts[gone as usize % WINDOW_PARTS] = 0;
        }
        if part > self.part + WINDOW_PARTS as u64 {
            self.parts = [0; WINDOW_PARTS];
        }
        self.part = self.part.max(part);
        let slot = &mut self.parts[self.part as usize % WINDOW_PARTS];
        *slot = (*slot).max(figure);
        self.parts.iter().copied().max().unwrap_or(figure)
    }
}
