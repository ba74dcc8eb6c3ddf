//! Turns what nodes and proxies report into rates: how busy each node is, as of now.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use swell_node::control::NodeStats;
use swell_ring::NodeId;
use tokio::time::Instant;

/// Rates are over so much time at least, so that two reports that come at once make no spike. A little less than two
/// reports are apart: one that comes early must not make it three, for a step is seen in full only after that long.
pub const WINDOW: Duration = Duration::from_millis(350);
/// Reports kept of each node: of a window, at their usual distance, and some more.
pub const SAMPLES_MAX: usize = 16;
/// A node that has not reported for so long is idle, or cannot report: what it said of the moment no longer holds.
pub const SILENT_AFTER: Duration = Duration::from_secs(1);
/// Requests per second of other nodes below which their CPU time says nothing about the price of a request.
const TELLING_REQUESTS_PER_SECOND: f64 = 500.0;

/// What is known of all nodes.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    nodes: BTreeMap<NodeId, Observed>,
}

/// How much of everything a node does.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    /// CPU seconds per second of its whole process.
    pub(crate) cpu: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) network_bytes_per_second: f64,
    pub(crate) ecpu_per_second: f64,
    pub(crate) loop_delay_ms: f64,
    pub(crate) heat: Vec<(u16, f64)>,
}

#[derive(Debug, Default)]
struct Observed {
    reports: VecDeque<Report>,
    /// Thousandths of ECPUs charged so far, and when that was known.
    charged: VecDeque<(Instant, u64)>,
    ecpu_milli: u64,
    loop_delay_us: u64,
    heat: Vec<(u16, f64)>,
}

#[derive(Clone, Debug)]
struct Report {
    arrived: Instant,
    at_us: u64,
    cpu_us: u64,
    requests: u64,
    bytes: u64,
    work: u64,
}

impl Observer {
    /// A node has reported.
    pub(crate) fn report(&mut self, node: NodeId, stats: &NodeStats, now: Instant) {
        self.nodes.entry(node).or_default().report(stats, now);
    }

    /// A proxy has charged for a node's replies. `is_backlog`: over a time that nobody knows, so it makes no rate.
    pub(crate) fn charged(&mut self, node: NodeId, ecpu_milli: u64, is_backlog: bool, now: Instant) {
        let observed = self.nodes.entry(node).or_default();
        observed.ecpu_milli += ecpu_milli;
        if is_backlog {
            observed.charged.iter_mut().for_each(|(_, before)| *before += ecpu_milli);
        }
        if observed.charged.is_empty() {
            // What this first one is over nobody knows either.
            observed.charged.push_back((now, observed.ecpu_milli));
        }
        push(&mut observed.charged, (now, observed.ecpu_milli), |(at, _)| *at, now);
    }

    /// It is no more.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// Thousandths of ECPUs charged for its replies so far.
    pub(crate) fn ecpu_milli(&self, node: NodeId) -> u64 {
        self.nodes.get(&node).map_or(0, |observed| observed.ecpu_milli)
    }

    /// What a node does now.
    pub(crate) fn rates(&self, node: NodeId, now: Instant) -> Rates {
        self.nodes.get(&node).map_or_else(Rates::default, |observed| observed.rates(now))
    }

    /// The CPU seconds per second of a node that shares its process with a proxy: what the others need for as many
    /// requests, if they serve enough to tell; else the whole process's. Never more than the process's.
    pub(crate) fn shared_cpu(&self, node: NodeId, now: Instant) -> f64 {
        let own = self.rates(node, now);
        let others = self.nodes.keys().filter(|other| **other != node).map(|other| self.rates(*other, now));
        let (cpu, requests) =
            others.fold((0.0, 0.0), |(cpu, requests), other| (cpu + other.cpu, requests + other.requests_per_second));
        match requests >= TELLING_REQUESTS_PER_SECOND {
            true => own.cpu.min(own.requests_per_second * cpu / requests),
            false => own.cpu,
        }
    }
}

impl Observed {
    fn report(&mut self, stats: &NodeStats, now: Instant) {
        let report = Report {
            arrived: now,
            at_us: stats.at_us,
            cpu_us: stats.cpu_us,
            requests: stats.requests,
            bytes: stats.bytes_in + stats.bytes_out,
            work: stats.work,
        };
        if self.reports.back().is_some_and(|last| last.is_of_another_start(&report)) {
            self.reports.clear();
        }
        let work = self.reports.back().map_or(0, |last| report.work.saturating_sub(last.work));
        let share = |work_of_slot: u64| if work == 0 { 0.0 } else { (work_of_slot as f64 / work as f64).min(1.0) };
        self.heat = stats.heat.iter().map(|(slot, work)| (*slot, share(*work))).filter(|(_, s)| *s > 0.0).collect();
        self.loop_delay_us = stats.loop_delay_us;
        push(&mut self.reports, report, |report| report.arrived, now);
    }

    fn rates(&self, now: Instant) -> Rates {
        let mut rates = Rates { ecpu_per_second: self.ecpu_per_second(now), ..Rates::default() };
        let (Some(first), Some(last)) = (self.reports.front(), self.reports.back()) else { return rates };
        let since = now.saturating_duration_since(last.arrived);
        if since < SILENT_AFTER {
            rates.loop_delay_ms = self.loop_delay_us as f64 / 1e3;
            rates.heat.clone_from(&self.heat);
        }
        let Some(seconds) = last.seconds_after(first).filter(|seconds| *seconds > 0.0) else { return rates };
        // While nothing comes, nothing happens: the rates sink.
        let seconds = seconds + since.saturating_sub(WINDOW).as_secs_f64();
        let per_second = |last: u64, first: u64| last.saturating_sub(first) as f64 / seconds;
        rates.cpu = per_second(last.cpu_us, first.cpu_us) / 1e6;
        rates.requests_per_second = per_second(last.requests, first.requests);
        rates.network_bytes_per_second = per_second(last.bytes, first.bytes);
        rates
    }

    fn ecpu_per_second(&self, now: Instant) -> f64 {
        let (Some((from, first)), Some((to, last))) = (self.charged.front(), self.charged.back()) else { return 0.0 };
        let silent = now.saturating_duration_since(*to).saturating_sub(WINDOW);
        let seconds = (to.saturating_duration_since(*from) + silent).as_secs_f64();
        if seconds > 0.0 { (last - first) as f64 / 1e3 / seconds } else { 0.0 }
    }
}

impl Report {
    /// Counters only rise, but when a process starts anew.
    fn is_of_another_start(&self, next: &Report) -> bool {
        next.at_us < self.at_us || next.cpu_us < self.cpu_us || next.requests < self.requests
    }

    /// On the node's own clock, if it has one.
    fn seconds_after(&self, first: &Report) -> Option<f64> {
        match first.at_us {
            0 => Some(self.arrived.saturating_duration_since(first.arrived).as_secs_f64()),
            at_us => self.at_us.checked_sub(at_us).map(|us| us as f64 / 1e6),
        }
    }
}

/// Adds a sample; the oldest that stays is the last one that is a window old, or older.
fn push<T>(samples: &mut VecDeque<T>, sample: T, at: impl Fn(&T) -> Instant, now: Instant) {
    samples.push_back(sample);
    let is_old = |sample: &T| now.saturating_duration_since(at(sample)) >= WINDOW;
    while samples.len() > SAMPLES_MAX || samples.get(1).is_some_and(is_old) {
        samples.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(1);

    fn stats(at_ms: u64, cpu_ms: u64, requests: u64) -> NodeStats {
        let (at_us, cpu_us) = (at_ms * 1000 + 1, cpu_ms * 1000);
        NodeStats { at_us, cpu_us, requests, bytes_in: requests * 10, bytes_out: requests * 20, ..NodeStats::default() }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn rates_are_by_the_nodes_own_clock_however_late_reports_come() {
        let (mut observer, start) = (Observer::default(), Instant::now());
        for (at, arrives) in [(0, 0), (200, 390), (400, 400), (600, 750), (800, 800)] {
            observer.report(NODE, &stats(at, at / 2, at * 5), start + ms(arrives));
        }
        let rates = observer.rates(NODE, start + ms(800));
        assert!((rates.cpu - 0.5).abs() < 1e-6, "{rates:?}");
        assert!((rates.requests_per_second - 5000.0).abs() < 1e-3, "{rates:?}");
        assert!((rates.network_bytes_per_second - 150_000.0).abs() < 1e-2, "{rates:?}");
    }

    #[test]
    fn a_silent_node_is_idle_after_a_while() {
        let (mut observer, start) = (Observer::default(), Instant::now());
        for at in [0, 200, 400, 600] {
            let report = NodeStats { loop_delay_us: 5000, ..stats(at, at, at) };
            observer.report(NODE, &report, start + ms(at));
        }
        assert!((observer.rates(NODE, start + ms(700)).cpu - 1.0).abs() < 1e-6);
        assert_eq!(observer.rates(NODE, start + ms(700)).loop_delay_ms, 5.0);
        let later = observer.rates(NODE, start + ms(10_600));
        assert!(later.cpu < 0.07 && later.loop_delay_ms == 0.0, "{later:?}");
    }

    #[test]
    fn a_process_that_started_anew_makes_no_spike() {
        let (mut observer, start) = (Observer::default(), Instant::now());
        observer.report(NODE, &stats(90_000, 50_000, 1_000_000), start);
        observer.report(NODE, &stats(100, 10, 5), start + ms(200));
        assert_eq!(observer.rates(NODE, start + ms(200)).requests_per_second, 0.0);
        observer.report(NODE, &stats(300, 20, 25), start + ms(400));
        let rates = observer.rates(NODE, start + ms(400));
        assert!((rates.requests_per_second - 100.0).abs() < 1e-3, "{rates:?}");
    }

    #[test]
    fn what_was_charged_over_an_unknown_time_is_in_the_sum_and_not_in_the_rate() {
        let (mut observer, start) = (Observer::default(), Instant::now());
        observer.charged(NODE, 5_000_000, true, start);
        assert_eq!(observer.rates(NODE, start).ecpu_per_second, 0.0);
        for at in [250, 500, 750] {
            observer.charged(NODE, 250_000, false, start + ms(at));
        }
        observer.charged(NODE, 9_000_000, true, start + ms(750));
        assert_eq!(observer.ecpu_milli(NODE), 14_750_000);
        let rate = observer.rates(NODE, start + ms(750)).ecpu_per_second;
        assert!((rate - 1000.0).abs() < 1.0, "{rate}");
    }

    #[test]
    fn a_node_beside_a_proxy_needs_what_others_need_for_as_much() {
        let (mut observer, start) = (Observer::default(), Instant::now());
        for at in [0, 600] {
            // 1 core for 1000 requests a second, and 0.2 for 2000.
            observer.report(NODE, &stats(at, at, at), start + ms(at));
            observer.report(NodeId(2), &stats(at, at / 5, at * 2), start + ms(at));
        }
        let cpu = observer.shared_cpu(NODE, start + ms(600));
        assert!((cpu - 0.1).abs() < 1e-6, "{cpu}");
        observer.forget(NodeId(2));
        assert!((observer.shared_cpu(NODE, start + ms(600)) - 1.0).abs() < 1e-6, "alone it is the process");
    }

    #[test]
    fn heat_is_a_share_of_the_nodes_work() {
        let (mut observer, start) = (Observer::default(), Instant::now());
        let report = |work, heat: &[(u16, u64)]| NodeStats { work, heat: heat.to_vec(), ..stats(work, 0, 0) };
        observer.report(NODE, &report(100, &[(7, 50)]), start);
        observer.report(NODE, &report(300, &[(9, 150), (7, 50)]), start + ms(200));
        assert_eq!(observer.rates(NODE, start + ms(200)).heat, [(9, 0.75), (7, 0.25)]);
    }
}
