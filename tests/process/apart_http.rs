//! What `swell scaler` answers over HTTP, and what it meters.

use serde_json::Value;
use swell_node::control::{Answer, Ask, ScalingMode};
use swell_ring::NodeId;

use super::apart::{Data, asking};
use crate::harness::{DEADLINE, Server, Swell, get, request, wait_for};

/// Bytes of a value.
const VALUE_BYTES: usize = 100_000;
const KEYS: usize = 50;

fn page(server: &Server, path: &str) -> Value {
    let response = get(&server.http, path);
    assert_eq!(response.status, 200, "{path}: {}", response.body);
    serde_json::from_str(&response.body).expect("it is JSON")
}

fn calls(report: &Value, command: &str) -> u64 {
    let lines = report["lines"].as_array().expect("a report has lines");
    lines.iter().find(|line| line["name"] == command).map_or(0, |line| line["calls"].as_u64().expect("a number"))
}

#[test]
fn a_scaler_of_its_own_has_pages_and_meters_what_nodes_hold() {
    let data = Data::new();
    let mut scaler = data.scaler();
    let proxy = Swell::join(&scaler, &["--workers", "1"]);
    let mut conn = proxy.conn();
    for key in 0..KEYS {
        assert_eq!(conn.cmd(&["SET", &format!("key:{key}"), &"v".repeat(VALUE_BYTES)]).text(), "OK");
    }
    assert_eq!(get(&scaler.http, "/healthz").status, 200);
    assert_eq!(get(&scaler.http, "/readyz").status, 200);
    let status = page(&scaler, "/status");
    assert_eq!(status["nodes"].as_array().map(Vec::len), Some(2), "{status}");
    assert_eq!(status["scaling"]["mode"], "on", "{status}");
    let events = page(&scaler, "/events");
    let is_join = |event: &Value| event["kind"] == "node-joined" && event["node"] == NodeId(1).0;
    assert!(events["events"].as_array().is_some_and(|events| events.iter().any(is_join)), "{events}");
    // Both what proxies have charged and what nodes hold is in its ledger.
    wait_for("all requests in the ledger", DEADLINE, || {
        (calls(&page(&scaler, "/usage?by=command"), "set") == KEYS as u64).then_some(())
    });
    let bill = wait_for("stored bytes in the ledger", DEADLINE, || {
        let bill = page(&scaler, "/usage");
        (bill["gigabyte_hours"].as_f64() > Some(0.0)).then_some(bill)
    });
    assert_eq!(bill["by_command"]["set"]["calls"], KEYS as u64, "{bill}");
    assert!(bill["cost"]["storage"].as_f64() > Some(0.0), "{bill}");
    let metrics = get(&scaler.http, "/metrics").body;
    for line in
        ["swell_nodes_by_state{state=\"serving\"} 2", "swell_scaling_enabled 1", "swell_ledger_write_failures_total 0"]
    {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(metrics.contains("process_resident_memory_bytes "), "{metrics}");
    assert!(!metrics.contains("swell_connections_limit"), "it has none");
    assert_eq!(get(&scaler.http, "/nothing").status, 404);
    // What was metered is there when it has ended, and over its next start.
    let asked = asking(&scaler).ask(Ask::Scale(ScalingMode::Paused)).expect("it answers");
    assert!(matches!(&asked, Answer::Status(status) if status.scaling.mode == ScalingMode::Paused), "{asked:?}");
    let stored = bill["gigabyte_hours"].as_f64();
    scaler.signal("TERM");
    assert!(scaler.exited(DEADLINE).success());
    let scaler = data.scaler_with(&["--requirepass", "secret"]);
    assert_eq!(get(&scaler.http, "/status").status, 401);
    assert_eq!(get(&scaler.http, "/healthz").status, 200, "this is for whoever asks");
    let ask = |path: &str| {
        let answer = request(&scaler.http, "GET", path, &[("Authorization", "Bearer secret")]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str::<Value>(&answer.body).expect("it is JSON")
    };
    let all = ask("/usage?by=command");
    assert!(all["gigabyte_hours"].as_f64() >= stored && calls(&all, "set") == KEYS as u64, "{all}");
    let scaling = ask("/status")["scaling"].clone();
    assert_eq!([&scaling["mode"], &scaling["configured_mode"]], ["paused", "on"], "somebody has paused it");
}
