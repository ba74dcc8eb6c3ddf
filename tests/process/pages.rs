//! The HTTP pages and INFO: what monitoring reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::harness::{Conn, DEADLINE, Swell, get, request, wait_for};

/// Wake-ups a second that an idle process may have, with as much again for what is not idle about a test.
const WAKE_UPS_PER_S_MAX: u64 = 40;

#[test]
fn health_pages_answer() {
    let swell = Swell::start(&[]);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&swell.http, path).status, 200, "{path}");
    }
    assert_eq!(get(&swell.http, "/nosuch").status, 404);
    assert_eq!(request(&swell.http, "POST", "/metrics", &[]).status, 405);
}

#[test]
fn metrics_follow_prometheus() {
    let swell = Swell::start(&[]);
    let mut conn = swell.conn();
    conn.cmd(&["SET", "k", "v"]);
    conn.cmd(&["GET", "k"]);
    conn.cmd(&["INCR", "k"]);
    let page = get(&swell.http, "/metrics");
    assert_eq!(page.status, 200);
    assert!(page.fields["content-type"].starts_with("text/plain; version=0.0.4"), "{:?}", page.fields);
    let families = families(&page.body);
    assert!(families.len() >= 20, "only {} families", families.len());
    for (name, kind) in &families {
        assert!(name.starts_with("swell_") || name.starts_with("process_"), "{name} is nobody's");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        let units = ["milliseconds", "ms", "us", "kb", "mb", "percent"];
        assert!(!name.split('_').any(|word| units.contains(&word)), "{name} is not in base units");
    }
}

#[test]
fn metrics_count_what_happened() {
    let swell = Swell::start(&[]);
    let mut conn = swell.conn();
    for number in 0..10 {
        conn.cmd(&["SET", &format!("k{number}"), "v"]);
    }
    let sample = |word: &str| -> f64 {
        let body = get(&swell.http, "/metrics").body;
        let lines = body.lines().filter(|line| !line.starts_with('#') && line.contains(word));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    wait_for("ten keys on the page", DEADLINE, || (sample("swell_keys") == 10.0).then_some(()));
    wait_for("ten calls of SET on the page", DEADLINE, || (sample("command=\"set\"") >= 10.0).then_some(()));
}

#[test]
fn usage_and_bill_say_the_same() {
    let swell = Swell::start(&[]);
    let mut conn = swell.conn();
    for _ in 0..100 {
        conn.cmd(&["SET", "k", "v"]);
    }
    let calls = |text: &str| {
        serde_json::from_str::<serde_json::Value>(text).expect("JSON")["by_command"]["set"]["calls"].as_u64()
    };
    wait_for("the calls to be counted", DEADLINE, || {
        (calls(&get(&swell.http, "/usage").body) == Some(100)).then_some(())
    });
    let bill = |more: &[&str]| {
        let output = Swell::command().args(["bill", "--http", &swell.http]).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("people read UTF-8")
    };
    let json: serde_json::Value = serde_json::from_str(&bill(&["--json"])).expect("JSON");
    assert_eq!(json["by_command"]["set"]["calls"], 100);
    assert_eq!(json["by_command"]["set"]["ecpu_milli"], 100_000);
    assert_eq!(json["by_command"]["set"]["bytes_in"], 100);
    assert!(json["gigabyte_hours"].is_number() && json["cost"]["total"].is_number(), "{json}");
    let table = bill(&[]);
    assert!(table.contains("ECPU") && table.contains("set") && table.contains("100"), "{table}");
}

/// What exporters and the suites of clients read.
#[test]
fn info_has_the_fields_that_are_read() {
    let swell = Swell::start(&[]);
    let text = swell.conn().cmd(&["INFO"]).text();
    let fields: BTreeSet<&str> = text.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let read = [
        "redis_version",
        "redis_mode",
        "os",
        "arch_bits",
        "process_id",
        "run_id",
        "tcp_port",
        "uptime_in_seconds",
        "uptime_in_days",
        "executable",
        "config_file",
        "swell_version",
        "connected_clients",
        "maxclients",
        "blocked_clients",
        "used_memory",
        "used_memory_human",
        "used_memory_rss",
        "used_memory_peak",
        "maxmemory",
        "maxmemory_policy",
        "mem_fragmentation_ratio",
        "mem_allocator",
        "loading",
        "rdb_changes_since_last_save",
        "rdb_bgsave_in_progress",
        "aof_enabled",
        "total_connections_received",
        "total_commands_processed",
        "instantaneous_ops_per_sec",
        "total_net_input_bytes",
        "total_net_output_bytes",
        "rejected_connections",
        "expired_keys",
        "evicted_keys",
        "keyspace_hits",
        "keyspace_misses",
        "role",
        "connected_slaves",
        "master_repl_offset",
        "used_cpu_sys",
        "used_cpu_user",
        "cluster_enabled",
    ];
    let missing: Vec<&str> = read.into_iter().filter(|field| !fields.contains(field)).collect();
    assert!(missing.is_empty(), "INFO lacks {missing:?}:\n{text}");
}

/// Measures a rate, so it takes its time.
#[test]
fn an_idle_process_hardly_wakes() {
    let swell = Swell::start(&[]);
    let mut conns: Vec<Conn> = (0..10).map(|_| swell.conn()).collect();
    for conn in &mut conns {
        assert_eq!(conn.cmd(&["PING"]).text(), "PONG");
    }
    let (from, before) = (Instant::now(), swell.wake_ups());
    let window = Duration::from_secs(2);
    wait_for("the window to pass", window * 2, || (from.elapsed() >= window).then_some(()));
    let woken = swell.wake_ups() - before;
    assert!(woken <= WAKE_UPS_PER_S_MAX * window.as_secs(), "{woken} wake-ups in {window:?}");
}

/// Families by name with their types, after checking each line of the page.
fn families(body: &str) -> BTreeMap<String, String> {
    let (mut helps, mut types, mut series) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
    for line in body.lines().filter(|line| !line.is_empty()) {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(text)) => {
                assert!(helps.insert(name.to_owned()), "two HELP lines for {name}");
                assert!(!text.trim().is_empty(), "{name} is not explained");
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "two TYPE lines for {name}");
            }
            _ => {
                let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
                assert!(value.parse::<f64>().is_ok(), "no number: {line}");
                assert!(series.insert(name.to_owned()), "twice: {name}");
                let family = family(name.split('{').next().unwrap_or(name), &types);
                assert!(helps.contains(family) && types.contains_key(family), "{name} has no HELP and TYPE before it");
            }
        }
    }
    assert_eq!(helps, types.keys().cloned().collect());
    types
}

/// The family of a sample: histograms and summaries have samples with names of their own.
fn family<'a>(name: &'a str, types: &BTreeMap<String, String>) -> &'a str {
    let stems = ["_bucket", "_sum", "_count"].into_iter().filter_map(|end| name.strip_suffix(end));
    stems
        .into_iter()
        .find(|stem| matches!(types.get(*stem).map(String::as_str), Some("histogram" | "summary")))
        .unwrap_or(name)
}
