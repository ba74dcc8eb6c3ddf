//! What a simulation says: figures for each way to choose, and who is cheaper at the same quality.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::cluster::Tick;
use super::rivals::Rival;
use super::shapes::{Load, Shape, loads};
use super::{Options, run};
use crate::policy::Tuning;

/// All shapes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub options: Options,
    pub shapes: Vec<OfShape>,
}

/// One shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfShape {
    pub shape: Shape,
    /// The policy as it is shipped.
    pub ours: Score,
    /// Enough for the peak, always.
    pub fixed: Score,
    /// Knows the load before it comes, and has nodes at once: nobody can be cheaper without being over the limit.
    pub clairvoyant: Score,
    /// The policy with more or less room, where that was needed to compare.
    pub ours_swept: Vec<Named>,
    pub thresholds: Vec<Named>,
    pub doublings: Vec<Named>,
    pub against_threshold: Versus,
    pub against_doubling: Versus,
    /// Our node-hours over the clairvoyant policy's.
    pub times_clairvoyant: f64,
    /// Wanted and there at moments evenly spread over the time, in nodes: for charts.
    pub chart: Vec<Point>,
}

/// A variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    pub name: String,
    pub score: Score,
}

/// Ours and a rival at the same time over the limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Versus {
    /// The rival's cheapest variant that is over the limit no longer than ours is; if there is none, the one that is so
    /// for the shortest time, and ours is the cheapest that is so no longer than that.
    pub rival: Named,
    pub ours: Named,
    /// Ours takes fewer node-hours.
    pub is_cheaper: bool,
}

/// A moment of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub second: u32,
    /// Nodes that the load fills.
    pub demand: f32,
    /// Nodes that cost, by our policy and by the best threshold policy.
    pub ours: u32,
    pub threshold: u32,
}

/// How one policy did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// What is paid: from asking for a node until it has left.
    pub node_hours: f64,
    /// Some node was wanted for more than its planning figures.
    pub over_seconds: u32,
    /// Node-hours that were missing, and that nobody wanted.
    pub under_node_hours: f64,
    pub spare_node_hours: f64,
    pub nodes_max: u32,
    /// Nodes that were added or removed.
    pub changes: u64,
    /// Slots that were moved.
    pub moves: u64,
    #[serde(skip)]
    nodes: Vec<u32>,
}

impl Score {
    /// Adds a second.
    pub fn note(&mut self, load: &Load, tick: &Tick) {
        self.node_hours += f64::from(tick.nodes) / 3600.0;
        // A ten-thousandth: whoever has exactly enough is not over.
        self.over_seconds += u32::from(tick.wanted > 1.0001);
        let missing = load.nodes() - tick.capacity;
        self.under_node_hours += missing.max(0.0) / 3600.0;
        self.spare_node_hours += (f64::from(tick.nodes) - load.nodes()).max(0.0) / 3600.0;
        self.nodes_max = self.nodes_max.max(tick.nodes);
        self.changes += u64::from(self.nodes.last().map_or(0, |last| last.abs_diff(tick.nodes)));
        self.nodes.push(tick.nodes);
    }
}

/// Simulates everything under one shape.
pub fn of_shape(options: &Options, shape: Shape) -> OfShape {
    let loads = loads(shape, options.nodes, options.seconds, options.seed);
    let tuning = options.tuning();
    let swept = |rivals: Vec<(String, Rival)>| -> Vec<Named> {
        let named = |(name, mut rival)| Named { name, score: run::rival(options, &loads, &mut rival) };
        rivals.into_iter().map(named).collect()
    };
    let (mut thresholds, mut doublings) = (swept(Rival::thresholds()), swept(Rival::doublings()));
    let mut ours = Sweep::new(options, &loads, &tuning);
    let against_threshold = ours.against(&thresholds);
    let against_doubling = ours.against(&doublings);
    let best = against_threshold.rival.score.nodes.clone();
    let peak = loads.iter().map(Load::nodes).fold(0.0, f64::max);
    let mut fixed = run::rival(options, &loads, &mut Rival::Fixed(peak.ceil().max(1.0) as u32));
    let clairvoyant = clairvoyant(&loads);
    let mut shipped = ours.shipped.score.clone();
    let chart = chart(&loads, &shipped.nodes, &best);
    let mut ours_swept = ours.others;
    let mut all: Vec<&mut Score> = [&mut fixed, &mut shipped].into();
    all.extend(thresholds.iter_mut().chain(&mut doublings).chain(&mut ours_swept).map(|named| &mut named.score));
    all.into_iter().for_each(|score| score.nodes = Vec::new());
    OfShape {
        shape,
        times_clairvoyant: shipped.node_hours / clairvoyant.node_hours.max(f64::MIN_POSITIVE),
        ours: shipped,
        fixed,
        clairvoyant,
        ours_swept,
        thresholds,
        doublings,
        against_threshold: against_threshold.without_nodes(),
        against_doubling: against_doubling.without_nodes(),
        chart,
    }
}

impl Report {
    /// Ours is cheaper than every rival at the same time over the limit, on every shape.
    pub fn is_cheaper_everywhere(&self) -> bool {
        self.shapes.iter().all(|shape| shape.against_threshold.is_cheaper && shape.against_doubling.is_cheaper)
    }

    /// Tables for a person.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} nodes at most, {:.1} h, seed {}; a node serves {} s after it was asked for, and slots move at {} MB/s\n",
            self.options.nodes,
            f64::from(self.options.seconds) / 3600.0,
            self.options.seed,
            self.options.machine.ready_seconds,
            self.options.machine.move_bytes_per_second >> 20
        );
        self.shapes.iter().for_each(|shape| shape.write(&mut text));
        let verdict = match self.is_cheaper_everywhere() {
            true => "On every shape Swell takes fewer node-hours at the same time over the limit than both rivals.",
            false => "Not on every shape does Swell take fewer node-hours at the same time over the limit.",
        };
        let _ = writeln!(text, "\n{verdict}");
        text
    }
}

impl OfShape {
    fn write(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "\n{:<20} {:>11} {:>9} {:>10} {:>10} {:>7} {:>8} {:>9}",
            self.shape.name(),
            "node-hours",
            "over, s",
            "missing, h",
            "spare, h",
            "peak",
            "changes",
            "moves"
        );
        let (threshold, doubling) = (&self.against_threshold, &self.against_doubling);
        row(text, "swell", &self.ours);
        for swept in &self.ours_swept {
            row(text, &swept.name, &swept.score);
        }
        row(text, &threshold.rival.name, &threshold.rival.score);
        row(text, &doubling.rival.name, &doubling.rival.score);
        row(text, "fixed at the peak", &self.fixed);
        row(text, "clairvoyant", &self.clairvoyant);
        for (versus, what) in [(threshold, "the best threshold"), (doubling, "ElastiCache's rule")] {
            let _ = writeln!(text, "  {}", versus.sentence(what));
        }
        let _ = writeln!(text, "  {:.2} times what a clairvoyant policy takes", self.times_clairvoyant);
    }
}

impl Versus {
    fn sentence(&self, what: &str) -> String {
        let percent = 100.0 * (self.ours.score.node_hours / self.rival.score.node_hours.max(f64::MIN_POSITIVE) - 1.0);
        let than = if self.is_cheaper { "cheaper" } else { "NOT cheaper" };
        format!(
            "{than} than {what}: {} with {} s over the limit against {} s: {percent:+.1} %",
            self.ours.name, self.ours.score.over_seconds, self.rival.score.over_seconds
        )
    }

    fn without_nodes(mut self) -> Versus {
        (self.ours.score.nodes, self.rival.score.nodes) = (Vec::new(), Vec::new());
        self
    }
}

/// Our policy, with more or less room where it has to be compared.
struct Sweep<'a> {
    options: &'a Options,
    loads: &'a [Load],
    tuning: &'a Tuning,
    shipped: Named,
    others: Vec<Named>,
}

impl<'a> Sweep<'a> {
    fn new(options: &'a Options, loads: &'a [Load], tuning: &'a Tuning) -> Sweep<'a> {
        let shipped = Named { name: "swell".to_string(), score: run::ours(options, loads, tuning) };
        Sweep { options, loads, tuning, shipped, others: Vec::new() }
    }

    fn against(&mut self, rivals: &[Named]) -> Versus {
        let over = self.shipped.score.over_seconds;
        let (rival, ours) = match cheapest(rivals, over) {
            Some(rival) => (rival.clone(), self.shipped.clone()),
            None => {
                let best = rivals.iter().min_by_key(|rival| rival.score.over_seconds).cloned();
                let best = best.unwrap_or_else(|| self.shipped.clone());
                let ours = self.at(best.score.over_seconds, best.score.node_hours);
                (best, ours)
            }
        };
        Versus { is_cheaper: ours.score.node_hours < rival.score.node_hours, rival, ours }
    }

    /// Ours, with as little room as keeps it over the limit for no longer than that.
    fn at(&mut self, over: u32, node_hours: f64) -> Named {
        if self.shipped.score.node_hours >= node_hours && self.others.is_empty() {
            for times in LESS_ROOM {
                let (out_share, out_busy_share) = (self.tuning.out_share * times, self.tuning.out_busy_share * times);
                let tuning = Tuning { out_share, out_busy_share, ..self.tuning.clone() };
                let score = run::ours(self.options, self.loads, &tuning);
                self.others.push(Named { name: format!("swell, to {:.0} %", 100.0 * out_share), score });
            }
        }
        let shipped = std::slice::from_ref(&self.shipped);
        let best = [cheapest(shipped, over), cheapest(&self.others, over)];
        let best =
            best.into_iter().flatten().min_by(|one, other| one.score.node_hours.total_cmp(&other.score.node_hours));
        best.unwrap_or(&self.shipped).clone()
    }
}

/// Nodes are filled further by these factors when ours is compared with a rival that keeps less room.
const LESS_ROOM: [f64; 3] = [1.04, 1.08, 1.12];

/// The cheapest of those that are over the limit for no longer than that.
fn cheapest(named: &[Named], over_seconds: u32) -> Option<&Named> {
    let good = named.iter().filter(|named| named.score.over_seconds <= over_seconds);
    good.min_by(|one, other| one.score.node_hours.total_cmp(&other.score.node_hours))
}

fn clairvoyant(loads: &[Load]) -> Score {
    let mut score = Score::default();
    for load in loads {
        let nodes = load.nodes().ceil().max(1.0);
        let tick =
            Tick { nodes: nodes as u32, capacity: nodes, wanted: 1.0, measured: 1.0, hot_at: None, is_filling: false };
        score.note(load, &tick);
    }
    score.nodes = Vec::new();
    score
}

/// Points of a chart at most.
const POINTS_MAX: usize = 720;

fn chart(loads: &[Load], ours: &[u32], threshold: &[u32]) -> Vec<Point> {
    let every = loads.len().div_ceil(POINTS_MAX).max(1);
    let figures = loads.iter().zip(ours).zip(threshold).enumerate().step_by(every);
    let point = |(second, ((load, &ours), &threshold)): (usize, ((&Load, &u32), &u32))| Point {
        second: second as u32,
        demand: load.nodes() as f32,
        ours,
        threshold,
    };
    figures.map(point).collect()
}

fn row(text: &mut String, name: &str, score: &Score) {
    let _ = writeln!(
        text,
        "  {name:<18} {:>11.1} {:>9} {:>10.2} {:>10.1} {:>7} {:>8} {:>9}",
        score.node_hours,
        score.over_seconds,
        score.under_node_hours,
        score.spare_node_hours,
        score.nodes_max,
        score.changes,
        score.moves
    );
}
