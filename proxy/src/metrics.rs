//! What a proxy shows of itself: clients, traffic, errors, how long batches take.

use std::sync::atomic::Ordering::Relaxed;

use swell_engine::metric::Kind::{self, Counter, Gauge};
use swell_engine::metric::{Histogram, Metric, Unit};

use crate::clients::Door;
use crate::shared::Shared;
use crate::stats::{Counts, LATENCY_BUCKETS};

/// A proxy's figures at one moment.
#[derive(Clone, Debug)]
pub struct Figures {
    counts: Counts,
    resp_clients: u64,
    memcached_clients: u64,
    blocked_clients: u64,
    query_buffer_bytes: u64,
    output_buffer_bytes: u64,
    maxclients: usize,
    workers: usize,
    metering: bool,
    epoch: u64,
    nodes: usize,
}

impl Figures {
    /// Looks at a proxy: the sums of its workers' last reports, and a walk over its clients.
    pub fn of(shared: &Shared) -> Figures {
        let mut figures = Figures {
            counts: shared.totals.get(),
            resp_clients: 0,
            memcached_clients: 0,
            blocked_clients: 0,
            query_buffer_bytes: 0,
            output_buffer_bytes: 0,
            maxclients: shared.settings.maxclients.load(Relaxed),
            workers: shared.workers,
            metering: shared.metering,
            epoch: shared.route.map().epoch().0,
            nodes: shared.route.map().nodes().len(),
        };
        for client in shared.clients.list() {
            match client.door {
                Door::Resp => figures.resp_clients += 1,
                Door::Memcached => figures.memcached_clients += 1,
            }
            figures.blocked_clients += u64::from(client.is_blocked());
            figures.query_buffer_bytes += client.query_buffer_bytes.load(Relaxed);
            figures.output_buffer_bytes += client.output_bytes.load(Relaxed);
        }
        figures
    }
}

/// A proxy's metrics, in the order of the page.
pub static METRICS: &[Metric<Figures>] = &[
    Metric {
        name: "swell_connections",
        kind: Gauge,
        unit: Unit::Count,
        labels: &["door"],
        help: "Clients that are connected, by the listener they came in by (ElastiCache: CurrConnections).",
        read: |figures, samples| {
            samples.add(&["resp"], figures.resp_clients as f64);
            samples.add(&["memcached"], figures.memcached_clients as f64);
        },
    },
    Metric {
        name: "swell_connections_blocked",
        kind: Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "Clients whose request waits for a key to have something, or for replicas.",
        read: |figures, samples| samples.add(&[], figures.blocked_clients as f64),
    },
    Metric {
        name: "swell_connections_limit",
        kind: Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "Clients that may be connected at once, as set by maxclients.",
        read: |figures, samples| samples.add(&[], figures.maxclients as f64),
    },
    Metric {
        name: "swell_connections_received_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Connections that arrived, refused ones included (ElastiCache: NewConnections).",
        read: |figures, samples| samples.add(&[], figures.counts.connections_received as f64),
    },
    Metric {
        name: "swell_connections_rejected_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Connections that were refused: too many, or from another machine while no password is set.",
        read: |figures, samples| samples.add(&[], figures.counts.connections_rejected as f64),
    },
    Metric {
        name: "swell_commands_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Requests that were answered, metered or not (ElastiCache: TotalCmdsCount).",
        read: |figures, samples| samples.add(&[], figures.counts.commands as f64),
    },
    Metric {
        name: "swell_network_received_bytes_total",
        kind: Counter,
        unit: Unit::Bytes,
        labels: &[],
        help: "Bytes that clients sent, all of them (ElastiCache: NetworkBytesIn).",
        read: |figures, samples| samples.add(&[], figures.counts.bytes_in as f64),
    },
    Metric {
        name: "swell_network_sent_bytes_total",
        kind: Counter,
        unit: Unit::Bytes,
        labels: &[],
        help: "Bytes that clients were sent, all of them (ElastiCache: NetworkBytesOut).",
        read: |figures, samples| samples.add(&[], figures.counts.bytes_out as f64),
    },
    Metric {
        name: "swell_client_query_buffer_bytes",
        kind: Gauge,
        unit: Unit::Bytes,
        labels: &[],
        help: "Bytes of unfinished requests of all clients.",
        read: |figures, samples| samples.add(&[], figures.query_buffer_bytes as f64),
    },
    Metric {
        name: "swell_client_output_buffer_bytes",
        kind: Gauge,
        unit: Unit::Bytes,
        labels: &[],
        help: "Bytes of replies that clients have not taken yet.",
        read: |figures, samples| samples.add(&[], figures.output_buffer_bytes as f64),
    },
    Metric {
        name: "swell_errors_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Error replies.",
        read: |figures, samples| samples.add(&[], figures.counts.errors as f64),
    },
    Metric {
        name: "swell_errors_by_code_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &["code"],
        help: "Error replies by their first word; the sum may be below swell_errors_total, as only so many codes are kept.",
        read: |figures, samples| {
            let codes = &figures.counts.error_codes;
            codes.iter().for_each(|(code, count)| samples.add(&[code], *count as f64));
        },
    },
    Metric {
        name: "swell_protocol_errors_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Connections that were closed because what they sent could not be understood.",
        read: |figures, samples| samples.add(&[], figures.counts.protocol_errors as f64),
    },
    Metric {
        name: "swell_auth_failures_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Wrong passwords (ElastiCache: AuthenticationFailures).",
        read: |figures, samples| samples.add(&[], figures.counts.auth_failures as f64),
    },
    Metric {
        name: "swell_unknown_outcomes_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Requests that were sent to a node whose link was lost before it answered, and that may have run: their \
               clients read an error.",
        read: |figures, samples| samples.add(&[], figures.counts.unknown_outcomes as f64),
    },
    Metric {
        name: "swell_cross_slot_refused_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Atomic commands that were refused because their keys lie in several slots, which several nodes may own.",
        read: |figures, samples| samples.add(&[], figures.counts.cross_slot as f64),
    },
    Metric {
        name: "swell_slot_map_epoch",
        kind: Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "The epoch of the slot map that this proxy routes by.",
        read: |figures, samples| samples.add(&[], figures.epoch as f64),
    },
    Metric {
        name: "swell_nodes",
        kind: Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "Nodes that the slot map names.",
        read: |figures, samples| samples.add(&[], figures.nodes as f64),
    },
    Metric {
        name: "swell_requests_parked_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Requests that queued for keys that another worker had locked.",
        read: |figures, samples| samples.add(&[], figures.counts.parked as f64),
    },
    Metric {
        name: "swell_late_answers_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Answers that came after the batch of their request: parked, walking the key space, or sleeping.",
        read: |figures, samples| samples.add(&[], figures.counts.late as f64),
    },
    Metric {
        name: "swell_batch_duration_seconds",
        kind: Kind::Histogram,
        unit: Unit::Seconds,
        labels: &[],
        help: "Time to serve a batch, which is what one read of a client's socket brought (ElastiCache has \
               SuccessfulReadRequestLatency and SuccessfulWriteRequestLatency by request).",
        read: |figures, samples| samples.add_histogram(&[], &batch_durations(&figures.counts)),
    },
    Metric {
        name: "swell_workers",
        kind: Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "Threads that serve clients.",
        read: |figures, samples| samples.add(&[], figures.workers as f64),
    },
    Metric {
        name: "swell_metering_enabled",
        kind: Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "1 while commands are metered, 0 while they are not and the metrics by command stand still.",
        read: |figures, samples| samples.add(&[], f64::from(u8::from(figures.metering))),
    },
];

/// Bucket `n` of the counts ends before 2^n microseconds, the last one never.
fn batch_durations(counts: &Counts) -> Histogram {
    let (below, above) = counts.latency.split_at(LATENCY_BUCKETS - 1);
    let bound = |bucket: usize| (1u64 << bucket) as f64 / 1e6;
    Histogram {
        buckets: below.iter().enumerate().map(|(bucket, count)| (bound(bucket), *count)).collect(),
        above: above.iter().sum(),
        sum: counts.batch_nanoseconds as f64 / 1e9,
    }
}
