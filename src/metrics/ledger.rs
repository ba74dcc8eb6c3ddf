//! What the durable ledger says of itself.

use std::sync::atomic::Ordering::Relaxed;

use swell_engine::metric::Kind::{Counter, Gauge};
use swell_engine::metric::{Metric, Unit};

use crate::ledger::Gauges;

/// The ledger's metrics, in the order of the page.
pub(super) static METRICS: &[Metric<Gauges>] = &[
    Metric {
        name: "swell_ledger_charges_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Charges of proxies that this process's ledger has stored; a proxy takes one up to four times a second.",
        read: |gauges, samples| samples.add(&[], gauges.charges.load(Relaxed) as f64),
    },
    Metric {
        name: "swell_ledger_repeated_charges_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Charges that came again after they had been stored, and did not count twice.",
        read: |gauges, samples| samples.add(&[], gauges.repeated.load(Relaxed) as f64),
    },
    Metric {
        name: "swell_ledger_write_failures_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Writes of the ledger that failed, as on a full disk; what was to be written waits and is tried again.",
        read: |gauges, samples| samples.add(&[], gauges.failures.load(Relaxed) as f64),
    },
    Metric {
        name: "swell_ledger_pending_ecpus",
        kind: Gauge,
        unit: Unit::Ecpus,
        labels: &[],
        help: "ECPUs that this process's proxy has charged and that were not in the ledger when it looked last.",
        read: |gauges, samples| samples.add(&[], gauges.pending_ecpu_milli.load(Relaxed) as f64 / 1000.0),
    },
];
