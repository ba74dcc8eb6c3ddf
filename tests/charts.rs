//! What is in grafana/: every panel shows something of a Swell that scales under load, by a real Prometheus with the
//! rules and the configuration that are there; the rules do what their tests say; the dashboards are what Grafana reads.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::harness::{Conn, Dir, Server, Swell, get, grafana_modules, program, tests_dir, wait_for};

/// Time for Prometheus and Swell to have something to show.
const SHOW_MAX: Duration = Duration::from_secs(90);

/// Scrapes that rates need, some of them after the last decision.
const SCRAPES: f64 = 10.0;

const PASSWORD: &str = "geheim";

/// Bytes of a value: some thousand of them are more than one node is planned to hold.
const VALUE_BYTES: usize = 2000;

/// Keys that the load goes to.
const KEYS: usize = 6000;

/// A running Prometheus.
struct Prometheus {
    child: Child,
    address: String,
    dir: Dir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
        }
        // It may have ended by itself: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn grafana() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana")
}

fn dashboards() -> Vec<(PathBuf, Value)> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(grafana().join("dashboards")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        (path, json)
    };
    found.into_iter().map(read).collect()
}

impl Prometheus {
    /// With the configuration of grafana/, which is told where this Swell is, and scrapes once a second.
    fn start(swell: &Server) -> Prometheus {
        let dir = Dir::new("prometheus");
        let password = dir.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let config = std::fs::read_to_string(grafana().join("prometheus/prometheus.yml")).unwrap();
        let replacements = [
            ("\"swell:9121\"", format!("\"{}\"", swell.http)),
            ("/run/secrets/swell_password", password.display().to_string()),
            ("scrape_interval: 5s", "scrape_interval: 1s".to_owned()),
            ("evaluation_interval: 15s", "evaluation_interval: 1s".to_owned()),
        ];
        let config = replacements.iter().fold(config, |config, (from, to)| {
            assert!(config.contains(from), "the configuration has no {from}");
            config.replace(from, to)
        });
        std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
        std::fs::copy(grafana().join("prometheus/swell.rules.yml"), dir.path().join("swell.rules.yml")).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        // It cannot choose a port by itself, and says in its log when it listens.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(program("prometheus"));
        command
            .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = command.spawn().expect("prometheus runs");
        let prometheus = Prometheus { child, address, dir };
        wait_for("prometheus to be ready", SHOW_MAX, || {
            Conn::try_open(&prometheus.address).ok()?;
            (get(&prometheus.address, "/-/ready").status == 200).then_some(())
        });
        prometheus
    }

    /// The result of a query; an error is its text.
    fn ask(&self, path: &str) -> Result<Vec<Value>, String> {
        let response = get(&self.address, path);
        let answer: Value = serde_json::from_str(&response.body).map_err(|why| format!("{why}: {}", response.body))?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default()),
            _ => Err(answer["error"].as_str().unwrap_or("no reason").to_owned()),
        }
    }

    fn instant(&self, query: &str) -> Result<Vec<Value>, String> {
        self.ask(&format!("/api/v1/query?query={}", escaped(query)))
    }

    /// Over the last half minute.
    fn range(&self, query: &str) -> Result<Vec<Value>, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        self.ask(&format!("/api/v1/query_range?query={}&start={}&end={now}&step=1", escaped(query), now - 30))
    }

    /// The largest sample of a query's result, as a person would see it.
    fn largest(&self, query: &str) -> Option<f64> {
        self.instant(query).unwrap().iter().flat_map(samples).reduce(f64::max)
    }
}

#[test]
fn every_panel_shows_something() {
    let swell = Swell::start(&[
        "--scaling",
        "on",
        "--nodes-max",
        "3",
        "--node-memory",
        "4mb",
        "--requirepass",
        PASSWORD,
        "--node-workers",
        "1",
    ]);
    let prometheus = Prometheus::start(&swell);
    let stop = AtomicBool::new(false);
    let wrong = std::thread::scope(|scope| {
        let load = scope.spawn(|| load(&swell, &stop));
        let wrong = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for("enough to show", SHOW_MAX, || {
                assert!(!load.is_finished(), "the load has ended");
                let least = [
                    ("sum(count_over_time(up{job=\"swell\"}[2m]) * up)", SCRAPES),
                    ("max(swell_slots_moved_total)", 1.0),
                    ("sum(swell_scaling_decisions_total)", 1.0),
                    ("count(swell_node_slots > 0)", 2.0),
                    ("count(job:swell_ecpus:rate1m)", 1.0),
                    ("sum(rate(swell_errors_by_code_total[10s]))", 0.001),
                    ("sum(rate(swell_node_requests_total[10s]))", 0.001),
                ];
                let is_there =
                    |(query, least): &(&str, f64)| prometheus.largest(query).is_some_and(|largest| largest >= *least);
                least.iter().all(is_there).then_some(())
            });
            what_is_wrong(&prometheus)
        }));
        stop.store(true, Ordering::Relaxed);
        wrong
    });
    let wrong = wrong.expect("there is enough to show");
    assert!(wrong.is_empty(), "{} queries:\n{}", wrong.len(), wrong.join("\n"));
}

/// A line for each query of a panel or a rule that fails or shows nothing.
fn what_is_wrong(prometheus: &Prometheus) -> Vec<String> {
    let (mut wrong, mut panels) = (Vec::new(), 0);
    for (path, dashboard) in dashboards() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for panel in dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row") {
            panels += 1;
            let title = panel["title"].as_str().unwrap();
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{name}, {title} asks nothing");
            for target in targets {
                let query = meant(target["expr"].as_str().unwrap());
                let is_instant = target["instant"].as_bool().unwrap_or(false);
                let result = if is_instant { prometheus.instant(&query) } else { prometheus.range(&query) };
                wrong.extend(complaint(&query, result).map(|why| format!("{name}, {title}: {why}")));
            }
        }
        // There may be nothing to note in half a minute; what is asked must be right all the same.
        for note in dashboard["annotations"]["list"].as_array().unwrap().iter().filter(|note| note["expr"].is_string())
        {
            let result = prometheus.range(&meant(note["expr"].as_str().unwrap()));
            wrong.extend(result.err().map(|why| format!("{name}, annotation {}: {why}", note["name"])));
        }
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let Some(query) = variable["definition"].as_str() else { continue };
            let inside = query.strip_prefix("label_values(").and_then(|query| query.strip_suffix(')')).unwrap();
            let (selector, label) = inside.rsplit_once(", ").unwrap();
            let query = format!("count by ({label}) ({})", meant(selector));
            wrong.extend(complaint(&query, prometheus.instant(&query)).map(|why| format!("{name}, variable: {why}")));
        }
    }
    assert!(panels > 40, "only {panels} panels");
    let rules = get(&prometheus.address, "/api/v1/rules");
    let rules: Value = serde_json::from_str(&rules.body).unwrap();
    let groups = rules["data"]["groups"].as_array().unwrap();
    let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() > 15, "only {} rules", rules.len());
    for rule in rules {
        if rule["health"] != "ok" {
            wrong.push(format!("rule {}: {} {}", rule["name"], rule["health"], rule["lastError"]));
        }
        if rule["type"] == "recording" {
            let query = rule["name"].as_str().unwrap();
            wrong.extend(complaint(query, prometheus.instant(query)));
        }
    }
    wrong
}

/// What is wrong with a result, if anything. A query that only ever yields "not a number" shows nothing.
fn complaint(query: &str, result: Result<Vec<Value>, String>) -> Option<String> {
    match result {
        Err(why) => Some(format!("{query}: {why}")),
        Ok(series) if !series.iter().flat_map(samples).any(f64::is_finite) => Some(format!("{query}: nothing")),
        Ok(_) => None,
    }
}

/// A series' samples, of an instant or of a range.
fn samples(series: &Value) -> Vec<f64> {
    let of_range = series["values"].as_array().into_iter().flatten();
    let number = |sample: &Value| sample[1].as_str()?.parse::<f64>().ok();
    of_range.chain(series.get("value")).filter_map(number).collect()
}

/// A query with Grafana's variables replaced.
fn meant(query: &str) -> String {
    let meant = [
        ("$__rate_interval", "10s"),
        ("$__range", "30s"),
        ("$job", "swell"),
        ("$instance", ".*"),
        ("$ecpu_price", "0.0023"),
        ("$storage_price", "0.084"),
    ]
    .iter()
    .fold(query.to_owned(), |query, (from, to)| query.replace(from, to));
    assert!(!meant.contains('$'), "a variable that this test does not know: {meant}");
    meant
}

/// For a URL's query.
fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// Something of everything that a panel shows: hits and misses, errors, keys that expire, memcached, and more data than
/// one node is planned to hold.
fn load(swell: &Server, stop: &AtomicBool) {
    let mut conn = swell.conn();
    assert_eq!(conn.cmd(&["AUTH", PASSWORD]).text(), "OK");
    let mut memcached = Conn::open(&swell.memcached);
    memcached.send(format!("set auth 0 0 {}\r\nuser {PASSWORD}\r\n", PASSWORD.len() + 5).as_bytes());
    assert_eq!(memcached.line(), Ok(b"STORED".to_vec()));
    let value = "v".repeat(VALUE_BYTES);
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        let (key, other) = (format!("key:{}", round % KEYS), format!("key:{}", round * 7 % (2 * KEYS)));
        conn.cmd(&["SET", &key, &value]);
        conn.cmd(&["GET", &other]);
        if round % 100 == 0 {
            assert!(conn.cmd(&["INCR", &key]).is_error());
            conn.cmd(&["SET", "short", "v", "PX", "1"]);
            memcached.send(b"set m 0 0 1\r\nv\r\n");
            assert_eq!(memcached.line(), Ok(b"STORED".to_vec()));
            memcached.send(b"get m nosuch\r\n");
            while memcached.line() != Ok(b"END".to_vec()) {}
        }
        round += 1;
    }
}

#[test]
fn rules_and_configuration_are_right() {
    let folder = grafana().join("prometheus");
    // The password's file is in the container only.
    promtool(&["check", "config", "--syntax-only", "prometheus.yml"], &folder);
    promtool(&["check", "rules", "swell.rules.yml"], &folder);
    promtool(&["test", "rules", "swell.rules.test.yml"], &folder);
}

fn promtool(args: &[&str], folder: &Path) {
    let done = Command::new(program("promtool")).args(args).current_dir(folder).stdin(Stdio::null()).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "promtool {args:?}: {}", String::from_utf8_lossy(&said));
}

/// By Grafana's own published types. That the check can fail is checked as well.
#[test]
fn dashboards_are_what_grafana_reads() {
    let files: Vec<PathBuf> = dashboards().into_iter().map(|(path, _)| path).collect();
    assert_eq!(files.len(), 2);
    let checked = check_schema(&files);
    assert!(checked.is_ok(), "{checked:?}");
    let dir = Dir::new("dashboards");
    let wrong = dir.path().join("wrong.json");
    let text = std::fs::read_to_string(&files[0]).unwrap();
    for (from, to) in [
        ("\"displayMode\": \"table\"", "\"displayMode\": \"tabel\""),
        ("\"fieldConfig\"", "\"fieldConfigs\""),
        ("\"gridPos\": {", "\"gridPos\": { \"z\": 1,"),
        ("\"drawStyle\": \"line\"", "\"drawStyle\": \"lines\""),
        ("\"schemaVersion\"", "\"schemaversion\""),
    ] {
        assert!(text.contains(from), "{from} is in {}", files[0].display());
        std::fs::write(&wrong, text.replacen(from, to, 1)).unwrap();
        assert!(check_schema(std::slice::from_ref(&wrong)).is_err(), "{to} is not noticed");
    }
}

fn check_schema(files: &[PathBuf]) -> Result<(), String> {
    let scripts = tests_dir().join("grafana");
    let mut command = Command::new(program("node"));
    command.arg(scripts.join("schema.mjs")).arg(scripts.join("types.ts")).args(files).stdin(Stdio::null());
    let done = command.env("NODE_MODULES", grafana_modules()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    match done.status.code() {
        Some(0) => Ok(()),
        Some(1) if said.contains(".json: ") => Err(said),
        other => panic!("the check itself fails: {other:?} {said}"),
    }
}

/// Panels are found by people: each has a title of its own, a sentence, a unit, and its place.
#[test]
fn panels_are_explained_and_do_not_overlap() {
    let mut uids = std::collections::BTreeSet::new();
    for (path, dashboard) in dashboards() {
        assert!(uids.insert(dashboard["uid"].as_str().unwrap().to_owned()), "{} has another's uid", path.display());
        let (mut titles, mut places) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        let mut ids = std::collections::BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: another has its id");
            let number = |name: &str| panel["gridPos"][name].as_u64().unwrap();
            let (x, y, w, h) = (number("x"), number("y"), number("w"), number("h"));
            assert!(x + w <= 24, "{title} is too wide");
            for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(places.insert(place), "{title} lies over another");
            }
            if panel["type"] == "row" {
                continue;
            }
            assert!(titles.insert(title.to_owned()), "{title} is there twice");
            assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title} is not explained");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        }
    }
}
