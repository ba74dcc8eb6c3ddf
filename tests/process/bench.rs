//! `swell loadtest bench` on a small cluster of its own: what the tests of moves and of isolation measure is there.

use serde_json::Value;

use crate::harness::Swell;

/// The report of these tests, small: everything but its figures is as it would be at full size.
fn report(test: &str, options: &[&str]) -> Value {
    let json = std::env::temp_dir().join(format!("swell-process-bench-{}-{test}.json", std::process::id()));
    let mut command = Swell::command();
    command.args(["loadtest", "bench", "--tests", test, "--rounds", "1", "--keys", "20000", "--rate", "500"]);
    command.args(["--connections", "5", "--server-cpu", "off", "--load-cpu", "off"]).args(options);
    let output = command.arg("--json").arg(&json).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = std::fs::read(&json).expect("the bench writes its report");
    std::fs::remove_file(&json).expect("it is there");
    serde_json::from_slice(&report).expect("it is JSON")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn half_of_the_slots_move_under_load() {
    let report = report("move", &["--quiet-seconds", "1"]);
    let round = &report["moves"][0]["rounds"][0];
    assert_eq!((number(&round["moved"]["slots"]), &round["moved"]["slots_total"]), (8192.0, &8192.into()), "{round}");
    assert!(number(&round["moved"]["keys"]) > 5_000.0 && number(&round["keys_per_second"]) > 0.0, "{round}");
    assert!(number(&round["quiet"]["requests"]) > 0.0 && number(&round["moving"]["requests"]) > 0.0, "{round}");
    assert!(number(&round["standstill"]["count"]) >= 32.0 && number(&round["replies"]["good"]) >= 500.0, "{round}");
    assert_eq!(report["bars"].as_array().map(Vec::len), Some(5));
    assert_eq!(report["failures"].as_array().map(Vec::len), Some(0));
}

#[test]
fn sessions_are_measured_beside_a_huge_value_and_a_slot_that_moves() {
    let report = report("isolation", &["--big-mib", "8", "--phase-seconds", "0.5"]);
    let row = &report["isolation"][0];
    let round = &row["rounds"][0];
    for phase in ["alone", "beside", "control"] {
        assert!(number(&round[phase]["latencies"]["p99_us"]) > 0.0, "{round}");
    }
    for did in ["written", "read", "moves", "increments"] {
        assert!(number(&round["neighbours"][did]) > 0.0, "{did}: {round}");
    }
    assert!(row["behind_bytes_max"].is_u64(), "{row}");
    assert_eq!(report["bars"].as_array().map(Vec::len), Some(2));
}
