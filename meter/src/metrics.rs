//! What the meter shows: ECPUs, calls and bytes of values, in all, by command and by family, and stored bytes.

use swell_engine::metric::Kind::Counter;
use swell_engine::metric::{Metric, Samples, Unit};

use crate::counters::Usage;
use crate::family::{Family, FamilyUsage, by_family};
use crate::label;
use crate::ledger::{GIGABYTE, Totals};
use crate::price::MILLI;

/// The ledger's figures at one moment.
#[derive(Clone, Debug)]
pub struct Figures {
    total: Usage,
    /// Those that were called, by label.
    commands: Vec<(String, Usage)>,
    families: Vec<(Family, FamilyUsage)>,
    gigabyte_hours: f64,
    gigabyte_hours_metered: f64,
}

impl Figures {
    /// The figures of a copy of the ledger.
    pub fn of(totals: &Totals) -> Figures {
        Figures {
            total: totals.usage_total(),
            commands: totals.commands().map(|(command, usage)| (label(command), usage)).collect(),
            families: by_family(totals),
            gigabyte_hours: totals.gigabyte_hours,
            gigabyte_hours_metered: totals.gigabyte_hours_metered,
        }
    }
}

/// The meter's metrics, in the order of the page. Commands and families that nobody has called are not shown.
pub static METRICS: &[Metric<Figures>] = &[
    Metric {
        name: "swell_ecpus_total",
        kind: Counter,
        unit: Unit::Ecpus,
        labels: &[],
        help: "ECPUs that all commands together cost (ElastiCache: ElastiCacheProcessingUnits).",
        read: |figures, samples| samples.add(&[], ecpus(figures.total.ecpu_milli)),
    },
    Metric {
        name: "swell_values_received_bytes_total",
        kind: Counter,
        unit: Unit::Bytes,
        labels: &[],
        help: "Bytes of values that clients sent, as they are billed: without keys and framing.",
        read: |figures, samples| samples.add(&[], figures.total.bytes_in as f64),
    },
    Metric {
        name: "swell_values_sent_bytes_total",
        kind: Counter,
        unit: Unit::Bytes,
        labels: &[],
        help: "Bytes of data in replies, as they are billed: without framing.",
        read: |figures, samples| samples.add(&[], figures.total.bytes_out as f64),
    },
    Metric {
        name: "swell_stored_byte_seconds_total",
        kind: Counter,
        unit: Unit::ByteSeconds,
        labels: &[],
        help: "Stored bytes over time; 2^30 bytes times 3600 seconds are a gigabyte-hour.",
        read: |figures, samples| samples.add(&[], byte_seconds(figures.gigabyte_hours)),
    },
    Metric {
        name: "swell_billed_byte_seconds_total",
        kind: Counter,
        unit: Unit::ByteSeconds,
        labels: &[],
        help: "Stored bytes over time as they are billed: every hour's average is raised to the price file's minimum.",
        read: |figures, samples| samples.add(&[], byte_seconds(figures.gigabyte_hours_metered)),
    },
    Metric {
        name: "swell_command_calls_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &["command"],
        help: "Calls of a command, failed ones included.",
        read: |figures, samples| figures.by_command(samples, |usage| usage.calls as f64),
    },
    Metric {
        name: "swell_command_failures_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &["command"],
        help: "Calls of a command that were answered with an error.",
        read: |figures, samples| figures.by_command(samples, |usage| usage.failed as f64),
    },
    Metric {
        name: "swell_command_ecpus_total",
        kind: Counter,
        unit: Unit::Ecpus,
        labels: &["command"],
        help: "ECPUs that the calls of a command cost.",
        read: |figures, samples| figures.by_command(samples, |usage| ecpus(usage.ecpu_milli)),
    },
    Metric {
        name: "swell_command_received_bytes_total",
        kind: Counter,
        unit: Unit::Bytes,
        labels: &["command"],
        help: "Bytes of values that clients sent with a command.",
        read: |figures, samples| figures.by_command(samples, |usage| usage.bytes_in as f64),
    },
    Metric {
        name: "swell_command_sent_bytes_total",
        kind: Counter,
        unit: Unit::Bytes,
        labels: &["command"],
        help: "Bytes of data in a command's replies.",
        read: |figures, samples| figures.by_command(samples, |usage| usage.bytes_out as f64),
    },
    Metric {
        name: "swell_command_work_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &["command"],
        help: "Units of work that a command did; docs/commands.md says what its unit is.",
        read: |figures, samples| figures.by_command(samples, |usage| usage.work as f64),
    },
    Metric {
        name: "swell_family_calls_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &["family"],
        help: "Calls by family of commands; families overlap and are named as ElastiCache's metrics (GetTypeCmds, \
               SetTypeCmds, StringBasedCmds, KeyBasedCmds, NonKeyTypeCmds; CmdGet, CmdSet, CmdTouch, CmdFlush by call).",
        read: |figures, samples| figures.by_family(samples, |usage| usage.calls as f64),
    },
    Metric {
        name: "swell_family_ecpus_total",
        kind: Counter,
        unit: Unit::Ecpus,
        labels: &["family"],
        help: "ECPUs by family of commands (ElastiCache: the family's name with ECPUs behind it, as GetTypeCmdsECPUs).",
        read: |figures, samples| figures.by_family(samples, |usage| ecpus(usage.ecpu_milli)),
    },
];

impl Figures {
    fn by_command(&self, samples: &mut dyn Samples, figure: fn(&Usage) -> f64) {
        self.commands.iter().for_each(|(command, usage)| samples.add(&[command], figure(usage)));
    }

    fn by_family(&self, samples: &mut dyn Samples, figure: fn(&FamilyUsage) -> f64) {
        self.families.iter().for_each(|(family, usage)| samples.add(&[family.name()], figure(usage)));
    }
}

fn ecpus(milli: u64) -> f64 {
    milli as f64 / MILLI as f64
}

/// To the thousandth: the ledger counts milliseconds.
fn byte_seconds(gigabyte_hours: f64) -> f64 {
    (gigabyte_hours * GIGABYTE as f64 * 3_600_000.0).round() / 1000.0
}
