//! `/metrics` and docs/metrics.md: every owner's metrics in Prometheus's text format, and as a page.
//!
//! The figures are sums that their owners keep anyway, so they are read when somebody asks and written with the
//! exporter's formatting. Its recorder would keep a second copy, in which counters are whole numbers (ECPUs are not)
//! and cannot be reset (`CONFIG RESETSTAT`).

mod cluster;
mod ledger;
mod process;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use metrics::{Key, Label};
use metrics_exporter_prometheus::{LabelSet, formatting};
use swell_engine::metric::{Histogram, Metric, Samples};
use swell_node::control::Status;
use swell_proxy::Shared;
use swell_proxy::charges::Charges;
use swell_proxy::shared::unix_ms;

use crate::ledger::Gauges;
use process::{Process, StartedAt};

/// What a scrape needs beside the figures.
#[derive(Debug)]
pub struct Metrics {
    started_at: StartedAt,
    ledger: Arc<Gauges>,
    /// The way to the ledger of another process.
    charges: Option<Charges>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// Notes what never changes.
    pub fn new() -> Self {
        Metrics::with(Arc::default(), None)
    }

    /// The same beside a ledger, or a way to another process's.
    pub fn with(ledger: Arc<Gauges>, charges: Option<Charges>) -> Self {
        Metrics { started_at: StartedAt::read(), ledger, charges }
    }

    /// The text of `/metrics`: all figures as of the workers' last reports. `cluster`: as the scaler tells, if it does.
    pub fn render(&self, shared: &Shared, cluster: Option<&Status>) -> String {
        let mut page = String::with_capacity(32 * 1024);
        write_all(&mut page, process::METRICS, &Process::now(shared.version, self.started_at));
        write_all(&mut page, swell_proxy::metrics::METRICS, &swell_proxy::metrics::Figures::of(shared));
        write_all(&mut page, swell_node::metrics::METRICS, &shared.figures());
        let totals = shared.ledger.totals(unix_ms());
        write_all(&mut page, swell_meter::metrics::METRICS, &swell_meter::metrics::Figures::of(&totals));
        if let Some(charges) = &self.charges {
            self.ledger.pending_ecpu_milli.store(charges.ecpu_milli(), Relaxed);
        }
        write_all(&mut page, ledger::METRICS, &*self.ledger);
        if let Some(status) = cluster {
            write_all(&mut page, cluster::METRICS, status);
        }
        page
    }
}

impl Metrics {
    /// The text of `/metrics` of a scaler in a process of its own: `ledger` has what it knows of stored bytes.
    pub fn render_scaler(&self, ledger: &swell_meter::Ledger, cluster: Option<&Status>) -> String {
        let mut page = String::with_capacity(32 * 1024);
        write_all(&mut page, process::METRICS, &Process::now(env!("CARGO_PKG_VERSION"), self.started_at));
        let totals = ledger.totals(unix_ms());
        write_all(&mut page, swell_meter::metrics::METRICS, &swell_meter::metrics::Figures::of(&totals));
        write_all(&mut page, ledger::METRICS, &*self.ledger);
        if let Some(status) = cluster {
            write_all(&mut page, cluster::METRICS, status);
        }
        page
    }
}

/// The text of `docs/metrics.md`.
pub fn page() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
        Printed by `swell print metrics`. `/metrics` on the HTTP listener gives them in Prometheus's text format. \
        Commands, families and error codes that nobody has used yet have no series; every other series is there from \
        the start. Counters begin at 0 when Swell starts; `CONFIG RESETSTAT` sets those of the proxy and the node to 0 \
        again, never what the meter has charged. Where ElastiCache has a metric for the same, its name stands in \
        parentheses; there it is a sum over a period, which here is `increase()` of the counter.\n",
    );
    add_table(&mut text, "Process", process::METRICS);
    add_table(&mut text, "Proxy", swell_proxy::metrics::METRICS);
    add_table(&mut text, "Node", swell_node::metrics::METRICS);
    add_table(&mut text, "Meter", swell_meter::metrics::METRICS);
    add_table(&mut text, "Ledger", ledger::METRICS);
    text += "\n## Nodes and scaling\n\nEvery process that serves HTTP asks the scaler and shows the same: take `max by (node)`, \
        not the sum, where several are scraped. While no scaler answers these are not shown. Counters begin at 0 when \
        the scaler, or the node, starts.\n";
    add_rows(&mut text, cluster::METRICS);
    text
}

/// Appends a metric's samples to the page.
struct Lines<'p> {
    page: &'p mut String,
    name: &'static str,
    labels: &'static [&'static str],
}

impl Samples for Lines<'_> {
    fn add(&mut self, labels: &[&str], value: f64) {
        let labels = self.label_set(labels);
        self.line(None, &labels, None, value);
    }

    fn add_histogram(&mut self, labels: &[&str], histogram: &Histogram) {
        let labels = self.label_set(labels);
        let mut count = 0;
        for (bound, more) in &histogram.buckets {
            count += more;
            self.line(Some("bucket"), &labels, Some(bound.to_string()), count as f64);
        }
        count += histogram.above;
        self.line(Some("bucket"), &labels, Some("+Inf".to_owned()), count as f64);
        self.line(Some("sum"), &labels, None, histogram.sum);
        self.line(Some("count"), &labels, None, count as f64);
    }
}

impl Lines<'_> {
    fn label_set(&self, values: &[&str]) -> LabelSet {
        debug_assert_eq!(self.labels.len(), values.len(), "{}", self.name);
        let labels: Vec<Label> =
            self.labels.iter().zip(values).map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
        LabelSet::from_key_and_global(&Key::from_parts(self.name, labels), &Default::default())
    }

    fn line(&mut self, suffix: Option<&'static str>, labels: &LabelSet, bound: Option<String>, value: f64) {
        let bound = bound.map(|bound| ("le", bound));
        formatting::write_metric_line(self.page, self.name, suffix, labels, bound, value, None);
    }
}

/// A metric without samples leaves no lines.
fn write_all<S>(page: &mut String, metrics: &[Metric<S>], figures: &S) {
    for metric in metrics {
        let before = page.len();
        formatting::write_help_line(page, metric.name, None, None, metric.help);
        formatting::write_type_line(page, metric.name, None, None, metric.kind.name());
        let without_samples = page.len();
        (metric.read)(figures, &mut Lines { page, name: metric.name, labels: metric.labels });
        if page.len() == without_samples {
            page.truncate(before);
        }
    }
}

fn add_table<S>(text: &mut String, owner: &str, metrics: &[Metric<S>]) {
    *text += &format!("\n## {owner}\n");
    add_rows(text, metrics);
}

fn add_rows<S>(text: &mut String, metrics: &[Metric<S>]) {
    *text += "\n| name | type | unit | labels | what it is |\n| --- | --- | --- | --- | --- |\n";
    for metric in metrics {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        *text += &format!(
            "| `{}` | {} | {} | {} | {} |\n",
            metric.name,
            metric.kind.name(),
            metric.unit.name().replace('_', "-"),
            labels.join(", "),
            metric.help
        );
    }
}
