//! The live loop: shows the policy what nodes report, carries out what it decides, and says so.

pub(crate) mod act;
pub(crate) mod observe;
pub(crate) mod status;

#[cfg(test)]
mod chain;

use std::collections::BTreeMap;
use std::time::Duration;

use swell_node::control::{Event, ScalingMode};
use swell_ring::{NodeId, SlotSet};
use tokio::time::Instant;

use self::observe::Observer;
use crate::error::StoreError;
use crate::nodes::{Node, Origin};
use crate::policy::view::{Bounds, Decision, Free, Held, NodeState, NodeView, Snapshot};
use crate::policy::{Policy, RING_WEIGHT, Tuning};
use crate::store::{AskedMode, Record};
use crate::writer::Writer;

/// Between two looks while anything goes on ...
pub const TICK: Duration = Duration::from_millis(250);
/// ... and while nothing does.
pub const TICK_IDLE: Duration = Duration::from_secs(1);
/// Nothing is done so soon after the scaler's start: what it sees then are its own beginnings.
pub const SETTLE: Duration = Duration::from_secs(2);
/// How long a node takes from being asked for to serving its share, where nodes are processes of this machine.
pub const READY_MS: u64 = 3_000;
/// The same decision that is not carried out (a dry run) is said again after so long.
pub const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Nodes that are asked for have no numbers yet: they are shown to the policy under these, downwards.
const STARTING_FROM: u32 = u32::MAX;

/// How many nodes there may be, what they are planned for, and whether the scaler sees to it.
#[derive(Clone, Debug)]
pub struct ScalingConfig {
    pub mode: ScalingMode,
    pub bounds: Bounds,
    pub tuning: Tuning,
}

impl ScalingConfig {
    /// It decides nothing: for caches whose nodes somebody else looks after.
    pub fn off() -> ScalingConfig {
        let bounds = Bounds {
            nodes_min: 1,
            nodes_max: 1,
            node_memory_bytes: 0,
            node_ecpu_per_second: 0.0,
            node_network_bytes_per_second: 0.0,
            node_cores: 1.0,
        };
        ScalingConfig { mode: ScalingMode::Off, bounds, tuning: Tuning::for_ready_ms(READY_MS) }
    }
}

/// What the loop remembers.
#[derive(Debug)]
pub(crate) struct Scale {
    pub(crate) mode: ScalingMode,
    pub(crate) configured_mode: ScalingMode,
    pub(crate) bounds: Bounds,
    policy: Policy,
    pub(crate) observer: Observer,
    /// Its clock's zero.
    began: Instant,
    next_tick: Instant,
    /// Somebody has reported since the last look.
    has_news: bool,
    /// What was held at the last step: an event tells it once.
    held: Vec<Held>,
    /// What a dry run has said, and when.
    said: BTreeMap<String, Instant>,
    /// How many nodes there were when it began to add or remove some: until all is done.
    pub(crate) from_nodes: Option<usize>,
    pub(crate) last_decision: Option<Event>,
    /// Decisions by signal and action.
    pub(crate) decisions: BTreeMap<(String, &'static str), u64>,
    pub(crate) totals: Totals,
}

/// What moved since the scaler started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) slots: u64,
    pub(crate) keys: u64,
    pub(crate) retries: u64,
}

impl Scale {
    pub(crate) fn new(config: ScalingConfig, now: Instant) -> Scale {
        Scale {
            mode: config.mode,
            configured_mode: config.mode,
            policy: Policy::new(config.bounds.clone(), config.tuning),
            bounds: config.bounds,
            observer: Observer::default(),
            began: now,
            next_tick: now + SETTLE,
            has_news: false,
            held: Vec::new(),
            said: BTreeMap::new(),
            from_nodes: None,
            last_decision: None,
            decisions: BTreeMap::new(),
            totals: Totals::default(),
        }
    }

    /// Somebody has reported.
    pub(crate) fn noticed(&mut self, now: Instant) {
        if !self.has_news {
            self.has_news = true;
            self.next_tick = self.next_tick.min((now + TICK).max(self.began + SETTLE));
        }
    }

    /// A node's weight on the ring: less than others' if it gave slots away for their heat.
    pub(crate) fn ring_weight(&self, node: NodeId) -> u32 {
        self.policy.ring_weights().get(&node).copied().unwrap_or(RING_WEIGHT)
    }

    /// Whether it looks at all.
    fn looks(&self) -> bool {
        matches!(self.mode, ScalingMode::On | ScalingMode::DryRun)
    }
}

impl Writer {
    /// When [`Writer::tick_scale`] has something to do. A single node that must stay the only one is left alone.
    pub(crate) fn scale_due(&self) -> Option<Instant> {
        let is_fixed = self.scale.bounds.nodes_max <= 1 && self.nodes.len() <= 1;
        (self.scale.looks() && !is_fixed).then_some(self.scale.next_tick)
    }

    /// Looks, and does what the policy wants done.
    pub(crate) fn tick_scale(&mut self, now: Instant) {
        if self.scale_due().is_none_or(|due| due > now) {
            return;
        }
        self.told_scaled();
        let has_news = std::mem::take(&mut self.scale.has_news);
        let is_busy = has_news || !self.drive.jobs.is_empty() || self.scale.from_nodes.is_some();
        self.scale.next_tick = now + if is_busy { TICK } else { TICK_IDLE };
        if !self.ready_to_scale() {
            return;
        }
        let snapshot = Snapshot {
            at_ms: (now - self.scale.began).as_millis() as u64,
            nodes: self.views(now),
            map: &self.kept.map,
            moving: self.moving(),
            free: self.free(),
        };
        let step = self.scale.policy.step(&snapshot);
        self.say_held(step.held);
        match self.scale.mode {
            ScalingMode::DryRun => self.say_only(&step.decisions, now),
            _ => self.carry_out(step.decisions, now),
        }
    }

    /// How the scaler acts from now on, also after its next start. The policy begins afresh: what it last saw may be long
    /// ago.
    ///
    /// # Errors
    /// It cannot be made durable: nothing has changed.
    pub(crate) fn set_mode(&mut self, mode: ScalingMode, now: Instant) -> Result<(), StoreError> {
        let configured = self.scale.configured_mode;
        let asked = (mode != configured).then_some(AskedMode { mode, configured });
        if asked != self.kept.asked_mode {
            self.keep(&[Record::AskedMode(asked)])?;
        }
        if std::mem::replace(&mut self.scale.mode, mode) == mode {
            return Ok(());
        }
        self.scale.policy = self.scale.policy.afresh();
        self.scale.held.clear();
        self.scale.said.clear();
        self.scale.next_tick = now;
        let what = match mode {
            ScalingMode::On => "scaling is on: decisions are carried out",
            ScalingMode::Off => "scaling is off",
            ScalingMode::DryRun => "scaling is a dry run: decisions are said and not carried out",
            ScalingMode::Paused => "scaling is paused: moves that were begun go on, and nothing else is done",
        };
        self.events.add(false, Event { kind: "mode".to_owned(), text: what.to_owned(), ..Event::default() });
        Ok(())
    }

    /// At the start: what somebody has asked of an earlier scaler holds, unless it is configured otherwise since. The
    /// record that is due.
    pub(crate) fn take_up_mode(&mut self) -> Option<Record> {
        let AskedMode { mode, configured } = self.kept.asked_mode?;
        let now = self.scale.configured_mode;
        let is_outdated = configured != now;
        let text = match is_outdated {
            true => format!(
                "scaling is {} now, as configured: {}, which somebody has asked for, was over {}",
                now.name(),
                mode.name(),
                configured.name()
            ),
            false => format!(
                "scaling is {}, as somebody has asked of an earlier scaler; `swell scale resume` turns it on",
                mode.name()
            ),
        };
        self.events.add(false, Event { kind: "mode".to_owned(), text, ..Event::default() });
        if !is_outdated {
            self.scale.mode = mode;
        }
        is_outdated.then_some(Record::AskedMode(None))
    }

    /// Slots that were asked to be elsewhere and are not yet, and those of hand-overs under way.
    pub(crate) fn moving(&self) -> SlotSet {
        let mut moving = SlotSet::new();
        self.drive.moving().for_each(|slots| moving.add(slots));
        for (slots, to) in self.drive.jobs.iter().flat_map(|job| job.wanted()) {
            let mut left = slots.clone();
            left.subtract(&self.kept.map.slots_of(to));
            moving.add(&left);
        }
        moving
    }

    /// Nodes that were asked for and have not joined.
    pub(crate) fn starting(&self) -> u32 {
        self.provider.as_ref().map_or(0, |provider| {
            let (wanted, joined) = provider.counts();
            wanted.saturating_sub(joined) as u32
        })
    }

    /// Not before what was asked for at the start is there, and not while it is unclear whether a node lives: with half
    /// a picture every decision is wrong.
    fn ready_to_scale(&self) -> bool {
        let is_unclear = |node: &Node| {
            let is_silent = node.origin != Origin::Embedded && node.silence.is_unclear();
            is_silent || node.link.is_none() && !node.is_told_lost
        };
        self.ready.is() && !self.is_first_spread_due && !self.drive.is_stuck() && !self.nodes.values().any(is_unclear)
    }

    fn views(&self, now: Instant) -> Vec<NodeView> {
        let starting = (0..self.starting()).map(|at| NodeView::starting(NodeId(STARTING_FROM - at)));
        self.nodes.values().map(|node| self.view(node, now)).chain(starting).collect()
    }

    fn view(&self, node: &Node, now: Instant) -> NodeView {
        let id = node.member.id;
        let rates = self.scale.observer.rates(id, now);
        NodeView {
            id,
            // One that cannot be reached keeps what it has and gets nothing.
            state: if node.may_get_slots() { NodeState::Serving } else { NodeState::Draining },
            is_embedded: node.origin == Origin::Embedded,
            slots: self.kept.map.slots_of(id).len() as u32,
            used_bytes: node.stats.used_bytes,
            busy_share: self.busy_share(node, now),
            loop_delay_ms: rates.loop_delay_ms,
            network_bytes_per_second: rates.network_bytes_per_second,
            ecpu_per_second: rates.ecpu_per_second,
            heat: rates.heat,
        }
    }

    /// CPU time over wall time over the cores that a node may use.
    pub(crate) fn busy_share(&self, node: &Node, now: Instant) -> f64 {
        let id = node.member.id;
        let is_whole = self.nodes.len() == 1;
        let cpu = match node.origin {
            // Its process is a proxy too.
            Origin::Embedded if !is_whole => self.scale.observer.shared_cpu(id, now),
            _ => self.scale.observer.rates(id, now).cpu,
        };
        cpu / self.scale.bounds.node_cores.max(f64::MIN_POSITIVE)
    }

    fn free(&self) -> Free {
        match &self.provider {
            Some(provider) => provider.free(),
            None => Free { cores: 0.0, memory_bytes: 0 },
        }
    }

    /// Says once what is wanted and cannot be.
    fn say_held(&mut self, held: Vec<Held>) {
        let is_new = |one: &&Held| !self.scale.held.iter().any(|known| known.is_like(one));
        let new: Vec<Held> = held.iter().filter(is_new).cloned().collect();
        self.scale.held = held;
        for Held { why, reason } in new {
            let text = format!("held: {reason}; {}", why.text);
            self.events.add(true, Event { kind: "held".to_owned(), text, ..act::event_of(&why, false) });
        }
    }

    /// A dry run.
    fn say_only(&mut self, decisions: &[Decision], now: Instant) {
        self.scale.said.retain(|_, at| now.duration_since(*at) < SAY_AGAIN);
        for decision in decisions {
            let key = format!("{:?} {}", decision.why.signal, act::words(&decision.action));
            if self.scale.said.insert(key, now).is_none() {
                self.decided(decision, true);
            }
        }
    }
}
