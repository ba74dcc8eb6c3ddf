//! The whole bench, small: real `redis-server` processes as yardstick, subject and memory-limited cache.

use std::process::Command;

use clap::Parser;
use serde_json::Value;
use swell_loadtest::bench::{BenchArgs, run};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    bench: BenchArgs,
}

const REDIS: &str = "redis-server --port {port} --save '' --appendonly no --io-threads 1";

/// Runs the bench with redis-server on both sides, without pinning: tests share their cores with other tests.
fn bench(test: &str, options: &[&str]) -> (anyhow::Result<()>, Value) {
    require("redis-server", "redis-server");
    let json = std::env::temp_dir().join(format!("swell-bench-test-{}-{test}.json", std::process::id()));
    let path = json.to_str().expect("a UTF-8 path").to_owned();
    let (peer, subject) = (format!("one={REDIS}"), format!("two={REDIS}"));
    let common = ["bench", "--peer", &peer, "--subject", &subject, "--server-cpu", "off", "--load-cpu", "off"];
    let last = ["--json", &path];
    let args = common.iter().chain(options).chain(&last);
    let result = run(Cli::try_parse_from(args).expect("valid options").bench);
    let report = std::fs::read(&json).expect("the bench writes its report");
    std::fs::remove_file(&json).expect("the report is there");
    (result, serde_json::from_slice(&report).expect("valid JSON"))
}

/// Fails with the name of the Debian package when a program that the test cannot do without is missing.
fn require(program: &str, package: &str) {
    let found = Command::new(program).arg("--version").output();
    assert!(found.is_ok(), "{program} is not on the PATH and this test needs it: apt-get install {package}");
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn throughput_of_redis_beside_itself() {
    let options = "--tests get,set --pipelines 1,8 --keys 2000 --requests 4000 --warmup-seconds 0 --rounds 3";
    let options: Vec<_> = options.split(' ').chain(["--connections", "7"]).collect();
    let (result, report) = bench("throughput", &options);
    result.expect("redis answers rightly");
    let rows = report["throughput"].as_array().expect("rows");
    assert_eq!(rows.len(), 2 * 2 * 2, "tests, pipelines, servers");
    for row in rows {
        assert_eq!(row["runs"].as_array().map(Vec::len), Some(3));
        for run in row["runs"].as_array().expect("runs") {
            assert!(number(&run["requests"]) >= 4_000.0);
            assert!(number(&run["replies"]["good"]) >= number(&run["requests"]));
            assert_eq!(number(&run["replies"]["errors"]), 0.0);
        }
        let median = &row["median"];
        assert!(number(&median["requests_per_second"]) > 0.0 && number(&median["server_cpu_us_per_request"]) > 0.0);
        assert!(number(&median["batch_p50_us"]) <= number(&median["batch_p999_us"]));
        assert_eq!(row["ratio"].is_null(), row["server"] == "one", "only the yardstick has no ratio");
        assert_eq!(row["cpu_ratio"].is_null(), row["server"] == "one");
        assert_eq!(row["processes"], 1);
        if let Some(ratio) = row["ratio"]["value"].as_f64() {
            assert!((0.1..10.0).contains(&ratio), "redis is {ratio} times redis");
        }
    }
    assert_eq!(report["servers"][0]["yardstick"], true);
    assert!(report["servers"][1]["version"].as_str().expect("a version").starts_with("redis "));
    assert_eq!(report["failures"], Value::Array(vec![]));
}

#[test]
fn memory_start_and_idling() {
    let options = "--tests memory,startup --memory-keys 30000 --memory-values 64 --connections 5 --rounds 2 \
                   --idle-seconds 0.3 --idle-connections 50";
    let options: Vec<_> = options.split_whitespace().collect();
    let (result, report) = bench("memory", &options);
    result.expect("redis starts and takes its keys");
    for row in report["memory"].as_array().expect("rows") {
        let overhead = number(&row["overhead_bytes_per_key"]);
        assert!((20.0..400.0).contains(&overhead), "{overhead} bytes per key");
    }
    assert_eq!(report["memory"].as_array().map(Vec::len), Some(2));
    for row in report["startup"].as_array().expect("rows") {
        assert!(number(&row["first_reply_ms"]) > 0.1, "{row}");
        assert!(number(&row["idle_bytes"]) > 1e6, "{row}");
        assert!(number(&row["wakeups_per_second"]) > 0.0, "redis wakes up ten times a second: {row}");
    }
    assert_eq!(report["startup"].as_array().map(Vec::len), Some(2));
}

#[test]
fn hit_ratio_under_a_memory_limit() {
    let options = "--tests hitratio --hit-keys 60000 --hit-requests 60000 --hit-maxmemory 4mb";
    let options: Vec<_> = options.split(' ').collect();
    let (result, report) = bench("hits", &options);
    result.expect("redis evicts instead of refusing");
    let rows = report["hit_ratio"].as_array().expect("rows");
    assert_eq!(rows.len(), 2);
    for row in rows {
        let hits = number(&row["hit_percent"]);
        assert!(hits > 20.0 && hits < 99.0, "60,000 keys of 116 B do not fit 4 MiB, the hot ones do: {row}");
        assert!(number(&row["keys_held"]) < 60_000.0, "{row}");
        assert_eq!(number(&row["reads"]), 60_000.0);
    }
    // Redis samples when it evicts, so even the same reads do not give quite the same hits.
    assert!(number(&rows[1]["points"]).abs() < 5.0, "{rows:?}");
}

#[test]
fn a_cache_that_refuses_writes_fails_the_bench() {
    let options = "--tests hitratio --hit-keys 60000 --hit-requests 60000 --hit-maxmemory 4mb --hit-policy noeviction";
    let options: Vec<_> = options.split(' ').collect();
    let (result, report) = bench("refusal", &options);
    let error = result.expect_err("writes were refused").to_string();
    assert!(error.contains("OOM command not allowed"), "{error}");
    assert_eq!(report["failures"].as_array().map(Vec::len), Some(2));
}

#[test]
fn slots_are_not_moved_at_a_server_without_a_link() {
    for test in ["move", "isolation"] {
        let (result, report) = bench(test, &["--tests", test]);
        let error = result.expect_err("redis has no nodes").to_string();
        assert!(error.contains("two") && error.contains("{link}"), "{error}");
        assert_eq!(report["moves"].as_array().map(Vec::len), Some(0));
    }
}
