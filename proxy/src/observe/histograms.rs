//! How long commands take: one distribution for each command that was seen, in the buckets that Valkey prints.

use hdrhistogram::Histogram;
use swell_engine::spec::CommandId;

/// The longest time that is told apart, nanoseconds (Valkey's).
const LONGEST_NS: u64 = 1_000_000_000;
/// Digits that a time is right to (Valkey's).
const DIGITS: u8 = 2;
/// The first bucket of LATENCY HISTOGRAM ends here, nanoseconds; each further one at twice as much.
const FIRST_BUCKET_NS: u64 = 1024;

/// By command. Rows are made when first used.
#[derive(Debug, Default)]
pub struct Histograms {
    /// Calls recorded since it was drained.
    recorded: u64,
    rows: Vec<Option<Box<Distribution>>>,
}

/// How long one command takes.
#[derive(Clone, Debug)]
pub struct Distribution {
    times: Histogram<u64>,
    total_ns: u64,
}

impl Distribution {
    fn new() -> Option<Distribution> {
        let times = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).ok()?;
        Some(Distribution { times, total_ns: 0 })
    }

    /// Calls that it speaks for.
    pub fn count(&self) -> u64 {
        self.times.len()
    }

    /// What so many calls took together, microseconds: as long as these on average.
    pub fn micros_of(&self, calls: u64) -> u64 {
        let mean_us = self.total_ns as f64 / 1000.0 / self.count().max(1) as f64;
        (mean_us * calls as f64).round() as u64
    }

    /// What they took together, nanoseconds.
    pub fn total_ns(&self) -> u64 {
        self.total_ns
    }

    /// How many calls took how many nanoseconds, as far as times are told apart.
    pub fn spans(&self) -> Vec<(u64, u64)> {
        self.times.iter_recorded().map(|span| (span.value_iterated_to(), span.count_at_value())).collect()
    }

    /// So many percent of the calls took this many microseconds at most.
    pub fn percentile_us(&self, percent: f64) -> f64 {
        self.times.value_at_percentile(percent) as f64 / 1000.0
    }

    /// Upper ends of buckets in microseconds, each with how many of `calls` ended by then. Buckets that add nothing are
    /// left out.
    pub fn buckets(&self, calls: u64) -> Vec<(u64, u64)> {
        let (mut buckets, mut before, mut level) = (Vec::new(), 0, FIRST_BUCKET_NS);
        while before < self.count() {
            let up_to = self.times.count_between(0, level);
            if up_to > before {
                let share = up_to as f64 / self.count() as f64;
                buckets.push((self.times.highest_equivalent(level) / 1000, (share * calls as f64).round() as u64));
                before = up_to;
            }
            level *= 2;
        }
        buckets
    }
}

impl Histograms {
    /// A command took so long; it speaks for `weight` calls.
    #[inline]
    pub fn record(&mut self, id: CommandId, ns: u64, weight: u64) {
        self.recorded += weight;
        if let Some(row) = self.row(id) {
            row.times.saturating_record_n(ns.clamp(1, LONGEST_NS), weight);
            row.total_ns = row.total_ns.saturating_add(ns.saturating_mul(weight));
        }
    }

    /// Whether nothing was recorded since it was drained.
    pub fn is_empty(&self) -> bool {
        self.recorded == 0
    }

    /// Moves everything into `sums`.
    pub fn drain_into(&mut self, sums: &mut Histograms) {
        self.recorded = 0;
        for (at, row) in self.rows.iter_mut().enumerate() {
            let Some(row) = row.as_mut().filter(|row| row.count() > 0) else { continue };
            if let Some(sum) = sums.row(CommandId(at as u16)) {
                // The bounds are the same, so that everything fits.
                let _ = sum.times.add(&row.times);
                sum.total_ns = sum.total_ns.saturating_add(row.total_ns);
            }
            row.times.reset();
            row.total_ns = 0;
        }
    }

    /// Takes in what another proxy has timed: see [`Distribution::spans`].
    pub fn add_spans(&mut self, id: CommandId, total_ns: u64, spans: &[(u64, u64)]) {
        if let Some(row) = self.row(id) {
            spans.iter().for_each(|(ns, calls)| row.times.saturating_record_n((*ns).clamp(1, LONGEST_NS), *calls));
            row.total_ns = row.total_ns.saturating_add(total_ns);
        }
    }

    /// A command's, if it was seen.
    pub fn get(&self, id: CommandId) -> Option<&Distribution> {
        self.rows.get(id.0 as usize)?.as_deref().filter(|row| row.count() > 0)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    #[inline]
    fn row(&mut self, id: CommandId) -> Option<&mut Distribution> {
        let at = id.0 as usize;
        if at >= self.rows.len() {
            self.rows.resize_with(at + 1, || None);
        }
        let row = &mut self.rows[at];
        if row.is_none() {
            *row = Distribution::new().map(Box::new);
        }
        row.as_deref_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ends of the buckets are those that valkey-server prints.
    #[test]
    fn buckets_are_valkeys() {
        let mut rows = Histograms::default();
        let id = CommandId(3);
        for micros in [1, 2, 3, 8, 30, 60, 120, 250, 500, 1_000, 10_000, 33_000] {
            rows.record(id, micros * 1_000, 1);
        }
        let ends: Vec<u64> = rows.get(id).unwrap().buckets(12).iter().map(|(end, _)| *end).collect();
        assert_eq!(ends, [1, 2, 4, 8, 33, 66, 132, 264, 528, 1056, 16908, 33816]);
        assert_eq!(rows.get(id).unwrap().buckets(12).last().unwrap().1, 12);
    }

    #[test]
    fn samples_speak_for_all_calls() {
        let (mut rows, mut sums) = (Histograms::default(), Histograms::default());
        rows.record(CommandId(0), 3_000, 64);
        rows.record(CommandId(0), 9_000, 64);
        rows.drain_into(&mut sums);
        assert!(rows.get(CommandId(0)).is_none());
        let row = sums.get(CommandId(0)).unwrap();
        assert_eq!(row.buckets(100), [(4, 50), (16, 100)]);
        assert_eq!(row.micros_of(100), 600);
        assert_eq!(row.percentile_us(50.0), 3.007);
    }
}
