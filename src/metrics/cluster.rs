//! What the scaler says of nodes, moves and its own decisions. Every process that serves HTTP shows the same.

use swell_engine::metric::Kind::{Counter, Gauge};
use swell_engine::metric::{Metric, Samples, Unit};
use swell_node::control::{NodeStatus, ScalingMode, Status};

/// The states of a node that have a series from the start.
const STATES: [&str; 6] = ["starting", "serving", "draining", "empty", "gone", "silent"];

/// In the order of the page. Figures of nodes are as of their last reports.
pub static METRICS: &[Metric<Status>] = &[
    Metric {
        name: "swell_nodes_by_state",
        kind: Gauge,
        unit: Unit::Count,
        labels: &["state"],
        help: "Nodes that the scaler knows: starting, serving, draining, empty (without slots), gone (without a link), silent (with one, \
               and no word over it).",
        read: |status, samples| {
            for state in STATES {
                let known = status.nodes.iter().filter(|node| node.line.state == state).count() as u32;
                let count = if state == "starting" { status.scaling.nodes_starting } else { known };
                samples.add(&[state], f64::from(count));
            }
        },
    },
    Metric {
        name: "swell_node_memory_used_bytes",
        kind: Gauge,
        unit: Unit::Bytes,
        labels: &["node"],
        help: "Memory that a node's keys, values and their tables take.",
        read: |status, samples| each(status, samples, |node| node.line.stats.used_bytes as f64),
    },
    Metric {
        name: "swell_node_memory_planned_bytes",
        kind: Gauge,
        unit: Unit::Bytes,
        labels: &[],
        help: "What one node is planned to hold, as set by node-memory.",
        read: |status, samples| samples.add(&[], status.scaling.node_memory_bytes as f64),
    },
    Metric {
        name: "swell_node_memory_resident_bytes",
        kind: Gauge,
        unit: Unit::Bytes,
        labels: &["node"],
        help: "Memory of a node's process that is in RAM.",
        read: |status, samples| each(status, samples, |node| node.line.stats.resident_bytes as f64),
    },
    Metric {
        name: "swell_node_keys",
        kind: Gauge,
        unit: Unit::Count,
        labels: &["node"],
        help: "Keys at a node, in all databases.",
        read: |status, samples| each(status, samples, |node| node.line.stats.keys as f64),
    },
    Metric {
        name: "swell_node_slots",
        kind: Gauge,
        unit: Unit::Count,
        labels: &["node"],
        help: "Slots that a node owns, of 16384.",
        read: |status, samples| each(status, samples, |node| f64::from(node.line.slots)),
    },
    Metric {
        name: "swell_node_cpu_seconds_total",
        kind: Counter,
        unit: Unit::Seconds,
        labels: &["node"],
        help: "CPU time of a node's process.",
        read: |status, samples| each(status, samples, |node| node.line.stats.cpu_us as f64 / 1e6),
    },
    Metric {
        name: "swell_node_busy_ratio",
        kind: Gauge,
        unit: Unit::Count,
        labels: &["node"],
        help: "CPU time over wall time over the cores that a node may use: what scaling looks at. Of the node in a proxy's \
               process its own part, estimated.",
        read: |status, samples| each(status, samples, |node| node.busy_share),
    },
    Metric {
        name: "swell_node_loop_delay_seconds",
        kind: Gauge,
        unit: Unit::Seconds,
        labels: &["node"],
        help: "The longest that a loop of a node's was late, as of its last report.",
        read: |status, samples| each(status, samples, |node| node.line.stats.loop_delay_us as f64 / 1e6),
    },
    Metric {
        name: "swell_node_requests_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &["node"],
        help: "Requests that a node ran.",
        read: |status, samples| each(status, samples, |node| node.line.stats.requests as f64),
    },
    Metric {
        name: "swell_node_received_bytes_total",
        kind: Counter,
        unit: Unit::Bytes,
        labels: &["node"],
        help: "Bytes of requests that a node received.",
        read: |status, samples| each(status, samples, |node| node.line.stats.bytes_in as f64),
    },
    Metric {
        name: "swell_node_sent_bytes_total",
        kind: Counter,
        unit: Unit::Bytes,
        labels: &["node"],
        help: "Bytes of replies that a node sent.",
        read: |status, samples| each(status, samples, |node| node.line.stats.bytes_out as f64),
    },
    Metric {
        name: "swell_node_ecpus_total",
        kind: Counter,
        unit: Unit::Ecpus,
        labels: &["node"],
        help: "ECPUs that all proxies charged for a node's replies since the scaler started.",
        read: |status, samples| each(status, samples, |node| node.ecpu_milli as f64 / 1e3),
    },
    Metric {
        name: "swell_scaler_slot_map_epoch",
        kind: Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "The epoch of the scaler's slot map; swell_slot_map_epoch is what a proxy has seen of it.",
        read: |status, samples| samples.add(&[], status.epoch.0 as f64),
    },
    Metric {
        name: "swell_slots_moving",
        kind: Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "Slots on their way to another node.",
        read: |status, samples| samples.add(&[], f64::from(status.slots_moving)),
    },
    Metric {
        name: "swell_slots_moved_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Slots that went from one living node to another.",
        read: |status, samples| samples.add(&[], status.slots_moved_total as f64),
    },
    Metric {
        name: "swell_keys_moved_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Keys in the slots that moved.",
        read: |status, samples| samples.add(&[], status.keys_moved_total as f64),
    },
    Metric {
        name: "swell_handover_retries_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Hand-overs of slots that were begun again.",
        read: |status, samples| samples.add(&[], status.handover_retries_total as f64),
    },
    Metric {
        name: "swell_scaling_decisions_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &["signal", "action"],
        help: "Decisions that were carried out, by what they were made for.",
        read: |status, samples| {
            for (signal, action, count) in &status.scaling.decisions {
                samples.add(&[signal, action], *count as f64);
            }
        },
    },
    Metric {
        name: "swell_scaling_enabled",
        kind: Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "1 while decisions are carried out; 0 while scaling is off, paused or a dry run.",
        read: |status, samples| samples.add(&[], f64::from(u8::from(status.scaling.mode == ScalingMode::On))),
    },
    Metric {
        name: "swell_scaling_paused",
        kind: Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "1 while somebody has paused scaling.",
        read: |status, samples| samples.add(&[], f64::from(u8::from(status.scaling.mode == ScalingMode::Paused))),
    },
    Metric {
        name: "swell_scaling_nodes_min",
        kind: Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "Nodes that there are at least.",
        read: |status, samples| samples.add(&[], f64::from(status.scaling.nodes_min)),
    },
    Metric {
        name: "swell_scaling_nodes_max",
        kind: Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "Nodes that there are at most.",
        read: |status, samples| samples.add(&[], f64::from(status.scaling.nodes_max)),
    },
];

fn each(status: &Status, samples: &mut dyn Samples, figure: fn(&NodeStatus) -> f64) {
    for node in &status.nodes {
        samples.add(&[&node.line.id.to_string()], figure(node));
    }
}
