//! What a load has seen: counts, one line for each second, and latencies by stage.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::model::Wrong;
use crate::bench::driver::latency_histogram;
use crate::bench::stats::quantile_us;

/// Different error texts that are counted apart; further ones are counted together.
pub const ERROR_TEXTS_MAX: usize = 32;
/// Wrong reads that are described.
pub const EXAMPLES_MAX: usize = 20;
/// Stages whose latencies are kept apart; later ones go with the last.
pub const STAGES_MAX: usize = 64;

/// One second of a load.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Second {
    /// Seconds since the load began, at its end.
    pub at_s: f64,
    /// How long it really was.
    pub seconds: f64,
    pub requests: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub worst_us: f64,
    pub client_errors: u64,
    pub wrong_reads: u64,
    pub unknown_outcomes: u64,
    pub keys: u64,
    /// The most that the load itself was late with a request.
    pub generator_late_us: f64,
}

/// Everything that was counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Requests that were answered, rightly or not.
    pub requests: u64,
    pub reads: u64,
    pub writes: u64,
    pub deletes: u64,
    pub hits: u64,
    /// Reads that found nothing, as they had to.
    pub misses: u64,
    pub client_errors: u64,
    pub wrong_reads: u64,
    pub unknown_outcomes: u64,
    /// Of a node that was killed on purpose: reads that found nothing any more, error replies and unknown outcomes
    /// within the grace. They are in none of the three above.
    pub lost_by_kill: u64,
    pub errors_by_kill: u64,
    pub unknown_by_kill: u64,
    /// From the kill to the last error that it explains, in milliseconds.
    pub kill_last_error_ms: u64,
    pub reconnects: u64,
    pub wrong_by_kind: BTreeMap<&'static str, u64>,
    /// Texts of errors, and how often.
    pub errors: BTreeMap<String, u64>,
    pub examples: Vec<String>,
}

/// Latencies from the intended time to the whole reply.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Latency {
    pub requests: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub worst_ms: f64,
}

/// Collects all of it.
pub struct Record {
    pub tally: Tally,
    stages: Vec<Histogram<u64>>,
    second: Histogram<u64>,
    second_late: Duration,
    /// At the end of the last second.
    before: Tally,
    before_s: f64,
}

impl Default for Record {
    fn default() -> Record {
        Record {
            tally: Tally::default(),
            stages: Vec::new(),
            second: latency_histogram(),
            second_late: Duration::ZERO,
            before: Tally::default(),
            before_s: 0.0,
        }
    }
}

impl Record {
    /// A request was answered so long after it should have left.
    pub fn answered(&mut self, stage: usize, latency: Duration) {
        self.tally.requests += 1;
        let nanoseconds = latency.as_nanos() as u64;
        self.second.saturating_record(nanoseconds);
        let stage = stage.min(STAGES_MAX - 1);
        while self.stages.len() <= stage {
            self.stages.push(latency_histogram());
        }
        self.stages[stage].saturating_record(nanoseconds);
    }

    /// A request left so much later than it should have.
    pub fn left(&mut self, late: Duration) {
        self.second_late = self.second_late.max(late);
    }

    pub fn error(&mut self, text: &str) {
        self.tally.client_errors += 1;
        self.note(text);
    }

    /// Counts an error's text only.
    pub fn note(&mut self, text: &str) {
        let known = self.tally.errors.contains_key(text) || self.tally.errors.len() < ERROR_TEXTS_MAX;
        let text = if known { text } else { "(others)" };
        *self.tally.errors.entry(text.to_owned()).or_default() += 1;
    }

    /// A read was wrong; `example` describes it.
    pub fn wrong(&mut self, wrong: Wrong, example: impl FnOnce() -> String) {
        self.tally.wrong_reads += 1;
        *self.tally.wrong_by_kind.entry(wrong.word()).or_default() += 1;
        if self.tally.examples.len() < EXAMPLES_MAX {
            self.tally.examples.push(example());
        }
    }

    /// Ends a second, `at_s` seconds after the beginning.
    pub fn end_second(&mut self, at_s: f64, keys: u64) -> Second {
        let since = |count: fn(&Tally) -> u64| count(&self.tally) - count(&self.before);
        let second = Second {
            at_s,
            seconds: at_s - self.before_s,
            requests: since(|tally| tally.requests),
            p50_us: quantile_us(&self.second, 0.5),
            p99_us: quantile_us(&self.second, 0.99),
            worst_us: quantile_us(&self.second, 1.0),
            client_errors: since(|tally| tally.client_errors + tally.errors_by_kill),
            wrong_reads: since(|tally| tally.wrong_reads),
            unknown_outcomes: since(|tally| tally.unknown_outcomes + tally.unknown_by_kill),
            keys,
            generator_late_us: self.second_late.as_secs_f64() * 1e6,
        };
        self.second.reset();
        self.second_late = Duration::ZERO;
        self.before = self.tally.clone();
        self.before_s = at_s;
        second
    }

    /// How many requests of a stage took longer than this.
    pub fn stages_over(&self, stage: usize, limit: Duration) -> u64 {
        let Some(histogram) = self.stages.get(stage) else { return 0 };
        histogram.len() - histogram.count_between(0, limit.as_nanos() as u64)
    }

    /// The latencies of these stages together.
    pub fn latency(&self, stages: impl IntoIterator<Item = usize>) -> Latency {
        let mut all = latency_histogram();
        for stage in stages {
            if let Some(histogram) = self.stages.get(stage) {
                // The bounds are the same, so this cannot fail.
                let _ = all.add(histogram);
            }
        }
        let ms = |quantile| quantile_us(&all, quantile) / 1e3;
        Latency { requests: all.len(), p50_ms: ms(0.5), p99_ms: ms(0.99), p999_ms: ms(0.999), worst_ms: ms(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_kept_apart_by_stage() {
        let mut record = Record::default();
        for ms in 1..=100 {
            record.answered(0, Duration::from_millis(ms));
            record.answered(2, Duration::from_millis(10 * ms));
        }
        let (first, second, third) = (record.latency([0]), record.latency([1]), record.latency([2]));
        assert_eq!((first.requests, second.requests, third.requests), (100, 0, 100));
        assert!((first.p50_ms - 50.0).abs() < 0.1 && (first.p99_ms - 99.0).abs() < 0.2, "{first:?}");
        assert!((third.p50_ms - 500.0).abs() < 1.0 && (third.worst_ms - 1_000.0).abs() < 2.0, "{third:?}");
        let both = record.latency([0, 2]);
        assert!(both.requests == 200 && both.p50_ms > 80.0 && both.p99_ms > 950.0, "{both:?}");
        assert_eq!(record.latency([7]).requests, 0);
    }

    #[test]
    fn a_second_has_only_what_happened_in_it() {
        let mut record = Record::default();
        record.answered(0, Duration::from_millis(5));
        record.error("NO");
        let first = record.end_second(1.0, 3);
        assert_eq!((first.requests, first.client_errors, first.keys), (1, 1, 3));
        assert!((first.p99_us - 5_000.0).abs() < 10.0, "{first:?}");
        record.wrong(Wrong::Stale, String::new);
        let second = record.end_second(2.5, 3);
        assert_eq!((second.requests, second.client_errors, second.wrong_reads, second.seconds), (0, 0, 1, 1.5));
        assert_eq!(second.p99_us, 0.0);
    }

    #[test]
    fn error_texts_are_bounded() {
        let mut record = Record::default();
        for number in 0..100 {
            record.error(&format!("E{number}"));
        }
        assert_eq!(record.tally.errors.len(), ERROR_TEXTS_MAX + 1);
        assert_eq!(record.tally.errors.values().sum::<u64>(), 100);
    }
}
