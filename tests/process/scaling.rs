//! Nodes that come with the load and go with it, as clients and people see it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread::spawn;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Conn, DEADLINE, Reply, Server, Swell, encode, get, wait_for};

/// Keys, of which a thousand bytes each are three nodes' worth.
const KEYS: usize = 18_000;
/// Requests that are sent before their replies are read.
const BATCH: usize = 100;
/// Nodes are let go one by one, after a quarter of a minute in which fewer would have been enough.
const SHRINK_MAX: Duration = Duration::from_secs(120);

fn start(scaling: &str) -> Server {
    let nodes = ["--nodes-max", "4", "--node-memory", "8mb", "--node-workers", "1", "--workers", "1"];
    Swell::start(&[&["--scaling", scaling], &nodes[..]].concat())
}

fn page(server: &Server, path: &str) -> Value {
    let response = get(&server.http, path);
    assert_eq!(response.status, 200, "{path}: {}", response.body);
    serde_json::from_str(&response.body).expect("it is JSON")
}

fn nodes(server: &Server) -> usize {
    page(server, "/status")["nodes"].as_array().expect("a list").len()
}

fn kinds(server: &Server) -> Vec<String> {
    let events = page(server, "/events")["events"].as_array().expect("a list").clone();
    events.iter().map(|event| event["kind"].as_str().expect("every event has one").to_owned()).collect()
}

/// Follows the events until one says that.
fn wait_for_event(server: &Server, words: &str, limit: Duration) {
    let mut command = Swell::command();
    command.args(["events", "--follow", "--link", &server.link]).stdout(Stdio::piped());
    let mut follower = command.spawn().expect("the binary runs");
    let lines = BufReader::new(follower.stdout.take().expect("it is piped")).lines();
    let (tell, told) = channel();
    let reader = spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
    let until = Instant::now() + limit;
    let found = std::iter::from_fn(|| told.recv_timeout(until.saturating_duration_since(Instant::now())).ok())
        .any(|line| line.contains(words));
    follower.kill().and_then(|()| follower.wait()).expect("it can be ended");
    reader.join().expect("it only reads");
    assert!(found, "no event says '{words}' within {limit:?}");
}

fn value(key: usize) -> String {
    format!("{key:0>1000}")
}

/// One request for each key; every reply must be as expected.
fn each(conn: &mut Conn, request: impl Fn(usize) -> Vec<String>, expected: impl Fn(usize) -> Reply) {
    for first in (0..KEYS).step_by(BATCH) {
        let keys = first..(first + BATCH).min(KEYS);
        let bytes: Vec<u8> = keys.clone().flat_map(|key| encode(&request(key))).collect();
        conn.send(&bytes);
        keys.for_each(|key| assert_eq!(conn.reply(), expected(key), "key {key}"));
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn fill(conn: &mut Conn) {
    each(conn, |key| words(&["SET", &format!("key:{key}"), &value(key)]), |_| Reply::Simple("OK".to_owned()));
}

fn read(conn: &mut Conn) {
    each(conn, |key| words(&["GET", &format!("key:{key}")]), |key| Reply::Bulk(value(key).into_bytes()));
}

#[test]
fn nodes_come_and_go_with_the_data_and_nothing_is_lost() {
    let server = start("on");
    let mut conn = Conn::open(&server.resp);
    assert_eq!(nodes(&server), 1);
    fill(&mut conn);
    wait_for("three nodes", DEADLINE, || {
        read(&mut conn);
        (nodes(&server) >= 3).then_some(())
    });
    wait_for("the slots to be where they belong", DEADLINE, || {
        let status = page(&server, "/status");
        let is_spread = status["nodes"].as_array()?.iter().all(|node| node["slots"].as_u64() > Some(3000));
        (is_spread && status["slots_moving"] == 0).then_some(())
    });
    read(&mut conn);
    let status = page(&server, "/status");
    assert!(status["slots_moved_total"].as_u64() >= Some(10_000), "{status}");
    assert!(status["ecpu_total"].as_f64() >= Some(2.0 * KEYS as f64), "{status}");
    let of_nodes: f64 =
        status["nodes"].as_array().expect("a list").iter().filter_map(|node| node["ecpu"].as_f64()).sum();
    assert!(of_nodes > KEYS as f64, "what nodes did is known by node: {status}");
    each(&mut conn, |key| words(&["DEL", &format!("key:{key}")]), |_| Reply::Int(1));
    wait_for_event(&server, "there are 1 nodes now", SHRINK_MAX);
    assert_eq!(nodes(&server), 1);
    let kinds = kinds(&server);
    for kind in ["scale-out", "node-joined", "move", "moved", "scaled", "scale-in", "drained", "node-left"] {
        assert!(kinds.iter().any(|known| known == kind), "no event of kind {kind}: {kinds:?}");
    }
    assert!(!kinds.iter().any(|kind| kind == "node-lost"), "{kinds:?}");
    assert_eq!(conn.cmd(&["DBSIZE"]), Reply::Int(0));
}

#[test]
fn a_dry_run_says_what_it_would_do() {
    let server = start("dry-run");
    let mut conn = Conn::open(&server.resp);
    fill(&mut conn);
    wait_for("a decision", DEADLINE, || kinds(&server).iter().any(|kind| kind == "scale-out").then_some(()));
    let events = page(&server, "/events")["events"].clone();
    let decision =
        events.as_array().and_then(|all| all.iter().find(|event| event["kind"] == "scale-out")).expect("there is one");
    assert_eq!((&decision["why"]["signal"], &decision["why"]["is_dry_run"]), (&"memory".into(), &true.into()));
    assert!(decision["text"].as_str().is_some_and(|text| text.starts_with("would add")), "{decision}");
    assert_eq!(nodes(&server), 1);
    let after = decision["number"].as_u64().expect("a number");
    let later = page(&server, &format!("/events?after={after}"));
    assert!(later["events"].as_array().expect("a list").iter().all(|event| event["number"].as_u64() > Some(after)));
    let paused = Swell::command().args(["scale", "pause", "--json", "--link", &server.link]).output().expect("it runs");
    let paused: Value = serde_json::from_slice(&paused.stdout).expect("it is JSON");
    assert_eq!(paused["scaling"]["mode"], "paused");
    assert_eq!(page(&server, "/status")["scaling"]["mode"], "paused");
    read(&mut conn);
}
