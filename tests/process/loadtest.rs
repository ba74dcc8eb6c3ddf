//! `swell loadtest` against a server that is there: the report has its fields, and nothing was wrong.

use serde_json::Value;

use crate::harness::{Server, Swell};

/// A short run of the default scenario, over this protocol, against this server.
fn report(server: &Server, protocol: &str, address: &str) -> (Value, String) {
    let base = std::env::temp_dir().join(format!("swell-process-loadtest-{}-{protocol}", std::process::id()));
    let (json, html) = (base.with_extension("json"), base.with_extension("html"));
    let mut command = Swell::command();
    command.args(["loadtest", "--target", address, "--http", &server.http, "--protocol", protocol]);
    command.args(["--rate", "500", "--keys", "200", "--keys-peak", "400", "--value-bytes", "100:1,2000:1"]);
    command.args(["--ttl", "0:9,1:1", "--seconds", "0.6", "--patience", "2", "--connections", "4"]);
    let output = command.arg("--json").arg(&json).arg("--html").arg(&html).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let [report, page] = [&json, &html].map(|path| {
        let text = std::fs::read_to_string(path).expect("it is written");
        std::fs::remove_file(path).expect("it is there");
        text
    });
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<svg") && !page.contains("http"), "{page}");
    (serde_json::from_str(&report).expect("it is JSON"), said)
}

#[test]
fn a_scenario_against_one_node_has_all_figures_and_no_errors() {
    let server = Swell::start(&[]);
    for (protocol, address) in [("resp", &server.resp), ("memcached", &server.memcached)] {
        let (report, said) = report(&server, protocol, address);
        for none in ["client_errors", "wrong_reads", "unknown_outcomes", "slots_moved"] {
            assert_eq!(report[none], 0, "{none}: {report}");
        }
        assert_eq!((&report["nodes_peak"], &report["nodes_end"]), (&1.into(), &1.into()), "{report}");
        for some in ["p99_ms_before", "p99_ms_during", "p99_ms_after", "ecpu_total", "bill_total"] {
            assert!(report[some].as_f64().is_some_and(|figure| figure > 0.0), "{some}: {report}");
        }
        let tally = &report["tally"];
        for some in ["hits", "writes", "deletes"] {
            assert!(tally[some].as_u64().is_some_and(|count| count > 20), "{some}: {tally}");
        }
        let bars = report["bars"].as_array().expect("bars");
        let peak = bars.iter().find(|bar| bar["what"] == "nodes at the peak").expect("the bar");
        assert_eq!(peak["verdict"], "missed", "one node is not four");
        assert!(said.contains("0 client errors, 0 wrong reads, 0 unknown outcomes"), "{said}");
    }
}
