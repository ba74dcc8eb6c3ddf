//! Observe: level and trend of what all nodes use together, and how hard each of them is pressed.
//!
//! Totals, because a total stays as it is while slots move. A level is exponentially smoothed; a trend is the median of
//! the differences over a window (after Theil 1950 and Sen 1968), so that one jump is a jump and not a slope: whoever
//! takes it for a slope orders far too much.

use super::tuning::Tuning;
use super::view::{Bounds, NodeState, NodeView, Signal, Snapshot};

/// Signals that are added up over nodes, and by which nodes are counted.
pub const COUNTED: [Signal; 4] = [Signal::Memory, Signal::Cpu, Signal::Network, Signal::Ecpu];

/// Differences that make a trend.
const DIFFERENCES: usize = 8;

/// A total that is over its level in so many snapshots in a row is no blip.
const IN_A_ROW: usize = 3;

/// Forecasts that wait to be compared with what came.
const FORECASTS_MAX: usize = 8;

/// A node with this busy share has no more to give; how much more is wanted cannot be seen.
const SATURATED_SHARE: f64 = 0.97;

/// So much is then assumed. With the head-room it doubles the nodes.
const SATURATED_FACTOR: f64 = 1.5;

/// Late loops count from this busy share on: below, it is somebody else who has the machine's cores.
const DELAY_BUSY_SHARE_MIN: f64 = 0.5;

/// Everything that was seen of the totals.
#[derive(Clone, Debug)]
pub struct Observer {
    totals: [Trend; COUNTED.len()],
    /// The fullest node's share over the average, while nothing moves.
    uneven: [f64; COUNTED.len()],
    last_ms: Option<u64>,
}

/// What a snapshot says, with what those before it said.
#[derive(Clone, Debug)]
pub struct Seen {
    /// In units of one node's figure: 2.5 means that two and a half nodes are filled to their limits.
    pub totals: [Total; COUNTED.len()],
    pub delay_ms: f64,
    /// Nodes whose loops are late for want of CPU, or which are at their end.
    pub saturated: u32,
    /// Every serving node with slots was heard.
    pub is_complete: bool,
    /// The serving node that works hardest, and the one that has the most memory.
    pub hottest: Option<Hottest>,
    pub fullest: Option<Hottest>,
}

/// One signal of all nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Total {
    pub level: f64,
    /// Where it will be when a node asked for now serves.
    pub forecast: f64,
    /// What forecasts have missed lately.
    pub margin: f64,
    /// How many times the average the fullest node has, at most [`UNEVEN_MAX`].
    pub uneven: f64,
    /// It has a limit and was seen.
    pub is_known: bool,
}

/// The node that is pressed hardest, by work or by memory.
#[derive(Clone, Copy, Debug)]
pub struct Hottest {
    /// Its place in the snapshot.
    pub at: usize,
    pub by: Press,
    /// Its share of the level at which nodes are added.
    pub pressure: f64,
    pub average: f64,
}

/// What presses a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    /// The rate that is highest: CPU, network, ECPU/s.
    Work,
    Memory,
}

impl Press {
    /// A node's share of the level at which nodes are added; none if it is not known.
    pub fn of(self, node: &NodeView, bounds: &Bounds, tuning: &Tuning) -> Option<f64> {
        let of = |signal| Some(share(node, bounds, signal)? / tuning.full_share(signal));
        match self {
            Press::Work => [Signal::Cpu, Signal::Network, Signal::Ecpu].map(of).into_iter().flatten().reduce(f64::max),
            Press::Memory => of(Signal::Memory),
        }
    }
}

impl Hottest {
    /// It is pressed so much harder than the others that slots should be moved.
    pub fn is_hot(&self) -> bool {
        let (times, least) = (self.pressure / self.average, self.pressure);
        // To move memory for its own sake is not worth it while everybody has enough.
        let is_far = self.by == Press::Work && times > HOT_TIMES && least >= HOT_PRESSURE_MIN;
        is_far || times > FULL_TIMES && least > 1.0
    }
}

/// A node is hot when it is pressed so many times harder than the average,
const HOT_TIMES: f64 = 1.3;

/// and at least to this part of a level at which nodes are added: below, it hurts nobody,
const HOT_PRESSURE_MIN: f64 = 0.6;

/// or when it is above that level and so many times the average.
const FULL_TIMES: f64 = 1.08;

impl Observer {
    pub fn new(_: &Tuning) -> Observer {
        Observer { totals: Default::default(), uneven: [1.0; COUNTED.len()], last_ms: None }
    }

    /// Adds a snapshot; nothing if it says nothing new.
    pub fn note(&mut self, snapshot: &Snapshot<'_>, bounds: &Bounds, tuning: &Tuning) -> Option<Seen> {
        if self.last_ms.is_some_and(|last| snapshot.at_ms <= last) {
            return None;
        }
        let sums = Sums::of(snapshot, bounds, tuning)?;
        let elapsed_ms = self.last_ms.map_or(0, |last| snapshot.at_ms - last);
        self.last_ms = Some(snapshot.at_ms);
        if sums.is_settled {
            self.compare(&sums, elapsed_ms, tuning);
        }
        let mut totals = [Total::default(); COUNTED.len()];
        for (at, sum) in sums.totals.iter().enumerate() {
            if let Some(sum) = sum {
                let total = self.totals[at].note(snapshot.at_ms, *sum, tuning);
                totals[at] = Total { uneven: self.uneven[at], ..total };
            }
        }
        Some(Seen {
            totals,
            delay_ms: sums.delay_ms,
            saturated: sums.saturated,
            is_complete: sums.is_complete,
            hottest: sums.hottest,
            fullest: sums.fullest,
        })
    }

    /// How the fullest node compares with the average.
    fn compare(&mut self, sums: &Sums, elapsed_ms: u64, tuning: &Tuning) {
        if sums.hottest.is_some_and(|hottest| hottest.is_hot()) {
            return;
        }
        let part = |times: u64| -(-(elapsed_ms as f64) / (times * tuning.trend_ms) as f64).exp_m1();
        // Forgotten slowly: fewer nodes for it and more nodes again would go on for ever.
        let (rises, falls) = (part(UNEVEN_RISES_TIMES), part(UNEVEN_FALLS_TIMES));
        for ((uneven, total), most) in self.uneven.iter_mut().zip(sums.totals).zip(sums.most) {
            let Some(total) = total.filter(|total| *total > 0.0) else { continue };
            let now = (most * f64::from(sums.heard) / total).clamp(1.0, UNEVEN_MAX);
            *uneven += if now > *uneven { rises } else { falls } * (now - *uneven);
        }
    }
}

/// A node's share of its limit; none if there is no limit, or no figure.
fn share(node: &NodeView, bounds: &Bounds, signal: Signal) -> Option<f64> {
    let (value, limit) = match signal {
        Signal::Memory => (node.used_bytes as f64, bounds.node_memory_bytes as f64),
        Signal::Cpu => (node.busy_share, 1.0),
        Signal::Network => (node.network_bytes_per_second, bounds.node_network_bytes_per_second),
        Signal::Ecpu => (node.ecpu_per_second, bounds.node_ecpu_per_second),
        _ => return None,
    };
    (limit > 0.0 && value.is_finite() && value >= 0.0).then(|| value / limit)
}

/// What one snapshot's nodes come to.
struct Sums {
    totals: [Option<f64>; COUNTED.len()],
    /// The fullest node's.
    most: [f64; COUNTED.len()],
    /// CPU time that saturated nodes are taken to want besides what they have.
    hidden: f64,
    /// Nodes that were added up.
    heard: u32,
    /// All nodes serve, have slots and keep them.
    is_settled: bool,
    delay_ms: f64,
    saturated: u32,
    is_complete: bool,
    hottest: Option<Hottest>,
    fullest: Option<Hottest>,
}

impl Sums {
    /// None if nobody serves, or nobody says anything.
    fn of(snapshot: &Snapshot<'_>, bounds: &Bounds, tuning: &Tuning) -> Option<Sums> {
        let mut sums = Sums {
            totals: [None; COUNTED.len()],
            most: [0.0; COUNTED.len()],
            hidden: 0.0,
            heard: 0,
            is_settled: snapshot.moving.is_empty(),
            delay_ms: 0.0,
            saturated: 0,
            is_complete: true,
            hottest: None,
            fullest: None,
        };
        let (mut slots, mut slots_heard) = (0u64, 0u64);
        let (mut hottest, mut fullest) = (Pressed::new(Press::Work), Pressed::new(Press::Memory));
        for (at, node) in snapshot.nodes.iter().enumerate() {
            sums.is_settled &= node.state == NodeState::Serving && node.slots > 0;
            if node.state == NodeState::Starting {
                continue;
            }
            slots += u64::from(node.slots);
            let Some(work) = Press::Work.of(node, bounds, tuning) else { continue };
            slots_heard += u64::from(node.slots);
            sums.add(node, bounds, tuning);
            if node.state == NodeState::Serving {
                hottest.note(at, work);
                fullest.note(at, Press::Memory.of(node, bounds, tuning).unwrap_or(0.0));
            }
        }
        (sums.hottest, sums.fullest) = (Some(hottest.hottest()?), fullest.hottest());
        // One hot node is cooled by moving slots; more nodes would not help it.
        if !(sums.is_settled && sums.hottest.is_some_and(|hottest| hottest.is_hot())) {
            sums.totals[1] = sums.totals[1].map(|cpu| cpu + sums.hidden);
        }
        sums.is_complete = slots_heard == slots;
        sums.is_settled &= sums.is_complete;
        if slots_heard > 0 && !sums.is_complete {
            // Who is silent is taken to be like the others.
            let scale = slots as f64 / slots_heard as f64;
            sums.totals.iter_mut().flatten().for_each(|total| *total *= scale);
        }
        Some(sums)
    }

    fn add(&mut self, node: &NodeView, bounds: &Bounds, tuning: &Tuning) {
        let is_late = node.loop_delay_ms > tuning.delay_ms_max && node.busy_share >= DELAY_BUSY_SHARE_MIN;
        let is_saturated = is_late || node.busy_share >= SATURATED_SHARE;
        if node.loop_delay_ms.is_finite() {
            self.delay_ms = self.delay_ms.max(node.loop_delay_ms);
        }
        self.saturated += u32::from(is_saturated);
        self.heard += 1;
        for ((total, most), signal) in self.totals.iter_mut().zip(&mut self.most).zip(COUNTED) {
            let Some(share) = share(node, bounds, signal) else { continue };
            let share = match signal {
                Signal::Cpu if is_saturated => {
                    let share = share.clamp(tuning.out_busy_share, 1.0);
                    self.hidden += share * (SATURATED_FACTOR - 1.0);
                    share
                }
                _ => share,
            };
            *most = most.max(share);
            *total = Some(total.unwrap_or(0.0) + share);
        }
    }
}

/// Who is pressed hardest so far.
struct Pressed {
    by: Press,
    most: (usize, f64),
    sum: f64,
    count: u32,
}

impl Pressed {
    fn new(by: Press) -> Pressed {
        Pressed { by, most: (0, -1.0), sum: 0.0, count: 0 }
    }

    fn note(&mut self, at: usize, pressure: f64) {
        (self.sum, self.count) = (self.sum + pressure, self.count + 1);
        if pressure > self.most.1 {
            self.most = (at, pressure);
        }
    }

    fn hottest(&self) -> Option<Hottest> {
        let ((at, pressure), average) = (self.most, self.sum / f64::from(self.count));
        (self.count > 0).then_some(Hottest { at, by: self.by, pressure, average })
    }
}

/// Level and trend of one figure at irregular times.
#[derive(Clone, Debug, Default)]
struct Trend {
    level: f64,
    at_ms: Option<u64>,
    /// The last values, for what is no blip.
    recent: [f64; IN_A_ROW],
    /// When the last difference began, and the level then.
    mark: (u64, f64),
    /// Per second.
    differences: [f64; DIFFERENCES],
    noted: usize,
    slope: f64,
    /// Forecasts that wait: when they are due, and what they say.
    forecasts: [(u64, f64); FORECASTS_MAX],
    forecasts_from: usize,
    forecasts_len: usize,
    /// The mean square of what they missed: too little only.
    missed: f64,
    /// The mean square of how far values are from their level.
    noise: f64,
}

impl Trend {
    fn note(&mut self, at_ms: u64, value: f64, tuning: &Tuning) -> Total {
        match self.at_ms {
            None => {
                (self.level, self.mark, self.recent) = (value, (at_ms, value), [value; IN_A_ROW]);
            }
            Some(last) => {
                let part = -(-((at_ms - last) as f64) / tuning.level_ms as f64).exp_m1();
                let ahead = self.level + self.slope * (at_ms - last) as f64 / 1000.0;
                self.level = (ahead + part * (value - ahead)).max(0.0);
                let part = -(-((at_ms - last) as f64) / (NOISE_TIMES * tuning.trend_ms) as f64).exp_m1();
                let off = (value - self.level).abs().min(tuning.margin_part_max * self.level);
                self.noise += part * (off * off - self.noise);
                self.recent.rotate_left(1);
                self.recent[IN_A_ROW - 1] = value;
            }
        }
        self.at_ms = Some(at_ms);
        self.measure(at_ms, tuning);
        let lasting = self.recent.iter().copied().fold(f64::INFINITY, f64::min);
        let level = self.level.max(lasting);
        let forecast = (level + self.slope * tuning.ready_ms as f64 / 1000.0).max(0.0);
        self.compare(at_ms, level, tuning);
        let margin = (MARGIN_DEVIATIONS * (self.missed + self.noise).sqrt()).min(tuning.margin_part_max * level);
        Total { level, forecast, margin, uneven: 1.0, is_known: true }
    }

    /// A difference for each part of the window; the slope is their median.
    fn measure(&mut self, at_ms: u64, tuning: &Tuning) {
        let elapsed = at_ms - self.mark.0;
        if elapsed < (tuning.trend_ms / DIFFERENCES as u64).max(1) {
            return;
        }
        self.differences[self.noted % DIFFERENCES] = (self.level - self.mark.1) * 1000.0 / elapsed as f64;
        self.noted += 1;
        self.mark = (at_ms, self.level);
        if self.noted >= DIFFERENCES / 2 {
            let mut sorted = self.differences;
            let sorted = &mut sorted[..self.noted.min(DIFFERENCES)];
            sorted.sort_by(f64::total_cmp);
            let slope = median(sorted);
            sorted.iter_mut().for_each(|difference| *difference = (*difference - slope).abs());
            sorted.sort_by(f64::total_cmp);
            // What noise could be is no trend.
            self.slope = (slope.abs() - DOUBT * median(sorted)).max(0.0).copysign(slope);
        }
        if self.forecasts_len < FORECASTS_MAX {
            let ahead = (self.level + self.slope * tuning.ready_ms as f64 / 1000.0).max(0.0);
            let at = (self.forecasts_from + self.forecasts_len) % FORECASTS_MAX;
            self.forecasts[at] = (at_ms + tuning.ready_ms, ahead);
            self.forecasts_len += 1;
        }
    }

    /// What the forecasts that are due have missed. Only too little counts: too much costs nobody a wait.
    fn compare(&mut self, at_ms: u64, level: f64, tuning: &Tuning) {
        while self.forecasts_len > 0 && self.forecasts[self.forecasts_from].0 <= at_ms {
            let missed = (level - self.forecasts[self.forecasts_from].1).max(0.0);
            let missed = missed.min(tuning.margin_part_max * level);
            self.missed += MISSED_PART * (missed * missed - self.missed);
            self.forecasts_from = (self.forecasts_from + 1) % FORECASTS_MAX;
            self.forecasts_len -= 1;
        }
    }
}

fn median(sorted: &[f64]) -> f64 {
    (sorted[sorted.len() / 2] + sorted[(sorted.len() - 1) / 2]) / 2.0
}

/// Room is kept for so many standard deviations of noise and of what was missed.
const MARGIN_DEVIATIONS: f64 = 2.0;

/// What the fullest node has more is learnt in so many times as long as a trend takes, and forgotten in so many.
const UNEVEN_RISES_TIMES: u64 = 2;
const UNEVEN_FALLS_TIMES: u64 = 60;

/// Nodes are not added for more unevenness than placement allows; hot slots are moved instead.
const UNEVEN_MAX: f64 = swell_ring::placement::LOAD_PERCENT_MAX as f64 / 100.0;

/// The weight of the newest forecast among those that were compared.
const MISSED_PART: f64 = 0.02;

/// Noise is what it was over so many times as long as a trend takes.
const NOISE_TIMES: u64 = 5;

/// A slope counts as far as it is more than so many times the median distance of its differences from it.
const DOUBT: f64 = 0.6;
