//! Laws over the declared metrics, and the page that they make.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use swell_engine::commands::table::tables;
use swell_engine::metric::{Kind, Unit};
use swell_meter::{Counters, Ledger, Profile, Tariff};
use swell_node::Node;
use swell_node::control::{NodeLine, NodeStats, NodeStatus, ScalingStatus};
use swell_proxy::ProxyConfig;
use swell_proxy::clients::Door;
use swell_proxy::stats::Counts;
use swell_ring::NodeId;

use super::*;
use crate::print::tests::committed_page_is;

/// Bytes that an idle process's page may have.
const IDLE_PAGE_BYTES_MAX: usize = 16 * 1024;

/// A metric without its owner.
struct Declared {
    name: &'static str,
    kind: Kind,
    unit: Unit,
    labels: &'static [&'static str],
    help: &'static str,
}

fn declared() -> Vec<Declared> {
    fn of<S>(metrics: &'static [Metric<S>]) -> impl Iterator<Item = Declared> {
        metrics.iter().map(|metric| Declared {
            name: metric.name,
            kind: metric.kind,
            unit: metric.unit,
            labels: metric.labels,
            help: metric.help,
        })
    }
    of(process::METRICS)
        .chain(of(swell_proxy::metrics::METRICS))
        .chain(of(swell_node::metrics::METRICS))
        .chain(of(swell_meter::metrics::METRICS))
        .chain(of(ledger::METRICS))
        .chain(of(cluster::METRICS))
        .collect()
}

fn idle() -> Arc<Shared> {
    let config = ProxyConfig {
        workers: 2,
        maxclients: 100,
        query_buffer_bytes_max: 1 << 20,
        output_buffer_bytes_max: 1 << 20,
        timeout_seconds: 0,
        requirepass: None,
        acl_file: None,
        metering: true,
        prefix_separator: None,
        tariff: Tariff::new(Profile::Elasticache),
        node_id: "0".repeat(40),
        version: "1.2.3",
        control: None,
        local: Some(swell_ring::NodeId(1)),
        view: Arc::default(),
    };
    Shared::new(&config, Node::new(1), Arc::new(Ledger::new(unix_ms(), 0)))
}

/// A little of everything that can be counted.
fn busy() -> Arc<Shared> {
    let shared = idle();
    let mut counts = Counts { commands: 4, bytes_in: 100, bytes_out: 200, ..Counts::default() };
    counts.error(b"ERR");
    counts.error(b"a\"b\\c\nd");
    [999, 1_000, 300_000, 10_000_000_000].into_iter().for_each(|nanoseconds| counts.batch(nanoseconds));
    shared.totals.add(&counts);
    let address = SocketAddr::from(([127, 0, 0, 1], 7));
    shared.clients.add(Door::Resp, shared.access.users().default_user().clone(), address, address, -1, 0);
    let mut charged = Counters::new();
    let resp = |name: &str| tables().resp.by_name(name.as_bytes()).expect(name).id;
    charged.charge(&shared.tariff, resp("set"), 3277, 0, 1, false);
    charged.charge(&shared.tariff, resp("get"), 0, 10, 1, true);
    charged.charge(&shared.tariff, tables().memcached.by_name(b"get").expect("get").id, 0, 10, 2, false);
    charged.drain_into(&shared.ledger);
    shared
}

/// What a scaler says of one node, after one decision.
fn scaled() -> Status {
    let stats = NodeStats { used_bytes: 7, loop_delay_us: 1500, ..NodeStats::default() };
    let line = NodeLine {
        id: NodeId(3),
        address: String::new(),
        zone: String::new(),
        pid: 1,
        state: "serving".to_owned(),
        slots: 16384,
        stats,
    };
    let node =
        NodeStatus { line, ecpu_milli: 2500, busy_share: 0.5, ecpu_per_second: 0.0, network_bytes_per_second: 0.0 };
    let decisions = vec![("memory".to_owned(), "scale-out".to_owned(), 2)];
    let scaling = ScalingStatus { nodes_starting: 1, decisions, ..ScalingStatus::default() };
    Status { nodes: vec![node], slots_moved_total: 9, scaling, ..Status::default() }
}

/// The samples by series and the types by name, after looking at every line.
fn parse(page: &str) -> (BTreeMap<String, f64>, BTreeMap<String, String>) {
    let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
    let mut explained = String::new();
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            explained = help.split_once(' ').expect("a sentence").0.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert_eq!(name, explained, "HELP stands before TYPE");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            assert!(series.starts_with(&explained), "{series} is under {explained}");
            let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "{series} twice");
        }
    }
    assert!(page.ends_with('\n'));
    (samples, types)
}

#[test]
fn docs_metrics_md_is_what_is_printed() {
    committed_page_is("docs/metrics.md", &page());
}

#[test]
fn every_declared_metric_is_on_both_pages() {
    let (docs, (_, types)) = (page(), parse(&Metrics::new().render(&busy(), Some(&scaled()))));
    for metric in declared() {
        assert_eq!(types.get(metric.name).map(String::as_str), Some(metric.kind.name()), "{}", metric.name);
        assert!(docs.contains(&format!("| `{}` |", metric.name)) && docs.contains(metric.help), "{}", metric.name);
    }
    assert_eq!(types.len(), declared().len());
}

#[test]
fn no_metric_has_two_owners() {
    let mut names = BTreeSet::new();
    let twice: Vec<_> = declared().into_iter().filter(|metric| !names.insert(metric.name)).map(|m| m.name).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn names_follow_prometheus() {
    for Declared { name, kind, unit, labels, help } in declared() {
        assert!(name.starts_with("swell_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
        let stem = name.strip_suffix("_total").unwrap_or(name);
        let units = [Unit::ByteSeconds, Unit::Bytes, Unit::Seconds, Unit::Ecpus];
        let named = units.into_iter().find(|unit| stem.ends_with(&format!("_{}", unit.name()))).unwrap_or(Unit::Count);
        assert_eq!(named, unit, "{name}");
        assert!(!["_bucket", "_sum", "_count", "_info_"].iter().any(|part| name.ends_with(part)), "{name}");
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte));
        assert!(is_word(name) && labels.iter().all(|label| is_word(label) && *label != "le"), "{name}");
        assert!(help.ends_with('.') && !help.contains(['\n', '\\', '|']), "{name}: {help}");
    }
}

#[test]
fn figures_are_the_owners() {
    let (samples, _) = parse(&Metrics::new().render(&busy(), Some(&scaled())));
    for (series, value) in [
        ("swell_build_info{version=\"1.2.3\"}", 1.0),
        ("swell_connections{door=\"resp\"}", 1.0),
        ("swell_connections{door=\"memcached\"}", 0.0),
        ("swell_commands_total", 4.0),
        ("swell_errors_total", 2.0),
        ("swell_errors_by_code_total{code=\"ERR\"}", 1.0),
        ("swell_ecpus_total", 6.2),
        ("swell_command_ecpus_total{command=\"set\"}", 3.2),
        ("swell_command_ecpus_total{command=\"memcached:get\"}", 2.0),
        ("swell_command_failures_total{command=\"get\"}", 1.0),
        ("swell_family_ecpus_total{family=\"StringBasedCmds\"}", 4.2),
        ("swell_family_calls_total{family=\"CmdGet\"}", 1.0),
        ("swell_values_received_bytes_total", 3277.0),
        ("swell_keys{db=\"0\"}", 0.0),
        ("swell_nodes_by_state{state=\"starting\"}", 1.0),
        ("swell_nodes_by_state{state=\"serving\"}", 1.0),
        ("swell_node_memory_used_bytes{node=\"3\"}", 7.0),
        ("swell_node_loop_delay_seconds{node=\"3\"}", 0.0015),
        ("swell_node_ecpus_total{node=\"3\"}", 2.5),
        ("swell_scaling_decisions_total{signal=\"memory\",action=\"scale-out\"}", 2.0),
        ("swell_slots_moved_total", 9.0),
        ("swell_scaling_enabled", 1.0),
        ("swell_memcached_results_total{verb=\"cas\",result=\"badval\"}", 0.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
    assert!(!samples.keys().any(|series| series.contains("\"del\"")), "nobody called it");
}

#[test]
fn without_a_scaler_nothing_is_said_of_nodes() {
    let (samples, _) = parse(&Metrics::new().render(&busy(), None));
    assert!(!samples.keys().any(|series| series.starts_with("swell_node_") || series.starts_with("swell_scaling")));
}

#[test]
fn labels_are_escaped() {
    let page = Metrics::new().render(&busy(), Some(&scaled()));
    assert!(page.contains("swell_errors_by_code_total{code=\"a\\\"b\\\\c\\nd\"} 1\n"), "{page}");
}

#[test]
fn buckets_add_up() {
    let (samples, _) = parse(&Metrics::new().render(&busy(), Some(&scaled())));
    let bucket = |le: &str| samples[&format!("swell_batch_duration_seconds_bucket{{le=\"{le}\"}}")];
    let bounds = ["0.000001", "0.000002", "0.000256", "0.000512", "4.194304", "+Inf"];
    assert_eq!(bounds.map(bucket), [1.0, 2.0, 2.0, 3.0, 3.0, 4.0]);
    assert_eq!(samples["swell_batch_duration_seconds_count"], 4.0);
    assert_eq!(samples["swell_batch_duration_seconds_sum"], 10.000301999);
}

#[test]
fn counters_may_be_reset() {
    let (metrics, shared) = (Metrics::new(), busy());
    metrics.render(&shared, None);
    shared.totals.reset();
    assert_eq!(parse(&metrics.render(&shared, None)).0["swell_commands_total"], 0.0);
}

#[test]
fn an_idle_page_is_small_and_has_all_totals() {
    let page = Metrics::new().render(&idle(), Some(&Status::default()));
    assert!(page.len() <= IDLE_PAGE_BYTES_MAX, "{} bytes", page.len());
    let (samples, _) = parse(&page);
    for metric in declared().into_iter().filter(|metric| metric.labels.is_empty() && metric.kind != Kind::Histogram) {
        assert!(samples.contains_key(metric.name), "{}", metric.name);
    }
    assert!(!page.contains("command="));
}
