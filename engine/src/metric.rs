//! What a metric is, as data: the row that its owner declares and that `/metrics` and docs/metrics.md read.
//!
//! Each crate lists its own in its `metrics.rs`. A row knows how to read its figure, so that a declared metric cannot
//! be forgotten where figures are printed.

/// One metric of an owner that shows its figures as an `S`, taken once per scrape. No field has a default.
pub struct Metric<S: 'static> {
    /// After Prometheus's conventions: `swell_`, what it is, the unit, and `_total` behind a counter.
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    /// The labels' names; every sample gives their values in this order.
    pub labels: &'static [&'static str],
    /// The sentence for HELP and docs/metrics.md. Where ElastiCache has a metric for the same, it is named here.
    pub help: &'static str,
    /// Gives all samples there are now; none, and the metric is not shown.
    pub read: fn(&S, &mut dyn Samples),
}

/// Prometheus's types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, but for a restart and `CONFIG RESETSTAT`.
    Counter,
    Gauge,
    Histogram,
}

/// Base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things; the name says of which.
    Count,
    Bytes,
    Seconds,
    /// Bytes held for so many seconds.
    ByteSeconds,
    Ecpus,
}

/// A distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Upper bounds, growing, with the number of observations between the bound before and this one.
    pub buckets: Vec<(f64, u64)>,
    /// Observations above the last bound.
    pub above: u64,
    /// The sum of all observations, in the metric's unit.
    pub sum: f64,
}

/// Takes a metric's samples.
pub trait Samples {
    /// One value, in the metric's unit; `labels`: the labels' values.
    fn add(&mut self, labels: &[&str], value: f64);
    /// A distribution; `labels`: the labels' values.
    fn add_histogram(&mut self, labels: &[&str], histogram: &Histogram);
}

impl Kind {
    /// The word in TYPE lines.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

impl Unit {
    /// The word in names, or "" where names have none.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Count => "",
            Unit::Bytes => "bytes",
            Unit::Seconds => "seconds",
            Unit::ByteSeconds => "byte_seconds",
            Unit::Ecpus => "ecpus",
        }
    }
}
